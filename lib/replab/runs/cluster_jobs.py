"""Runs on other machines: what a job carries there, what must agree, who does what again.

An engine (`ray_cluster`, `slurm_cluster`) starts jobs and tells how they ended. What a job is, and
what becomes of one whose worker died, is the same for every engine and stands here.
"""

import os
import platform
import sys
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Protocol

import replab
from replab import paths
from replab.errors import UserError
from replab.files import make_folder, write_text
from replab.hardware import device_class
from replab.options import RunOptions
from replab.runs.execution import RunFailed, execute
from replab.runs.identity import RunSpec
from replab.runs.progress import ProgressLine
from replab.runs.provenance import checkout_state
from replab.runs.store import Store

# How often a run is begun whose worker dies each time.
ATTEMPTS = 3
# How long a record that a worker wrote may take to be seen here: network file systems keep what
# they know of a folder for a while.
RECORD_S = 60.0
LOOK_S = 0.25


class Refused(UserError):
    """A worker cannot work for this machine: it sees another store, or has other code."""


class WorkerDied(Exception):
    """A job ended without a word: killed, out of memory, its machine gone; says what is known."""


class Cancelled(Exception):
    """A job was cancelled by hand on its cluster: that is not to be undone."""


# How a job ended; None is well.
Ending = RunFailed | UserError | WorkerDied | Cancelled | None


@dataclass(frozen=True)
class Job:
    """One run as it travels to a worker.

    Attributes:
        store: absolute path of the store's folder, the same on every machine.
        mark: what that folder's mark says, so that a worker knows it sees the same folder.
        code: commits of the checkout and of the library, as `code_state` gives them.
        environment: the variables that tell replab where things are.
        options: how it computes, the device as the worker sees it.
        attempt: counts from 1.
    """

    spec: RunSpec
    store: str
    mark: str
    code: str
    environment: Mapping[str, str]
    options: RunOptions
    attempt: int = 1


class Engine(Protocol):
    """Starts jobs on some cluster and tells how they ended.

    Attributes:
        name: as the command line calls it.
        threads: of each job.
    """

    name: str
    threads: int

    def resolve_device(self, asked: str) -> str:
        """The device class (`cpu`, `cuda`) that its workers have, where `auto` is asked for."""

    def lay_out(self, device: str, *, per_gpu: int, workers: int | None) -> None:
        """Decide what each job takes of the cluster, and how many may run at a time."""

    def text(self) -> str:
        """Where the jobs go, in words."""

    def submit(self, jobs: Sequence[Job]) -> None:
        """Start jobs, or take up those that an earlier command has sent off."""

    def ended(self, *, block: bool) -> list[tuple[Job, Ending]]:
        """Jobs that have ended since the last call.

        Args:
            block: wait for one, if there are any under way.
        """

    def under_way(self) -> dict[str, str]:
        """Run id → what the cluster calls its job, for the jobs that have not ended."""

    def cancel(self) -> None:
        """End all jobs that this process has started, and wait until they are gone."""

    def close(self) -> None:
        """Leave the cluster."""


def code_state() -> str:
    """Commits of the checkout that the papers come from and of the library that does the work.

    Of an installed library that is no checkout, its version.
    """
    return _code_state(paths.root(), Path(replab.__file__).resolve().parents[2])


@cache  # what a process has imported does not change with the checkout
def _code_state(root: Path, library: Path) -> str:
    commits = [checkout_state(root)[0]]
    if library != root:
        commits.append(checkout_state(library)[0])
    return " ".join([replab.__version__, *commits])


def read_mark(store: Path) -> str:
    """What the mark of a store's folder says; empty where there is none."""
    try:
        return _mark_path(store).read_text(encoding="utf-8").strip()
    except OSError:
        return ""


def _mark_path(store: Path) -> Path:
    return store / "cluster" / "mark.txt"


def make_mark(store: Store) -> str:
    """The mark of a store's folder, made at the first call: random, so no two stores share it.

    Raises:
        UserError: the store cannot be written.
    """
    with store.exclusive("cluster-mark"):
        mark = read_mark(store.folder)
        if not mark:
            mark = uuid.uuid4().hex
            make_folder(_mark_path(store.folder).parent)
            write_text(_mark_path(store.folder), mark + "\n")
    return mark


def make_jobs(specs: Sequence[RunSpec], store: Store, options: RunOptions) -> list[Job]:
    """Runs as jobs for workers that see the same folders as this machine does.

    Args:
        options: of each, the device as a worker sees it.

    Raises:
        UserError: the store cannot be written, or there is no checkout.
    """
    named = {k: v for k, v in os.environ.items() if k.startswith("REPLAB_")}
    # Said in full: a worker's own folder, home and cache may be others.
    environment = named | {
        "REPLAB_ROOT": str(paths.root()),
        "REPLAB_DATA": str(paths.data_dir().absolute()),
        "REPLAB_STORE": str(store.folder.absolute()),
    }
    shared = (environment["REPLAB_STORE"], make_mark(store), code_state(), environment)
    return [Job(spec, *shared, options) for spec in specs]


