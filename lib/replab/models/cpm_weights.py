"""Weights of the released Convolutional Pose Machines: Caffe's blobs, and whose they are."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from replab.errors import UserError
from replab.models.state_dicts import not_of

# A layer of these networks by its released name; no other part of replab has such names.
LAYER = re.compile(r"conv\d+_stage\d+|Mconv\d+_stage\d+|conv\d_\d+(?:_CPM)?")
# What a Caffe layer calls its blobs, by their place: weights outputs×inputs×height×width, bias.
BLOBS = {"0": "weight", "1": "bias"}


def from_caffe(blobs: Mapping[str, Sequence[Any]]) -> dict[str, Tensor]:
    """A state dict of `cpm` or `cpm_vgg` from the blobs of a Caffe network.

    The layers keep their names. Biases of old files have four axes, 1×1×1×K, and lose three.

    Args:
        blobs: for each layer its weights and bias, arrays or tensors; layers without blobs, such
            as poolings, may be among them.

    Raises:
        UserError: a layer is none of these networks', or has other than two blobs.
    """
    state: dict[str, Tensor] = {}
    for layer, arrays in blobs.items():
        if not len(arrays):
            continue
        if not LAYER.fullmatch(layer):
            raise UserError(f"Caffe's layer {layer!r} is of no CPM; give a released network")
        if len(arrays) != 2:
            raise UserError(f"Caffe's layer {layer!r} has {len(arrays)} blobs, not 2")
        weight, bias = (torch.as_tensor(array, dtype=torch.float32) for array in arrays)
        if weight.dim() != 4 or bias.numel() != weight.shape[0]:
            shapes = " and ".join("×".join(map(str, a.shape)) for a in (weight, bias))
            raise UserError(f"Caffe's layer {layer!r} is no convolution: its blobs are {shapes}")
        state[f"{layer}.weight"], state[f"{layer}.bias"] = weight, bias.flatten()
    return state


def released_names(tensors: Mapping[str, Tensor]) -> dict[str, Tensor] | None:
    """Our names for tensors that are named `layer.0` and `layer.1`, as Caffe counts blobs.

    Returns:
        None where these are not the names of a Caffe network.
    """
    blobs: dict[str, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        layer, _, place = name.rpartition(".")
        if place not in BLOBS or not LAYER.fullmatch(layer):
            return None
        blobs.setdefault(layer, {})[place] = tensor
    if not blobs or any(set(places) != set(BLOBS) for places in blobs.values()):
        return None
    return from_caffe({layer: [found["0"], found["1"]] for layer, found in blobs.items()})


def infer_cpm(state_dict: Mapping[str, Tensor]) -> tuple[str, dict[str, Any]]:
    """Name and options of the Convolutional Pose Machine that has these tensors.

    Tensors do not tell the kind of pooling, nor whether the last map is the background's, nor a
    stride smaller than the tower allows: the released values are taken. Of a net of one stage
    they do not tell the centre map either.

    Raises:
        UserError: these are not the tensors of a Convolutional Pose Machine.
    """
    shapes = {
        name.removesuffix(".weight"): tuple(tensor.shape)
        for name, tensor in state_dict.items()
        if name.endswith(".weight") and tensor.dim() == 4
    }
    numbers = [int(m[1]) for name in shapes if (m := re.fullmatch(r"Mconv1_stage(\d+)", name))]
    stages = max(numbers, default=1)
    vgg = "conv4_7_CPM" in shapes
    last = "conv5_2_CPM" if vgg else f"conv{_count(shapes, 'conv', 1)}_stage1"
    whole = sorted(numbers) == list(range(2, stages + 1))
    if last not in shapes or not whole or (not vgg and _count(shapes, "conv", 1) < 5):
        raise not_of("CPM", "the layers of stage 1 and of every stage up to the last")
    maps = shapes[last][0]
    options: dict[str, Any] = {"num_joints": maps - 1, "stages": stages}
    if vgg:
        if stages > 1:
            options["centre_map"] = (
                shapes["Mconv1_stage2"][1] == shapes["conv4_7_CPM"][0] + maps + 1
            )
        return "cpm_vgg", options
    return "cpm", options | _form(shapes, stages, maps)


def _form(shapes: Mapping[str, tuple[int, ...]], stages: int, maps: int) -> dict[str, Any]:
    convolutions = _count(shapes, "conv", 1)
    first = [shapes[f"conv{number}_stage1"] for number in range(1, convolutions + 1)]
    tower, (image, head) = first[:-4], first[-4:-2]
    form: dict[str, Any] = {
        "stride": 2 ** len(tower),
        "tower": tuple(shape[0] for shape in tower),
        "tower_kernel": tower[0][-1],
        "image_kernel": image[-1],
        "image_width": image[0],
        "head_kernel": head[-1],
        "head_width": head[0],
    }
    if stages == 1:
        return form
    layers = _count(shapes, "Mconv", 2)
    stage = shapes.get("Mconv1_stage2", ())
    if layers < 3 or len(tower) == 0:
        raise not_of("CPM", "a tower and three convolutions or more in each later stage")
    form |= {
        "stage_kernel": stage[-1],
        "stage_width": stage[0],
        "stage_layers": layers - 2,
        "centre_map": stage[1] == image[0] + maps + 1,
    }
    if stages > 2:
        own = _count(shapes, "conv", 3)
        form["shared"] = {0: "features", 1: "tower"}.get(own, "none")
    return form


def _count(shapes: Mapping[str, tuple[int, ...]], kind: str, stage: int) -> int:
    """How many convolutions of a kind a stage has, numbered from 1 without a gap; else 0."""
    found = {
        int(match[1])
        for name in shapes
        if (match := re.fullmatch(rf"{kind}(\d+)_stage{stage}", name))
    }
    return len(found) if found == set(range(1, len(found) + 1)) else 0
