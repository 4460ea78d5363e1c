"""All verdicts at a glance: the page of attempted claims, the README's table, best evidence."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from replab.claims import evidence
from replab.claims.acceptance import accepted_profiles
from replab.claims.claim import Paper
from replab.claims.ledger import Entry, Ledger, build
from replab.claims.verdicts import NOT_ATTEMPTED, REPRODUCED, VERDICTS
from replab.report import text
from replab.report.tables import markdown
from replab.runs.experiment import PROFILES
from replab.runs.record import Record


@dataclass(frozen=True)
class Accepted:
    """A paper with what was accepted of it.

    Attributes:
        ledgers: by profile, as the committed records give them.
        records: by profile, those that the ledger rests on.
    """

    paper: Paper
    ledgers: Mapping[str, Ledger]
    records: Mapping[str, Sequence[Record]]


@dataclass(frozen=True)
class Tally:
    """How many claims that the authors print were reproduced, attempted and stated."""

    reproduced: int
    attempted: int
    stated: int


def gather(paper: Paper) -> Accepted:
    """Everything that was accepted of a paper, decided anew from the committed records.

    Raises:
        UserError: a ledger or a record is missing or broken.
    """
    records = {p: evidence.committed(paper, p)[1] for p in accepted_profiles(paper.name)}
    ledgers = {p: build(paper, p, found) for p, found in records.items()}
    return Accepted(paper, ledgers, records)


def best_evidence(accepted: Accepted) -> dict[str, Entry]:
    """Each claim that may be decided, once: as the largest profile that attempts it decides it.

    `paper` counts before `standin`, `standin` before `quick`, whatever the verdicts: a claim that
    a larger profile refutes is refuted. What no accepted profile attempts is not attempted.
    Scaled claims belong to one profile and so stand here as that profile decides them.
    """
    best: dict[str, Entry] = {}
    for profile in PROFILES:
        for entry in accepted.ledgers[profile].select() if profile in accepted.ledgers else ():
            if entry.id not in best or entry.verdict != NOT_ATTEMPTED:
                best[entry.id] = entry
    return best


def tally(accepted: Accepted) -> Tally:
    """What the authors print, by its best evidence.

    Scaled claims and context do not count, and neither do numbers that were computed for a claim
    where the authors print none: agreeing with those says that the code is right, not the paper.
    """
    own = {c.id for c in accepted.paper.claims.values() if c.gate and c.printed}
    verdicts = [e.verdict for e in best_evidence(accepted).values() if e.id in own]
    attempted = [verdict for verdict in verdicts if verdict != NOT_ATTEMPTED]
    return Tally(attempted.count(REPRODUCED), len(attempted), len(own))


def in_words(accepted: Accepted) -> str:
    """A paper's tally in a line, for who does not see its badge."""
    counts = tally(accepted)
    return (
        f"{accepted.paper.citation.title}: {counts.reproduced} of {counts.attempted} attempted "
        f"claims reproduced, {counts.stated} printed"
    )


def summary(found: Sequence[Accepted], *, results: str) -> str:
    """A row for each paper and profile: how many claims have which verdict, scaled ones apart.

    Args:
        results: path of the folder `results/` from where the table stands.
    """
    rows = []
    for accepted in found:
        name = accepted.paper.name
        for profile, ledger in accepted.ledgers.items():
            own, scaled = ledger.counts(scaled=False), ledger.counts(scaled=True)
            claims = accepted.paper.claims
            printed = [e for e in ledger.select(attempted=True) if claims[e.id].printed]
            agree = sum(e.verdict == REPRODUCED for e in printed)
            link = f"[`{profile}`]({results}/{name}/{profile}/{name}.ipynb)"
            rows.append(
                (
                    name,
                    link,
                    *(str(own[v]) for v in VERDICTS),
                    f"{agree} of {len(printed)}",
                    ", ".join(f"{scaled[v]} {text.SIGNS[v]}" for v in VERDICTS if scaled[v])
                    or "none",
                )
            )
    verdicts = (f"{text.SIGNS[v]} {v}" for v in VERDICTS)
    header = ("paper", "profile", *verdicts, "printed: ✔ of attempted", "scaled claims")
    return markdown(rows, header)


def readme_section(found: Sequence[Accepted]) -> str:
    """What the README says of the verdicts: badges, and the table of papers and profiles."""
    badges = " ".join(
        f"![{in_words(a)}](results/{a.paper.name}/badge.svg)" for a in found if a.ledgers
    )
    return "\n\n".join(
        filter(
            None,
            (
                badges,
                "The papers' own claims by verdict. *Printed* are those whose number the authors "
                "print, which the badges count; the others are counts and scores that were "
                "computed from the authors' public files. In the last column the scaled claims:",
                summary(found, results="results"),
                "Each profile opens its rendered notebook. Every attempted claim: "
                "[docs/verdicts.md](docs/verdicts.md); where we do otherwise than the papers, and "
                "why: [docs/deviations.md](docs/deviations.md); what it costs: "
                "[docs/costs.md](docs/costs.md).",
            ),
        )
    )


def page(found: Sequence[Accepted]) -> str:
    """The content of `docs/verdicts.md`: every attempted claim of every accepted ledger."""
    parts = [
        "# Verdicts",
        "Generated by `python -m replab docs` from the committed records; do not edit. "
        "Intervals are at 95 %, over seeds paired where nets are compared; n is the number of "
        "seeds, 1 for what one run settles. Tolerances and reasons stand beside each claim in the "
        "rendered notebooks and in [results/README.md](../results/README.md).",
        "## Papers and profiles",
        "The papers' own claims by verdict. Those whose number the authors print are counted once "
        "more: the others are counts and scores that were computed from the authors' public "
        "files, and agreeing with them says that the code is right. In the last column the scaled "
        "claims, which are about small experiments of ours and never turn a paper's claim green.",
        summary(found, results="../results"),
        "A printed claim that several profiles attempt counts once for a paper, by its best "
        "evidence: `paper` before `standin` before `quick`.",
        _tallies(found),
    ]
    for accepted in found:
        for profile, ledger in accepted.ledgers.items():
            parts += _ledger(accepted.paper, profile, ledger)
    return "\n\n".join(parts) + "\n"


def _tallies(found: Sequence[Accepted]) -> str:
    counts = [(a.paper.name, tally(a)) for a in found]
    rows = [(name, str(t.reproduced), str(t.attempted), str(t.stated)) for name, t in counts]
    return markdown(rows, ("printed claims of", "reproduced", "attempted", "printed"))


def _ledger(paper: Paper, profile: str, ledger: Ledger) -> list[str]:
    name = paper.name
    link = f"[{name}.ipynb](../results/{name}/{profile}/{name}.ipynb)"
    parts = [
        f"## {paper.citation.title}, profile `{profile}`",
        f"{len(ledger.runs)} runs; the rendered notebook: {link}.",
    ]
    for title, scaled in (("Scaled claims", True), ("Paper claims", False)):
        entries = ledger.select(scaled=scaled, attempted=True)
        if entries:
            parts += [f"### {title}", _table(entries)]
    return parts


def _table(entries: Sequence[Entry]) -> str:
    rows = [
        (
            f"`{e.id}`",
            text.reported(e),
            text.measured(e),
            text.interval(e).partition(", n = ")[0],
            str(e.n),
            text.verdict(e),
        )
        for e in entries
    ]
    return markdown(rows, ("claim", "reported", "measured", "95 % interval", "n", "verdict"))
