"""Intervals over seeds."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

LEVEL = 0.95


@dataclass(frozen=True)
class Estimate:
    """A mean over seeds.

    Attributes:
        n: how many seeds.
        deviation: standard deviation over the seeds (n − 1); 0 for one seed.
        low, high: t-interval of the mean at `LEVEL`; infinite for one seed.
    """

    mean: float
    deviation: float
    n: int
    low: float
    high: float


def estimate(values: Sequence[float], level: float = LEVEL) -> Estimate:
    """Mean and t-interval of independent values.

    Raises:
        ValueError: there are none.
    """
    n = len(values)
    if not n:
        raise ValueError("no values to estimate from")
    mean = math.fsum(values) / n
    if n == 1:
        return Estimate(mean, 0.0, 1, -math.inf, math.inf)
    deviation = math.sqrt(math.fsum((v - mean) ** 2 for v in values) / (n - 1))
    half = t_quantile(n - 1, level) * deviation / math.sqrt(n)
    return Estimate(mean, deviation, n, mean - half, mean + half)


def combine_by_seed(
    plus: Sequence[Mapping[int, float]], minus: Sequence[Mapping[int, float]]
) -> dict[int, float]:
    """Σ plus − Σ minus, seed by seed, over the seeds that all of them have.

    Raises:
        ValueError: they have no seed in common, so there is no pair.
    """
    seeds = set.intersection(*(set(values) for values in (*plus, *minus)))
    if not seeds:
        raise ValueError("the runs to be paired have no seed in common")
    return {
        seed: math.fsum([*(v[seed] for v in plus), *(-v[seed] for v in minus)])
        for seed in sorted(seeds)
    }


def prediction_interval(
    values: Sequence[float], level: float, new: int = 1
) -> tuple[float, float]:
    """Where the mean of `new` further values is expected.

    Infinite for fewer than two values.
    """
    known = estimate(values, level)
    if known.n < 2:
        return -math.inf, math.inf
    spread = known.deviation * math.sqrt(1 / known.n + 1 / new)
    half = t_quantile(known.n - 1, level) * spread
    return known.mean - half, known.mean + half


def welch(ours: Sequence[float], mean: float, deviation: float, n: int) -> float:
    """Two-sided p-value of Welch's t-test of our values against a printed mean ± s.d. of n runs.

    Raises:
        ValueError: one of the two sides has fewer than two values.
    """
    from scipy import stats

    own = estimate(ours)
    if own.n < 2 or n < 2:
        raise ValueError("Welch's t-test takes two values or more on each side")
    if own.deviation == 0 and deviation == 0:
        return 1.0 if own.mean == mean else 0.0
    test = stats.ttest_ind_from_stats(
        own.mean, own.deviation, own.n, mean, deviation, n, equal_var=False
    )
    return float(test.pvalue)


def t_quantile(degrees: int, level: float) -> float:
    """Two-sided quantile of Student's t, to ten digits.

    Releases of scipy differ in the last bits. All else that leads to an interval is exactly
    rounded everywhere, so that `check` may compare intervals for equality on any machine.
    """
    from scipy.special import stdtrit

    return float(f"{stdtrit(degrees, 0.5 + level / 2):.10g}")
