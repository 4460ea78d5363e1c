"""From measured numbers to a verdict, kind by kind."""

import math
from collections.abc import Sequence

from replab.claims import orders, printed, selectors, statistics
from replab.claims.outcome import (
    INCONCLUSIVE,
    MIN_SEEDS,
    NOT_ATTEMPTED,
    NOT_REPRODUCED,
    REPRODUCED,
    SLACK,
    VERDICTS,
    BySeed,
    Lookup,
    Outcome,
    finite,
    format_number,
    format_range,
    lacking_seeds,
)
from replab.claims.schema import Claim, Column, Equality, Gap, Ordering, Tolerance, Trend
from replab.claims.statistics import Estimate, estimate

__all__ = [
    "INCONCLUSIVE",
    "NOT_ATTEMPTED",
    "NOT_REPRODUCED",
    "REPRODUCED",
    "VERDICTS",
    "BySeed",
    "Lookup",
    "Outcome",
    "decide",
    "format_number",
]


def decide(
    claim: Claim,
    tolerance: Tolerance,
    lookup: Lookup,
    *,
    deterministic: bool,
    published: orders.Published = lambda claim: None,
) -> Outcome:
    """The verdict on a claim whose numbers are all there.

    Args:
        lookup: gives the numbers of a selector by seed.
        deterministic: whether one run settles a number (counts, fixed weights).
        published: gives the printed value of another claim, for published gaps.

    Raises:
        ValueError: the claim's test, kind and tolerance do not fit together, or numbers that are
            to be paired have no seed in common.
    """
    test = claim.test
    if isinstance(test, Equality):
        return _equality(test, lookup)
    if isinstance(test, Column):
        return _column(claim, test, tolerance, lookup)
    if isinstance(test, Ordering):
        return orders.ordering(
            test, tolerance, lookup, deterministic=deterministic, published=published
        )
    if isinstance(test, Trend):
        return orders.trend(test, tolerance, lookup, deterministic=deterministic)
    if isinstance(test, Gap):
        return orders.gap(claim, test, tolerance, lookup, deterministic=deterministic)
    if claim.selector is None:
        raise ValueError(f"{claim.id}: no selector and no test")
    return _number(claim, tolerance, lookup(claim.selector), deterministic)


def _number(claim: Claim, tolerance: Tolerance, values: BySeed, deterministic: bool) -> Outcome:
    reported = printed.parse(claim.reported)
    if deterministic:
        verdict, why = _fixed(claim, reported, _only(values), tolerance)
        return Outcome(verdict, _only(values), None, 1, why)
    found = estimate(list(values.values()))
    if tolerance.rule == "threshold":
        verdict, why = _bound(reported, found, tolerance)
    elif tolerance.rule == "seeds":
        verdict, why = _seeds(claim, reported, found, tolerance, list(values.values()))
    else:
        raise ValueError(
            f"{claim.id}: rule '{tolerance.rule}' cannot judge a number that varies with seeds"
        )
    return Outcome(verdict, found.mean, finite(found), found.n, why)


def _fixed(
    claim: Claim, reported: printed.Printed, value: float, tolerance: Tolerance
) -> tuple[str, str]:
    """Verdict and reason of a number that one run settles."""
    rule, shown = tolerance.rule, format_number(value)
    if rule in ("within", "relative"):
        return orders.compare_margin(reported, value, tolerance)
    if rule == "threshold":
        holds = value > reported.value if reported.bound == ">" else value < reported.value
        why = f"{shown}, bound {reported.text}"
    elif rule == "equal":
        holds = value == reported.value
        why = f"{shown} {'equals' if holds else 'differs from'} the stated count"
    elif rule == "printed":
        holds = reported.matches(value)
        why = f"{shown} {'rounds' if holds else 'does not round'} to the printed {reported.text}"
    else:
        raise ValueError(f"{claim.id}: rule '{rule}' does not judge a number without seeds")
    return REPRODUCED if holds else NOT_REPRODUCED, why


