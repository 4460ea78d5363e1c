"""Residual and plain networks of He et al., CVPR 2016: CIFAR-10 and ImageNet forms.

The CIFAR nets carry the names of akamaster/pytorch_resnet_cifar10@d5489e8, the ImageNet nets those
of torchvision, so that released weights load strictly. A plain net has the very modules of its
option-A residual twin and only leaves the additions out.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from replab.errors import UserError
from replab.models.initialisation import he_normal

IMAGENET_BLOCKS: dict[int, tuple[int, int, int, int]] = {
    18: (2, 2, 2, 2),
    34: (3, 4, 6, 3),
    50: (3, 4, 6, 3),
    101: (3, 4, 23, 3),
    152: (3, 8, 36, 3),
}


class ZeroPadShortcut(nn.Module):
    """Option-A shortcut: every `stride`-th pixel, new channels filled with zeros.

    N×C×H×W to N×(C + added)×ceil(H / stride)×ceil(W / stride); half of the zero channels come
    before the old ones and half after. Source: He et al. 2016 section 3.3 (A);
    akamaster/pytorch_resnet_cifar10@d5489e8 for the two sides.
    """

    def __init__(self, added: int, stride: int) -> None:
        super().__init__()
        self.before, self.after, self.stride = added // 2, added - added // 2, stride

    def forward(self, x: Tensor) -> Tensor:
        """Shrink and pad `x`."""
        x = x[:, :, :: self.stride, :: self.stride]
        return F.pad(x, (0, 0, 0, 0, self.before, self.after))

    def extra_repr(self) -> str:
        """What `print(model)` shows."""
        return f"zeros={self.before}+{self.after}, stride={self.stride}"


def _shortcut(option: str, channels_in: int, channels_out: int, stride: int) -> nn.Module:
    changes = stride != 1 or channels_in != channels_out
    if option == "C" or (option == "B" and changes):
        return nn.Sequential(
            nn.Conv2d(channels_in, channels_out, 1, stride, bias=False),
            nn.BatchNorm2d(channels_out),
        )
    return ZeroPadShortcut(channels_out - channels_in, stride) if changes else nn.Identity()


def _conv3x3(channels_in: int, channels_out: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(channels_in, channels_out, 3, stride, padding=1, bias=False)


class _Block(nn.Module):
    """What both blocks share: a shortcut under the name that the released weights give it.

    ReLUs are out of place: a forward hook on a batch normalisation may keep the response it sees.
    """

    def __init__(self, shortcut_name: str) -> None:
        super().__init__()
        self.shortcut_name = shortcut_name

    def _finish(self, response: Tensor, x: Tensor) -> Tensor:
        shortcut = getattr(self, self.shortcut_name)
        return F.relu(response if shortcut is None else response + shortcut(x))


class BasicBlock(_Block):
    """Two 3×3 convolutions with batch normalisation, then the addition (none in a plain net).

    N×channels_in×H×W to N×channels×ceil(H / stride)×ceil(W / stride). Source: He et al. 2016
    Figs. 2 and 5 left.
    """

    expansion = 1

    def __init__(
        self, channels_in: int, channels: int, stride: int, option: str | None, shortcut_name: str
    ) -> None:
        super().__init__(shortcut_name)
        self.conv1 = _conv3x3(channels_in, channels, stride)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = _conv3x3(channels, channels)
        self.bn2 = nn.BatchNorm2d(channels)
        shortcut = None if option is None else _shortcut(option, channels_in, channels, stride)
        self.register_module(shortcut_name, shortcut)

    def forward(self, x: Tensor) -> Tensor:
        """Run the block."""
        response = F.relu(self.bn1(self.conv1(x)))
        return self._finish(self.bn2(self.conv2(response)), x)


class Bottleneck(_Block):
    """1×1, 3×3 and 1×1 convolutions, four times as many channels out as inside.

    N×channels_in×H×W to N×(4 channels)×ceil(H / stride)×ceil(W / stride). Source: He et al. 2016
    Fig. 5 right; the stride sits on the first 1×1 there and on the 3×3 in torchvision.
    """

    expansion = 4

    def __init__(
        self,
        channels_in: int,
        channels: int,
        stride: int,
        option: str | None,
        shortcut_name: str,
        stride_on: str,
    ) -> None:
        super().__init__(shortcut_name)
        first, second = (stride, 1) if stride_on == "1x1" else (1, stride)
        self.conv1 = nn.Conv2d(channels_in, channels, 1, first, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = _conv3x3(channels, channels, second)
        self.bn2 = nn.BatchNorm2d(channels)
        self.conv3 = nn.Conv2d(channels, 4 * channels, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(4 * channels)
        shortcut = None if option is None else _shortcut(option, channels_in, 4 * channels, stride)
        self.register_module(shortcut_name, shortcut)

    def forward(self, x: Tensor) -> Tensor:
        """Run the block."""
        response = F.relu(self.bn1(self.conv1(x)))
        response = F.relu(self.bn2(self.conv2(response)))
        return self._finish(self.bn3(self.conv3(response)), x)


class CifarResNet(nn.Module):
    """The CIFAR-10 net of depth 6n + 2: logits N×num_classes from images N×in_channels×32×32.

    `option` is the shortcut, "A" or "B", or None for the plain net. Other image sizes work too.
    Source: He et al. 2016 section 4.2; names of akamaster/pytorch_resnet_cifar10@d5489e8.
    """

    def __init__(self, n: int, option: str | None, num_classes: int, in_channels: int) -> None:
        super().__init__()
        self.conv1 = _conv3x3(in_channels, 16)
        self.bn1 = nn.BatchNorm2d(16)
        self.layer1 = self._stage(n, 16, 16, 1, option)
        self.layer2 = self._stage(n, 16, 32, 2, option)
        self.layer3 = self._stage(n, 32, 64, 2, option)
        self.linear = nn.Linear(64, num_classes)
        he_normal(self)

    @staticmethod
    def _stage(
        n: int, channels_in: int, channels: int, stride: int, option: str | None
    ) -> nn.Sequential:
        first = BasicBlock(channels_in, channels, stride, option, "shortcut")
        rest = (BasicBlock(channels, channels, 1, option, "shortcut") for _ in range(n - 1))
        return nn.Sequential(first, *rest)

    def forward(self, x: Tensor) -> Tensor:
        """Logits of `x`."""
        x = F.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.linear(x.mean(dim=(2, 3)))


class ResNet(nn.Module):
    """The ImageNet net: logits N×num_classes from images N×in_channels×H×W, made for 224×224.

    `option` is the shortcut, "A", "B" or "C", or None for the plain net; `stride_on`, "1x1" or
    "3x3", makes the blocks bottlenecks, None makes them basic.
    Source: He et al. 2016 Table 1; names of torchvision.models.resnet.
    """

    def __init__(
        self,
        blocks: tuple[int, int, int, int],
        option: str | None,
        stride_on: str | None,
        num_classes: int,
        in_channels: int,
    ) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, 64, 7, 2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.maxpool = nn.MaxPool2d(3, 2, padding=1)
        self.layer1 = self._stage(blocks[0], 64, 64, 1, option, stride_on)
        width = 64 if stride_on is None else 256
        self.layer2 = self._stage(blocks[1], width, 128, 2, option, stride_on)
        self.layer3 = self._stage(blocks[2], 2 * width, 256, 2, option, stride_on)
        self.layer4 = self._stage(blocks[3], 4 * width, 512, 2, option, stride_on)
        self.fc = nn.Linear(8 * width, num_classes)
        he_normal(self)

    @staticmethod
    def _stage(
        count: int,
        channels_in: int,
        channels: int,
        stride: int,
        option: str | None,
        stride_on: str | None,
    ) -> nn.Sequential:
        blocks: list[BasicBlock | Bottleneck] = []
        for i in range(count):
            first = stride if i == 0 else 1
            if stride_on is None:
                blocks.append(BasicBlock(channels_in, channels, first, option, "downsample"))
            else:
                blocks.append(
                    Bottleneck(channels_in, channels, first, option, "downsample", stride_on)
                )
            channels_in = channels * blocks[-1].expansion
        return nn.Sequential(*blocks)

    def forward(self, x: Tensor) -> Tensor:
        """Logits of `x`."""
        x = self.maxpool(F.relu(self.bn1(self.conv1(x))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(torch.flatten(F.adaptive_avg_pool2d(x, 1), 1))


def check_choice(net: str, option: str, value: object, choices: tuple[str, ...]) -> None:
    """Refuse a value that an option does not know.

    Raises:
        UserError: `value` is none of `choices`.
    """
    if value not in choices:
        known = ", ".join(repr(choice) for choice in choices)
        raise UserError(f"{net}: {option}={value!r} does not exist; choose one of {known}")


def check_count(net: str, option: str, value: object) -> None:
    """Refuse a number of classes or channels that is no positive integer.

    Raises:
        UserError: `value` is something else.
    """
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise UserError(f"{net}: {option}={value!r} is no positive integer; give 1 or more")


def _cifar(
    net: str, depth: int, option: str | None, num_classes: int, in_channels: int
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
    return CifarResNet(n, option, num_classes, in_channels)


def cifar_resnet(
    depth: int, *, shortcut: str = "A", num_classes: int = 10, in_channels: int = 3
) -> CifarResNet:
    """Residual CIFAR net of depth 6n + 2 with shortcut "A" (the paper's) or "B".

    Raises:
        UserError: the depth is of another form or an option has a value that does not exist.
    """
    check_choice(f"cifar_resnet{depth}", "shortcut", shortcut, ("A", "B"))
    return _cifar(f"cifar_resnet{depth}", depth, shortcut, num_classes, in_channels)


def cifar_plain(depth: int, *, num_classes: int = 10, in_channels: int = 3) -> CifarResNet:
    """Plain CIFAR net of depth 6n + 2: the option-A residual net without its additions.

    Raises:
        UserError: the depth is of another form or an option has a value that does not exist.
    """
    return _cifar(f"cifar_plain{depth}", depth, None, num_classes, in_channels)


def resnet_basic(
    depth: int, *, shortcut: str = "B", num_classes: int = 1000, in_channels: int = 3
) -> ResNet:
    """ImageNet ResNet-18 or -34.

    Raises:
        UserError: an option has a value that does not exist.
    """
    net = f"resnet{depth}"
    check_choice(net, "shortcut", shortcut, ("A", "B", "C"))
    return _imagenet(net, depth, shortcut, None, num_classes, in_channels)


def resnet_bottleneck(
    depth: int,
    *,
    shortcut: str = "B",
    stride_on: str = "3x3",
    num_classes: int = 1000,
    in_channels: int = 3,
) -> ResNet:
    """ImageNet ResNet-50, -101 or -152; `stride_on="1x1"` is the paper's form.

    Raises:
        UserError: an option has a value that does not exist.
    """
    net = f"resnet{depth}"
    check_choice(net, "shortcut", shortcut, ("A", "B", "C"))
    check_choice(net, "stride_on", stride_on, ("3x3", "1x1"))
    return _imagenet(net, depth, shortcut, stride_on, num_classes, in_channels)


def plain(depth: int, *, num_classes: int = 1000, in_channels: int = 3) -> ResNet:
    """ImageNet plain net of 18 or 34 layers: the option-A ResNet without its additions.

    Raises:
        UserError: an option has a value that does not exist.
    """
    return _imagenet(f"plain{depth}", depth, None, None, num_classes, in_channels)


def _imagenet(
    net: str,
    depth: int,
    option: str | None,
    stride_on: str | None,
    num_classes: int,
    in_channels: int,
) -> ResNet:
    check_count(net, "num_classes", num_classes)
    check_count(net, "in_channels", in_channels)
    return ResNet(IMAGENET_BLOCKS[depth], option, stride_on, num_classes, in_channels)


def response_layers(model: nn.Module) -> list[tuple[str, nn.Module]]:
    """The modules whose outputs are the layer responses of Fig. 7, in network order.

    These are the batch normalisations of all 3×3 convolutions: their outputs are N×K×H×W before
    the ReLU and before the addition. A net of depth 6n + 2 has 6n + 1 of them. Source: He et al.
    2016 section 4.2, "Analysis of Layer Responses".

    Raises:
        TypeError: `model` is no residual or plain net of this module.
    """
    if not isinstance(model, CifarResNet | ResNet):
        raise TypeError(f"{type(model).__name__} is no residual or plain net")
    layers = []
    for name, module in model.named_modules():
        if isinstance(module, nn.Conv2d) and module.kernel_size == (3, 3):
            parent, _, own = name.rpartition(".")
            response = f"{parent}.{own}".lstrip(".").replace("conv", "bn")
            layers.append((response, model.get_submodule(response)))
    return layers
