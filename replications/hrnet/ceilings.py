"""Ceilings: what perfect heatmaps score, by size and codec. No network, no picture; seconds each.

Metrics without a suffix are of the codec's own targets of joints in the crop. Those in `_exact`
are of Gaussians at the very joints, read by the same decoding; those in `_beyond` of own targets
that are drawn also for joints outside the crop, as far as their windows touch the map. `ap_ranked`
is of an order by true OKS; `displacement` is in px of the heatmap, `people` and joints are counts,
all other numbers percent.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from replab.runs.experiment import PROFILES, Experiment, Plan, RunContext, RunResult, Variant

if TYPE_CHECKING:
    from replab.topdown.ceilings import Outside, Target

# What a variant's data are called in `replab.datasets`.
SETS = {
    "people": "people-test",
    "coco-val2017": "coco-val2017",
    "coco-val2017-estimated": "coco-val2017-estimated",
}
# Pictures of COCO are never looked at.
FETCHED = {**SETS, "coco-val2017": "coco-val2017-annotations"}
# Suffix of a metric → which Gaussians are drawn, and what becomes of joints outside the crop.
KINDS: Mapping[str, "tuple[Target, Outside]"] = {
    "": ("own", "empty"),
    "_exact": ("exact", "empty"),
    "_beyond": ("own", "drawn"),
}
# Of 256×192 and 384×288 inputs: their width and height, those of the heatmap, and sigma in its px.
HEATMAPS = {"64x48": ((192, 256), (48, 64), 2.0), "96x72": ((288, 384), (72, 96), 3.0)}
CODECS = ("plain", "released", "dark", "udp")

VARIANTS: tuple[Variant, ...] = tuple(
    {"data": data, "heatmap": heatmap, "codec": codec}
    for data in SETS
    for heatmap in HEATMAPS
    for codec in CODECS
)


def measure(context: RunContext) -> RunResult:
    """COCO's numbers of perfect heatmaps, of each kind in `KINDS`."""
    from replab import datasets
    from replab.errors import UserError
    from replab.keypoints.codecs import codec
    from replab.topdown.ceilings import ceiling

    name = SETS[str(context.variant["data"])]
    poses = datasets.open_poses(name)
    if poses.fingerprint != datasets.fingerprint(name):
        raise UserError(
            f"what is here as {name} holds other people than the published set; remove it and "
            f"run `python -m replab fetch {name}`"
        )
    input_size, heatmap_size, sigma = HEATMAPS[str(context.variant["heatmap"])]
    chosen = codec(str(context.variant["codec"]), sigma=sigma)
    metrics: dict[str, float] = {}
    for step, (suffix, (target, outside)) in enumerate(KINDS.items()):

        def note(share: float, text: str, step: int = step, kind: str = target) -> None:
            context.progress((step + share) / len(KINDS), f"{kind} targets, {text}")

        found = ceiling(
            *(poses, chosen),
            input_size=input_size,
            heatmap_size=heatmap_size,
            target=target,
            outside=outside,
            progress=note,
        )
        metrics |= {f"{name}{suffix}": number for name, number in found.metrics().items()}
        metrics |= {
            "people": float(found.people),
            "joints": float(found.annotated),
            "joints_outside": float(found.outside),
        }
    return RunResult(metrics)


def fetches(variant: Variant) -> tuple[str, ...]:
    """What has to be on this machine for a variant."""
    return (FETCHED[str(variant["data"])],)


def fingerprint(variant: Variant) -> str:
    """Fingerprint of a variant's people, known without them."""
    from replab import datasets

    return datasets.fingerprint(SETS[str(variant["data"])])


def cost(variant: Variant, recipe: Mapping[str, Any]) -> float:
    """Seconds on one core, about, for the estimate of the time left."""
    people = 0.4 if variant["data"] == "people" else 1.0
    drawing = 2.0 if variant["heatmap"] == "96x72" else 1.0
    reading = 1.0 if variant["codec"] in ("plain", "released") else 2.0
    return 2.5 * people * drawing * reading


CEILINGS = Experiment(
    name="ceilings",
    version=1,
    changelog={1: "first version"},
    function=measure,
    deterministic=True,
    # Each variant has data of its own, so they stand in `fetches`: what is missing there leaves
    # out its variants and no more.
    plans={
        profile: Plan(VARIANTS, split="annotated boxes, keypoints only") for profile in PROFILES
    },
    needs=dict.fromkeys(
        PROFILES,
        "the keypoints of COCO val2017 (`python -m replab fetch coco-val2017`) or those with "
        "estimated areas (`python -m replab fetch coco-val2017-estimated --from FILE`); the "
        "generated people need nothing",
    ),
    cost=cost,
    fetches=fetches,
    fingerprint=fingerprint,
)
