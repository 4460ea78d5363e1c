"""The deterministic weights and inputs of the goldens: from names and shapes alone.

Source: golden/README.md section 1. Every entry is drawn from a generator seeded with the CRC-32
of its name, in float64, then cast to float32.
"""

import math
import zlib
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor


def draw(name: str, shape: Sequence[int]) -> np.ndarray:
    """The standard normal numbers (float64, C order) that belong to a tensor of that name."""
    generator = np.random.Generator(np.random.PCG64(zlib.crc32(name.encode())))
    return generator.standard_normal(tuple(shape))


def value(name: str, shape: Sequence[int], gain: float) -> Tensor:
    """One tensor of a state_dict: float32, or int64 zero for `num_batches_tracked`."""
    if name.endswith("num_batches_tracked"):
        return torch.zeros(tuple(shape), dtype=torch.int64)
    n = draw(name, shape)
    if name.endswith("running_mean"):
        n = 0.1 * n
    elif name.endswith("running_var"):
        n = np.exp(0.1 * n)
    elif name.endswith("bias"):
        n = 0.1 * n
    elif len(shape) == 1:
        n = 1 + 0.1 * n
    else:
        n = n * math.sqrt(gain / math.prod(shape[1:]))
    return torch.from_numpy(n.astype(np.float32))


def recipe_state(state: Mapping[str, Tensor], gain: float) -> dict[str, Tensor]:
    """The recipe's values for every entry of a `state_dict`, whose own values do not matter."""
    return {name: value(name, tensor.shape, gain) for name, tensor in state.items()}


def recipe_input(shape: Sequence[int], seed: int = 0) -> Tensor:
    """The standard input of that shape, float32."""
    generator = np.random.Generator(np.random.PCG64(seed))
    return torch.from_numpy(generator.standard_normal(tuple(shape)).astype(np.float32))
