"""A network's score on a set of people by the set's own measure: COCO's AP, or PCK by torsos."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from replab.datasets.pose_set import PoseSet
from replab.errors import UserError
from replab.keypoints.skeletons import LSP
from replab.metrics.coco import evaluate
from replab.metrics.coco_files import read_truth
from replab.metrics.pck import distances
from replab.topdown.evaluate import detections
from replab.topdown.network import PoseNetwork
from replab.topdown.predict import Predictions, Reading, predict_each

THRESHOLDS = (0.1, 0.2)
# What a score is called that stands for all others: of sets with COCO's ground truth, of others.
AP, PCK = "ap", "pck"


@dataclass(frozen=True)
class Scores:
    """What one pass of a network over a set of people gives.

    Attributes:
        metrics: percent, by name and the reading's suffix: `ap`, `ap50`, … or `pck` (at 0.2),
            `pck@0.1`, …
        predictions: of each reading, for the people who are scored.
        people: N, which people of the set are scored.
    """

    metrics: Mapping[str, float]
    predictions: Mapping[str, Predictions]
    people: NDArray[np.bool_]


def measure_of(poses: PoseSet) -> str:
    """Name of the score that stands for a set's others: `ap` or `pck`."""
    return AP if poses.truth is not None else PCK


def score(
    network: PoseNetwork,
    poses: PoseSet,
    readings: Mapping[str, Reading],
    *,
    progress: Callable[[float, str], None] = lambda share, text: None,
) -> Scores:
    """Score a network on a set of people, its heatmaps read in several ways off one pass.

    Sets with COCO's ground truth by AP and AR, over all of its pictures; LSP and LSP Extended by
    PCK, over those who have a torso to measure by.

    Args:
        readings: by the suffix of the metrics' names, the empty one among them or not.
        progress: called with the share done (0–1) and a text.

    Raises:
        UserError: the set has neither ground truth of COCO's nor LSP's joints; nobody has a torso;
            else as `predict`.
    """
    if poses.truth is not None:
        everyone = np.ones(len(poses), bool)
        predictions = predict_each(network, poses, readings, progress=progress)
        return Scores(_coco(poses, predictions), predictions, everyone)
    if poses.skeleton.name != LSP.name:
        raise UserError(
            f"{poses.name} has neither ground truth in COCO's form nor LSP's joints; score it by "
            "`python -m replab score`"
        )
    from replab.datasets.lspet import torso_lengths

    torsos = torso_lengths(poses)
    measurable = torsos > 0
    if not measurable.any():
        raise UserError(f"{poses.name}: nobody has a torso to measure distances by")
    some = poses.select(measurable)
    predictions = predict_each(network, some, readings, progress=progress)
    return Scores(_pck(some, torsos[measurable], predictions), predictions, measurable)


def _coco(poses: PoseSet, predictions: Mapping[str, Predictions]) -> dict[str, float]:
    truth = read_truth(poses.truth or {})
    metrics: dict[str, float] = {}
    for suffix, found in predictions.items():
        values = evaluate(truth, detections(poses, found)).as_dict()
        # COCO's evaluator says −1 where there is no one to be found, which is no score.
        metrics |= {f"{n.lower()}{suffix}": 100 * v for n, v in values.items() if v >= 0}
    return metrics


def _pck(
    poses: PoseSet, torsos: NDArray[np.float64], predictions: Mapping[str, Predictions]
) -> dict[str, float]:
    metrics: dict[str, float] = {}
    for suffix, found in predictions.items():
        apart = distances(found.keypoints, poses.joints, torsos, poses.visible > 0)
        for threshold, value in zip(THRESHOLDS, apart.pck(THRESHOLDS).pooled(), strict=True):
            name = PCK if threshold == THRESHOLDS[-1] else f"{PCK}@{threshold}"
            metrics[f"{name}{suffix}"] = float(value)
    return metrics
