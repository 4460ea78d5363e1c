"""What the stages of a pose machine believe of single joints, and what they owe to the others'."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from replab.datasets.pose_set import PoseSet
from replab.keypoints.boxes import centre_scale
from replab.keypoints.codecs import Codec
from replab.models.cpm_context import without_others
from replab.models.pose_machine import PoseMachine
from replab.topdown.crops import crop_batches
from replab.topdown.network import PoseNetwork
from replab.topdown.predict import Reading

# Beliefs below this share of a stage's highest are not kept.
FAINT = 0.02
TOGETHER, ALONE = "_together_stage", "_alone_stage"
# Series of a record: a joint's belief at each px of the map that is not faint.
PREFIX = "belief_"


class InTurn(nn.Module):
    """Beliefs N×M×h×w of each later stage, first as they are, then each joint's on its own.

    Of the latter, a stage is shown nothing of the stage before but that joint's map; see
    `models.cpm_context`.
    """

    def __init__(self, net: PoseMachine) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Tensor) -> list[Tensor]:
        """Twice as many heads as there are later stages."""
        together: list[Tensor] = self.net(x)
        return [*together[1:], *without_others(self.net, x)]


def in_turn(codec: Codec, stages: int) -> dict[str, Reading]:
    """How the heads of `InTurn` are read, by suffix of the metrics' names, without mirror image.

    `_together_stage<t>` and `_alone_stage<t>`, t from 2.
    """
    later = range(2, stages + 1)
    names = [f"{kind}{stage}" for kind in (TOGETHER, ALONE) for stage in later]
    return {name: Reading(codec, flip=False, head=head) for head, name in enumerate(names)}


def first_with(poses: PoseSet, joint: int, count: int) -> list[int]:
    """Numbers of the first people of a set of whom a joint is annotated, rising."""
    found: list[int] = np.flatnonzero(poses.visible[:, joint] > 0)[:count].tolist()
    return found


def crops_of(
    poses: PoseSet, people: Sequence[int], size: tuple[int, int], codec: Codec
) -> tuple[Tensor, Tensor]:
    """Crops N×H×W×3 (uint8, RGB) of some people, and their matrices N×2×3 from the pictures.

    Raises:
        UserError: a picture is missing or damaged.
    """
    some = poses.select(np.asarray(people, np.int64))
    centre, scale = centre_scale(torch.from_numpy(some.boxes), size[0] / size[1])
    matrices = codec.matrix(centre, scale, size)
    cut = crop_batches(some, matrices, size, batch=max(len(some), 1))
    return torch.cat([found.crops.clone() for found in cut]), matrices


def belief_series(
    network: PoseNetwork, poses: PoseSet, people: Sequence[int], joint: int, codec: Codec
) -> dict[str, Mapping[str, list[float]]]:
    """A joint's belief maps of some people in every stage, for a record.

    Returns:
        `belief_<person>_<joint>_stage<t>`, t from 1: `x` are px of the map h×w, counted line by
        line from 0, `y` what is believed there; what is faint is left out. `belief_map`: w and h.

    Raises:
        UserError: a picture is missing or damaged.
    """
    crops, _ = crops_of(poses, people, network.size, codec)
    series: dict[str, Mapping[str, list[float]]] = {}
    for stage, (maps, _) in enumerate(network.answers(crops, mirrored=False), 1):
        high, wide = maps.shape[2:]
        series[f"{PREFIX}map"] = {"x": [float(wide)], "y": [float(high)]}
        for person, belief in zip(people, maps[:, joint].flatten(1), strict=True):
            kept = (belief.abs() > FAINT * belief.max().clamp(min=1e-9)).nonzero()[:, 0]
            places, values = kept.tolist(), belief[kept].tolist()
            series[f"{PREFIX}{person}_{joint}_stage{stage}"] = {
                "x": [float(place) for place in places],
                "y": [round(value, 4) for value in values],
            }
    return series
