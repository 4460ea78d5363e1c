"""Runs on a Slurm cluster, by submitit: arrays of jobs that go on when this process has ended."""

import contextlib
import getpass
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from replab.cores import available_cores
from replab.errors import UserError
from replab.files import make_folder
from replab.runs.cluster_jobs import Cancelled, Ending, Job, Refused, WorkerDied, require_device
from replab.runs.slurm_jobs import SlurmWork, forget, note, recall
from replab.runs.store import Store

# Handed to sbatch as they are, under their names there.
SBATCH_OPTIONS = ("partition", "account", "qos", "constraint", "gres", "exclude", "nodelist")
# See docs/cluster.md. `cluster=local` runs the jobs on this machine, to try things out.
OPTIONS: Mapping[str, type] = {
    **dict.fromkeys(SBATCH_OPTIONS, str),
    "cluster": str,
    "reservation": str,
    "setup": list,
    "mem_gb": float,
    **dict.fromkeys(
        ("timeout_min", "gpus_per_node", "cpus_per_task", "array_size", "signal_delay_s"), int
    ),
}
CLUSTERS = ("slurm", "local")
CPUS_BESIDE_A_GPU = 4
# Nearly every partition grants as much; a run that takes longer is queued again and goes on.
TIMEOUT_MIN = 60
# How often Slurm may queue a run again that has reached its time.
REQUEUES = 100
# Slurm's own default allows arrays of 1,001.
ARRAY_SIZE = 1000
# How often the folder of results is looked at, and Slurm's queue is asked, in seconds.
LOOK_S = {"slurm": 2.0, "local": 0.2}
QUEUE_S = 15.0
# How long the result of a job that has left the queue may take to be seen here.
RESULT_S = {"slurm": 20.0, "local": 0.0}
# How long cancelled jobs of this machine may take to end before they are killed.
GRACE_S = 4.0


