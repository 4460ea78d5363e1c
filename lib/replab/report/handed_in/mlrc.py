"""A report with the sections of the ML Reproducibility Challenge, filled from the ledger.

Sections after the challenge's template (paperswithcode.com/rc2021, reproml.org): a summary on the
first page, then introduction, scope, methodology, results, discussion. What only a person can say
is left blank and marked.
"""

from collections.abc import Mapping, Sequence

from replab.claims import printed
from replab.claims.ledger import Entry
from replab.claims.verdicts import INCONCLUSIVE, NOT_REPRODUCED, VERDICTS
from replab.report import tables, text
from replab.report.handed_in import document, methodology
from replab.report.handed_in import latex as typesetting
from replab.report.handed_in.blanks import blank
from replab.report.handed_in.document import Block, Heading, Paragraph, Quote, Table
from replab.report.handed_in.dossier import Dossier

# The challenge's sections in their order, with their levels.
SECTIONS: tuple[tuple[int, str], ...] = (
    (1, "Reproducibility summary"),
    (2, "Scope of reproducibility"),
    (2, "Methodology"),
    (2, "Results"),
    (2, "What was easy"),
    (2, "What was difficult"),
    (2, "Communication with original authors"),
    (1, "Introduction"),
    (1, "Scope of reproducibility: the claims"),
    (1, "Methodology in detail"),
    (2, "Model descriptions"),
    (2, "Datasets"),
    (2, "Hyperparameters"),
    (2, "Experimental setup and code"),
    (2, "Computational requirements"),
    (2, "Deviations from the paper"),
    (1, "Results by claim"),
    (2, "Results reproducing the original paper"),
    (2, "Results beyond the original paper"),
    (2, "Claims that were not attempted"),
    (1, "Discussion"),
    (2, "What was difficult, in the words of the replication"),
    (1, "References"),
)
HEADER = ("claim", "reported", "measured", "95 % interval", "n", "tolerance", "verdict")
_WIDTHS = (2.6, 1.4, 2.2, 1.5, 0.4, 1.4, 1.3)
_AUTHORS = blank("authors of this report")
_HARD = "What is hard about it"


def markdown(dossier: Dossier) -> str:
    """The report in Markdown; equal for an equal ledger."""
    title, *rest = blocks(dossier)
    return document.markdown([title, Paragraph(f"{_AUTHORS} · {dossier.date}"), *rest])


def latex(dossier: Dossier) -> str:
    """The same report in LaTeX."""
    return typesetting.latex(blocks(dossier), author=_AUTHORS, date=dossier.date)


def blocks(dossier: Dossier) -> list[Block]:
    """The report, block by block: its title, then the sections of `SECTIONS`."""
    citation = dossier.paper.citation
    reference = f"{citation.authors}. *{citation.title}.* {citation.venue}."
    links = [f"arXiv:{citation.arxiv}"] if citation.arxiv else []
    links += [f"code: {citation.code}"] if citation.code else []
    return [
        Heading(0, dossier.title),
        *_summary(dossier),
        _heading("Introduction"),
        Paragraph(
            f"This report replicates {reference} It is generated from the accepted ledger "
            f"`results/{dossier.paper.name}/{dossier.profile}/accepted.json` and the "
            f"{len(dossier.records)} records it rests on: every number in it was measured by a "
            "run that a record describes, and every verdict follows from the record, the paper's "
            "number and a tolerance that was written down with its reason."
        ),
        *_scope(dossier),
        *_methodology(dossier),
        *_results(dossier),
        *_discussion(dossier),
        _heading("References"),
        Paragraph(" ".join([reference, *(f"{link}." for link in links)])),
    ]


def _heading(name: str) -> Heading:
    return next(Heading(level, title) for level, title in SECTIONS if title == name)


