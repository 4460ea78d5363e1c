"""From measured numbers to a verdict, kind by kind."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from replab.claims import printed, selectors, statistics
from replab.claims.schema import Claim, Column, Equality, Gap, Ordering, Tolerance, Trend
from replab.claims.statistics import Estimate, combine_by_seed, estimate

REPRODUCED = "reproduced"
NOT_REPRODUCED = "not reproduced"
INCONCLUSIVE = "inconclusive"
NOT_ATTEMPTED = "not attempted"
VERDICTS = (REPRODUCED, NOT_REPRODUCED, INCONCLUSIVE, NOT_ATTEMPTED)

BySeed = Mapping[int, float]
Lookup = Callable[[selectors.Selector], BySeed]


@dataclass(frozen=True)
class Outcome:
    """What was found about a claim.

    Attributes:
        measured: the number, or one per term.
        interval: of the mean, or of the difference that decides.
        n: seeds it rests on; 1 for what needs none.
        why: one sentence.
    """

    verdict: str
    measured: float | dict[str, float]
    interval: tuple[float, float] | None
    n: int
    why: str


def decide(
    claim: Claim,
    tolerance: Tolerance,
    lookup: Lookup,
    *,
    deterministic: bool,
    published: Callable[[str], float | None] = lambda claim: None,
) -> Outcome:
    """The verdict on a claim whose numbers are all there.

    Args:
        lookup: gives the numbers of a selector by seed.
        deterministic: whether one run settles a number (counts, fixed weights).
        published: gives the printed value of another claim, for published gaps.

    Raises:
        ValueError: the claim's test, kind and tolerance do not fit together.
    """
    test = claim.test
    if isinstance(test, Equality):
        return _equality(test, lookup)
    if isinstance(test, Column):
        return _column(claim, test, tolerance, lookup)
    if isinstance(test, Ordering):
        return _ordering(test, tolerance, lookup, deterministic, published)
    if isinstance(test, Trend):
        return _trend(test, tolerance, lookup, deterministic)
    if isinstance(test, Gap):
        return _gap(claim, test, tolerance, lookup, deterministic)
    assert claim.answer is not None
    return _number(claim, tolerance, lookup(claim.answer), deterministic)


def _number(claim: Claim, tolerance: Tolerance, values: BySeed, deterministic: bool) -> Outcome:
    reported = printed.parse(claim.reported)
    found = estimate(list(values.values()))
    interval = None if deterministic or found.n < 2 else (found.low, found.high)
    rule = tolerance.rule
    if reported.bound:
        verdict, why = _bound(reported, found, tolerance, deterministic)
    elif rule == "seeds":
        verdict, why = _seeds(claim, reported, found, tolerance, list(values.values()))
    elif not deterministic:
        raise ValueError(f"{claim.id}: rule '{rule}' cannot judge a number that varies with seeds")
    elif rule == "equal":
        same = found.mean == reported.value
        verdict = REPRODUCED if same else NOT_REPRODUCED
        why = (
            f"{format_number(found.mean)} {'equals' if same else 'differs from'} the stated count"
        )
    elif rule == "printed":
        same = reported.matches(found.mean)
        verdict = REPRODUCED if same else NOT_REPRODUCED
        how = "rounds" if same else "does not round"
        why = f"{format_number(found.mean)} {how} to the printed {reported.text}"
    elif rule in ("within", "relative"):
        verdict, why = _margin(reported, found.mean, tolerance)
    else:
        raise ValueError(f"{claim.id}: rule '{rule}' does not judge a single number")
    return Outcome(verdict, found.mean, interval, found.n, why)


def _margin(reported: printed.Printed, value: float, tolerance: Tolerance) -> tuple[str, str]:
    assert tolerance.margin is not None
    difference = value - reported.value
    if tolerance.rule == "relative":
        difference /= reported.value
        shown, margin = f"{difference:+.2%}", f"±{tolerance.margin:.2%}"
    else:
        shown, margin = f"{difference:+.4g}", f"±{tolerance.margin:g}"
    # Half a rounding error of binary floats must not decide at the very edge.
    holds = abs(difference) <= tolerance.margin * (1 + 1e-9)
    verdict = REPRODUCED if holds else NOT_REPRODUCED
    return verdict, f"off the print by {shown}, {'within' if holds else 'outside'} {margin}"


def _bound(
    reported: printed.Printed, found: Estimate, tolerance: Tolerance, deterministic: bool
) -> tuple[str, str]:
    sign = 1.0 if reported.bound == ">" else -1.0
    if deterministic:
        holds = sign * (found.mean - reported.value) > 0
        return (
            REPRODUCED if holds else NOT_REPRODUCED
        ), f"{found.mean:.4g}, bound {reported.text}"
    needed = tolerance.min_seeds or 2
    if found.n < needed:
        return INCONCLUSIVE, f"{found.n} of at least {needed} seeds"
    shown = f"interval {_range(found)}, bound {reported.text}"
    if min(sign * (found.low - reported.value), sign * (found.high - reported.value)) > 0:
        return REPRODUCED, shown
    if max(sign * (found.low - reported.value), sign * (found.high - reported.value)) < 0:
        return NOT_REPRODUCED, shown
    return INCONCLUSIVE, shown + ": the interval holds the bound"


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
    if reported.spread is not None and runs and found.n >= 2:
        p = statistics.welch(values, reported.value, reported.spread, runs)
        why += f" (Welch's t-test against {reported.text} of {runs} runs: p = {p:.2g})"
    if found.n < tolerance.min_seeds:
        return INCONCLUSIVE, f"{found.n} of at least {tolerance.min_seeds} seeds; {why}"
    return (REPRODUCED if abs(difference) <= margin else NOT_REPRODUCED), why


def _paper_runs(protocol: str) -> int:
    """How many runs a print averages, from a protocol's hint such as `5 runs`."""
    for hint in protocol.split(";"):
        words = hint.split()
        if len(words) == 2 and words[1] == "runs" and words[0].isdigit():
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
    pairs = zip(prints, measured.values(), strict=True)
    wrong = [
        f"{format_number(v)} does not round to {p.text}" for p, v in pairs if not p.matches(v)
    ]
    if wrong:
        return Outcome(NOT_REPRODUCED, measured, None, 1, "; ".join(wrong))
    return Outcome(REPRODUCED, measured, None, 1, f"all {len(prints)} round to their prints")


