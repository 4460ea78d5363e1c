"""Classification: logits of a whole set, and the share of wrong answers."""

from collections.abc import Callable

import torch
from torch import nn

from replab.models.precision import autocast


@torch.inference_mode()
def predict(
    model: nn.Module,
    images: torch.Tensor,
    *,
    batch_size: int,
    precision: str = "fp32",
    progress: Callable[[float, str], None] = lambda share, text: None,
) -> torch.Tensor:
    """Logits N×K (float32) of all images, in evaluation mode.

    Args:
        images: N×C×H×W, on the device of the network.
        progress: called with the share done (0–1) and a text.
    """
    model.eval()
    parts = []
    for start in range(0, len(images), batch_size):
        with autocast(str(images.device), precision):
            parts.append(model(images[start : start + batch_size]).float())
        done = min(start + batch_size, len(images))
        progress(done / len(images), f"{done} images")
    return torch.cat(parts)


def top_k_error(logits: torch.Tensor, labels: torch.Tensor, k: int = 1) -> float:
    """Share of images whose label is not among the `k` largest logits, in percent.

    Args:
        logits: N×K.
        labels: N, 0…K−1.

    Raises:
        ValueError: N is 0; else as `top_k_wrong`.
    """
    if not len(labels):
        shapes = f"logits {tuple(logits.shape)} do not fit labels {tuple(labels.shape)}"
        raise ValueError(f"{shapes}: there is no image to score")
    return 100.0 * top_k_wrong(logits, labels, k) / len(labels)


def top_k_wrong(logits: torch.Tensor, labels: torch.Tensor, k: int = 1) -> int:
    """Number of images whose label is not among the `k` largest logits, to be summed over batches.

    Args:
        logits: N×K.
        labels: N, 0…K−1.

    Raises:
        ValueError: the shapes do not fit, a label or `k` is out of range, or a logit is not
            finite.
    """
    if logits.ndim != 2 or labels.shape != logits.shape[:1]:
        raise ValueError(f"logits {tuple(logits.shape)} do not fit labels {tuple(labels.shape)}")
    classes = logits.shape[1]
    if not 1 <= k <= classes or not ((labels >= 0) & (labels < classes)).all():
        raise ValueError(f"k = {k} or a label is out of the range of {classes} classes")
    if not torch.isfinite(logits).all():
        raise ValueError("logits are not finite")
    best = logits.topk(k, dim=1).indices
    return len(labels) - int((best == labels[:, None]).any(dim=1).sum())
