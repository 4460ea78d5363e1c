"""Trainings on COCO train2017 by the released recipes: from scratch, from ImageNet, ablated.

Deviations, which touch all that it answers: one process takes the batch that four GPUs shared, so
batch normalisation sees 128 people, not 32; the last iterate counts, not the best one on annotated
boxes; epochs follow each other without a break, so that all batches are full. No code was released
for the exchanges of Table 6, the four branches of section 4.4 (here W22: the paper names no width,
and its parameters are those of W32 within 3 %) and the heads of Fig. 5 (here all four in one net).
At 128×96 a joint is drawn with σ 1, half of what is released for 256×192.
"""

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from replab.runs.experiment import Cost, Experiment, Plan, RunContext, RunResult, Variant

if TYPE_CHECKING:
    from replab.datasets.pose_set import PoseSet
    from replab.runs.pose_runs import PoseJob

# People of train2017 with keypoints, and how many a step takes: 32 on each of four GPUs.
PEOPLE = 149_813
BATCH = 128
HEADS = ("1x", "2x", "4x", "8x")
# 10⁹ multiply-adds of a crop at 256×192; other inputs cost in proportion to their pixels.
GMACS = {"w32": 7.645, "w48": 15.692, "sb-r50": 5.426}


def make_job(context: RunContext) -> "PoseJob":
    """The training that a variant and its recipe describe, and how it is scored.

    Raises:
        MissingData: it begins with ImageNet weights that are not on this machine.
        UserError: these weights are damaged.
    """
    from replab.datasets import pose_weights
    from replab.keypoints.augmentation import Augmentation
    from replab.keypoints.codecs import codec
    from replab.runs.pose_runs import PoseJob
    from replab.topdown.predict import Reading
    from replab.training.poses import PoseTraining

    variant, recipe = context.variant, context.recipe
    net = dict(recipe["nets"][variant["net"]])
    options = {key: variant[key] for key in ("exchange", "head", "branches") if key in variant}
    model = str(net["model"])
    if options.get("branches") == "four":
        model = str(net["four_branches"])
    several = options.get("head") == "each"
    size = str(variant["input"])
    released = codec("released", sigma=float(recipe["sigmas"][size]))
    readings = {"": Reading(released)}
    if several:
        readings |= {f"_{head}": Reading(released, head=i) for i, head in enumerate(HEADS)}
    training = PoseTraining(
        model=model,
        options={**net["options"], **options},
        size=pose_weights.sides(size),
        strides=(4, 8, 16, 32) if several else (4,),
        codec=released,
        augmentation=Augmentation(**net["augmentation"]),
        colour=str(net["colour"]),
        weights=_start(variant),
        streamed=bool(recipe["streamed"]),
        recipe={**recipe, **net["schedule"]},
    )
    return PoseJob(training, test=partial(detected, str(recipe["test_data"])), readings=readings)


def detected(name: str) -> "PoseSet":
    """The people to score on, with the boxes of the detector behind the paper's tables."""
    from replab.datasets import coco

    return coco.load_detected(name.removeprefix("coco-"))


def _start(variant: Variant) -> Any:
    """The file of ImageNet weights that a net begins with; None from scratch."""
    from replab.datasets import pose_weights

    name = start_of(variant)
    return pose_weights.find(name) if name else None


def start_of(variant: Variant) -> str:
    """Name of the ImageNet weights that a variant begins with, empty from scratch."""
    if variant["init"] == "scratch":
        return ""
    return f"imagenet-{str(variant['net']).removeprefix('sb-')}"


def train(context: RunContext) -> RunResult:
    """Train one net on COCO and score its last iterate on detected boxes of val2017, percent."""
    from replab.runs import pose_runs

    return pose_runs.run(context, make_job(context))


def probe(context: RunContext) -> Cost:
    """Cost of one training and its scoring from the first steps."""
    from replab.runs import pose_runs

    return pose_runs.probe(context, make_job(context))


def training_cost(variant: Variant, recipe: Mapping[str, Any]) -> float:
    """Work in 10¹⁸ multiply-adds, about: forward and twice as much backward."""
    height, width = (int(side) for side in str(variant["input"]).split("x"))
    gmacs = GMACS[str(variant["net"])] * (height * width) / (256 * 192)
    schedule = recipe["nets"][variant["net"]]["schedule"]
    people = float(schedule["iterations"]) * float(recipe["batch_size"])
    return 3e-9 * gmacs * people


def fetches(variant: Variant) -> tuple[str, ...]:
    """What has to be on this machine beside the people to train on."""
    start = start_of(variant)
    return (*((f"weights:{start}",) if start else ()), "coco-detections", "coco-val2017")


def fingerprint(variant: Variant) -> str:
    """Fingerprint of the people scored on and of the weights begun with, known without them."""
    from replab.datasets import coco, pose_weights

    scored = coco.fingerprint(coco.ANNOTATIONS["val2017"], coco.PUBLISHED_BOXES)
    start = start_of(variant)
    return f"{scored}+{pose_weights.fingerprint(start)}" if start else scored


