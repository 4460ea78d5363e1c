"""Losses of networks that predict in stages: each stage's beliefs against its own targets.

Source: Wei et al. 2016 section 3.3, equation 4 (a loss after every stage), and Fig. 5 and 6b (the
last one's alone); genProto.py of shihenw/convolutional-pose-machines-release@a345bc5.
"""

from collections.abc import Sequence
from typing import Literal

import torch

Supervision = Literal["all", "last"]


def euclidean_loss(
    maps: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor | None = None
) -> torch.Tensor:
    """Half the sum of squared errors of all maps and pixels, the mean over the batch, as in Caffe.

    It grows with the number of pixels and maps: the released learning rate of 8e-5 belongs to it.

    Args:
        maps: B×M×h×w.
        targets: B×M×h×w.
        weights: B×M, of the squared errors; None weighs all alike, as released.
    """
    errors = (maps - targets).square().sum(dim=(2, 3))
    if weights is not None:
        errors = errors * weights
    return 0.5 * errors.sum() / maps.shape[0]


def stage_losses(
    beliefs: Sequence[torch.Tensor],
    everyone: torch.Tensor,
    middle: torch.Tensor,
    weights: torch.Tensor | None = None,
) -> torch.Tensor:
    """Each stage's Euclidean loss, T of them: the first's against everyone, the others' against
    the person in the middle.

    Args:
        beliefs: T maps B×M×h×w.
        everyone: B×M×h×w, as of `label_sets.label_sets`.
        middle: B×M×h×w.
        weights: as of `euclidean_loss`, for all stages.

    Raises:
        ValueError: there is no stage.
    """
    if not beliefs:
        raise ValueError("there are no beliefs of any stage")
    targets = [everyone, *[middle] * (len(beliefs) - 1)]
    return torch.stack(
        [
            euclidean_loss(maps.float(), target, weights)
            for maps, target in zip(beliefs, targets, strict=True)
        ]
    )


def supervised(losses: torch.Tensor, supervision: Supervision = "all") -> torch.Tensor:
    """What is minimised of each stage's loss, T of them: their sum, or the last one alone.

    Raises:
        ValueError: the supervision is neither `all` nor `last`.
    """
    if supervision == "all":
        return losses.sum()
    if supervision == "last":
        return losses[-1]
    raise ValueError(f"unknown supervision {supervision!r}; there are all and last")
