"""Number formats in which a network is run."""

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch


def autocast(device: str, precision: str) -> AbstractContextManager[Any]:
    """The autocast context of a precision, `fp32` or `bf16`.

    Raises:
        ValueError: the precision is neither.
    """
    if precision == "fp32":
        return nullcontext()
    if precision == "bf16":
        return torch.autocast(device.split(":")[0], dtype=torch.bfloat16)
    raise ValueError(f"unknown precision {precision!r}; there are fp32 and bf16")
