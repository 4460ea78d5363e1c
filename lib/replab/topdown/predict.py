"""Joints of people in pictures: boxes to crops to heatmaps to joints, batch by batch."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from replab.datasets.pose_set import PoseSet
from replab.errors import UserError
from replab.keypoints.codecs import Codec
from replab.topdown.crops import Warp, crop_batches, crop_places
from replab.topdown.network import PoseNetwork

# Larger batches leave a processor's caches; GPUs want more.
BATCH = {"cpu": 8, "cuda": 64}


@dataclass(frozen=True)
class Predictions:
    """What a network found of the people of a set, in their order.

    Attributes:
        keypoints: N×K×2, float32, px of the picture.
        scores: N×K, float32, of each joint: the heatmap's highest value.
        centre: N×2, float32, of the crops, px of the picture.
        scale: N×2, float32, of the crops, in units of 200 px.
        seconds: that all of it took, from pictures to joints.
    """

    keypoints: NDArray[np.float32]
    scores: NDArray[np.float32]
    centre: NDArray[np.float32]
    scale: NDArray[np.float32]
    seconds: float

    @property
    def people_per_s(self) -> float:
        """How many people a second."""
        return len(self.keypoints) / self.seconds


@dataclass(frozen=True)
class Reading:
    """One way to read joints off what a network says.

    Attributes:
        codec: how heatmaps are read, and how far the mirror image's are shifted.
        flip: average the heatmaps of each crop and its mirror image.
        head: whose heatmaps, where the network has several heads.
    """

    codec: Codec
    flip: bool = True
    head: int = 0


def predict(
    network: PoseNetwork,
    poses: PoseSet,
    codec: Codec,
    *,
    flip: bool = True,
    batch: int | None = None,
    warping: Warp | None = None,
    progress: Callable[[float, str], None] = lambda share, text: None,
) -> Predictions:
    """The joints of all people of a set, by the network's own choice of its heads.

    Args:
        codec: how crops are cut and heatmaps read, and how far the mirror image's are shifted.
        flip: average the heatmaps of each crop and its mirror image.
        batch: people at a time; None for what suits the device.
        warping: as of `crop_batches`; None for OpenCV on a CPU and the batched warp on a GPU.
        progress: called with the share done (0–1) and a text.

    Raises:
        UserError: the network's joints are not the set's; a box has no area; a picture is missing
            or damaged; the network gives no finite numbers.
    """
    options: Any = {"batch": batch, "warping": warping, "progress": progress}
    return predict_each(network, poses, {"": Reading(codec, flip, network.head)}, **options)[""]


def predict_each(
    network: PoseNetwork,
    poses: PoseSet,
    readings: Mapping[str, Reading],
    *,
    batch: int | None = None,
    warping: Warp | None = None,
    progress: Callable[[float, str], None] = lambda share, text: None,
) -> dict[str, Predictions]:
    """The joints of all people of a set, read in several ways off one pass of the network.

    Args:
        readings: by name; all of codecs that cut crops alike.
        batch: as of `predict`.
        warping: as of `predict`.
        progress: as of `predict`.

    Raises:
        UserError: as of `predict`.
        ValueError: the codecs cut crops differently.
    """
    codecs = [reading.codec for reading in readings.values()]
    if len({codec.rule for codec in codecs}) != 1:
        raise ValueError("one pass reads codecs that cut crops by one rule only")
    if network.skeleton.name != poses.skeleton.name:
        raise UserError(
            f"{network.model} gives the {network.joints} joints of {network.skeleton.name}, "
            f"{poses.name} has those of {poses.skeleton.name}; give weights for these"
        )
    kind = network.device.split(":")[0]
    people = batch or BATCH.get(kind, BATCH["cuda"])
    mirror = any(reading.flip for reading in readings.values())
    began = time.perf_counter()
    centre, scale = crop_places(poses, network.size)
    matrices = codecs[0].matrix(centre, scale, network.size)
    found = {
        name: (torch.empty(len(poses), network.joints, 2), torch.empty(len(poses), network.joints))
        for name in readings
    }
    source = crop_batches(
        *(poses, matrices, network.size),
        batch=people,
        warping=warping or ("opencv" if kind == "cpu" else "exact"),
        device=network.device,
    )
    for cut in source:
        crops = cut.crops
        count = len(crops)
        part = slice(cut.first, cut.first + count)
        if network.compiled and count < people:
            # Another shape would be compiled anew.
            crops = torch.cat((crops, crops[:1].expand(people - count, *crops.shape[1:])))
        answers = network.answers(crops, mirrored=mirror)
        for name, reading in readings.items():
            straight, mirrored = answers[reading.head]
            heatmaps = straight
            if reading.flip and mirrored is not None:
                order = network.skeleton.mirror
                heatmaps = reading.codec.flip_average(straight, mirrored, order)
            joints, values = reading.codec.decode(heatmaps[:count], centre[part], scale[part])
            found[name][0][part], found[name][1][part] = joints.cpu(), values.cpu()
        progress(part.stop / len(poses), f"{part.stop} of {len(poses)} people")
    if not all(bool(torch.isfinite(scores).all()) for _, scores in found.values()):
        raise UserError(f"{network.model}: its heatmaps are not finite; train or fetch it anew")
    seconds = time.perf_counter() - began
    return {
        name: Predictions(joints.numpy(), scores.numpy(), centre.numpy(), scale.numpy(), seconds)
        for name, (joints, scores) in found.items()
    }
