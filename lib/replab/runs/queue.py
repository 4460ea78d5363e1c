"""The queue of registered runs: a fixed order, a process each, clean checkouts."""

import contextlib
import os
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import FrameType
from typing import Any

from replab import paths
from replab.errors import CheckFailed, UserError
from replab.files import make_folder, write_text
from replab.runs import record as records
from replab.runs import worktrees
from replab.runs.execution import read_log
from replab.runs.experiment import Replication, load_replication, papers
from replab.runs.hardware import cpu_name
from replab.runs.identity import RunSpec, plan_runs
from replab.runs.progress import progress_path, read_progress
from replab.runs.record import Record
from replab.runs.registration import Registration
from replab.runs.store import Store

WORKERS = 2
LOOK_S = 1.0
SAY_EVERY_S = 300.0
# A worker that dies (out of memory, say) goes on from its checkpoint so many times.
ATTEMPTS = 3
LOWEST_PRIORITY = 19


@dataclass(frozen=True)
class QueuedRun:
    """One registered run.

    Attributes:
        cost: relative to the other runs of its experiment.
    """

    spec: RunSpec
    registration: Registration
    cost: float

    @property
    def label(self) -> str:
        """The run in words."""
        return f"{self.spec.paper}: {self.spec.label}"


def planned(device: str = "cpu") -> list[QueuedRun]:
    """All registered runs of all papers, in the order in which the queue does them.

    Registrations by their `order`, within each the first seed of all variants, then the second.
    """
    found = []
    for paper in papers():
        replication = load_replication(paper)
        for registration, specs in _registered(replication, device):
            cost = replication.experiments[registration.experiment].cost
            runs = [QueuedRun(s, registration, cost(s.variant, s.recipe)) for s in specs]
            found.append(((registration.order, paper, registration.name), runs))
    return [run for _, runs in sorted(found, key=lambda item: item[0]) for run in runs]


def _registered(
    replication: Replication, device: str
) -> Iterator[tuple[Registration, list[RunSpec]]]:
    from replab import datasets

    for experiment in replication.experiments.values():
        for profile, plan in experiment.plans.items():
            for registration in plan.registrations:
                data = (registration.data, datasets.fingerprint(registration.data))
                specs = plan_runs(replication.paper, experiment, profile, data=data, device=device)
                covered = [s for s in specs if s.registration == registration.digest]
                yield registration, covered


def find_record(run: QueuedRun, store: Store) -> Record | None:
    """The record of a run, made here or committed, on any device that its registration allows."""
    for device in run.registration.devices:
        spec = replace(run.spec, device=device)
        found = store.find(spec)
        if found is not None:
            return found
        committed = paths.root() / "results" / spec.paper / "runs" / f"{spec.id}.json"
        if committed.is_file():
            return records.read(committed)
    return None


def start(store: Store, *, commit: str | None, workers: int) -> int:
    """Go on with the queue in a clean checkout of a commit; returns its exit code.

    Args:
        commit: the pin for the runs that begin from now on; HEAD if None.

    Raises:
        UserError: there is no such commit.
    """
    root, folder = paths.root(), store.folder.absolute()
    pin = worktrees.resolve_commit(root, commit or "HEAD")
    tree = worktrees.ensure_worktree(root, pin, checkouts(store))
    words = ["queue", "work", "--repository", str(root.absolute()), "--workers", str(workers)]
    # Replaces this process, so that a signal meant for the queue reaches it.
    environment = _environment(tree, folder)
    sys.stdout.flush()
    sys.stderr.flush()
    os.chdir(tree)
    os.execve(sys.executable, [sys.executable, "-m", "replab", *words], environment)


def checkouts(store: Store) -> Path:
    """Folder of the queue's checkouts."""
    return store.folder.absolute() / "queue" / "checkouts"


def _environment(tree: Path, store_folder: Path) -> dict[str, str]:
    return {
        **os.environ,
        "REPLAB_ROOT": str(tree),
        "REPLAB_STORE": str(store_folder),
        "PYTHONPATH": str(tree / "lib"),
        "PYTHONUNBUFFERED": "1",
    }


@dataclass
class _Worker:
    run: QueuedRun
    process: subprocess.Popen[bytes]
    log: Path
    said: float = field(default_factory=time.monotonic)


