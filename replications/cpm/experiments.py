"""Experiments of Wei et al. (CVPR 2016), and which of their numbers answers which claim."""

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

ANSWERS = {**predictions.ANSWERS, **counts.ANSWERS, **receptive_field.ANSWERS}
