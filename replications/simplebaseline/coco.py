"""Trainings on COCO train2017 by the released recipe: every row of Table 1, one command a row.

    nox -s replicate -- simplebaseline --profile paper --only 'table1.g.*'

What differs from the released code says `deviations.yaml`.
"""

from dataclasses import replace

from replications.simplebaseline.rows import ROWS

from replab.runs import coco_trainings, pose_runs
from replab.runs.experiment import Experiment, Plan, RunContext, Variant
from replab.training import pose_recipes
from replab.training.pose_recipes import CocoNetOptions, CocoRecipe, coco_pose_resnet

# 10⁹ multiply-adds of a crop of 256×192.
GMACS = {"a": 5.426, "b": 4.611, "c": 4.369, "d": 4.810, "e": 9.063, "f": 12.699}


def make_job(context: RunContext) -> pose_runs.PoseJob:
    """The training of a row, from ImageNet weights, and how it is scored.

    Raises:
        MissingData: the ImageNet weights are not on this machine.
        UserError: these weights are damaged.
    """
    letter = str(context.variant["row"])
    return coco_trainings.job(
        context.recipe,
        context.recipe.nets[letter],
        size=ROWS[letter].size,
        start=start_of(context.variant),
    )


def start_of(variant: Variant) -> str:
    """Name of the ImageNet weights that a row begins with."""
    return f"imagenet-r{ROWS[str(variant['row'])].depth}"


TRAININGS = pose_runs.PoseTrainings(make_job)


def training_cost(variant: Variant, recipe: CocoRecipe) -> float:
    """Work in 10¹⁸ multiply-adds, about."""
    letter = str(variant["row"])
    schedule = recipe.nets[letter].schedule
    return coco_trainings.work(GMACS.get(letter, GMACS["a"]), ROWS[letter].size, recipe, schedule)


def fetches(variant: Variant) -> tuple[str, ...]:
    """What has to be on this machine beside the people to train on."""
    return coco_trainings.fetches(start_of(variant))


def fingerprint(variant: Variant) -> str:
    """Fingerprint of the people scored on and of the weights begun with, known without them."""
    return coco_trainings.fingerprint(start_of(variant))


COCO = Experiment(
    name="coco",
    metrics=("ap",),
    version=1,
    changelog={1: "first version"},
    function=TRAININGS.run,
    probe=TRAININGS.probe,
    cost=training_cost,
    fetches=fetches,
    fingerprint=fingerprint,
    plans={
        "paper": Plan(
            tuple({"row": letter} for letter in ROWS),
            seeds=(0, 1, 2),
            recipe=replace(
                pose_recipes.COCO,
                nets={
                    letter: coco_pose_resnet(
                        row.model,
                        CocoNetOptions(
                            deconv_layers=row.deconv_layers, deconv_kernel=row.deconv_kernel
                        ),
                    )
                    for letter, row in ROWS.items()
                },
            ),
            data=("coco-train2017",),
            split="train2017 to train, val2017 with detected boxes to score",
        )
    },
    needs={
        "paper": coco_trainings.needs("imagenet-r50", "imagenet-r101", "imagenet-r152")
        + ": 24 trainings of 140 epochs; a probe measures them before they start"
    },
)
