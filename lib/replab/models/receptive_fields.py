"""Receptive fields: which px of the input a unit of a layer sees, by arithmetic and by gradient.

The arithmetic is that of Araujo, Norris and Sim, "Computing receptive fields of convolutional
neural networks" (Distill 2019); it counts padding, so that it also says where the field lies.
"""

import copy
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn

# Modules of these names stand beside the longest path of a residual net, on its shortcuts.
SHORTCUTS = ("downsample", "shortcut")
# What a corner of a field adds to a unit is the product of one share of each kernel; this is the
# logarithm of the smallest one that float64 still tells from nothing.
FAINTEST = -math.log(2.0**-1022)


@dataclass(frozen=True)
class Window:
    """A convolution or pooling, along one axis.

    Attributes:
        kernel: taps.
        stride: units of its input from one unit of its output to the next.
        padding: units added at each end of its input.
        dilation: units of its input from one tap to the next.
    """

    kernel: int
    stride: int = 1
    padding: int = 0
    dilation: int = 1

    @property
    def reach(self) -> int:
        """Units of its input from the first tap to the last, both included."""
        return self.dilation * (self.kernel - 1) + 1


@dataclass(frozen=True)
class ReceptiveField:
    """What a layer's units see along one axis, in px of the input.

    Attributes:
        size: px that a unit sees, where the input does not end.
        step: px from one unit's field to the next one's.
        start: the first px that unit 0 sees; below 0 it is padding.
    """

    size: int
    step: int
    start: int

    def extent(self, unit: int) -> tuple[int, int]:
        """First and last px that a unit sees; outside the input they are padding."""
        first = self.start + unit * self.step
        return first, first + self.size - 1

    @property
    def centre(self) -> float:
        """The middle of unit 0's field; that of unit u is `step` · u further."""
        return self.start + (self.size - 1) / 2


def of_chain(chain: Iterable[Window]) -> ReceptiveField:
    """The receptive field of the last of a chain of layers; of none, a px sees itself."""
    size, step, start = 1, 1, 0
    for window in chain:
        size += (window.reach - 1) * step
        start -= window.padding * step
        step *= window.stride
    return ReceptiveField(size, step, start)


@runtime_checkable
class Branched(Protocol):
    """A network whose longest path is not simply the order of its modules."""

    def longest_path(self, layer: str) -> Sequence[str]:
        """Names of the modules on the longest path from the input to a layer, it included."""
        ...


def windows(net: nn.Module, layer: str) -> list[Window]:
    """The chain of convolutions and poolings on the longest path from the input to a layer.

    The network says the path itself (`Branched`), else it is the modules in their order, without
    those on shortcuts: true of the residual, plain and VGG nets of `replab.models` up to the
    layers that pool all of the map.

    Args:
        layer: name of the module, as in `net.named_modules()`.

    Raises:
        ValueError: there is no such module, it lies on a shortcut, or something on its path is
            no window that is alike along both axes.
    """
    modules = dict(net.named_modules())
    if isinstance(net, Branched):
        path = list(net.longest_path(layer))
    else:
        names = [name for name in modules if not set(name.split(".")) & set(SHORTCUTS)]
        if layer not in names:
            raise ValueError(f"{layer!r} is no module on the longest path of the network")
        # A module that holds others ends with the last of them.
        last = max(names.index(n) for n in names if n == layer or n.startswith(f"{layer}."))
        path = names[: last + 1]
    found = (_window(name, modules[name]) for name in path)
    return [window for window in found if window is not None]


def _window(name: str, module: nn.Module) -> Window | None:
    if isinstance(module, nn.ConvTranspose2d | nn.Upsample):
        raise ValueError(f"{name} enlarges the map; fields are counted up to the layer before it")
    if not isinstance(module, nn.Conv2d | nn.MaxPool2d | nn.AvgPool2d):
        return None
    dilation = 1 if isinstance(module, nn.AvgPool2d) else module.dilation
    numbers: list[int] = []
    for value in (module.kernel_size, module.stride, module.padding, dilation):
        sides = value if isinstance(value, tuple) else (value, value)
        if isinstance(value, str) or sides[0] != sides[1]:
            raise ValueError(f"{name} is not alike along both axes, or pads by name")
        numbers.append(int(sides[0]))
    return Window(*numbers)