def _summary(dossier: Dossier) -> list[Block]:
    own, scaled = (dossier.ledger.select(scaled=flag) for flag in (False, True))
    attempted = dossier.attempted(scaled=False)
    places = ", ".join(dict.fromkeys(tables.group(e) for e in attempted)) or "none"
    difficult = (
        f"Quoted at the end of the discussion from `replications/{dossier.paper.name}/README.md`."
        if _HARD in dossier.sections
        else blank("what was difficult")
    )
    return [
        _heading("Reproducibility summary"),
        _heading("Scope of reproducibility"),
        Paragraph(
            f"{len(own)} claims of the paper are stated with their place in it; {len(attempted)} "
            f"of them were attempted under profile `{dossier.profile}` ({places}). {len(scaled)} "
            "scaled claims, about scaled-down experiments of ours, support claims of the paper "
            "and are counted apart."
        ),
        _heading("Methodology"),
        Paragraph(methodology.in_short(dossier)),
        _heading("Results"),
        Paragraph(f"The paper's claims: {text.counts_line(dossier.ledger.counts(scaled=False))}."),
        Paragraph(f"Of these, printed by others: {text.counts_line(dossier.printed_counts())}."),
        Paragraph(f"Scaled claims: {text.counts_line(dossier.ledger.counts(scaled=True))}."),
        *(
            Paragraph(f"{verdict.capitalize()}: {_ids(dossier, verdict)}.")
            for verdict in (NOT_REPRODUCED, INCONCLUSIVE)
            if _ids(dossier, verdict)
        ),
        _heading("What was easy"),
        Paragraph(blank("what was easy")),
        _heading("What was difficult"),
        Paragraph(difficult),
        _heading("Communication with original authors"),
        Paragraph(blank("communication with the original authors, or that there was none")),
    ]


def _ids(dossier: Dossier, verdict: str) -> str:
    return ", ".join(f"`{e.id}`" for e in dossier.ledger.select() if e.verdict == verdict)


def _scope(dossier: Dossier) -> list[Block]:
    own = dossier.ledger.select(scaled=False)
    # Written as `P: the paper's full text`; the letter is for files.
    sources = {e.source: e.source.partition(": ")[2] for e in own}
    by_source = {name: [e for e in own if e.source == source] for source, name in sources.items()}
    return [
        _heading("Scope of reproducibility: the claims"),
        Paragraph(
            "A claim is one checkable statement: a count, a number within a tolerance, an "
            "ordering, a gap or a trend. Numbers of other people's methods and numbers that only "
            "a test server can give are context and not counted here."
        ),
        _board("place", tables.grouped(own), own),
        Paragraph(
            "Not every reported number is printed in the paper; this is where they come from. "
            "What was computed here first and is stated as a claim guards the replication itself."
        ),
        _board("source of the reported number", by_source, own),
    ]


def _board(what: str, groups: Mapping[str, Sequence[Entry]], every: Sequence[Entry]) -> Table:
    """How many claims of each group have which verdict."""
    rows = [
        (name, str(len(members)), *(_count(members, verdict) for verdict in VERDICTS))
        for name, members in {**groups, "**all**": every}.items()
    ]
    return Table((what, "claims", *VERDICTS), rows, (2.5, 1, 1, 1, 1, 1))


def _count(entries: Sequence[Entry], verdict: str) -> str:
    return str(sum(e.verdict == verdict for e in entries))


def _methodology(dossier: Dossier) -> list[Block]:
    method = dossier.sections.get("Method", "")
    readme = f"replications/{dossier.paper.name}/README.md"
    return [
        _heading("Methodology in detail"),
        *([Quote(readme, method)] if method else [Paragraph(blank("the approach"))]),
        _heading("Model descriptions"),
        *methodology.models(dossier),
        _heading("Datasets"),
        *methodology.datasets(dossier),
        _heading("Hyperparameters"),
        *methodology.hyperparameters(dossier),
        _heading("Experimental setup and code"),
        *methodology.setup(dossier),
        _heading("Computational requirements"),
        *methodology.costs(dossier),
        _heading("Deviations from the paper"),
        *methodology.departures(dossier),
    ]


