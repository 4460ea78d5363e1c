"""HRNet (Sun et al., CVPR 2019) for pose, and the departures from it that its paper ablates.

The names are those of leoxiaobin/deep-high-resolution-net.pytorch@6f69e46, so that released
weights load strictly. The released code has only the default form; the others are our reading of
the paper's section 4.4, with the same names where a layer is the same.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from replab.errors import UserError
from replab.models.pose_resnet import bottleneck_stage, pose_normal
from replab.models.registry import Form, Model, register
from replab.models.resnet_blocks import BasicBlock, Bottleneck, check_choice, check_count
from replab.models.state_dicts import count, four_dimensional, not_of

EXCHANGES = ("all", "across", "end")
# The branches a heat map can be predicted from, by how much coarser than the finest they are.
HEADS: dict[str, tuple[int, ...]] = {
    "1x": (0,),
    "2x": (1,),
    "4x": (2,),
    "8x": (3,),
    "each": (0, 1, 2, 3),
}
BRANCHES = ("gradual", "four")
# The coarsest branch has this stride, and every finer map must be a whole multiple of it.
COARSEST = 32


def _conv(channels_in: int, channels_out: int, stride: int, *, relu: bool) -> nn.Sequential:
    """A 3×3 convolution with batch normalisation and, where asked, a ReLU."""
    layers: list[nn.Module] = [
        nn.Conv2d(channels_in, channels_out, 3, stride, padding=1, bias=False),
        nn.BatchNorm2d(channels_out),
    ]
    return nn.Sequential(*layers, nn.ReLU()) if relu else nn.Sequential(*layers)


def _path(widths: Sequence[int], source: int, target: int) -> nn.Module:
    """What takes branch `source` to the channels and the resolution of branch `target`."""
    if source == target:
        return nn.Identity()
    channels_in, channels_out = widths[source], widths[target]
    if source > target:
        return nn.Sequential(
            nn.Conv2d(channels_in, channels_out, 1, bias=False),
            nn.BatchNorm2d(channels_out),
            nn.Upsample(scale_factor=2 ** (source - target), mode="nearest"),
        )
    steps = [_conv(channels_in, channels_in, 2, relu=True) for _ in range(target - source - 1)]
    return nn.Sequential(*steps, _conv(channels_in, channels_out, 2, relu=False))


class Fusion(nn.ModuleList):
    """One output of an exchange unit: all branches, each through its path, summed, then ReLU.

    Source: Sun et al. 2019 section 3, "Repeated multi-scale fusion", and Fig. 3.
    """

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """Sum the branches' maps, N×C_j×H_j×W_j each, to N×C_i×H_i×W_i."""
        paths = zip(self, maps, strict=True)
        path, first = next(paths)
        total = path(first)
        for path, other in paths:
            total = total + path(other)
        return F.relu(total)


class ExchangeBlock(nn.Module):
    """Basic blocks on every branch, then an exchange into the branches `outputs`.

    N×C_j×H_j×W_j for each branch j to the same for each of `outputs`, in their order; without
    outputs there is no exchange and all branches pass. Source: Sun et al. 2019 section 3;
    HighResolutionModule of leoxiaobin/deep-high-resolution-net.pytorch@6f69e46.
    """

    def __init__(self, widths: Sequence[int], blocks: int, outputs: Sequence[int]) -> None:
        super().__init__()
        self.outputs = tuple(outputs)
        self.branches = nn.ModuleList(
            nn.Sequential(*(BasicBlock(width, width, 1, "B", "downsample") for _ in range(blocks)))
            for width in widths
        )
        branches = range(len(widths))
        # A branch that is no output keeps its place in the list, since places are names.
        self.fuse_layers = nn.ModuleList(
            Fusion(_path(widths, source, target) for source in branches if target in outputs)
            for target in branches
        )

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """Run the block."""
        maps = [branch(x) for branch, x in zip(self.branches, maps, strict=True)]
        if not self.outputs:
            return maps
        return [self.fuse_layers[target](maps) for target in self.outputs]


def _transition(before: Sequence[int], after: Sequence[int]) -> nn.ModuleList:
    """From the channels of one stage's branches to the next one's; new branches come off the last.

    Branches that exist already pass where their channels stay.
    """
    steps = nn.ModuleList()
    for branch, width in enumerate(after):
        if branch < len(before):
            same = before[branch] == width
            steps.append(nn.Identity() if same else _conv(before[branch], width, 1, relu=True))
        else:
            last = before[-1]
            halvings = [_conv(last, last, 2, relu=True) for _ in range(branch - len(before))]
            steps.append(nn.Sequential(*halvings, _conv(last, width, 2, relu=True)))
    return steps


