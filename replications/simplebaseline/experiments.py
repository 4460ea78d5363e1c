"""Experiments of Xiao et al. (ECCV 2018)."""

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
