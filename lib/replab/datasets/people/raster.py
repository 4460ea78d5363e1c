"""Filled shapes on the canvas, by the one routine that OpenCV 4 and 5 do alike.

Of `fillPoly` and of thick lines the edges moved from OpenCV 4.10 to 5.0; `fillConvexPoly`, ovals
and thin lines gave the same pixels. So every shape here is convex, or made of convex pieces.
"""

import numpy as np
from numpy.typing import NDArray

Canvas = NDArray[np.uint8]
Fixed = NDArray[np.int32]
Colour = tuple[int, int, int]

SHIFT = 4  # binary places of outlines
BACKGROUND = 255  # the mark of everything that is no person


def fill(canvas: Canvas, contour: Fixed, tone: Colour, mark: int = BACKGROUND) -> None:
    """Fill a convex contour.

    Args:
        canvas: H×W×4: red, green, blue and the mark.
        contour: N×2, fixed-point canvas px.
        tone: RGB, 0–255.
        mark: what the fourth channel gets.
    """
    import cv2

    cv2.fillConvexPoly(canvas, contour, (*tone, mark), cv2.LINE_8, SHIFT)


def fill_hull(canvas: Canvas, places: Fixed, tone: Colour, mark: int = BACKGROUND) -> None:
    """Fill the convex hull of points (…×2); the other arguments are those of `fill`."""
    import cv2

    hull = cv2.convexHull(places.reshape(-1, 1, 2))
    cv2.fillConvexPoly(canvas, hull, (*tone, mark), cv2.LINE_8, SHIFT)


def fill_oval(
    canvas: Canvas, centre: Fixed, axes: tuple[int, int], tone: Colour, mark: int = BACKGROUND
) -> None:
    """Fill an upright ellipse; centre (2) and half its axes are fixed-point canvas px."""
    import cv2

    at = int(centre[0]), int(centre[1])
    cv2.ellipse(canvas, at, axes, 0, 0, 360, (*tone, mark), -1, cv2.LINE_8, SHIFT)


def to_fixed(places: NDArray[np.float64]) -> Fixed:
    """Canvas px (…×2) as fixed-point numbers; what lies far outside is brought nearer."""
    return np.rint(np.clip(places, -4000, 8000) * (1 << SHIFT)).astype(np.int32, order="C")