class SlurmEngine:
    """Each run is an element of a job array; which job does a run is noted in the store.

    Slurm queues a job again whose time is up, that is pre-empted, or whose machine fails: none of
    these counts as a death.

    Args:
        options: those of `OPTIONS`, parsed.

    Raises:
        UserError: there is no such `cluster`, or no Slurm on this machine.
    """

    name = "slurm"

    def __init__(self, options: Mapping[str, Any]) -> None:
        self._options = options
        self._cluster = options.get("cluster", "slurm")
        if self._cluster not in CLUSTERS:
            raise UserError(
                f"--executor-option cluster={self._cluster}: use {' or '.join(CLUSTERS)}"
            )
        self._running: dict[str, tuple[Job, Any]] = {}
        self._adopted: set[str] = set()
        self._waiting: list[Job] = []
        self._left_queue: dict[str, float] = {}
        self._queue_asked = -QUEUE_S
        self._limit: int | None = None
        self._gpus = 0
        self._queue: set[str] | None = None
        self.threads = 1

    def resolve_device(self, asked: str) -> str:
        """`cuda` where the options ask for GPUs, for Slurm alone knows what its machines have.

        Raises:
            UserError: the device is none that a job can have.
        """
        if asked != "auto":
            return require_device(asked, self.name)
        has_gpu = self._options.get("gpus_per_node") or "gpu" in self._options.get("gres", "")
        return "cuda" if has_gpu else "cpu"

    def lay_out(self, device: str, *, per_gpu: int, workers: int | None) -> None:
        """Decide what each run takes; runs share no GPU, for jobs of Slurm do not.

        Args:
            device: the workers' device class.
            workers: at most so many runs at a time.
        """
        on_gpu = device == "cuda"
        own = "gres" in self._options
        self._gpus = self._options.get("gpus_per_node", 0 if own else 1) if on_gpu else 0
        default = CPUS_BESIDE_A_GPU if on_gpu else 1
        self.threads = max(1, self._options.get("cpus_per_task", default))
        self._limit = workers

    def text(self) -> str:
        """Where the runs go, in words."""
        where = "Slurm" if self._cluster == "slurm" else "this machine, as Slurm's jobs"
        gpus = f", {self._gpus} GPU" if self._gpus else ""
        return f"on {where}, {self.threads} CPU{'s'[: self.threads > 1]}{gpus} each"

    def submit(self, jobs: Sequence[Job]) -> None:
        """Queue jobs, in arrays; those that an earlier command has queued are taken up.

        Raises:
            UserError: Slurm does not take them.
        """
        if not jobs:
            return
        # Two commands at once do not queue a run twice.
        with Store(Path(jobs[0].store)).exclusive("cluster-submit"):
            for job in jobs:
                if not self._adopt(job):
                    self._waiting.append(job)
            self._hand_out()

    def _adopt(self, job: Job) -> bool:
        known = recall(job)
        if known is None or known.cluster != self._cluster:
            return False
        handle = self._handle(job, known.job)
        if handle.paths.result_pickle.exists() and self._read(handle) is None:
            # It was done, and its record has been removed since: that asks for another.
            forget(job)
            return False
        self._running[job.spec.id] = (replace(job, attempt=known.attempt), handle)
        self._adopted.add(job.spec.id)
        return True

    def _handle(self, job: Job, name: str) -> Any:
        import submitit

        kind = submitit.SlurmJob if self._cluster == "slurm" else submitit.LocalJob
        return kind(folder=_folder(job), job_id=name)

    def _hand_out(self) -> None:
        """Queue what waits: on Slurm all of it, on this machine as many as it has cores."""
        room = len(self._waiting)
        if self._cluster == "local":
            room = (self._limit or available_cores()) - len(self._running)
        size = max(1, self._options.get("array_size", ARRAY_SIZE))
        while self._waiting and room > 0:
            count = min(size, room)
            lot, self._waiting = self._waiting[:count], self._waiting[count:]
            room -= count
            with _interrupt_later():
                handles = self._queue_array(lot)
                for job, handle in zip(lot, handles, strict=True):
                    note(job, self._cluster, handle.job_id)
                    self._running[job.spec.id] = (job, handle)
                    self._adopted.discard(job.spec.id)

    def _queue_array(self, jobs: Sequence[Job]) -> list[Any]:
        import submitit

        folder = make_folder(_folder(jobs[0]))
        try:
            executor = submitit.AutoExecutor(
                folder, cluster=self._cluster, **{f"{self._cluster}_max_num_timeout": REQUEUES}
            )
            executor.update_parameters(**self._parameters(jobs))
            handles: list[Any] = executor.map_array(SlurmWork(), jobs)
        # Of submitit and of sbatch, by way of submitit.
        except (RuntimeError, ValueError, OSError) as error:
            lines = [line.strip() for line in str(error).splitlines() if line.strip()]
            reason = next((s for s in lines if "error:" in s), (lines or [""])[0])[:300]
            raise UserError(
                f"--executor slurm: the jobs cannot be queued ({reason}); see --executor-option, "
                "and docs/cluster.md"
            ) from error
        return handles

    def _parameters(self, jobs: Sequence[Job]) -> dict[str, Any]:
        """What submitit is to ask of Slurm for each job."""
        first = jobs[0].spec
        label = first.label if len(jobs) == 1 else first.profile
        found: dict[str, Any] = {
            "name": re.sub(r"[^\w.=,+-]+", "_", f"{first.paper}.{label}").strip("_"),
            "timeout_min": self._options.get("timeout_min", TIMEOUT_MIN),
            "nodes": 1,
            "tasks_per_node": 1,
            "cpus_per_task": self.threads,
        }
        found |= {"gpus_per_node": self._gpus} if self._gpus else {}
        found |= {"mem_gb": self._options["mem_gb"]} if "mem_gb" in self._options else {}
        if self._cluster == "local":
            return found
        names = (*SBATCH_OPTIONS, "setup", "signal_delay_s")
        found |= {f"slurm_{k}": v for k, v in self._options.items() if k in names}
        if "reservation" in self._options:
            extra = {"reservation": self._options["reservation"]}
            found["slurm_additional_parameters"] = extra
        return found | {"slurm_array_parallelism": self._limit or len(jobs)}

    def ended(self, *, block: bool) -> list[tuple[Job, Ending]]:
        """Jobs that have ended since the last call, and how.

        Args:
            block: wait for one, if there are any.
        """
        while True:
            found = self._look()
            if found:
                for job, _ in found:
                    forget(job)
                self._hand_out()
            if found or not block or not self._running:
                return found
            time.sleep(LOOK_S[self._cluster])

    def _look(self) -> list[tuple[Job, Ending]]:
        if not self._running:
            return []
        folder = _folder(next(iter(self._running.values()))[0])
        # Once for all: a thousand questions to a network file system take seconds.
        results = set(os.listdir(folder)) if folder.is_dir() else set()
        self._ask_queue()
        found = []
        for run, (job, handle) in list(self._running.items()):
            if handle.paths.result_pickle.name in results:
                if self._cluster == "local" and _is_local_job(handle):
                    continue  # its keeper ends within a moment, and would be left a zombie
                ending = self._read(handle)
            elif self._is_gone(run, handle):
                ending = self._death(handle)
            else:
                continue
            del self._running[run]
            self._left_queue.pop(run, None)
            found.append((job, ending))
        return found

    def _read(self, handle: Any) -> Ending:
        """What a job has answered."""
        from submitit.core.utils import UncompletedJobError

        try:
            ending: Ending = handle.result()
        except UncompletedJobError:
            # `work` raises nothing: it could not be read, or its packages not be imported.
            log = handle.paths.stderr
            return Refused(
                f"job {handle.job_id} cannot begin; its log is {log}; the environment must be the "
                "same on all machines"
            )
        return ending

    def _ask_queue(self) -> None:
        """Which of this user's jobs Slurm has queued or running; as before if it does not say."""
        if self._cluster == "local" or time.monotonic() - self._queue_asked < QUEUE_S:
            return
        self._queue_asked = time.monotonic()
        command = ["squeue", "-h", "-r", "-o", "%i", "-u", getpass.getuser()]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode == 0:
            self._queue = set(done.stdout.split())

    def _is_gone(self, run: str, handle: Any) -> bool:
        if self._cluster == "local":
            gone = not _is_local_job(handle)
        else:
            gone = self._queue is not None and handle.job_id not in self._queue
        # It may have answered since the folder was looked at.
        if not gone or handle.paths.result_pickle.exists():
            self._left_queue.pop(run, None)
            return False
        first = self._left_queue.setdefault(run, time.monotonic())
        # What an earlier command has queued is taken to have left long ago; at worst it is queued
        # once more, and finds its record.
        patience = 0.0 if run in self._adopted else RESULT_S[self._cluster]
        return time.monotonic() - first >= patience

    def _death(self, handle: Any) -> WorkerDied | Cancelled:
        if self._cluster == "local":
            return WorkerDied(f"job {handle.job_id} has ended without an answer")
        state = _end_state(handle.job_id)
        if state.startswith("CANCELLED"):
            return Cancelled(f"job {handle.job_id} was cancelled")
        return WorkerDied(f"job {handle.job_id}: {state}")

    def under_way(self) -> dict[str, str]:
        """Run id → the job's name on the cluster, for the jobs that have not ended."""
        return {run: handle.job_id for run, (_, handle) in self._running.items()}

    def cancel(self) -> None:
        """End the jobs that this process has queued; those that it has taken up go on."""
        self._waiting = []
        own = [h for run, (_, h) in self._running.items() if run not in self._adopted]
        if self._cluster == "local":
            _end_local(own)
        else:
            _end_remote([handle.job_id for handle in own])
        for run, (job, _) in list(self._running.items()):
            if run not in self._adopted:
                forget(job)
        if self._adopted & set(self._running):
            left = len(self._adopted & set(self._running))
            print(f"{left} jobs that were queued before go on", file=sys.stderr)
        self._running = {}

    def close(self) -> None:
        """Nothing to leave: Slurm's jobs need nobody."""


