"""Scores of prediction files on LSP, FLIC and MPII, by the rules of their papers.

Predictions are .mat, .h5, .npz or .npy files; their array is called `prediction_all` (as CPM's
authors do), `preds` (MPII) or `pred`, and its axes (people, joints, x and y) are found by their
sizes; where two are equal, people × joints × 2 is taken. People and joints are in the order of the
truth, those of FLIC in the order of CPM's predictions.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from replab.datasets.mat_files import open_arrays, shown_shape
from replab.datasets.mpii_files import JOINTS, read_truth
from replab.errors import UserError
from replab.keypoints.skeletons import FLIC, LSP, MPII
from replab.metrics import pck

PREDICTIONS = ("prediction_all", "preds", "pred")
TRUTH = "joints"
THRESHOLDS = {"0.05": 0.05, "0.1": 0.1, "0.2": 0.2}
LSP_ALL, LSP_TEST = 2000, 1000
FLIC_TEST = 1016
# Where the joints of FLIC's predictions stand among the ten of its truth, counted from 0.
FLIC_COLUMNS = (6, 7, 8, 2, 3, 4, 9, 5, 0)
FLIC_STORED = 10
# In the observer-centric LSP file the left shoulder lies on the picture's right in 92 % of the
# test people, in the person-centric one in 66 %.
OBSERVER_SHARE = 0.8
# People of whom at least four joints more are found once left and right are exchanged: 2 and 5 %
# with CPM's predictions on the truth that is meant, 26 and 27 % on the other.
SWAP_JOINTS, SWAP_SHARE = 4, 0.15


@dataclass(frozen=True)
class PckScore:
    """PCK of a prediction file on LSP or FLIC, in percent.

    Attributes:
        pck: by threshold; LSP: all 14 joints of all people; FLIC: elbows and wrists.
        joints: rows of the published table, mean of both sides, at 0.2.
        interval: 95 % of a bootstrap over people, by threshold.
        people: how many there are.
        notes: sentences that the reader of the numbers should see.
    """

    pck: Mapping[str, float]
    joints: Mapping[str, Mapping[str, float]]
    interval: Mapping[str, tuple[float, float]]
    people: int
    notes: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """The score as plain values: `pck` and `joints`."""
        rows = {name: _rounded(values) for name, values in self.joints.items()}
        return {"pck": _rounded(self.pck), "joints": rows}


@dataclass(frozen=True)
class PckhScore:
    """PCKh of a prediction file on MPII, in percent, at 0.5 where nothing else is said.

    Attributes:
        pckh: plain mean of 14 joints, pelvis and thorax left out.
        pckh_weighted: the same 14, weighted by how often each is annotated, as HRNet's and
            SimpleBaseline's code does.
        weighted_at: weighted means at the thresholds 0.1 and 0.11; what that code prints as
            `Mean@0.1` is the one at 0.11.
        unweighted_at: plain means at the same.
        joints: rows of the published table, mean of both sides.
        interval: 95 % of a bootstrap over people, of `pckh` and `pckh_weighted`.
        people: how many there are.
        notes: sentences that the reader of the numbers should see.
    """

    pckh: float
    pckh_weighted: float
    weighted_at: Mapping[str, float]
    unweighted_at: Mapping[str, float]
    joints: Mapping[str, float]
    interval: Mapping[str, tuple[float, float]]
    people: int
    notes: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """The score as plain values; `pckh@0.1` is weighted, at the threshold 0.10."""
        means = {"pckh": self.pckh, "pckh_weighted": self.pckh_weighted}
        means["pckh@0.1"] = self.weighted_at["0.1"]
        return {**_rounded(means), "joints": _rounded(self.joints)}


def score_lsp(pred: Path, gt: Path) -> PckScore:
    """PCK on the 1,000 test people of LSP, all 14 joints of each, flags ignored.

    Person-centric truth (`lsp-joints-PC.mat`, or `joints.mat` of the data set) gives the
    published numbers; other truth is noted in the score.

    Args:
        pred: 14 joints of 1,000 people, axes as the module says.
        gt: `joints` 3×14×2000 (x, y, flag), of which the last 1,000 people are tested.

    Raises:
        UserError: a file is damaged, of another data set, or given in the other's place.
    """
    truth = _read_truth(gt, (len(LSP), (LSP_TEST, LSP_ALL)), "LSP")[-LSP_TEST:]
    predicted = _read_predictions(pred, LSP_TEST, len(LSP), "LSP")
    measured = pck.distances(predicted, truth, pck.torso_length(truth, LSP))
    notes = _sides(measured, predicted, truth)
    return _pck_score(measured, pck.LSP_TOTAL, pck.LSP_ROWS, notes)


def score_flic(pred: Path, gt: Path) -> PckScore:
    """PCK on the 1,016 test people of FLIC: elbows and wrists, in units of the true torso.

    Args:
        pred: 9 joints of 1,016 people in the order of `replab.keypoints.skeletons.FLIC`.
        gt: `joints` 2×10×1016, as `flic-joints-test-oc.mat`.

    Raises:
        UserError: a file is damaged, of another data set, or given in the other's place.
    """
    truth = _read_truth(gt, (FLIC_STORED, (FLIC_TEST,)), "FLIC")[:, list(FLIC_COLUMNS)]
    predicted = _read_predictions(pred, FLIC_TEST, len(FLIC), "FLIC")
    measured = pck.distances(predicted, truth, pck.torso_length(truth, FLIC))
    return _pck_score(measured, pck.FLIC_TOTAL, pck.FLIC_ROWS, ())


def score_mpii(pred: Path, gt: Path, *, zero_based: bool = False) -> PckhScore:
    """PCKh on MPII's validation people, by the annotated joints and head boxes.

    Args:
        pred: 16 joints of as many people as the truth has, in its order.
        gt: as `replab.datasets.mpii_files.read_truth` takes it.
        zero_based: the predictions count pixels from 0; the truth, and the prediction files that
            HRNet's and pytorch-pose's code write, from 1.

    Raises:
        UserError: a file is damaged, of another data set, or given in the other's place.
    """
    _refuse_predictions(gt, JOINTS)
    truth = read_truth(gt)
    people = len(truth.joints)
    predicted = _read_predictions(pred, people, len(MPII), "MPII's truth") + zero_based
    measured = pck.distances(
        predicted, truth.joints, pck.head_size(truth.headboxes), truth.annotated
    )
    found = measured.pck((0.5, 0.1, 0.11))
    never = [MPII.joints[k] for k in pck.MPII_TOTAL if not found.counts[k]]
    if never:
        raise UserError(f"{gt} annotates no {', no '.join(never)}; give the truth of more people")
    weighted, plain = found.pooled(pck.MPII_TOTAL), found.mean(pck.MPII_TOTAL)
    rows = pck.row_values(found, pck.MPII_ROWS)
    intervals = {
        name: _interval(measured, 0.5, pck.MPII_TOTAL, weighted=name == "pckh_weighted")
        for name in ("pckh", "pckh_weighted")
    }
    return PckhScore(
        pckh=float(plain[0]),
        pckh_weighted=float(weighted[0]),
        weighted_at={"0.1": float(weighted[1]), "0.11": float(weighted[2])},
        unweighted_at={"0.1": float(plain[1]), "0.11": float(plain[2])},
        joints={name: values[0] for name, values in rows.items()},
        interval=intervals,
        people=people,
        notes=found.notes(),
    )


def _pck_score(
    measured: pck.Distances,
    total: tuple[int, ...],
    rows: Mapping[str, tuple[int, ...]],
    notes: tuple[str, ...],
) -> PckScore:
    limits = tuple(THRESHOLDS.values())
    found = measured.pck(limits)
    last = limits.index(THRESHOLDS["0.2"])
    spread = pck.bootstrap(measured, limits, joints=total).tolist()
    return PckScore(
        pck=dict(zip(THRESHOLDS, found.pooled(total).tolist(), strict=True)),
        joints={
            name: {"0.2": values[last]} for name, values in pck.row_values(found, rows).items()
        },
        interval={name: (low, high) for name, (low, high) in zip(THRESHOLDS, spread, strict=True)},
        people=found.people,
        notes=(*found.notes(), *notes),
    )


def _interval(
    measured: pck.Distances, limit: float, joints: tuple[int, ...], *, weighted: bool
) -> tuple[float, float]:
    ((low, high),) = pck.bootstrap(measured, (limit,), joints=joints, weighted=weighted).tolist()
    return low, high


def _sides(
    measured: pck.Distances, predicted: NDArray[np.float64], truth: NDArray[np.float64]
) -> tuple[str, ...]:
    """Whether truth, or truth and predictions, seem to differ in whose left they mean."""
    left, right = LSP.index("left_shoulder"), LSP.index("right_shoulder")
    share = float((truth[:, left, 0] > truth[:, right, 0]).mean())
    if share > OBSERVER_SHARE:
        return (
            "the truth looks observer-centric: the left shoulder lies on the picture's right in "
            f"{100 * share:.0f} % of the people, against 66 % in the person-centric "
            "lsp-joints-PC.mat, by which the published numbers are meant",
        )
    limit = THRESHOLDS["0.2"]
    exchanged = predicted[:, list(LSP.mirror)]
    swapped = pck.distances(exchanged, truth, pck.torso_length(truth, LSP)).found(limit)
    gain = swapped.sum(axis=1) - measured.found(limit).sum(axis=1)
    better = float((gain >= SWAP_JOINTS).mean())
    if better > SWAP_SHARE:
        return (
            f"{100 * better:.0f} % of the people fit far better with left and right exchanged: "
            "do truth and predictions mean the person's left alike?",
        )
    return ()


def _read_predictions(path: Path, people: int, joints: int, of: str) -> NDArray[np.float64]:
    """Predictions, people × joints × 2, float64."""
    file = open_arrays(path)
    if not set(PREDICTIONS) & set(file.names) and {TRUTH, JOINTS} & set(file.names):
        raise UserError(
            f"{path} holds truth, not predictions; give it as --gt, predictions as --pred"
        )
    name = file.choose(PREDICTIONS)
    array = file.numbers(name)
    found = _arranged(array, (people, joints, 2))
    shown = f"{name} of {path}" if name else str(path)
    if found is None:
        raise UserError(
            f"{shown} has shape {shown_shape(array.shape)}, {of} needs {people}×{joints}×2 in "
            "any order; give predictions (x and y) of all its people and joints"
        )
    wrong = int((~np.isfinite(found)).sum())
    if wrong:
        raise UserError(
            f"{shown} holds {wrong} numbers that are NaN or infinite; write places far off the "
            "picture, as -10000, for joints that were not found: they count as missed"
        )
    return found


def _read_truth(path: Path, wanted: tuple[int, tuple[int, ...]], of: str) -> NDArray[np.float64]:
    """Joints of LSP or FLIC, people × joints × 2, float64; flags are left out."""
    joints, counts = wanted
    _refuse_predictions(path, TRUTH)
    file = open_arrays(path)
    if TRUTH not in file.names:
        # An array without a name might as well be predictions.
        raise UserError(f"{path} holds {file.shown()} but no {TRUTH}; give {of}'s truth")
    array = file.numbers(TRUTH)
    for people, numbers in ((count, n) for count in counts for n in (2, 3)):
        found = _arranged(array, (people, joints, numbers))
        if found is None:
            continue
        found = found[..., :2]
        if not np.isfinite(found).all():
            raise UserError(f"{path} holds NaN or infinity; get the file again")
        return found
    people_words = " or ".join(map(str, counts))
    raise UserError(
        f"{TRUTH} of {path} has shape {shown_shape(array.shape)}, {of}'s has {joints} joints of "
        f"{people_words} people; give {of}'s truth"
    )


def _refuse_predictions(path: Path, truth: str) -> None:
    """Say so if a file of predictions stands where the truth is wanted."""
    names = open_arrays(path).names
    if truth not in names and set(PREDICTIONS) & set(names):
        raise UserError(f"{path} holds predictions, not truth; give it as --pred, truth as --gt")


def _arranged(
    array: NDArray[np.float64], sizes: tuple[int, int, int]
) -> NDArray[np.float64] | None:
    """The array with its axes in the order of these sizes, or None if they are others."""
    for order in permutations(range(array.ndim)):
        if tuple(array.shape[axis] for axis in order) == sizes:
            return np.ascontiguousarray(array.transpose(order))
    return None


def _rounded(values: Mapping[str, float]) -> dict[str, float]:
    """Without the last digits, which are nothing but the doubles' rounding."""
    return {name: round(value, 10) for name, value in values.items()}
