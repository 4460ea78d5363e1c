"""The site's own pages as HTML: the board, a page for each claim, a page for each run."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from replab.claims.ledger import Entry
from replab.claims.outcome import format_number
from replab.claims.verdicts import NOT_ATTEMPTED, VERDICTS
from replab.report import text
from replab.runs.experiment import PROFILES
from replab.runs.record import Record
from replab.site import api, prose
from replab.site.figures import Figure, of_claim, of_notebook
from replab.site.statements import (
    CONTEXT,
    OWN,
    SCALED,
    PaperEvidence,
    Statement,
    by_seed,
)

TEMPLATES = Path(__file__).parent / "templates"
RULES: Mapping[str, str] = {
    "equal": "equal to the last digit",
    "printed": "equal after rounding to the printed digits",
    "within": "within a margin",
    "relative": "within a fraction of the print",
    "threshold": "the whole interval beyond the bound",
    "seeds": "the print near the mean over seeds",
    "order": "signs of paired differences, by their intervals",
    "greater": "one-sided paired t-test, corrected over the primary claims",
    "equivalent": "two one-sided t-tests: the interval of the mean lies within the margin",
}


@dataclass(frozen=True)
class Page:
    """A page that is no document.

    Attributes:
        name: its place, without `.html`.
        body: HTML.
        words: what a search finds it by.
        wide: whether it may be wider than a column of prose.
    """

    name: str
    title: str
    body: str
    words: str = ""
    wide: bool = False


@dataclass
class Site:
    """Everything that the pages are made from.

    Attributes:
        papers: the evidence, a paper each.
        figures: paper → figures of its rendered notebooks.
    """

    papers: Sequence[PaperEvidence]
    figures: Mapping[str, Sequence[Figure]] = field(init=False)

    def __post_init__(self) -> None:
        self.figures = {
            p.name: [figure for profile in p.profiles for figure in of_notebook(p.name, profile)]
            for p in self.papers
        }
        self._environment = _environment()

    def board(self) -> Page:
        """The home page: every claim, by paper and table, the papers' and ours apart."""
        kinds = dict.fromkeys(s.claim.kind for p in self.papers for s in p.statements)
        body = self._environment.get_template("board.html").render(
            up="",
            papers=self.papers,
            kinds=sorted(kinds),
            profiles=[
                p
                for p in PROFILES
                if any(p in s.entries for f in self.papers for s in f.statements)
            ],
            sections=[
                (stands, [(p, _grouped(p, stands)) for p in self.papers])
                for stands in (OWN, SCALED, CONTEXT)
            ],
        )
        return Page("index", "Claims", body, wide=True)

    def claims(self) -> list[Page]:
        """A page for each claim that is to be decided, or that a scaled claim supports."""
        template = self._environment.get_template("claim.html")
        pages = []
        for found in self.papers:
            supporting: dict[str, list[Statement]] = {}
            for statement in found.statements:
                if statement.claim.supports:
                    supporting.setdefault(statement.claim.supports, []).append(statement)
            for statement in found.statements:
                if statement.stands == CONTEXT and statement.id not in supporting:
                    continue
                shown = of_claim(found, statement, self.figures[found.name])
                body = template.render(
                    up="../../",
                    found=found,
                    s=statement,
                    e=statement.any_entry,
                    supporting=supporting.get(statement.id, []),
                    shown=shown,
                    measured=[
                        (profiles, entry)
                        for profiles, entry in reversed(statement.outcomes())
                        if entry.verdict != NOT_ATTEMPTED
                    ],
                    attempts=_attempts(found, statement),
                    rests=[e for e in statement.entries.values() if e.verdict == NOT_ATTEMPTED],
                )
                words = (statement.id, statement.claim.locus, statement.claim.metric, found.name)
                name = claim_page(found.name, statement.id)
                pages.append(Page(name, statement.id, body, " ".join(words)))
        return pages

    def runs(self) -> list[Page]:
        """A page for each run that an accepted ledger rests on."""
        template = self._environment.get_template("run.html")
        return [
            Page(
                run_page(found.name, record.id),
                f"Run {record.id}",
                template.render(up="../../", found=found, r=record, rests=found.resting_on(run)),
            )
            for found in self.papers
            for run, record in found.records.items()
        ]

    def api(self) -> list[Page]:
        """A page for each module of the library, and their index."""
        found = api.modules()
        packages: dict[str, list[api.Described]] = {}
        for described in found:
            parts = described.name.split(".")
            packages.setdefault(".".join(parts[:2]), []).append(described)
        # Single modules of the top stand together.
        alone = [name for name, members in packages.items() if len(members) == 1]
        packages = {"replab": [packages.pop(n)[0] for n in alone]} | packages
        index = self._environment.get_template("modules.html").render(up="../", packages=packages)
        template = self._environment.get_template("module.html")
        return [
            Page("api/index", "API", index),
            *(
                Page(
                    f"api/{d.name}",
                    d.name,
                    template.render(up="../", d=d),
                    " ".join([d.name, d.summary, *(m.name for m in d.members)]),
                )
                for d in found
            ),
        ]

    def places(self, page: str) -> dict[str, str]:
        """The pages of the claims that a document may name: claim → page, with `.html`.

        A paper's document means its own claims; elsewhere an id must be one paper's alone.
        """
        about = page.partition("/")[2].partition("-")[0]
        found: dict[str, list[str]] = {}
        for each in self.papers:
            if page.startswith(("papers/", "notebooks/")) and each.name != about:
                continue
            for statement in each.statements:
                if statement.claim.gate:
                    place = f"{claim_page(each.name, statement.id)}.html"
                    found.setdefault(statement.id, []).append(place)
        return {claim: places[0] for claim, places in found.items() if len(places) == 1}

    def example(self, verdict: str) -> str:
        """A claim with this verdict, as Markdown: the first of a paper, else a scaled one."""
        for stands in (OWN, SCALED):
            for found in self.papers:
                for statement in found.statements:
                    if statement.stands == stands and statement.telling.verdict == verdict:
                        return _example(found, statement)
        return f"No claim is *{verdict}* at present."


