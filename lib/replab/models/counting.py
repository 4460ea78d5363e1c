"""Parameters and multiply-adds, exact integers, counted without memory and without work."""

import copy
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from replab import models

IMAGENET_INPUT = (3, 224, 224)
CIFAR_INPUT = (3, 32, 32)
POSE_INPUT = (3, 256, 192)
CPM_INPUT = (4, 368, 368)

# He et al. 2016, Table 1 (last row; the plain nets share its 18- and 34-layer columns) and
# section 4.1 for VGG, in 10^9 multiply-adds. Sun et al. 2019, Table 1, for the pose nets at
# 256×192, in 2^30 multiply-adds of their convention.
_GFLOPS_PAPER = {
    "resnet18": 1.8,
    "plain18": 1.8,
    "resnet34": 3.6,
    "plain34": 3.6,
    "resnet50": 3.8,
    "resnet101": 7.6,
    "resnet152": 11.3,
    "vgg16": 15.3,
    "vgg19": 19.6,
    "pose_hrnet_w32": 7.1,
    "pose_hrnet_w48": 14.6,
    "pose_resnet50": 8.9,
    "pose_resnet101": 12.4,
    "pose_resnet152": 15.7,
}


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


def _variants(name: str) -> list[dict[str, Any]]:
    """The forms of a net that a reader compares: default options, then what differs from them."""
    if name.startswith("cifar_resnet"):
        return [{}, {"shortcut": "B"}]
    if name in ("resnet18", "resnet34"):
        return [{}, {"shortcut": "A"}]
    if name in ("resnet50", "resnet101", "resnet152"):
        return [{}, {"stride_on": "1x1"}]
    if name == "pose_hrnet_w32":
        return [{}, {"exchange": "across"}, {"exchange": "end"}, {"branches": "four"}]
    if name == "pose_resnet50":
        return [{}, {"deconv_layers": 2}, {"deconv_kernel": 2}, {"deconv_kernel": 3}]
    if name == "cpm":
        return [{}, *({"stages": stages} for stages in range(1, 6))]
    return [{}]


def _input_of(name: str) -> tuple[int, int, int]:
    if name.startswith("pose_"):
        return POSE_INPUT
    if name.startswith("cpm"):
        return CPM_INPUT
    return CIFAR_INPUT if name.startswith("cifar_") else IMAGENET_INPUT


def _printed(name: str, options: dict[str, Any]) -> float | None:
    # The pose papers print the default form alone; the forms of He et al. share one number.
    return None if name.startswith("pose_") and options else _GFLOPS_PAPER.get(name)


def catalogue(names: Iterable[str] | None = None) -> list[dict[str, Any]]:
    """What every net costs, in its default form and, where that differs, in the paper's.

    Args:
        names: the nets; all of `replab.models.names()` if None.

    Returns:
        One dictionary a form: `name`, `options` (those that differ from `create`'s defaults),
        `params`, `macs` (conv + linear of one image), `gflops_paper` (as the paper prints it for
        the net of that name, else None: 10^9 multiply-adds, of pose nets `Macs.gflops_paper`) and
        `input` ([C, H, W]).

    Raises:
        UserError: no such name.
    """
    rows: list[dict[str, Any]] = []
    for name in models.names() if names is None else names:
        shape = _input_of(name)
        for options in _variants(name):
            with torch.device("meta"):
                model = models.create(name, **options)
            rows.append(
                {
                    "name": name,
                    "options": options,
                    "params": count_parameters(model),
                    "macs": count_macs(model, shape).total,
                    "gflops_paper": _printed(name, options),
                    "input": list(shape),
                }
            )
    return rows