class Queue:
    """Works through registered runs until none is left.

    Args:
        repository: a checkout from which others are made.
        workers: how many runs at a time, each in a process of one thread.
    """

    def __init__(self, store: Store, repository: Path, workers: int = WORKERS) -> None:
        self._store = store
        self._repository = repository
        self._count = workers
        self._workers: list[_Worker] = []
        self._attempts: dict[str, int] = {}
        self._failed: dict[str, str] = {}
        self._lacks: dict[str, str] = {}

    def work(self) -> None:
        """Do all runs that lack a record.

        Raises:
            CheckFailed: runs failed; the others are done.
        """
        self._say(f"pinned at {worktrees.resolve_commit(paths.root())[:12]}")
        try:
            with _terminable(), _listed(self._store):
                self._loop()
        finally:
            self._stop()
        if self._failed:
            raise CheckFailed("\n".join(self._failed.values()))
        self._say("no registered run is left to do")

    def _loop(self) -> None:
        while True:
            self._reap()
            left = self._left()
            while len(self._workers) < self._count:
                following = self._next(left)
                if following is None:
                    break
                self._begin(following)
            if not self._workers and not left:
                return
            self._tell()
            time.sleep(LOOK_S)

    def _left(self) -> list[QueuedRun]:
        busy = {w.run.spec.id for w in self._workers}
        return [
            run
            for run in planned()
            if run.spec.id not in busy
            and run.spec.id not in self._failed
            and find_record(run, self._store) is None
            and not self._lack(run)
        ]

    def _lack(self, run: QueuedRun) -> str:
        from replab.runs.campaign import obtain

        name = run.registration.data
        if name not in self._lacks:
            self._lacks[name] = ""
            try:
                obtain(name, may_fetch=True)
            except UserError as error:
                self._lacks[name] = str(error)
                self._failed[name] = f"{run.label}: {error}"
        return self._lacks[name]

    def _next(self, left: list[QueuedRun]) -> QueuedRun | None:
        """The first run that no other process is doing; it leaves `left`."""
        for run in left:
            if not self._store.is_claimed(run.spec):
                left.remove(run)
                return run
        return None

    def _begin(self, run: QueuedRun) -> None:
        spec = run.spec
        # A run goes on under the code under which it began.
        began = read_log(self._store.workspace(spec)).get("commit")
        tree = paths.root()
        if began and began != worktrees.resolve_commit(tree):
            tree = worktrees.ensure_worktree(self._repository, began, checkouts(self._store))
        variant = [f"{key}={value}" for key, value in spec.variant.items()]
        words = [
            *("run", spec.paper, spec.experiment, "--profile", spec.profile),
            *("--variant", *variant, "--seed", str(spec.seed), "--device", spec.device),
            *("--threads", "1", "--attached-to", str(os.getpid())),
        ]
        log = make_folder(self._store.folder.absolute() / "logs") / f"queue-{spec.id}.log"
        with log.open("ab") as stream:
            process = subprocess.Popen(
                [sys.executable, "-m", "replab", *words],
                cwd=tree,
                env=_environment(tree, self._store.folder.absolute()),
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
                # A session of its own: Linux shares the processor out between sessions.
                start_new_session=True,
            )
        _lower_priority(process.pid)
        self._workers.append(_Worker(run, process, log))
        what = "resumed" if began else "begun"
        code = f", under {began[:12]}" if tree != paths.root() and began else ""
        self._say(f"{run.label} {what}{code}")

    def _reap(self) -> None:
        for worker in list(self._workers):
            code = worker.process.poll()
            if code is None:
                continue
            self._workers.remove(worker)
            run = worker.run
            record = find_record(run, self._store)
            if record is not None:
                seconds = float(record.provenance["wall_s"])
                self._say(f"{run.label} done in {_hours(seconds)}")
                continue
            self._attempts[run.spec.id] = self._attempts.get(run.spec.id, 0) + 1
            lines = worker.log.read_text(errors="replace").strip().splitlines()
            said = lines[-1] if lines else f"exit code {code}"
            # A worker that was killed may do better next time; one that says why will not.
            if code > 0 or self._attempts[run.spec.id] == ATTEMPTS:
                self._failed[run.spec.id] = f"{run.label} failed: {said}; see {worker.log}"
                self._say(self._failed[run.spec.id])
            else:
                self._say(f"{run.label}: its process died (exit code {code}); trying again")

    def _tell(self) -> None:
        for worker in self._workers:
            if time.monotonic() - worker.said >= SAY_EVERY_S:
                worker.said = time.monotonic()
                self._say(_progress_text(worker.run, self._store))

    def _say(self, text: str) -> None:
        now = time.strftime("%H:%M:%S")
        print(f"[queue {now}] {text}", file=sys.stderr, flush=True)

    def _stop(self) -> None:
        for worker in self._workers:
            worker.process.terminate()
        for worker in self._workers:
            with contextlib.suppress(subprocess.TimeoutExpired):
                worker.process.wait(timeout=5)
            worker.process.kill()
            worker.process.wait()


