"""Figure of what each stage of a pose machine believes of one joint: maps over the crops.

Records hold them as of `topdown.beliefs.belief_series`.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from replab.datasets.registry import is_generated
from replab.keypoints.skeletons import Skeleton
from replab.report import gathering, poses, shown_people, skeletons, style
from replab.runs.record import Record

SERIES = re.compile(r"belief_(?P<person>\d+)_(?P<joint>\d+)_stage(?P<stage>\d+)")
# Where a photograph must not be shown.
GROUND = 0.82
# What is believed less shows faintly: a target's highest value is 1.
LEAST = 0.1
NOT_KEPT = "these runs kept no belief maps"
Key = tuple[int, int, int]
Limbs = list[tuple[str, NDArray[np.float64]]]


def sheet(
    records: Iterable[Record],
    nets: Mapping[str, Mapping[str, Any]],
    *,
    title: str = "",
    width: float = 1.15,
) -> Any:
    """Belief maps of one joint: a row a person, a column a stage of each net.

    The first column is the crop; a ring marks the joint's annotated place, a cross the highest
    belief, whose value stands below. Each map has its own scale, from nothing to its highest, so
    that its shape can be seen, unless it believes nearly nothing. Generated people stand in their
    crops. Photographs are not ours to give away: in their place stand the annotated limbs, in the
    colours of their sides, where the set is on this machine.

    Args:
        records: with the maps of the same people and joint.
        nets: label → values that its variant must have, as `gathering.fits` takes them; those
            without records are left out. Of each, the lowest seed that all have is shown.
        title: of the figure.
        width: of a crop, inches.

    Raises:
        UserError: a picture is missing or damaged.
    """
    kept = (r for r in records if any(SERIES.fullmatch(name) for name in r.series))
    chosen = gathering.of_one_seed(kept, nets)
    maps = {label: _maps(record) for label, record in chosen.items()}
    people = (
        sorted(set.intersection(*({key[0] for key in m} for m in maps.values()))) if maps else []
    )
    if not people:
        figure, axis = style.subplots(width=6.4, height=1.6)
        poses.nothing(axis, NOT_KEPT)
        axis.set_axis_off()
        return figure
    first = next(iter(chosen.values()))
    joint = next(key[1] for key in next(iter(maps.values())))
    stages = {label: sorted({key[2] for key in found}) for label, found in maps.items()}
    size: tuple[int, int] = tuple(first.recipe["input"])  # type: ignore[assignment]
    shape = first.series["belief_map"]
    grid = int(shape["x"][0]), int(shape["y"][0])
    crops, truth, limbs = _crops(first, people, joint, size)
    columns = 1 + sum(len(found) for found in stages.values())
    tall = width * size[1] / size[0]
    figure, axes = style.subplots(
        len(people), columns, width=0.2 + width * columns, height=0.7 + (tall + 0.03) * len(people)
    )
    axes = np.asarray(axes, dtype=object).reshape(len(people), columns)
    for line, person, crop, place, ends in zip(axes, people, crops, truth, limbs, strict=True):
        _crop(line[0], crop, place, ends)
        cells = iter(line[1:])
        for label, found in stages.items():
            for stage in found:
                _belief(next(cells), crop, place, maps[label][person, joint, stage], grid)
    first_column = "annotated" if any(limbs) else "crop"
    axes[0, 0].set_title(first_column, fontsize=8.5)
    column = 1
    for label, found in stages.items():
        for stage in found:
            above = f"{label}\n" if stage == found[0] else "\n"
            axes[0, column].set_title(f"{above}stage {stage}", fontsize=8.5, loc="left")
            column += 1
    if title:
        figure.suptitle(title, fontsize=11)
    return figure


def _maps(record: Record) -> dict[Key, Mapping[str, Sequence[float]]]:
    """(person, joint, stage) → px of the map and what is believed there."""
    found = ((SERIES.fullmatch(name), curve) for name, curve in record.series.items())
    return {
        (int(match["person"]), int(match["joint"]), int(match["stage"])): curve
        for match, curve in found
        if match
    }


def _crops(
    record: Record, people: Sequence[int], joint: int, size: tuple[int, int]
) -> tuple[list[NDArray[np.float64]], list[NDArray[np.float64] | None], list[Limbs]]:
    """Crops H×W in shades of grey, 0–1, the joint's places in them, and limbs to draw there.

    Places are None if unknown; there are limbs where the crop is not to be shown.
    """
    import torch

    from replab.keypoints.affine import transform
    from replab.keypoints.codecs import codec
    from replab.topdown.beliefs import crops_of

    name = str(record.recipe["test_data"])
    ground = [np.full((size[1], size[0]), GROUND) for _ in people]
    found = shown_people.test_set(name)
    if found is None:
        return ground, [None] * len(people), [[] for _ in people]
    own = codec(str(record.recipe.get("codec", "released")), sigma=float(record.recipe["sigma"]))
    crops, matrices = crops_of(found, people, size, own)
    places = transform(torch.from_numpy(found.joints[list(people)]), matrices).numpy()
    truth = list(places[:, joint])
    if is_generated(name):
        shades = [crop.double().mean(-1).numpy() / 255 for crop in crops]
        return shades, truth, [[] for _ in people]
    seen = found.visible[list(people)] > 0
    return ground, truth, [_limbs(*one, found.skeleton) for one in zip(places, seen, strict=True)]


def _limbs(joints: NDArray[np.float64], seen: NDArray[np.bool_], skeleton: Skeleton) -> Limbs:
    """Of each limb whose joints are both annotated, its side's colour and its ends, 2×2 px."""
    return [
        (skeletons.SIDES[side], joints[list(limb)])
        for limb, side in zip(skeleton.limbs, skeletons.sides(skeleton), strict=True)
        if seen[list(limb)].all()
    ]


