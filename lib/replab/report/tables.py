"""Tables of claims in Markdown: the same ones in notebooks and in `results/README.md`."""

import re
import statistics
from collections.abc import Iterable, Mapping, Sequence

from replab.claims.ledger import Entry, Ledger
from replab.claims.verdicts import NOT_ATTEMPTED, VERDICTS
from replab.report import text
from replab.runs.record import Record

HEADER = ("claim", "locus", "reported", "measured", "95 % interval", "tolerance", "verdict")


def markdown(rows: Sequence[Sequence[str]], header: Sequence[str]) -> str:
    """A Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(_cell(c) for c in line) + " |" for line in lines)


def _cell(content: str) -> str:
    return content.replace("|", "\\|").replace("\n", " ")


def claims_table(entries: Sequence[Entry]) -> str:
    """Claims with what was reported, measured and decided, a row each."""
    rows = [
        (
            f"`{e.id}`",
            e.locus,
            text.reported(e),
            text.measured(e),
            text.interval(e),
            text.tolerance(e),
            text.verdict(e),
        )
        for e in entries
    ]
    return markdown(rows, HEADER)


def group(entry: Entry) -> str:
    """The table or figure a claim belongs to, from its locus: `Table 6`, `Fig. 7`, …"""
    match = re.match(r"(Tables?|Fig\.|section) ?[\d.–-]*", entry.locus)
    return match.group(0).strip() if match else entry.locus.partition("/")[0]


def grouped(entries: Sequence[Entry]) -> dict[str, list[Entry]]:
    """Entries by the table or figure they belong to, in the order in which these appear."""
    groups: dict[str, list[Entry]] = {}
    for entry in entries:
        groups.setdefault(group(entry), []).append(entry)
    return groups


def board(entries: Sequence[Entry]) -> str:
    """How many claims of each table or figure have which verdict."""
    rows = []
    for name, members in grouped(entries).items():
        counts = [sum(e.verdict == v for e in members) for v in VERDICTS]
        rows.append((name, *(str(c) if c else "" for c in counts)))
    total = [sum(e.verdict == v for e in entries) for v in VERDICTS]
    rows.append(("**all**", *(f"**{c}**" for c in total)))
    header = ("", *(f"{text.SIGNS[v]} {v}" for v in VERDICTS))
    return markdown(rows, header)


def not_attempted(entries: Sequence[Entry]) -> str:
    """What was not attempted and why, claims with the same reason in one row."""
    reasons: dict[tuple[str, str], list[Entry]] = {}
    for entry in entries:
        if entry.verdict == NOT_ATTEMPTED:
            reasons.setdefault((group(entry), entry.why), []).append(entry)
    rows = [
        (name, str(len(members)), why, f"`{members[0].command}`" if members[0].command else "–")
        for (name, why), members in reasons.items()
    ]
    return markdown(rows, ("", "claims", "why not", "command (of the first)"))


def spread(
    records: Sequence[Record], metric: str, label: str, claim: str, printed: Mapping[str, str]
) -> str:
    """A metric over seeds, a row a variant: mean ± standard deviation, number, each seed.

    Args:
        metric: in percent.
        label, claim: with keys of the variant in braces.
        printed: claim id → what the paper prints.
    """
    groups: dict[tuple[str, str], list[Record]] = {}
    for record in sorted(records, key=lambda r: (*map(str, r.variant.values()), r.seed)):
        names = (label.format(**record.variant), claim.format(**record.variant))
        groups.setdefault(names, []).append(record)
    rows = []
    for (name, id_), members in groups.items():
        values = [float(r.metrics[metric]) for r in members]
        deviation = f" ± {statistics.stdev(values):.2f}" if len(values) > 1 else ""
        rows.append(
            (
                name,
                printed.get(id_, "–"),
                f"{statistics.fmean(values):.2f}{deviation}",
                str(len(values)),
                ", ".join(f"{value:.2f}" for value in values),
            )
        )
    what = metric.replace("_", " ")
    header = ("", f"paper, {what} (%)", f"ours, {what} (%), mean ± s.d.", "n", "each seed")
    return markdown(rows, header)


def why_table(entries: Sequence[Entry]) -> str:
    """Why claims were decided as they were: reason of the tolerance and of the verdict."""
    rows = [
        (f"`{e.id}`", text.verdict(e), e.why, (e.tolerance or {}).get("why", "")) for e in entries
    ]
    return markdown(rows, ("claim", "verdict", "because", "tolerance chosen because"))


def registered_table(entries: Sequence[Entry]) -> str:
    """Claims that were registered before their runs, with effect, corrected p-value and power."""
    rows = []
    for entry in entries:
        about = entry.registered or {}
        p = about.get("p_adjusted")
        rows.append(
            (
                f"`{entry.id}`",
                text.reported(entry),
                str(about.get("role", "–")),
                ", ".join(text.number(e, entry.unit) for e in about.get("effects", ())) or "–",
                text.interval(entry) or "–",
                "–" if p is None else f"{p:.2g}",
                f"{entry.n} of {about['planned']}" if about else "0",
                f"{about['power']:.2f}" if about else "–",
                text.verdict(entry),
            )
        )
    header = (
        *("claim", "statement", "role", "effect", "95 % interval", "p, corrected"),
        *("seeds", "planned power", "verdict"),
    )
    return markdown(rows, header)


def ledger_section(ledger: Ledger, title: str) -> str:
    """One ledger for `results/README.md`."""
    own = ledger.select(scaled=False)
    scaled = ledger.select(scaled=True)
    data = sorted({e.data for e in ledger.entries if e.data})
    parts = [
        f"## {title}, profile `{ledger.profile}`",
        f"{len(ledger.runs)} runs; data: {', '.join(data) or 'none'}. The rendered notebook: "
        f"[{ledger.paper}.ipynb]({ledger.paper}/{ledger.profile}/{ledger.paper}.ipynb).",
        "### The paper's claims",
        board(own),
        "### Attempted",
        claims_table([e for e in own if e.verdict != NOT_ATTEMPTED]),
    ]
    if scaled:
        parts += [
            "### Scaled claims",
            "About scaled-down experiments of ours; each supports a claim of the paper and never "
            "turns it green.",
            claims_table(scaled),
        ]
    parts += ["### Not attempted", not_attempted(own)]
    return "\n\n".join(parts)


def results_readme(ledgers: Iterable[tuple[Ledger, str]]) -> str:
    """The content of `results/README.md`: every accepted ledger, from the committed records.

    Args:
        ledgers: each with its paper's title.
    """
    parts = [
        "# Results",
        "Generated by `python -m replab docs` from the accepted ledgers; do not edit. "
        "✔ reproduced · ✘ not reproduced · ? inconclusive · `·` not attempted.",
    ]
    parts += [ledger_section(ledger, title) for ledger, title in ledgers]
    return "\n\n".join(parts) + "\n"
