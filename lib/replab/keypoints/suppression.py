"""Scores of poses found in boxes, and suppression of poses found twice, all pictures at once.

Source: leoxiaobin/deep-high-resolution-net.pytorch@6f69e46, lib/dataset/coco.py and
lib/nms/nms.py.
"""

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from replab.keypoints.oks import EPSILON, falloff, pose_oks

VISIBLE = 0.2
OVERLAP = 0.9
# The authors' soft suppression keeps no more poses of a picture than the evaluator looks at.
SOFT_LIMIT = 20
# Pairs of poses compared at once: their intermediate arrays should stay in the cache.
PAIRS = 1 << 14
# By how much a bound in single precision may err: far more than it does, down to crops of so few
# px² that their pairs are compared without it.
SLACK, TINY = 0.05, 16.0


def rescore(
    box_scores: NDArray[Any], joint_scores: NDArray[Any], *, threshold: float = VISIBLE
) -> NDArray[np.float64]:
    """Scores of poses, N: the box's times the mean of the joints' scores above the threshold.

    0 where no joint passes. The sum is taken joint by joint in the dtype given, as released.

    Args:
        box_scores: N, the detector's.
        joint_scores: N×K, heights of the heatmaps' peaks.
        threshold: above which a joint counts.
    """
    passed = joint_scores > threshold
    counts = passed.sum(axis=1)
    total = np.cumsum(np.where(passed, joint_scores, 0), axis=1, dtype=joint_scores.dtype)[:, -1]
    mean = total / np.maximum(counts, 1).astype(joint_scores.dtype)
    return mean * np.asarray(box_scores, dtype=np.float64)


def oks_nms(
    images: NDArray[Any],
    joints: NDArray[Any],
    areas: NDArray[Any],
    scores: NDArray[Any],
    sigmas: Sequence[float],
    *,
    threshold: float = OVERLAP,
) -> NDArray[np.int64]:
    """Indices of the poses that stay: each is dropped if one that stays is better and too alike.

    Args:
        images: N, which picture each pose lies in; any integers.
        joints: N×K×2, px.
        areas: N, px², of `crop_areas`.
        scores: N; of equal ones the later pose counts as the better, as released.
        sigmas: K.
        threshold: OKS of 0–1 above which a pose is dropped.

    Returns:
        M indices: pictures in the order of their first pose, best poses first.
    """
    order, sizes = _ranked(images, scores)
    starts = _starts(sizes)
    dropped = np.zeros(len(order), dtype=bool)
    better, worse = _alike(joints[order], areas[order], starts, sizes, sigmas, threshold)
    rank = better - np.repeat(starts, sizes)[better]
    # From the best poses to the worst: whether one stays is known when its turn comes.
    turn = np.argsort(rank, kind="stable")
    better, worse = better[turn], worse[turn]
    edges = np.searchsorted(rank[turn], np.arange(sizes.max(initial=0) + 1))
    for begin, end in itertools.pairwise(edges):
        stays = ~dropped[better[begin:end]]
        dropped[worse[begin:end][stays]] = True
    return order[~dropped]


def soft_oks_nms(
    images: NDArray[Any],
    joints: NDArray[Any],
    areas: NDArray[Any],
    scores: NDArray[Any],
    sigmas: Sequence[float],
    *,
    threshold: float = OVERLAP,
    limit: int = SOFT_LIMIT,
) -> NDArray[np.int64]:
    """Indices of the `limit` best poses of each picture where likeness to better ones costs score.

    A pose chosen multiplies the scores of those left by exp(−OKS² / threshold), which then are
    ordered anew; equal ones change places each time, as released. The scores given stay the poses'
    own: the decayed ones only set the order.

    Args:
        images: N, which picture each pose lies in; any integers.
        joints: N×K×2, px.
        areas: N, px², of `crop_areas`.
        scores: N; of equal ones the later pose counts as the better at first, as released.
        sigmas: K.
        threshold: divides the squared OKS.
        limit: how many poses of a picture stay at most.

    Returns:
        M indices: pictures in the order of their first pose, poses in the order chosen.
    """
    order, sizes = _ranked(images, scores)
    if not len(order):
        return order
    starts, most = _starts(sizes), int(sizes.max())
    # A row per picture, its poses in the order of their scores, the best in front; −1 is none.
    column = np.arange(most)
    left = np.where(column < sizes[:, None], starts[:, None] + column, -1)
    decayed = np.where(left >= 0, np.asarray(scores, dtype=np.float64)[order][left], -np.inf)
    joints, areas = joints[order], areas[order]
    chosen = np.full((len(sizes), min(limit, most)), -1, dtype=np.int64)
    for turn in range(chosen.shape[1]):
        chosen[:, turn], best = left[:, 0], left[:, 0]
        left, decayed = left[:, 1:], decayed[:, 1:]
        row, place = np.nonzero(left >= 0)
        for part in _parts(len(row)):
            one, other = best[row[part]], left[row[part], place[part]]
            alike = pose_oks(joints[one], joints[other], areas[one], areas[other], sigmas)
            decayed[row[part], place[part]] *= np.exp(-(alike**2) / threshold)
        # Rising and stable, then reversed: empty places end up last, equal scores reversed.
        again = np.argsort(decayed, axis=1, kind="stable")[:, ::-1]
        left = np.take_along_axis(left, again, axis=1)
        decayed = np.take_along_axis(decayed, again, axis=1)
    return order[chosen[chosen >= 0]]


