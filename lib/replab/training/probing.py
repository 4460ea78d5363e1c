"""How long a training will take, from its first steps."""

import itertools
import statistics
import time
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import nn

from replab.options import RunOptions
from replab.training.loop import Batches, train
from replab.training.objectives import Objective, classification
from replab.training.recipe import TrainingRecipe

STEPS = 10


@dataclass(frozen=True)
class Pace:
    """How fast a training goes.

    Attributes:
        start_s: seconds the first step takes beyond a usual one (compiling, choosing kernels).
        step_s: median seconds of the later steps.
        checkpoint_bytes: size of a checkpoint at the end, the history's numbers included.
    """

    start_s: float
    step_s: float
    checkpoint_bytes: int

    def seconds(self, iterations: int) -> float:
        """Seconds that so many iterations take."""
        return self.start_s + iterations * self.step_s


def probe(
    model: nn.Module,
    batches: Batches,
    recipe: TrainingRecipe,
    *,
    options: RunOptions,
    workspace: Path,
    objective: Objective = classification,
) -> Pace:
    """Time the first ten steps of a training; the network is not to be used afterwards.

    Args:
        workspace: a folder for its checkpoint.
        objective: as of `loop.train`.
    """
    marks: list[float] = []

    def mark(iteration: int, net: nn.Module) -> None:
        if options.device.startswith("cuda"):
            torch.cuda.synchronize(options.device)
        marks.append(time.perf_counter())

    checkpoint = workspace / "checkpoint.pt"
    began = time.perf_counter()
    train(
        model,
        batches,
        replace(recipe, iterations=STEPS),
        seed=0,
        objective=objective,
        options=options,
        checkpoint=checkpoint,
        after_step=mark,
    )
    step = statistics.median(b - a for a, b in itertools.pairwise(marks))
    # Loss and error of each iteration, as pickled floats.
    history = 2 * 9 * recipe.iterations
    size = checkpoint.stat().st_size + history
    return Pace(max(0.0, marks[0] - began - step), step, size)
