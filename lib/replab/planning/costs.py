"""What a replication costs, experiment by experiment: measured where there are records.

Runs without a record are estimated, by the first of these rules that applies:

1. as the measured runs of the same experiment in the same profile,
2. as those in another profile, both by the experiment's own relative cost, or
3. from multiply-adds and the rate that `costs.yaml` assumes.
"""

import heapq
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from replab import paths, yaml_lines
from replab.claims.accepted import Accepted
from replab.claims.claim import Paper
from replab.errors import UserError
from replab.files import canonical_json
from replab.runs.experiment import PROFILES, Experiment, Variant
from replab.runs.record import Record

GPU, CORE = "gpu", "core"
# Seconds by which a record's start may be early: it is noted in whole seconds.
START_ERROR_S = 1.0
FILE = "costs.yaml"
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True)


class Checkpoint(_Strict):
    """What a checkpoint of an experiment's largest net holds.

    Attributes:
        parameters: of the net.
        numbers: float32 numbers kept of each: its value and the optimiser's.
    """

    parameters: Annotated[int, Field(gt=0)]
    numbers: Literal[2, 3]

    @property
    def bytes(self) -> int:
        """Its size in bytes, about: running averages and the history are left out."""
        return 4 * self.numbers * self.parameters


class Work(_Strict):
    """How an experiment's relative cost becomes time.

    Attributes:
        unit: multiply-adds of one unit of `Experiment.cost`, the way back included.
        device: what does it: a GPU, or a core of a processor.
        rate: operations that it is taken to sustain in a second; a multiply-add is two.
        why: where both come from.
        checkpoint: of its largest net, None where that is too small to matter.
    """

    unit: Positive
    device: Literal["gpu", "core"]
    rate: Positive
    why: Annotated[str, Field(min_length=20)]
    checkpoint: Checkpoint | None = None

    def seconds(self, cost: float) -> float:
        """Seconds of one device for so many units."""
        return 2 * self.unit * cost / self.rate


class _File(_Strict):
    experiments: dict[str, Work]


def load_work(paper: Paper) -> Mapping[str, Work]:
    """How each of a paper's experiments is estimated; empty if it has no such file.

    Raises:
        UserError: the file is no YAML, has an unknown or a missing key, or names an experiment
            that there is not; one line that names file and line.
    """
    path = paths.root() / "replications" / paper.name / FILE
    if not path.is_file():
        return {}
    document = yaml_lines.read(path, shown_as=str(path.relative_to(paths.root())))
    try:
        content = _File.model_validate(document.value)
    except ValidationError as error:
        raise _invalid(document, error) from error
    known = paper.replication.experiments
    for name in content.experiments:
        if name not in known:
            raise document.error(
                ("experiments", name), f"there is no such experiment; there are {', '.join(known)}"
            )
    return content.experiments


def _invalid(document: yaml_lines.LinedYaml, error: ValidationError) -> UserError:
    first = error.errors(include_url=False)[0]
    place = tuple(part for part in first["loc"] if isinstance(part, str | int))
    message = " ".join(first["msg"].split())
    return document.error(place, message[:1].lower() + message[1:])


@dataclass(frozen=True)
class Measured:
    """What some records say they took.

    Attributes:
        seconds: of one device: a GPU, or a core (wall time by the number of threads).
        median: wall time of a run, in seconds.
        device: `gpu` or `core`.
        hardware: names of processors or GPUs.
        at_once: the most runs that were under way at the same time.
        dates: the first and the last day, as in the records.
    """

    runs: int
    seconds: float
    median: float
    device: str
    hardware: tuple[str, ...]
    at_once: int
    dates: tuple[str, str]


@dataclass(frozen=True)
class Estimated:
    """What the runs without a record would take.

    Attributes:
        seconds: of one device, run by run; None where no rule applies.
        rule: 1, 2 or 3, as this module's docstring counts them; 0 for none.
    """

    runs: int
    seconds: tuple[float, ...] | None
    device: str
    rule: int


@dataclass(frozen=True)
class Row:
    """An experiment in a profile."""

    experiment: str
    profile: str
    planned: int
    measured: Measured | None
    estimated: Estimated | None
    work: Work | None


def rows(accepted: Accepted, work: Mapping[str, Work]) -> list[Row]:
    """What each experiment of each profile costs.

    Args:
        work: how experiments without records are estimated, as `load_work` gives it.
    """
    experiments = accepted.paper.replication.experiments.values()
    return [
        _row(accepted, experiment, profile, work.get(experiment.name))
        for profile in PROFILES
        for experiment in experiments
        if profile in experiment.plans
    ]


def _row(accepted: Accepted, experiment: Experiment, profile: str, work: Work | None) -> Row:
    asked = experiment.asked(profile)
    records = _records(accepted, experiment, profile)
    left = without_record(asked, records)
    return Row(
        experiment.name,
        profile,
        len(asked),
        measured(records) if records else None,
        estimate(accepted, experiment, profile, left, work) if left else None,
        work,
    )


