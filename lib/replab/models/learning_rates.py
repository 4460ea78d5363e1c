"""Groups of parameters that learn at rates of their own."""

from typing import Any

from torch import nn

from replab.models.cpm import CPM

# Of the released training of Convolutional Pose Machines: rates of stage 1, and of all biases.
FIRST_STAGE_RATE = 5.0
BIAS_RATE = 2.0


def parameter_groups(
    net: nn.Module,
    *,
    lr: float,
    weight_decay: float,
    first: float = FIRST_STAGE_RATE,
    bias: float = BIAS_RATE,
) -> list[dict[str, Any]]:
    """Parameters for an optimiser, in groups of their own learning rate and weight decay.

    Stage 1 learns `first` times as fast as the later stages, biases `bias` times as fast as the
    weights beside them and without decay. Source: genProto.py of shihenw/
    convolutional-pose-machines-release@a345bc5.

    Args:
        net: a `CPM`; of the VGG variant's training no rates are published.
        lr: of the later stages' weights.
        weight_decay: of all weights.

    Returns:
        Groups with `params`, `lr`, `weight_decay` and `lr_multiplier`, by which a schedule has to
        multiply its rate: (bias or not) × (stage 1 or later), those that have parameters.

    Raises:
        TypeError: `net` is no `CPM`.
    """
    if not isinstance(net, CPM):
        raise TypeError(f"{type(net).__name__} has no published rates of its own; give a CPM")
    members: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    for name, parameter in net.named_parameters():
        key = name.split(".")[0].endswith("_stage1"), name.endswith(".bias")
        members.setdefault(key, []).append(parameter)
    groups: list[dict[str, Any]] = []
    for (in_first, is_bias), parameters in members.items():
        multiplier = (first if in_first else 1.0) * (bias if is_bias else 1.0)
        groups.append(
            {
                "params": parameters,
                "lr": lr * multiplier,
                "weight_decay": 0.0 if is_bias else weight_decay,
                "lr_multiplier": multiplier,
            }
        )
    return groups
