"""Residual and plain CIFAR-10 networks of He et al. (CVPR 2016), and departures from their form.

They carry the names of akamaster/pytorch_resnet_cifar10@d5489e8, so that released weights load
strictly.
"""

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from replab.errors import UserError
from replab.models.initialisation import INITIALISATIONS
from replab.models.registry import Form, Model, register
from replab.models.resnet_blocks import (
    ACTIVATIONS,
    NORMS,
    BasicBlock,
    LayerForm,
    check_choice,
    check_count,
)
from replab.models.state_dicts import not_of, residual_blocks


class CifarResNet(nn.Module):
    """The CIFAR-10 net of depth 6n + 2: logits N×num_classes from images N×in_channels×32×32.

    `option` is the shortcut, "A" or "B", or None for the plain net; `form` and `init` depart from
    the paper. Other image sizes work too. Source: He et al. 2016 section 4.2; names of
    akamaster/pytorch_resnet_cifar10@d5489e8.
    """

    def __init__(
        self,
        n: int,
        option: str | None,
        num_classes: int,
        in_channels: int,
        form: LayerForm,
        init: str,
    ) -> None:
        super().__init__()
        self.activation = ACTIVATIONS[form.activation]
        self.conv1 = form.conv(in_channels, 16, 3)
        self.bn1 = form.after(16)
        self.layer1 = self._stage(n, 16, 16, 1, option, form)
        self.layer2 = self._stage(n, 16, 32, 2, option, form)
        self.layer3 = self._stage(n, 32, 64, 2, option, form)
        self.linear = nn.Linear(64, num_classes)
        INITIALISATIONS[init](self)

    @staticmethod
    def _stage(
        n: int,
        channels_in: int,
        channels: int,
        stride: int,
        option: str | None,
        form: LayerForm,
    ) -> nn.Sequential:
        first = BasicBlock(channels_in, channels, stride, option, "shortcut", form)
        rest = (BasicBlock(channels, channels, 1, option, "shortcut", form) for _ in range(n - 1))
        return nn.Sequential(first, *rest)

    def forward(self, x: Tensor) -> Tensor:
        """Logits of `x`."""
        x = self.activation(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.linear(x.mean(dim=(2, 3)))


def cifar_resnet(
    depth: int,
    *,
    shortcut: str = "A",
    num_classes: int = 10,
    in_channels: int = 3,
    norm: str = "batch",
    activation: str = "relu",
    init: str = "he",
) -> CifarResNet:
    """Residual CIFAR net of depth 6n + 2 with shortcut "A" (the paper's) or "B".

    `norm` is "batch" or "none", `activation` "relu", "sigmoid" or "tanh", `init` "he", "xavier" or
    "constant"; the first of each is the paper's.

    Raises:
        UserError: the depth is of another form or an option has a value that does not exist.
    """
    net = f"cifar_resnet{depth}"
    check_choice(net, "shortcut", shortcut, ("A", "B"))
    return _cifar(net, depth, shortcut, num_classes, in_channels, norm, activation, init)


def cifar_plain(
    depth: int,
    *,
    num_classes: int = 10,
    in_channels: int = 3,
    norm: str = "batch",
    activation: str = "relu",
    init: str = "he",
) -> CifarResNet:
    """Plain CIFAR net of depth 6n + 2: the option-A residual net without its additions.

    `norm`, `activation` and `init` are those of `cifar_resnet`.

    Raises:
        UserError: the depth is of another form or an option has a value that does not exist.
    """
    net = f"cifar_plain{depth}"
    return _cifar(net, depth, None, num_classes, in_channels, norm, activation, init)


def _cifar(
    net: str,
    depth: int,
    option: str | None,
    num_classes: int,
    in_channels: int,
    norm: str,
    activation: str,
    init: str,
) -> CifarResNet:
    n, rest = divmod(depth - 2, 6)
    if rest or n < 1:
        below, above = 6 * max(n, 1) + 2, 6 * (max(n, 0) + 1) + 2
        nearest = f"{below} or {above}" if below != above else str(below)
        raise UserError(
            f"{net}: depth {depth} is not of the form 6n+2 (n >= 1); the nearest is {nearest}"
        )
    check_count(net, "num_classes", num_classes)
    check_count(net, "in_channels", in_channels)
    check_choice(net, "norm", norm, NORMS)
    check_choice(net, "activation", activation, tuple(ACTIVATIONS))
    check_choice(net, "init", init, tuple(INITIALISATIONS))
    return CifarResNet(n, option, num_classes, in_channels, LayerForm(norm, activation), init)


def infer_cifar(state_dict: Mapping[str, Tensor]) -> tuple[str, dict[str, Any]]:
    """Name and options of the residual CIFAR net that has these tensors, from its blocks alone.

    A plain net has the tensors of its option-A twin and is taken for it.

    Returns:
        The name for `replab.models.create` and all its options.

    Raises:
        UserError: these are not the tensors of a CIFAR net.
    """
    stages = residual_blocks(state_dict)
    n = len(stages.get(1, ()))
    stem, head = state_dict.get("conv1.weight"), state_dict.get("linear.weight")
    if stem is None or head is None or stages != {stage: set(range(n)) for stage in (1, 2, 3)}:
        raise not_of("CIFAR net", "layer1 to layer3 with equally many blocks, conv1 and linear")
    if n < 1 or stem.dim() != 4 or stem.shape[0] != 16 or head.dim() != 2 or head.shape[1] != 64:
        raise not_of("CIFAR net", "conv1 with 16 filters and linear with 64 inputs")
    options = {
        "shortcut": "B" if "layer2.0.shortcut.0.weight" in state_dict else "A",
        "num_classes": head.shape[0],
        "in_channels": stem.shape[1],
    }
    return f"cifar_resnet{6 * n + 2}", options


register(
    Model(
        name="cifar_resnet",
        build=cifar_resnet,
        input_shape=(3, 32, 32),
        numbers="6n+2",
        forms=tuple(
            Form(name=f"cifar_resnet{depth}", options=options)
            for depth in (20, 32, 44, 56, 110, 1202)
            for options in ({}, {"shortcut": "B"})
        ),
        tensor_prefix="linear.weight",
        infer=infer_cifar,
    ),
    Model(
        name="cifar_plain",
        build=cifar_plain,
        input_shape=(3, 32, 32),
        numbers="6n+2",
        forms=tuple(Form(name=f"cifar_plain{depth}") for depth in (20, 32, 44, 56, 110)),
    ),
)
