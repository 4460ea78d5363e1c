"""The training loop of image classifiers."""

import math
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from replab.errors import CheckFailed
from replab.files import canonical_json
from replab.models.precision import autocast
from replab.training import checkpoints, schedules
from replab.training.batches import DeviceImages, EpochOrder, draw

CHECKPOINT_EVERY_S = 20.0


class Diverged(CheckFailed):
    """The training loss is no longer a finite number."""


@dataclass
class History:
    """Training loss and error of every iteration.

    Attributes:
        loss: mean cross-entropy of each batch, in nats.
        error: share of each batch that was classified wrongly, 0–1.
    """

    loss: list[float] = field(default_factory=list)
    error: list[float] = field(default_factory=list)

    def tail(self, share: float) -> tuple[float, float]:
        """Mean loss (nats) and error (0–1) over the last `share` of the iterations."""
        count = max(1, round(len(self.loss) * share))
        return math.fsum(self.loss[-count:]) / count, math.fsum(self.error[-count:]) / count

    def smoothed(self, points: int) -> tuple[list[float], list[float], list[float]]:
        """Iterations (middle of each stretch), mean losses and mean errors of equal stretches."""
        length = max(1, len(self.loss) // points)
        starts = range(0, len(self.loss) - length + 1, length)
        middle = [start + (length - 1) / 2 for start in starts]
        loss = [math.fsum(self.loss[s : s + length]) / length for s in starts]
        error = [math.fsum(self.error[s : s + length]) / length for s in starts]
        return middle, loss, error


class WarmUp:
    """A small learning rate until the training error has fallen under 80 % (§4.2).

    Read off the history, so that a resumed training decides as an undisturbed one.

    Args:
        small: the rate to begin with; None for no warm-up.
    """

    BELOW = 0.8
    # Batches whose mean error is looked at: single batches of 128 scatter by 4 %.
    WINDOW = 50

    def __init__(self, small: float | None, history: History) -> None:
        self._small = small
        self._history = history
        self._over = small is None
        self._next = self.WINDOW

    def rate(self, usual: float) -> float:
        """The rate of the coming iteration, given the one without warm-up."""
        errors = self._history.error
        # Each stretch of the history is looked at once, those before a resumption included.
        while not self._over and self._next <= len(errors):
            stretch = errors[self._next - self.WINDOW : self._next]
            self._over = math.fsum(stretch) / self.WINDOW < self.BELOW
            self._next += 1
        return usual if self._over or self._small is None else self._small


@dataclass(frozen=True)
class Trained:
    """The end of a training.

    Attributes:
        throughput: images per second over this session's iterations.
    """

    history: History
    throughput: float


def train_classifier(
    model: nn.Module,
    data: DeviceImages,
    recipe: Mapping[str, Any],
    *,
    seed: int,
    device: str,
    precision: str = "fp32",
    checkpoint: Path | None = None,
    progress: Callable[[float, str], None] = lambda share, text: None,
    after_step: Callable[[int, nn.Module], None] | None = None,
) -> Trained:
    """Train by SGD with momentum and weight decay on every parameter; the last iterate counts.

    He et al. 2016, §4.2. With the same seed, machine, thread count and versions, a training that
    was killed and resumed ends in the same bits as an undisturbed one.

    Args:
        recipe: `iterations`, `batch_size`, `lr`, `schedule` (`cosine`, or `steps` with `drops`),
            `momentum`, `weight_decay`, `augment`; `warm_up_rate`, if not None, is used until the
            training error falls under 80 % (§4.2, for 110 layers).
        checkpoint: where to keep the state every 20 s; it is resumed from if it is there and of
            this training (recipe, seed, precision, network), else the training begins anew.
        after_step: called with the iteration and the network after each step.

    Raises:
        Diverged: the loss is NaN or infinite.
        UserError: a checkpoint cannot be written, or is of another version of replab.
    """
    iterations, batch_size = int(recipe["iterations"]), int(recipe["batch_size"])
    schedule = schedules.from_recipe(dict(recipe))
    optimiser = torch.optim.SGD(
        model.parameters(),
        lr=schedule(0),
        momentum=float(recipe["momentum"]),
        weight_decay=float(recipe["weight_decay"]),
        fused=True,
    )
    order = EpochOrder(len(data.labels), batch_size, seed, augment=bool(recipe["augment"]))
    history = History()
    # A checkpoint of another recipe would mix two trainings in one record.
    about = canonical_json({"recipe": dict(recipe), "seed": seed, "precision": precision})
    first = _resume(checkpoint, about, device, model, optimiser, history) if checkpoint else 0
    model.train()
    began = saved = time.monotonic()
    warm_up = WarmUp(recipe.get("warm_up_rate"), history)
    for iteration in range(first, iterations):
        rate = warm_up.rate(schedule(iteration))
        for group in optimiser.param_groups:
            group["lr"] = rate
        images, labels = draw(data, order, iteration)
        with autocast(device, precision):
            logits = model(images)
        loss = functional.cross_entropy(logits.float(), labels)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        value = loss.item()
        if not math.isfinite(value):
            raise Diverged(
                f"the loss is {value} at iteration {iteration} (learning rate "
                f"{rate:.3g}, {precision}); lower the rate or train in fp32"
            )
        history.loss.append(value)
        history.error.append((logits.argmax(1) != labels).float().mean().item())
        if after_step is not None:
            after_step(iteration, model)
        progress((iteration + 1) / iterations, f"iteration {iteration + 1}, loss {value:.3f}")
        if checkpoint and time.monotonic() - saved > CHECKPOINT_EVERY_S:
            _save(checkpoint, about, iteration + 1, model, optimiser, history)
            saved = time.monotonic()
    if checkpoint and first < iterations:
        _save(checkpoint, about, iterations, model, optimiser, history)
    seconds = time.monotonic() - began
    done = (iterations - first) * batch_size
    return Trained(history, done / seconds if done else 0.0)


def _save(
    path: Path,
    about: str,
    iteration: int,
    model: nn.Module,
    optimiser: torch.optim.Optimizer,
    history: History,
) -> None:
    state = {
        "about": about,
        "iteration": iteration,
        "model": model.state_dict(),
        "optimiser": optimiser.state_dict(),
        "loss": history.loss,
        "error": history.error,
    }
    checkpoints.save(path, state)


def _resume(
    path: Path,
    about: str,
    device: str,
    model: nn.Module,
    optimiser: torch.optim.Optimizer,
    history: History,
) -> int:
    """Restore a training from its checkpoint; the iteration to go on with, 0 without one."""
    state = checkpoints.load(path, device)
    if state is None:
        return 0
    if state.get("about") != about or _shapes(state["model"]) != _shapes(model.state_dict()):
        print(f"checkpoint {path} is of another training; starting anew", file=sys.stderr)
        return 0
    model.load_state_dict(state["model"])
    optimiser.load_state_dict(state["optimiser"])
    history.loss[:], history.error[:] = state["loss"], state["error"]
    return int(state["iteration"])


def _shapes(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Size]:
    return {name: tensor.shape for name, tensor in state.items()}
