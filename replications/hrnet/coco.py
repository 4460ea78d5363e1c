"""Trainings on COCO train2017 by the released recipes: from scratch, from ImageNet, ablated.

No code was released for the exchanges of Table 6, the four branches of section 4.4 and the heads
of Fig. 5; what stands here in their place, and all else that differs, says `deviations.yaml`.
"""

from dataclasses import replace
from typing import Any

from replab.runs import coco_trainings, pose_runs
from replab.runs.experiment import Experiment, Plan, RunContext, Variant
from replab.training import pose_recipes
from replab.training.pose_recipes import CocoRecipe, coco_hrnet, coco_pose_resnet

# The branches by their names in Fig. 5, and px of the input in one of their map.
HEADS = {"1x": 4, "2x": 8, "4x": 16, "8x": 32}
# 10⁹ multiply-adds of a crop at 256×192; other inputs cost in proportion to their pixels.
GMACS = {"w32": 7.645, "w48": 15.692, "sb-r50": 5.426}


def make_job(context: RunContext) -> pose_runs.PoseJob:
    """The training that a variant and its recipe describe, and how it is scored.

    Raises:
        MissingData: it begins with ImageNet weights that are not on this machine.
        UserError: these weights are damaged.
    """
    recipe: CocoRecipe = context.recipe
    variant = context.variant
    net = recipe.nets[str(variant["net"])]
    options: Any = {
        key: variant[key] for key in ("exchange", "head", "branches") if key in variant
    }
    if options.get("branches") == "four":
        assert net.four_branches is not None
        net = replace(net, model=net.four_branches)
    return coco_trainings.job(
        recipe,
        replace(net, options=replace(net.options, **options)),
        size=str(variant["input"]),
        start=start_of(variant),
        heads=HEADS if options.get("head") == "each" else {},
    )


def start_of(variant: Variant) -> str:
    """Name of the ImageNet weights that a variant begins with, empty from scratch."""
    if variant["init"] == "scratch":
        return ""
    return f"imagenet-{str(variant['net']).removeprefix('sb-')}"


TRAININGS = pose_runs.PoseTrainings(make_job)


def training_cost(variant: Variant, recipe: CocoRecipe) -> float:
    """Work in 10¹⁸ multiply-adds, about."""
    net = str(variant["net"])
    schedule = recipe.nets[net].schedule
    return coco_trainings.work(GMACS[net], str(variant["input"]), recipe, schedule)


def fetches(variant: Variant) -> tuple[str, ...]:
    """What has to be on this machine beside the people to train on."""
    return coco_trainings.fetches(start_of(variant))


def fingerprint(variant: Variant) -> str:
    """Fingerprint of the people scored on and of the weights begun with, known without them."""
    return coco_trainings.fingerprint(start_of(variant))


RECIPE = replace(
    pose_recipes.COCO,
    nets={
        "w32": coco_hrnet("pose_hrnet_w32", four_branches="pose_hrnet_w22"),
        "w48": coco_hrnet("pose_hrnet_w48"),
        # By its own recipe, that of the numbers that Fig. 6 compares with: shorter, in BGR.
        "sb-r50": coco_pose_resnet("pose_resnet50"),
    },
)


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
    metrics=("ap", "ap50", "ap75", "apm", "apl", "ar", "ap_1x", "ap_2x", "ap_4x", "ap_8x"),
    version=1,
    changelog={1: "first version"},
    function=TRAININGS.run,
    probe=TRAININGS.probe,
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
        "paper": coco_trainings.needs("imagenet-w32", "imagenet-w48", "imagenet-r50")
        + ": at 20 TFLOP/s about 1 for W32 at 256×192, 30 for all 36 trainings; a probe measures "
        "it before they start"
    },
)
