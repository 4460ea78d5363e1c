"""What a notebook holds in its hand: one paper under one profile, its records and its ledger."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from replab import paths
from replab.claims import evidence, printed
from replab.claims.ledger import Ledger, build
from replab.claims.schema import Paper, load
from replab.errors import UserError
from replab.options import RunOptions
from replab.planning.replication import plan, replicate
from replab.planning.request import Request, parse_seeds
from replab.recipe import nearest
from replab.report import digitised, poses, style, tables, text
from replab.runs.experiment import PROFILES, require_profile
from replab.runs.record import Record
from replab.runs.store import Store

if TYPE_CHECKING:
    from IPython.display import Markdown

# Where a notebook gets its records. The first two only read, and a missing record is an error, as
# it must be under nbval; `compute` does the runs that are missing.
COMPUTE = "compute"
SOURCES = (evidence.COMMITTED, evidence.MACHINE, COMPUTE)


@dataclass(frozen=True)
class Session:
    """One paper under one profile, with its ledger and the records that it rests on."""

    paper: Paper
    ledger: Ledger
    records: Sequence[Record]

    @property
    def profile(self) -> str:
        """The profile that the ledger is of."""
        return self.ledger.profile

    def runs(self, experiment: str, **variant: Any) -> list[Record]:
        """Records of an experiment whose variant has the given values, by seed.

        Raises:
            UserError: there are none.
        """
        found = [
            r
            for r in self.records
            if r.experiment == experiment and variant.items() <= dict(r.variant).items()
        ]
        if not found:
            words = ", ".join(f"{k}={v}" for k, v in variant.items())
            raise UserError(
                f"no records of {experiment} with {words or 'any variant'} in profile "
                f"{self.profile}; run `nox -s replicate -- {self.paper.name} "
                f"--profile {self.profile}`"
            )
        return sorted(found, key=lambda r: r.seed)

    def cite(self, *runs: str) -> list[Record]:
        """Committed records of other papers, by their ids.

        Raises:
            UserError: there is no such committed record.
        """
        return [evidence.cited(run) for run in runs]

    def first(self, *experiments: str) -> list[Record]:
        """Records of the first of some experiments that this profile has run.

        Raises:
            UserError: it has run none of them.
        """
        done = {r.experiment for r in self.records}
        return self.runs(next((e for e in experiments if e in done), experiments[-1]))

    def draw(
        self, name: str, figure: Callable[..., Any], *experiments: str, **options: Any
    ) -> None:
        """Draw and keep a figure of the first of some experiments that this profile has run.

        Where it has run none of them, one line says what they need.

        Args:
            name: of the file.
            figure: makes the figure from the records and the options.
        """
        try:
            records = self.first(*experiments)
        except UserError:
            from IPython.display import display

            display(_display(self._absent(name, experiments)))
            return
        style.save(figure(records, **options), name)

    def draw_printed(
        self,
        name: str,
        figure: Callable[..., Any],
        *experiments: str,
        together: bool = True,
        **options: Any,
    ) -> None:
        """Draw and keep a figure that holds the paper's numbers, whether or not ours are there.

        Args:
            name: of the file.
            figure: makes the figure from the records, perhaps none, and the options.
            together: ours are of all experiments that this profile has run, or of the first.
        """
        found = {r.experiment for r in self.records}
        run = [e for e in experiments if e in found]
        records = [r for r in self.records if r.experiment in (run if together else run[:1])]
        style.save(figure(sorted(records, key=lambda r: r.seed), **options), name)

    def points(self, name: str) -> digitised.Points:
        """Points read off a figure of the paper, from `curves/` of its replication.

        Raises:
            UserError: there are none of this name, or the file is damaged.
        """
        path = Path("replications", self.paper.name, "curves", f"{name}.csv")
        return digitised.read_points(paths.root() / path, shown_as=str(path))

    def reported(self, claims: Mapping[str, str]) -> dict[str, float]:
        """What the paper prints in some claims, fractions as percent.

        Args:
            claims: label → claim id.

        Raises:
            UserError: there is no such claim, or it states no number that a figure can show.
        """
        entries = {e.id: e for e in self.ledger.entries}
        found = {label: poses.stated(entries.get(claim)) for label, claim in claims.items()}
        for label, value in found.items():
            if value is None:
                raise UserError(
                    f"{self.paper.name}: no number is printed in {claims[label]}; take an id from "
                    f"`python -m replab claims {self.paper.name}`"
                )
        return {label: value for label, value in found.items() if value is not None}

    def spread(self, metric: str, *experiments: str, label: str, claim: str = "") -> "Markdown":
        """A metric's mean and standard deviation over seeds, a row a variant, the print beside it.

        Args:
            metric: in percent.
            label: of a variant, with its keys in braces.
            claim: id, with keys of the variant in braces, of the claim that prints the number.
        """
        try:
            records = self.first(*experiments)
        except UserError:
            return _display(self._absent(metric, experiments))
        prints = {c.id: c.reported for c in self.paper.claims.values()}
        return _display(tables.spread(records, metric, label, claim, prints))

    def printed(self, pattern: str, label: str) -> dict[str, float]:
        """What the paper prints in the claims whose ids fit, by a label made of the id's parts.

        Args:
            pattern: of claim ids; `{word}` stands for letters or digits there.
            label: with the same words in braces.
        """
        words = re.escape(pattern).replace(r"\{", "{").replace(r"\}", "}")
        expression = re.sub(r"\{(\w+)\}", r"(?P<\1>[a-z]+|[0-9]+)", words)
        return {
            label.format(**match.groupdict()): printed.parse(claim.reported).value
            for claim in self.paper.claims.values()
            if (match := re.fullmatch(expression, claim.id))
        }

    def _absent(self, what: str, experiments: Sequence[str]) -> str:
        """What some experiments need that this profile has not run, and the cheapest that has."""
        known = self.paper.replication.experiments
        for profile in PROFILES:
            for name in experiments:
                if profile in known[name].plans:
                    needs = known[name].needs.get(profile, "nothing more")
                    return (
                        f"*{what}: not run in profile `{self.profile}`. It takes {needs}: "
                        f"`nox -s replicate -- {self.paper.name} --profile {profile}`*"
                    )
        return f"*{what}: not run in profile `{self.profile}`.*"

    def table(self, *globs: str) -> "Markdown":
        """The attempted claims whose ids fit one of the globs, as a table."""
        entries = [e for glob in globs for e in self.ledger.select(glob, attempted=True)]
        return _display(tables.claims_table(entries))

    def scaled(self) -> "Markdown":
        """The attempted scaled claims, as a table."""
        return _display(tables.claims_table(self.ledger.select(scaled=True, attempted=True)))

    def registered(self) -> "Markdown":
        """The claims of this profile that were registered before their runs, as a table."""
        own = {
            c.id
            for c in self.paper.claims.values()
            if c.registration is not None and c.registration.profile == self.profile
        }
        found = [e for e in self.ledger.select() if e.id in own]
        if not found:
            return _display(f"*No claim is registered in profile `{self.profile}`.*")
        return _display(tables.registered_table(found))

    def why(self, glob: str = "*") -> "Markdown":
        """Why the claims whose ids fit were decided as they were."""
        return _display(tables.why_table(self.ledger.select(glob, attempted=True)))

    def board(self) -> "Markdown":
        """The paper's claims counted by table and verdict."""
        return _display(tables.board(self.ledger.select(scaled=False)))

    def not_attempted(self) -> "Markdown":
        """What was not attempted, and what it would need."""
        return _display(tables.not_attempted(self.ledger.select(scaled=False)))

    def provenance(self) -> "Markdown":
        """Where the numbers come from: runs, data, hardware, versions and time by experiment."""
        rows = []
        for name in dict.fromkeys(r.experiment for r in self.records):
            runs = [r for r in self.records if r.experiment == name]
            seconds = sum(float(r.provenance["wall_s"]) for r in runs)
            rows.append(
                (
                    name,
                    str(len(runs)),
                    ", ".join(sorted({r.data["name"] for r in runs if r.data["name"]})) or "none",
                    "; ".join(sorted({_how(r) for r in runs})),
                    "; ".join(sorted({r.provenance["gpu"] or r.provenance["cpu"] for r in runs})),
                    ", ".join(sorted({r.provenance["versions"].get("torch", "–") for r in runs})),
                    f"{seconds:.0f} s",
                )
            )
        header = ("experiment", "runs", "data", "device", "hardware", "torch", "time, all runs")
        return _display(tables.markdown(rows, header))

    def print_verdicts(self, glob: str = "*") -> None:
        """Ids, reported values and verdicts as plain text that does not vary between machines.

        These cells are what nbval checks: no measured float, no time, no HTML.
        """
        for entry in self.ledger.select(glob):
            print(f"{entry.id} | {text.reported(entry)} | {entry.verdict}")


