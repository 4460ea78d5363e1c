"""Which network a file of weights was made for, read off its metadata or its tensors alone."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from torch import Tensor

from replab.errors import UserError
from replab.models.cpm_weights import infer_cpm, is_cpm
from replab.models.loading import Checkpoint
from replab.models.pose_resnet import BASIC_BLOCKS
from replab.models.resnet import IMAGENET_BLOCKS

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
# What published weights without metadata expect of an image, by the network they are for.
RGB_IMAGENET: Mapping[str, Any] = MappingProxyType(
    {"colour": "RGB", "mean": list(IMAGENET_MEAN), "std": list(IMAGENET_STD)}
)
# The released SimpleBaseline weights take OpenCV's order of channels, and the means and deviations
# of R, G, B in that very order for B, G, R (leoxiaobin/deep-high-resolution-net.pytorch#15).
BGR_IMAGENET: Mapping[str, Any] = MappingProxyType({**RGB_IMAGENET, "colour": "BGR"})
# The released CPM weights take OpenCV's order too, as (x − 128) / 256 of values 0–255 (shihenw/
# convolutional-pose-machines-release@a345bc5, testing/src/applyModel.m).
BGR_CPM: Mapping[str, Any] = MappingProxyType(
    {"colour": "BGR", "mean": [128 / 255] * 3, "std": [256 / 255] * 3}
)

_BLOCK = re.compile(r"layer(\d+)\.(\d+)\.conv1\.weight")
_FIELDS: Mapping[str, tuple[type, str]] = MappingProxyType(
    {
        "model": (str, "text"),
        "options": (dict, "a JSON object"),
        "preprocessing": (dict, "a JSON object"),
    }
)


@dataclass(frozen=True)
class Identity:
    """What a file of weights is for.

    Attributes:
        model: the name for `replab.models.create`.
        options: its options.
        preprocessing: colour order (`RGB` or `BGR`), and mean and deviation per channel of 0–1
            values, in the order of the channels as the network sees them.
        told: whether the file itself said so; else its tensors told the network, and the
            preprocessing is that of the published weights of such a network.
    """

    model: str
    options: Mapping[str, Any]
    preprocessing: Mapping[str, Any]
    told: bool


def identify(checkpoint: Checkpoint, path: Path) -> Identity:
    """The network of a checkpoint and what it expects of an image.

    From its metadata if it has them (our own weights do); else from the shapes of its tensors.

    Args:
        path: the file's name in messages.

    Raises:
        UserError: the metadata are malformed, or the tensors are of no network of ours.
    """
    about: dict[str, Any] = {}
    for field, (kind, words) in _FIELDS.items():
        value = checkpoint.metadata.get(field)
        if value is not None and not isinstance(value, kind):
            raise UserError(f"{path}: {field} of its metadata is not {words}; save it anew")
        about[field] = value
    # The training checkpoints of the HRNet code name the module alone, not the width or depth.
    told = about["model"] not in (None, "pose_hrnet", "pose_resnet")
    if told:
        name, options = about["model"], dict(about["options"] or {})
    else:
        try:
            name, options = infer(checkpoint.state_dict)
        except UserError as error:
            raise UserError(f"{path}: {error}") from error
    usual = RGB_IMAGENET
    if name.startswith("cpm"):
        usual = BGR_CPM
    elif name.startswith("pose_resnet") and checkpoint.layout == "released":
        usual = BGR_IMAGENET
    return Identity(name, options, dict(about["preprocessing"] or usual), told)


def infer(state_dict: Mapping[str, Tensor]) -> tuple[str, dict[str, Any]]:
    """Name and options of the network that has these tensors, from their names and shapes alone.

    Returns:
        The name for `replab.models.create` and its options.

    Raises:
        UserError: no network that can be told by its tensors has such.
    """
    if any(name.startswith("stage4.") for name in state_dict):
        return infer_hrnet(state_dict)
    if any(name.startswith("deconv_layers.") for name in state_dict):
        return infer_pose_resnet(state_dict)
    if is_cpm(state_dict):
        return infer_cpm(state_dict)
    if "linear.weight" in state_dict:
        return infer_cifar(state_dict)
    raise UserError(
        "these weights are of no network that can be told by its tensors (HRNet, SimpleBaseline, "
        "CPM, residual nets for CIFAR); give weights of such a net, or weights with metadata"
    )


def infer_cifar(state_dict: Mapping[str, Tensor]) -> tuple[str, dict[str, Any]]:
    """Name and options of the residual CIFAR net that has these tensors, from its blocks alone.

    A plain net has the tensors of its option-A twin and is taken for it.

    Returns:
        The name for `replab.models.create` and all its options.

    Raises:
        UserError: these are not the tensors of a CIFAR net.
    """
    stages = _blocks(state_dict)
    n = len(stages.get(1, ()))
    stem, head = state_dict.get("conv1.weight"), state_dict.get("linear.weight")
    if stem is None or head is None or stages != {stage: set(range(n)) for stage in (1, 2, 3)}:
        raise _no_net("CIFAR net", "layer1 to layer3 with equally many blocks, conv1 and linear")
    if n < 1 or stem.dim() != 4 or stem.shape[0] != 16 or head.dim() != 2 or head.shape[1] != 64:
        raise _no_net("CIFAR net", "conv1 with 16 filters and linear with 64 inputs")
    options = {
        "shortcut": "B" if "layer2.0.shortcut.0.weight" in state_dict else "A",
        "num_classes": head.shape[0],
        "in_channels": stem.shape[1],
    }
    return f"cifar_resnet{6 * n + 2}", options


def infer_pose_resnet(state_dict: Mapping[str, Tensor]) -> tuple[str, dict[str, Any]]:
    """Name and options of the pose ResNet that has these tensors.

    Raises:
        UserError: these are not the tensors of a pose ResNet.
    """
    stages = _blocks(state_dict)
    blocks = tuple(len(stages.get(stage, ())) for stage in (1, 2, 3, 4))
    stem = _four_dimensional(state_dict, "conv1.weight")
    basic = "layer1.0.conv3.weight" not in state_dict
    known = BASIC_BLOCKS if basic else {d: n for d, n in IMAGENET_BLOCKS.items() if d >= 50}
    depths = {counts: depth for depth, counts in known.items()}
    head = _four_dimensional(state_dict, "final_layer.weight")
    kernels = [
        tensor
        for name, tensor in state_dict.items()
        if re.fullmatch(r"deconv_layers\.\d+\.weight", name) and tensor.dim() == 4
    ]
    if stem is None or head is None or not kernels or blocks not in depths:
        raise _no_net(
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


def infer_hrnet(state_dict: Mapping[str, Tensor]) -> tuple[str, dict[str, Any]]:
    """Name and options of the pose HRNet that has these tensors, the ablated forms included.

    Raises:
        UserError: these are not the tensors of a pose HRNet.
    """
    stem = _four_dimensional(state_dict, "conv1.weight")
    finest = _four_dimensional(state_dict, "stage4.0.branches.0.0.conv1.weight")
    single = _four_dimensional(state_dict, "final_layer.weight")
    head = _four_dimensional(state_dict, "final_layer.0.weight") if single is None else single
    if stem is None or finest is None or head is None:
        raise _no_net("pose HRNet", "conv1, the branches of stage4 and final_layer")
    width = finest.shape[0]
    branch = {width * 2**number: f"{2**number}x" for number in range(4)}.get(head.shape[1], "1x")
    modules = tuple(_count(state_dict, rf"stage{stage}\.(\d+)\.") for stage in (2, 3, 4))
    options = {
        "num_joints": head.shape[0],
        "exchange": _exchange(state_dict, modules),
        "head": "each" if single is None else branch,
        "branches": "four" if "stage2.0.branches.3.0.conv1.weight" in state_dict else "gradual",
        "stem": stem.shape[0],
        "bottlenecks": _count(state_dict, r"layer1\.(\d+)\."),
        "modules": modules,
        "blocks": _count(state_dict, r"stage4\.0\.branches\.0\.(\d+)\."),
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


def _count(state_dict: Mapping[str, Tensor], pattern: str) -> int:
    return len({match[1] for name in state_dict if (match := re.match(pattern, name))})


def _blocks(state_dict: Mapping[str, Tensor]) -> dict[int, set[int]]:
    stages: dict[int, set[int]] = {}
    for name in state_dict:
        if match := _BLOCK.fullmatch(name):
            stages.setdefault(int(match[1]), set()).add(int(match[2]))
    return stages


def _four_dimensional(state_dict: Mapping[str, Tensor], name: str) -> Tensor | None:
    tensor = state_dict.get(name)
    return tensor if tensor is not None and tensor.dim() == 4 else None


def _no_net(kind: str, expected: str) -> UserError:
    return UserError(
        f"these weights are of no {kind}: {expected} are expected; give weights of such a net"
    )
