"""Ceilings: what heatmaps without a fault score, so that all that is lost is lost by the codec.

Annotated joints are drawn on heatmaps and read back; no network and no picture takes part. Boxes,
crops, decoding, scores, suppression and AP are those of evaluation.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch

from replab.datasets.coco import areas_estimated
from replab.datasets.pose_set import ANNOTATED, PoseSet
from replab.errors import UserError
from replab.keypoints.affine import transform
from replab.keypoints.codecs import Codec
from replab.keypoints.decode import to_image
from replab.keypoints.oks import similarity_terms
from replab.metrics.coco import CocoScore, evaluate
from replab.metrics.coco_files import Detections, read_truth
from replab.topdown.crops import crop_places
from replab.topdown.evaluate import detections
from replab.topdown.predict import Predictions

# Which Gaussians are drawn, and what becomes of joints outside the crop: see `ceiling`.
Target = Literal["own", "exact"]
Outside = Literal["empty", "drawn"]
TARGETS: tuple[Target, ...] = ("own", "exact")
OUTSIDE: tuple[Outside, ...] = ("empty", "drawn")
# Joints drawn at once: their maps should stay in a processor's caches.
JOINTS = 256
# The numbers of a ceiling that are reported, and COCO's names of them.
REPORTED = {"ap": "AP", "ap50": "AP50", "ap75": "AP75", "apm": "APM", "apl": "APL", "ar": "AR"}


@dataclass(frozen=True)
class Ceiling:
    """What faultless heatmaps score, and what could not be drawn on them.

    Attributes:
        score: COCO's ten numbers, fractions, poses ordered by their peaks as in evaluation. All
            peaks are about as high, so that order is nearly arbitrary: AR tells what is within
            reach, AP less than that, and a network that ranks well can pass it.
        ranked: the same with the poses ordered by their true OKS, which no order can much exceed.
        displacement: mean distance of joints from where they are read, px of the heatmap, over
            maps that are not empty, those read at the border included.
        annotated: how many joints are annotated, hidden ones included.
        outside: how many of these lie outside their person's crop.
        empty: how many people have nothing but empty maps; they are found with score 0.
        people: how many were looked at.
        kept: how many poses were left after suppression: fewer than people where two of a picture
            are so alike that one is dropped.
        area_estimated: whether AP and AR rest on estimated areas (`coco.areas_estimated`) and must
            not be set beside a paper's.
        seconds: from joints to score.
    """

    score: CocoScore
    ranked: CocoScore
    displacement: float
    annotated: int
    outside: int
    empty: int
    people: int
    kept: int
    area_estimated: bool
    seconds: float

    def metrics(self) -> dict[str, float]:
        """`ap`, `ap50`, `ap75`, `apm`, `apl`, `ar` in percent, `displacement` in heatmap px.

        `ap_ranked` is the AP of `ranked`. Numbers of sizes that nobody in the set has are left
        out.
        """
        found = {name: getattr(self.score, of) for name, of in REPORTED.items()}
        found["ap_ranked"] = self.ranked.AP
        percent = {name: 100 * number for name, number in found.items() if number >= 0}
        return {**percent, "displacement": self.displacement}


def ceiling(
    poses: PoseSet,
    codec: Codec,
    *,
    input_size: tuple[int, int],
    heatmap_size: tuple[int, int],
    target: Target = "own",
    outside: Outside = "empty",
    engine: str = "hotcoco",
    progress: Callable[[float, str], None] = lambda share, text: None,
) -> Ceiling:
    """COCO's numbers of a network whose heatmaps are the codec's targets, or exact Gaussians.

    Hidden joints (visibility 1) are drawn as the others, as released. A map on which nothing is
    drawn is read as any empty map is: score 0 at the crop's corner. The evaluator counts such a
    joint as missed.

    `own` targets are what the codec trains on. Rounded ones are symmetric about a pixel, where the
    quarter offset finds no slope: there `released` reads as `plain` does, and both lose what
    rounding loses. A network cannot know which way a joint was rounded, and its answers come
    closer to a mean over places; `exact` stands for that: an uncut Gaussian at the very joint
    for every codec, so that codecs differ in decoding (and crops) alone, and the quarter offset
    shows what it gains.

    A joint outside the crop, more than half a pixel beyond its outermost pixels' centres, is no
    network's to see, so its map is `empty`. The targets of training do show the slope of a
    Gaussian whose window still touches the map: with `drawn`, joints outside are drawn by that
    rule and read at the border, the most that these codecs can tell of them.

    Args:
        poses: people of annotated boxes, with the ground truth.
        codec: how crops are cut, joints drawn and heatmaps read, with its sigma.
        input_size: width and height of the crops, px.
        heatmap_size: width and height of the heatmaps, px.
        target: `own` or `exact`.
        outside: what becomes of joints outside the crop, `empty` or `drawn`.
        engine: of AP, as of `replab.metrics.coco.evaluate`.
        progress: called with the share done (0–1) and a text.

    Raises:
        UserError: the set has no ground truth of COCO's, its boxes are a detector's and tell no
            joints, or a box has no area.
        ValueError: there is no such target or treatment of joints outside; the sizes do not fit
            the codec or its sigma.

    Source: Sun et al. 2019, §3 and §4.1 (targets and decoding); Zhang et al. 2020 (DARK), §3, and
    Huang et al. 2020 (UDP), §3, who name both losses; the measurement is ours.
    """
    began = time.perf_counter()
    if target not in TARGETS:
        raise ValueError(f"no target {target!r}; own or exact")
    if outside not in OUTSIDE:
        raise ValueError(f"joints outside cannot be {outside!r}; empty or drawn")
    if poses.truth is None or poses.box_source != ANNOTATED:
        lack = "ground truth in COCO's form" if poses.truth is None else "joints in its boxes"
        raise UserError(
            f"{poses.name} has no {lack} to draw heatmaps of; give a set of annotated people "
            "(coco-val2017, people-test)"
        )
    centre, scale = crop_places(poses, input_size)
    joints = transform(torch.from_numpy(poses.joints), codec.matrix(centre, scale, input_size))
    annotated = torch.from_numpy(poses.visible > 0)
    beyond = annotated & ~_within(joints, input_size)
    drawn = annotated if outside == "drawn" else annotated & ~beyond
    painter = codec if target == "own" else replace(codec, centre="exact", cut=False)
    place = torch.zeros(*drawn.shape, 2)
    score = torch.zeros(drawn.shape)
    place[drawn], score[drawn] = _read(
        *(joints[drawn], codec, painter, input_size, heatmap_size, progress)
    )
    stride = torch.tensor(codec.stride(input_size, heatmap_size), dtype=torch.float64)
    full = score > 0
    away = (place[full].double() - joints[full] / stride).norm(dim=-1)
    found = Predictions(
        to_image(place, centre, scale, heatmap_size, rule=codec.rule).numpy(),
        score.numpy(),
        centre.numpy(),
        scale.numpy(),
        time.perf_counter() - began,
    )
    truth = read_truth(poses.truth)
    kept = detections(poses, found)
    return Ceiling(
        score=evaluate(truth, kept, engine=engine),
        ranked=evaluate(truth, _ranked(poses, found), engine=engine),
        displacement=float(away.mean()) if len(away) else 0.0,
        annotated=int(annotated.sum()),
        outside=int(beyond.sum()),
        empty=int((~full.any(dim=1)).sum()),
        people=len(poses),
        kept=len(kept),
        area_estimated=areas_estimated(poses),
        seconds=time.perf_counter() - began,
    )


def _ranked(poses: PoseSet, found: Predictions) -> Detections:
    """The poses scored by their OKS with the person whose box they were found in."""
    near = similarity_terms(found.keypoints, poses.joints, poses.areas, poses.skeleton.sigmas)
    annotated = poses.visible > 0
    oks = (near * annotated).sum(axis=1) / np.maximum(annotated.sum(axis=1), 1)
    sure = replace(found, scores=np.ones_like(found.scores))
    return detections(replace(poses, box_scores=oks), sure)


def _within(joints: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Which joints lie on a crop: N×K, to the outer edges of its outermost pixels."""
    limits = torch.tensor(size, dtype=joints.dtype) - 0.5
    return ((joints >= -0.5) & (joints <= limits)).all(dim=-1)


def _read(
    joints: torch.Tensor,
    codec: Codec,
    painter: Codec,
    input_size: tuple[int, int],
    heatmap_size: tuple[int, int],
    progress: Callable[[float, str], None],
) -> tuple[torch.Tensor, torch.Tensor]:
    """Joints M×2 (px of the input) drawn and read: M×2 in px of the heatmap, and M scores.

    Maps of joints that are not drawn would only be searched in vain: at each joint stands a map of
    its own, whomever it belongs to.
    """
    place, score = torch.zeros(len(joints), 2), torch.zeros(len(joints))
    for part in _parts(len(joints)):
        some = joints[part, None]
        maps, _ = painter.encode(some, torch.ones(some.shape[:2]), input_size, heatmap_size)
        found, height = codec.locate(maps)
        place[part], score[part] = found[:, 0].float(), height[:, 0]
        progress(part.stop / len(joints), f"{part.stop} of {len(joints)} joints")
    return place, score


def _parts(count: int) -> Iterator[slice]:
    return (slice(begin, min(begin + JOINTS, count)) for begin in range(0, count, JOINTS))
