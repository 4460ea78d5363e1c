"""What goes wrong with which joint: near misses, sides and people confused, joints not found.

For poses whose person is known, as of a top-down network in annotated boxes. Source: Ronchi and
Perona 2017, §3 (kinds of error and their limits on similarity, .5 and .85).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from replab.keypoints.oks import similarity_terms
from replab.keypoints.skeletons import Skeleton

# From the best to the worst. Similarity is a joint's term of OKS.
KINDS = ("good", "jitter", "inversion", "swap", "miss")
NEAR, GOOD = 0.5, 0.85


@dataclass(frozen=True)
class JointErrors:
    """Errors by joint, K; NaN for joints that no one has annotated.

    Attributes:
        joints: names.
        annotated: K, how many people have the joint annotated.
        similarity: K, mean term of OKS, 0–1.
        distance: K, median in px.
        relative: K, median distance in units of √area · σ.
        counts: K×5, how many of the annotated joints are of each of `KINDS`.
    """

    joints: tuple[str, ...]
    annotated: NDArray[np.int64]
    similarity: NDArray[np.float64]
    distance: NDArray[np.float64]
    relative: NDArray[np.float64]
    counts: NDArray[np.int64]

    def percent(self) -> NDArray[np.float64]:
        """Share of each of `KINDS` among a joint's annotated ones, K×5, percent."""
        return 100 * _over(self.counts, self.annotated[:, None])

    def overall(self) -> NDArray[np.float64]:
        """Share of each of `KINDS` among all annotated joints, 5, percent; NaN without any."""
        return 100 * _over(self.counts.sum(axis=0), self.annotated.sum())


def joint_errors(
    found: NDArray[np.float64],
    wanted: NDArray[np.float64],
    visible: NDArray[np.uint8],
    areas: NDArray[np.float64],
    image_of: NDArray[np.int64],
    skeleton: Skeleton,
    *,
    sigmas: Sequence[float] | None = None,
) -> JointErrors:
    """Errors of N poses, each against the person it is of.

    A joint is good if its similarity to the true place is at least .85 and jitter from .5 on.
    Below, what it resembles most, at .5 or more, names the error: the same person's joint of the
    other side (inversion), or a joint of the same kind or of its other side of another person in
    the picture (swap); a miss resembles none. Similarity is measured with the area of the person
    and the σ of the joint that it is measured to. Only annotated joints can be resembled.

    Args:
        found: N×K×2, px.
        wanted: N×K×2, px; of joints not annotated anything, NaN too.
        visible: N×K, above 0 where annotated.
        areas: N, of the segments in px².
        image_of: N, which picture each person is in; any integers.
        skeleton: names and sides of the K joints.
        sigmas: K, instead of the skeleton's.

    Raises:
        ValueError: neither skeleton nor caller gives sigmas for all joints.
    """
    fall = np.asarray(skeleton.sigmas if sigmas is None else sigmas, dtype=np.float64)
    if len(fall) != len(skeleton):
        raise ValueError(f"{len(fall)} sigmas for the {len(skeleton)} joints of {skeleton.name}")
    there = visible > 0
    # Places of joints not annotated must not reach the sums; the masks below leave them out.
    places = np.where(there[..., None], wanted, 0.0)
    mirror = np.array(skeleton.mirror)
    paired = mirror != np.arange(len(mirror))

    own = similarity_terms(found, places, areas, tuple(fall))
    turned = _resembled(found, places[:, mirror], areas, fall[mirror], there[:, mirror] & paired)
    one, other = _neighbours(image_of)
    elsewhere = np.zeros_like(own)
    for order in (np.arange(len(mirror)), mirror):
        alike = _resembled(
            found[one], places[other][:, order], areas[other], fall[order], there[other][:, order]
        )
        np.maximum.at(elsewhere, one, alike)

    kind = np.full(own.shape, KINDS.index("miss"))
    kind[elsewhere >= NEAR] = KINDS.index("swap")
    kind[(turned >= NEAR) & (turned >= elsewhere)] = KINDS.index("inversion")
    kind[own >= NEAR] = KINDS.index("jitter")
    kind[own >= GOOD] = KINDS.index("good")

    away = np.linalg.norm(found - places, axis=-1)
    counts = (kind[..., None] == np.arange(len(KINDS))) & there[..., None]
    annotated = there.sum(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        relative = away / (np.sqrt(areas)[:, None] * fall)
    return JointErrors(
        skeleton.joints,
        annotated,
        _over(np.where(there, own, 0).sum(axis=0), annotated),
        _median(away, there),
        _median(relative, there),
        counts.sum(axis=0),
    )


def _resembled(
    found: NDArray[np.float64],
    places: NDArray[np.float64],
    areas: NDArray[np.float64],
    sigmas: NDArray[np.float64],
    possible: NDArray[np.bool_],
) -> NDArray[np.float64]:
    return np.where(possible, similarity_terms(found, places, areas, tuple(sigmas)), 0.0)


def _neighbours(image_of: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """All ordered pairs of different people in one picture."""
    order = np.argsort(image_of, kind="stable")
    _, first, sizes = np.unique(image_of[order], return_index=True, return_counts=True)
    size = np.repeat(sizes, sizes)
    one = np.repeat(np.arange(len(order)), size)
    within = np.arange(len(one)) - np.repeat(np.cumsum(size) - size, size)
    other = np.repeat(np.repeat(first, sizes), size) + within
    differ = one != other
    return order[one[differ]], order[other[differ]]


def _median(values: NDArray[np.float64], there: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Median of each column over the rows that are there; NaN where none is."""
    count = there.sum(axis=0)
    if not len(values):
        return np.full(values.shape[1], np.nan)
    rising = np.sort(np.where(there, values, np.inf), axis=0)
    middle = np.stack(((count - 1) // 2, count // 2)).clip(0, len(values) - 1)
    return np.where(count > 0, np.take_along_axis(rising, middle, axis=0).mean(axis=0), np.nan)


def _over(sums: NDArray[np.generic], counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Quotient; NaN where nothing was counted."""
    wide = np.asarray(sums, dtype=np.float64)
    return np.where(counts > 0, wide / np.maximum(counts, 1), np.nan)
