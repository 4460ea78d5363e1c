"""Released pose networks on COCO val2017, on detected and on annotated boxes, for experiments.

Tables of pose papers rest on a detector's boxes; most numbers that users report rest on annotated
ones and are about two points higher. The two are answers to different claims.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from replab.errors import UserError
from replab.recipe import Recipe
from replab.runs.experiment import Cost, Experiment, Plan, RunContext, RunResult, Variant

if TYPE_CHECKING:
    from replab.datasets.pose_set import PoseSet
    from replab.keypoints.codecs import Codec
    from replab.topdown.network import PoseNetwork

# COCO's ten scores, in percent; as fractions of 1 they end in `_ratio`.
COCO_SCORES = ("ap", "ap50", "ap75", "apm", "apl", "ar", "ar50", "ar75", "arm", "arl")
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

    A variant's `colour`, `RGB` or `BGR`, overrides the order that the weights are known to expect.

    Raises:
        UserError: the detector's boxes on this machine are not the published ones, or the weights
            are of another network than their name says.
    """
    from replab.datasets import coco, pose_weights
    from replab.keypoints.codecs import codec
    from replab.topdown.network import open_network

    known = pose_weights.describe(str(context.variant["weights"]))
    colour = context.variant.get("colour")
    network = open_network(
        pose_weights.find(known.name),
        size=known.size,
        colour=None if colour is None else str(colour),
        precision=context.options.precision,
        device=context.options.device,
        compiled=context.options.engine == "compiled",
    )
    if network.model != known.model or network.joints != known.joints:
        raise UserError(
            f"{pose_weights.folder() / known.file} is of {network.model} with {network.joints} "
            f"joints, not of {known.model} with {known.joints}; run `python -m replab fetch "
            f"weights:{known.name} --force --from FILE_OR_DIR`"
        )
    part = context.data.removeprefix("coco-")
    detected = context.variant["boxes"] == "detections"
    poses = coco.load_detected(part) if detected else coco.load(part)
    # Heatmaps are a quarter of the input; the released yamls draw σ 3 px at 384×288, else 2.
    return poses, network, codec("released", sigma=3.0 if known.size[1] == 384 else 2.0)


@dataclass(frozen=True, kw_only=True)
class ReleasedRecipe(Recipe):
    """How released weights are scored.

    Attributes:
        draws: sets of pictures drawn for an interval.
        beside: name of weights → metric → another method's number, percent, as printed for the
            same input.
    """

    draws: int = 1000
    beside: Mapping[str, Mapping[str, float]] | None = None


def score_released(context: RunContext) -> RunResult:
    """COCO's ten numbers of released weights, by the protocol of HRNet's section 4.1.

    Each in percent (`ap`), as the papers print it, as a fraction (`ap_ratio`), as the authors'
    READMEs do, and with the ends of its 95 % interval over pictures drawn anew (`ap_low`,
    `ap_high`, percent). What the recipe's `beside` holds for the weights are other methods'
    numbers as printed for the same input, so that an ordering may name them; on detected boxes
    alone, by which they were made.
    """
    from replab.topdown.evaluate import evaluate_coco

    poses, network, codec = prepare(context)
    found = evaluate_coco(
        network, poses, codec, draws=context.recipe.draws, progress=context.progress
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
    if context.variant["boxes"] == "detections":
        metrics |= (context.recipe.beside or {}).get(str(context.variant["weights"]), {})
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
    few = poses.select(slice(8, 8 + PROBED.get(context.options.device, PROBED_ELSEWHERE)))
    began = time.perf_counter()
    predict(network, few, codec)
    return Cost(started + (time.perf_counter() - began) / len(few) * len(poses))


@dataclass(frozen=True)
class ScoredCost:
    """Work of a variant in 10¹² multiply-adds, mirror images included.

    Attributes:
        gmacs: name of weights → 10⁹ multiply-adds of a crop.
    """

    gmacs: Mapping[str, float]

    def __call__(self, variant: Variant, recipe: ReleasedRecipe) -> float:
        """Cost of a variant, whatever the recipe."""
        return 2e-3 * self.gmacs[str(variant["weights"])] * BOXES[str(variant["boxes"])]


def released(
    variants: Sequence[Variant],
    gmacs: Mapping[str, float],
    *,
    needs: str,
    name: str = "released",
    recipe: ReleasedRecipe | None = None,
) -> Experiment:
    """The experiment on a paper's released weights, of profile `paper`.

    Args:
        variants: each a name of `weights` (of `datasets.pose_weights`), `boxes` (`detections` or
            `gt`) and, to show what the wrong one costs, a `colour`.
        gmacs: name of weights → 10⁹ multiply-adds of a crop.
        needs: as of `Experiment`, in words; `needs_of` writes them.
    """
    own = recipe or ReleasedRecipe()
    plan = Plan(
        tuple(variants),
        recipe=own,
        data=("coco-val2017",),
        split="val2017: 5,000 photographs",
    )
    beside = {label for printed in (own.beside or {}).values() for label in printed}
    return Experiment(
        name=name,
        metrics=(*COCO_SCORES, *(f"{score}_ratio" for score in COCO_SCORES), *sorted(beside)),
        version=1,
        changelog={1: "first version"},
        function=score_released,
        deterministic=True,
        plans={"paper": plan},
        needs={"paper": needs},
        cost=ScoredCost(gmacs),
        fetches=released_weights,
        fingerprint=released_fingerprint,
        probe=probe,
    )


def needs_of(networks: str, example: str) -> str:
    """What scoring released weights takes, in words.

    Args:
        networks: how many there are, as a word: `nine`.
        example: name of one of the weights.
    """
    return (
        "COCO val2017 (`python -m replab fetch coco-val2017`, 1.1 GB), the released weights "
        "(`python -m replab fetch weights:NAME --from FILE_OR_DIR`, NAME as in "
        f"{example}), for detected boxes the detector's (`python -m replab fetch coco-detections "
        f"--from FILE`), and a GPU or days: the {networks} networks look at 104,125 boxes each"
    )
