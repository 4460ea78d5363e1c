"""Trainings on generated people: the paper's ablations at a size that a laptop trains in minutes.

Small nets of the paper's kinds, trained from scratch by one recipe, compared seed by seed. Their
numbers can be set beside each other, not beside the paper's.
"""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from replab.runs.experiment import Cost, Experiment, Plan, RunContext, RunResult, Variant

if TYPE_CHECKING:
    from replab.runs.pose_runs import PoseJob

# The names of the paper's Table 6: (a) the final exchange alone, (b) one at the end of each stage,
# (c) all.
EXCHANGES = ("end", "across", "all")
SHIFTS = (0, 1, 2)
HEADS = ("1x", "2x", "4x", "8x")


def make_job(context: RunContext) -> "PoseJob":
    """The training that a variant and its recipe describe, and how it is scored.

    One pass of the network over the test people answers all questions: AP of each head, and what
    the mirror image's shift does. Boxes are annotated, so AP is that of the joints alone.
    """
    from replab import datasets
    from replab.keypoints.augmentation import Augmentation
    from replab.keypoints.codecs import codec
    from replab.runs.pose_runs import PoseJob
    from replab.topdown.predict import Reading
    from replab.training.poses import PoseTraining

    recipe = context.recipe
    net = dict(recipe["nets"][context.variant["net"]])
    several = bool(recipe.get("heads"))
    if several:
        net["head"] = "each"
    if "exchange" in context.variant:
        net["exchange"] = context.variant["exchange"]
    released = codec("released", sigma=float(recipe["sigma"]))
    readings = {"": Reading(released)}
    if several:
        readings |= {f"_{head}": Reading(released, head=i) for i, head in enumerate(HEADS)}
    if recipe.get("shifts") and context.variant.get("exchange") == EXCHANGES[-1]:
        readings["_noflip"] = Reading(released, flip=False)
        readings |= {f"_shift{i}": Reading(replace(released, shift=i)) for i in SHIFTS}
    training = PoseTraining(
        model=net.pop("model"),
        options=net,
        size=tuple(recipe["input"]),
        strides=(4, 8, 16, 32) if several else (4,),
        codec=released,
        augmentation=Augmentation(**recipe["augmentation"]),
        margin=float(recipe["margin"]),
        recipe=recipe,
    )
    return PoseJob(
        training, test=partial(datasets.open_poses, recipe["test_data"]), readings=readings
    )


def train(context: RunContext) -> RunResult:
    """Train one small net and score its last iterate; see `pose_runs.run`."""
    from replab.runs import pose_runs

    return pose_runs.run(context, make_job(context))


def probe(context: RunContext) -> Cost:
    """Cost of one training and its scoring from the first steps."""
    from replab.runs import pose_runs

    return pose_runs.probe(context, make_job(context))


def training_cost(variant: Variant, recipe: Mapping[str, Any]) -> float:
    """Seconds on one core, about, for the estimate of the time left."""
    slower = {"end": 1.0, "across": 1.05, "all": 1.3}
    net = (
        0.5 if variant["net"] == "simplebaseline" else slower[str(variant.get("exchange", "all"))]
    )
    return net * float(recipe["iterations"]) / 25


RECIPE: dict[str, Any] = {
    "nets": {
        "hrnet": {
            "model": "pose_hrnet_w16",
            "stem": 16,
            "bottlenecks": 1,
            "modules": [1, 2, 2],
            "blocks": 1,
        },
        "simplebaseline": {"model": "pose_resnet10", "width": 24, "deconv_channels": 112},
    },
    "input": [96, 128],
    "sigma": 1.0,
    "margin": 1.0,
    "augmentation": {"scale": 0.0, "rotation": 0.0, "flip": 0.5},
    "iterations": 400,
    "batch_size": 8,
    "optimiser": "adam",
    "lr": 0.003,
    "schedule": "cosine",
    "warm_up_iterations": 30,
    "tail": 0.1,
    "curve_points": 20,
    "test_data": "people-test",
    "shown_people": 8,
    "shifts": True,
}
SEEDS = (0, 1, 2)
SPLIT = "people-train to train, people-test to score"

SCALED = Experiment(
    name="scaled",
    version=2,
    changelog={
        1: "first version",
        2: "scored in the precision of the training; joints of a few people are kept",
    },
    function=train,
    probe=probe,
    cost=training_cost,
    plans={
        "quick": Plan(
            (
                *({"net": "hrnet", "exchange": exchange} for exchange in ("end", "all")),
                {"net": "simplebaseline"},
            ),
            seeds=SEEDS,
            recipe=RECIPE,
            data=("people-train",),
            split=SPLIT,
            precision="native",
        )
    },
)

# The same training with heads on all branches.
RESOLUTION = replace(
    SCALED,
    name="resolution",
    plans={
        "quick": replace(
            SCALED.plans["quick"],
            variants=({"net": "hrnet"},),
            recipe={**RECIPE, "heads": True, "shifts": False},
        )
    },
)