def _folder(job: Job) -> Path:
    """Where submitit keeps what it sends to jobs, their answers and their logs."""
    return Path(job.store) / "cluster" / "slurm"


@contextlib.contextmanager
def _interrupt_later() -> Iterator[None]:
    """Hold Ctrl-C back for a moment: a job that is queued and not yet noted would be lost.

    Blocking the signal instead would block it in the jobs of this machine, too.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    asked: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, frame: asked.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
        if asked:
            raise KeyboardInterrupt


def _is_local_job(handle: Any) -> bool:
    """Whether a job of this machine lives: by its own process if we began it, else by its id."""
    state = handle.state
    if not state.startswith("NO PROCESS"):
        return bool(state == "RUNNING")
    done = subprocess.run(
        ["ps", "-o", "args=", "-p", handle.job_id], capture_output=True, text=True, check=False
    )
    # Another process may have got the number since.
    return "submitit.local" in done.stdout


def _end_local(handles: Sequence[Any]) -> None:
    for handle in handles:
        # The job's keeper passes it on, and kills what does not end within a second.
        handle.cancel(check=False)
    deadline = time.monotonic() + GRACE_S
    while any(map(_is_local_job, handles)) and time.monotonic() < deadline:
        time.sleep(LOOK_S["local"])
    for handle in filter(_is_local_job, handles):
        os.kill(int(handle.job_id), signal.SIGKILL)


def _end_remote(names: Sequence[str]) -> None:
    for first in range(0, len(names), ARRAY_SIZE):
        lot = names[first : first + ARRAY_SIZE]
        # submitit lets the signal pass that Slurm sends half a minute before it kills.
        for words in (("--state=PENDING",), ("--signal=INT",), ()):
            command = ["scancel", *words, *lot]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            reason = " ".join(done.stderr.split())[:200]
            print(
                f"scancel failed ({reason}); see `squeue --me` for what still runs",
                file=sys.stderr,
            )


def _end_state(name: str) -> str:
    """What Slurm says of a job that has left the queue; it forgets within minutes to months."""
    ways = (
        (["scontrol", "-o", "show", "job", name], r"JobState=(\S+)"),
        (["sacct", "-n", "-X", "-P", "-o", "State", "-j", name], r"^([A-Z_]+)"),
    )
    for command, pattern in ways:
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False)
        except OSError:  # not every cluster has sacct
            continue
        found = re.search(pattern, done.stdout, re.MULTILINE)
        if done.returncode == 0 and found:
            return found.group(1)
    return "it left the queue without an answer"