def _enter(transition: nn.ModuleList, maps: Sequence[Tensor]) -> list[Tensor]:
    return [step(maps[min(branch, len(maps) - 1)]) for branch, step in enumerate(transition)]


class PoseHRNet(nn.Module):
    """Heat maps N×num_joints×H/4×W/4 from images N×3×H×W, whose sides are multiples of 32.

    From branch b of `outputs` they are N×num_joints×H/(4·2^b)×W/(4·2^b); with several outputs the
    result is a list of them. Source: Sun et al. 2019 section 3; names of
    leoxiaobin/deep-high-resolution-net.pytorch@6f69e46 (lib/models/pose_hrnet.py).

    Args:
        width: channels C of the finest branch; the others have 2C, 4C and 8C.
        num_joints: heat maps.
        exchange: which blocks exchange: "all", the last of each stage ("across"), or the last of
            the net alone ("end").
        outputs: the branches that heat maps are predicted from.
        gradual: a branch more at each stage, or four from the first exchange on.
        stem: channels of the stem; stage 1 has four times as many.
        bottlenecks: blocks of stage 1.
        modules: exchange blocks of stages 2, 3 and 4.
        blocks: basic blocks on each branch of an exchange block.
    """

    def __init__(
        self,
        width: int,
        num_joints: int,
        exchange: str,
        outputs: Sequence[int],
        gradual: bool,
        stem: int,
        bottlenecks: int,
        modules: Sequence[int],
        blocks: int,
    ) -> None:
        super().__init__()
        widths = [width * 2**branch for branch in range(4)]
        at = [widths[: stage if gradual else 4] for stage in (2, 3, 4)]
        self.conv1 = nn.Conv2d(3, stem, 3, 2, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(stem)
        self.conv2 = nn.Conv2d(stem, stem, 3, 2, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(stem)
        self.layer1 = bottleneck_stage(bottlenecks, stem, stem, 1)
        self.transition1 = _transition([stem * Bottleneck.expansion], at[0])
        self.stage2 = self._stage(at[0], modules[0], blocks, exchange, None)
        self.transition2 = _transition(at[0], at[1])
        self.stage3 = self._stage(at[1], modules[1], blocks, exchange, None)
        self.transition3 = _transition(at[1], at[2])
        self.stage4 = self._stage(at[2], modules[2], blocks, exchange, outputs)
        heads = [nn.Conv2d(widths[branch], num_joints, 1) for branch in outputs]
        self.final_layer = heads[0] if len(heads) == 1 else nn.ModuleList(heads)
        pose_normal(self)

    @staticmethod
    def _stage(
        widths: Sequence[int],
        count: int,
        blocks: int,
        exchange: str,
        final: Sequence[int] | None,
    ) -> nn.Sequential:
        """A stage's exchange blocks; `final` are the outputs of the net's last stage."""
        every = range(len(widths))
        between = every if exchange == "all" else ()
        if final is not None:
            last: Sequence[int] = final
        else:
            last = () if exchange == "end" else every
        outputs = [*([between] * (count - 1)), last]
        return nn.Sequential(*(ExchangeBlock(widths, blocks, chosen) for chosen in outputs))

    def forward(self, x: Tensor) -> Tensor | list[Tensor]:
        """Heat maps of `x`.

        Raises:
            UserError: a side of the images is no multiple of 32.
        """
        height, width = x.shape[-2:]
        if height % COARSEST or width % COARSEST:
            raise UserError(
                f"HRNet cannot take images of {height}×{width} pixels; give sides that are "
                f"multiples of {COARSEST}, such as 256×192"
            )
        x = F.relu(self.bn1(self.conv1(x)))
        x = F.relu(self.bn2(self.conv2(x)))
        maps = _enter(self.transition1, [self.layer1(x)])
        maps = _enter(self.transition2, self.stage2(maps))
        maps = _enter(self.transition3, self.stage3(maps))
        maps = self.stage4(maps)
        if not isinstance(self.final_layer, nn.ModuleList):
            return self.final_layer(maps[0])
        return [head(x) for head, x in zip(self.final_layer, maps, strict=True)]


def pose_hrnet(
    width: int,
    *,
    num_joints: int = 17,
    exchange: str = "all",
    head: str = "1x",
    branches: str = "gradual",
    stem: int = 64,
    bottlenecks: int = 4,
    modules: Sequence[int] = (1, 4, 3),
    blocks: int = 4,
) -> PoseHRNet:
    """HRNet-W`width`; the defaults are the released form, names, order and start included.

    `exchange` is "all" (Table 6 c: eight fusions), "across" (b: three, at the end of each stage)
    or "end" (a: one, at the end). `head` is the resolution the heat maps come from, "1x" (the
    finest), "2x", "4x" or "8x" (the exchange at the end then goes into that branch alone), or
    "each" (into all four, a list of heat maps; Fig. 5). `branches` is "gradual" or "four" (all
    four from the first exchange block on, of the same depth; the paper's variant has "similar"
    parameters, so it must be narrower than the net it is compared with, by a factor it does not
    give). `stem`, `bottlenecks`, `modules` and `blocks` make smaller nets: channels of the stem,
    blocks of stage 1, exchange blocks of stages 2 to 4, basic blocks on a branch of each.
    Source: Sun et al. 2019 section 4.4.

    Raises:
        UserError: an option has a value that does not exist.
    """
    net = f"pose_hrnet_w{width}"
    check_choice(net, "exchange", exchange, EXCHANGES)
    check_choice(net, "head", head, tuple(HEADS))
    check_choice(net, "branches", branches, BRANCHES)
    counts = {"num_joints": num_joints, "stem": stem, "bottlenecks": bottlenecks, "blocks": blocks}
    for option, value in counts.items():
        check_count(net, option, value)
    # A list comes from JSON.
    if not isinstance(modules, list | tuple) or len(modules) != 3:
        raise UserError(f"{net}: modules={modules!r} is no list of three numbers; give (1, 4, 3)")
    for value in modules:
        check_count(net, "modules", value)
    return PoseHRNet(
        width,
        num_joints,
        exchange,
        HEADS[head],
        branches == "gradual",
        stem,
        bottlenecks,
        modules,
        blocks,
    )


def infer_hrnet(state_dict: Mapping[str, Tensor]) -> tuple[str, dict[str, Any]]:
    """Name and options of the pose HRNet that has these tensors, the ablated forms included.

    Raises:
        UserError: these are not the tensors of a pose HRNet.
    """
    stem = four_dimensional(state_dict, "conv1.weight")
    finest = four_dimensional(state_dict, "stage4.0.branches.0.0.conv1.weight")
    single = four_dimensional(state_dict, "final_layer.weight")
    head = four_dimensional(state_dict, "final_layer.0.weight") if single is None else single
    if stem is None or finest is None or head is None:
        raise not_of("pose HRNet", "conv1, the branches of stage4 and final_layer")
    width = finest.shape[0]
    branch = {width * 2**number: f"{2**number}x" for number in range(4)}.get(head.shape[1], "1x")
    modules = tuple(count(state_dict, rf"stage{stage}\.(\d+)\.") for stage in (2, 3, 4))
    options = {
        "num_joints": head.shape[0],
        "exchange": _exchange(state_dict, modules),
        "head": "each" if single is None else branch,
        "branches": "four" if "stage2.0.branches.3.0.conv1.weight" in state_dict else "gradual",
        "stem": stem.shape[0],
        "bottlenecks": count(state_dict, r"layer1\.(\d+)\."),
        "modules": modules,
        "blocks": count(state_dict, r"stage4\.0\.branches\.0\.(\d+)\."),
    }
    return f"pose_hrnet_w{width}", options


def _exchange(state_dict: Mapping[str, Tensor], modules: tuple[int, ...]) -> str:
    fused = {
        (int(match[1]), int(match[2]))
        for name in state_dict
        if (match := re.match(r"stage(\d)\.(\d+)\.fuse_layers\.", name))
    }
    stages = dict(zip((2, 3, 4), modules, strict=True))
    if any(
        (stage, block) in fused for stage, count in stages.items() for block in range(count - 1)
    ):
        return "all"
    # Of a stage of one block, "all" and "across" are the same net.
    if all(count == 1 for count in modules) and (2, 0) in fused:
        return "all"
    return "across" if (2, modules[0] - 1) in fused else "end"


# GFLOPs in print: Sun et al. 2019, Table 1, of the default form at 256×192.
register(
    Model(
        name="pose_hrnet_w",
        build=pose_hrnet,
        output="heatmaps",
        input_shape=(3, 256, 192),
        numbers="C",
        forms=(
            Form(name="pose_hrnet_w32", gflops_paper=7.1),
            Form(name="pose_hrnet_w32", options={"exchange": "across"}),
            Form(name="pose_hrnet_w32", options={"exchange": "end"}),
            Form(name="pose_hrnet_w32", options={"branches": "four"}),
            Form(name="pose_hrnet_w48", gflops_paper=14.6),
        ),
        size_divisor=COARSEST,
        tensor_prefix="stage4.",
        infer=infer_hrnet,
        alias="pose_hrnet",
    )
)
