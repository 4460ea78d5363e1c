"""Parameters and multiply-adds, exact integers, counted without memory and without work."""

import copy
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from replab.models import registry


@dataclass(frozen=True)
class Macs:
    """Multiply-adds of one forward pass; bias, normalisation, ReLU and pooling are not counted.

    Attributes:
        conv: convolutions, the work really done: weights × output pixels, and for a transposed
            convolution weights × input pixels.
        linear: linear layers: weights × rows.
        conv_paper: convolutions with a transposed one counted as weights × output pixels, the
            convention of the HRNet and SimpleBaseline authors (stride² times its real work).
    """

    conv: int
    linear: int
    conv_paper: int

    @property
    def total(self) -> int:
        """Convolutions as really done, and linear layers."""
        return self.conv + self.linear

    @property
    def total_paper(self) -> int:
        """Convolutions in the pose papers' convention, and linear layers."""
        return self.conv_paper + self.linear

    @property
    def gflops_paper(self) -> float:
        """`total_paper` in 2^30, the "GFLOPs" that the pose papers print."""
        return self.total_paper / 2**30


def count_parameters(model: nn.Module) -> int:
    """Number of trainable numbers in `model`; a shared parameter counts once, buffers never."""
    return sum(parameter.numel() for parameter in model.parameters())


def count_macs(model: nn.Module, input_shape: Sequence[int]) -> Macs:
    """Multiply-adds of a forward pass in evaluation mode, without memory, work or side effect.

    Args:
        input_shape: C×H×W for one image, or N×C×H×W to count a batch of N.

    The layers are nn.Conv2d, nn.ConvTranspose2d and nn.Linear, each counted as often as it is
    called; a convolution that a module calls as a function is not seen. `model` may be on any
    device, meta too, and is left as it is. Its forward pass must accept an empty batch.
    """
    batch, *image = input_shape if len(input_shape) == 4 else (1, *input_shape)
    twin = _weightless_twin(model)
    conv = linear = conv_paper = 0

    def on_forward(module: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> None:
        nonlocal conv, linear, conv_paper
        if isinstance(module, nn.Linear):
            linear += module.weight.numel() * math.prod(output.shape[1:-1])
        elif isinstance(module, nn.ConvTranspose2d):
            weights = module.weight.numel()
            conv += weights * math.prod(inputs[0].shape[2:])
            conv_paper += weights * math.prod(output.shape[2:])
        elif isinstance(module, nn.Conv2d):
            work = module.weight.numel() * math.prod(output.shape[2:])
            conv += work
            conv_paper += work

    for module in twin.modules():
        if isinstance(module, nn.Linear | nn.ConvTranspose2d | nn.Conv2d):
            module.register_forward_hook(on_forward)
    # A batch of no images: torch works out every shape and computes nothing. The meta device
    # would do so too, but its first operation imports torch's compiler, which takes seconds.
    with torch.no_grad(), torch.device("cpu"):
        twin(torch.empty((0, *image)))
    return Macs(conv=batch * conv, linear=batch * linear, conv_paper=batch * conv_paper)


def _weightless_twin(model: nn.Module) -> nn.Module:
    """A copy of `model` in evaluation mode with tensors that nobody ever writes or reads."""

    def hollow(tensor: Tensor) -> Tensor:
        # Memory that is reserved and not touched takes up none.
        dtype = torch.float32 if tensor.is_floating_point() else tensor.dtype
        return torch.empty(tensor.shape, dtype=dtype, device="cpu")

    # A memo that already holds the hollow tensors lets deepcopy take them in place of the real
    # ones, so that the weights are never copied.
    memo: dict[int, Any] = {}
    for parameter in model.parameters():
        memo[id(parameter)] = nn.Parameter(hollow(parameter), requires_grad=False)
    for buffer in model.buffers():
        memo[id(buffer)] = hollow(buffer)
    twin = copy.deepcopy(model, memo).eval()
    for module in twin.modules():
        # The caller's hooks are for images, not for this.
        module._forward_hooks.clear()
        module._forward_pre_hooks.clear()
    return twin


def catalogue(names: Iterable[str] | None = None) -> list[dict[str, Any]]:
    """What every net costs, in its default form and, where that differs, in the paper's.

    Args:
        names: the nets; all of `registry.names()` if None.

    Returns:
        One dictionary a form: `name`, `options` (those that differ from `create`'s defaults),
        `params`, `macs` (conv + linear of one image), `gflops_paper` (as the paper prints it for
        the net of that name, else None: 10^9 multiply-adds, of pose nets `Macs.gflops_paper`) and
        `input` ([C, H, W]).

    Raises:
        UserError: no such name.
    """
    rows: list[dict[str, Any]] = []
    for name in registry.names() if names is None else names:
        known = registry.find(name)
        for form in known.forms_of(name):
            with torch.device("meta"):
                model = registry.create(name, **form.options)
            rows.append(
                {
                    "name": name,
                    "options": dict(form.options),
                    "params": count_parameters(model),
                    "macs": count_macs(model, known.input_shape).total,
                    "gflops_paper": form.gflops_paper,
                    "input": list(known.input_shape),
                }
            )
    return rows
