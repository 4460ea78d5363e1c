"""The whole way in one call: pictures, boxes and weights to joints, a result file and scores."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from replab.datasets.pose_set import PoseSet
from replab.errors import UserError
from replab.keypoints.codecs import Codec
from replab.keypoints.oks import crop_areas
from replab.keypoints.suppression import OVERLAP, VISIBLE, oks_nms, rescore
from replab.metrics.coco import CocoScore, evaluate
from replab.metrics.coco_bootstrap import bootstrap
from replab.metrics.coco_files import Detections, from_arrays, read_truth, write_results
from replab.metrics.pck import Distances, Pck, distances
from replab.topdown.crops import Warp
from replab.topdown.network import PoseNetwork
from replab.topdown.predict import Predictions, predict


@dataclass(frozen=True)
class Circumstances:
    """What a number hangs on besides the weights' quality.

    Attributes:
        set_name: of the data set.
        fingerprint: of annotations, boxes and pictures.
        box_source: `gt` or the detections file: numbers of different sources are different
            claims.
        left_out: annotations, boxes and people that were not looked at, by the reason.
        network: name, options, weights' digest, input size, preprocessing and precision.
        protocol: codec, shift of the mirror image, and what poses are scored by.
        people_per_s: from pictures to joints.
        warnings: what a reader of the numbers should know.
    """

    set_name: str
    fingerprint: str
    box_source: str
    left_out: Mapping[str, int]
    network: Mapping[str, Any]
    protocol: Mapping[str, Any]
    people_per_s: float
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class Evaluation:
    """COCO's ten numbers of a network on a set, and what they hang on.

    Attributes:
        score: the ten numbers, fractions.
        intervals: of each, over pictures drawn anew; empty where none were asked for.
        boxes: how many people or boxes were looked at.
        kept: how many poses were left after suppression.
        about: what the numbers hang on.
    """

    score: CocoScore
    intervals: Mapping[str, tuple[float, float]]
    boxes: int
    kept: int
    about: Circumstances

    def as_dict(self) -> dict[str, Any]:
        """Plain values; the ten numbers stand at the top, as those of `score coco`."""
        return {
            **self.score.as_dict(),
            "intervals": self.intervals,
            "boxes": self.boxes,
            "kept": self.kept,
            "engine": self.score.engine,
            **asdict(self.about),
        }


@dataclass(frozen=True)
class PckEvaluation:
    """Joints that a network finds on a set, and what the number hangs on.

    Attributes:
        pck: shares of joints found, percent, by threshold and joint.
        distances: of each joint, in reference lengths: for intervals over people.
        about: what the number hangs on.
    """

    pck: Pck
    distances: Distances
    about: Circumstances


def evaluate_coco(
    network: PoseNetwork,
    poses: PoseSet,
    codec: Codec,
    *,
    flip: bool = True,
    results: Path | None = None,
    engine: str = "hotcoco",
    draws: int = 0,
    batch: int | None = None,
    warping: Warp | None = None,
    progress: Callable[[float, str], None] = lambda share, text: None,
) -> Evaluation:
    """COCO's ten numbers of a network, by the papers' protocol.

    Crops, heatmaps of image and mirror image, joints, poses scored anew by their boxes and joints,
    poses found twice dropped, AP and AR (Sun et al. 2019, §4.1; Xiao et al. 2018, §3.1).

    Args:
        poses: people of annotated or detected boxes, with the ground truth.
        codec: as of `predict`.
        flip: as of `predict`.
        results: where to write the COCO result file; None writes none.
        engine: of AP, `hotcoco` or the referee `pycocotools`.
        draws: sets of pictures to draw for intervals; 0 for none.
        batch: as of `predict`.
        warping: as of `predict`.
        progress: as of `predict`.

    Raises:
        UserError: the set has no ground truth of COCO's; else as `predict`.
    """
    if poses.truth is None:
        raise UserError(
            f"{poses.name} has no ground truth in COCO's form; score it by PCK, or give a set "
            "that has one (coco-val2017, people)"
        )
    truth = read_truth(poses.truth)
    predictions = predict(
        *(network, poses, codec),
        flip=flip,
        batch=batch,
        warping=warping,
        progress=progress,
    )
    found = detections(poses, predictions)
    if results is not None:
        write_results(results, found)
    score = evaluate(truth, found, engine=engine)
    rules = {"joint_score": VISIBLE, "oks_nms": OVERLAP}
    return Evaluation(
        score=score,
        intervals=bootstrap(truth, found, draws=draws) if draws else {},
        boxes=len(poses),
        kept=len(found),
        about=_circumstances(network, poses, codec, flip, predictions, poses.left_out, rules),
    )


def evaluate_pck(
    network: PoseNetwork,
    poses: PoseSet,
    codec: Codec,
    reference: NDArray[np.float64],
    *,
    thresholds: Sequence[float] = (0.05, 0.1, 0.2),
    flip: bool = True,
    batch: int | None = None,
    warping: Warp | None = None,
    progress: Callable[[float, str], None] = lambda share, text: None,
) -> PckEvaluation:
    """Percentage of annotated joints that a network finds, by torsos (PCK) or heads (PCKh).

    People without a reference length cannot be scored; they are left out and counted.

    Args:
        codec: as of `predict`.
        reference: N, px, of each person; not above 0 or NaN where there is none.
        thresholds: shares of the reference length.
        flip: as of `predict`.
        batch: as of `predict`.
        warping: as of `predict`.
        progress: as of `predict`.

    Raises:
        UserError: nobody has a reference length; else as `predict`.
    """
    measurable = np.asarray(reference) > 0
    if not measurable.any():
        raise UserError(f"{poses.name}: nobody has a reference length to measure distances by")
    some = poses.select(measurable)
    predictions = predict(
        *(network, some, codec), flip=flip, batch=batch, warping=warping, progress=progress
    )
    found = distances(predictions.keypoints, some.joints, reference[measurable], some.visible > 0)
    without = int((~measurable).sum())
    left_out = dict(poses.left_out) | ({"no reference length": without} if without else {})
    return PckEvaluation(
        pck=found.pck(thresholds),
        distances=found,
        about=_circumstances(network, poses, codec, flip, predictions, left_out, {}),
    )


def detections(poses: PoseSet, predictions: Predictions) -> Detections:
    """Poses as COCO's evaluator takes them: scored anew, those found twice in a picture dropped.

    Args:
        predictions: of all people of the set.
    """
    images: NDArray[np.int64] = poses.image_ids[poses.image_of]
    scores = rescore(poses.box_scores, predictions.scores, threshold=VISIBLE)
    kept = oks_nms(
        *(images, predictions.keypoints, crop_areas(predictions.scale), scores),
        poses.skeleton.sigmas,
        threshold=OVERLAP,
    )
    return from_arrays(
        images[kept], predictions.keypoints[kept], predictions.scores[kept], scores[kept]
    )


def _circumstances(
    network: PoseNetwork,
    poses: PoseSet,
    codec: Codec,
    flip: bool,
    predictions: Predictions,
    left_out: Mapping[str, int],
    rules: Mapping[str, Any],
) -> Circumstances:
    width, height = network.size
    return Circumstances(
        set_name=poses.name,
        fingerprint=poses.fingerprint,
        box_source=poses.box_source,
        left_out=dict(left_out),
        network={
            "model": network.model,
            "options": network.options,
            "weights": network.weights,
            "input": f"{height}x{width}",
            "preprocessing": network.preprocessing.as_dict(),
            "precision": network.precision,
            "engine": "compiled" if network.compiled else "eager",
        },
        protocol={"codec": codec.name, "flip_shift": codec.shift if flip else None, **rules},
        people_per_s=predictions.people_per_s,
        warnings=network.warnings,
    )
