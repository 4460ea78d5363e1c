"""SimpleBaseline (Xiao et al., ECCV 2018): a ResNet and a few transposed convolutions.

The names are those of microsoft/human-pose-estimation.pytorch@49f3f44, so that released weights
load strictly. What HRNet shares with it, the first stage's blocks and the start, is here too.
"""

import re
from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from replab.errors import UserError
from replab.models.preprocessing import BGR_IMAGENET
from replab.models.registry import Form, Model, register
from replab.models.resnet import IMAGENET_BLOCKS
from replab.models.resnet_blocks import BasicBlock, Bottleneck, check_count
from replab.models.state_dicts import four_dimensional, not_of, residual_blocks

# Kernel of a transposed convolution of stride 2: padding and output padding that make the map
# exactly twice as large.
DECONV_PADDING: dict[int, tuple[int, int]] = {4: (1, 0), 3: (1, 1), 2: (0, 0)}
DECONV_CHANNELS = 256
# Nets of basic blocks, smaller than the papers': blocks of each stage.
BASIC_BLOCKS = {10: (1, 1, 1, 1), 18: IMAGENET_BLOCKS[18], 34: IMAGENET_BLOCKS[34]}


@torch.no_grad()
def pose_normal(model: nn.Module) -> None:
    """Draw every convolution, transposed ones too, from N(0, 0.001²), biases zero.

    Batch normalisation keeps its own start (weight 1, bias 0). The draws come from torch's global
    generator in the order of `model.modules()`; nothing is drawn on the meta device. Source:
    init_weights of leoxiaobin/deep-high-resolution-net.pytorch@6f69e46, which both papers' nets
    share where no ImageNet weights are given.
    """
    for module in model.modules():
        if not isinstance(module, nn.Conv2d | nn.ConvTranspose2d) or module.weight.is_meta:
            continue
        module.weight.normal_(0.0, 0.001)
        if module.bias is not None:
            module.bias.zero_()


def bottleneck_stage(count: int, channels_in: int, channels: int, stride: int) -> nn.Sequential:
    """`count` bottlenecks with the stride on the first one's 3×3 and torchvision's names.

    N×channels_in×H×W to N×(4 channels)×ceil(H / stride)×ceil(W / stride).
    """
    first = Bottleneck(channels_in, channels, stride, "B", "downsample", "3x3")
    width = channels * Bottleneck.expansion
    rest = (Bottleneck(width, channels, 1, "B", "downsample", "3x3") for _ in range(count - 1))
    return nn.Sequential(first, *rest)


def _basic_stage(count: int, channels_in: int, channels: int, stride: int) -> nn.Sequential:
    """`count` basic blocks, the stride on the first one, with torchvision's names."""
    first = BasicBlock(channels_in, channels, stride, "B", "downsample")
    rest = (BasicBlock(channels, channels, 1, "B", "downsample") for _ in range(count - 1))
    return nn.Sequential(first, *rest)