def work(job: Job) -> RunFailed | UserError | None:
    """Do a job on the worker that this process is.

    Returns:
        What went wrong, if anything did: engines wrap what is raised into errors of their own.
    """
    try:
        os.environ.update(job.environment)
        require_agreement(job)
        execute(job.spec, job.store, job.options)
    except (RunFailed, UserError) as error:
        return error
    except Exception as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        return RunFailed(f"{job.spec.paper}: {job.spec.label} failed on {_node()}: {reason}")
    return None


def require_agreement(job: Job) -> None:
    """See that this worker has the store and the code of the machine that the job comes from.

    Raises:
        Refused: it has not; nothing was written.
    """
    mark = read_mark(Path(job.store))
    if mark != job.mark:
        what = "sees another folder at" if mark else "does not see the store"
        raise Refused(
            f"the worker on {_node()} {what} {job.store}; set REPLAB_STORE to a folder on a disk "
            "that all machines mount at the same place"
        )
    try:
        code = code_state()
    except UserError as error:
        raise Refused(f"the worker on {_node()} has no checkout: {error}") from error
    if code != job.code:
        raise Refused(
            f"the worker on {_node()} has other code (replab {code}) than this machine "
            f"({job.code}); bring both to the same commit, or share one checkout"
        )


def _node() -> str:
    return platform.node() or "another machine"


def run_all(
    jobs: Sequence[Job],
    engine: Engine,
    *,
    store: Store,
    costs: Sequence[float],
    attempts: int = ATTEMPTS,
    wait: bool = True,
) -> list[RunFailed | UserError]:
    """Have all jobs done, whatever becomes of any one of them.

    A run whose worker dies is begun again, up to `attempts` times in all, and goes on from its
    checkpoint. One that fails by itself is not.

    Args:
        costs: relative, of each job; the dearest are handed out first.
        wait: until all have ended; else only what has ended already is looked at.

    Returns:
        The errors of the runs that failed.

    Raises:
        Refused: a worker cannot work for this machine; the other jobs are cancelled.
    """
    order = sorted(range(len(jobs)), key=lambda i: -costs[i])
    progress = ProgressLine([job.spec for job in jobs], costs, store)
    failures: list[RunFailed | UserError] = []
    try:
        engine.submit([jobs[i] for i in order])
        while ended := engine.ended(block=wait):
            again = []
            for job, ending in ended:
                may_go_on = isinstance(ending, WorkerDied) and job.attempt < attempts
                if may_go_on and not _has_record(store, job.spec):
                    _say_again(job, ending, attempts)
                    again.append(replace(job, attempt=job.attempt + 1))
                    continue
                failure = _judge(job, ending, store)
                failures += [] if failure is None else [failure]
                progress.finish(job.spec, failed=failure is not None)
            engine.submit(again)
    except BaseException:
        engine.cancel()
        raise
    finally:
        progress.close()
    return failures


def _say_again(job: Job, death: Ending, attempts: int) -> None:
    print(
        f"{job.spec.label}: the worker died ({death}); attempt {job.attempt + 1} of {attempts} "
        "goes on from its checkpoint",
        file=sys.stderr,
        flush=True,
    )


def _judge(job: Job, ending: Ending, store: Store) -> RunFailed | UserError | None:
    """What a job's ending means for its run; what counts is the record, not the answer."""
    name = f"{job.spec.paper}: {job.spec.label}"
    match ending:
        case Refused():
            raise ending
        case RunFailed() | UserError():
            return ending
        case _ if _has_record(store, job.spec, patience_s=RECORD_S if ending is None else 0.0):
            return None
        case WorkerDied():
            times = "the only time" if job.attempt == 1 else f"{job.attempt} times"
            return RunFailed(
                f"{name}: the worker died {times} (last: {ending}); finished runs and checkpoints "
                "are kept: give it more memory or time, and run the same command again"
            )
        case Cancelled():
            return RunFailed(f"{name}: {ending}; the same command starts it again")
    return RunFailed(
        f"{name}: the worker says that it is done, and no record is at "
        f"{store.path(job.spec.paper, job.spec.id)}; see that its disk is the same on all machines"
    )


def _has_record(store: Store, spec: RunSpec, *, patience_s: float = 0.0) -> bool:
    deadline = time.monotonic() + patience_s
    folder = store.path(spec.paper, spec.id).parent
    while not (found := store.find(spec) is not None) and time.monotonic() < deadline:
        time.sleep(LOOK_S)
        # Opening the folder makes a network file system look at it anew.
        with os.scandir(folder if folder.is_dir() else store.folder) as entries:
            next(entries, None)
    return found


def require_device(asked: str, engine: str) -> str:
    """The device class that is asked for by name.

    Raises:
        UserError: it is none that a cluster's workers have, or names one of several GPUs.
    """
    if asked not in ("cpu", "cuda"):
        device_class(asked)
        raise UserError(
            f"--device {asked} with --executor {engine}: the cluster chooses the GPU; use auto, "
            "cpu or cuda"
        )
    return asked
