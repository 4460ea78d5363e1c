"""Learning rates as functions of iteration and history, so a resumed training cannot drift."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from replab.training.history import History, Plateau

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


def from_recipe(recipe: Mapping[str, Any], history: History) -> Schedule:
    """The schedule that a recipe describes by `schedule`, `lr` and what belongs to each kind.

    `cosine` needs `iterations`; `steps` needs `drops`; `plateau` needs `plateau_window`,
    `plateau_patience`, `plateau_least` and `plateau_drops` (see `history.Plateau`). With
    `warm_up_iterations`, the rate rises to it linearly.

    Raises:
        ValueError: the recipe names an unknown schedule.
    """
    schedule = _whole(recipe, history)
    rising = int(recipe.get("warm_up_iterations") or 0)
    return warm_up(schedule, rising) if rising else schedule


def _whole(recipe: Mapping[str, Any], history: History) -> Schedule:
    kind, rate = recipe["schedule"], float(recipe["lr"])
    if kind == "cosine":
        return cosine(rate, int(recipe["iterations"]))
    if kind == "steps":
        return steps(rate, tuple(recipe["drops"]))
    if kind == "plateau":
        plateau = Plateau(
            rate,
            history,
            window=int(recipe["plateau_window"]),
            patience=int(recipe["plateau_patience"]),
            least=float(recipe["plateau_least"]),
            drops=int(recipe["plateau_drops"]),
        )
        return lambda iteration: plateau.rate()
    raise ValueError(f"unknown schedule {kind!r}; there are cosine, steps and plateau")