def _records(accepted: Accepted, experiment: Experiment, profile: str) -> list[Record]:
    return [r for r in accepted.records.get(profile, ()) if r.experiment == experiment.name]


def without_record(
    asked: Iterable[tuple[Variant, int]], records: Iterable[Record]
) -> list[Variant]:
    """The variants of the runs that have no record, one for each run.

    Args:
        asked: variant and seed of each run of an experiment.
        records: of the same experiment.
    """
    done = {_key(record.variant, record.seed) for record in records}
    return [variant for variant, seed in asked if _key(variant, seed) not in done]


def _key(variant: Variant, seed: int) -> str:
    return canonical_json([dict(variant), seed])


def measured(records: Sequence[Record]) -> Measured:
    """Sum, median, hardware and dates of some records of one device class."""
    walls = [float(record.provenance["wall_s"]) for record in records]
    days = sorted(str(record.provenance["started"])[:10] for record in records)
    names = {str(r.provenance["gpu"] or r.provenance["cpu"]) for r in records}
    return Measured(
        len(records),
        sum(map(device_seconds, records)),
        statistics.median(walls),
        device_of(records[0]),
        tuple(sorted(names)),
        at_once(records),
        (days[0], days[-1]),
    )


def device_of(record: Record) -> str:
    """What a run used up: `gpu`, or `core` where there was none."""
    return GPU if record.provenance["gpu"] else CORE


def device_seconds(record: Record) -> float:
    """Seconds of one GPU, or of one core by as many threads as the run had, over all its ranks."""
    share = 1 if device_of(record) == GPU else record.threads
    share *= int(record.provenance.get("ranks", 1))
    return float(record.provenance["wall_s"]) * share


def at_once(records: Iterable[Record]) -> int:
    """The most runs that were under way at the same time, by their starts and wall times."""
    moments: list[tuple[float, int]] = []
    for record in records:
        start = datetime.fromisoformat(str(record.provenance["started"])).timestamp()
        end = start + float(record.provenance["wall_s"])
        # Of a run that is shorter than the error of its start nothing can be said.
        if start + START_ERROR_S < end:
            moments += [(start + START_ERROR_S, 1), (end, -1)]
    most = now = 0
    for _, change in sorted(moments):
        now += change
        most = max(most, now)
    return max(1, most)


def estimate(
    accepted: Accepted,
    experiment: Experiment,
    profile: str,
    missing: Sequence[Variant],
    work: Work | None,
) -> Estimated:
    """What runs without a record would take, by the first of this module's rules that applies.

    Args:
        missing: the variant of each run.
        work: how multiply-adds become seconds, None where nobody has said.
    """
    recipe = experiment.plans[profile].recipe
    costs = [experiment.cost(variant, recipe) for variant in missing]
    others = [p for p in reversed(PROFILES) if p != profile and p in experiment.plans]
    for rule, source in ((1, profile), *((2, other) for other in others)):
        records = _records(accepted, experiment, source)
        if records:
            known = experiment.plans[source].recipe
            spent = sum(experiment.cost(record.variant, known) for record in records)
            pace = sum(map(device_seconds, records)) / spent
            device = device_of(records[0])
            return Estimated(len(missing), tuple(pace * c for c in costs), device, rule)
    if work is not None:
        return Estimated(len(missing), tuple(map(work.seconds, costs)), work.device, 3)
    return Estimated(len(missing), None, "", 0)


def spent(found: Iterable[Row], device: str) -> tuple[float, float]:
    """Seconds of a device, measured and estimated, over some rows."""
    known, guessed = 0.0, 0.0
    for row in found:
        if row.measured is not None and row.measured.device == device:
            known += row.measured.seconds
        if row.estimated is not None and row.estimated.device == device:
            guessed += sum(row.estimated.seconds or ())
    return known, guessed


def makespan(seconds: Iterable[float], devices: int) -> float:
    """Seconds until runs that share nothing are done on some devices, the longest begun first."""
    loads = [0.0] * devices
    for run in sorted(seconds, reverse=True):
        heapq.heapreplace(loads, loads[0] + run)
    return max(loads)


def gpu_runs(found: Iterable[Row]) -> list[float]:
    """Seconds of each run that a GPU does; of measured ones their mean."""
    runs: list[float] = []
    for row in found:
        if row.measured is not None and row.measured.device == GPU:
            runs += [row.measured.seconds / row.measured.runs] * row.measured.runs
        if row.estimated is not None and row.estimated.device == GPU:
            runs += row.estimated.seconds or ()
    return runs


def format_hours(seconds: float) -> str:
    """Seconds as hours with two or three digits that mean something."""
    value = seconds / 3600
    if value < 0.01:
        return "< 0.01"
    if value < 10:
        return f"{value:.2f}"
    return f"{value:,.1f}" if value < 100 else f"{value:,.0f}"


def format_size(count: float) -> str:
    """Bytes as people say them, in powers of 1,000."""
    for unit, power in (("GB", 1e9), ("MB", 1e6)):
        if count >= 0.95 * power:
            return f"{count / power:.1f} {unit}"
    return f"{count / 1e3:.0f} kB"
