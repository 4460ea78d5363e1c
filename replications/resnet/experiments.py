"""Experiments of He et al. (CVPR 2016), and which of their numbers answers which claim."""

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

ANSWERS = {**counts.ANSWERS, **released.ANSWERS, **cifar.ANSWERS, **imagenet.ANSWERS}