def by_arithmetic(net: nn.Module, layer: str) -> ReceptiveField:
    """The receptive field of a layer's units, from kernels, strides and paddings alone.

    Raises:
        ValueError: as of `windows`.
    """
    return of_chain(windows(net, layer))


def by_gradient(net: nn.Module, layer: str, input_shape: Sequence[int]) -> ReceptiveField:
    """The receptive field of a layer's units, from the input px that move them.

    A copy of the network is asked in float64 with positive weights only, so that no two paths
    cancel; max pooling, which hides all but its largest px, is replaced by the mean of the same
    window. Two neighbouring units in the middle of the map are differentiated.

    Args:
        layer: name of a module whose output is a map N×C×h×w.
        input_shape: C×H×W, so large that the fields of those two units lie inside.

    Raises:
        ValueError: there is no such layer, the fields do not fit into the input or differ between
            the axes, or the network is so deep that float64 does not tell their corners from 0.
    """
    twin = _positive(net)
    modules = dict(twin.named_modules())
    if layer not in modules:
        raise ValueError(f"the network has no module {layer!r}")
    answers: list[Tensor] = []
    modules[layer].register_forward_hook(lambda _module, _inputs, out: answers.append(out))
    images = torch.ones(1, *input_shape, dtype=torch.float64, requires_grad=True)
    twin(images)
    maps = answers[0]
    if maps.dim() != 4 or min(maps.shape[2:]) < 2:
        raise ValueError(f"{layer} has no map of 2×2 units or more for this input")
    row, column = maps.shape[2] // 2 - 1, maps.shape[3] // 2 - 1
    found: list[tuple[int, int, int, int]] = []
    for offset in (0, 1):
        # Of the whole unit: channels may see different things, as those of a concatenation.
        unit = maps[0, :, row + offset, column + offset].sum()
        (gradient,) = torch.autograd.grad(unit, images, retain_graph=True)
        moved = gradient[0] != 0
        lines = moved.any(0).any(1).nonzero()[:, 0], moved.any(0).any(0).nonzero()[:, 0]
        found.append(tuple(int(line[end]) for line in lines for end in (0, -1)))  # type: ignore[arg-type]
    (top, bottom, left, right), (lower, low, righter, far) = found
    height, width = input_shape[-2:]
    # A field that touches the border may go on in the padding.
    if min(top, left) == 0 or low == height - 1 or far == width - 1:
        raise ValueError(f"the fields of {layer} do not fit into {height}×{width} px; give more")
    down = ReceptiveField(bottom - top + 1, lower - top, top - row * (lower - top))
    across = ReceptiveField(right - left + 1, righter - left, left - column * (righter - left))
    if down != across:
        raise ValueError(f"{layer} sees {down} down and {across} across")
    return down


def _positive(net: nn.Module) -> nn.Module:
    """A copy in float64 whose weights are positive and whose normalisations change nothing."""
    twin = copy.deepcopy(net).double().eval().requires_grad_(False)
    for parent in list(twin.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.MaxPool2d):
                if child.dilation not in (1, (1, 1)):
                    raise ValueError("a dilated pooling has no mean of the same window")
                mean = nn.AvgPool2d(child.kernel_size, child.stride, child.padding)  # type: ignore[arg-type]
                mean.ceil_mode = child.ceil_mode
                setattr(parent, name, mean)
    depth = 0.0
    for module in twin.modules():
        if isinstance(module, nn.Conv2d):
            depth += math.log(module.weight[0].numel())
            nn.init.constant_(module.weight, 1 / module.weight[0].numel())
        elif isinstance(module, nn.AvgPool2d):
            sides = module.kernel_size
            depth += math.log(math.prod(sides) if isinstance(sides, tuple) else sides**2)
        elif isinstance(module, nn.BatchNorm2d):
            module.reset_running_stats()
            nn.init.ones_(module.weight)
        if isinstance(module, nn.Conv2d | nn.BatchNorm2d) and module.bias is not None:
            nn.init.zeros_(module.bias)
    if depth > FAINTEST:
        raise ValueError("the network is too deep for float64: the corners of a field are lost")
    return twin
