"""Pose machines trained stage by stage, as before their authors trained them from end to end.

Source: Wei et al. 2016 section 4.1, "Comparison on training schemes", and Fig. 6b.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import nn

from replab.models.pose_machine import PoseMachine
from replab.options import RunOptions
from replab.training.history import History
from replab.training.loop import Batches, Trained, train
from replab.training.objectives import StageRegression
from replab.training.recipe import TrainingRecipe


@dataclass(frozen=True)
class Phase:
    """A stretch of a training.

    Attributes:
        stages: how many of the stages are run, from the first.
        alone: whether only the last of them learns, by its own loss, on what those before have
            learned; else all learn, by the training's objective.
        share: of the training's iterations, 0–1.
    """

    stages: int
    alone: bool
    share: float


def one_by_one(stages: int, share: float = 1.0) -> tuple[Phase, ...]:
    """A phase for each stage, all equally long; together a share of the iterations."""
    return tuple(Phase(stage, alone=True, share=share / stages) for stage in range(1, stages + 1))


def train_in_phases(
    net: nn.Module,
    batches: Batches,
    recipe: TrainingRecipe,
    phases: Sequence[Phase],
    objective: StageRegression,
    *,
    seed: int,
    options: RunOptions,
    checkpoint: Path | None = None,
    progress: Callable[[float, str], None] = lambda share, text: None,
    evaluate: Callable[[nn.Module], float] | None = None,
) -> Trained:
    """Train a pose machine phase by phase, on the same batches as all at once.

    Each phase has the recipe's schedule from beginning to end, and a checkpoint of its own: one
    that is finished is read, not done again. The history is that of all phases, one after the
    other, whose losses are not those of the same stages.

    Args:
        recipe: as of `loop.train`, its iterations those of all phases together.
        phases: what is done, in order; the last of them runs all stages.
        evaluate: as of `loop.train`; only the last phase's network is asked.
        seed, options, checkpoint, progress: see `loop.train`.

    Raises:
        TypeError: the network is no pose machine.
        ValueError: the shares do not add up to 1, or the last phase does not run all stages.
        Diverged: as of `loop.train`.
        UserError: as of `loop.train`.
    """
    if not isinstance(net, PoseMachine):
        raise TypeError(f"{type(net).__name__} has no stages; give a pose machine")
    if abs(sum(phase.share for phase in phases) - 1) > 1e-9 or phases[-1].stages != net.stages:
        raise ValueError("phases have to add up to the whole training and end with all stages")
    whole, stages = recipe.iterations, net.stages
    history, done, trained = History(), 0, None
    ends = [round(whole * sum(p.share for p in phases[: i + 1])) for i in range(len(phases))]
    own = stage_parameters(net)
    try:
        for number, (phase, end) in enumerate(zip(phases, ends, strict=True), 1):
            net.stages = phase.stages
            for stage, parameters in own.items():
                learns = stage == phase.stages if phase.alone else stage <= phase.stages
                for parameter in parameters:
                    parameter.requires_grad_(learns)
            trained = train(
                net,
                _Later(batches, done),
                replace(recipe, iterations=end - done, phase=number),
                seed=seed,
                objective=replace(objective, supervision="last") if phase.alone else objective,
                options=options,
                checkpoint=_of_phase(checkpoint, number),
                progress=_part(progress, done / whole, (end - done) / whole),
                evaluate=evaluate if number == len(phases) else None,
            )
            history.loss += trained.history.loss
            history.error += trained.history.error
            history.tests += [(done + at, value) for at, value in trained.history.tests]
            done = end
    finally:
        net.stages = stages
        net.requires_grad_(True)
    assert trained is not None
    return replace(trained, history=history)


def stage_parameters(net: PoseMachine) -> dict[int, list[nn.Parameter]]:
    """Parameters by the first stage that has them; shared features are the second's."""
    found: dict[int, list[nn.Parameter]] = {}
    seen: set[str] = set()
    for stage in range(1, net.stages + 1):
        names = [name for name in net.convolutions(stage) if name not in seen]
        seen.update(names)
        found[stage] = [p for name in names for p in net.get_submodule(name).parameters()]
    return found


class _Later:
    """The batches of a training from one of its iterations on."""

    def __init__(self, batches: Batches, first: int) -> None:
        self._batches, self._first = batches, first

    def batch(self, iteration: int) -> tuple[torch.Tensor, ...]:
        """The batch of an iteration of the phase."""
        return self._batches.batch(self._first + iteration)


def _of_phase(checkpoint: Path | None, number: int) -> Path | None:
    if checkpoint is None:
        return None
    return checkpoint.with_name(f"{checkpoint.stem}_phase{number}{checkpoint.suffix}")


def _part(
    progress: Callable[[float, str], None], first: float, share: float
) -> Callable[[float, str], None]:
    """Progress of a phase as that of the whole training."""
    return lambda done, text: progress(first + share * done, text)
