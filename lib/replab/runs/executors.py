"""Who does the runs: this process, or a pool whose workers each get a GPU or a share of the cores.

All of it stands behind `concurrent.futures.Executor`, so that another engine can take its place.
"""

import contextlib
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from multiprocessing.connection import wait as wait_for_any
from pathlib import Path
from typing import Any

from replab.cores import available_cores
from replab.errors import UserError
from replab.hardware import device_class, has_nvidia_driver
from replab.options import RunOptions
from replab.runs.execution import RunFailed, execute
from replab.runs.identity import RunSpec
from replab.runs.progress import ProgressLine
from replab.runs.store import Store

# A run whose worker died, perhaps through another's fault, is tried alone so many times.
ATTEMPTS_ALONE = 2
# When so many runs in a row have died alone, it is not the runs: the rest is not tried.
GIVE_UP_AFTER = 3
# How long an interrupted worker may take to end before it is killed, in seconds.
GRACE_S = 3.0


class SerialExecutor(Executor):
    """Does each job at once, in this process."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Do the job now and return its finished future."""
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


@dataclass(frozen=True)
class Placement:
    """How runs are laid on a machine.

    Attributes:
        devices: the torch device of each worker; its length is the number of workers.
        options: of each worker, but for the device. With several ranks there is one worker, this
            process, which starts them.
    """

    devices: tuple[str, ...]
    options: RunOptions

    @property
    def text(self) -> str:
        """The placement in words."""
        count = len(self.devices)
        kinds = ", ".join(sorted(set(self.devices)))
        workers = "1 worker" if count == 1 else f"{count} workers"
        ranks, threads = self.options.ranks, self.options.threads
        if ranks > 1:
            workers = f"one run at a time, {ranks} processes"
        return f"{workers} on {kinds}, {threads} thread{'s'[: threads > 1]} each"

    @property
    def alone(self) -> "Placement":
        """The same with one worker."""
        return replace(self, devices=self.devices[:1])


def resolve_device(device: str) -> str:
    """The device class to use: `auto` is a GPU where there is one.

    Raises:
        UserError: the machine has no such device.
    """
    if device != "auto":
        device_class(device)
    # Importing torch takes seconds; a machine without an NVIDIA driver needs no closer look.
    if device == "cpu" or (device == "auto" and not has_nvidia_driver()):
        return "cpu"
    import torch

    has_cuda = torch.cuda.is_available()
    if device == "auto":
        return "cuda" if has_cuda else "cpu"
    if device.startswith("cuda") and not has_cuda:
        raise UserError(
            f"--device {device}: this machine has no usable CUDA GPU; use --device cpu"
        )
    if device.startswith("mps") and not torch.backends.mps.is_available():
        raise UserError(f"--device {device}: this machine has no Apple GPU; use --device cpu")
    return device


