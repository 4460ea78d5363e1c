"""Doing one run: from its spec to its record in the store."""

import contextlib
import json
import os
import shutil
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from replab import paths
from replab.errors import CheckFailed, UserError
from replab.files import make_folder, write_json, write_text
from replab.options import RunOptions
from replab.runs import kept_weights
from replab.runs import record as records
from replab.runs.experiment import RunContext, load_replication, require_experiment
from replab.runs.identity import RunSpec, with_recipe
from replab.runs.progress import ProgressFile, progress_path
from replab.runs.provenance import Stopwatch, checkout_state
from replab.runs.record import Record
from replab.runs.store import Store
from replab.training import distributed


class RunFailed(CheckFailed):
    """A run ended without a record; one line that says which, why and where to read more."""


def execute(spec: RunSpec, store_folder: str, options: RunOptions, *, wait: bool = True) -> str:
    """Do one run unless its record is there, and write the record.

    Two processes that are asked for the same run do it once: the second waits and finds it done.

    Args:
        options: how to compute it, its device already resolved (`cpu`, `cuda:0`). With
            `keep_weights`, a run that was done without is done again, and its new record takes
            the old one's place.
        wait: for another process that does the run now.

    Returns:
        The run's id.

    Raises:
        RunFailed: the experiment ended in an error; the log with its traceback is named.
        Busy: another process does the run now, and `wait` is false.
        UserError: data are missing, or the store cannot be written.
    """
    spec, store = with_recipe(spec), Store(Path(store_folder))
    with store.claim(spec, wait=wait):
        try:
            found = store.find(spec)
            if found is None or (options.keep_weights and not kept_weights.has(store, found)):
                done = _compute(spec, store, options)
                kept_weights.note_change(found, done)
                store.put(done, anew=found is not None)
            # Also after a kill between the two: a run with a record needs no checkpoint.
            store.discard_workspace(spec)
        finally:
            progress_path(store.folder, spec).unlink(missing_ok=True)
    return spec.id


def _compute(spec: RunSpec, store: Store, options: RunOptions) -> Record:
    experiment = require_experiment(load_replication(spec.paper), spec.experiment)
    workspace = make_folder(store.workspace(spec))
    log = SessionLog.begin(workspace, spec)
    progress = ProgressFile(progress_path(store.folder, spec))

    def note(share: float, text: str) -> None:
        log.tick()
        progress(share, text)

    context = make_context(spec, options, workspace, note)
    with failures(spec, store.folder / "logs" / f"{spec.id}.log"):
        # Of several ranks, the others have waited to know whether there is anything to do.
        distributed.call_to_work()
        result = experiment.function(context)
        provenance = log.watch.provenance(
            device=options.device,
            throughput=result.throughput,
            engine=result.engine,
            ranks=distributed.current().size,
        )
        # Of the code that was loaded, whatever was committed or edited meanwhile.
        dirty = provenance.dirty or log.dirty
        provenance = replace(provenance, commit=log.commit, dirty=dirty)
        # Before the record: one that names weights is never without them.
        keep = options.keep_weights or experiment.plans[spec.profile].keeps_weights
        weights = kept_weights.keep(store, spec, result) if keep else None
        return records.make(
            *(spec, result),
            threads=options.threads,
            provenance=asdict(provenance),
            weights=weights,
        )


@contextlib.contextmanager
def failures(spec: RunSpec, log: Path) -> Iterator[None]:
    """Turn whatever ends a run's computation into one line.

    Args:
        log: for the traceback of an error that nobody foresaw.

    Raises:
        RunFailed: for any error but a `UserError`, which stays what it is.
    """
    try:
        yield
    except UserError:
        raise
    except CheckFailed as error:
        raise RunFailed(f"{spec.paper}: {spec.label}: {error}") from error
    except Exception as error:
        write_text(log, traceback.format_exc())
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        raise RunFailed(
            f"{spec.paper}: {spec.label} failed: {reason}; the traceback is in {log}"
        ) from error


