"""Percentage of correct keypoints: PCK by the torso (LSP, FLIC), PCKh by the head (MPII).

A joint is found if it lies no farther from the truth than a threshold times a length of its
person. What is counted, and by which length, is the convention of each data set; a number means
nothing without it.

Source: shihenw/convolutional-pose-machines-release@a345bc5, run_benchmark.m, and bearpaw/
eval_pose@f6c71b6 (LSP, FLIC); leoxiaobin/deep-high-resolution-net.pytorch@6f69e46,
lib/dataset/mpii.py, and bearpaw/pytorch-pose@edc7aec (MPII).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import ArrayLike, NDArray

from replab.keypoints.skeletons import FLIC, LSP, MPII, Skeleton

# Head size of PCKh: this share of the diagonal of the annotated head box.
HEAD_BIAS = 0.6
RESAMPLES = 2000
# People times resamples whose weights are in memory at once: 64 MB.
CHUNK = 8_000_000


@dataclass(frozen=True)
class Pck:
    """Shares of joints found, all of them in percent.

    Attributes:
        thresholds: T, shares of the reference length.
        hits: T×K, how many joints were found.
        counts: K, how many were looked for.
        people: how many people there are.
        without_reference: how many of them have no reference length above 0; their joints count
            as missed at every threshold, and are among the `counts`.
        without_prediction: how many joints that count have no finite prediction; missed as well.
    """

    thresholds: NDArray[np.float64]
    hits: NDArray[np.int64]
    counts: NDArray[np.int64]
    people: int
    without_reference: int
    without_prediction: int

    @property
    def joints(self) -> NDArray[np.float64]:
        """T×K, percent of each joint: its curve over the thresholds; NaN if it never counts."""
        return _percent(self.hits, self.counts)

    def pooled(self, joints: Sequence[int] | None = None) -> NDArray[np.float64]:
        """T, percent of all counted joints: a mean weighted by how often each joint counts.

        Args:
            joints: indices; all if None.
        """
        chosen = _chosen(joints)
        return _percent(self.hits[:, chosen].sum(axis=1), self.counts[chosen].sum())

    def mean(self, joints: Sequence[int] | None = None) -> NDArray[np.float64]:
        """T, plain mean of the joints' percents; joints of which none count are left out.

        Args:
            joints: indices; all if None.
        """
        return _plain_mean(self.joints[:, _chosen(joints)])

    def notes(self) -> tuple[str, ...]:
        """Sentences about people and joints that count as missed for want of numbers."""
        notes = []
        if self.without_reference:
            notes.append(
                f"{self.without_reference} of {self.people} people have no reference length; "
                "their joints count as missed"
            )
        if self.without_prediction:
            notes.append(
                f"{self.without_prediction} of {self.counts.sum()} joints have no finite "
                "prediction and count as missed"
            )
        return tuple(notes)


@dataclass(frozen=True)
class Distances:
    """How far predictions are from the truth, in reference lengths of each person.

    Attributes:
        values: N×K; infinite for people without a reference length and joints without a finite
            prediction, so that no threshold finds them.
        counted: N×K, which joints are looked for.
        without_reference: as in `Pck`.
        without_prediction: as in `Pck`.
    """

    values: NDArray[np.float64]
    counted: NDArray[np.bool_]
    without_reference: int
    without_prediction: int

    def found(self, threshold: float) -> NDArray[np.bool_]:
        """N×K, which counted joints lie within a threshold; exactly on it counts as found."""
        return (self.values <= threshold) & self.counted

    def pck(self, thresholds: Sequence[float]) -> Pck:
        """Joints found at each threshold.

        Args:
            thresholds: T, shares of the reference length, at least 0 and finite.

        Raises:
            ValueError: there is no threshold, or one is negative or not finite.
        """
        limits = _thresholds(thresholds)
        hits = [self.found(limit).sum(axis=0) for limit in limits.tolist()]
        return Pck(
            thresholds=limits,
            hits=np.stack(hits),
            counts=self.counted.sum(axis=0),
            people=len(self.values),
            without_reference=self.without_reference,
            without_prediction=self.without_prediction,
        )


def distances(
    predicted: ArrayLike,
    truth: ArrayLike,
    reference: ArrayLike,
    counted: ArrayLike | None = None,
) -> Distances:
    """Distances of predicted joints from the true ones, in units of each person's length.

    Args:
        predicted: N×K×2, px, of the same origin as the truth; NaN where there is no prediction.
        truth: N×K×2, px.
        reference: N, px; 0, negative or not finite where there is no such length.
        counted: N×K, which joints are looked for; all if None.

    Raises:
        ValueError: the shapes do not fit, nobody is there, or the truth of a counted joint is not
            finite.
    """
    # Unsigned integers, as predictions are published, would wrap around when subtracted.
    guess, true = np.asarray(predicted, np.float64), np.asarray(truth, np.float64)
    length = np.asarray(reference, np.float64)
    if true.ndim != 3 or true.shape[2] != 2 or not true.size:
        raise ValueError(f"the truth has shape {true.shape}, expected people × joints × 2")
    looked = (
        np.ones(true.shape[:2], np.bool_) if counted is None else np.asarray(counted, np.bool_)
    )
    if (
        guess.shape != true.shape
        or length.shape != true.shape[:1]
        or looked.shape != true.shape[:2]
    ):
        raise ValueError(
            f"predictions {guess.shape}, truth {true.shape}, lengths {length.shape} and counted "
            f"joints {looked.shape} do not fit"
        )
    if not np.isfinite(true[looked]).all():
        raise ValueError("the truth of a joint that counts is not finite")
    measured = np.isfinite(length) & (length > 0)
    given = np.isfinite(guess).all(axis=2)
    usable = given & measured[:, None]
    apart = np.where(usable[..., None], guess, 0) - np.where(usable[..., None], true, 0)
    with np.errstate(over="ignore", invalid="ignore"):
        values = np.linalg.norm(apart, axis=2) / np.where(measured, length, 1)[:, None]
    # A prediction so far off that its square overflows is missed, too.
    values[~usable | np.isnan(values)] = np.inf
    return Distances(values, looked, int((~measured).sum()), int((~given & looked).sum()))


def pck(
    predicted: ArrayLike,
    truth: ArrayLike,
    reference: ArrayLike,
    counted: ArrayLike | None = None,
    *,
    thresholds: Sequence[float],
) -> Pck:
    """Percentage of correct keypoints: `distances(…).pck(thresholds)`, see there.

    Raises:
        ValueError: as both.
    """
    return distances(predicted, truth, reference, counted).pck(thresholds)


def bootstrap(
    measured: Distances,
    thresholds: Sequence[float],
    *,
    joints: Sequence[int] | None = None,
    weighted: bool = True,
    resamples: int = RESAMPLES,
    confidence: float = 0.95,
    seed: int = 0,
) -> NDArray[np.float64]:
    """Percentile intervals of a mean, T×2 in percent, from people drawn with replacement.

    People are drawn whole, since the joints of one are found or missed together; the same draws
    serve all thresholds.

    Args:
        measured: of N people.
        thresholds: T.
        joints: indices of those in the mean; all if None.
        weighted: `Pck.pooled`, else `Pck.mean`.
        resamples: how often N people are drawn.
        confidence: share of the resamples within the interval, above 0 and below 1.
        seed: of the draws.

    Raises:
        ValueError: a number is out of its range, or no resample has a joint that counts.
    """
    if resamples < 1 or not 0 < confidence < 1:
        raise ValueError("resamples must be at least 1, the confidence between 0 and 1")
    limits, chosen = _thresholds(thresholds), _chosen(joints)
    people, counted = len(measured.values), measured.counted[:, chosen]
    columns = [counted, *(measured.found(limit)[:, chosen] for limit in limits.tolist())]
    # N × (1 + T) × K as one matrix: one product sums every count of every resample.
    table = np.stack(columns, axis=1).astype(np.float64)
    if weighted:
        table = table.sum(axis=2, keepdims=True)
    shape, table = table.shape[1:], table.reshape(people, -1)
    draws = np.random.default_rng(seed)
    step = max(1, CHUNK // people)
    means = []
    for start in range(0, resamples, step):
        rows = min(step, resamples - start)
        drawn = draws.integers(0, people, (rows, people), dtype=np.int32)
        weights = np.stack([np.bincount(row, minlength=people) for row in drawn])
        sums = (weights.astype(np.float64) @ table).reshape(rows, *shape)
        means.append(_plain_mean(_percent(sums[:, 1:], sums[:, :1])))
    values = np.concatenate(means)
    values = values[~np.isnan(values).any(axis=1)]
    if not len(values):
        raise ValueError("no resample has a joint that counts")
    tail = (1 - confidence) / 2
    return np.quantile(values, (tail, 1 - tail), axis=0).T


def torso_length(joints: NDArray[np.float64], skeleton: Skeleton) -> NDArray[np.float64]:
    """Length of the torso, N in px: left shoulder to right hip, as for LSP and FLIC.

    CPM's paper takes the *true* torso on FLIC; its released script takes the predicted one and is
    0.05 points off the paper's numbers.

    Args:
        joints: N×K×2, px.
        skeleton: of these joints.
    """
    shoulder, hip = skeleton.index("left_shoulder"), skeleton.index("right_hip")
    return np.linalg.norm(joints[:, shoulder] - joints[:, hip], axis=1)


def head_size(headboxes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Head size of PCKh, N in px: 0.6 times the diagonal of the head box.

    Args:
        headboxes: N×2×2, two opposite corners, each x and y in px.
    """
    return HEAD_BIAS * np.linalg.norm(headboxes[:, 1] - headboxes[:, 0], axis=1)


