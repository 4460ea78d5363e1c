"""Experiments of He et al. (CVPR 2016)."""

from replications.resnet import cifar, counts, imagenet, mechanism, released

EXPERIMENTS = (
    counts.COUNTS,
    released.RELEASED,
    cifar.DEGRADATION,
    mechanism.MECHANISM,
    cifar.SHORTENED,
    cifar.WARMED_UP,
    cifar.EIGHTH,
    cifar.PRECISION,
    cifar.CIFAR,
    cifar.GHOST,
    imagenet.IMAGENET,
)