def _bound(reported: printed.Printed, found: Estimate, tolerance: Tolerance) -> tuple[str, str]:
    lack = lacking_seeds(found.n, tolerance.min_seeds or MIN_SEEDS, paired=False)
    if lack:
        return INCONCLUSIVE, f"{lack}; mean {found.mean:.4g}, bound {reported.text}"
    shown = f"interval {format_range(found)}, bound {reported.text}"
    above, below = found.low > reported.value, found.high < reported.value
    if not (above or below):
        return INCONCLUSIVE, shown + ": the interval holds the bound"
    return (REPRODUCED if above == (reported.bound == ">") else NOT_REPRODUCED), shown


def _seeds(
    claim: Claim,
    reported: printed.Printed,
    found: Estimate,
    tolerance: Tolerance,
    values: Sequence[float],
) -> tuple[str, str]:
    assert tolerance.margin is not None
    assert tolerance.deviations is not None
    assert tolerance.min_seeds is not None
    margin = max(tolerance.margin, tolerance.deviations * found.deviation)
    difference = found.mean - reported.value
    why = (
        f"mean {found.mean:.2f} ± {found.deviation:.2f} over {found.n} seeds, "
        f"{difference:+.2f} from the print, margin ±{margin:.2f}"
    )
    runs = _paper_runs(claim.protocol)
    if reported.spread is not None and runs >= 2 and found.n >= 2:
        p = statistics.welch(values, reported.value, reported.spread, runs)
        why += f" (Welch's t-test against {reported.text} of {runs} runs: p = {p:.2g})"
    lack = lacking_seeds(found.n, tolerance.min_seeds, paired=False)
    if lack:
        return INCONCLUSIVE, f"{lack}; {why}"
    holds = abs(difference) <= margin * (1 + SLACK)
    return (REPRODUCED if holds else NOT_REPRODUCED), why


def _paper_runs(protocol: str) -> int:
    """How many runs a print averages, from a protocol's hint such as `5 runs`."""
    for hint in protocol.split(";"):
        words = hint.split()
        if len(words) == 2 and words[1] == "runs" and words[0].isdecimal():
            return int(words[0])
    return 0


def _equality(test: Equality, lookup: Lookup) -> Outcome:
    measured: dict[str, float] = {}
    wrong = []
    for term in test.terms:
        left, right = (
            _only(lookup(selectors.parse(text.format(term))))
            for text in (test.measure, test.equals)
        )
        measured[str(term)] = left
        if left != right:
            wrong.append(f"{term}: {format_number(left)} ≠ {format_number(right)}")
    if wrong:
        return Outcome(NOT_REPRODUCED, measured, None, 1, "; ".join(wrong))
    why = f"equal for each of {', '.join(map(str, test.terms))}"
    return Outcome(REPRODUCED, measured, None, 1, why)


def _column(claim: Claim, test: Column, tolerance: Tolerance, lookup: Lookup) -> Outcome:
    prints = printed.parse_list(claim.reported)
    if tolerance.rule != "printed" or len(prints) != len(test.terms):
        raise ValueError(
            f"{claim.id}: a column of {len(prints)} prints for {len(test.terms)} terms is judged "
            "by a class with the rule 'printed', a print a term"
        )
    measured = {str(t): _only(lookup(selectors.parse(test.measure.format(t)))) for t in test.terms}
    wrong = [
        f"{term}: {format_number(value)} does not round to {reported.text}"
        for reported, (term, value) in zip(prints, measured.items(), strict=True)
        if not reported.matches(value)
    ]
    if wrong:
        return Outcome(NOT_REPRODUCED, measured, None, 1, "; ".join(wrong))
    return Outcome(REPRODUCED, measured, None, 1, f"all {len(prints)} round to their prints")


def _only(values: BySeed) -> float:
    """The one number of what one run settles.

    Raises:
        ValueError: there are several seeds, or the number is not finite.
    """
    if len(values) != 1:
        raise ValueError(f"one run settles this number, but there are {len(values)} seeds of it")
    (value,) = values.values()
    if not math.isfinite(value):
        raise ValueError(f"the number is {value}")
    return value
