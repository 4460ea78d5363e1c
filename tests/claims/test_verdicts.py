"""Verdicts on single numbers, equalities and columns."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replab.claims import selectors
from replab.claims.paper_file import Column, Equality, Tolerance
from replab.claims.schema import Claim
from replab.claims.verdicts import (
    INCONCLUSIVE,
    NOT_REPRODUCED,
    REPRODUCED,
    Outcome,
    decide,
    format_number,
)

WHY = "A reason of some length."
EQUAL = Tolerance(rule="equal", why=WHY)
PRINTED = Tolerance(rule="printed", why=WHY)
WITHIN = Tolerance(rule="within", margin=0.1, why=WHY)
RELATIVE = Tolerance(rule="relative", margin=0.02, why=WHY)
THRESHOLD = Tolerance(rule="threshold", min_seeds=3, why=WHY)
SEEDS = Tolerance(rule="seeds", margin=0.35, deviations=2, min_seeds=5, why=WHY)
ORDER = Tolerance(rule="order", deviations=2, min_seeds=3, why=WHY)


def claim(reported="8.75", *, test=None, kind="value", protocol=""):
    return Claim(
        id="a.b",
        locus="Table 1",
        kind=kind,
        metric="m",
        reported=reported,
        unit="percent",
        source="P",
        protocol=protocol,
        tolerance="T",
        gate=True,
        note="",
        test=test,
        selector=None if test else selectors.parse("e[].m"),
    )


def fixed(reported, value, tolerance) -> Outcome:
    return decide(claim(reported), tolerance, lambda s: {0: value}, deterministic=True)


def seeded(reported, values, tolerance, protocol="") -> Outcome:
    numbers = dict(enumerate(values))
    made = claim(reported, protocol=protocol)
    return decide(made, tolerance, lambda s: numbers, deterministic=False)


@pytest.mark.parametrize(
    ("reported", "value", "tolerance", "verdict"),
    [
        ("269722", 269722, EQUAL, REPRODUCED),
        ("269722", 269723, EQUAL, NOT_REPRODUCED),
        ("0.27M", 269722, PRINTED, REPRODUCED),
        ("0.28M", 269722, PRINTED, NOT_REPRODUCED),
        ("8.27", 8.2749, PRINTED, REPRODUCED),
        ("76.4", 76.5, WITHIN, REPRODUCED),  # in floats the difference is not quite 0.1
        ("1.0", 1.1, WITHIN, REPRODUCED),  # here it is a little more
        ("76.4", 76.3, WITHIN, REPRODUCED),
        ("76.4", 76.51, WITHIN, NOT_REPRODUCED),
        ("76.4", 76.29, WITHIN, NOT_REPRODUCED),
        ("3.6G", 3.672e9, RELATIVE, REPRODUCED),
        ("3.6G", 3.68e9, RELATIVE, NOT_REPRODUCED),
        ("3.6", 3.5, RELATIVE, NOT_REPRODUCED),
        ("> 60", 61.0, THRESHOLD, REPRODUCED),
        ("> 60", 60.0, THRESHOLD, NOT_REPRODUCED),
        ("< 10", 9.9, THRESHOLD, REPRODUCED),
        ("< 10", 10.0, THRESHOLD, NOT_REPRODUCED),
    ],
)
def test_numbers_that_one_run_settles(reported, value, tolerance, verdict):
    found = fixed(reported, value, tolerance)
    assert found.verdict == verdict
    assert found.measured == value
    assert (found.interval, found.n) == (None, 1)
    assert found.why
    assert "\n" not in found.why


def test_reasons_say_what_was_compared():
    assert fixed("269722", 269723, EQUAL).why == "269,723 differs from the stated count"
    assert fixed("0.28M", 269722, PRINTED).why == "269,722 does not round to the printed 0.28M"
    assert fixed("76.4", 76.45, WITHIN).why == "off the print by +0.05, within ±0.1"
    assert fixed("3.6", 3.5, RELATIVE).why == "off the print by -2.78%, outside ±2.00%"
    assert fixed("> 60", 61.0, THRESHOLD).why == "61, bound > 60"


@pytest.mark.parametrize("tolerance", [SEEDS, ORDER])
def test_a_fixed_number_is_no_matter_of_seeds(tolerance):
    with pytest.raises(ValueError, match="does not judge a number without seeds"):
        fixed("8.75", 8.75, tolerance)


@pytest.mark.parametrize("tolerance", [EQUAL, PRINTED, WITHIN, RELATIVE, ORDER])
def test_a_number_that_varies_is_no_matter_of_one_run(tolerance):
    with pytest.raises(ValueError, match="cannot judge a number that varies"):
        seeded("8.75", [8.75] * 5, tolerance)


def test_one_run_means_one():
    numbers = {0: 8.75, 1: 8.75}
    with pytest.raises(ValueError, match="one run settles this number, but there are 2"):
        decide(claim(), WITHIN, lambda s: numbers, deterministic=True)
    with pytest.raises(ValueError, match="the number is nan"):
        fixed("8.75", math.nan, WITHIN)


@pytest.mark.parametrize(
    ("values", "verdict"),
    [
        ([8.7, 8.8, 8.75, 8.9, 8.6], REPRODUCED),
        ([9.1, 9.1, 9.1, 9.1, 9.1], REPRODUCED),  # at the margin of 0.35 itself
        ([9.11, 9.11, 9.11, 9.11, 9.11], NOT_REPRODUCED),
        ([8.39, 8.39, 8.39, 8.39, 8.39], NOT_REPRODUCED),
        ([8.7, 9.3, 9.6, 9.9, 9.0], REPRODUCED),  # mean 9.3, s 0.47: twice that is wider
        ([8.75, 8.75, 8.75, 8.75], INCONCLUSIVE),  # four of five seeds
        ([20.0, 20.0], INCONCLUSIVE),
        ([20.0], INCONCLUSIVE),
    ],
)
def test_the_rule_of_seeds(values, verdict):
    found = seeded("8.75", values, SEEDS)
    assert found.verdict == verdict
    assert found.measured == pytest.approx(sum(values) / len(values))
    assert found.n == len(values)
    assert (found.interval is None) == (len(values) < 2)
    if len(values) < 5:
        assert found.why.startswith(f"{len(values)} of at least 5 seeds; ")


def test_the_edge_of_a_margin_is_inside_whatever_floats_say():
    assert 1.1 - 0.75 > 0.35
    assert seeded("0.75", [1.1] * 5, SEEDS).verdict == REPRODUCED


def test_welch_stands_beside_a_print_with_its_spread_and_decides_nothing():
    values = [6.3, 6.4, 6.35, 6.3, 6.4]
    found = seeded("6.61±0.16", values, SEEDS, "last epoch; 5 runs")
    assert found.verdict == REPRODUCED
    assert "Welch's t-test against 6.61±0.16 of 5 runs: p = 0.019" in found.why
    assert "Welch" not in seeded("6.61±0.16", values, SEEDS, "last epoch").why
    assert "Welch" not in seeded("6.61", values, SEEDS, "5 runs").why
    assert "Welch" not in seeded("6.61±0.16", values[:1], SEEDS, "5 runs").why
    assert "p = 0)" in seeded("6.61±0.0", [6.5] * 5, SEEDS, "5 runs").why


@pytest.mark.parametrize(
    ("reported", "values", "verdict"),
    [
        ("> 60", [62.0, 63.0, 64.0], REPRODUCED),
        ("> 60", [57.0, 56.0, 58.0], NOT_REPRODUCED),
        ("> 60", [59.0, 61.0, 63.0], INCONCLUSIVE),
        ("> 60", [60.0, 60.0, 60.0], INCONCLUSIVE),
        ("> 60", [90.0, 91.0], INCONCLUSIVE),  # two of three seeds
        ("> 60", [90.0], INCONCLUSIVE),
        ("< 0.1", [0.01, 0.02, 0.015], REPRODUCED),
        ("< 0.1", [0.2, 0.21, 0.22], NOT_REPRODUCED),
        ("< 0.1", [0.09, 0.11, 0.1], INCONCLUSIVE),
    ],
)
def test_bounds_in_both_directions(reported, values, verdict):
    found = seeded(reported, values, THRESHOLD)
    assert found.verdict == verdict
    if len(values) < 3:
        assert f"{len(values)} of at least 3 seeds" in found.why
    elif verdict == INCONCLUSIVE:
        assert found.why.endswith("the interval holds the bound")


@given(st.lists(st.floats(min_value=-100, max_value=100), min_size=1, max_size=8))
def test_no_interval_is_infinite_and_mirrored_bounds_have_mirrored_verdicts(values):
    up = seeded("> 1.5", values, THRESHOLD)
    down = seeded("< -1.5", [-v for v in values], THRESHOLD)
    assert up.verdict == down.verdict
    for found in (up, down, seeded("1.5", values, SEEDS)):
        assert found.interval is None or all(map(math.isfinite, found.interval))
        assert (found.interval is None) == (len(values) < 2)


def test_equalities_hold_for_every_term_or_not_at_all():
    test = Equality(measure="c[net=plain{}].p", equals="c[net=res{}].p", terms=[20, 56])
    numbers = {"plain20": 1.0, "res20": 1.0, "plain56": 5.0, "res56": 5.0}

    def lookup(selector):
        return {0: numbers[dict(selector.variant)["net"]]}

    made = claim("p(plain) = p(res)", test=test, kind="exact")
    found = decide(made, EQUAL, lookup, deterministic=True)
    assert (found.verdict, found.measured) == (REPRODUCED, {"20": 1.0, "56": 5.0})
    assert found.why == "equal for each of 20, 56"
    numbers["res56"] = 6.0
    found = decide(made, EQUAL, lookup, deterministic=True)
    assert (found.verdict, found.why) == (NOT_REPRODUCED, "56: 5 ≠ 6")


def test_columns_are_compared_print_by_print():
    test = Column(measure="c[net={}].p", terms=["a", "b"])
    numbers = {"a": 269722.0, "b": 464154.0}

    def lookup(selector):
        return {0: numbers[dict(selector.variant)["net"]]}

    made = claim("0.27M, 0.46M", test=test, kind="exact")
    found = decide(made, PRINTED, lookup, deterministic=True)
    assert (found.verdict, found.why) == (REPRODUCED, "all 2 round to their prints")
    numbers["b"] = 470000.0
    found = decide(made, PRINTED, lookup, deterministic=True)
    assert (found.verdict, found.why) == (
        NOT_REPRODUCED,
        "b: 470,000 does not round to 0.46M",
    )
    with pytest.raises(ValueError, match="a column of 1 prints for 2 terms"):
        decide(claim("0.27M", test=test), PRINTED, lookup, deterministic=True)
    with pytest.raises(ValueError, match="with the rule 'printed'"):
        decide(made, EQUAL, lookup, deterministic=True)


def test_numbers_are_written_for_people():
    assert format_number(1234567.0) == "1,234,567"
    assert format_number(0.123456789) == "0.12346"
    assert format_number(-2.0) == "-2"
    assert format_number(math.inf) == "inf"
