"""Skeletons that trained networks predict for the same people, one network above the other."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from replab import datasets
from replab.datasets.lspet import torso_lengths
from replab.datasets.pose_set import PoseSet
from replab.datasets.registry import is_generated
from replab.errors import MissingData
from replab.keypoints.oks import truth_oks
from replab.keypoints.skeletons import COCO, LSP, MPII, Skeleton
from replab.report import gathering, poses, skeletons, style
from replab.runs.record import Record

# Series of a record: x and y of a person's joints, by the person's number among those scored.
PREFIX = "person_"
# How much is shown around a person's box, and the height of a cut-out over its width.
MARGIN, TALL = 1.3, 4 / 3
# Where a photograph must not be shown, and beyond a picture's edge.
GROUND = 232
NOT_KEPT = "these runs kept no predicted joints"


def sheet(
    records: Iterable[Record],
    nets: Mapping[str, Mapping[str, Any]],
    *,
    title: str = "",
    width: float = 1.3,
) -> Any:
    """Predicted skeletons over the annotated ones: a row a network, a column a person.

    Each cut-out shows the person's box and 15 % more on each side. Above it stands how near the
    joints are: OKS where the skeleton has fall-offs (COCO's), else the mean distance in torsos
    (left shoulder to right hip). Generated people stand in their pictures; people of photographs
    on empty ground, since rendered notebooks are given away and the photographs are not ours.

    Args:
        records: with series `person_<i>`: x and y of K joints, px of the picture, i the person's
            number, from 0, among those scored of the set that `recipe["test_data"]` names.
        nets: label of a row → values that its variant must have, as `gathering.fits` takes them.
            Of each, the lowest seed that all have is shown; one without records is left out.
        title: of the figure.
        width: of a cut-out, inches.

    Raises:
        ValueError: the rows were scored on different sets.
        UserError: a picture is missing or damaged.
    """
    chosen = gathering.of_one_seed((r for r in records if r.series or r.metrics), nets)
    numbers = _common(list(chosen.values()))
    if not numbers:
        figure, axis = style.subplots(width=6.4, height=1.6)
        poses.nothing(axis, NOT_KEPT if chosen else "not run in this profile")
        axis.set_axis_off()
        return figure
    names = {str(record.recipe.get("test_data", "")) for record in chosen.values()}
    if len(names) > 1:
        raise ValueError(f"the rows were scored on different sets: {', '.join(sorted(names))}")
    (name,) = names
    found = {label: _joints(record, numbers) for label, record in chosen.items()}
    people = _scored(name)
    first = next(iter(found.values()))
    skeleton = people.skeleton if people is not None else _skeleton(first.shape[1])
    truth = visible = None
    if people is not None:
        truth, visible = people.joints[numbers], people.visible[numbers]
    windows = _windows(people, numbers, list(found.values()))
    cuts = [
        _cut(people if is_generated(name) else None, person, window)
        for person, window in zip(numbers, windows, strict=True)
    ]
    sure = np.ones((1, len(skeleton)))
    words = [
        _words(people, numbers, joints) if people is not None else [""] * len(numbers)
        for joints in found.values()
    ]
    rows = len(found)
    figure = skeletons.contact_sheet(
        cuts * rows,
        [_moved(person, w) for one in found.values() for person, w in _zip(one, windows)],
        [sure] * (len(cuts) * rows),
        skeleton,
        truth=None if truth is None else [_moved(p, w) for p, w in _zip(truth, windows)] * rows,
        visible=None if visible is None else [person[None] for person in visible] * rows,
        titles=[word for line in words for word in line],
        columns=len(cuts),
        width=width,
    )
    for label, axis in zip(found, figure.axes[:: len(cuts)], strict=False):
        place: dict[str, Any] = {"xycoords": "axes fraction", "rotation": 90}
        place |= {"ha": "right", "va": "center"}
        axis.annotate(f"{label}, seed {chosen[label].seed}", (-0.05, 0.5), fontsize=9, **place)
    if title:
        figure.suptitle(title, fontsize=11)
    return figure


def _zip(
    joints: NDArray[np.float64], windows: NDArray[np.int64]
) -> "zip[tuple[NDArray[np.float64], NDArray[np.int64]]]":
    return zip(joints, windows, strict=True)


def _common(records: Sequence[Record]) -> list[int]:
    """Numbers of the people that every record keeps, rising."""
    kept = [
        {int(name.removeprefix(PREFIX)) for name in record.series if name.startswith(PREFIX)}
        for record in records
    ]
    return sorted(set.intersection(*kept)) if kept else []


def _joints(record: Record, numbers: Sequence[int]) -> NDArray[np.float64]:
    """P×K×2, px of the pictures."""
    curves = [record.series[f"{PREFIX}{i}"] for i in numbers]
    return np.array([[curve["x"], curve["y"]] for curve in curves], float).transpose(0, 2, 1)


def test_set(name: str) -> PoseSet | None:
    """The people of a test set; None where it is not here as it was scored."""
    if name not in datasets.names("poses"):
        return None
    try:
        people = datasets.open_poses(name)
    except MissingData:
        return None
    return people if people.fingerprint == datasets.fingerprint(name) else None


def _scored(name: str) -> PoseSet | None:
    """Those of a test set who are scored: PCK leaves out who has no torso to measure by."""
    people = test_set(name)
    if people is None or people.truth is not None:
        return people
    return people.select(torso_lengths(people) > 0)


def _skeleton(joints: int) -> Skeleton:
    """The skeleton of so many joints, where the set itself cannot be asked."""
    return {len(known): known for known in (COCO, MPII, LSP)}[joints]


def _windows(
    people: PoseSet | None, numbers: Sequence[int], found: Sequence[NDArray[np.float64]]
) -> NDArray[np.int64]:
    """P×4: left, top, width and height of each person's cut-out, px of the picture."""
    if people is not None:
        boxes = people.boxes[numbers]
        low, extent = boxes[:, :2], boxes[:, 2:]
    else:
        spots = np.concatenate(found, axis=1)
        low, extent = spots.min(axis=1), np.ptp(spots, axis=1)
    centre = low + extent / 2
    wide = np.maximum(MARGIN * np.maximum(extent[:, 0], extent[:, 1] / TALL), 1)
    size = np.stack([wide, wide * TALL], axis=1)
    corner = np.floor(centre - size / 2)
    return np.concatenate([corner, np.ceil(size)], axis=1).astype(np.int64)


def _cut(people: PoseSet | None, person: int, window: NDArray[np.int64]) -> NDArray[np.uint8]:
    """A person's cut-out, RGB; all ground if there is no picture to show."""
    left, top, wide, high = window.tolist()
    cut = np.full((high, wide, 3), GROUND, np.uint8)
    if people is None:
        return cut
    picture = people.images.read(int(people.image_of[person]))
    x0, y0 = max(left, 0), max(top, 0)
    x1, y1 = min(left + wide, picture.shape[1]), min(top + high, picture.shape[0])
    if x1 > x0 and y1 > y0:
        cut[y0 - top : y1 - top, x0 - left : x1 - left] = picture[y0:y1, x0:x1]
    return cut


def _moved(joints: NDArray[np.float64], window: NDArray[np.int64]) -> NDArray[np.float64]:
    """1×K×2, px of the cut-out."""
    return (joints - window[:2])[None]


def _words(people: PoseSet, numbers: Sequence[int], joints: NDArray[np.float64]) -> list[str]:
    """How near each person's joints are to the annotated ones."""
    truth, visible = people.joints[numbers], people.visible[numbers] > 0
    if people.skeleton.sigmas:
        oks = truth_oks(
            joints[:, None],
            np.where(visible[..., None], truth, 0)[:, None],
            visible[:, None],
            people.boxes[numbers][:, None],
            people.areas[numbers][:, None],
            people.skeleton.sigmas,
        )[:, 0, 0]
        return [f"OKS {value:.2f}" for value in oks]
    away = np.linalg.norm(joints - truth, axis=-1)
    mean = np.where(visible, away, 0).sum(axis=1) / visible.sum(axis=1)
    shares = mean / torso_lengths(people)[list(numbers)]
    return [f"off by {share:.2f} torsos" for share in shares]
