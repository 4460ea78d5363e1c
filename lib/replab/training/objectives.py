"""What trainings minimise: a loss of the network's answer, and the share of wrong answers."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch.nn import functional

from replab.keypoints.decode import heatmap_accuracy
from replab.keypoints.losses import joint_mse
from replab.keypoints.stage_losses import Supervision, euclidean_loss, supervised

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


@dataclass(frozen=True)
class StageRegression:
    """The loss of a net that predicts in stages, after each of them or after the last alone.

    Source: Wei et al. 2016 section 3.3, equation 4; Fig. 5 and 6b for the last one's alone.

    Attributes:
        supervision: whose loss counts: `all` for the sum over the stages, or `last`.
        loss: `mean`, the joint MSE over pixels and joints, or `sum`, Caffe's sum over both.
        background: whether each stage gives a last map of the background, whose target is 1 less
            the highest of the joints'. It counts fully, whichever joints are annotated.
    """

    supervision: Supervision = "all"
    loss: Literal["mean", "sum"] = "mean"
    background: bool = False

    def __call__(self, answer: Any, *targets: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The loss, and the last stage's share of joints off by half a tenth of the map or more.

        Args:
            answer: beliefs of each stage, B×M×h×w, M being K or, with a background, K + 1.
            targets: for each stage, or more of them, its targets B×K×h×w and weights B×K.

        Raises:
            ValueError: there are fewer targets than stages.
        """
        stages = list(answer)
        if len(targets) < 2 * len(stages):
            raise ValueError(f"{len(targets) // 2} stages have targets, {len(stages)} answer")
        losses = [
            self._loss(maps.float(), *self._whole(*targets[2 * i : 2 * i + 2]))
            for i, maps in enumerate(stages)
        ]
        last = 2 * (len(stages) - 1)
        maps, weights = targets[last], targets[last + 1]
        with torch.no_grad():
            joints = stages[-1][:, : maps.shape[1]].float()
            accuracy, _ = heatmap_accuracy(joints, maps * weights[..., None, None])
        loss = supervised(torch.stack(losses), self.supervision)
        return loss, (1 - accuracy).float()

    def _loss(
        self, maps: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor
    ) -> torch.Tensor:
        chosen = euclidean_loss if self.loss == "sum" else joint_mse
        return chosen(maps, targets, weights)

    def _whole(
        self, targets: torch.Tensor, weights: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Targets and weights, the background's among them if there is one."""
        if not self.background:
            return targets, weights
        ground = 1 - targets.amax(1, keepdim=True).clamp(max=1)
        return torch.cat((targets, ground), 1), functional.pad(weights, (0, 1), value=1.0)
