"""Commands that show what is there; nothing is run."""

from argparse import Namespace
from dataclasses import asdict
from typing import Any

from replab.errors import UserError
from replab.output import emit
from replab.runs.experiment import papers, require_profile


def list_papers(options: Namespace) -> None:
    """`list`: papers with their claims and their accepted ledgers."""
    from replab.claims.accepted import load_accepted
    from replab.claims.schema import load
    from replab.report import text

    listed = []
    lines = []
    for name in papers():
        paper = load(name)
        gated = [c for c in paper.claims.values() if c.gate]
        accepted = {}
        lines.append(f"{name}: {paper.citation.title} ({paper.citation.venue})")
        own = sum(c.supports is None for c in gated)
        lines.append(f"  {own} claims, {len(gated) - own} scaled claims")
        for profile, ledger in load_accepted(paper).ledgers.items():
            accepted[profile] = ledger.counts(scaled=False)
            lines.append(f"  accepted, profile {profile}: {text.counts_line(accepted[profile])}")
        listed.append(
            {
                "paper": name,
                "title": paper.citation.title,
                "claims": own,
                "scaled": len(gated) - own,
                "experiments": list(paper.replication.experiments),
                "accepted": accepted,
            }
        )
    emit(listed, options.json, "\n".join(lines))


def list_models(options: Namespace) -> None:
    """`models`: networks with exact counts beside the paper's figures."""
    from replab.models.counting import catalogue

    rows = catalogue()
    lines = [f"{'model':<18}{'options':<26}{'params':>14}{'multiply-adds':>18}  paper"]
    for row in rows:
        words = ", ".join(f"{k}={v}" for k, v in row["options"].items())
        paper = f"{row['gflops_paper']} G" if row["gflops_paper"] is not None else ""
        lines.append(
            f"{row['name']:<18}{words:<26}{row['params']:>14,}{row['macs']:>18,}  {paper}"
        )
    emit(rows, options.json, "\n".join(lines))


def claims(options: Namespace) -> None:
    """`claims`: the ledger of a paper, from records that are there; nothing is run."""
    from replab.claims import evidence
    from replab.claims.ledger import build
    from replab.claims.schema import load
    from replab.report import text
    from replab.runs.store import Store

    profile = require_profile(options.profile)
    paper = load(options.paper)
    if options.records == "machine":
        records = evidence.machine(paper, profile, Store())
    elif options.records == "committed":
        records = evidence.committed(paper, profile)[1]
    else:
        records = evidence.gather(paper, profile, Store())
    ledger = build(paper, profile, records)
    entries = ledger.select(options.only or "*")
    if not entries:
        raise UserError(f"--only '{options.only}' fits no claim of {options.paper}")
    shown = [asdict(e) for e in entries]
    lines = [claim_line(e) for e in entries]
    if options.only is None:
        lines.append(f"paper claims: {text.counts_line(ledger.counts(scaled=False))}")
        lines.append(f"scaled claims: {text.counts_line(ledger.counts(scaled=True))}")
    emit(shown, options.json, "\n".join(lines))


def claim_line(entry: Any) -> str:
    """A ledger's entry as one line."""
    from replab.report import text

    parts = [
        f"{entry.id:<34}",
        f"reported {text.reported(entry)}",
        f"measured {text.measured(entry)}",
    ]
    if entry.interval:
        parts.append(text.interval(entry))
    return "   ".join([*parts, text.verdict(entry)])
