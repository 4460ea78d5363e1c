"""A network whose batches several ranks share: its gradients and its batch statistics.

See `distributed` for the ranks themselves. A process alone has the network as it is.
"""

import contextlib
import functools
import inspect
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from replab.errors import CheckFailed, UserError
from replab.models.synchronised import Synchronised
from replab.training.distributed import current, end_training

# What torch calls the option that has buffers exchanged at each step, lately and before.
BUFFERS_OPTIONS = ("forward_sync_buffers", "broadcast_buffers")


class Sharing(Protocol):
    """A network whose batches are shared out.

    Attributes:
        network: what a step calls; its parameters are those of the network itself.
    """

    network: nn.Module

    def own(self, batch: Sequence[Tensor]) -> Sequence[Tensor]:
        """This process's rows of a batch, which may be these alone already."""
        ...

    def apart(self) -> contextlib.AbstractContextManager[None]:
        """The network as one process alone has it, for what the others do not take part in."""
        ...


class _Alone:
    def __init__(self, model: nn.Module) -> None:
        self.network = model

    def own(self, batch: Sequence[Tensor]) -> Sequence[Tensor]:
        return batch

    def apart(self) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext()


class _Shared:
    def __init__(self, model: nn.Module, batch_size: int, device: str) -> None:
        self._batch_size, self._rows = batch_size, current().rows(batch_size)
        self._statistics = Synchronised(model, functools.partial(_group_of, batch_size))
        place = torch.device(device)
        options = inspect.signature(DistributedDataParallel).parameters
        buffers = next(name for name in BUFFERS_OPTIONS if name in options)
        self.network = DistributedDataParallel(
            model,
            device_ids=[place] if place.type == "cuda" else None,
            # Statistics are equal already, or those of other ghosts, which nobody reads.
            **{buffers: False},
        )

    def apart(self) -> contextlib.AbstractContextManager[None]:
        return self._statistics.paused()

    def close(self) -> None:
        self._statistics.close()
        # Its hooks on the parameters go with it: the next training has its own.
        del self.network

    def own(self, batch: Sequence[Tensor]) -> Sequence[Tensor]:
        found, own = len(batch[0]), self._rows.stop - self._rows.start
        if found == own:
            return batch
        if found != self._batch_size:
            raise ValueError(f"a batch of {self._batch_size} came with {found} rows")
        return [part[self._rows] for part in batch]


@contextlib.contextmanager
def shared(model: nn.Module, batch_size: int, device: str) -> Iterator[Sharing]:
    """Share out a network's batches among the ranks; alone, the network as it is.

    Gradients are averaged over the ranks. Batch normalisation uses the statistics of the whole
    batch, or, where a network has ghost batches, of each ghost, wherever its images lie. At the
    end all ranks have the first's running statistics, which are those of one process.

    Args:
        batch_size: of the whole batch.
        device: of this process, as `distributed.begin` gives it.

    Raises:
        UserError: the batch cannot be shared out evenly, or a ghost lies across ranks unevenly.
    """
    if current().alone:
        yield _Alone(model)
        return
    sharing = _Shared(model, batch_size, device)
    try:
        yield sharing
    except CheckFailed:
        # All ranks look at the same mean loss, and end together.
        end_training()
        raise
    finally:
        sharing.close()
    for buffer in model.buffers():
        torch.distributed.broadcast(buffer, src=0)
    end_training()


def _group_of(batch_size: int, ghost: int | None) -> tuple[bool, Any]:
    """Whether ranks exchange batch statistics, and which with which (None for all).

    Raises:
        UserError: a ghost's images do not make up a whole number of ranks' shares.
    """
    ranks = current()
    if ghost is None:
        return True, None
    own = batch_size // ranks.size
    if own % ghost == 0:
        return False, None
    if ghost % own or batch_size % ghost:
        raise UserError(
            f"batch statistics of {ghost} images cannot be taken of shares of {own}; start as "
            f"many processes as make the share of a batch of {batch_size} divide {ghost}, or the "
            "other way round"
        )
    return True, _groups(ghost // own)


@functools.cache
def _groups(together: int) -> Any:
    """The group of this rank among groups of so many neighbours; None for all."""
    ranks, found = current(), None
    if together == ranks.size:
        return None
    for begin_at in range(0, ranks.size, together):
        # Every rank has to make every group.
        members = range(begin_at, begin_at + together)
        group = torch.distributed.new_group(list(members))
        found = group if ranks.rank in members else found
    return found
