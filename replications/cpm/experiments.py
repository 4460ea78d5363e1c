"""Experiments of Wei et al. (CVPR 2016)."""

from replications.cpm import (
    counts,
    hourglass,
    lspet,
    predictions,
    receptive_field,
    samples,
    scaled,
)

EXPERIMENTS = (
    predictions.PREDICTIONS,
    hourglass.HOURGLASS,
    samples.SAMPLES,
    counts.COUNTS,
    receptive_field.RECEPTIVE_FIELD,
    scaled.SCALED,
    lspet.REDUCED,
    lspet.FULL,
)
