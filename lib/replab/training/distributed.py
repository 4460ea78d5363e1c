"""One training over several processes, as torchrun starts them, a rank each.

A batch is the recipe's, shared out among the ranks by its rows; gradients are averaged, and batch
statistics are those that one process would have. The number of ranks therefore moves a number by
rounding alone, and is no part of a run's identity.

A process that torchrun did not start is alone: then nothing here imports or does anything.
"""

import contextlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from replab.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor

T = TypeVar("T")

# What torchrun tells each process it starts.
VARIABLES = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
# How long ranks wait for the first, which evaluates, or waits for another's run of the same id.
PATIENCE = timedelta(days=7)
_WORK, _DONE = "work", "done"


@dataclass(frozen=True)
class Ranks:
    """This process among those of its training.

    Attributes:
        rank: from 0.
        size: how many there are.
        local_rank: among those of this machine, from 0.
        local_size: how many there are on this machine.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    local_size: int = 1

    @property
    def alone(self) -> bool:
        """Whether there is no other."""
        return self.size == 1

    @property
    def first(self) -> bool:
        """Whether this process writes, evaluates and speaks for all."""
        return self.rank == 0

    def rows(self, batch_size: int) -> slice:
        """Which rows of a batch are this process's.

        Raises:
            UserError: the batch cannot be shared out evenly.
        """
        if batch_size % self.size:
            raise UserError(
                f"a batch of {batch_size} cannot be shared out evenly among {self.size} "
                "processes; start as many as divide it"
            )
        own = batch_size // self.size
        return slice(self.rank * own, (self.rank + 1) * own)


def current() -> Ranks:
    """This process's place, from torchrun's environment.

    Raises:
        UserError: a variable of the environment is no number.
    """
    values = [os.environ.get(name) for name in VARIABLES]
    if None in values or values[1] == "1":
        return Ranks()
    try:
        rank, size, local_rank, local_size = (int(str(value)) for value in values[:4])
    except ValueError as error:
        raise UserError(
            f"{', '.join(VARIABLES[:4])} in the environment are not all numbers; start with "
            "torchrun, which sets them"
        ) from error
    return Ranks(rank, size, local_rank, local_size)


@dataclass
class _Connection:
    """What the processes talk through.

    Attributes:
        device: of this process's tensors.
        control: a group for numbers and objects on the CPU, which waits as long as it takes.
    """

    device: str
    control: Any


_connection: _Connection | None = None


def begin(device: str) -> str:
    """Meet the other ranks, once; alone, do nothing.

    Args:
        device: `cpu` or `cuda`, with or without a number.

    Returns:
        This process's device: each rank of a machine has a GPU of its own.

    Raises:
        UserError: the machine has fewer GPUs than ranks, the device is neither of the two, or
            accelerate is missing.
    """
    global _connection
    ranks = current()
    if ranks.alone:
        return device
    if _connection is not None:
        return _connection.device
    import torch

    kind = device.partition(":")[0]
    if kind not in ("cpu", "cuda"):
        raise UserError(f"several processes train on CUDA GPUs or the CPU, not on {device}")
    gpus = torch.cuda.device_count() if kind == "cuda" else ranks.local_size
    if gpus < ranks.local_size:
        raise UserError(
            f"{ranks.local_size} processes were started on a machine of {gpus} GPUs; start as "
            f"many as it has (--nproc-per-node={gpus}), or use --device cpu"
        )
    # Else accelerate chooses the threads, with a warning.
    os.environ.setdefault("OMP_NUM_THREADS", str(torch.get_num_threads()))
    try:
        from accelerate import PartialState
    except ImportError as error:
        raise UserError(
            "several processes need accelerate, which is not installed: pip install accelerate"
        ) from error
    backend = "nccl" if kind == "cuda" else "gloo"
    state = PartialState(cpu=kind == "cpu", backend=backend)
    control = torch.distributed.new_group(backend="gloo", timeout=PATIENCE)
    _connection = _Connection(str(state.device), control)
    return _connection.device


def has_begun() -> bool:
    """Whether this process has met its other ranks."""
    return _connection is not None


def end() -> None:
    """Part from the other ranks."""
    global _connection
    if _connection is not None:
        import torch

        torch.distributed.destroy_process_group()
        _connection = None


def mean(values: "Tensor") -> "Tensor":
    """The mean over the ranks of numbers of any shape; alone, the numbers as they are.

    Several ranks' come in double precision, on the CPU.
    """
    if _connection is None:
        return values
    import torch

    summed = values.detach().to("cpu", torch.float64, copy=True)
    torch.distributed.all_reduce(summed, group=_connection.control)
    return summed / current().size


def from_first(function: Callable[[], T]) -> T:
    """What a function gives the first rank, for all; the others wait.

    Raises:
        SystemExit: of the others, where the function has raised an error, which is the first's.
    """
    if _connection is None:
        return function()
    if not current().first:
        succeeded, value = _hear()
        if not succeeded:
            raise SystemExit(1)
        return value  # type: ignore[no-any-return]
    try:
        found = function()
    except BaseException:
        _say((False, None))
        raise
    _say((True, found))
    return found


def _say(value: Any) -> None:
    import torch

    assert _connection is not None
    torch.distributed.broadcast_object_list([value], src=0, group=_connection.control)


def _hear() -> Any:
    import torch

    assert _connection is not None
    heard: list[Any] = [None]
    torch.distributed.broadcast_object_list(heard, src=0, group=_connection.control)
    return heard[0]


class RunFinished(BaseException):
    """A run's last training is over, and the first rank does the rest of it alone."""


@dataclass
class _Run:
    """A run under way.

    Attributes:
        trainings: how many have begun.
        training: whether one is under way.
    """

    trainings: int = 0
    training: bool = False


_run: _Run | None = None


def begin_training(device: str) -> str:
    """`begin` of a training: whatever the ranks exchange in it has to come after.

    Raises:
        UserError: as of `begin`.
    """
    device = begin(device)
    if _run is not None:
        # After each training the others wait to hear whether there is another.
        if current().first and _run.trainings:
            _say(_WORK)
        _run.trainings, _run.training = _run.trainings + 1, True
    return device


def end_training() -> None:
    """After a training, whose end all ranks have come to: the others wait for what comes next.

    Raises:
        RunFinished: of the others: nothing is left for them to do.
    """
    if _run is None:
        return
    _run.training = False
    if not current().first and _hear() == _DONE:
        raise RunFinished


@contextlib.contextmanager
def leading() -> Iterator[None]:
    """The first rank's whole run; the others are let go at its end."""
    global _run
    _run = _Run()
    try:
        yield
    finally:
        # In the midst of a training the others do not listen: they end when this process has.
        # They may have ended before, each with an error of its own.
        if not _run.training:
            with contextlib.suppress(RuntimeError):
                _say(_DONE)
        _run = None


def call_to_work() -> None:
    """Of the first rank that leads a run: it has to be computed, by all. Else nothing."""
    if _run is not None and current().first:
        _say(_WORK)


@contextlib.contextmanager
def following() -> Iterator[bool]:
    """Another rank's whole run: it takes part in the trainings and does nothing after the last.

    Gives whether there is anything to do at all: whether the first has said `call_to_work`.

    Raises:
        RuntimeError: the first begins a training that this rank has not come to.
    """
    global _run
    _run = _Run()
    try:
        work = _hear() == _WORK
        yield work
        if work and _hear() != _DONE:
            raise RuntimeError("the first process trains on, and this one has nothing to train")
    except RunFinished:
        pass
    finally:
        _run = None
