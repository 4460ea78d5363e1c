"""What a command is about to spend, before it spends it: runs, hours, downloads."""

from dataclasses import dataclass

from replab.claims.accepted import load_accepted
from replab.claims.claim import Paper
from replab.datasets.availability import require
from replab.errors import UserError
from replab.planning import costs, downloads
from replab.planning.costs import CORE, GPU, format_hours, format_size
from replab.planning.downloads import Download
from replab.planning.run_plan import RunPlan, find
from replab.runs.store import Store

# More than this is not begun unasked: hours of one device, bytes.
MANY_HOURS, MANY_BYTES = 24.0, 5e9
NAMES = {GPU: "GPU", CORE: "core"}
# So much of a GPU's work is days of a processor.
GPU_HOURS_WITHOUT_GPU = 1.0


@dataclass(frozen=True)
class Row:
    """What is left to do of an experiment.

    Attributes:
        runs: that are asked for.
        left: of these, the ones without a record on this machine.
        seconds: that the runs left take of one device, None where nothing is known.
        device: `gpu` or `core`; empty where nothing is known.
    """

    experiment: str
    runs: int
    left: int
    seconds: float | None
    device: str


@dataclass(frozen=True)
class Forecast:
    """What a profile's runs will take that are not done yet.

    Attributes:
        downloads: what is not on this machine.
        has_gpu: whether a GPU does the runs.
    """

    paper: str
    profile: str
    rows: tuple[Row, ...]
    downloads: tuple[Download, ...]
    has_gpu: bool

    def hours(self, device: str) -> float:
        """Hours of one device, `gpu` or `core`, as far as they are known."""
        return sum(row.seconds or 0.0 for row in self.rows if row.device == device) / 3600

    @property
    def is_large(self) -> bool:
        """Whether it is more than somebody who only wants to look would spend."""
        return (
            downloads.total(self.downloads) > MANY_BYTES
            or self.hours(GPU) + self.hours(CORE) > MANY_HOURS
            or (not self.has_gpu and self.hours(GPU) > GPU_HOURS_WITHOUT_GPU)
        )

    @property
    def summary(self) -> str:
        """One line: how much in all."""
        left = sum(row.left for row in self.rows)
        words = [f"{left} of {sum(row.runs for row in self.rows)} runs to do"]
        words += [
            f"{format_hours(self.hours(device) * 3600)} {name}-hours (estimated)"
            for device, name in NAMES.items()
            if self.hours(device)
        ]
        if self.hours(GPU) and not self.has_gpu:
            words.append("no GPU here")
        if self.downloads:
            unknown = sum(download.size is None for download in self.downloads)
            known = format_size(downloads.total(self.downloads))
            more = f" and {unknown} of unpublished size" if unknown else ""
            words.append(f"{known} to fetch{more}")
        return f"{self.paper}, profile {self.profile}: " + ", ".join(words)

    def text(self) -> str:
        """The summary, a line an experiment and a line a download."""
        lines = [self.summary]
        for row in self.rows:
            words = f"  {row.experiment}: {row.left} of {row.runs} runs"
            if row.left and row.seconds is not None:
                words += f", {format_hours(row.seconds)} {NAMES[row.device]}-hours"
            elif row.left:
                words += ", nobody has measured how long"
            lines.append(words)
        for download in self.downloads:
            known = "size not published" if download.size is None else ""
            lines.append(f"  fetch {download.name}: {known or format_size(download.size or 0)}")
        return "\n".join(lines)


def forecast(paper: Paper, planned: RunPlan, store: Store) -> Forecast:
    """What is left to do of a plan.

    Hours are those of `docs/costs.md`: of measured runs, else from multiply-adds.

    Raises:
        UserError: a committed ledger or `costs.yaml` is broken.
    """
    request, experiments = planned.request, paper.replication.experiments.values()
    found, _ = find(planned, store)
    accepted, work = load_accepted(paper), costs.load_work(paper)
    rows = []
    for experiment in experiments:
        runs = experiment.asked(request.profile, request.seeds)
        asked = [run for run in runs if planned.wanted(experiment, run[0])]
        if not asked:
            continue
        done = [record for record in found if record.experiment == experiment.name]
        # Runs whose data are not here have no record either.
        left = costs.without_record(asked, done)
        unit = work.get(experiment.name)
        expected = None
        if left:
            expected = costs.estimate(accepted, experiment, request.profile, left, unit)
        seconds = expected.seconds if expected else None
        rows.append(
            Row(
                experiment.name,
                len(asked),
                len(left),
                None if seconds is None else sum(seconds),
                expected.device if expected else "",
            )
        )
    needed = downloads.needed(paper.replication, request.profile, planned.wanted)
    absent = tuple(download for download in needed if _is_absent(download))
    has_gpu = request.options.device == "cuda"
    return Forecast(paper.name, request.profile, tuple(rows), absent, has_gpu)


def _is_absent(download: Download) -> bool:
    try:
        for name in download.opens:
            require(name)
    except UserError:
        return True
    return False
