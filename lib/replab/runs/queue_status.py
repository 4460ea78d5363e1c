"""What the queues of a store are doing, and stopping them."""

import os
import signal
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from replab.hardware import cpu_name
from replab.runs.execution import read_log
from replab.runs.progress import progress_path, read_progress
from replab.runs.queue import QueuedRun, find_record, planned, progress_text, running
from replab.runs.record import Record
from replab.runs.store import Store


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
                "text": progress_text(r, store),
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