@contextlib.contextmanager
def _terminable() -> Iterator[None]:
    """Let SIGTERM stop the queue as Ctrl-C does."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextlib.contextmanager
def _listed(store: Store) -> Iterator[None]:
    """Note that this process is a queue, for `status` and `stop`."""
    note = make_folder(store.folder / "queue" / "running") / str(os.getpid())
    write_text(note, worktrees.resolve_commit(paths.root()) + "\n")
    try:
        yield
    finally:
        note.unlink(missing_ok=True)


def _lower_priority(pid: int) -> None:
    """Give a process what the others leave of the processor."""
    # Linux shares between sessions first: without this `nice` would mean nothing.
    with contextlib.suppress(OSError):
        Path(f"/proc/{pid}/autogroup").write_text(str(LOWEST_PRIORITY))
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, pid, LOWEST_PRIORITY)


def running(store: Store) -> dict[int, str]:
    """Process ids of the queues that work on a store, and the commits they are pinned at."""
    found = {}
    for note in sorted((store.folder / "queue" / "running").glob("*")):
        # A queue that was killed leaves its note, and its number may be another process's now.
        if note.name.isdecimal() and _is_queue(int(note.name)):
            found[int(note.name)] = note.read_text().strip()
    return found


def _is_queue(pid: int) -> bool:
    command = Path(f"/proc/{pid}/cmdline")
    if command.parent.parent.is_dir() and Path("/proc/self").exists():
        return command.is_file() and b"\0queue\0" in command.read_bytes()
    try:
        os.kill(pid, 0)
    except OSError:
        return False
    return True


def stop(store: Store) -> int:
    """Stop the queues that work on a store; returns how many there were."""
    pids = list(running(store))
    for pid in pids:
        os.kill(pid, signal.SIGTERM)
    return len(pids)


def status(store: Store) -> dict[str, Any]:
    """What is done, running and left, and how many hours of this processor that takes."""
    runs = planned()
    done = {r.spec.id: found for r in runs if (found := find_record(r, store)) is not None}
    open_ = [r for r in runs if r.spec.id not in done]
    shares = {r.spec.id: read_progress(progress_path(store.folder, r.spec))[0] for r in open_}
    logs = {r.spec.id: read_log(store.workspace(r.spec)) for r in open_}
    active = [r for r in open_ if store.is_claimed(r.spec)]
    pace = _seconds_per_cost(runs, done, shares, logs)
    left_cost = sum(r.cost * (1 - shares[r.spec.id]) for r in open_)
    by_registration: dict[str, dict[str, Any]] = {}
    for run in runs:
        name = f"{run.spec.paper}/{run.registration.name}"
        row = by_registration.setdefault(name, {"registration": name, "planned": 0, "done": 0})
        row["planned"] += 1
        row["done"] += run.spec.id in done
    return {
        "queues": [{"pid": pid, "commit": commit} for pid, commit in running(store).items()],
        "registrations": list(by_registration.values()),
        "running": [
            {
                "run": r.spec.id,
                "label": r.label,
                "share": shares[r.spec.id],
                "text": _progress_text(r, store),
            }
            for r in active
        ],
        "left": [r.label for r in open_ if r not in active],
        "core_hours_left": None if pace is None else round(left_cost * pace / 3600, 1),
    }


def _seconds_per_cost(
    runs: Sequence[QueuedRun],
    done: Mapping[str, Record],
    shares: Mapping[str, float],
    logs: Mapping[str, Mapping[str, Any]],
) -> float | None:
    """Median pace on this processor of runs that are done or well begun; None without any."""
    paces = []
    for run in runs:
        record, share = done.get(run.spec.id), shares.get(run.spec.id, 0.0)
        if record is not None and record.provenance["cpu"] == cpu_name():
            paces.append(float(record.provenance["wall_s"]) / run.cost)
        elif share > 0.01 and logs.get(run.spec.id):
            paces.append(logs[run.spec.id]["elapsed_s"] / share / run.cost)
    return statistics.median(paces) if paces else None


def _progress_text(run: QueuedRun, store: Store) -> str:
    share, text = read_progress(progress_path(store.folder, run.spec))
    elapsed = read_log(store.workspace(run.spec)).get("elapsed_s", 0.0)
    left = f", about {_hours(elapsed / share * (1 - share))} left" if share > 0.01 else ""
    return f"{run.label}: {share:.1%}, {text or 'starting'}, {_hours(elapsed)} so far{left}"


def _hours(seconds: float) -> str:
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"
