"""Geometry of keypoints and heatmaps, as batched tensor functions; they know no paper.

Coordinates are (x, y) in pixels, 0 at the centre of the top left pixel. Sizes are (width, height).
"""
