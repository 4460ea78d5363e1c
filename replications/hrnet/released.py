"""Released: published weights on COCO val2017, on detected boxes and on annotated ones.

Table 1 rests on a detector's boxes; most numbers that users report rest on annotated ones and are
about two points higher. The two are answers to different claims.
"""

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from replab.errors import UserError
from replab.runs.experiment import Cost, Experiment, Plan, RunContext, RunResult, Variant

if TYPE_CHECKING:
    from replab.datasets.pose_set import PoseSet
    from replab.keypoints.codecs import Codec
    from replab.topdown.network import PoseNetwork

# Weights of the rows of Table 1 and of Fig. 6, with 10⁹ multiply-adds of a crop.
GMACS = {
    "w32-256x192": 7.645,
    "w32-384x288": 17.201,
    "w48-256x192": 15.692,
    "w48-384x288": 35.307,
    "sb-r50-256x192": 5.426,
    "sb-r50-384x288": 12.209,
    "sb-r101-256x192": 9.063,
    "sb-r152-256x192": 12.699,
    "sb-r152-384x288": 28.573,
    "mmpose-w48-256x192": 15.692,
}
MMPOSE = "mmpose-w48-256x192"
# People of val2017 with keypoints, and the detector's boxes.
BOXES = {"gt": 6352, "detections": 104_125}
# People that a probe looks at, after a few that do not count: a GPU takes hundreds at a time.
PROBED = {"cpu": 32}
PROBED_ELSEWHERE = 2048


def released_weights(variant: Variant) -> tuple[str, ...]:
    """What `replab fetch` has to bring for a variant."""
    boxes = ("coco-detections",) if variant["boxes"] == "detections" else ()
    return (f"weights:{variant['weights']}", *boxes)


def released_fingerprint(variant: Variant) -> str:
    """Fingerprint of the weights and, for detected boxes, of these; known without either."""
    from replab.datasets import coco_detections, pose_weights

    own = pose_weights.fingerprint(str(variant["weights"]))
    if variant["boxes"] == "gt":
        return own
    return f"{own}+{coco_detections.PUBLISHED.sha256[: coco_detections.DIGITS]}"


def prepare(context: RunContext) -> "tuple[PoseSet, PoseNetwork, Codec]":
    """The people, the network and the codec of a run.

    Raises:
        UserError: the detector's boxes on this machine are not the published ones, or the weights
            are of another network than their name says.
    """
    from replab.datasets import coco, coco_detections, pose_weights
    from replab.keypoints.codecs import codec
    from replab.topdown.network import open_network

    known = pose_weights.describe(str(context.variant["weights"]))
    network = open_network(
        pose_weights.find(known.name),
        size=known.size,
        precision=context.precision,
        device=context.device,
        compiled=context.compiled,
    )
    if network.model != known.model or network.joints != known.joints:
        raise UserError(
            f"{pose_weights.folder() / known.file} is of {network.model} with {network.joints} "
            f"joints, not of {known.model} with {known.joints}; run `python -m replab fetch "
            f"weights:{known.name} --force --from FILE_OR_DIR`"
        )
    detected = context.variant["boxes"] == "detections"
    part = context.data.removeprefix("coco-")
    poses = coco.load(part, boxes=coco_detections.find() if detected else "gt")
    if detected and poses.box_source != coco.PUBLISHED_BOXES:
        raise UserError(
            f"{coco_detections.default_path()} holds boxes in other bytes ({poses.box_source}) "
            f"than the published ones ({coco.PUBLISHED_BOXES}), which the run's name stands for; "
            "score the others by `python -m replab score coco --weights FILE`"
        )
    # Heatmaps are a quarter of the input; the released yamls draw σ 3 px at 384×288, else 2.
    return poses, network, codec("released", sigma=3.0 if known.size[1] == 384 else 2.0)


