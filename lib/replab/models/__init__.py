"""Networks by name, with the state_dict names of the released weights."""

import difflib
import functools
import inspect
import re
from collections.abc import Callable
from typing import Any

from torch import nn

from replab.errors import UserError
from replab.models import cpm, cpm_vgg, hrnet, pose_resnet, resnet, resnet_cifar, vgg
from replab.models.loading import load

__all__ = ["create", "load", "names"]

FAMILIES = (
    "cifar_resnet{6n+2}",
    "cifar_plain{6n+2}",
    "resnet{18,34,50,101,152}",
    "plain{18,34}",
    "vgg{16,19}",
    "pose_hrnet_w{C}",
    "pose_resnet{10,18,34,50,101,152}",
    "cpm",
    "cpm_vgg",
)


def names() -> list[str]:
    """The nets that the papers name.

    The CIFAR families have every other depth 6n + 2 as well, HRNet every other width.
    """
    return [
        *(f"cifar_resnet{depth}" for depth in (20, 32, 44, 56, 110, 1202)),
        *(f"cifar_plain{depth}" for depth in (20, 32, 44, 56, 110)),
        *(f"resnet{depth}" for depth in resnet.IMAGENET_BLOCKS),
        "plain18",
        "plain34",
        "vgg16",
        "vgg19",
        "pose_hrnet_w32",
        "pose_hrnet_w48",
        *(f"pose_resnet{depth}" for depth in (50, 101, 152)),
        "cpm",
        "cpm_vgg",
    ]


def create(name: str, **options: Any) -> nn.Module:
    """A freshly initialised network, drawn from torch's global generator.

    Under `with torch.device("meta")` it costs neither memory nor draws. The families and their
    options: `cifar_resnet{6n+2}` (shortcut="A"|"B", num_classes, in_channels, norm="batch"|"none",
    activation="relu"|"sigmoid"|"tanh", init="he"|"xavier"|"constant"), `cifar_plain{6n+2}` (the
    same without shortcut), `resnet{18,34}` (shortcut="A"|"B"|"C"), `resnet{50,101,152}` (also
    stride_on="3x3"|"1x1"), `plain{18,34}` and `vgg{16,19}` (num_classes, in_channels). For heat
    maps: `pose_hrnet_w{C}` of any width C (num_joints, exchange="all"|"across"|"end",
    head="1x"|"2x"|"4x"|"8x"|"each", branches="gradual"|"four", and for smaller nets stem,
    bottlenecks, modules, blocks), `pose_resnet{50,101,152}` and, of basic blocks,
    `pose_resnet{10,18,34}` (num_joints, deconv_layers=1..3, deconv_kernel=2..4, and for smaller
    nets width, deconv_channels), `cpm` and `cpm_vgg` (num_joints, stages, centre_map, background,
    init, last_std; `cpm` has many more, see there). These give the belief maps of every stage, a
    list.

    Raises:
        UserError: no such name, no such option, or no such value of an option.
    """
    build = _builder(name)
    known = {
        key: parameter.default
        for key, parameter in inspect.signature(build).parameters.items()
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY
    }
    unknown = sorted(set(options) - set(known))
    if unknown:
        listed = ", ".join(f"{key}={value!r}" for key, value in known.items())
        raise UserError(
            f"{name} has no option {', '.join(unknown)}; its options, with their defaults, "
            f"are {listed}"
        )
    return build(**options)


def _builder(name: str) -> Callable[..., nn.Module]:
    if name in ("cpm", "cpm_vgg"):
        return cpm.cpm if name == "cpm" else cpm_vgg.cpm_vgg
    match = re.fullmatch(r"([a-z_]+?)([1-9][0-9]*)", name)
    if match:
        # HRNet's number is its width, the others' their depth.
        family, depth = match[1], int(match[2])
        if family == "cifar_resnet":
            return functools.partial(resnet_cifar.cifar_resnet, depth)
        if family == "cifar_plain":
            return functools.partial(resnet_cifar.cifar_plain, depth)
        if family == "resnet" and depth in (18, 34):
            return functools.partial(resnet.resnet_basic, depth)
        if family == "resnet" and depth in (50, 101, 152):
            return functools.partial(resnet.resnet_bottleneck, depth)
        if family == "plain" and depth in (18, 34):
            return functools.partial(resnet.plain, depth)
        if family == "vgg" and depth in vgg.CONVOLUTIONS:
            return functools.partial(vgg.vgg, depth)
        if family == "pose_hrnet_w":
            return functools.partial(hrnet.pose_hrnet, depth)
        if family == "pose_resnet" and depth in (10, 18, 34, 50, 101, 152):
            return functools.partial(pose_resnet.pose_resnet, depth)
    near = difflib.get_close_matches(name, names(), n=3, cutoff=0.0)
    raise UserError(
        f"unknown model {name!r}; the families are {' '.join(FAMILIES)}, "
        f"the nearest names {', '.join(near)}"
    )
