"""Batch statistics over several processes: those of the whole batch, wherever its images lie.

The arithmetic is that of Ioffe & Szegedy 2015, algorithm 1, with sums over all the processes that
share a batch; torch's own `SyncBatchNorm` does the same and refuses a CPU.
"""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.nn import functional

from replab.models.ghost import GhostBatchNorm2d

OVER = (0, 2, 3)


class SynchronisedBatchNorm2d(nn.BatchNorm2d):
    """Batch normalisation whose training statistics are those of several processes' images.

    N×C×H×W to the same shape; every process has to bring as many images of one size. Evaluation
    is that of `BatchNorm2d`, and so are the running statistics, as of one process with all images.

    Attributes:
        group: the processes, a group of `torch.distributed`; None for all there are.
    """

    group: Any = None

    def forward(self, x: Tensor) -> Tensor:
        """Normalise `x`.

        Raises:
            ValueError: while training, there is one value a channel in all.
        """
        if not self.training:
            return super().forward(x)
        count = x.numel() // x.shape[1] * distributed.get_world_size(self.group)
        if count < 2:
            raise ValueError(f"one value a channel has no variance, of an input {tuple(x.shape)}")
        y, mean, variance = _Normalise.apply(x, self.weight, self.bias, self.eps, self.group)
        if self.running_mean is not None and self.running_var is not None:
            assert self.num_batches_tracked is not None
            self.num_batches_tracked.add_(1)
            new = self.momentum
            new = 1 / float(self.num_batches_tracked) if new is None else new
            self.running_mean.lerp_(mean, new)
            self.running_var.lerp_(variance * (count / (count - 1)), new)
        return y


class _Normalise(torch.autograd.Function):
    """Normalised values, and the mean and (biased) variance they were normalised with.

    One exchange forwards and one backwards, of two numbers a channel. The weights' gradients are
    of this process's images alone: who shares out a batch averages gradients anyway.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float, group: Any
    ) -> tuple[Tensor, Tensor, Tensor]:
        own_variance, own_mean = torch.var_mean(_wide(x), dim=OVER, correction=0)
        processes, rank = distributed.get_world_size(group), distributed.get_rank(group)
        # Mean and variance of each process, a row each: variances that are computed from sums of
        # squares would lose digits where means are large.
        table = own_mean.new_zeros(processes, 2, len(own_mean))
        table[rank] = torch.stack((own_mean, own_variance))
        distributed.all_reduce(table, group=group)
        means, variances = table.unbind(1)
        mean = means.mean(0)
        variance = variances.mean(0) + means.var(0, correction=0)
        ctx.save_for_backward(x, weight, mean, variance)
        ctx.eps, ctx.group, ctx.processes = eps, group, processes
        ctx.mark_non_differentiable(mean, variance)
        y = functional.batch_norm(x, mean, variance, weight, bias, False, 0.0, eps)
        return y, mean, variance

    @staticmethod
    def backward(  # type: ignore[override]
        ctx: Any, grad: Tensor, *unused: Tensor
    ) -> tuple[Tensor | None, Tensor | None, Tensor | None, None, None]:
        x, weight, mean, variance = ctx.saved_tensors
        wide = _wide(grad)
        inverse = (variance + ctx.eps).rsqrt()
        normal = (_wide(x) - _by_channel(mean)) * _by_channel(inverse)
        sums = torch.stack((wide.sum(OVER), (wide * normal).sum(OVER)))
        by_bias, by_weight = sums.clone().unbind()
        by_x = None
        if ctx.needs_input_grad[0]:
            distributed.all_reduce(sums, group=ctx.group)
            level, slope = sums / (x.numel() // x.shape[1] * ctx.processes)
            by_x = wide - _by_channel(level) - normal * _by_channel(slope)
            by_x = by_x * _by_channel(inverse if weight is None else inverse * weight)
            by_x = by_x.to(x.dtype)
        needs = ctx.needs_input_grad
        return by_x, by_weight if needs[1] else None, by_bias if needs[2] else None, None, None


def _wide(x: Tensor) -> Tensor:
    """In single precision at least: sums over half-precision values would be worth nothing."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def _by_channel(values: Tensor) -> Tensor:
    return values[:, None, None]


class Synchronised:
    """The batch normalisations of a network, made to use statistics of several processes.

    Names, parameters and buffers stay as they are, as with `ghost.use_ghost_batches`.

    Args:
        group_of: of the number of images whose statistics belong together (None for the whole
            batch, else as of `GhostBatchNorm2d`), whether processes have to exchange them, and
            the group of those that do.
    """

    def __init__(
        self, model: nn.Module, group_of: Callable[[int | None], tuple[bool, Any]]
    ) -> None:
        self._changed: list[tuple[nn.BatchNorm2d, type[nn.BatchNorm2d]]] = []
        for module in model.modules():
            if not isinstance(module, nn.BatchNorm2d):
                continue
            ghost = module.ghost if isinstance(module, GhostBatchNorm2d) else None
            exchanged, group = group_of(ghost)
            if exchanged:
                self._changed.append((module, type(module)))
                module.group = group
        self._switch(True)

    def close(self) -> None:
        """Make the network again what it was."""
        self._switch(False)
        for module, _ in self._changed:
            del module.group
        self._changed = []

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """The network as it was: for what one process does with it while others wait."""
        self._switch(False)
        try:
            yield
        finally:
            self._switch(True)

    def _switch(self, on: bool) -> None:
        for module, own in self._changed:
            module.__class__ = SynchronisedBatchNorm2d if on else own
