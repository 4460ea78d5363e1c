"""Numbers, intervals and verdicts as readers see them."""

import math
from collections.abc import Mapping

from replab.claims.ledger import Entry, Ledger
from replab.claims.verdicts import INCONCLUSIVE, NOT_ATTEMPTED, NOT_REPRODUCED, REPRODUCED

# A sign beside each verdict, so that nothing hangs on a colour.
SIGNS: Mapping[str, str] = {
    REPRODUCED: "✔",
    NOT_REPRODUCED: "✘",
    INCONCLUSIVE: "?",
    NOT_ATTEMPTED: "·",
}


def verdict(entry: Entry) -> str:
    """A verdict with its sign, and whether a newer registration puts it out of date."""
    superseded = " (superseded)" if entry.superseded else ""
    return f"{SIGNS[entry.verdict]} {entry.verdict}{superseded}"


def number(value: float, unit: str = "") -> str:
    """A measured number: counts in full, others with a sensible number of digits."""
    if unit in ("params", "none") and float(value).is_integer():
        return f"{int(value):,}"
    if unit == "GFLOPs":
        return f"{value:.3f}"
    if unit == "percent":
        return f"{value:.2f}"
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    return f"{value:.3g}" if abs(value) < 100 else f"{value:,.1f}"


def measured(entry: Entry) -> str:
    """What was measured: a number, or one per term; a dash if nothing was."""
    if entry.measured is None:
        return "–"
    if isinstance(entry.measured, dict):
        return ", ".join(f"{term}: {number(v, entry.unit)}" for term, v in entry.measured.items())
    return number(entry.measured, entry.unit)


def interval(entry: Entry) -> str:
    """The 95 % interval that decides, and the number of seeds; empty for what needs none."""
    if entry.interval is None:
        return ""
    low, high = entry.interval
    return f"[{number(low, entry.unit)}, {number(high, entry.unit)}], n = {entry.n}"


def reported(entry: Entry) -> str:
    """What the paper (or, for a scaled claim, we) stated, with its unit."""
    # An ordering names nets, which have no unit.
    if entry.unit in ("none", "nats", "params") or any(map(str.isalpha, entry.reported)):
        return entry.reported
    return f"{entry.reported} {'%' if entry.unit == 'percent' else entry.unit}"


def tolerance(entry: Entry) -> str:
    """The tolerance in short: its class and its numbers."""
    if entry.tolerance is None:
        return ""
    rule = entry.tolerance
    margin = rule.get("margin")
    return {
        "equal": "equal",
        "printed": "equal as printed",
        "within": f"±{margin} {entry.unit}" if margin else "",
        "relative": f"±{100 * margin:g}%" if margin else "",
        "threshold": "interval beyond the bound",
        "seeds": f"±max({margin}, {rule.get('deviations')} s.d.)",
        "order": "paired interval",
        "greater": f"registered: paired t-test, α = {rule.get('alpha')}",
        "equivalent": f"registered: equivalence test, ±{margin} {entry.unit}",
    }[rule["rule"]]


def counts_line(counts: Mapping[str, int]) -> str:
    """`12 reproduced · 0 not reproduced · …`, with the signs."""
    return " · ".join(f"{SIGNS[v]} {n} {v}" for v, n in counts.items())


def summary(ledger: Ledger) -> str:
    """The counts of verdicts, paper claims and scaled claims apart, a line each."""
    lines = [f"the paper's claims: {counts_line(ledger.counts(scaled=False))}"]
    if ledger.select(scaled=True):
        lines.append(f"scaled claims: {counts_line(ledger.counts(scaled=True))}")
    return "\n".join(lines)
