"""Trainings on generated people: the paper's ablations at a size that a laptop trains in minutes.

Small nets of the paper's kinds, trained from scratch by one recipe, compared seed by seed. Their
numbers can be set beside each other, not beside the paper's.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from replab.runs import pose_runs
from replab.runs.experiment import Experiment, Plan, RunContext, Variant
from replab.training import recipes

# The names of the paper's Table 6: (a) the final exchange alone, (b) one at the end of each stage,
# (c) all.
EXCHANGES = ("end", "across", "all")
SHIFTS = (0, 1, 2)
# Resolutions of the branches by their names in Fig. 5, and px of the input in one of the map.
HEADS = {"1x": 4, "2x": 8, "4x": 16, "8x": 32}


def make_job(context: RunContext) -> pose_runs.PoseJob:
    """The training that a variant and its recipe describe, and how it is scored.

    One pass of the network over the test people answers all questions: the score of each head,
    and what the mirror image's shift does. Boxes are annotated, so AP is that of the joints alone.
    """
    from replab.topdown.predict import Reading

    recipe, variant = context.recipe, context.variant
    net = dict(recipe["nets"][variant["net"]])
    model = net.pop("model")
    if "exchange" in variant:
        net["exchange"] = variant["exchange"]
    own = pose_runs.recipe_codec(recipe)
    readings = {"": Reading(own)}
    if recipe.get("heads"):
        net["head"] = "each"
        readings |= {f"_{head}": Reading(own, head=i) for i, head in enumerate(HEADS)}
    if recipe.get("shifts") and variant.get("exchange") == EXCHANGES[-1]:
        readings["_noflip"] = Reading(own, flip=False)
        readings |= {f"_shift{i}": Reading(replace(own, shift=i)) for i in SHIFTS}
    strides = tuple(HEADS.values()) if recipe.get("heads") else (HEADS["1x"],)
    return pose_runs.job(recipe, model, net, strides=strides, readings=readings)


TRAININGS = pose_runs.PoseTrainings(make_job)


def training_cost(variant: Variant, recipe: Mapping[str, Any]) -> float:
    """Seconds on one core, about, for the estimate of the time left."""
    slower = {"end": 1.0, "across": 1.05, "all": 1.3}
    net = (
        0.5 if variant["net"] == "simplebaseline" else slower[str(variant.get("exchange", "all"))]
    )
    return net * float(recipe["iterations"]) / 25


NETS: dict[str, dict[str, Any]] = {
    "hrnet": {
        "model": "pose_hrnet_w16",
        "stem": 16,
        "bottlenecks": 1,
        "modules": [1, 2, 2],
        "blocks": 1,
    },
    "simplebaseline": {"model": "pose_resnet10", "width": 24, "deconv_channels": 112},
}
# As many iterations as leave all twelve trainings under five minutes of two cores.
RECIPE: dict[str, Any] = {**recipes.PEOPLE, "nets": NETS, "shifts": True, "iterations": 320}
SEEDS = (0, 1, 2)
SPLIT = "people-train to train, people-test to score"

SCALED = Experiment(
    name="scaled",
    version=3,
    changelog={
        1: "first version",
        2: "scored in the precision of the training; joints of a few people are kept",
        3: "320 iterations rather than 400, so that the trainings fit five minutes of two cores",
    },
    function=TRAININGS.run,
    probe=TRAININGS.probe,
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
