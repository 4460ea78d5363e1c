"""The training loop of every network."""

import math
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import nn

from replab.errors import UserError
from replab.files import canonical_json
from replab.models.learning_rates import parameter_groups
from replab.options import RunOptions
from replab.training import checkpoints, distributed, engines, schedules
from replab.training.history import Diverged, History, WarmUp
from replab.training.objectives import Objective, classification
from replab.training.recipe import TrainingRecipe
from replab.training.sharing import shared
from replab.training.step import make_step

__all__ = ["Batches", "Diverged", "History", "Trained", "train"]

CHECKPOINT_EVERY_S = 20.0
# Large nets take seconds to save: a thirtieth of a training may go into it, unless checkpoints
# would then be more than 60 times as far apart.
CHECKPOINT_SHARE = 1 / 30
CHECKPOINT_APART = 60
# A GPU would have to stop for each number that is read off it.
READ_EVERY = {"cpu": 1}
READ_EVERY_ELSEWHERE = WarmUp.WINDOW


class Batches(Protocol):
    """Where a training gets its batches: whole ones, or its own rows of them (`distributed`)."""

    def batch(self, iteration: int) -> tuple[torch.Tensor, ...]:
        """Images B×C×H×W of an iteration and their targets, on the device, the same at each call.

        Targets are what the training's objective takes: labels B of a classifier.
        """
        ...


@dataclass(frozen=True)
class Trained:
    """The end of a training.

    Attributes:
        throughput: images per second over this session's iterations, evaluations left out.
        engine: how the steps were computed; see `training.step`.
    """

    history: History
    throughput: float
    engine: str


def train(
    model: nn.Module,
    batches: Batches,
    recipe: TrainingRecipe,
    *,
    seed: int,
    objective: Objective = classification,
    options: RunOptions,
    checkpoint: Path | None = None,
    progress: Callable[[float, str], None] = lambda share, text: None,
    evaluate: Callable[[nn.Module], float] | None = None,
    after_step: Callable[[int, nn.Module], None] | None = None,
) -> Trained:
    """Train a network; the last iterate counts.

    With the same seed, machine, thread count and versions, a training on a CPU that was killed and
    resumed ends in the same bits as an undisturbed one.

    Under torchrun the ranks share each batch, and one of them does what is done once: see
    `distributed`. Numbers then differ by rounding from one process's, but for what is dropped
    (each rank draws its own) and for shares of joints, whose mean is taken over the ranks.

    Args:
        objective: what is minimised; see `training.objectives`.
        options: its device, precision and engine count. A training that is resumed keeps the
            engine with which it began.
        checkpoint: where to keep the state every 20 s, or less often where saving takes long; it
            is resumed from if it is there and of this training (recipe, seed, precision,
            network), else the training begins anew. The first rank's file counts.
        evaluate: called with the network every `evaluate_every` iterations and at the end; its
            numbers are kept in the history and decide nothing. Of several ranks the first is
            asked.
        after_step: called with the iteration and the network after each step, by every rank.

    Raises:
        Diverged: the loss is NaN or infinite.
        UserError: a checkpoint cannot be written, or is of another version of replab; or there
            are several ranks and the batch cannot be shared out among them, or the network is to
            be compiled.
    """
    ranks, device = distributed.current(), distributed.begin_training(options.device)
    options = replace(options, device=device)
    if not ranks.alone:
        options = _for_ranks(options)
    iterations, batch_size = recipe.iterations, recipe.batch_size
    history = History()
    schedule = schedules.from_recipe(recipe, history)
    warm_up = WarmUp(recipe.warm_up_rate, history)
    optimiser = _optimiser(model, recipe)
    # A checkpoint of another recipe would mix two trainings in one record.
    about = canonical_json(
        {"recipe": recipe.as_json(), "seed": seed, "precision": options.precision}
    )
    first, began_with = 0, ""
    if checkpoint:
        first, began_with = _resume(checkpoint, about, device, model, optimiser, history)
    every = (recipe.evaluate_every or 0) if evaluate else 0
    read_every = READ_EVERY.get(device.split(":")[0], READ_EVERY_ELSEWHERE)
    unread: list[tuple[torch.Tensor, torch.Tensor]] = []
    drops = any(isinstance(m, nn.Dropout) and m.p > 0 for m in model.modules())
    model.train()
    if began_with and ranks.alone:
        options = replace(options, engine=began_with)
    elif options.engine == "auto":
        options = engines.choose(
            *(model, batches.batch(first)),
            lambda net, how: make_step(net, _optimiser(net, recipe), objective, how),
            iterations=iterations - first,
            options=options,
        )
    began = saved = time.monotonic()
    aside, pause = 0.0, CHECKPOINT_EVERY_S
    with shared(model, batch_size, device) as sharing:
        step = make_step(sharing.network, optimiser, objective, options)
        for done in range(first + 1, iterations + 1):
            rate = warm_up.rate(schedule(done - 1))
            for group in optimiser.param_groups:
                group["lr"] = rate * group.get("lr_multiplier", 1.0)
            if drops:
                torch.manual_seed(_seed_of(seed, done, ranks.rank))
            unread.append(step(*sharing.own(batches.batch(done - 1))))
            if after_step is not None:
                after_step(done - 1, model)
            last = done == iterations
            reading = done % read_every == 0
            due = checkpoint is not None and time.monotonic() - saved > pause
            # All ranks have to read at the same iterations, and their clocks differ.
            due = due and (ranks.alone or reading)
            testing = evaluate is not None and (last or (every > 0 and done % every == 0))
            if last or due or testing or reading:
                _read(unread, history, rate, options.precision)
                progress(done / iterations, f"iteration {done}, loss {history.loss[-1]:.3g}")
            if testing and evaluate is not None:
                paused = time.monotonic()
                with sharing.apart():
                    value = distributed.from_first(partial(_asked, evaluate, model))
                history.tests.append((done, value))
                model.train()
                aside += time.monotonic() - paused
            if checkpoint and (due or last) and ranks.first:
                pause = _save(checkpoint, about, done, model, optimiser, history, options.engine)
                saved = time.monotonic()
    seconds = time.monotonic() - began - aside
    images = (iterations - first) * batch_size
    return Trained(history, images / seconds if images > 0 else 0.0, step.engine)


