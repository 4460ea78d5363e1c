"""Trainings that anyone can do: the rows of Table 1 on generated people and on LSP Extended.

On generated people, small nets of the same kind, so that a laptop trains them in minutes; the same
nets on photographs in an hour. Their numbers can be set beside each other, not beside the paper's.
"""

from collections.abc import Mapping
from dataclasses import replace

from replications.simplebaseline.rows import ROWS, Row

from replab.runs import pose_runs
from replab.runs.experiment import Experiment, Plan, RunContext, Variant
from replab.training import pose_recipes
from replab.training.pose_recipes import PeopleRecipe, PoseResNet

SEEDS = (0, 1, 2)


def make_job(context: RunContext) -> pose_runs.PoseJob:
    """The training of a row, and how it is scored.

    Gaussians have the recipe's width in px of the map, whatever its size, unless the row names its
    own.
    """
    recipe: PeopleRecipe = context.recipe
    net = recipe.nets[str(context.variant["row"])]
    assert isinstance(net, PoseResNet)
    layers = 3 if net.deconv_layers is None else net.deconv_layers
    own = recipe.with_net(net)
    return pose_runs.job(own, net.model, net.options(), strides=(32 // 2**layers,))


TRAININGS = pose_runs.PoseTrainings(make_job)


def training_cost(variant: Variant, recipe: PeopleRecipe) -> float:
    """Work in 10⁹ multiply-adds at the paper's sizes, the way back left out."""
    relative = {"b": 0.85, "c": 0.8, "d": 0.9, "e": 1.7, "f": 2.3, "g": 0.25, "h": 2.25}
    weight = relative.get(str(variant["row"]), 1.0)
    return 5.4 * weight * recipe.iterations * recipe.batch_size


# What Table 1 varies, on a net of one basic block a stage at 128×96: half the input, a layer less,
# smaller kernels, twice the blocks.
SMALL = PoseResNet(model="pose_resnet10", width=16, deconv_channels=64)
QUICK_NETS: Mapping[str, PoseResNet] = {
    "a": SMALL,
    "b": replace(SMALL, deconv_layers=2),
    "c": replace(SMALL, deconv_kernel=2),
    "e": replace(SMALL, model="pose_resnet18"),
    "g": replace(SMALL, input=(48, 64)),
}
# Row (d)'s kernel too, for which `quick` has no time.
REDUCED_NETS: Mapping[str, PoseResNet] = {**QUICK_NETS, "d": replace(SMALL, deconv_kernel=3)}
# Twice as long as for HRNet: these nets cost half, and layers and kernels matter late.
QUICK_ITERATIONS = 800


def released_net(row: Row) -> PoseResNet:
    """A row's own network and input, as a recipe's `nets` holds it."""
    height, width = (int(side) for side in row.size.split("x"))
    return PoseResNet(
        model=row.model,
        deconv_layers=row.deconv_layers,
        deconv_kernel=row.deconv_kernel,
        input=(width, height),
        # Released: 2 px at 256×192, 3 at 384×288; 128×96 was not released.
        sigma={128: 1.0, 256: 2.0, 384: 3.0}[height],
    )


SCALED = Experiment(
    name="scaled",
    metrics=("ap",),
    version=1,
    changelog={1: "first version"},
    function=TRAININGS.run,
    probe=TRAININGS.probe,
    cost=training_cost,
    plans={
        "quick": Plan(
            tuple({"row": row} for row in QUICK_NETS),
            seeds=SEEDS,
            recipe=replace(pose_recipes.PEOPLE, iterations=QUICK_ITERATIONS, nets=QUICK_NETS),
            data=("people-train",),
            split="people-train to train, people-test to score",
            precision="native",
        )
    },
)

LSPET = Experiment(
    name="lspet",
    metrics=("pck",),
    version=1,
    changelog={1: "first version"},
    function=TRAININGS.run,
    probe=TRAININGS.probe,
    cost=training_cost,
    plans={
        "standin": Plan(
            tuple({"row": row} for row in ROWS),
            seeds=SEEDS,
            recipe=replace(
                pose_recipes.LSPET,
                nets={letter: released_net(row) for letter, row in ROWS.items()},
            ),
            data=("lspet-train",),
            split="pictures 1–9000 to train, 9001–10000 to score",
            precision="native",
        )
    },
    needs={
        "standin": (
            "Leeds Sports Pose Extended (`python -m replab fetch lspet`, 170 MB) and GPU-days: "
            "24 trainings of 59,062 iterations"
        )
    },
)

# The small nets in place of the released ones, by the recipe of HRNet's small nets.
LSPET_REDUCED = replace(
    LSPET,
    name="lspet_reduced",
    plans={
        "standin": replace(
            LSPET.plans["standin"],
            variants=tuple({"row": row} for row in REDUCED_NETS),
            recipe=replace(pose_recipes.LSPET_REDUCED, nets=REDUCED_NETS),
        )
    },
    needs={
        "standin": (
            "Leeds Sports Pose Extended (`python -m replab fetch lspet`, 170 MB) and about three "
            "quarters of an hour on two cores"
        )
    },
)
