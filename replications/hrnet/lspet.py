"""Trainings on photographs that anyone can get: Leeds Sports Pose Extended in place of COCO.

The paper's nets from scratch by the paper's recipe, one for both networks, and the same comparison
with small nets that a laptop trains. Scored by PCK at 0.2 of the torso, as the set is.
"""

from dataclasses import replace

from replications.hrnet import scaled

from replab.runs.experiment import Experiment, Plan, Variant
from replab.training import pose_recipes
from replab.training.pose_recipes import PoseNet

SEEDS = (0, 1, 2)
VARIANTS = (
    *({"net": "hrnet", "exchange": exchange} for exchange in scaled.EXCHANGES),
    {"net": "simplebaseline"},
)
SPLIT = "pictures 1–9000 to train, 9001–10000 to score"
# 10⁹ multiply-adds of a crop of 256×192 px.
GMACS = {"hrnet": 7.6, "simplebaseline": 5.4}


def training_cost(variant: Variant, recipe: scaled.Recipe) -> float:
    """Work in 10⁹ multiply-adds, mirror images and the way back left out."""
    return GMACS[str(variant["net"])] * recipe.iterations * recipe.batch_size


FULL = Experiment(
    name="lspet",
    metrics=("pck",),
    version=1,
    changelog={1: "first version"},
    function=scaled.TRAININGS.run,
    probe=scaled.TRAININGS.probe,
    cost=training_cost,
    plans={
        "standin": Plan(
            VARIANTS,
            seeds=SEEDS,
            recipe=scaled.recipe(
                pose_recipes.LSPET,
                nets={
                    "hrnet": PoseNet(model="pose_hrnet_w32"),
                    "simplebaseline": PoseNet(model="pose_resnet50"),
                },
            ),
            data=("lspet-train",),
            split=SPLIT,
            precision="native",
        )
    },
    needs={
        "standin": (
            "Leeds Sports Pose Extended (`python -m replab fetch lspet`, 170 MB) and GPU-days: "
            "twelve trainings of 59,062 iterations"
        )
    },
)

REDUCED = replace(
    FULL,
    name="lspet_reduced",
    cost=scaled.training_cost,
    plans={
        "standin": replace(
            FULL.plans["standin"],
            recipe=scaled.recipe(pose_recipes.LSPET_REDUCED, nets=scaled.NETS),
        )
    },
    needs={
        "standin": (
            "Leeds Sports Pose Extended (`python -m replab fetch lspet`, 170 MB) and about an "
            "hour on two cores"
        )
    },
)