@dataclass(frozen=True)
class _Step:
    """One step of an order: the second term minus the first, seed by seed."""

    name: str
    difference: Estimate
    state: str  # holds, reversed, undecided, or set aside


def _ordering(
    test: Ordering,
    tolerance: Tolerance,
    lookup: Lookup,
    deterministic: bool,
    published: Callable[[str], float | None],
) -> Outcome:
    gaps = []
    for low, high in zip(test.ascending, test.ascending[1:], strict=False):
        prints = [published(test.printed.format(t)) for t in (low, high)] if test.printed else []
        known = [p for p in prints if p is not None]
        gaps.append(known[1] - known[0] if len(known) == 2 else None)
    steps = _steps(test.measures, test.ascending, tolerance, lookup, deterministic, gaps)
    return _judge_steps(test.measures, test.ascending, steps, lookup, tolerance, deterministic)


def _steps(
    measures: Sequence[str],
    ascending: Sequence[str | int],
    tolerance: Tolerance,
    lookup: Lookup,
    deterministic: bool,
    gaps: Sequence[float | None],
) -> list[_Step]:
    steps = []
    for measure in measures:
        for i, (low, high) in enumerate(zip(ascending, ascending[1:], strict=False)):
            values = combine_by_seed([_look(measure, high, lookup)], [_look(measure, low, lookup)])
            found = estimate(list(values.values()))
            gap = gaps[i]
            small = (
                not deterministic
                and gap is not None
                and tolerance.deviations is not None
                and gap < tolerance.deviations * found.deviation
            )
            state = "set aside" if small else _sign(found, 0.0, deterministic)
            steps.append(_Step(f"{low} < {high}", found, state))
    return steps


def _look(measure: str, term: str | int, lookup: Lookup) -> BySeed:
    return lookup(selectors.parse(measure.format(term)))


def _sign(found: Estimate, bound: float, deterministic: bool) -> str:
    low, high = (found.mean, found.mean) if deterministic else (found.low, found.high)
    if low > bound:
        return "holds"
    return "reversed" if high < bound else "undecided"