def schedule(epochs: int, drops: tuple[int, ...]) -> dict[str, Any]:
    """Iterations of so many epochs, and where the rate is divided by ten."""
    steps = [round(epoch * PEOPLE / BATCH) for epoch in (epochs, *drops)]
    return {"iterations": steps[0], "drops": steps[1:]}


HRNET: dict[str, Any] = {
    "options": {},
    "colour": "RGB",
    "augmentation": {"scale": 0.35, "rotation": 45.0, "flip": 0.5, "half_body": 0.3},
    "schedule": schedule(210, (170, 200)),
}
RECIPE: dict[str, Any] = {
    "nets": {
        "w32": {**HRNET, "model": "pose_hrnet_w32", "four_branches": "pose_hrnet_w22"},
        "w48": {**HRNET, "model": "pose_hrnet_w48"},
        # By its own recipe, that of the numbers that Fig. 6 compares with: shorter, in BGR.
        "sb-r50": {
            "model": "pose_resnet50",
            "options": {},
            "colour": "BGR",
            "augmentation": {"scale": 0.3, "rotation": 40.0, "flip": 0.5},
            "schedule": schedule(140, (90, 120)),
        },
    },
    "sigmas": {"128x96": 1.0, "256x192": 2.0, "384x288": 3.0},
    "streamed": True,
    "batch_size": BATCH,
    "optimiser": "adam",
    "lr": 0.001,
    "schedule": "steps",
    "test_data": "coco-val2017",
    "evaluate_every": round(10 * PEOPLE / BATCH),
    "glance_people": 2000,
    "tail": 0.01,
    "curve_points": 200,
}


def hrnet(width: int = 32, **changes: str) -> Variant:
    """A variant of an HRNet; as released, from scratch, at 256×192 where nothing else is said."""
    plain = {"exchange": "all", "head": "1x", "branches": "gradual"}
    return {"net": f"w{width}", "input": "256x192", "init": "scratch", **plain, **changes}


# Sizes of Fig. 6 that its trend is stated for.
SIZES = ("128x96", "256x192", "384x288")
VARIANTS: tuple[Variant, ...] = (
    *(hrnet(exchange=exchange) for exchange in ("all", "across", "end")),
    hrnet(branches="four"),
    *(hrnet(width, init="imagenet", head="each") for width in (32, 48)),
    *(hrnet(init="imagenet", input=size) for size in SIZES),
    *({"net": "sb-r50", "input": size, "init": "imagenet"} for size in SIZES),
)

COCO = Experiment(
    name="coco",
    version=1,
    changelog={1: "first version"},
    function=train,
    probe=probe,
    cost=training_cost,
    fetches=fetches,
    fingerprint=fingerprint,
    plans={
        "paper": Plan(
            VARIANTS,
            seeds=(0, 1, 2),
            recipe=RECIPE,
            data=("coco-train2017",),
            split="train2017 to train, val2017 with detected boxes to score",
        )
    },
    needs={
        "paper": (
            "COCO train2017 (`python -m replab fetch coco-train2017`, 19.6 GB) and val2017 "
            "(`python -m replab fetch coco-val2017`, 1.1 GB), the detector's boxes (`python -m "
            "replab fetch coco-detections --from FILE`), ImageNet weights where a net begins with "
            "them (`python -m replab fetch weights:imagenet-w32 --from FILE_OR_DIR`, likewise "
            "imagenet-w48 and imagenet-r50), and GPU-days: at 20 TFLOP/s about 1 for W32 at "
            "256×192, 30 for all 36 trainings; a probe measures it before they start"
        )
    },
)

SCRATCH = "coco[net=w32,input=256x192,init=scratch,exchange={},branches={}]"
PLAIN = SCRATCH.format("all", "gradual")
COLUMNS = ("ap", "ap50", "ap75", "apm", "apl", "ar")

ANSWERS = {
    **{f"table1.hrnet-w32-scratch.256x192.{name}": f"{PLAIN}.{name}" for name in COLUMNS},
    **{
        f"table6.{row}.ap": f"{SCRATCH.format(exchange, 'gradual')}.ap"
        for row, exchange in (("a", "end"), ("b", "across"), ("c", "all"))
    },
    "text.maintenance.ap": f"{SCRATCH.format('all', 'four')}.ap",
    "fig5.w{width}.{resolution}": "coco[net=w{width},init=imagenet,head=each].ap_{resolution}",
    # Points of Fig. 6 that are not tabled; the tabled ones are those of released weights.
    "fig6.hrnet-w32.128x96.ap": "coco[net=w32,input=128x96].ap",
    "fig6.simplebaseline-r50.128x96.ap": "coco[net=sb-r50,input=128x96].ap",
}