def row_values(measured: Pck, rows: Mapping[str, tuple[int, ...]]) -> dict[str, list[float]]:
    """The rows of a published table: T percents each, plain means of the row's joints."""
    return {name: measured.mean(joints).tolist() for name, joints in rows.items()}


def _both(skeleton: Skeleton, *parts: str) -> dict[str, tuple[int, ...]]:
    return {
        part: (skeleton.index(f"left_{part}"), skeleton.index(f"right_{part}")) for part in parts
    }


_LIMBS = ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")
# Rows of the published tables. LSP's head is the mean of neck and head top, MPII's the head top.
LSP_ROWS: Mapping[str, tuple[int, ...]] = MappingProxyType(
    {"head": (LSP.index("neck"), LSP.index("head_top")), **_both(LSP, *_LIMBS)}
)
FLIC_ROWS: Mapping[str, tuple[int, ...]] = MappingProxyType(_both(FLIC, "elbow", "wrist"))
MPII_ROWS: Mapping[str, tuple[int, ...]] = MappingProxyType(
    {"head": (MPII.index("head_top"),), **_both(MPII, *_LIMBS)}
)
# The joints of each total: all 14 of LSP; elbows and wrists of FLIC; MPII's without two.
LSP_TOTAL = tuple(range(len(LSP)))
FLIC_TOTAL = (*FLIC_ROWS["elbow"], *FLIC_ROWS["wrist"])
MPII_TOTAL = tuple(k for k, name in enumerate(MPII.joints) if name not in ("pelvis", "thorax"))


def _thresholds(thresholds: Sequence[float]) -> NDArray[np.float64]:
    limits = np.asarray(thresholds, np.float64)
    if limits.ndim != 1 or not len(limits) or not (np.isfinite(limits) & (limits >= 0)).all():
        raise ValueError("thresholds are a list of finite numbers, 0 or above")
    return limits


def _chosen(joints: Sequence[int] | None) -> slice | list[int]:
    return slice(None) if joints is None else list(joints)


def _percent(hits: NDArray[np.generic], counts: ArrayLike) -> NDArray[np.float64]:
    """100 hits / counts, NaN where nothing counts."""
    found = 100.0 * np.asarray(hits, np.float64)
    looked = np.broadcast_to(np.asarray(counts, np.float64), found.shape)
    return np.divide(found, looked, out=np.full(found.shape, np.nan), where=looked > 0)


def _plain_mean(percents: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean over the last axis of what is there, NaN where nothing is."""
    there = ~np.isnan(percents)
    total = np.where(there, percents, 0).sum(axis=-1)
    count = there.sum(axis=-1)
    return np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)