def make_context(
    spec: RunSpec, options: RunOptions, workspace: Path, progress: Callable[[float, str], None]
) -> RunContext:
    """What an experiment's function is given for a run; this process then uses its threads."""
    _use_threads(options.threads)
    return RunContext(
        variant=spec.variant,
        seed=spec.seed,
        recipe=spec.recipe,
        data=spec.data,
        options=replace(options, precision=spec.precision),
        workspace=workspace,
        progress=progress,
    )


LOG_FILE = "session.json"
LOG_EVERY_S = 5


class SessionLog:
    """What a run's workspace knows of the sessions it took: code, registration and time.

    Args:
        path: of the file.
        watch: counts the time of all sessions.
        registration: digest under which the run began, empty if there was none.
        commit: of the checkout in which it began.
        dirty: whether that checkout differed from the commit when a session began.
    """

    def __init__(
        self, path: Path, watch: Stopwatch, *, registration: str, commit: str, dirty: bool
    ) -> None:
        self.path = path
        self.watch = watch
        self.registration, self.commit, self.dirty = registration, commit, dirty
        self._written = 0.0
        self.write()

    @classmethod
    def begin(cls, workspace: Path, spec: RunSpec) -> "SessionLog":
        """Begin a session of a run, the first or a later one, and note it at once.

        Raises:
            UserError: the run is registered, and began under another commit.
        """
        commit, dirty = checkout_state(paths.root())
        noted = read_log(workspace)
        if not noted:
            if spec.registration:
                # A checkpoint of which nobody knows under which code it was made.
                clear_folder(workspace)
            return cls(
                workspace / LOG_FILE,
                Stopwatch(),
                registration=spec.registration,
                commit=commit,
                dirty=dirty,
            )
        if spec.registration and noted["commit"] != commit:
            raise UserError(
                f"{spec.label} is registered and began under commit {noted['commit'][:12]}, but "
                f"this checkout is at {commit[:12]}; `nox -s queue` resumes it under its own "
                f"code, or remove {workspace} to begin again"
            )
        return cls(
            workspace / LOG_FILE,
            Stopwatch(
                already_s=noted["elapsed_s"],
                started=noted["started"],
                sessions=noted["sessions"] + 1,
            ),
            registration=noted["registration"],
            commit=commit,
            dirty=dirty or noted["dirty"],
        )

    def tick(self) -> None:
        """Note the time now and then."""
        if time.monotonic() - self._written > LOG_EVERY_S:
            self.write()

    def write(self) -> None:
        """Note the time now.

        Raises:
            UserError: the workspace cannot be written.
        """
        self._written = time.monotonic()
        noted = {
            "elapsed_s": round(self.watch.elapsed(), 1),
            "started": self.watch.started,
            "sessions": self.watch.sessions,
            "registration": self.registration,
            "commit": self.commit,
            "dirty": self.dirty,
        }
        write_json(self.path, noted)


def clear_folder(folder: Path) -> None:
    """Remove what is in a folder."""
    for path in folder.glob("*"):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()


def read_log(workspace: Path) -> dict[str, Any]:
    """What the session log of a workspace says; empty where there is none that can be read."""
    try:
        noted = json.loads((workspace / LOG_FILE).read_text())
        return {
            "elapsed_s": float(noted["elapsed_s"]),
            "started": str(noted["started"]),
            "sessions": int(noted["sessions"]),
            "registration": str(noted["registration"]),
            "commit": str(noted["commit"]),
            "dirty": bool(noted["dirty"]),
        }
    except (OSError, ValueError, TypeError, KeyError):
        return {}


def _use_threads(threads: int) -> None:
    # Counting experiments need no torch threads, and importing torch takes seconds.
    if "torch" in sys.modules:
        import torch

        torch.set_num_threads(threads)
    os.environ["OMP_NUM_THREADS"] = str(threads)
