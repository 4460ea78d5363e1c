"""Learning rates as pure functions of the iteration, so that a resumed training cannot drift."""

import math
from collections.abc import Callable, Sequence

Schedule = Callable[[int], float]


def steps(rate: float, drops: Sequence[int], factor: float = 0.1) -> Schedule:
    """`rate` until the first drop, then multiplied by `factor` at each.

    A drop at 32,000 holds for iteration 32,000 and after, counting from 0 (He et al. 2016, §4.2).
    """
    return lambda iteration: rate * factor ** sum(iteration >= drop for drop in drops)


def cosine(rate: float, iterations: int) -> Schedule:
    """Half a cosine from `rate` at iteration 0 down to 0 at `iterations`."""
    return lambda iteration: rate * 0.5 * (1 + math.cos(math.pi * iteration / iterations))


def warm_up(schedule: Schedule, iterations: int) -> Schedule:
    """Rise linearly to `schedule` over the first iterations."""
    return lambda iteration: schedule(iteration) * min(1.0, (iteration + 1) / iterations)


def from_recipe(recipe: dict[str, object]) -> Schedule:
    """The schedule that a recipe's `schedule`, `lr`, `iterations` and `drops` describe.

    Raises:
        ValueError: the recipe names an unknown schedule.
    """
    kind, rate = recipe["schedule"], float(recipe["lr"])  # type: ignore[arg-type]
    if kind == "cosine":
        return cosine(rate, int(recipe["iterations"]))  # type: ignore[call-overload]
    if kind == "steps":
        return steps(rate, tuple(recipe["drops"]))  # type: ignore[arg-type]
    raise ValueError(f"unknown schedule {kind!r}; there are cosine and steps")