def _crop(
    axis: Any, crop: NDArray[np.float64], place: NDArray[np.float64] | None, limbs: Limbs
) -> None:
    from matplotlib.collections import LineCollection

    axis.imshow(crop, cmap="gray", vmin=0, vmax=1)
    axis.set_axis_off()
    colours, ends = zip(*limbs, strict=True) if limbs else ((), ())
    axis.add_collection(LineCollection(list(ends), colors=list(colours), linewidths=2.0))
    _ring(axis, place)


def _belief(
    axis: Any,
    crop: NDArray[np.float64],
    place: NDArray[np.float64] | None,
    curve: Mapping[str, Sequence[float]],
    grid: tuple[int, int],
) -> None:
    axis.imshow(0.25 + 0.5 * crop, cmap="gray", vmin=0, vmax=1)
    axis.set_axis_off()
    _ring(axis, place)
    (tall, broad), (wide, high) = crop.shape, grid
    stride = broad / wide
    flat = np.zeros(wide * high)
    flat[np.asarray(curve["x"], int)] = np.maximum(curve["y"], 0)
    belief = flat.reshape(high, wide)
    top = belief.max()
    # A px of the map stands for the place of its index times the stride.
    edge = stride / 2
    extent = (-edge, broad - edge, tall - edge, -edge)
    shown = belief / max(top, LEAST)
    look: dict[str, Any] = {"cmap": "inferno", "vmin": 0, "vmax": 1, "extent": extent}
    axis.imshow(shown, alpha=0.85 * shown**0.6, **look)
    row, column = np.unravel_index(int(belief.argmax()), belief.shape)
    axis.plot(column * stride, row * stride, "x", color=style.SKY, markersize=5, mew=1.4)
    axis.set_xlim(-0.5, broad - 0.5)
    axis.set_ylim(tall - 0.5, -0.5)
    axis.annotate(
        f"{top:.2f}", (0.97, 0.03), xycoords="axes fraction", ha="right", fontsize=7, color="white"
    )


def _ring(axis: Any, place: NDArray[np.float64] | None) -> None:
    if place is not None:
        look = {"markerfacecolor": "none", "markersize": 8, "markeredgewidth": 1.4}
        axis.plot(*place, "o", color=style.GREEN, **look)
