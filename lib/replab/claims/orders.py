"""Verdicts from differences: orderings, trends and gaps, paired seed by seed."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from replab.claims import printed, selectors
from replab.claims.outcome import (
    INCONCLUSIVE,
    MIN_SEEDS,
    NOT_REPRODUCED,
    REPRODUCED,
    SLACK,
    BySeed,
    Lookup,
    Outcome,
    finite,
    format_difference,
    lacking_seeds,
)
from replab.claims.schema import Claim, Gap, Ordering, Tolerance, Trend
from replab.claims.statistics import Estimate, combine_by_seed, estimate

HOLDS = "holds"
REVERSED = "reversed"
UNDECIDED = "undecided"  # the interval holds zero
EQUAL = "equal"  # one run decides, and the two numbers are the same
SET_ASIDE = "set aside"  # the published gap is inside the noise of seeds

Term = str | int
Published = Callable[[str], float | None]


@dataclass(frozen=True)
class _Step:
    """One step of an order: the second term minus the first, over the seeds."""

    name: str
    difference: Estimate
    state: str


def ordering(
    test: Ordering,
    tolerance: Tolerance,
    lookup: Lookup,
    *,
    deterministic: bool,
    published: Published,
) -> Outcome:
    """Each step between neighbours must hold; steps with a small published gap do not count.

    A step is set aside if its published gap is under `deviations` times the standard deviation of
    our paired differences: two runs of the paper would differ by as much. It is shown. If every
    step is set aside, there is nothing to decide by, and the claim is inconclusive.
    """
    steps = []
    for measure in test.measures:
        for low, high in pairwise(test.ascending):
            step = _step(measure, low, high, lookup, test.measures, deterministic)
            gap = _published_gap(test, low, high, published)
            spread = (tolerance.deviations or 0.0) * step.difference.deviation
            if not deterministic and gap is not None and gap < spread:
                step = _Step(step.name, step.difference, SET_ASIDE)
            steps.append(step)
    counted = [s for s in steps if s.state != SET_ASIDE]
    # The step that decides: a reversed one if there is one, else the one nearest to failing.
    decisive = min(
        counted or steps, key=lambda s: (s.state not in (REVERSED, EQUAL), s.difference.low)
    )
    states = {s.state for s in counted}
    if states & {REVERSED, EQUAL}:
        verdict = NOT_REPRODUCED
    elif states == {HOLDS}:
        verdict = REPRODUCED
    else:
        verdict = INCONCLUSIVE
    why = _in_words(steps)
    if not counted:
        why = f"no step counts, every published gap is inside the noise of seeds; {why}"
    return _outcome(
        verdict, test.measures, test.ascending, lookup, tolerance, deterministic, decisive, why
    )


def trend(test: Trend, tolerance: Tolerance, lookup: Lookup, *, deterministic: bool) -> Outcome:
    """A trend holds if the ends differ as claimed and no step in between goes the other way.

    With `minus`, the numbers are differences, and a step is a difference of differences: paired
    over all four runs of a seed.

    The steps need not be separable: a trend is a statement about the axis. A step whose interval
    lies on the other side refutes it; one whose mean does leaves it undecided. The interval is
    that of the difference between the ends, the weakest of several measures.
    """
    ascending = test.along if test.direction == "rises" else test.along[::-1]
    verdicts, ends, steps = [], [], []
    for measure in test.measures:
        terms = ((ascending[0], ascending[-1]), *pairwise(ascending))
        end, *inner = [
            _step(measure, low, high, lookup, test.measures, deterministic, test.minus)
            for low, high in terms
        ]
        if end.state in (REVERSED, EQUAL) or any(s.state == REVERSED for s in inner):
            verdicts.append(NOT_REPRODUCED)
        elif end.state == HOLDS and all(s.difference.mean >= 0 for s in inner):
            verdicts.append(REPRODUCED)
        else:
            verdicts.append(INCONCLUSIVE)
        ends.append(end)
        steps += [end, *inner]
    verdict = next((v for v in (NOT_REPRODUCED, INCONCLUSIVE) if v in verdicts), REPRODUCED)
    decisive = min(ends, key=lambda s: s.difference.low)
    return _outcome(
        verdict,
        test.measures,
        test.along,
        lookup,
        tolerance,
        deterministic,
        decisive,
        _in_words(steps),
        test.minus,
    )


def gap(
    claim: Claim, test: Gap, tolerance: Tolerance, lookup: Lookup, *, deterministic: bool
) -> Outcome:
    """Σ plus − Σ minus: against the print for fixed weights, else above zero or a stated bound.

    Raises:
        ValueError: the print is no number, though the class compares with it.
    """
    plus = [lookup(selectors.parse(text)) for text in test.plus]
    minus = [lookup(selectors.parse(text)) for text in test.minus]
    found = estimate(list(combine_by_seed(plus, minus).values()))
    if deterministic and tolerance.rule == "within" and test.at_least is None:
        verdict, why = compare_margin(printed.parse(claim.reported), found.mean, tolerance)
        return Outcome(verdict, found.mean, None, found.n, why)
    if test.at_least is None:
        why = f"gap {format_difference(found)}, claimed above 0"
        state = _sign(found, deterministic)
    else:
        why = f"gap {format_difference(found)}, claimed at least {test.at_least:g}"
        state = _reaches(found, test.at_least, deterministic)
    verdict = {HOLDS: REPRODUCED, UNDECIDED: INCONCLUSIVE}.get(state, NOT_REPRODUCED)
    if deterministic:
        return Outcome(verdict, found.mean, None, found.n, why)
    lack = lacking_seeds(found.n, tolerance.min_seeds or MIN_SEEDS, paired=True)
    if lack:
        verdict, why = INCONCLUSIVE, f"{lack}; {why}"
    return Outcome(verdict, found.mean, finite(found), found.n, why)


def compare_margin(
    reported: printed.Printed, value: float, tolerance: Tolerance
) -> tuple[str, str]:
    """Verdict and reason of a number beside its print, by a class with a margin."""
    assert tolerance.margin is not None
    difference = value - reported.value
    if tolerance.rule == "relative":
        difference /= reported.value
        shown, margin = f"{difference:+.2%}", f"±{tolerance.margin:.2%}"
    else:
        shown, margin = f"{difference:+.4g}", f"±{tolerance.margin:g}"
    holds = abs(difference) <= tolerance.margin * (1 + SLACK)
    verdict = REPRODUCED if holds else NOT_REPRODUCED
    return verdict, f"off the print by {shown}, {'within' if holds else 'outside'} {margin}"


def _step(
    measure: str,
    low: Term,
    high: Term,
    lookup: Lookup,
    measures: Sequence[str],
    deterministic: bool,
    minus: str | None = None,
) -> _Step:
    values = combine_by_seed(
        [_look(measure, high, lookup, minus)], [_look(measure, low, lookup, minus)]
    )
    found = estimate(list(values.values()))
    name = f"{low} < {high}{_suffix(measure, measures)}"
    return _Step(name, found, _sign(found, deterministic))


def _sign(found: Estimate, deterministic: bool) -> str:
    """On which side of zero a difference lies."""
    low, high = (found.mean, found.mean) if deterministic else (found.low, found.high)
    if low > 0:
        return HOLDS
    if high < 0:
        return REVERSED
    return EQUAL if deterministic else UNDECIDED


def _reaches(found: Estimate, bound: float, deterministic: bool) -> str:
    """Whether a difference is at least a bound."""
    low, high = (found.mean, found.mean) if deterministic else (found.low, found.high)
    edge = bound - SLACK * max(1.0, abs(bound))
    if low >= edge:
        return HOLDS
    return REVERSED if high < edge else UNDECIDED


def _published_gap(test: Ordering, low: Term, high: Term, published: Published) -> float | None:
    if not test.printed:
        return None
    first, second = published(test.printed.format(low)), published(test.printed.format(high))
    return None if first is None or second is None else second - first


def _outcome(
    verdict: str,
    measures: Sequence[str],
    terms: Sequence[Term],
    lookup: Lookup,
    tolerance: Tolerance,
    deterministic: bool,
    decisive: _Step,
    why: str,
    minus: str | None = None,
) -> Outcome:
    measured = {
        f"{term}{_suffix(measure, measures)}": _mean(_look(measure, term, lookup, minus))
        for measure in measures
        for term in terms
    }
    found = decisive.difference
    if deterministic:
        return Outcome(verdict, measured, None, found.n, why)
    lack = lacking_seeds(found.n, tolerance.min_seeds or MIN_SEEDS, paired=True)
    if lack:
        verdict, why = INCONCLUSIVE, f"{lack}; {why}"
    return Outcome(verdict, measured, finite(found), found.n, why)


def _look(measure: str, term: Term, lookup: Lookup, minus: str | None = None) -> BySeed:
    """A term's number by seed, less the one that is subtracted from it."""
    values = lookup(selectors.parse(measure.format(term)))
    if minus is None:
        return values
    return combine_by_seed([values], [lookup(selectors.parse(minus.format(term)))])


def _mean(values: BySeed) -> float:
    return math.fsum(values.values()) / len(values)


def _suffix(measure: str, measures: Sequence[str]) -> str:
    """What tells a measure from the others: its metric, or else the parts not shared by all."""
    if len(measures) == 1:
        return ""
    metrics = [text.partition("].")[2] for text in measures]
    mine = measure.partition("].")[2]
    if metrics.count(mine) == 1:
        return f" {mine}"
    shared = set.intersection(*(set(_parts(text)) for text in measures))
    own = [part for part in _parts(measure) if part not in shared]
    return f" {','.join(own) or measure}"


def _parts(measure: str) -> list[str]:
    """Experiment, each `key=value`, and metric of a measure, whatever its term."""
    selector = selectors.parse(measure.format("term"))
    variant = (f"{key}={value}" for key, value in selector.variant)
    return [selector.experiment, *variant, selector.metric]


def _in_words(steps: Sequence[_Step]) -> str:
    return "; ".join(f"{s.name} {s.state} ({format_difference(s.difference)})" for s in steps)
