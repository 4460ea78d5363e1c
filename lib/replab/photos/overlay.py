"""Poses drawn on their photograph: side by colour, confidence by opacity, readable in a crowd."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from replab.keypoints.skeletons import Skeleton
from replab.keypoints.suppression import VISIBLE
from replab.photos import captions
from replab.report.skeletons import RIM, SIDES, side, sides

# Joints of less confidence are not drawn: those that a pose's score leaves out as well.
THRESHOLD = VISIBLE
# What is drawn can be seen, however low the threshold.
FAINTEST = 0.25
# A line's width is a person's extent through this, in px, and never less or more than these
# shares of the picture's longer side, or than can be seen.
LIMBS_A_PERSON, FINEST, BROADEST, LEAST_PX = 48.0, 1 / 700, 1 / 150, 1.5
# Widths in those of a line: the dark rim on each side (the least in px), a joint's disc, and lines
# and discs on a face, whose joints lie close together.
RIM_WIDTH, LEAST_RIM, DISC, FACE = 0.4, 1.0, 1.7, 0.6
# A person's number: height of its letters, and how far above the highest joint, in widths; and the
# least height in parts of the picture's longer side.
TAG, TAG_ABOVE, LEAST_TAG = 2.5, 3.0, 1 / 90
FACE_JOINTS = ("nose", "eye", "ear")
# Of JPEG, 0–100; fine lines on photographs show rings below.
QUALITY = 93
# OpenCV takes coordinates in parts of a pixel of 1 / 2⁵.
BITS = 5
ARC = np.linspace(-np.pi / 2, np.pi / 2, 9)


@dataclass(frozen=True)
class Poses:
    """The people of a picture, as they are drawn.

    Attributes:
        keypoints: N×K×3, x and y in px, 0 at the centre of the top left pixel, and confidence.
        scores: N, of the poses; the surest lies on top.
        skeleton: of the K joints.
    """

    keypoints: NDArray[np.float64]
    scores: NDArray[np.float64]
    skeleton: Skeleton


def draw(
    picture: NDArray[np.uint8],
    poses: Poses,
    *,
    threshold: float = THRESHOLD,
    label: str = "",
    numbered: bool | None = None,
) -> NDArray[np.uint8]:
    """A copy of a picture H×W×3 (uint8, RGB) with all poses on it.

    A limb is as opaque as the less sure of its joints, a joint as itself, confidence 1 and above
    being opaque; each has a dark rim, so that it reads on any ground and people who overlap stay
    apart. Lines are as wide as their person's size allows. Several people are numbered, from 1, in
    the order given.

    Args:
        threshold: joints of less confidence, and limbs to them, are not drawn.
        label: stands in the lower left corner; empty for none.
        numbered: whether people bear their numbers; None where there are several.

    Raises:
        ValueError: shapes that do not fit.
    """
    count, joints = len(poses.keypoints), len(poses.skeleton)
    if poses.keypoints.shape != (count, joints, 3) or poses.scores.shape != (count,):
        raise ValueError(
            f"keypoints {poses.keypoints.shape} and scores {poses.scores.shape} are not "
            f"N×{joints}×3 and N"
        )
    canvas = picture.astype(np.float32)
    # Their order where scores tie is the order given, reversed: the first is on top.
    order = np.argsort(-poses.scores, kind="stable")[::-1]
    extents = _extents(poses.keypoints, threshold)
    widths = line_widths(extents, picture.shape[:2])
    for person in order:
        _person(canvas, poses.keypoints[person], poses.skeleton, threshold, widths[person])
    if numbered if numbered is not None else count > 1:
        taken: list[tuple[int, int, int, int]] = []
        sizes = np.maximum(TAG * widths, max(captions.READABLE, max(picture.shape) * LEAST_TAG))
        # A number that is as large as its person would hide more than it tells.
        for person in order[::-1][(extents > 2 * sizes)[order[::-1]]]:
            keypoints = poses.keypoints[person][_drawn(poses.keypoints[person], threshold)]
            # Above the highest joint, which is no higher than the eyes of a COCO skeleton.
            x, y = keypoints[keypoints[:, 1].argmin(), :2]
            foot = (float(x), float(y) - TAG_ABOVE * widths[person])
            captions.tag(canvas, str(person + 1), foot, size=sizes[person], taken=taken)
    if label:
        captions.corner(canvas, label)
    return np.asarray(canvas.round().clip(0, 255), dtype=np.uint8)


def line_widths(extents: NDArray[np.float64], size: Sequence[int]) -> NDArray[np.float64]:
    """N widths of lines in px.

    Args:
        extents: N, the longer sides of what is drawn of each person, px.
        size: height and width of the picture in px.
    """
    least = max(LEAST_PX, max(size) * FINEST)
    most = max(least, max(size) * BROADEST)
    return np.asarray(np.clip(extents / LIMBS_A_PERSON, least, most))


def _extents(keypoints: NDArray[np.float64], threshold: float) -> NDArray[np.float64]:
    drawn = _drawn(keypoints, threshold)[..., None]
    high = np.where(drawn, keypoints[..., :2], -np.inf).max(axis=1)
    low = np.where(drawn, keypoints[..., :2], np.inf).min(axis=1)
    return np.where(drawn.any(axis=(1, 2)), (high - low).max(axis=1), 0.0)


def _drawn(keypoints: NDArray[np.float64], threshold: float) -> NDArray[np.bool_]:
    finite = np.isfinite(keypoints).all(axis=-1)
    return np.asarray(finite & (keypoints[..., 2] >= threshold))


def _person(
    canvas: NDArray[np.float32],
    keypoints: NDArray[np.float64],
    skeleton: Skeleton,
    threshold: float,
    width: float,
) -> None:
    drawn = _drawn(keypoints, threshold)
    if not drawn.any():
        return
    opacity = np.clip(np.where(drawn, keypoints[:, 2], 0), FAINTEST, 1.0)
    face = np.array([joint.endswith(FACE_JOINTS) for joint in skeleton.joints])
    rim = max(LEAST_RIM, RIM_WIDTH * width)
    limbs, discs = [], []
    for (one, other), own in zip(skeleton.limbs, sides(skeleton), strict=True):
        if drawn[one] and drawn[other]:
            # From an ear to a shoulder there is no face any more, but a line as fine.
            radius = width / 2 * (FACE if face[one] or face[other] else 1.0)
            opaque = float(min(opacity[one], opacity[other]))
            limbs.append(_Stroke(keypoints[[one, other], :2], radius, opaque, SIDES[own]))
    for joint in np.flatnonzero(drawn):
        radius = width / 2 * DISC * (FACE if face[joint] else 1.0)
        ends, colour = keypoints[[joint, joint], :2], SIDES[side(skeleton.joints[joint])]
        discs.append(_Stroke(ends, radius, float(opacity[joint]), colour))
    layer = _Layer(canvas, keypoints[drawn, :2], margin=width * DISC + rim + 2)
    # All rims first: else that of a limb would cut through the next.
    for stroke in limbs:
        layer.lay(stroke.rimmed(rim))
    for stroke in limbs:
        layer.lay(stroke)
    for stroke in discs:
        layer.lay(stroke.rimmed(rim))
        layer.lay(stroke)


@dataclass(frozen=True)
class _Stroke:
    """A line with round ends; one from a place to itself is a disc."""

    ends: NDArray[np.float64]
    radius: float
    opacity: float
    colour: str

    def rimmed(self, rim: float) -> "_Stroke":
        """What surrounds it."""
        return replace(self, radius=self.radius + rim, colour=RIM)


class _Layer:
    """The part of a canvas that a person takes, and what was there before.

    A stroke hides the person's strokes below it and mixes with what lies behind the person: where
    several meet, as in each joint, none becomes more opaque than it is sure.
    """

    def __init__(
        self, canvas: NDArray[np.float32], places: NDArray[np.float64], margin: float
    ) -> None:
        limit = np.array([canvas.shape[1], canvas.shape[0]])
        self._low = np.clip(np.floor(places.min(axis=0) - margin).astype(int), 0, limit)
        high = np.clip(np.ceil(places.max(axis=0) + margin).astype(int) + 1, self._low, limit)
        self._part = canvas[self._low[1] : high[1], self._low[0] : high[0]]
        self._behind = self._part.copy()

    def lay(self, stroke: _Stroke) -> None:
        """Draw a stroke on the canvas."""
        ends = stroke.ends - self._low
        limit = np.array([self._part.shape[1], self._part.shape[0]])
        low = np.clip(np.floor(ends.min(axis=0) - stroke.radius - 2).astype(int), 0, limit)
        high = np.clip(np.ceil(ends.max(axis=0) + stroke.radius + 3).astype(int), 0, limit)
        if (high <= low).any():
            return
        place = slice(low[1], high[1]), slice(low[0], high[0])
        cover = _cover(ends - low, stroke.radius, (int(high[1] - low[1]), int(high[0] - low[0])))
        colour = np.array(captions.rgb(stroke.colour), np.float32)
        mixed = self._behind[place] * np.float32(1 - stroke.opacity)
        mixed += colour * np.float32(stroke.opacity)
        mixed -= self._part[place]
        self._part[place] += mixed * cover[..., None]


def _cover(ends: NDArray[np.float64], radius: float, size: tuple[int, int]) -> NDArray[np.float32]:
    """How much of each pixel, 0–1, a line with round ends covers."""
    import cv2

    along = ends[1] - ends[0]
    angle = np.arctan2(along[1], along[0])
    turns = np.concatenate((ARC + angle, ARC + angle + np.pi))
    middles = np.repeat(ends[::-1], len(ARC), axis=0)
    outline = middles + radius * np.stack((np.cos(turns), np.sin(turns)), axis=1)
    mask = np.zeros(size, np.uint8)
    points = (outline * 2**BITS).round().astype(np.int32)
    cv2.fillConvexPoly(mask, points, 255, lineType=cv2.LINE_AA, shift=BITS)
    return mask.astype(np.float32) * np.float32(1 / 255)


def encode(picture: NDArray[np.uint8], suffix: str) -> bytes:
    """The bytes of a picture H×W×3, RGB, as a file of `.jpg` or `.png`."""
    import cv2

    options = [cv2.IMWRITE_JPEG_QUALITY, QUALITY] if suffix == ".jpg" else []
    fine, data = cv2.imencode(suffix, cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), options)
    assert fine, f"a picture of {picture.shape} cannot be a {suffix}"
    return data.tobytes()


def shrink(picture: NDArray[np.uint8], most: int) -> NDArray[np.uint8]:
    """A picture H×W×3 whose longer side has at most so many px; smaller ones stay as they are."""
    import cv2

    height, width = picture.shape[:2]
    share = most / max(height, width)
    if share >= 1:
        return picture
    size = max(1, round(width * share)), max(1, round(height * share))
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)