class PoseResNet(nn.Module):
    """Heat maps N×num_joints×(H·s)×(W·s) from images N×3×H×W, s = 2^deconv_layers / 32.

    With three layers the maps are a quarter of the image in each direction. Sides that are no
    multiples of 32 are filled up on the way and the maps cut to H·s and W·s, rounded up. Source:
    Xiao et al. 2018 section 2 and Fig. 1; names of
    microsoft/human-pose-estimation.pytorch@49f3f44 (lib/models/pose_resnet.py).
    """

    def __init__(
        self,
        blocks: tuple[int, int, int, int],
        num_joints: int,
        deconv_layers: int,
        deconv_kernel: int,
        width: int,
        deconv_channels: int,
        bottlenecks: bool,
    ) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, width, 7, 2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.maxpool = nn.MaxPool2d(3, 2, padding=1)
        stage = bottleneck_stage if bottlenecks else _basic_stage
        expansion = (Bottleneck if bottlenecks else BasicBlock).expansion
        out = [expansion * width * 2**number for number in range(4)]
        self.layer1 = stage(blocks[0], width, width, 1)
        self.layer2 = stage(blocks[1], out[0], 2 * width, 2)
        self.layer3 = stage(blocks[2], out[1], 4 * width, 2)
        self.layer4 = stage(blocks[3], out[2], 8 * width, 2)
        self.deconv_layers = self._deconvolutions(
            deconv_layers, deconv_kernel, out[3], deconv_channels
        )
        self.final_layer = nn.Conv2d(deconv_channels, num_joints, 1)
        self._stride = 32 // 2**deconv_layers
        pose_normal(self)

    @staticmethod
    def _deconvolutions(count: int, kernel: int, channels: int, width: int) -> nn.Sequential:
        padding, output_padding = DECONV_PADDING[kernel]
        layers: list[nn.Module] = []
        for _ in range(count):
            deconv = nn.ConvTranspose2d(
                channels, width, kernel, 2, padding, output_padding, bias=False
            )
            layers += [deconv, nn.BatchNorm2d(width), nn.ReLU()]
            channels = width
        return nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        """Heat maps of `x`."""
        height, width = (-(-side // self._stride) for side in x.shape[-2:])
        x = self.maxpool(F.relu(self.bn1(self.conv1(x))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        maps = self.final_layer(self.deconv_layers(x))
        # A side of 48 px makes 2 px of the smallest map, hence 16 of the largest, not 12.
        return maps[..., :height, :width]


def _check_number(net: str, option: str, value: object, numbers: tuple[int, ...]) -> None:
    # True equals 1, and is a mistake all the same.
    if isinstance(value, bool) or value not in numbers:
        known = ", ".join(str(number) for number in sorted(numbers))
        raise UserError(f"{net}: {option}={value!r} does not exist; choose one of {known}")


def pose_resnet(
    depth: int,
    *,
    num_joints: int = 17,
    deconv_layers: int = 3,
    deconv_kernel: int = 4,
    width: int = 64,
    deconv_channels: int = DECONV_CHANNELS,
) -> PoseResNet:
    """SimpleBaseline on ResNet-50, -101 or -152, or on nets of basic blocks: 10, 18 or 34 layers.

    `deconv_layers` is 1, 2 or 3 (the paper's), `deconv_kernel` 2, 3 or 4 (the paper's). Smaller
    nets than the paper's have another `width` (channels of the first stage) or `deconv_channels`,
    or are of 10, 18 or 34 layers. Source: Xiao et al. 2018 Table 1 for the departures.

    Raises:
        UserError: an option has a value that does not exist.
    """
    net = f"pose_resnet{depth}"
    counts = {"num_joints": num_joints, "width": width, "deconv_channels": deconv_channels}
    for option, value in counts.items():
        check_count(net, option, value)
    _check_number(net, "deconv_layers", deconv_layers, (1, 2, 3))
    _check_number(net, "deconv_kernel", deconv_kernel, tuple(DECONV_PADDING))
    return PoseResNet(
        BASIC_BLOCKS.get(depth) or IMAGENET_BLOCKS[depth],
        num_joints,
        deconv_layers,
        deconv_kernel,
        width,
        deconv_channels,
        bottlenecks=depth not in BASIC_BLOCKS,
    )


def infer_pose_resnet(state_dict: Mapping[str, Tensor]) -> tuple[str, dict[str, Any]]:
    """Name and options of the pose ResNet that has these tensors.

    Raises:
        UserError: these are not the tensors of a pose ResNet.
    """
    stages = residual_blocks(state_dict)
    blocks = tuple(len(stages.get(stage, ())) for stage in (1, 2, 3, 4))
    stem = four_dimensional(state_dict, "conv1.weight")
    basic = "layer1.0.conv3.weight" not in state_dict
    known = BASIC_BLOCKS if basic else {d: n for d, n in IMAGENET_BLOCKS.items() if d >= 50}
    depths = {counts: depth for depth, counts in known.items()}
    head = four_dimensional(state_dict, "final_layer.weight")
    kernels = [
        tensor
        for name, tensor in state_dict.items()
        if re.fullmatch(r"deconv_layers\.\d+\.weight", name) and tensor.dim() == 4
    ]
    if stem is None or head is None or not kernels or blocks not in depths:
        raise not_of(
            "pose ResNet",
            "conv1, the blocks of a ResNet of 10 to 152 layers, deconv_layers and final_layer",
        )
    options = {
        "num_joints": head.shape[0],
        "deconv_layers": len(kernels),
        "deconv_kernel": kernels[0].shape[-1],
        "width": stem.shape[0],
        "deconv_channels": head.shape[1],
    }
    return f"pose_resnet{depths[blocks]}", options


# GFLOPs in print: Sun et al. 2019, Table 1, of the default form at 256×192.
register(
    Model(
        name="pose_resnet",
        build=pose_resnet,
        output="heatmaps",
        input_shape=(3, 256, 192),
        numbers=(10, 18, 34, 50, 101, 152),
        forms=(
            Form(name="pose_resnet50", gflops_paper=8.9),
            Form(name="pose_resnet50", options={"deconv_layers": 2}),
            Form(name="pose_resnet50", options={"deconv_kernel": 2}),
            Form(name="pose_resnet50", options={"deconv_kernel": 3}),
            Form(name="pose_resnet101", gflops_paper=12.4),
            Form(name="pose_resnet152", gflops_paper=15.7),
        ),
        size_divisor=32,
        preprocessing=BGR_IMAGENET,
        tensor_prefix="deconv_layers.",
        infer=infer_pose_resnet,
        alias="pose_resnet",
    )
)
