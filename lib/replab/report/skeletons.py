"""Drawings of people's joints on their pictures: what was found over what was annotated."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from replab.datasets.pose_set import PoseSet
from replab.keypoints.skeletons import Skeleton
from replab.report import style

# The person's left and right; yellow is bright on dark pictures, and all have a dark rim.
SIDES = {"left": style.ORANGE, "right": style.SKY, "centre": style.YELLOW}
RIM = "#222222"
TRUTH = "#FFFFFF"
# Below this a limb could not be seen at all, and a reader would take it for missing.
FAINTEST = 0.12


def sides(skeleton: Skeleton) -> tuple[str, ...]:
    """A side for each of the limbs: `left` or `right` if one of its joints is, else `centre`."""
    found = []
    for limb in skeleton.limbs:
        own = {side(skeleton.joints[joint]) for joint in limb} - {"centre"}
        found.append(own.pop() if len(own) == 1 else "centre")
    return tuple(found)


def side(joint: str) -> str:
    """`left`, `right` or `centre` from a joint's name."""
    return next((word for word in ("left", "right") if joint.startswith(f"{word}_")), "centre")


def contact_sheet(
    pictures: Sequence[NDArray[np.uint8]],
    joints: Sequence[ArrayLike],
    scores: Sequence[ArrayLike],
    skeleton: Skeleton,
    *,
    truth: Sequence[ArrayLike] | None = None,
    visible: Sequence[ArrayLike] | None = None,
    titles: Sequence[str] = (),
    columns: int = 4,
    least: float = 0.0,
    width: float = 2.4,
) -> Any:
    """Pictures with the joints that were found, limbs coloured by side, the annotation beneath.

    A limb is as opaque as the less sure of its joints, its lines as wide as its person's size
    allows, and the surest person lies on top, so that crowds stay readable. Annotated limbs are
    thin and white with a dark rim.

    Args:
        pictures: each H×W×3, RGB.
        joints: for each picture P×K×2, px of it, 0 at the centre of the top left pixel; NaN
            where a joint was not found.
        scores: for each picture P×K, confidence; 1 and above are opaque.
        truth: for each picture T×K×2, px; None if there is no annotation.
        visible: for each picture T×K, above 0 where a joint is annotated; all by default.
        titles: of the pictures; none by default.
        columns: pictures side by side.
        least: joints with less confidence are not drawn.
        width: of a picture, inches.

    Raises:
        ValueError: not as many joints, scores, annotations or titles as pictures, or arrays of
            other shapes.
    """
    _require_as_many(pictures, joints=joints, scores=scores, truth=truth, visible=visible)
    if titles:
        _require_as_many(pictures, titles=titles)
    columns = max(1, min(columns, len(pictures)))
    lines = max(1, -(-len(pictures) // columns))
    tall = max((picture.shape[0] / picture.shape[1] for picture in pictures), default=1.0)
    high = lines * (width * tall + (0.25 if titles else 0.05))
    figure, axes = style.subplots(
        lines, columns, width=width * columns, height=max(high, 0.5) + 0.35
    )
    axes = np.atleast_1d(axes).ravel()
    for axis in axes:
        axis.set_axis_off()
    for i, (axis, picture) in enumerate(zip(axes, pictures, strict=False)):
        axis.imshow(picture, interpolation="nearest" if picture.shape[1] < 200 else "antialiased")
        inch = width / picture.shape[1]
        if truth is not None:
            shown = None if visible is None else visible[i]
            _annotated(axis, np.asarray(truth[i], float), shown, skeleton)
        _found(axis, joints[i], scores[i], skeleton, least, points=72 * inch)
        axis.set_xlim(-0.5, picture.shape[1] - 0.5)
        axis.set_ylim(picture.shape[0] - 0.5, -0.5)
        if titles:
            axis.set_title(titles[i], fontsize=8)
    figure.legend(
        handles=_key(truth is not None), loc="outside lower center", ncols=4, handlelength=1.6
    )
    return figure


def overlays(
    poses: PoseSet,
    keypoints: ArrayLike,
    scores: ArrayLike,
    pictures: Sequence[int],
    **options: Any,
) -> Any:
    """`contact_sheet` of some pictures of a set with all that was found in them.

    Args:
        poses: of annotated boxes, whose joints are drawn beneath, or of detected ones.
        keypoints: N×K×2, px of the picture, as `topdown.predict` gives them.
        scores: N×K.
        pictures: indices into `poses.images`.
        options: of `contact_sheet`.

    Raises:
        UserError: a picture is missing or damaged.
    """
    keypoints, scores = np.asarray(keypoints), np.asarray(scores)
    people = [np.flatnonzero(poses.image_of == picture) for picture in pictures]
    annotated = bool(np.isfinite(poses.joints).all(-1).any())
    return contact_sheet(
        [poses.images.read(picture) for picture in pictures],
        [keypoints[some] for some in people],
        [scores[some] for some in people],
        poses.skeleton,
        truth=[poses.joints[some] for some in people] if annotated else None,
        visible=[poses.visible[some] for some in people] if annotated else None,
        **options,
    )


def _require_as_many(pictures: Sequence[Any], **given: Sequence[Any] | None) -> None:
    for name, values in given.items():
        if values is not None and len(values) != len(pictures):
            raise ValueError(f"{len(pictures)} pictures, but {len(values)} {name}")


def _segments(
    joints: NDArray[np.float64], drawn: NDArray[np.bool_], skeleton: Skeleton
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """P×L×2×2 ends of all limbs, and P×L whether both ends are drawn."""
    limbs = np.array(skeleton.limbs)
    return joints[:, limbs], np.asarray(drawn[:, limbs].all(-1))


def _annotated(
    axis: Any, joints: NDArray[np.float64], visible: ArrayLike | None, skeleton: Skeleton
) -> None:
    from matplotlib.collections import LineCollection

    known = np.asarray(np.isfinite(joints).all(-1))
    if joints.shape[1:] != (len(skeleton), 2):
        raise ValueError(f"annotated joints {joints.shape} are not T×{len(skeleton)}×2")
    if visible is not None:
        if np.shape(visible) != known.shape:
            raise ValueError(f"visibilities {np.shape(visible)} are not {known.shape}")
        known = known & (np.asarray(visible) > 0)
    ends, there = _segments(joints, known, skeleton)
    for colour, wide, order in ((RIM, 1.6, 2.0), (TRUTH, 0.8, 2.1)):
        lines = LineCollection(
            list(ends[there]), colors=colour, linewidths=wide, zorder=order, label="annotated"
        )
        axis.add_collection(lines)


def _found(
    axis: Any,
    joints: ArrayLike,
    scores: ArrayLike,
    skeleton: Skeleton,
    least: float,
    *,
    points: float,
) -> None:
    """Limbs and joints of a picture's people; `points` is the size of a pixel."""
    from matplotlib.collections import LineCollection
    from matplotlib.colors import to_rgba_array

    where, sure = np.asarray(joints, float), np.asarray(scores, float)
    if where.shape[1:] != (len(skeleton), 2) or sure.shape != where.shape[:2]:
        raise ValueError(
            f"joints {where.shape} and scores {sure.shape} are not P×{len(skeleton)}×2 and "
            f"P×{len(skeleton)}"
        )
    if not len(where):
        return
    # The surest person last, and so on top.
    order = np.argsort(np.nan_to_num(sure).mean(1), kind="stable")
    where, sure = where[order], sure[order]
    drawn = np.asarray(np.isfinite(where).all(-1) & (sure >= least))
    opacity = np.clip(np.nan_to_num(sure), FAINTEST, 1.0)
    ends, there = _segments(where, drawn, skeleton)
    limbs = np.array(skeleton.limbs)
    colours = np.broadcast_to(
        to_rgba_array([SIDES[s] for s in sides(skeleton)]), (len(where), len(limbs), 4)
    ).copy()
    colours[..., 3] = opacity[:, limbs].min(-1)
    wide = np.repeat(_widths(where, drawn, points)[:, None], len(limbs), 1)
    for rim in (True, False):
        shade = colours.copy()
        if rim:
            shade[..., :3] = to_rgba_array(RIM)[0, :3]
        lines = LineCollection(
            list(ends[there]),
            colors=shade[there],
            linewidths=wide[there] + (1.2 if rim else 0.0),
            capstyle="round",
            zorder=3 if rim else 3.1,
            label="rim" if rim else "found",
        )
        axis.add_collection(lines)
    faces = to_rgba_array([SIDES[side(joint)] for joint in skeleton.joints])
    faces = np.broadcast_to(faces, (*drawn.shape, 4)).copy()
    faces[..., 3] = opacity
    size = np.repeat((1.6 * _widths(where, drawn, points)[:, None]) ** 2, len(skeleton), 1)
    look = {"linewidths": 0.4, "edgecolors": RIM, "zorder": 3.2}
    axis.scatter(*where[drawn].T, s=size[drawn], c=faces[drawn], **look)


def _widths(
    joints: NDArray[np.float64], drawn: NDArray[np.bool_], points: float
) -> NDArray[np.float64]:
    """P line widths, points: a fortieth of a person's extent, between 0.8 and 2.6."""
    high = np.where(drawn[..., None], joints, -np.inf).max(1)
    low = np.where(drawn[..., None], joints, np.inf).min(1)
    extent = np.where(drawn.any(1), (high - low).max(-1), 0.0)
    return np.asarray(np.clip(extent * points / 40, 0.8, 2.6))


def _key(annotated: bool) -> list[Any]:
    from matplotlib.lines import Line2D
    from matplotlib.patheffects import Normal, Stroke

    rim = [Stroke(linewidth=4.2, foreground=RIM), Normal()]
    key = [
        Line2D([], [], color=colour, linewidth=2.6, label=name, path_effects=rim)
        for name, colour in SIDES.items()
    ]
    if annotated:
        thin = [Stroke(linewidth=1.8, foreground=RIM), Normal()]
        key.append(
            Line2D([], [], color=TRUTH, linewidth=0.9, label="annotated", path_effects=thin)
        )
    return key
