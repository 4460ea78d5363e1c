"""How far the stages of a pose machine see, and what each joint's map owes to the others'.

Source: Wei et al. 2016 section 3.2, "Sequential prediction with learned spatial context features".
"""

import torch
from torch import Tensor

from replab.models.pose_machine import PoseMachine
from replab.models.receptive_fields import ReceptiveField, by_arithmetic, of_chain, windows


def stage_fields(net: PoseMachine) -> list[ReceptiveField]:
    """The receptive field of each stage's beliefs in px of the input.

    With `pool=2` these are the paper's 160 px of stage 1 and 400 px of stage 2 (its text counts
    poolings of 2×2 px). As released, with poolings of 3×3 px every 2 px, each pooling sees one
    more px of its map, 1, 2 and 4 px of the input: 167 and 407.
    """
    return [by_arithmetic(net, name) for name in net.last_layers]


def belief_field(net: PoseMachine, stage: int = 2) -> ReceptiveField:
    """The field of a later stage's beliefs on those of the stage before, in px of the maps.

    In the paper 31: three kernels of 11 px.

    Raises:
        ValueError: the network has no such later stage.
    """
    if not 2 <= stage <= net.stages:
        raise ValueError(f"of {net.stages} stages, stage {stage} sees no beliefs")
    before, here = (windows(net, net.last_layers[number - 1]) for number in (stage - 1, stage))
    return of_chain(here[len(before) :])


@torch.no_grad()
def without_others(net: PoseMachine, x: Tensor) -> list[Tensor]:
    """Beliefs of the joints where each stage sees of the stage before only that joint's own map.

    The other joints' maps, and the background's, are 0 there; what the stage before predicted it
    predicted with all maps in sight, so that each answer is about one step of context alone.

    Args:
        x: N×C×H×W, as of `net`.

    Returns:
        N×M×h×w of each stage from 2 on: map m is what the stage says of it from map m alone.
    """
    images, centre = net.split(x)
    beliefs, features = net.begin(images)
    count, maps = beliefs.shape[:2]
    alone = torch.eye(maps, dtype=beliefs.dtype, device=beliefs.device)[None, :, :, None, None]

    def for_each_map(tensor: Tensor) -> Tensor:
        return tensor.repeat_interleave(maps, dim=0)

    found: list[Tensor] = []
    for stage, seen in enumerate(features, 2):
        hidden = (beliefs[:, None] * alone).flatten(0, 1)
        centres = None if centre is None else for_each_map(centre)
        answer = net.refine(stage, for_each_map(seen), hidden, centres)
        answer = answer.unflatten(0, (count, maps))
        found.append(answer.diagonal(dim1=1, dim2=2).permute(0, 3, 1, 2))
        beliefs = net.refine(stage, seen, beliefs, centre)
    return found