def _environment() -> Any:
    import jinja2
    import markupsafe

    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    made.globals.update(
        VERDICTS=VERDICTS,
        NOT_ATTEMPTED=NOT_ATTEMPTED,
        SIGNS=text.SIGNS,
        RULES=RULES,
        claim_page=claim_page,
        run_page=run_page,
        figure_file=figure_file,
    )
    made.filters.update(
        reported=text.reported,
        measured=text.measured,
        interval=text.interval,
        tolerance=text.tolerance,
        number=text.number,
        plain=format_number,
        slug=lambda words: words.replace(" ", "-"),
        duration=duration,
        terms=_terms,
        settled=_settled,
        hardware=hardware,
        variant=variant,
        best_first=_by_verdict,
        markdown=lambda words: markupsafe.Markup(prose.blocks(words)),
        inline=lambda words: markupsafe.Markup(prose.inline(words)),
        wrapped=wrapped,
    )
    return made


def claim_page(paper: str, claim: str) -> str:
    """Where a claim's page is, without `.html`."""
    return f"claims/{paper}/{claim}"


def link(words: str, place: str) -> str:
    """A link from a document to a page of the site, `place` counted from the site's root.

    As HTML, since Sphinx knows only documents; the extension makes it relative.
    """
    return f'<a href="/{place}">{words}</a>'


def run_page(paper: str, run: str) -> str:
    """Where a run's page is, without `.html`."""
    return f"runs/{paper}/{run}"


def figure_file(figure: Figure) -> str:
    """Where a figure's file is on the site."""
    return f"figures/{figure.paper}-{figure.profile}-{figure.file.name}"


def duration(seconds: float) -> str:
    """A wall time as readers say it: `0.4 s`, `48 s`, `12 min`, `3.5 h`."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def hardware(record: Record) -> str:
    """What a run was computed on, in words."""
    return record.provenance["gpu"] or record.provenance["cpu"]


def variant(record: Record) -> str:
    """A run's variant as `key=value` pairs."""
    return ", ".join(f"{key}={value}" for key, value in record.variant.items()) or "–"


def wrapped(signature: str) -> str:
    """A signature, its arguments a line each where one line would be too long."""
    if len(signature) <= 70:
        return signature
    inside, depth, pieces = signature[1:], 0, [""]
    for number, letter in enumerate(inside):
        depth += (letter in "([{") - (letter in ")]}")
        if depth < 0:
            lines = ",\n".join(f"    {piece.strip()}" for piece in pieces)
            return f"(\n{lines},\n{inside[number:]}"
        if letter == "," and depth == 0:
            pieces.append("")
        else:
            pieces[-1] += letter
    return signature


def _grouped(found: PaperEvidence, stands: str) -> dict[str, list[Statement]]:
    groups: dict[str, list[Statement]] = {}
    for statement in found.statements:
        if statement.stands == stands:
            # Each scaled claim has a locus of its own.
            scaled = f"Profile {statement.claim.profile}"
            key = scaled if stands == SCALED else statement.group
            groups.setdefault(key, []).append(statement)
    return groups


def _by_verdict(statements: Sequence[Statement]) -> list[tuple[str, int]]:
    found = [s.telling.verdict for s in statements]
    return [(verdict, found.count(verdict)) for verdict in VERDICTS if verdict in found]


def _attempts(found: PaperEvidence, statement: Statement) -> list[dict[str, Any]]:
    """What each profile measured, the largest profile first."""
    attempts = []
    for profile, entry in reversed(list(statement.entries.items())):
        if entry.verdict == NOT_ATTEMPTED:
            continue
        rows = by_seed(found, statement, profile)
        seeds = sorted({seed for row in rows for seed in row.values})
        attempts.append(
            {
                "entry": entry,
                "rows": rows,
                "seeds": seeds,
                "runs": sorted(
                    (found.records[run] for run in entry.runs),
                    key=lambda r: (r.experiment, str(r.variant), r.seed),
                ),
            }
        )
    return attempts


def _settled(entry: Entry, found: PaperEvidence) -> bool:
    """Whether one run settles the claim, so that seeds and intervals do not apply."""
    experiments = found.paper.replication.experiments
    return all(experiments[found.records[run].experiment].deterministic for run in entry.runs)


def _terms(entry: Entry) -> Sequence[tuple[str, str]]:
    if not isinstance(entry.measured, dict):
        return ()
    return [(term, text.number(value, entry.unit)) for term, value in entry.measured.items()]


def _example(found: PaperEvidence, statement: Statement) -> str:
    entry = statement.telling
    whose = "claim" if statement.stands == OWN else "scaled claim"
    parts = [
        f"> **{text.verdict(entry)}**: the {whose} "
        f"{link(f'`{statement.id}`', claim_page(found.name, statement.id) + '.html')} of "
        f"*{found.paper.citation.title}* ({entry.locus}).",
        f"Stated: {text.reported(entry)}.",
    ]
    if entry.measured is not None:
        interval = f" {text.interval(entry)}" if entry.interval else ""
        parts.append(f"Measured: {text.measured(entry)}{interval}.")
    parts.append(f"Because: {entry.why}.")
    return " ".join(parts)