def _ranked(
    images: NDArray[Any], scores: NDArray[Any]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Poses by picture, in the order of first poses, and score; how many each picture has."""
    _, first, inverse, counts = np.unique(
        images, return_index=True, return_inverse=True, return_counts=True
    )
    by_first = np.argsort(first)
    place = np.empty_like(by_first)
    place[by_first] = np.arange(len(by_first))
    group = place[inverse]
    order = np.lexsort((-np.arange(len(group)), -np.asarray(scores), group))
    return order, counts[by_first]


def _starts(sizes: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.cumsum(sizes) - sizes


def _parts(count: int) -> Iterator[slice]:
    return (slice(begin, begin + PAIRS) for begin in range(0, count, PAIRS))


def _alike(
    joints: NDArray[Any],
    areas: NDArray[Any],
    starts: NDArray[np.int64],
    sizes: NDArray[np.int64],
    sigmas: Sequence[float],
    threshold: float,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """All pairs of one picture whose OKS is above the threshold, the better of each first."""
    bound = _Bound(joints, areas, sigmas, threshold)
    found: list[tuple[NDArray[np.int64], NDArray[np.int64]]] = []
    for size in np.unique(sizes):
        # Pictures with equally many poses have the same pairs.
        one, other = np.triu_indices(size, 1)
        begins = starts[sizes == size]
        step = max(1, PAIRS // max(1, len(one)))
        for i in range(0, len(begins), step):
            begin = begins[i : i + step, None]
            better, worse = (begin + one).ravel(), (begin + other).ravel()
            for part in _parts(len(better)):
                a, b = better[part], worse[part]
                maybe = bound(a, b)
                a, b = a[maybe], b[maybe]
                above = pose_oks(joints[a], joints[b], areas[a], areas[b], sigmas) > threshold
                found.append((a[above], b[above]))
    none = np.zeros(0, dtype=np.int64)
    better, worse = zip(*found, strict=True) if found else ((none,), (none,))
    return np.concatenate(better), np.concatenate(worse)


class _Bound:
    """Whether the OKS of a pair can be above the threshold, from a few joints alone.

    A joint adds at most 1 to the sum over K. If a few joints lose more than K · (1 − threshold)
    together, the others cannot make up for it. Nearly all pairs are of different people and fail
    here, for a fraction of the work.
    """

    def __init__(
        self, joints: NDArray[Any], areas: NDArray[Any], sigmas: Sequence[float], threshold: float
    ) -> None:
        count = len(sigmas)
        self.allowed = count * (1 - threshold) + SLACK
        # Twice as many joints as must fail; those with a small σ tell the most.
        few = min(count, int(np.ceil(2 * self.allowed)))
        chosen = np.argsort(np.asarray(sigmas), kind="stable")[:few]
        wide = falloff(sigmas)[chosen].astype(np.float32)
        # A plane per coordinate and joint, so that each operation runs along the pairs.
        places = np.ascontiguousarray(joints[:, chosen].transpose(1, 2, 0), dtype=np.float32)
        self.places = places / np.sqrt(wide)[:, None, None]
        self.areas = np.asarray(areas, dtype=np.float32)
        self.few = few

    def __call__(self, one: NDArray[np.int64], other: NDArray[np.int64]) -> NDArray[np.bool_]:
        """For pairs of indices, one boolean each."""
        # exp(−d² / (2 · mean area)) with the mean of two areas.
        divisor = -1 / (self.areas[one] + self.areas[other] + np.float32(EPSILON))
        lost = np.zeros(len(one), dtype=np.float32)
        for x, y in self.places:
            squared = (x[one] - x[other]) ** 2 + (y[one] - y[other]) ** 2
            lost += 1 - np.exp(squared * divisor)
        return (lost <= self.allowed) | (divisor < -1 / (2 * TINY))
