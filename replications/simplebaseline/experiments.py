"""Experiments of Xiao et al. (ECCV 2018), and which of their numbers answers which claim."""

from replications.simplebaseline import coco, counts, released, trainings

EXPERIMENTS = (
    counts.COUNTS,
    trainings.SCALED,
    trainings.LSPET,
    trainings.LSPET_REDUCED,
    released.RELEASED,
    released.COLOUR,
    coco.COCO,
)

ANSWERS = {**counts.ANSWERS, **released.ANSWERS, **coco.ANSWERS}
