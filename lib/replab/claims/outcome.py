"""What was found about a claim, and how its numbers are written."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from replab.claims import selectors
from replab.claims.statistics import Estimate

REPRODUCED = "reproduced"
NOT_REPRODUCED = "not reproduced"
INCONCLUSIVE = "inconclusive"
NOT_ATTEMPTED = "not attempted"
VERDICTS = (REPRODUCED, NOT_REPRODUCED, INCONCLUSIVE, NOT_ATTEMPTED)

# A class without a number of its own (a margin for released weights, applied to own trainings)
# asks for as many seeds as the suite asks for everywhere.
MIN_SEEDS = 3
# Half a rounding error of binary floats must not decide at the very edge of a margin.
SLACK = 1e-9

BySeed = Mapping[int, float]
Lookup = Callable[[selectors.Selector], BySeed]


@dataclass(frozen=True)
class Outcome:
    """What was found about a claim.

    Attributes:
        measured: the number, or one per term.
        interval: of the mean, or of the difference that decides; None where one run decides, and
            for a single seed.
        n: seeds it rests on; 1 for what needs none.
        why: one sentence.
    """

    verdict: str
    measured: float | dict[str, float]
    interval: tuple[float, float] | None
    n: int
    why: str


def finite(found: Estimate) -> tuple[float, float] | None:
    """The interval of a mean; None if one seed gives none."""
    return None if found.n < 2 else (found.low, found.high)


def format_range(found: Estimate) -> str:
    """An interval as `[low, high]`."""
    return f"[{found.low:.3g}, {found.high:.3g}]"


def format_difference(found: Estimate) -> str:
    """A difference with its sign and, for two seeds or more, its interval."""
    if found.n < 2:
        return f"{found.mean:+.3g}"
    return f"{found.mean:+.3g}, interval {format_range(found)}"


def format_number(value: float) -> str:
    """Whole numbers with thousands separators, others with five significant digits."""
    if not math.isfinite(value):
        return str(value)
    return f"{int(value):,}" if float(value).is_integer() else f"{value:.5g}"


def lacking_seeds(found: int, needed: int, *, paired: bool) -> str:
    """Why so few seeds decide nothing; empty if there are enough."""
    if found >= needed:
        return ""
    return f"{found} of at least {needed} {'paired ' if paired else ''}seeds"
