"""How far runs are: noted by each in a small file, shown in one line for all."""

import contextlib
import os
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from replab.files import make_folder
from replab.runs.identity import RunSpec
from replab.runs.store import Store

PROGRESS_EVERY_S = 0.5
# As often as runs note it.
POLL_S = PROGRESS_EVERY_S
# Without a terminal, runs of a lower cost (about a second on a core) get no line of their own.
WORTH_A_LINE = 1.0


class ProgressFile:
    """Tells other processes how far a run is, a few times a second, through a small file.

    Raises:
        UserError: its folder cannot be made.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._written = 0.0
        make_folder(path.parent)

    def __call__(self, share: float, text: str) -> None:
        """Note the share of the run that is done (0–1) and a short text."""
        now = time.monotonic()
        if share < 1 and now - self._written < PROGRESS_EVERY_S:
            return
        self._written = now
        aside = self.path.with_suffix(".tmp")
        # No fsync: losing it costs nothing, and it is written often. For the same reason a full
        # disk must not end the run here; the first file that matters will say it.
        with contextlib.suppress(OSError):
            aside.write_text(f"{share:.6f} {text}", encoding="utf-8")
            os.replace(aside, self.path)


def read_progress(path: Path) -> tuple[float, str]:
    """What a `ProgressFile` last noted; (0, "") if nothing."""
    try:
        share, _, text = path.read_text(encoding="utf-8").partition(" ")
        return float(share), text
    except (OSError, ValueError):  # not begun, or removed between two looks
        return 0.0, ""


def progress_path(store_folder: Path, spec: RunSpec) -> Path:
    """Where a run notes its progress."""
    return store_folder / "progress" / f"{spec.id}.txt"


def begun(store_folder: Path) -> set[str]:
    """Ids of the runs whose progress is noted: one look at a folder, however many are planned."""
    try:
        return {path.stem for path in (store_folder / "progress").iterdir()}
    except OSError:  # no run has begun yet
        return set()


class ProgressLine:
    """One line for many runs: share done, runs done, time left, what is running."""

    def __init__(self, specs: Sequence[RunSpec], costs: Sequence[float], store: Store) -> None:
        self._costs = {s.id: max(cost, 1e-9) for s, cost in zip(specs, costs, strict=True)}
        self._specs = {spec.id: spec for spec in specs}
        self._store = store
        self._done: set[str] = set()
        self._closed = threading.Event()
        self._terminal = sys.stderr.isatty()
        self._began = time.monotonic()
        self._bar = self._make_bar() if self._terminal else None
        self._watcher = threading.Thread(target=self.watch, daemon=True)
        if self._terminal:
            self._watcher.start()

    def _make_bar(self) -> Any:
        from tqdm.std import tqdm

        return tqdm(
            total=sum(self._costs.values()),
            bar_format="{percentage:3.0f}% |{bar:30}| "
            "{elapsed} so far, {remaining} left {postfix}",
            file=sys.stderr,
            leave=False,
        )

    def _look(self) -> tuple[float, list[str]]:
        """Work that is done, parts of running ones included, and what is running."""
        done = sum(self._costs[i] for i in list(self._done))
        running = []
        noted = begun(self._store.folder)
        for run, spec in list(self._specs.items()):
            if run in self._done or run not in noted:
                continue
            share, text = read_progress(progress_path(self._store.folder, spec))
            if share:
                done += share * self._costs[run]
                running.append(f"{spec.label} {text}")
        return done, running

    def refresh(self) -> None:
        """Show what the runs have noted, where there is a terminal to show it."""
        if self._bar is None:
            return
        done, running = self._look()
        self._bar.n = min(done, self._bar.total)
        self._bar.set_postfix_str(" · ".join(running)[:100], refresh=False)
        self._bar.refresh()

    def watch(self) -> None:
        """Refresh until `close`, from a thread of its own: a serial run leaves no other moment."""
        while not self._closed.wait(POLL_S):
            self.refresh()

    def finish(self, spec: RunSpec, *, failed: bool = False) -> None:
        """Note that a run has ended; where there is no terminal, say so in a line."""
        self._done.add(spec.id)
        last = len(self._done) == len(self._specs)
        if self._terminal or (self._costs[spec.id] < WORTH_A_LINE and not failed and not last):
            return
        done, _ = self._look()
        took = time.monotonic() - self._began
        left = max(0.0, took / done * (sum(self._costs.values()) - done))
        count = f"[{len(self._done)}/{len(self._specs)}]"
        ended = "failed" if failed else "done"
        print(
            f"{count} {spec.label} {ended}, about {left:.0f} s left", file=sys.stderr, flush=True
        )

    def close(self) -> None:
        """Remove the line."""
        self._closed.set()
        if self._bar is not None:
            self._watcher.join()
            self._bar.close()
