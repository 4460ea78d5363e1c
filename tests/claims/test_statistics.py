"""Intervals over seeds, against scipy, a textbook and simulation."""

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats

from replab.claims import statistics

NUMBERS = st.lists(st.floats(min_value=-1e3, max_value=1e3), min_size=2, max_size=12)


def test_a_textbook_interval():
    # Student's sleep data (1908), drug 2 minus drug 1: mean 1.58, s.d. 1.23, t(9) = 2.262.
    gains = [1.2, 2.4, 1.3, 1.3, 0.0, 1.0, 1.8, 0.8, 4.6, 1.4]
    found = statistics.estimate(gains)
    assert found.mean == pytest.approx(1.58)
    assert found.deviation == pytest.approx(1.2300, abs=5e-5)
    assert (found.low, found.high) == (
        pytest.approx(0.7001, abs=5e-5),
        pytest.approx(2.4599, abs=5e-5),
    )


@given(NUMBERS, st.sampled_from([0.9, 0.95, 0.99]))
def test_intervals_are_scipys(values, level):
    found = statistics.estimate(values, level)
    assume(found.deviation > 1e-9)
    low, high = stats.t.interval(level, len(values) - 1, np.mean(values), stats.sem(values))
    assert found.mean == pytest.approx(np.mean(values), abs=1e-9)
    assert found.deviation == pytest.approx(np.std(values, ddof=1), rel=1e-9, abs=1e-12)
    near = 1e-9 * (high - low) + 1e-9
    assert (found.low, found.high) == (
        pytest.approx(low, abs=near),
        pytest.approx(high, abs=near),
    )


def test_quantiles_have_ten_digits_so_that_every_release_of_scipy_gives_the_same():
    for degrees in range(1, 30):
        found = statistics.t_quantile(degrees, 0.95)
        assert found == pytest.approx(stats.t.ppf(0.975, degrees), rel=1e-9)
        assert found == float(f"{found:.10g}")


def test_one_value_has_no_interval_and_none_no_estimate():
    found = statistics.estimate([3.0])
    assert (found.mean, found.deviation, found.n) == (3.0, 0.0, 1)
    assert (found.low, found.high) == (-math.inf, math.inf)
    with pytest.raises(ValueError, match="no values"):
        statistics.estimate([])


def test_equal_values_have_an_interval_of_no_width():
    found = statistics.estimate([2.5, 2.5, 2.5])
    assert (found.low, found.mean, found.high) == (2.5, 2.5, 2.5)


def test_coverage_of_both_intervals_by_simulation():
    rng = np.random.default_rng(0)
    draws, n, new = 4000, 3, 2
    samples, further = rng.normal(5.0, 2.0, (draws, n)), rng.normal(5.0, 2.0, (draws, new))
    mean = next_ones = 0
    for old, fresh in zip(samples.tolist(), further.tolist(), strict=True):
        found = statistics.estimate(old)
        mean += found.low <= 5.0 <= found.high
        low, high = statistics.prediction_interval(old, 0.99, new=new)
        next_ones += low <= sum(fresh) / new <= high
    # Three standard errors of a share of 4000 draws.
    assert mean / draws == pytest.approx(0.95, abs=3 * math.sqrt(0.95 * 0.05 / draws))
    assert next_ones / draws == pytest.approx(0.99, abs=3 * math.sqrt(0.99 * 0.01 / draws))


def test_a_prediction_interval_by_hand():
    # n = 3, s = 1, t(2) at 99 % = 9.925; one further value: × sqrt(1 + 1/3).
    low, high = statistics.prediction_interval([1.0, 2.0, 3.0], 0.99)
    assert high - 2.0 == pytest.approx(9.92484 * math.sqrt(4 / 3), rel=1e-5)
    assert 2.0 - low == pytest.approx(high - 2.0)
    narrower = statistics.prediction_interval([1.0, 2.0, 3.0], 0.99, new=3)
    assert narrower[1] - 2.0 == pytest.approx(9.92484 * math.sqrt(2 / 3), rel=1e-5)
    assert statistics.prediction_interval([1.0], 0.99) == (-math.inf, math.inf)


@given(NUMBERS)
def test_a_prediction_interval_holds_the_interval_of_the_mean(values):
    known = statistics.estimate(values)
    low, high = statistics.prediction_interval(values, statistics.LEVEL)
    assert low <= known.low <= known.high <= high


def test_pairs_are_made_of_common_seeds_only():
    plus = [{0: 1.0, 1: 2.0, 2: 4.0}, {2: 10.0, 1: 20.0}]
    minus = [{1: 0.5, 2: 0.25, 7: 9.0}]
    assert statistics.combine_by_seed(plus, minus) == {1: 21.5, 2: 13.75}
    assert statistics.combine_by_seed([{3: 1.0}], []) == {3: 1.0}
    with pytest.raises(ValueError, match="no seed in common"):
        statistics.combine_by_seed([{0: 1.0}], [{1: 1.0}])


def test_pairing_takes_out_what_seeds_share():
    shared = {seed: 10.0 * seed for seed in range(4)}
    better = {seed: value + 1 for seed, value in shared.items()}
    found = statistics.estimate(list(statistics.combine_by_seed([better], [shared]).values()))
    assert (found.mean, found.deviation) == (1.0, 0.0)


def test_welch_is_scipys_on_the_values_themselves():
    ours, theirs = [6.5, 6.7, 6.4, 6.9, 6.6], [6.43, 6.61, 6.55, 6.8, 6.66]
    expected = stats.ttest_ind(ours, theirs, equal_var=False).pvalue
    found = statistics.welch(ours, float(np.mean(theirs)), float(np.std(theirs, ddof=1)), 5)
    assert found == pytest.approx(expected, rel=1e-9)


def test_welch_without_any_spread():
    assert statistics.welch([1.0, 1.0], 1.0, 0.0, 5) == 1.0
    assert statistics.welch([1.0, 1.0], 2.0, 0.0, 5) == 0.0
    with pytest.raises(ValueError, match="two values or more"):
        statistics.welch([1.0], 2.0, 0.1, 5)
    with pytest.raises(ValueError, match="two values or more"):
        statistics.welch([1.0, 2.0], 2.0, 0.1, 1)