def place(
    options: RunOptions, jobs: int, workers: int | None = None, *, per_gpu: int = 1
) -> Placement:
    """Lay some jobs on this machine.

    One worker per core on a CPU (one process of one thread each trains small networks faster than
    one process of several threads), `per_gpu` per GPU otherwise; never more workers than jobs.
    With several ranks, one job at a time.

    Args:
        options: of the jobs, the device already resolved; their threads are decided here.
        workers: in place of that number.
        per_gpu: trainings of small nets leave most of a GPU idle, so several share one.

    Raises:
        UserError: there are more ranks than GPUs, or ranks cannot work on the device.
    """
    if options.ranks > 1:
        return _place_ranks(options)
    device, cores = options.device, available_cores()
    if device == "cuda":
        import torch

        gpus = [f"cuda:{i}" for i in range(torch.cuda.device_count())]
    else:
        gpus = [device] if device_class(device) != "cpu" else []
    count = workers or (per_gpu * len(gpus) if gpus else cores)
    count = max(1, min(count, jobs))
    devices = tuple(gpus[i % len(gpus)] if gpus else device for i in range(count))
    return Placement(devices, replace(options, threads=max(1, cores // count)))


def _place_ranks(options: RunOptions) -> Placement:
    """Lay runs on this machine one after the other, each on several processes."""
    device, ranks = options.device, options.ranks
    if device not in ("cpu", "cuda"):
        raise UserError(f"--ranks {ranks} is for --device cuda or cpu, not for {device}")
    if device == "cuda":
        import torch

        gpus = torch.cuda.device_count()
        if ranks > gpus:
            raise UserError(f"--ranks {ranks}: this machine has {gpus} GPUs; give at most so many")
    return Placement((device,), replace(options, threads=max(1, available_cores() // ranks)))


def make_executor(placement: Placement, *, own_process: bool = False) -> Executor:
    """A pool for several workers, this very process for one unless it is to have its own."""
    if len(placement.devices) == 1 and not own_process:
        return SerialExecutor()
    context = multiprocessing.get_context("spawn")
    queue = context.SimpleQueue()
    for device in placement.devices:
        queue.put(device)
    return ProcessPoolExecutor(
        len(placement.devices),
        mp_context=context,
        initializer=_begin_worker,
        initargs=(queue, placement.options.threads),
    )


_worker_device = ""


def _begin_worker(queue: Any, threads: int) -> None:
    global _worker_device
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _worker_device = queue.get()
    os.environ["OMP_NUM_THREADS"] = str(threads)


def worker_device() -> str:
    """The torch device of this worker process."""
    return _worker_device


def _end_with_parent() -> None:
    """Do not outlive a parent that was killed: an idle worker would wait for work for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _execute_in_worker(spec: RunSpec, store_folder: str, options: RunOptions) -> str:
    return execute(spec, store_folder, replace(options, device=_worker_device))


def run_all(
    specs: Sequence[RunSpec],
    *,
    store: Store,
    placement: Placement,
    costs: Sequence[float] | None = None,
) -> list[RunFailed | UserError]:
    """Do all runs, whatever becomes of any one of them.

    Where worker processes die, what is left is tried again: at once as long as runs come to an
    end in between, then one at a time, so that a run that kills its worker takes no other along.

    Returns:
        The errors of the runs that failed, at the end that of workers that kept dying; empty if
        all records are in the store.
    """
    costs = [1.0] * len(specs) if costs is None else costs
    # The longest first, so that no worker is left alone with one at the end.
    order = sorted(range(len(specs)), key=lambda i: -costs[i])
    pending = [specs[i] for i in order]
    progress = ProgressLine(specs, costs, store)
    failures: list[RunFailed | UserError] = []
    try:
        while pending:
            before = len(pending)
            if not _run_round(pending, store, placement, progress, failures):
                break
            print("a worker process died; its runs go on from their checkpoints", file=sys.stderr)
            if len(pending) == before:
                _run_alone(pending, store, placement, progress, failures)
                break
    finally:
        progress.close()
    return failures


def _run_alone(
    pending: list[RunSpec],
    store: Store,
    placement: Placement,
    progress: ProgressLine,
    failures: list[RunFailed | UserError],
) -> None:
    """Give each pending run a worker process of its own, a few times if it dies."""
    deadly: list[RunSpec] = []
    in_a_row = 0
    for spec in list(pending):
        for _ in range(ATTEMPTS_ALONE):
            if not _run_round(
                [spec], store, placement.alone, progress, failures, own_process=True
            ):
                in_a_row = 0
                pending.remove(spec)
                break
        else:
            deadly.append(spec)
            progress.finish(spec, failed=True)
            in_a_row += 1
        if in_a_row == GIVE_UP_AFTER:
            break
    if pending:
        more = f" and {len(pending) - 3} more" if len(pending) > 3 else ""
        left = ", ".join(spec.label for spec in pending[:3]) + more
        failures.append(
            RunFailed(
                f"{pending[0].paper}: the worker process died each time (killed, or out of "
                f"memory) over {deadly[0].label}; left to do: {left}; finished runs are kept: try "
                "again, with fewer workers (--workers 1) if memory is short"
            )
        )


def _run_round(
    pending: list[RunSpec],
    store: Store,
    placement: Placement,
    progress: ProgressLine,
    failures: list[RunFailed | UserError],
    *,
    own_process: bool = False,
) -> bool:
    """Give all pending runs to one executor; True if its workers died.

    Runs that are settled, well or badly, leave `pending`.
    """
    folder = str(Path(store.folder).absolute())
    broken = False
    executor = make_executor(placement, own_process=own_process)
    try:
        if isinstance(executor, SerialExecutor):
            futures = _submit_serially(executor, pending, folder, placement)
        else:
            futures = _submit_to_pool(executor, pending, folder, placement)
        waiting = {}
        for future, spec in futures:
            waiting[future] = spec
            if future.done():
                broken |= _settle(future, spec, pending, progress, failures)
                del waiting[future]
        while waiting:
            done, _ = wait(waiting, return_when=FIRST_COMPLETED)
            for future in done:
                broken |= _settle(future, waiting.pop(future), pending, progress, failures)
    except BaseException:
        _stop(executor)
        raise
    executor.shutdown()
    return broken


def _submit_serially(
    executor: Executor, pending: list[RunSpec], folder: str, placement: Placement
) -> Iterator[tuple[Future[str], RunSpec]]:
    do: Callable[..., str] = execute
    if placement.options.ranks > 1:
        from replab.runs.ranks import run_with_ranks

        do = run_with_ranks
    options = replace(placement.options, device=placement.devices[0])
    for spec in list(pending):
        yield executor.submit(do, spec, folder, options), spec


def _submit_to_pool(
    executor: Executor, pending: list[RunSpec], folder: str, placement: Placement
) -> Iterator[tuple[Future[str], RunSpec]]:
    futures = []
    # Workers inherit the blocked signal: Ctrl-C is for this process, which then ends them. It is
    # not lost meanwhile, only late.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        # A worker may die before all runs are handed out; those that were will tell.
        with contextlib.suppress(BrokenProcessPool):
            for spec in pending:
                job = executor.submit(_execute_in_worker, spec, folder, placement.options)
                futures.append((job, spec))
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return iter(futures)


def _settle(
    future: Future[str],
    spec: RunSpec,
    pending: list[RunSpec],
    progress: ProgressLine,
    failures: list[RunFailed | UserError],
) -> bool:
    failed = False
    try:
        future.result()
    except BrokenProcessPool:
        return True
    except (RunFailed, UserError) as error:
        failures.append(error)
        failed = True
    pending.remove(spec)
    progress.finish(spec, failed=failed)
    return False


def _stop(executor: Executor) -> None:
    """End an interrupted pool and its workers; their runs resume from their checkpoints."""
    # Looked up first: shutting down makes the pool forget its processes.
    workers = list((getattr(executor, "_processes", None) or {}).values())
    executor.shutdown(wait=False, cancel_futures=True)
    for process in workers:
        process.terminate()
    alive = {process.sentinel: process for process in workers}
    deadline = time.monotonic() + GRACE_S
    while alive and (left := deadline - time.monotonic()) > 0:
        for sentinel in wait_for_any(list(alive), left):
            del alive[sentinel]  # type: ignore[arg-type]
    for process in alive.values():
        process.kill()
