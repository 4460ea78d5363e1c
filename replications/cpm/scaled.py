"""Trainings on generated people: Fig. 5 and Fig. 6 at a size that a laptop trains in minutes.

Three stages of small layers, trained from scratch by one recipe, compared seed by seed. Their
numbers can be set beside each other, not beside the paper's.
"""

from replications.cpm import trainings

from replab.runs.experiment import Experiment, Plan, Variant
from replab.training import pose_recipes

# Narrow layers with He's initialisation, since the paper's, N(0, 0.01²), takes a hundred times
# as many iterations; last layers near zero, without which so short a training stays at "no joint".
SMALL = trainings.CpmNet(
    model="cpm",
    stages=3,
    stride=4,
    tower=(16, 24),
    tower_kernel=3,
    image_kernel=3,
    image_width=24,
    head_kernel=5,
    head_width=24,
    stage_kernel=5,
    stage_width=24,
    pool=2,
    shared="features",
    centre_map=True,
    background=False,
    dropout=0.0,
    init="he",
    last_std=0.001,
)
RECIPE = trainings.recipe(
    pose_recipes.PEOPLE,
    nets={"small": SMALL},
    input=(72, 96),
    iterations=600,
    loss="mean",
    colour="RGB",
    mean=(0.485, 0.456, 0.406),
    std=(0.229, 0.224, 0.225),
    # After how many steps gradients are looked at. Not at the first: there the last layers, small
    # by our choice, decide how little comes through.
    moments=(50, 200, 600),
    gradient_batches=8,
    context_people=200,
    belief_joint="left_wrist",
    belief_people=4,
)
# Schemes that train one stage after the other wait for profile `standin`: there is no time here.
SHOWN = (trainings.ALL, trainings.LAST)


def training_cost(variant: Variant, recipe: trainings.CpmRecipe) -> float:
    """Seconds on one core, about, for the estimate of the time left; all variants alike."""
    return recipe.iterations / 12


SCALED = Experiment(
    name="scaled",
    metrics=(
        *("ap", "ap_stage1", "ap_stage2", "ap_stage3", "ap_alone_stage3", "ap_together_stage3"),
        *("log_gradient_first_1", "log_gradient_first_2", "log_gradient_first_3"),
    ),
    version=2,
    changelog={
        1: "first version",
        2: "stage 1 learns everybody in the crop; a centre map tells the others who is meant",
    },
    function=trainings.TRAININGS.run,
    probe=trainings.TRAININGS.probe,
    cost=training_cost,
    plans={
        "quick": Plan(
            tuple({"net": "small", "supervision": scheme} for scheme in SHOWN),
            seeds=(0, 1, 2),
            recipe=RECIPE,
            data=("people-train",),
            split="people-train to train, people-test to score",
            precision="native",
        )
    },
)
