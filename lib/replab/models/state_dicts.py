"""What the names and shapes of a state dict's tensors tell of the network that has them."""

import re
from collections.abc import Mapping

from torch import Tensor

from replab.errors import UserError

_BLOCK = re.compile(r"layer(\d+)\.(\d+)\.conv1\.weight")


def count(state_dict: Mapping[str, Tensor], pattern: str) -> int:
    """How many different texts the first group of a pattern takes at the beginning of names."""
    return len({match[1] for name in state_dict if (match := re.match(pattern, name))})


def residual_blocks(state_dict: Mapping[str, Tensor]) -> dict[int, set[int]]:
    """Stage of a residual network → numbers of its blocks."""
    stages: dict[int, set[int]] = {}
    for name in state_dict:
        if match := _BLOCK.fullmatch(name):
            stages.setdefault(int(match[1]), set()).add(int(match[2]))
    return stages


def four_dimensional(state_dict: Mapping[str, Tensor], name: str) -> Tensor | None:
    """The tensor of a name, None if it is missing or no weight of a 2D convolution."""
    tensor = state_dict.get(name)
    return tensor if tensor is not None and tensor.dim() == 4 else None


def not_of(kind: str, expected: str) -> UserError:
    """The error that a state dict lacks what a kind of network has."""
    return UserError(
        f"these weights are of no {kind}: {expected} are expected; give weights of such a net"
    )
