"""Top-down pose estimation: from pictures, boxes and weights to joints, and to their scores."""
