"""Residual and plain networks of He et al., CVPR 2016: the ImageNet form, and layer responses.

The ImageNet nets carry torchvision's names, so that released weights load strictly. A plain net
has the very modules of its option-A residual twin and only leaves the additions out. The CIFAR
form is in `replab.models.resnet_cifar`.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from replab.models.initialisation import he_normal
from replab.models.registry import Form, Model, register
from replab.models.resnet_blocks import BasicBlock, Bottleneck, check_choice, check_count
from replab.models.resnet_cifar import CifarResNet

IMAGENET_BLOCKS: dict[int, tuple[int, int, int, int]] = {
    18: (2, 2, 2, 2),
    34: (3, 4, 6, 3),
    50: (3, 4, 6, 3),
    101: (3, 4, 23, 3),
    152: (3, 8, 36, 3),
}


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


# GFLOPs in print: He et al. 2016, Table 1, last row; the plain nets share its columns.
register(
    Model(
        name="resnet",
        build=resnet_basic,
        input_shape=(3, 224, 224),
        numbers=(18, 34),
        forms=tuple(
            Form(name=name, options=options, gflops_paper=gflops)
            for name, gflops in (("resnet18", 1.8), ("resnet34", 3.6))
            for options in ({}, {"shortcut": "A"})
        ),
    ),
    Model(
        name="resnet",
        build=resnet_bottleneck,
        input_shape=(3, 224, 224),
        numbers=(50, 101, 152),
        forms=tuple(
            Form(name=name, options=options, gflops_paper=gflops)
            for name, gflops in (("resnet50", 3.8), ("resnet101", 7.6), ("resnet152", 11.3))
            for options in ({}, {"stride_on": "1x1"})
        ),
    ),
    Model(
        name="plain",
        build=plain,
        input_shape=(3, 224, 224),
        numbers=(18, 34),
        forms=(
            Form(name="plain18", gflops_paper=1.8),
            Form(name="plain34", gflops_paper=3.6),
        ),
    ),
)


def conv_layers(model: nn.Module) -> list[tuple[str, nn.Conv2d]]:
    """The 3×3 convolutions of a net with their names, in network order.

    A CIFAR net of depth 6n + 2 has 6n + 1 of them.

    Raises:
        TypeError: `model` is no residual or plain net of `replab.models`.
    """
    if not isinstance(model, CifarResNet | ResNet):
        raise TypeError(f"{type(model).__name__} is no residual or plain net")
    return [
        (name, module)
        for name, module in model.named_modules()
        if isinstance(module, nn.Conv2d) and module.kernel_size == (3, 3)
    ]


def response_layers(model: nn.Module) -> list[tuple[str, nn.Module]]:
    """The modules whose outputs are the layer responses of Fig. 7, in network order.

    These are the batch normalisations of all 3×3 convolutions, or, in a net without, what stands
    in their place and passes the convolution's own output on: N×K×H×W before the activation and
    before the addition. Source: He et al. 2016 section 4.2, "Analysis of Layer Responses".

    Raises:
        TypeError: `model` is no residual or plain net of `replab.models`.
    """
    layers = []
    for name, _ in conv_layers(model):
        parent, _, own = name.rpartition(".")
        response = f"{parent}.{own}".lstrip(".").replace("conv", "bn")
        layers.append((response, model.get_submodule(response)))
    return layers
