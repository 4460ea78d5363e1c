"""Networks as small as they come, and what a file of weights of one says."""

from replab.models.own_weights import OwnWeights

# Of `cpm`: three stages of three small layers.
MACHINE = {
    "stages": 3,
    "stride": 4,
    "tower": [4, 4],
    "tower_kernel": 3,
    "image_kernel": 3,
    "image_width": 4,
    "head_kernel": 3,
    "head_width": 4,
    "stage_kernel": 3,
    "stage_width": 4,
    "stage_layers": 1,
    "pool": 2,
    "centre_map": False,
    "background": False,
    "dropout": 0.0,
    "init": "he",
    "last_std": 0.01,
}


def own(**changes):
    """The description of a net for CIFAR-10."""
    usual = {
        "model": "cifar_resnet8",
        "options": {},
        "size": (32, 32),
        "colour": "RGB",
        "mean": (0.1, 0.2, 0.3),
        "std": (1.0, 1.0, 1.0),
        "classes": tuple("abcdefghij"),
        "test_data": "cifar10",
    }
    return OwnWeights(**usual | changes)