def score_released(context: RunContext) -> RunResult:
    """COCO's ten numbers of released weights, by the protocol of §4.1.

    Each in percent (`ap`), as the paper prints it, as a fraction (`ap_ratio`), as the authors'
    README does, and with the ends of its 95 % interval over pictures drawn anew (`ap_low`,
    `ap_high`, percent).
    """
    from replab.topdown.evaluate import evaluate_coco

    poses, network, codec = prepare(context)
    found = evaluate_coco(
        network, poses, codec, draws=int(context.recipe["draws"]), progress=context.progress
    )
    metrics: dict[str, float] = {"boxes": found.boxes, "poses": found.kept}
    for name, value in found.score.as_dict().items():
        # COCO's evaluator says −1 where there is no one to be found, which is no score.
        if value < 0:
            continue
        key = name.lower()
        low, high = found.intervals[name]
        metrics |= {key: 100 * value, f"{key}_ratio": value}
        metrics |= {f"{key}_low": 100 * low, f"{key}_high": 100 * high}
    return RunResult(
        metrics,
        # Most released files have no published checksum: the record says which bytes they were.
        model=f"{network.model}@{network.weights}",
        throughput=found.about.people_per_s,
        engine="compiled" if network.compiled else "eager",
    )


def probe(context: RunContext) -> Cost:
    """Cost of scoring all boxes, from a few of them."""
    from replab.topdown.predict import predict

    began = time.perf_counter()
    poses, network, codec = prepare(context)
    predict(network, poses.select(slice(0, 8)), codec)
    started = time.perf_counter() - began
    few = poses.select(slice(8, 8 + PROBED.get(context.device, PROBED_ELSEWHERE)))
    began = time.perf_counter()
    predict(network, few, codec)
    return Cost(started + (time.perf_counter() - began) / len(few) * len(poses))


def scored_cost(variant: Variant, recipe: Mapping[str, Any]) -> float:
    """Work in 10¹² multiply-adds, mirror images included."""
    return 2e-3 * GMACS[str(variant["weights"])] * BOXES[str(variant["boxes"])]


RELEASED = Experiment(
    name="released",
    version=1,
    changelog={1: "first version"},
    function=score_released,
    deterministic=True,
    plans={
        "paper": Plan(
            (
                *(
                    {"weights": weights, "boxes": boxes}
                    for boxes in ("detections", "gt")
                    for weights in GMACS
                    if weights != MMPOSE
                ),
                {"weights": MMPOSE, "boxes": "gt"},
            ),
            recipe={"draws": 1000},
            data=("coco-val2017",),
            split="val2017: 5,000 photographs",
        )
    },
    needs={
        "paper": (
            "COCO val2017 (`python -m replab fetch coco-val2017`, 1.1 GB), the released weights "
            "(`python -m replab fetch weights:NAME --from FILE_OR_DIR`, NAME as in w32-256x192), "
            "for detected boxes the detector's (`python -m replab fetch coco-detections --from "
            "FILE`), and a GPU or days: the nine networks look at 104,125 boxes each"
        )
    },
    cost=scored_cost,
    fetches=released_weights,
    fingerprint=released_fingerprint,
    probe=probe,
)

COLUMNS = ("ap", "ap50", "ap75", "apm", "apl", "ar")
TABLE1 = {
    "sb-r50.256x192": "sb-r50-256x192",
    "sb-r101.256x192": "sb-r101-256x192",
    "sb-r152.256x192": "sb-r152-256x192",
    "hrnet-w32.256x192": "w32-256x192",
    "hrnet-w48.256x192": "w48-256x192",
    "sb-r152.384x288": "sb-r152-384x288",
    "hrnet-w32.384x288": "w32-384x288",
    "hrnet-w48.384x288": "w48-384x288",
}

ANSWERS = {
    **{
        f"table1.{row}.{number}": f"released[weights={weights},boxes=detections].{number}"
        for row, weights in TABLE1.items()
        for number in COLUMNS
    },
    "readme.w{width}.{size}.{number}": (
        "released[weights=w{width}-{size},boxes=detections].{number}_ratio"
    ),
    "gtbox.w32.256x192.ap": "released[weights=w32-256x192,boxes=gt].ap_ratio",
    "gtbox.mmpose-w48.256x192.{number}": f"released[weights={MMPOSE},boxes=gt].{{number}}_ratio",
    # The points of Fig. 6 that are tabled too; each of the others is a training of its own.
    **{
        f"fig6.{net}.{size}.ap": f"released[weights={weights}-{size},boxes=detections].ap"
        for net, weights in (("hrnet-w32", "w32"), ("simplebaseline-r50", "sb-r50"))
        for size in ("256x192", "384x288")
    },
}
