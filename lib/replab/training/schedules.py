"""Learning rates as functions of iteration and history, so a resumed training cannot drift."""

import math
from collections.abc import Callable, Sequence

from replab.training.history import History, Plateau
from replab.training.recipe import TrainingRecipe

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


def from_recipe(recipe: TrainingRecipe, history: History) -> Schedule:
    """The schedule that a recipe describes; of `plateau` it depends on the history."""
    schedule = _whole(recipe, history)
    rising = recipe.warm_up_iterations or 0
    return warm_up(schedule, rising) if rising else schedule


def _whole(recipe: TrainingRecipe, history: History) -> Schedule:
    if recipe.schedule == "cosine":
        return cosine(recipe.lr, recipe.iterations)
    if recipe.schedule == "steps":
        assert recipe.drops is not None
        return steps(recipe.lr, recipe.drops)
    assert recipe.plateau_window is not None
    assert recipe.plateau_patience is not None
    assert recipe.plateau_least is not None
    assert recipe.plateau_drops is not None
    plateau = Plateau(
        recipe.lr,
        history,
        window=recipe.plateau_window,
        patience=recipe.plateau_patience,
        least=recipe.plateau_least,
        drops=recipe.plateau_drops,
    )
    return lambda iteration: plateau.rate()
