"""Trainings on generated people: the paper's ablations at a size that a laptop trains in minutes.

Small nets of the paper's kinds, trained from scratch by one recipe, compared seed by seed. Their
numbers can be set beside each other, not beside the paper's.
"""

from dataclasses import dataclass, fields, replace

from replab.runs import pose_runs
from replab.runs.experiment import Experiment, Plan, RunContext, Variant
from replab.training import pose_recipes
from replab.training.pose_recipes import HRNet, PeopleRecipe, PoseNet, PoseResNet

# The names of the paper's Table 6: (a) the final exchange alone, (b) one at the end of each stage,
# (c) all.
EXCHANGES = ("end", "across", "all")
SHIFTS = (0, 1, 2)
# Resolutions of the branches by their names in Fig. 5, and px of the input in one of the map.
HEADS = {"1x": 4, "2x": 8, "4x": 16, "8x": 32}


@dataclass(frozen=True, kw_only=True)
class Recipe(PeopleRecipe):
    """A training of this paper's nets on people that lie on the device.

    Attributes:
        heads: whether each branch has a head of its own.
        shifts: whether the mirror image is also read without, and with each shift.
    """

    heads: bool | None = None
    shifts: bool | None = None


def recipe(base: PeopleRecipe, **changes: object) -> Recipe:
    """A shared recipe with this paper's fields."""
    shared = {field.name: getattr(base, field.name) for field in fields(base)}
    return Recipe(**{**shared, **changes})


def make_job(context: RunContext) -> pose_runs.PoseJob:
    """The training that a variant and its recipe describe, and how it is scored.

    One pass of the network over the test people answers all questions: the score of each head,
    and what the mirror image's shift does. Boxes are annotated, so AP is that of the joints alone.
    """
    from replab.topdown.predict import Reading

    recipe: Recipe = context.recipe
    variant = context.variant
    net = recipe.nets[str(variant["net"])]
    options = net.options()
    if "exchange" in variant:
        options["exchange"] = variant["exchange"]
    own = pose_runs.recipe_codec(recipe)
    readings = {"": Reading(own)}
    if recipe.heads:
        options["head"] = "each"
        readings |= {f"_{head}": Reading(own, head=i) for i, head in enumerate(HEADS)}
    if recipe.shifts and variant.get("exchange") == EXCHANGES[-1]:
        readings["_noflip"] = Reading(own, flip=False)
        readings |= {f"_shift{i}": Reading(replace(own, shift=i)) for i in SHIFTS}
    strides = tuple(HEADS.values()) if recipe.heads else (HEADS["1x"],)
    return pose_runs.job(recipe, net.model, options, strides=strides, readings=readings)


TRAININGS = pose_runs.PoseTrainings(make_job)


def training_cost(variant: Variant, recipe: Recipe) -> float:
    """Seconds on one core, about, for the estimate of the time left."""
    slower = {"end": 1.0, "across": 1.05, "all": 1.3}
    net = (
        0.5 if variant["net"] == "simplebaseline" else slower[str(variant.get("exchange", "all"))]
    )
    return net * recipe.iterations / 25


NETS: dict[str, PoseNet] = {
    "hrnet": HRNet(model="pose_hrnet_w16", stem=16, bottlenecks=1, modules=(1, 2, 2), blocks=1),
    "simplebaseline": PoseResNet(model="pose_resnet10", width=24, deconv_channels=112),
}
# As many iterations as leave all twelve trainings under five minutes of two cores.
RECIPE = recipe(pose_recipes.PEOPLE, nets=NETS, shifts=True, iterations=320)
SEEDS = (0, 1, 2)
SPLIT = "people-train to train, people-test to score"

SCALED = Experiment(
    name="scaled",
    metrics=("ap",),
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
    metrics=("ap_1x", "ap_2x", "ap_4x"),
    plans={
        "quick": replace(
            SCALED.plans["quick"],
            variants=({"net": "hrnet"},),
            recipe=replace(RECIPE, heads=True, shifts=False),
        )
    },
)
