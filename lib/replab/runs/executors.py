"""Who does the runs: this process, or a pool whose workers each get a GPU or a share of the cores.

All of it stands behind `concurrent.futures.Executor`, so that another engine can take its place.
"""

import multiprocessing
import os
import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from replab.errors import UserError
from replab.runs.execution import RunFailed, execute, progress_path, read_progress
from replab.runs.hardware import available_cores
from replab.runs.identity import RunSpec
from replab.runs.store import Store

POLL_S = 0.25
# A worker that dies takes its pool along; the rest is tried again this often before giving up.
POOL_RESTARTS = 2


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
        threads: threads a worker may use.
    """

    devices: tuple[str, ...]
    threads: int

    @property
    def text(self) -> str:
        """The placement in words."""
        count = len(self.devices)
        kinds = ", ".join(sorted(set(self.devices)))
        workers = "1 worker" if count == 1 else f"{count} workers"
        return f"{workers} on {kinds}, {self.threads} thread{'s'[: self.threads > 1]} each"


def resolve_device(device: str) -> str:
    """The device class to use: `auto` is a GPU where there is one.

    Raises:
        UserError: the machine has no such device.
    """
    if device == "cpu":
        return "cpu"
    import torch

    has_cuda = torch.cuda.is_available()
    if device == "auto":
        return "cuda" if has_cuda else "cpu"
    if device.startswith("cuda") and not has_cuda:
        raise UserError("--device cuda: this machine has no usable CUDA GPU; use --device cpu")
    return device


def place(device: str, jobs: int, workers: int | None = None) -> Placement:
    """Lay some jobs on this machine.

    One worker per core on a CPU (one process of one thread each trains small networks faster than
    one process of several threads), one per GPU otherwise; never more workers than jobs.

    Args:
        device: `cpu`, `cuda` or `cuda:N`.
        workers: in place of that number.
    """
    cores = available_cores()
    if device == "cuda":
        import torch

        gpus = [f"cuda:{i}" for i in range(torch.cuda.device_count())]
    else:
        gpus = [device] if device.startswith("cuda") else []
    count = workers or (len(gpus) if gpus else cores)
    count = max(1, min(count, jobs))
    devices = tuple(gpus[i % len(gpus)] if gpus else device for i in range(count))
    return Placement(devices, max(1, cores // count))


def make_executor(placement: Placement) -> Executor:
    """A pool for several workers, this very process for one."""
    if len(placement.devices) == 1:
        return SerialExecutor()
    context = multiprocessing.get_context("spawn")
    queue = context.SimpleQueue()
    for device in placement.devices:
        queue.put(device)
    return ProcessPoolExecutor(
        len(placement.devices),
        mp_context=context,
        initializer=_begin_worker,
        initargs=(queue, placement.threads),
    )


_worker_device = ""


def _begin_worker(queue: Any, threads: int) -> None:
    global _worker_device
    _worker_device = queue.get()
    os.environ["OMP_NUM_THREADS"] = str(threads)


def _execute_in_worker(spec: RunSpec, store_folder: str, threads: int) -> str:
    return execute(spec, store_folder, _worker_device, threads)


class Progress:
    """One line for many runs: share done, runs done, time left, what is running."""

    def __init__(self, specs: Sequence[RunSpec], costs: Sequence[float], store: Store) -> None:
        from tqdm.std import tqdm

        self._costs = {spec.id: cost for spec, cost in zip(specs, costs, strict=True)}
        self._specs = {spec.id: spec for spec in specs}
        self._store = store
        self._done: set[str] = set()
        self._closed = threading.Event()
        self._terminal = sys.stderr.isatty()
        self._began = time.monotonic()
        self._bar = tqdm(
            total=sum(costs),
            disable=not self._terminal,
            bar_format="{percentage:3.0f}% |{bar:30}| {elapsed} so far, {remaining} left {postfix}",
            file=sys.stderr,
            leave=False,
        )
        self._watcher = threading.Thread(target=self.watch, daemon=True)
        if self._terminal:
            self._watcher.start()

    def refresh(self) -> None:
        """Look at what the runs have noted."""
        done = sum(self._costs[i] for i in list(self._done))
        running = []
        for run, spec in list(self._specs.items()):
            if run in self._done:
                continue
            share, text = read_progress(progress_path(self._store.folder, spec))
            if share:
                done += share * self._costs[run]
                running.append(f"{spec.label} {text}")
        self._bar.n = min(done, self._bar.total)
        self._bar.set_postfix_str(" · ".join(running)[:100], refresh=False)
        self._bar.refresh()

    def watch(self) -> None:
        """Refresh until `close`, from a thread of its own: a serial run leaves no other moment."""
        while not self._closed.wait(POLL_S):
            self.refresh()

    def finish(self, spec: RunSpec) -> None:
        """Note that a run is done; where there is no terminal, say so in a line."""
        self._done.add(spec.id)
        if self._terminal:
            return
        done = sum(self._costs[i] for i in self._done)
        took = time.monotonic() - self._began
        left = took / done * (sum(self._costs.values()) - done)
        count = f"[{len(self._done)}/{len(self._specs)}]"
        print(f"{count} {spec.label} done, about {left:.0f} s left", file=sys.stderr, flush=True)

    def close(self) -> None:
        """Remove the line."""
        self._closed.set()
        if self._terminal:
            self._watcher.join()
        self._bar.close()


def run_all(
    specs: Sequence[RunSpec],
    *,
    store: Store,
    placement: Placement,
    costs: Sequence[float] | None = None,
) -> list[RunFailed | UserError]:
    """Do all runs, whatever becomes of any one of them.

    Returns:
        The errors of the runs that failed; empty if all records are in the store.

    Raises:
        RunFailed: worker processes keep dying; the runs that are done are kept.
    """
    costs = [1.0] * len(specs) if costs is None else costs
    # The longest first, so that no worker is left alone with one at the end.
    order = sorted(range(len(specs)), key=lambda i: -costs[i])
    pending = [specs[i] for i in order]
    progress = Progress(specs, costs, store)
    failures: list[RunFailed | UserError] = []
    restarts = 0
    try:
        while pending:
            broken = _run_round(pending, store, placement, progress, failures)
            if not broken:
                break
            restarts += 1
            if restarts > POOL_RESTARTS:
                raise RunFailed(
                    f"worker processes died {restarts} times (killed, or out of memory); finished "
                    "runs are kept: try again, with fewer workers (--workers 1) if memory is short"
                )
            print("a worker process died; its runs go on from their checkpoints", file=sys.stderr)
    finally:
        progress.close()
    return failures


def _run_round(
    pending: list[RunSpec],
    store: Store,
    placement: Placement,
    progress: Progress,
    failures: list[RunFailed | UserError],
) -> bool:
    """Give all pending runs to one executor; True if its workers died.

    Runs that are settled, well or badly, leave `pending`.
    """
    folder = str(Path(store.folder).absolute())
    broken = False
    executor = make_executor(placement)
    try:
        if isinstance(executor, SerialExecutor):
            futures = _submit_serially(executor, pending, folder, placement)
        else:
            futures = {
                executor.submit(_execute_in_worker, spec, folder, placement.threads): spec
                for spec in pending
            }.items()
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
        executor.shutdown(wait=False, cancel_futures=True)
        _stop_workers(executor)
        raise
    executor.shutdown()
    return broken


def _submit_serially(
    executor: Executor, pending: list[RunSpec], folder: str, placement: Placement
) -> Any:
    for spec in list(pending):
        device = placement.devices[0]
        yield executor.submit(execute, spec, folder, device, placement.threads), spec


def _settle(
    future: Future[str],
    spec: RunSpec,
    pending: list[RunSpec],
    progress: Progress,
    failures: list[RunFailed | UserError],
) -> bool:
    try:
        future.result()
    except BrokenProcessPool:
        return True
    except (RunFailed, UserError) as error:
        failures.append(error)
    pending.remove(spec)
    progress.finish(spec)
    return False


def _stop_workers(executor: Executor) -> None:
    """End the workers of an interrupted pool; their runs resume from their checkpoints."""
    for process in list((getattr(executor, "_processes", None) or {}).values()):
        process.terminate()
