"""What a command is about to spend, before it spends it: runs, hours, downloads."""

from dataclasses import dataclass

from replab.claims.claim import Paper
from replab.datasets.availability import require
from replab.errors import UserError
from replab.report import cost_file, cost_page, costs, downloads, verdicts
from replab.report.costs import CORE, GPU
from replab.report.downloads import Download
from replab.runs import campaign
from replab.runs.campaign import Wanted
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
            f"{cost_page.hours(self.hours(device) * 3600)} {name}-hours (estimated)"
            for device, name in NAMES.items()
            if self.hours(device)
        ]
        if self.hours(GPU) and not self.has_gpu:
            words.append("no GPU here")
        if self.downloads:
            unknown = sum(download.size is None for download in self.downloads)
            known = cost_page.size(downloads.total(self.downloads))
            more = f" and {unknown} of unpublished size" if unknown else ""
            words.append(f"{known} to fetch{more}")
        return f"{self.paper}, profile {self.profile}: " + ", ".join(words)

    def text(self) -> str:
        """The summary, a line an experiment and a line a download."""
        lines = [self.summary]
        for row in self.rows:
            words = f"  {row.experiment}: {row.left} of {row.runs} runs"
            if row.left and row.seconds is not None:
                words += f", {cost_page.hours(row.seconds)} {NAMES[row.device]}-hours"
            elif row.left:
                words += ", nobody has measured how long"
            lines.append(words)
        for download in self.downloads:
            known = "size not published" if download.size is None else ""
            lines.append(f"  fetch {download.name}: {known or cost_page.size(download.size or 0)}")
        return "\n".join(lines)


def forecast(
    paper: Paper,
    profile: str,
    store: Store,
    *,
    device: str,
    seeds: tuple[int, ...] | None = None,
    wanted: Wanted = lambda experiment, variant: True,
    native_precision: str | None = None,
) -> Forecast:
    """Find out what is left to do; nothing is fetched, drawn or run.

    Hours are those of `docs/costs.md`: of measured runs, else from multiply-adds.

    Args:
        device: a device class, already resolved.
        seeds: in place of the plans' own.
        wanted: leaves out what was not asked for.
        native_precision: what `native` means where the runs are done, if not here.

    Raises:
        UserError: a committed ledger or `costs.yaml` is broken.
    """
    planned = campaign.plan(
        paper.replication,
        profile,
        device=device,
        seeds=seeds,
        wanted=wanted,
        may_fetch=False,
        native_precision=native_precision,
    )
    found, _ = campaign.find(planned, store)
    accepted, work = verdicts.gather(paper), cost_file.load(paper)
    rows = []
    for experiment in paper.replication.experiments.values():
        asked = [run for run in experiment.asked(profile, seeds) if wanted(experiment, run[0])]
        if not asked:
            continue
        done = [record for record in found if record.experiment == experiment.name]
        # Runs whose data are not here have no record either.
        left = costs.without_record(asked, done)
        unit = work.get(experiment.name)
        expected = costs.estimate(accepted, experiment, profile, left, unit) if left else None
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
    absent = [d for d in downloads.needed(paper.replication, profile, wanted) if _is_absent(d)]
    return Forecast(paper.name, profile, tuple(rows), tuple(absent), device == "cuda")


def _is_absent(download: Download) -> bool:
    try:
        for name in download.opens:
            require(name)
    except UserError:
        return True
    return False