def _judge_steps(
    measures: Sequence[str],
    terms: Sequence[str | int],
    steps: Sequence[_Step],
    lookup: Lookup,
    tolerance: Tolerance,
    deterministic: bool,
) -> Outcome:
    measured = _means(measures, terms, lookup)
    counted = [s for s in steps if s.state != "set aside"]
    weakest = min(counted or steps, key=lambda s: s.difference.low)
    interval = None if deterministic else _finite(weakest.difference)
    n = min(s.difference.n for s in steps)
    why = "; ".join(f"{s.name} {s.state} ({_difference(s.difference)})" for s in steps)
    if not deterministic and n < (tolerance.min_seeds or 2):
        why = f"{n} of at least {tolerance.min_seeds} paired seeds; {why}"
        return Outcome(INCONCLUSIVE, measured, interval, n, why)
    states = {s.state for s in counted}
    if "reversed" in states:
        verdict = NOT_REPRODUCED
    elif states == {"holds"}:
        verdict = REPRODUCED
    else:
        verdict = INCONCLUSIVE
    return Outcome(verdict, measured, interval, n, why)


def _trend(test: Trend, tolerance: Tolerance, lookup: Lookup, deterministic: bool) -> Outcome:
    """A trend holds if the ends differ as claimed and no step in between is reversed.

    The steps themselves need not be separable: a trend is a statement about the axis.
    """
    ascending = test.along if test.direction == "rises" else test.along[::-1]
    steps: list[_Step] = []
    verdicts = []
    for measure in test.measures:
        inner = _steps(
            [measure], ascending, tolerance, lookup, deterministic, [None] * len(ascending)
        )
        ends = _steps(
            [measure], [ascending[0], ascending[-1]], tolerance, lookup, deterministic, [None]
        )
        means = [s.difference.mean > 0 for s in inner]
        if any(s.state == "reversed" for s in (*inner, *ends)):
            verdicts.append(NOT_REPRODUCED)
        elif ends[0].state == "holds" and all(means):
            verdicts.append(REPRODUCED)
        else:
            verdicts.append(INCONCLUSIVE)
        steps += ends + inner
    joined = _judge_steps(test.measures, test.along, steps, lookup, tolerance, deterministic)
    if not deterministic and joined.n < (tolerance.min_seeds or 2):
        return joined
    verdict = next((v for v in (NOT_REPRODUCED, INCONCLUSIVE) if v in verdicts), REPRODUCED)
    return Outcome(verdict, joined.measured, joined.interval, joined.n, joined.why)


def _gap(
    claim: Claim, test: Gap, tolerance: Tolerance, lookup: Lookup, deterministic: bool
) -> Outcome:
    plus = [lookup(selectors.parse(text)) for text in test.plus]
    minus = [lookup(selectors.parse(text)) for text in test.minus]
    found = estimate(list(combine_by_seed(plus, minus).values()))
    interval = None if deterministic else _finite(found)
    if deterministic and tolerance.rule == "within":
        verdict, why = _margin(printed.parse(claim.reported), found.mean, tolerance)
        return Outcome(verdict, found.mean, interval, found.n, why)
    bound = test.at_least if test.at_least is not None else 0.0
    needed = tolerance.min_seeds or 2
    why = f"gap {_difference(found)}, claimed at least {bound:g}"
    if not deterministic and found.n < needed:
        return Outcome(
            INCONCLUSIVE,
            found.mean,
            interval,
            found.n,
            f"{found.n} of at least {needed} paired seeds; {why}",
        )
    state = _sign(found, bound, deterministic)
    verdict = {"holds": REPRODUCED, "reversed": NOT_REPRODUCED}.get(state, INCONCLUSIVE)
    return Outcome(verdict, found.mean, interval, found.n, why)


def _means(
    measures: Sequence[str], terms: Sequence[str | int], lookup: Lookup
) -> dict[str, float]:
    means = {}
    for measure in measures:
        suffix = "" if len(measures) == 1 else f" {measure.rpartition('.')[2]}"
        for term in terms:
            values = list(_look(measure, term, lookup).values())
            means[f"{term}{suffix}"] = math.fsum(values) / len(values)
    return means


def _only(values: BySeed) -> float:
    (value,) = values.values()
    return value


def _finite(found: Estimate) -> tuple[float, float] | None:
    return None if found.n < 2 else (found.low, found.high)


def _range(found: Estimate) -> str:
    return f"[{found.low:.3g}, {found.high:.3g}]"


def _difference(found: Estimate) -> str:
    if found.n < 2:
        return f"{found.mean:+.3g}"
    return f"{found.mean:+.3g}, interval {_range(found)}"


def format_number(value: float) -> str:
    """Whole numbers with thousands separators, others with five significant digits."""
    return f"{int(value):,}" if float(value).is_integer() else f"{value:.5g}"