def _for_ranks(options: RunOptions) -> RunOptions:
    """The options of several processes, which train networks eagerly.

    Raises:
        UserError: networks are to be compiled.
    """
    if options.engine == "compiled":
        raise UserError("several processes train networks eagerly: no --engine compiled")
    return replace(options, engine="eager")


def _asked(evaluate: Callable[[nn.Module], float], model: nn.Module) -> float:
    return float(evaluate(model))


def _seed_of(seed: int, iteration: int, rank: int) -> int:
    """A seed for what an iteration drops, so that a resumed training drops the same.

    Each rank drops elsewhere; the first as one process alone.
    """
    words = (seed, iteration, rank) if rank else (seed, iteration)
    return int(np.random.SeedSequence(words).generate_state(1, np.uint64)[0] >> 1)


def _optimiser(model: nn.Module, recipe: TrainingRecipe) -> torch.optim.Optimizer:
    adam = recipe.optimiser == "adam"
    decay = 0.0 if adam else recipe.weight_decay or 0.0
    groups: Any = model.parameters()
    if recipe.rates == "cpm":
        groups = parameter_groups(model, lr=recipe.lr, weight_decay=decay)
    if adam:
        return torch.optim.Adam(groups, lr=recipe.lr, fused=True)
    return torch.optim.SGD(
        groups, lr=recipe.lr, momentum=recipe.momentum or 0.0, weight_decay=decay, fused=True
    )


def _read(
    unread: list[tuple[torch.Tensor, torch.Tensor]], history: History, rate: float, precision: str
) -> None:
    """Bring losses and errors from the device into the history, the means over the ranks.

    Raises:
        Diverged: a loss is not finite.
    """
    numbers = torch.stack([torch.stack(pair) for pair in unread])
    for loss, wrong in distributed.mean(numbers).tolist():
        if not math.isfinite(loss):
            raise Diverged(
                f"the loss is {loss} at iteration {len(history.loss)} (learning rate "
                f"{rate:.3g}, {precision}); lower the rate or train in fp32"
            )
        history.loss.append(loss)
        history.error.append(wrong)
    unread.clear()


def _save(
    path: Path,
    about: str,
    iteration: int,
    model: nn.Module,
    optimiser: torch.optim.Optimizer,
    history: History,
    engine: str,
) -> float:
    """Write a checkpoint.

    Returns:
        Seconds until the next one is due.
    """
    began = time.monotonic()
    state = {
        "about": about,
        "engine": engine,
        "iteration": iteration,
        "model": model.state_dict(),
        "optimiser": optimiser.state_dict(),
        "loss": history.loss,
        "error": history.error,
        "tests": history.tests,
    }
    checkpoints.save(path, state)
    affordable = (time.monotonic() - began) / CHECKPOINT_SHARE
    return max(CHECKPOINT_EVERY_S, min(affordable, CHECKPOINT_APART * CHECKPOINT_EVERY_S))


def _resume(
    path: Path,
    about: str,
    device: str,
    model: nn.Module,
    optimiser: torch.optim.Optimizer,
    history: History,
) -> tuple[int, str]:
    """Restore a training from its checkpoint.

    Returns:
        The iterations that are done, and the engine that did them (empty for checkpoints that do
        not say); 0 and empty without a checkpoint.
    """
    place = device if distributed.current().alone else "cpu"
    state = distributed.from_first(partial(_stored, path, about, place, model))
    if state is None:
        return 0, ""
    model.load_state_dict(state["model"])
    optimiser.load_state_dict(state["optimiser"])
    history.loss[:], history.error[:] = state["loss"], state["error"]
    history.tests[:] = [(int(done), value) for done, value in state["tests"]]
    return int(state["iteration"]), str(state.get("engine", ""))


def _stored(path: Path, about: str, device: str, model: nn.Module) -> dict[str, Any] | None:
    """A checkpoint, if there is one, of this training."""
    state = checkpoints.load(path, device)
    if state is None:
        return None
    if state.get("about") != about or _shapes(state["model"]) != _shapes(model.state_dict()):
        print(f"checkpoint {path} is of another training; starting anew", file=sys.stderr)
        return None
    return state


def _shapes(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Size]:
    return {name: tensor.shape for name, tensor in state.items()}