def _results(dossier: Dossier) -> list[Block]:
    parts: list[Block] = [
        _heading("Results by claim"),
        Paragraph(
            "Intervals are t-intervals at 95 % over n seeds, of the mean or of the difference "
            "that decides; a count or a score of fixed weights needs none (n = 1)."
        ),
        _heading("Results reproducing the original paper"),
    ]
    own = tables.grouped(dossier.attempted(scaled=False))
    for name, members in own.items():
        parts += [Paragraph(f"**{name}**"), claims_table(members)]
    if not own:
        parts.append(Paragraph("No claim of the paper was attempted under this profile."))
    scaled = dossier.attempted(scaled=True)
    parts.append(_heading("Results beyond the original paper"))
    if scaled:
        supports = {e.id: str(e.supports) for e in scaled}
        lines = ", ".join(f"`{claim}` supports `{other}`" for claim, other in supports.items())
        parts += [
            Paragraph(
                "Scaled claims are about scaled-down experiments of ours and never turn a claim "
                f"of the paper green: {lines}."
            ),
            claims_table(scaled),
        ]
    else:
        parts.append(Paragraph("No scaled claim was attempted under this profile."))
    left = [e for e in dossier.ledger.select() if e.verdict == VERDICTS[-1]]
    reasons: dict[tuple[str, str], int] = {}
    for entry in left:
        key = (tables.group(entry), entry.why)
        reasons[key] = reasons.get(key, 0) + 1
    parts.append(_heading("Claims that were not attempted"))
    if reasons:
        rows = [(place, str(n), why.removeprefix("needs ")) for (place, why), n in reasons.items()]
        parts.append(Table(("place", "claims", "what an attempt needs"), rows, (2, 0.6, 5)))
    else:
        parts.append(Paragraph("Every claim was attempted."))
    return parts


def claims_table(entries: list[Entry]) -> Table:
    """Claims with what was reported, measured and decided, a row each."""
    rows = []
    for entry in entries:
        interval = text.interval(entry).partition(", n =")[0]
        rows.append(
            (
                f"`{entry.id}`",
                text.reported(entry),
                _measured(entry),
                interval,
                str(entry.n),
                text.tolerance(entry),
                text.verdict(entry),
            )
        )
    return Table(HEADER, rows, _WIDTHS)


def _measured(entry: Entry) -> str:
    """What was measured, with as many digits as the print has that it must equal."""
    value, rule = entry.measured, (entry.tolerance or {}).get("rule")
    if isinstance(value, float) and rule == "printed":
        reported = printed.parse(entry.reported)
        if reported.exponent == 0 and reported.decimals > 2:
            return f"{value:,.{reported.decimals}f}"
    return text.measured(entry)


def _discussion(dossier: Dossier) -> list[Block]:
    undecided = [e for e in dossier.ledger.select() if e.verdict in (NOT_REPRODUCED, INCONCLUSIVE)]
    parts: list[Block] = [_heading("Discussion")]
    if undecided:
        rows = [
            (f"`{e.id}`", text.verdict(e), e.why, str((e.tolerance or {}).get("why", "")))
            for e in undecided
        ]
        header = ("claim", "verdict", "because", "tolerance chosen because")
        parts += [
            Paragraph("Claims that were attempted and not reproduced, and why:"),
            Table(header, rows, (2, 1.2, 3, 3)),
        ]
    else:
        parts.append(Paragraph("Every claim that was attempted was reproduced."))
    parts.append(_heading("What was difficult, in the words of the replication"))
    readme = f"replications/{dossier.paper.name}/README.md"
    hard = dossier.sections.get(_HARD, "")
    parts.append(Quote(readme, hard) if hard else Paragraph(blank("what was difficult")))
    return parts
