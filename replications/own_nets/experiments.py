"""Networks that we train to be used, not to be compared: no paper claims anything of them.

They are runs like any other, so each leaves a record that says what it was trained on, how, where
and with which result, and weights that can be shipped with it (docs/weights.md).
"""

from dataclasses import replace

from replab.datasets.lspet import WHOLE
from replab.runs import pose_runs
from replab.runs.experiment import Experiment, Plan, RunContext, Variant
from replab.training import pose_recipes
from replab.training.pose_recipes import AugmentationRecipe, HRNet, PeopleRecipe, PoseNet

EPOCHS, BATCH = 85, 32


def make_job(context: RunContext) -> pose_runs.PoseJob:
    """The training of a network of the recipe, and how it is scored."""
    net = context.recipe.nets[context.variant["net"]]
    return pose_runs.job(context.recipe, net.model, net.options())


TRAININGS = pose_runs.PoseTrainings(make_job)


def training_cost(variant: Variant, recipe: PeopleRecipe) -> float:
    """Work in people seen."""
    return float(recipe.iterations) * recipe.batch_size


# Fewer than 1,000,000 parameters, so that the file is smaller than 4 MB in float32.
NETS: dict[str, PoseNet] = {
    "hrnet": HRNet(model="pose_hrnet_w16", stem=16, bottlenecks=1, modules=(1, 1, 1), blocks=1),
}

RECIPE = replace(
    pose_recipes.LSPET,
    nets=NETS,
    input=(96, 128),
    # Small maps: the unbiased codec reads places between their pixels.
    codec="udp",
    sigma=1.0,
    margin=1.4,
    augmentation=AugmentationRecipe(scale=0.35, rotation=40.0, flip=0.5),
    iterations=round(EPOCHS * WHOLE.train / BATCH),
    batch_size=BATCH,
    lr=0.002,
    schedule="cosine",
    drops=(),
    warm_up_iterations=300,
    evaluate_every=round(10 * WHOLE.train / BATCH),
    glance_people=300,
)

POSE = Experiment(
    name="pose",
    version=1,
    changelog={1: "first version"},
    function=TRAININGS.run,
    probe=TRAININGS.probe,
    cost=training_cost,
    plans={
        "standin": Plan(
            tuple({"net": net} for net in NETS),
            recipe=RECIPE,
            data=("lspet-train",),
            split="pictures 1–9000 to train, 9001–10000 to score",
            precision="native",
            keeps_weights=True,
        )
    },
    needs={
        "standin": (
            "Leeds Sports Pose Extended (`python -m replab fetch lspet`, 170 MB) and some 70 "
            "minutes on two cores"
        )
    },
)

EXPERIMENTS = (POSE,)
