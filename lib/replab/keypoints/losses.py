"""Losses between heatmaps and their targets.

Source: leoxiaobin/deep-high-resolution-net.pytorch@6f69e46, lib/core/loss.py; Chen et al. 2018
(online hard keypoint mining).
"""

import torch


def joint_mse(
    heatmaps: torch.Tensor,
    targets: torch.Tensor,
    weights: torch.Tensor | None = None,
    *,
    squared: bool = True,
) -> torch.Tensor:
    """Half the mean squared error over batch, joints and pixels, as released.

    Args:
        heatmaps: N×K×H×W.
        targets: N×K×H×W.
        weights: N×K; None weighs all alike. Joints of weight 0 stay in the mean's denominator.
        squared: weigh prediction and target, as released, so that a weight enters squared; else
            the squared errors. Of weights 0 and 1 both are the same.
    """
    return 0.5 * _by_joint(heatmaps, targets, weights, squared).mean()


def joint_ohkm(
    heatmaps: torch.Tensor,
    targets: torch.Tensor,
    weights: torch.Tensor | None = None,
    *,
    hardest: int = 8,
    squared: bool = True,
) -> torch.Tensor:
    """The same over each person's joints of largest loss only, then the mean over people.

    Args:
        heatmaps: N×K×H×W.
        targets: N×K×H×W.
        weights: as of `joint_mse`.
        hardest: joints of a person that count.
        squared: as of `joint_mse`.

    Raises:
        ValueError: there are fewer joints than are to count.
    """
    if not 0 < hardest <= heatmaps.shape[1]:
        raise ValueError(f"of {heatmaps.shape[1]} joints, {hardest} cannot be the hardest")
    errors = _by_joint(heatmaps, targets, weights, squared)
    return 0.5 * errors.topk(hardest, dim=1, sorted=False).values.mean()


def _by_joint(
    heatmaps: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor | None, squared: bool
) -> torch.Tensor:
    """Mean squared error of each map, N×K."""
    errors = (heatmaps - targets).square().mean(dim=(2, 3))
    if weights is None:
        return errors
    return errors * (weights.square() if squared else weights)
