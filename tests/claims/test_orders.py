"""Verdicts from differences: orderings, trends, gaps and gaps of gaps."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from replab.claims import orders, selectors, statistics
from replab.claims.paper_file import Gap, Ordering, Tolerance, Trend
from replab.claims.schema import Claim
from replab.claims.verdicts import INCONCLUSIVE, NOT_REPRODUCED, REPRODUCED, decide

WHY = "A reason of some length."
ORDER = Tolerance(rule="order", deviations=2, min_seeds=3, why=WHY)
GAP = Tolerance(rule="within", margin=0.2, why=WHY)
THRESHOLD = Tolerance(rule="threshold", min_seeds=4, why=WHY)
MEASURE = "e[d={}].m"


def judge(test, numbers, tolerance=ORDER, *, fixed=False, reported="a < b", prints=None):
    """The outcome of a test on `term → values` (a list by seed, or seed → value)."""
    by_seed = {
        str(term): values if isinstance(values, dict) else dict(enumerate(values))
        for term, values in numbers.items()
    }
    claim = Claim(
        id="a.b",
        locus="Table 1",
        kind="ordering",
        metric="m",
        reported=reported,
        unit="percent",
        source="P",
        protocol="",
        tolerance="T",
        gate=True,
        note="",
        test=test,
    )

    def lookup(selector: selectors.Selector):
        term = dict(selector.variant)["d"]
        return by_seed[term if selector.metric == "m" else f"{term} {selector.metric}"]

    return decide(
        claim,
        tolerance,
        lookup,
        deterministic=fixed,
        published=lambda other: (prints or {}).get(other),
    )


def around(mean, spread=0.01):
    """Three seeds about a mean."""
    return [mean - spread, mean, mean + spread]


def shaken(mean, spread):
    """Three seeds about a mean, in another order, so that differences of pairs vary."""
    return [mean + spread, mean - spread, mean]


UP = Ordering(measures=[MEASURE], ascending=["a", "b", "c"])


@pytest.mark.parametrize(
    ("numbers", "verdict"),
    [
        ({"a": around(1), "b": shaken(2, 0.1), "c": around(3)}, REPRODUCED),
        ({"a": around(2), "b": shaken(1, 0.1), "c": around(3)}, NOT_REPRODUCED),
        ({"a": around(1), "b": shaken(3, 0.1), "c": around(2)}, NOT_REPRODUCED),
        ({"a": around(1), "b": shaken(1.1, 0.5), "c": around(9)}, INCONCLUSIVE),
        ({"a": around(1), "b": shaken(0.9, 0.5), "c": around(9)}, INCONCLUSIVE),
        ({"a": around(1), "b": around(1), "c": around(2)}, INCONCLUSIVE),  # no difference at all
    ],
)
def test_an_ordering_needs_every_step(numbers, verdict):
    found = judge(UP, numbers)
    assert found.verdict == verdict
    assert list(found.measured) == ["a", "b", "c"]
    assert found.measured["c"] == pytest.approx(sum(numbers["c"]) / 3)
    assert found.n == 3
    assert found.why.count("interval") == 2


def test_the_interval_of_an_ordering_is_that_of_the_step_that_decides():
    numbers = {"a": around(1), "b": shaken(5, 0.1), "c": shaken(5.5, 0.1)}
    found = judge(UP, numbers)
    expected = statistics.estimate(
        [c - b for c, b in zip(numbers["c"], numbers["b"], strict=True)]
    )
    assert found.interval == (expected.low, expected.high)
    # A reversed step decides, even where another one reaches further down.
    numbers = {"a": around(2), "b": around(1), "c": shaken(1.5, 2.0)}
    found = judge(UP, numbers)
    assert found.verdict == NOT_REPRODUCED
    assert found.interval == (pytest.approx(-1), pytest.approx(-1))


def test_too_few_seeds_decide_nothing():
    for n in (1, 2):
        found = judge(UP, {"a": [1.0] * n, "b": [2.0] * n, "c": [3.0] * n})
        assert (found.verdict, found.n) == (INCONCLUSIVE, n)
        assert found.why.startswith(f"{n} of at least 3 paired seeds; ")
        assert (found.interval is None) == (n == 1)


def test_seeds_without_spread_still_have_a_sign():
    found = judge(UP, {"a": [1.0] * 3, "b": [2.0] * 3, "c": [3.0] * 3})
    assert (found.verdict, found.interval) == (REPRODUCED, (1.0, 1.0))


def test_pairing_separates_what_the_seeds_share():
    seeds = [0.0, 10.0, 20.0]
    numbers = {t: [s + m for s in seeds] for t, m in (("a", 1), ("b", 1.1), ("c", 1.2))}
    assert judge(UP, numbers).verdict == REPRODUCED


def test_only_common_seeds_count():
    numbers = {
        "a": {0: 1.0, 1: 1.1, 2: 0.9, 3: 1.0},
        "b": {1: 2.0, 2: 2.2, 3: 2.1, 4: 0.0},
        "c": {1: 3.0, 2: 3.1, 3: 2.9},
    }
    found = judge(UP, numbers)
    assert (found.verdict, found.n) == (REPRODUCED, 3)
    with pytest.raises(ValueError, match="no seed in common"):
        judge(UP, numbers | {"c": {9: 1.0}})


PRINTED = Ordering(measures=[MEASURE], ascending=["a", "b", "c"], printed="t.{}")


def test_a_step_with_a_small_published_gap_is_shown_and_does_not_count():
    # The differences of a and b vary by 0.3: twice that is more than the published 0.2.
    numbers = {"a": [1.0, 1.3, 1.6], "b": [1.2, 1.2, 1.2], "c": [4.0, 4.0, 4.0]}
    prints = {"t.a": 1.0, "t.b": 1.2, "t.c": 4.0}
    found = judge(PRINTED, numbers, prints=prints)
    assert found.verdict == REPRODUCED
    assert "a < b set aside (-0.1, interval" in found.why
    assert judge(UP, numbers).verdict == INCONCLUSIVE
    # With a published gap that seeds cannot hide, the same numbers do not suffice.
    assert judge(PRINTED, numbers, prints=prints | {"t.a": 0.5}).verdict == INCONCLUSIVE
    # A print that is not known sets nothing aside.
    assert judge(PRINTED, numbers, prints={"t.a": 1.0}).verdict == INCONCLUSIVE


def test_a_gap_of_just_twice_the_spread_counts():
    numbers = {"a": [1.0, 2.0, 3.0], "b": [9.0, 9.0, 9.0], "c": [12.0, 12.0, 12.0]}
    prints = {"t.a": 0.0, "t.b": 2.0, "t.c": 4.0}  # the spread of b − a is 1
    assert "set aside" not in judge(PRINTED, numbers, prints=prints).why
    assert "set aside" in judge(PRINTED, numbers, prints=prints | {"t.b": 1.99}).why


def test_if_every_step_is_set_aside_nothing_is_claimed():
    numbers = {"a": [1.0, 2.0, 3.0], "b": [5.0, 4.0, 6.0], "c": [7.0, 9.0, 8.0]}
    prints = {"t.a": 1.0, "t.b": 1.01, "t.c": 1.02}
    found = judge(PRINTED, numbers, prints=prints)
    assert found.verdict == INCONCLUSIVE
    assert found.why.startswith("no step counts, every published gap is inside the noise")
    # Nor is it refuted.
    found = judge(PRINTED, {**numbers, "c": [1.0, 0.5, 2.0]}, prints=prints)
    assert found.verdict == INCONCLUSIVE


def test_numbers_that_one_run_settles_are_ordered_strictly_and_never_set_aside():
    prints = {"t.a": 1.0, "t.b": 1.0, "t.c": 1.0}
    found = judge(PRINTED, {"a": [1.0], "b": [1.1], "c": [1.2]}, fixed=True, prints=prints)
    assert (found.verdict, found.interval, found.n) == (REPRODUCED, None, 1)
    found = judge(UP, {"a": [1.0], "b": [1.0], "c": [1.2]}, fixed=True)
    assert found.verdict == NOT_REPRODUCED
    assert "a < b equal (+0)" in found.why
    assert judge(UP, {"a": [1.0], "b": [2.0], "c": [1.2]}, fixed=True).verdict == NOT_REPRODUCED


def test_each_measure_must_show_the_order_and_is_named():
    test = Ordering(measures=[MEASURE, "e[d={}].other"], ascending=["a", "b"])
    numbers = {"a": around(1), "b": around(2), "a other": around(2), "b other": shaken(1, 0.1)}
    found = judge(test, numbers)
    assert found.verdict == NOT_REPRODUCED
    assert list(found.measured) == ["a m", "b m", "a other", "b other"]
    assert "a < b other reversed" in found.why
    assert "a < b m holds" in found.why


def test_measures_with_one_metric_are_not_mixed_up():
    test = Ordering(measures=[MEASURE, "f[d={}].m"], ascending=["a", "b"])
    found = judge(test, {"a": around(1), "b": around(2)})
    assert len(found.measured) == 4


FALLS = Trend(measures=[MEASURE], along=["a", "b", "c", "d"], direction="falls")
RISES = Trend(measures=[MEASURE], along=["a", "b", "c", "d"], direction="rises")


@pytest.mark.parametrize(
    ("numbers", "verdict"),
    [
        # The steps in between need not be separable, the ends must be.
        ([around(1), shaken(1.1, 0.2), around(1.2), shaken(2, 0.1)], REPRODUCED),
        ([around(1), around(1), around(1.2), around(2)], REPRODUCED),  # a level stretch
        ([around(1), shaken(1.2, 0.3), around(1.1), around(2)], INCONCLUSIVE),  # a dip in the mean
        ([around(1), around(1.5), around(1.2), around(2)], NOT_REPRODUCED),  # a dip that is real
        ([around(2), around(2.1), around(2.2), around(1)], NOT_REPRODUCED),  # the ends reversed
        ([around(1), around(1.1), around(1.2), shaken(1.3, 0.5)], INCONCLUSIVE),
    ],
)
def test_trends(numbers, verdict):
    named = dict(zip("abcd", numbers, strict=True))
    rising = judge(RISES, named)
    assert rising.verdict == verdict
    falling = judge(FALLS, {t: [-v for v in values] for t, values in named.items()})
    assert falling.verdict == verdict
    assert falling.interval == rising.interval


def test_the_interval_of_a_trend_is_that_of_its_ends():
    numbers = {"a": around(1), "b": shaken(1.1, 0.2), "c": around(1.2), "d": shaken(2, 0.1)}
    found = judge(RISES, numbers)
    expected = statistics.estimate(
        [d - a for a, d in zip(numbers["a"], numbers["d"], strict=True)]
    )
    assert found.interval == (expected.low, expected.high)
    assert found.why.startswith("a < d holds (+1, interval")
    two = Trend(measures=[MEASURE, "e[d={}].o"], along=["a", "b", "c", "d"], direction="rises")
    weak = {f"{t} o": [v / 10 for v in values] for t, values in numbers.items()}
    found = judge(two, numbers | weak)
    assert found.interval == (pytest.approx(expected.low / 10), pytest.approx(expected.high / 10))


def test_a_trend_with_too_few_seeds_or_a_failing_measure():
    found = judge(RISES, {t: [float(i)] * 2 for i, t in enumerate("abcd")})
    assert (found.verdict, found.n) == (INCONCLUSIVE, 2)
    assert found.why.startswith("2 of at least 3 paired seeds")
    two = Trend(measures=[MEASURE, "e[d={}].o"], along=["a", "b", "c"], direction="rises")
    numbers = {"a": around(1), "b": around(2), "c": around(3)}
    flat = {"a o": around(1), "b o": shaken(1, 1), "c o": shaken(1, 1)}
    assert judge(two, numbers | flat).verdict == INCONCLUSIVE
    back = {"a o": around(3), "b o": around(2), "c o": around(1)}
    assert judge(two, numbers | back).verdict == NOT_REPRODUCED


@pytest.mark.parametrize(
    ("values", "verdict"),
    [
        ([1, 2, 2, 3], REPRODUCED),
        ([1, 2, 1.9, 3], NOT_REPRODUCED),
        ([1, 1, 1, 1], NOT_REPRODUCED),
    ],
)
def test_trends_of_numbers_that_one_run_settles(values, verdict):
    numbers = {t: [float(v)] for t, v in zip("abcd", values, strict=True)}
    found = judge(RISES, numbers, fixed=True)
    assert (found.verdict, found.interval) == (verdict, None)


LESS = Trend(measures=[MEASURE], minus="e[d={}].o", along=["a", "b", "c"], direction="falls")


@pytest.mark.parametrize(
    ("gaps", "verdict"),
    [
        ((6.3, 4.0, 3.6), REPRODUCED),
        ((6.3, 4.0, 4.0), REPRODUCED),  # a level stretch
        ((6.3, 3.6, 4.0), NOT_REPRODUCED),
        ((3.6, 4.0, 6.3), NOT_REPRODUCED),
        ((4.0, 4.0, 4.0), INCONCLUSIVE),
    ],
)
def test_a_trend_of_differences_looks_at_the_differences_alone(gaps, verdict):
    """The numbers themselves rise; their seeds scatter by more than the gaps, but together."""
    ours, theirs = {}, {}
    for term, own, apart in zip("abc", (65.5, 74.4, 75.8), gaps, strict=True):
        luck = shaken(0, 3)
        ours[term] = [own + seed for seed in luck]
        theirs[f"{term} o"] = [own - apart + seed for seed in luck]
    found = judge(LESS, ours | theirs)
    assert found.verdict == verdict
    assert found.measured == {t: pytest.approx(g) for t, g in zip("abc", gaps, strict=True)}
    assert found.n == 3
    mirrored = Trend(**{**LESS.model_dump(), "along": ["c", "b", "a"], "direction": "rises"})
    assert judge(mirrored, ours | theirs).verdict == verdict
    assert judge(LESS.model_copy(update={"minus": None}), ours).verdict == NOT_REPRODUCED


def test_the_interval_of_a_trend_of_differences_is_paired_over_all_four():
    ours = {"a": [9.0, 9.4, 9.1], "b": [8.0, 8.3, 8.0], "c": [7.0, 7.1, 7.4]}
    theirs = {"a o": [1.0, 1.1, 1.0], "b o": [1.5, 1.4, 1.5], "c o": [2.0, 2.3, 2.1]}
    found = judge(LESS, ours | theirs)
    ends = [
        (a - a_less) - (c - c_less)
        for a, a_less, c, c_less in zip(
            ours["a"], theirs["a o"], ours["c"], theirs["c o"], strict=True
        )
    ]
    expected = statistics.estimate(ends)
    assert found.interval == (pytest.approx(expected.low), pytest.approx(expected.high))
    assert found.why.startswith("c < a holds (+")
    # A seed that one of the runs lacks is no pair.
    fewer = theirs | {"b o": {0: 1.5, 2: 1.5}, "c o": {0: 2.0, 2: 2.1}}
    assert judge(LESS, ours | fewer).verdict == INCONCLUSIVE


def test_a_trend_of_differences_of_numbers_that_one_run_settles():
    ours, theirs = (
        {t: [float(v)] for t, v in zip("abc", row, strict=True)} for row in ((3, 4, 5), (0, 2, 4))
    )
    numbers = ours | {f"{t} o": v for t, v in theirs.items()}
    found = judge(LESS, numbers, fixed=True)
    assert (found.verdict, found.measured) == (REPRODUCED, {"a": 3.0, "b": 2.0, "c": 1.0})
    numbers["b o"] = [5.0]
    assert judge(LESS, numbers, fixed=True).verdict == NOT_REPRODUCED


def gap(plus, minus, at_least=None):
    return Gap(
        plus=[MEASURE.format(t) for t in plus],
        minus=[MEASURE.format(t) for t in minus],
        at_least=at_least,
    )


@pytest.mark.parametrize(
    ("difference", "at_least", "verdict"),
    [
        (1.0, None, REPRODUCED),
        (-1.0, None, NOT_REPRODUCED),
        (0.0, None, INCONCLUSIVE),
        (1.0, 0.5, REPRODUCED),
        (1.0, 1.5, NOT_REPRODUCED),
        (1.0, 1.0, INCONCLUSIVE),
    ],
)
def test_gaps_over_seeds(difference, at_least, verdict):
    numbers = {"a": around(5), "b": shaken(5 + difference, 0.05)}
    found = judge(gap("b", "a", at_least), numbers)
    assert found.verdict == verdict
    assert found.measured == pytest.approx(difference)
    assert found.interval[0] < difference < found.interval[1]


def test_a_gap_of_gaps_is_paired_over_all_four():
    shared = np.array([0.0, 3.0, -2.0])
    numbers = {
        "p56": (shared + 2.0).tolist(),
        "p20": (2 * shared + 1.0).tolist(),
        "r56": (shared + 1.1).tolist(),
        "r20": (2 * shared + 1.0).tolist(),
    }
    found = judge(gap(["p56", "r20"], ["p20", "r56"]), numbers)
    assert found.verdict == REPRODUCED
    assert found.measured == pytest.approx(0.9)
    assert judge(gap(["p56", "r20"], ["p20", "r56"], 1.0), numbers).verdict == NOT_REPRODUCED


def test_gaps_with_too_few_seeds_for_their_class():
    numbers = {"a": [1.0, 1.0, 1.0], "b": [3.0, 3.1, 3.2]}
    found = judge(gap("b", "a"), numbers, THRESHOLD)
    assert found.verdict == INCONCLUSIVE
    assert found.why.startswith("3 of at least 4 paired seeds; gap +2.1")
    # A margin is for released weights; own trainings go by the sign, over three seeds or more.
    assert judge(gap("b", "a"), numbers, GAP, reported="+2.0").verdict == REPRODUCED
    two = {t: values[:2] for t, values in numbers.items()}
    found = judge(gap("b", "a"), two, GAP, reported="+2.0")
    assert (found.verdict, found.why[:30]) == (INCONCLUSIVE, "2 of at least 3 paired seeds; ")
    one = {t: values[:1] for t, values in numbers.items()}
    assert judge(gap("b", "a"), one).interval is None


@pytest.mark.parametrize(
    ("value", "verdict"), [(2.0, REPRODUCED), (1.8, REPRODUCED), (2.21, NOT_REPRODUCED)]
)
def test_gaps_of_released_weights_are_compared_with_the_print(value, verdict):
    found = judge(
        gap("b", "a"), {"a": [70.4], "b": [70.4 + value]}, GAP, fixed=True, reported="+2.0"
    )
    assert (found.verdict, found.interval) == (verdict, None)
    assert "±0.2" in found.why


@pytest.mark.parametrize(
    ("value", "at_least", "verdict"),
    [
        (3.0, 3.0, REPRODUCED),
        (74.4 - 71.4, 3.0, REPRODUCED),  # a little less in floats
        (2.99, 3.0, NOT_REPRODUCED),
        (0.0, None, NOT_REPRODUCED),
        (0.1, None, REPRODUCED),
    ],
)
def test_bounds_of_gaps_that_one_run_settles(value, at_least, verdict):
    found = judge(gap("b", [], at_least), {"b": [value]}, fixed=True)
    assert found.verdict == verdict


@settings(max_examples=50)
@given(
    st.lists(
        st.lists(st.floats(min_value=-50, max_value=50), min_size=3, max_size=3),
        min_size=3,
        max_size=3,
    ),
    st.floats(min_value=-1000, max_value=1000),
)
def test_what_all_runs_of_a_seed_share_changes_no_verdict(values, shift):
    numbers = dict(zip("abc", values, strict=True))
    moved = {t: [v + 2.0**10, *rest] for t, (v, *rest) in numbers.items()}
    plain, shifted = judge(UP, numbers), judge(UP, moved)
    assert all(map(math.isfinite, plain.interval))
    if min(abs(e) for e in plain.interval) > 1e-6:
        assert shifted.verdict == plain.verdict
    reverse = Ordering(measures=[MEASURE], ascending=["c", "b", "a"])
    if plain.verdict == REPRODUCED:
        assert judge(reverse, numbers).verdict == NOT_REPRODUCED
    # An ordering that holds is a trend that holds.
    if plain.verdict == REPRODUCED:
        trend = Trend(measures=[MEASURE], along=["a", "b", "c"], direction="rises")
        assert judge(trend, numbers).verdict == REPRODUCED


def test_error_rates_of_the_sign_rule():
    # Two nets that are equal: in 5 % of draws the interval excludes zero, half of them each way.
    rng = np.random.default_rng(1)
    verdicts = [
        judge(gap("b", "a"), {"a": a.tolist(), "b": b.tolist()}).verdict
        for a, b in rng.normal(size=(2000, 2, 3))
    ]
    three_errors = 3 * math.sqrt(0.025 * 0.975 / 2000)
    assert verdicts.count(REPRODUCED) / 2000 == pytest.approx(0.025, abs=three_errors)
    assert verdicts.count(NOT_REPRODUCED) / 2000 == pytest.approx(0.025, abs=three_errors)


@pytest.mark.parametrize(
    ("measures", "suffixes"),
    [
        (["e[n={}].loss"], [""]),
        (["e[n={}].loss", "e[n={}].error"], [" loss", " error"]),
        (["e[n={},d=20].std", "e[n={},d=56].std"], [" d=20", " d=56"]),
        (["e[n={}].std", "f[n={}].std"], [" e", " f"]),
    ],
)
def test_several_measures_are_told_apart_in_few_words(measures, suffixes):
    assert [orders._suffix(m, measures) for m in measures] == suffixes
