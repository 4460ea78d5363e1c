"""What runs will cost, from a few steps of the largest, before they start."""

import shutil
import tempfile
from collections.abc import Sequence
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from pathlib import Path

from replab.errors import CheckFailed, UserError
from replab.files import make_folder
from replab.options import RunOptions
from replab.runs import executors
from replab.runs.execution import make_context
from replab.runs.executors import Placement
from replab.runs.experiment import (
    Cost,
    Experiment,
    Replication,
    load_replication,
    require_experiment,
)
from replab.runs.identity import RunSpec, with_recipe
from replab.runs.store import Store

# A record with its curves, about.
RECORD_BYTES = 20_000


@dataclass(frozen=True)
class Estimate:
    """What some runs will cost together.

    Attributes:
        seconds: of wall time, all workers busy.
        disk_bytes: at most at one time: checkpoints of the runs under way, and all records.
        probed: the runs whose first steps were timed.
    """

    seconds: float
    disk_bytes: int
    probed: tuple[str, ...]

    @property
    def text(self) -> str:
        """The estimate in a line."""
        return (
            f"about {duration(self.seconds)} in all (from a few steps of "
            f"{', '.join(self.probed)}), {self.disk_bytes / 1e6:.0f} MB of disk meanwhile; "
            "finished runs are kept, and the same command goes on where it was stopped"
        )


def duration(seconds: float) -> str:
    """Seconds as people say them: `40 s`, `12 min`, `3.5 h`, `2.4 days`."""
    for unit, size in (("days", 86_400.0), ("h", 3600.0)):
        if seconds >= 1.5 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds / 60:.0f} min" if seconds >= 90 else f"{seconds:.0f} s"


def estimate(
    replication: Replication, specs: Sequence[RunSpec], placement: Placement, store: Store
) -> Estimate | None:
    """Time the first steps of each experiment's largest run on every worker.

    The others of the experiment are taken to cost in proportion to `Experiment.cost`.

    Returns:
        None if no experiment among the runs can be probed.

    Raises:
        UserError: the disk has no room for what the runs need.
        CheckFailed: a probe fails; the run would, too.
    """
    seconds, checkpoint, probed = 0.0, 0, []
    for name in dict.fromkeys(spec.experiment for spec in specs):
        experiment = replication.experiments[name]
        if experiment.probe is None:
            continue
        runs = [spec for spec in specs if spec.experiment == name]
        largest = max(runs, key=lambda s: experiment.cost(s.variant, s.recipe))
        cost = _probe_on_each_worker(largest, placement, store)
        unit = cost.seconds / experiment.cost(largest.variant, largest.recipe)
        seconds += unit * sum(experiment.cost(s.variant, s.recipe) for s in runs)
        checkpoint = max(checkpoint, cost.checkpoint_bytes)
        probed.append(largest.label)
    if not probed:
        return None
    workers = len(placement.devices)
    # Written aside and renamed, a checkpoint is there twice for a moment.
    disk = 2 * checkpoint * workers + RECORD_BYTES * len(specs)
    free = shutil.disk_usage(store.folder if store.folder.exists() else Path.cwd()).free
    if disk > free:
        raise UserError(
            f"the runs need {disk / 1e6:.0f} MB of disk and {store.folder} has {free / 1e6:.0f} "
            "MB; free some, or set REPLAB_STORE to a folder on another disk"
        )
    return Estimate(seconds / workers, disk, tuple(probed))


def _probe_on_each_worker(spec: RunSpec, placement: Placement, store: Store) -> Cost:
    """The mean over all workers at once: they share the machine as they will in earnest."""
    folder = str(make_folder(store.folder / "work").absolute())
    executor = executors.make_executor(placement, own_process=True)
    try:
        options = placement.options
        jobs = [executor.submit(_probe, spec, folder, options) for _ in placement.devices]
        costs = [job.result() for job in jobs]
    except BrokenProcessPool as error:
        raise CheckFailed(
            f"{spec.paper}: {spec.label}: the worker process died in its first steps (killed, or "
            "out of memory); try fewer workers (--workers 1)"
        ) from error
    finally:
        executor.shutdown(cancel_futures=True)
    return Cost(
        sum(cost.seconds for cost in costs) / len(costs),
        max(cost.checkpoint_bytes for cost in costs),
    )


def _probe(spec: RunSpec, folder: str, options: RunOptions) -> Cost:
    spec = with_recipe(spec)
    experiment: Experiment = require_experiment(load_replication(spec.paper), spec.experiment)
    assert experiment.probe is not None
    with tempfile.TemporaryDirectory(prefix="probe-", dir=folder) as workspace:
        here = replace(options, device=executors.worker_device())
        context = make_context(spec, here, Path(workspace), lambda share, text: None)
        return experiment.probe(context)
