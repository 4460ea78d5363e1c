"""Comparing a fresh ledger with the accepted one: did a change of ours move a number?"""

from collections.abc import Sequence
from dataclasses import dataclass

from replab.claims import printed, selectors, statistics
from replab.claims.accepted import Accepted
from replab.claims.ledger import Entry, Ledger, current_records
from replab.claims.outcome import NOT_ATTEMPTED, SLACK, format_number
from replab.claims.schema import Paper, claim_selectors
from replab.errors import UserError
from replab.runs.record import Record

# Two machines part ways chaotically in training; the interval is wide so that only a change of
# the code's doing, not the draw, turns `regress` red.
REGRESSION_LEVEL = 0.99


@dataclass(frozen=True)
class Comparison:
    """A fresh number beside the accepted one.

    Attributes:
        state: `ok`, `worse` (it breaks the build), or `not compared`.
    """

    claim: str
    state: str
    why: str


def regress(
    accepted: Accepted, fresh: Ledger, records: Sequence[Record], reasons: Sequence[str] = ()
) -> list[Comparison]:
    """Compare a fresh ledger with the accepted one, claim by claim.

    Exact claims must be equal; numbers of fixed weights within a unit of the last printed digit,
    or the verdict the same where no digit is printed; trained ones inside the prediction interval
    of the accepted seeds; verdicts of powered scaled claims the same. What rests on other data,
    or was not run here, is not compared.

    Args:
        fresh: what this machine computed, under one profile.
        records: that it rests on.
        reasons: why runs were skipped here, for what is not compared.

    Raises:
        UserError: nothing was accepted under the profile.
    """
    paper, profile = accepted.paper, fresh.profile
    if profile not in accepted.ledgers:
        raise UserError(
            f"{paper.name}, profile {profile}: nothing was accepted; run `python -m replab accept "
            f"{paper.name} --profile {profile}` or restore it from git"
        )
    before = current_records(paper, profile, accepted.records[profile])
    now = current_records(paper, profile, records)
    return [
        _compare(paper, entry, fresh[entry.id], before, now, reasons)
        for entry in accepted.ledgers[profile].select(attempted=True)
    ]


def _compare(
    paper: Paper,
    old: Entry,
    new: Entry,
    before: Sequence[Record],
    now: Sequence[Record],
    reasons: Sequence[str],
) -> Comparison:
    if new.verdict == NOT_ATTEMPTED:
        reason = f" ({reasons[0]})" if reasons else ""
        return Comparison(old.id, "not compared", f"not run here{reason}")
    if new.data != old.data:
        return Comparison(old.id, "not compared", f"rests on {new.data}, accepted on {old.data}")
    if _fingerprints(new, now) != _fingerprints(old, before):
        return Comparison(old.id, "not compared", f"rests on another version of {old.data}")
    problems, open_questions = [], []
    unit, varies = _allowed(old), False
    for selector in claim_selectors(paper.claims[old.id]):
        accepted = list(selectors.values(selector, before).values())
        fresh = list(selectors.values(selector, now).values())
        if not paper.replication.experiments[selector.experiment].deterministic:
            varies = True
            if len(accepted) < 2:
                open_questions.append(f"{selector}: one accepted seed gives no interval")
            problem = _trained(accepted, fresh)
        else:
            problem = "" if unit is None else _fixed(accepted[0], fresh[0], unit)
        if problem:
            problems.append(f"{selector}: {problem}")
    if (old.powered or (unit is None and not varies)) and old.verdict != new.verdict:
        flipped = f"verdict {new.verdict}, accepted as {old.verdict}"
        if new.n < old.n:
            open_questions.append(f"{flipped}, but on {new.n} seeds instead of {old.n}")
        else:
            problems.append(flipped)
    if problems:
        return Comparison(old.id, "worse", "; ".join(dict.fromkeys(problems)))
    if open_questions:
        return Comparison(old.id, "not compared", "; ".join(dict.fromkeys(open_questions)))
    return Comparison(old.id, "ok", "")


def _fingerprints(entry: Entry, records: Sequence[Record]) -> set[str]:
    """Fingerprints of all that an entry's numbers were measured on."""
    return {r.data["fingerprint"] for r in records if r.id in entry.runs}


def _allowed(entry: Entry) -> float | None:
    """By how much a number of fixed weights may differ; None if the claim prints no number.

    Counts may not differ; evaluations by a unit of the last printed digit, which is what other
    decoders, kernels and orders of summation move.
    """
    if entry.kind in ("ordering", "trend"):
        return None
    if entry.kind == "exact" or (entry.tolerance or {}).get("rule") in ("equal", "relative"):
        return 0.0
    try:
        return 2 * printed.parse(entry.reported).half_digit
    except ValueError:
        return None


def _fixed(before: float, now: float, allowed: float) -> str:
    """How a number without seeds differs beyond what its claim allows; empty if it does not."""
    if abs(now - before) <= allowed * (1 + SLACK):
        return ""
    return f"{format_number(now)}, accepted as {format_number(before)}"


def _trained(before: Sequence[float], now: Sequence[float]) -> str:
    """How a trained number lies outside its prediction interval; empty if it does not."""
    mean = statistics.estimate(now).mean
    low, high = statistics.prediction_interval(before, REGRESSION_LEVEL, new=len(now))
    # Seeds without any spread give an interval of no width, which rounding must not leave.
    slack = SLACK * max(abs(mean), 1.0)
    if low - slack <= mean <= high + slack:
        return ""
    return f"mean {mean:.4g} lies outside [{low:.4g}, {high:.4g}]"
