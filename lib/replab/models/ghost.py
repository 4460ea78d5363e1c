"""Ghost batches: batch statistics over parts of a batch, as on several GPUs without exchange."""

import torch
from torch import Tensor, nn
from torch.nn import functional


class GhostBatchNorm2d(nn.BatchNorm2d):
    """Batch normalisation whose training statistics are those of `ghost` images at a time.

    N×C×H×W to the same shape; N must be a multiple of `ghost` while training. Evaluation is that
    of `BatchNorm2d`. The running statistics see the first part of each batch alone, as those of
    `DataParallel` see the first GPU's. He et al. 2016, §4.2: 128 on two GPUs, 64 on each.
    """

    ghost: int = 0

    def forward(self, x: Tensor) -> Tensor:
        """Normalise `x`.

        Raises:
            ValueError: while training, the batch is no multiple of `ghost`.
        """
        if not self.training:
            return super().forward(x)
        if len(x) % self.ghost:
            raise ValueError(f"a batch of {len(x)} cannot be split into ghosts of {self.ghost}")
        first, *rest = x.split(self.ghost)
        parts = [super().forward(first)]
        parts += [
            functional.batch_norm(part, None, None, self.weight, self.bias, True, 0.0, self.eps)
            for part in rest
        ]
        return torch.cat(parts)


def use_ghost_batches(model: nn.Module, ghost: int) -> None:
    """Turn every batch normalisation of a network into one over `ghost` images at a time.

    Names, parameters and buffers stay as they are, so weights load as before.

    Raises:
        ValueError: `ghost` is not positive.
    """
    if ghost < 1:
        raise ValueError(f"ghost batches of {ghost} images; give 1 or more")
    for module in model.modules():
        if type(module) is nn.BatchNorm2d:
            module.__class__ = GhostBatchNorm2d
            module.ghost = ghost
