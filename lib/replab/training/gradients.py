"""How widely the gradients of a pose machine's layers spread, at some moments of its training.

Source: Wei et al. 2016 section 3.3 and Fig. 5, which shows them as histograms.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from replab.files import read_json, write_json
from replab.models.pose_machine import PoseMachine
from replab.models.precision import autocast
from replab.training import distributed
from replab.training.loop import Batches
from replab.training.objectives import Objective
from replab.training.signals import log10

# Shares of the gradients below the points that are kept of each layer: a histogram of bars that
# hold equally many, the outermost 2 % left out.
LEVELS = tuple(round(0.01 + 0.98 * i / 24, 4) for i in range(25))
# Of a layer's gradients so many are sorted, evenly chosen; the spread is that of all.
SORTED = 1 << 15
# Of each stage's own layers those points are kept: of the first, the middle one and the last.
SHOWN_OF_A_STAGE = 3


@dataclass(frozen=True)
class Spreads:
    """Gradients of the loss by the weights of each layer, those of some batches together.

    Attributes:
        iteration: how many steps the network had learned.
        stages: of each layer, from 1.
        deviations: standard deviation of each layer's gradients.
        quantiles: of each of the `shown` layers, its gradients' points at `LEVELS`.
    """

    iteration: int
    stages: list[int]
    deviations: list[float]
    quantiles: list[list[float]]

    def series(self, suffix: str) -> dict[str, dict[str, list[float]]]:
        """Curves for a record: over layers, counted from 1, and shown ones' over `LEVELS`.

        Args:
            suffix: of their names.
        """
        layers = [float(number) for number in range(1, len(self.stages) + 1)]
        spread = [round(log10(size), 4) for size in self.deviations]
        curves = {
            f"log_gradient{suffix}": {"x": layers, "y": spread},
            f"layer_stage{suffix}": {"x": layers, "y": [float(s) for s in self.stages]},
        }
        for number, points in zip(shown(self.stages), self.quantiles, strict=True):
            short = [float(f"{point:.4g}") for point in points]
            curves[f"gradient_layer{number}{suffix}"] = {"x": list(LEVELS), "y": short}
        return curves


def layers(net: PoseMachine) -> dict[str, int]:
    """Name of each convolution → the first stage that has it, in Fig. 5's order."""
    found: dict[str, int] = {}
    for stage in range(1, net.stages + 1):
        for name in net.convolutions(stage):
            found.setdefault(name, stage)
    return found


def shown(stages: Sequence[int]) -> list[int]:
    """Layers, counted from 1, whose histograms are kept, of layers of these stages."""
    chosen: list[int] = []
    for stage in sorted(set(stages)):
        own = [number for number, of in enumerate(stages, 1) if of == stage]
        last, count = len(own) - 1, min(SHOWN_OF_A_STAGE, len(own))
        chosen += [own[round(i * last / max(count - 1, 1))] for i in range(count)]
    return chosen


def measure(
    net: PoseMachine,
    batches: Batches,
    iterations: Sequence[int],
    objective: Objective,
    *,
    done: int,
    precision: str = "fp32",
) -> Spreads:
    """Gradients of some batches at a network's present weights, in training mode.

    Nothing is learned, and the parameters' own gradients stay as they are.

    Args:
        batches: of the training, on the network's device.
        iterations: whose batches are taken, each for itself, as in training.
        objective: what is minimised.
        done: steps that the network has learned.
        precision: `fp32` or `bf16`, the format of the forward pass.
    """
    found = layers(net)
    weights = [_weight(net.get_submodule(name)) for name in found]
    parts: list[list[torch.Tensor]] = [[] for _ in found]
    for iteration in iterations:
        images, *targets = batches.batch(iteration)
        with autocast(str(images.device), precision):
            answer = net(images)
        loss, _ = objective(answer, *targets)
        for part, gradient in zip(parts, torch.autograd.grad(loss, weights), strict=True):
            part.append(distributed.mean(gradient.flatten()))
    together = [torch.cat(part) for part in parts]
    return Spreads(
        iteration=done,
        stages=list(found.values()),
        deviations=[_deviation(values) for values in together],
        quantiles=[_quantiles(together[n - 1]) for n in shown(list(found.values()))],
    )


def watch(
    folder: Path,
    moments: Sequence[int],
    objective: Objective,
    *,
    batches_each: int,
    precision: str,
) -> Callable[[Batches], Callable[[int, nn.Module], None]]:
    """What measures gradients during a training; see `poses.train_on`.

    Each moment's go into a file, so that a training that is resumed after it has them.

    Args:
        folder: of the files.
        moments: after how many steps.
        objective: of the training.
        batches_each: how many of the coming batches are taken at each moment.
        precision: of the training.
    """

    def of(batches: Batches) -> Callable[[int, nn.Module], None]:
        def after_step(iteration: int, net: nn.Module) -> None:
            done = iteration + 1
            if done not in moments:
                return
            assert isinstance(net, PoseMachine)
            coming = range(done, done + batches_each)
            found = measure(net, batches, coming, objective, done=done, precision=precision)
            write_json(_file(folder, done), asdict(found))

        return after_step

    return of


def collect(folder: Path, moments: Sequence[int]) -> list[Spreads]:
    """What `watch` has kept in a folder, in the order of the moments.

    Raises:
        UserError: a file is missing or damaged.
    """
    mend = "remove the folder and train anew"
    return [Spreads(**read_json(_file(folder, done), mend=mend)) for done in moments]


def report(found: Sequence[Spreads]) -> tuple[dict[str, float], dict[str, Any]]:
    """Metrics and series of a training's moments, which are counted from 1.

    Metrics are decimal logarithms of standard deviations: `log_gradient_first_<n>` of the first
    layer at moment n, `log_gradient_last_<n>` of the last, `log_gradient_least_<n>` of the layer
    where it is least. Zero is put at `signals.LOG_FLOOR`.
    """
    metrics: dict[str, float] = {}
    series: dict[str, Mapping[str, Any]] = {}
    for number, spreads in enumerate(found, 1):
        sizes = [log10(size) for size in spreads.deviations]
        ends = {"first": sizes[0], "last": sizes[-1], "least": min(sizes)}
        metrics |= {f"log_gradient_{end}_{number}": size for end, size in ends.items()}
        series |= spreads.series(f"_{number}")
    moments = [float(number) for number in range(1, len(found) + 1)]
    series["moments"] = {"x": moments, "y": [float(spreads.iteration) for spreads in found]}
    return metrics, series


def _file(folder: Path, done: int) -> Path:
    return folder / f"gradients_{done}.json"


def _weight(layer: nn.Module) -> nn.Parameter:
    assert isinstance(layer, nn.Conv2d)
    return layer.weight


def _deviation(values: torch.Tensor) -> float:
    # In double precision: the square of a small single underflows. Not every device has doubles.
    return float(values.cpu().double().std(correction=0))


def _quantiles(values: torch.Tensor) -> list[float]:
    few = values[:: max(1, len(values) // SORTED)].cpu().double()
    found: list[float] = torch.quantile(few, torch.tensor(LEVELS, dtype=few.dtype)).tolist()
    return found