def _how(record: Record) -> str:
    """Device, number format and engine of a run; records of old have no engine."""
    engine = str(record.provenance.get("engine", ""))
    return ", ".join(filter(None, (record.device, record.precision, engine)))


def _display(table: str) -> "Markdown":
    from IPython.display import Markdown

    return Markdown(table)


def open_paper(
    paper: str, profile: str = "quick", seeds: str = "", records: str = evidence.COMMITTED
) -> Session:
    """Everything a notebook needs of a paper under a profile.

    Args:
        seeds: in place of the profile's own, where runs are done: a number of seeds, or a list
            such as `3-5` or `0,4`.
        records: `committed` (those of the accepted ledger), `machine` (those of this machine's
            latest ledger), or `compute`: do the runs that are missing on this machine.

    Raises:
        UserError: unknown paper, profile, seeds or records; a record is missing.
        CheckFailed: runs failed.
    """
    loaded, chosen = load(paper), parse_seeds(seeds)
    require_profile(profile)
    if records == COMPUTE:
        options = RunOptions(device="auto", engine="auto")
        request = Request(paper=paper, profile=profile, seeds=chosen, options=options)
        done = replicate(loaded, plan(loaded, request), Store())
        return Session(loaded, done.ledger, done.records)
    if records not in SOURCES:
        raise UserError(
            f"records={records!r}{nearest(records, SOURCES)}; there are: {', '.join(SOURCES)}"
        )
    if chosen and records == evidence.COMMITTED:
        raise UserError(f"seeds={seeds!r} asks for runs; set records to {COMPUTE!r}")
    if records == evidence.COMMITTED:
        found = evidence.committed(loaded, profile)[1]
    else:
        found = evidence.machine(loaded, profile, Store())
    return Session(loaded, build(loaded, profile, found), found)
