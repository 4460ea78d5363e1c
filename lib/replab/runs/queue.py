"""The queue of registered runs: a fixed order, a process each, clean checkouts."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import FrameType

from replab import paths
from replab.errors import CheckFailed, UserError
from replab.files import make_folder, write_text
from replab.runs import record as records
from replab.runs import worktrees
from replab.runs.execution import read_log
from replab.runs.experiment import Replication, load_replication, papers
from replab.runs.identity import RunSpec, plan_runs
from replab.runs.progress import progress_path, read_progress
from replab.runs.record import Record
from replab.runs.registration import Registration
from replab.runs.store import Store

WORKERS = 2
# One thread of a processor a run; a GPU's runs are brought by `import`.
DEVICE = "cpu"
# The exit code of a worker whose run another process does.
HELD = 75
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


def _is_here(run: QueuedRun) -> bool:
    return DEVICE in run.registration.devices


def planned(device: str = DEVICE) -> list[QueuedRun]:
    """All registered runs of all papers, in the order in which the queue does them.

    Registrations by their `order`, within each the first seed of all variants, then the second.
    """
    found = []
    for paper in papers():
        replication = load_replication(paper)
        for registration, specs in _registered(replication, device):
            cost = replication.experiments[registration.experiment].cost
            runs = [
                QueuedRun(s, registration, max(1e-9, cost(s.variant, s.recipe))) for s in specs
            ]
            found.append(((registration.order, paper, registration.name), runs))
    return [run for _, runs in sorted(found, key=lambda item: item[0]) for run in runs]


def _registered(
    replication: Replication, device: str
) -> Iterator[tuple[Registration, list[RunSpec]]]:
    for experiment in replication.experiments.values():
        for profile, plan in experiment.plans.items():
            for registration in plan.registrations:
                data = (registration.data, registration.fingerprint)
                specs = plan_runs(replication.paper, experiment, profile, data=data, device=device)
                covered = [s for s in specs if s.registration == registration.digest]
                yield registration, covered


def find_record(run: QueuedRun, store: Store) -> Record | None:
    """The record of a run that counts, made here or committed, on any device that is allowed."""
    for device in run.registration.devices:
        spec = replace(run.spec, device=device)
        committed = paths.root() / "results" / spec.paper / "runs" / f"{spec.id}.json"
        for path in (store.path(spec.paper, spec.id), committed):
            if path.is_file():
                record = records.read(path)
                if not run.registration.mismatch(record):
                    return record
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
    # Before its checkout is there, so that no other queue removes it; the process stays the same.
    write_text(_note(store, os.getpid()), pin + "\n")
    tree = worktrees.ensure_worktree(root, pin, checkouts(store))
    worktrees.remove_others(root, checkouts(store), {pin, *_needed(store)})
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


def _needed(store: Store) -> set[str]:
    """Commits whose code other queues use, or runs that have begun will use again."""
    begun = {str(read_log(path).get("commit", "")) for path in (store.folder / "work").glob("*/*")}
    return begun | set(running(store).values())


def _note(store: Store, pid: int) -> Path:
    """The file by which others know that a process is a queue, and its pin."""
    return store.folder / "queue" / "running" / str(pid)


def running(store: Store) -> dict[int, str]:
    """Process ids of the queues that work on a store, and the commits they are pinned at."""
    found = {}
    for note in sorted(_note(store, 0).parent.glob("*")):
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
    commit: str
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
        # The code is pinned, so the registrations stay as they are.
        self._open = planned()
        self._attempts: dict[str, int] = {}
        self._failed: dict[str, str] = {}
        elsewhere = {r.registration.name for r in self._open if not _is_here(r)}
        for name in sorted(elsewhere):
            say(f"registration {name} allows no run on {DEVICE}; see docs/registering.md")
        self._open = [run for run in self._open if _is_here(run)]

    def work(self) -> None:
        """Do all runs that lack a record.

        Raises:
            CheckFailed: runs failed; the others are done.
        """
        say(f"pinned at {worktrees.resolve_commit(paths.root())[:12]}")
        self._require_data()
        try:
            with _terminable(), _listed(self._store):
                while self._fill() or self._workers:
                    time.sleep(LOOK_S)
                    self._reap()
                    self._tell()
        finally:
            self._stop()
        if self._failed:
            raise CheckFailed("\n".join(self._failed.values()))
        say("no registered run is left to do")

    def _require_data(self) -> None:
        """Fetch the data of all runs; runs whose data cannot be had fail now."""
        from replab.datasets.availability import ensure_available

        for name in sorted({run.registration.data for run in self._open} - {""}):
            try:
                ensure_available(name)
            except UserError as error:
                self._failed[name] = str(error)
                self._open = [run for run in self._open if run.registration.data != name]

    def _fill(self) -> bool:
        """Begin runs while there are free workers; whether runs without a record are left."""
        self._open = [run for run in self._open if find_record(run, self._store) is None]
        busy = {worker.run.spec.id for worker in self._workers}
        for run in self._open:
            if len(self._workers) >= self._count:
                break
            # Another queue may be doing it.
            if run.spec.id not in busy and not self._store.is_claimed(run.spec):
                self._begin(run)
        return bool(self._open)

    def _code_of(self, run: QueuedRun) -> tuple[str, Path]:
        """The commit under which a run began (empty if it did not), and the checkout for it.

        A run whose commit is no longer there begins again.
        """
        log = read_log(self._store.workspace(run.spec))
        began = str(log.get("commit", ""))
        if log.get("dirty"):
            say(f"{run.label} begins again: it began in a checkout with uncommitted changes")
            self._store.discard_workspace(run.spec)
            return "", paths.root()
        if not began or began == worktrees.resolve_commit(paths.root()):
            return began, paths.root()
        try:
            tree = worktrees.ensure_worktree(self._repository, began, checkouts(self._store))
        except UserError as error:
            say(f"{run.label} begins again, its checkpoint cannot be resumed: {error}")
            self._store.discard_workspace(run.spec)
            return "", paths.root()
        return began, tree

    def _begin(self, run: QueuedRun) -> None:
        spec = run.spec
        began, tree = self._code_of(run)
        path = self._store.path(spec.paper, spec.id)
        if path.is_file():
            record = records.read(path)
            place = self._store.set_aside(record)
            say(f"{run.label}: {run.registration.mismatch(record)}; its record is now {place}")
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
        commit = began or worktrees.resolve_commit(paths.root())
        self._workers.append(_Worker(run, commit, process, log))
        what = "resumed" if began else "begun"
        code = f", under {began[:12]}" if tree != paths.root() and began else ""
        say(f"{run.label} {what}{code}")

    def _reap(self) -> None:
        for worker in list(self._workers):
            code = worker.process.poll()
            if code is None:
                continue
            self._workers.remove(worker)
            run = worker.run
            record = find_record(run, self._store)
            if record is not None:
                say(f"{run.label} done in {in_hours(float(record.provenance['wall_s']))}")
                continue
            began = read_log(self._store.workspace(run.spec)).get("commit", worker.commit)
            if code == HELD or began != worker.commit:
                # Another queue has begun it; `_fill` finds out what is left to do.
                continue
            attempts = self._attempts[run.spec.id] = self._attempts.get(run.spec.id, 0) + 1
            # A worker that was killed may do better next time; one that says why will not.
            if code < 0 and attempts < ATTEMPTS:
                say(f"{run.label}: its process died (signal {-code}); trying again")
                continue
            lines = worker.log.read_text(errors="replace").strip().splitlines()
            said = lines[-1] if lines else f"exit code {code}"
            self._failed[run.spec.id] = f"{run.label} failed: {said}; see {worker.log}"
            self._open.remove(run)
            say(self._failed[run.spec.id])

    def _tell(self) -> None:
        for worker in self._workers:
            if time.monotonic() - worker.said >= SAY_EVERY_S:
                worker.said = time.monotonic()
                say(progress_text(worker.run, self._store))

    def _stop(self) -> None:
        for worker in self._workers:
            worker.process.terminate()
        for worker in self._workers:
            with contextlib.suppress(subprocess.TimeoutExpired):
                worker.process.wait(timeout=5)
            worker.process.kill()
            worker.process.wait()


def say(text: str) -> None:
    """Print a line of the queue with the time of day."""
    print(f"[queue {time.strftime('%H:%M:%S')}] {text}", file=sys.stderr, flush=True)


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
    note = _note(store, os.getpid())
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


def progress_text(run: QueuedRun, store: Store) -> str:
    """How far a run is, in one line."""
    share, text = read_progress(progress_path(store.folder, run.spec))
    elapsed = read_log(store.workspace(run.spec)).get("elapsed_s", 0.0)
    left = f", about {in_hours(elapsed / share * (1 - share))} left" if share > 0.01 else ""
    return f"{run.label}: {share:.1%}, {text or 'starting'}, {in_hours(elapsed)} so far{left}"


def in_hours(seconds: float) -> str:
    """A duration as `5 min` or `2 h 05 min`."""
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"
