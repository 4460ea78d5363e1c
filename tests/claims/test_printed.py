"""Printed numbers: reading them, and when a measured number rounds to one."""

import math
from decimal import ROUND_HALF_EVEN, ROUND_HALF_UP, Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replab.claims import printed


@pytest.mark.parametrize(
    ("text", "value", "decimals", "half"),
    [
        ("8.75", 8.75, 2, 0.005),
        ("6.90", 6.9, 2, 0.005),
        (".744", 0.744, 3, 0.0005),
        ("74.4", 74.4, 1, 0.05),
        ("0.27M", 270_000, 2, 5_000),
        ("19.4M", 19_400_000, 1, 50_000),
        ("1.5k", 1_500, 1, 50),
        ("3.6G", 3_600_000_000, 1, 5e7),
        ("269722", 269_722, 0, 0.5),
        ("-3", -3, 0, 0.5),
        ("+2.1", 2.1, 1, 0.05),
        ("  60 ", 60, 0, 0.5),
    ],
)
def test_numbers_are_read_with_their_last_digit(text, value, decimals, half):
    found = printed.parse(text)
    assert found.value == value
    assert found.decimals == decimals
    assert found.half_digit == pytest.approx(half, rel=1e-12)
    assert found.bound == ""
    assert found.spread is None
    assert found.text == text.strip()


def test_a_spread_is_read_and_scaled_like_its_number():
    assert printed.parse("6.61±0.16").spread == 0.16
    assert printed.parse("6.61 ± 0.16").value == 6.61
    scaled = printed.parse("1.7M±0.1")
    assert (scaled.value, scaled.spread) == (1_700_000, 100_000)


@pytest.mark.parametrize(("text", "bound", "value"), [("> 60", ">", 60), ("<0.1", "<", 0.1)])
def test_bounds_are_read(text, bound, value):
    found = printed.parse(text)
    assert (found.bound, found.value) == (bound, value)


@pytest.mark.parametrize(
    "text", ["", "abc", "1,000", "8.75 %", "5.", "≥ 3", "1.2X", "0.27 M", "±1"]
)
def test_what_is_no_printed_number_is_refused_by_name(text):
    with pytest.raises(ValueError, match="is no printed number") as caught:
        printed.parse(text)
    assert f"'{text}'" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_list_is_read_in_order_and_refused_whole():
    assert [p.value for p in printed.parse_list("0.27M, 0.46M,1.7M")] == [270e3, 460e3, 1700e3]
    with pytest.raises(ValueError, match="'x'"):
        printed.parse_list("0.27M,x")


@pytest.mark.parametrize(
    ("text", "measured", "fits"),
    [
        ("0.27M", 269_722, True),
        ("0.27M", 265_000, True),  # a tie may go up,
        ("0.26M", 265_000, True),  # or down
        ("0.27M", 264_999, False),
        ("0.27M", 275_000, True),
        ("0.27M", 275_001, False),
        ("8.27", 8.27, True),
        ("8.27", 8.270000000000001, True),
        ("8.27", 8.28, False),
        ("8.27", 8.2649, False),
        ("8.75", 8.755, True),
        ("6.90", 6.9, True),
        ("6.90", 6.906, False),
        ("0", 0.4, True),
        ("-0.3", -0.34, True),
        ("1.7M", 1_727_962, True),
        ("8.27", math.nan, False),
        ("8.27", math.inf, False),
    ],
)
def test_rounding_to_the_print(text, measured, fits):
    assert printed.parse(text).matches(measured) is fits


@given(
    st.floats(min_value=-1e6, max_value=1e6),
    st.integers(min_value=0, max_value=6),
    st.sampled_from([ROUND_HALF_UP, ROUND_HALF_EVEN]),
)
def test_every_number_matches_its_own_print(value, decimals, how):
    text = str(Decimal(repr(value)).quantize(Decimal(1).scaleb(-decimals), rounding=how))
    assert printed.parse(text).matches(value)


@given(
    st.decimals(min_value=-1000, max_value=1000, places=2),
    st.sampled_from([-1, 1]),
    st.floats(min_value=1.001, max_value=100),
)
def test_nothing_further_than_half_a_digit_matches(value, side, share):
    found = printed.parse(str(value))
    assert not found.matches(found.value + side * share * found.half_digit)


@given(st.integers(min_value=1, max_value=99_999), st.sampled_from(["", "k", "M", "G"]))
def test_a_multiplier_scales_value_and_digit_alike(hundredths, unit):
    plain = printed.parse(f"{hundredths / 100:.2f}")
    scaled = printed.parse(f"{hundredths / 100:.2f}{unit}")
    factor = 10.0 ** printed.MULTIPLIERS[unit]
    assert scaled.value == pytest.approx(plain.value * factor, rel=1e-12)
    assert scaled.half_digit == pytest.approx(plain.half_digit * factor, rel=1e-12)
