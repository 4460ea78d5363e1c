"""What trainings minimise: a loss of the network's answer, and the share of wrong answers."""

from collections.abc import Callable
from typing import Any

import torch
from torch.nn import functional

from replab.keypoints.decode import heatmap_accuracy
from replab.keypoints.losses import joint_mse

# Of a network's answer and a batch's targets: the loss, to be differentiated, and the share of
# wrong answers (0–1), which is not.
Objective = Callable[..., tuple[torch.Tensor, torch.Tensor]]


def classification(logits: Any, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean cross-entropy in nats, and share of images classified wrongly.

    Args:
        logits: B×K.
        labels: B.
    """
    # Of half precision the sum over classes would lose what the loss is read for.
    wide = logits.to(torch.promote_types(logits.dtype, torch.float32))
    loss = functional.cross_entropy(wide, labels)
    return loss, (logits.detach().argmax(1) != labels).float().mean()


def heatmap_regression(answer: Any, *targets: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Joint MSE, and share of joints off by half a tenth of the map or more.

    With several heads, the squared errors of all are summed over pixels, so that a coarse head,
    whose Gaussians fill more of its map, weighs no more than a fine one; one head's loss is the
    released one. The share is that of the first head's annotated joints whose highest pixel lies
    as far away as `keypoints.decode.heatmap_accuracy` counts a miss.

    Args:
        answer: heatmaps B×K×H×W, or a list of them, one a head.
        targets: for each head its targets B×K×H×W and weights B×K.

    Raises:
        ValueError: there are not two targets for each head.
    """
    heads = [answer] if isinstance(answer, torch.Tensor) else list(answer)
    pixels = heads[0].shape[-1] * heads[0].shape[-2]
    losses = [
        joint_mse(maps.float(), target, weights) * (maps.shape[-1] * maps.shape[-2] / pixels)
        for maps, target, weights in zip(heads, targets[0::2], targets[1::2], strict=True)
    ]
    with torch.no_grad():
        accuracy, _ = heatmap_accuracy(heads[0].float(), targets[0] * targets[1][..., None, None])
    return torch.stack(losses).sum(), (1 - accuracy).float()
