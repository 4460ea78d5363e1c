"""Counts of pose networks for an experiment: parameters and multiply-adds. CPU, no data."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from replab.recipe import Recipe
from replab.runs.experiment import PROFILES, Experiment, Plan, RunContext, RunResult, Variant

if TYPE_CHECKING:
    from replab.models.counting import Macs

NAME = "counts"
# What `count` gives.
METRICS = ("params", "macs", "gmacs", "gflops")
# Joints of COCO, whose tables most networks stand in; a variant may name another number.
NUM_JOINTS = 17


@dataclass(frozen=True, kw_only=True)
class CountRecipe(Recipe):
    """What counting is told beyond the variant.

    Attributes:
        num_joints: of networks whose variant names none.
    """

    num_joints: int = NUM_JOINTS


def measure(model: str, size: str, **options: Any) -> "tuple[int, Macs]":
    """Parameters of a pose network, and its multiply-adds for one crop.

    Args:
        model: name for `replab.models.create`.
        size: of the crop, height first, as papers write it: `256x192`.
        options: of the network, such as `num_joints`.

    Raises:
        UserError: there is no such network or option.
    """
    import torch

    from replab import models
    from replab.datasets.pose_weights import sides
    from replab.models.counting import count_macs, count_parameters

    width, height = sides(size)
    with torch.device("meta"):
        network = models.create(model, **options)
    return count_parameters(network), count_macs(network, (3, height, width))


def options_of(context: RunContext) -> dict[str, Any]:
    """The network's options in a variant: all of it but `model` and `input`."""
    named = {k: v for k, v in context.variant.items() if k not in ("model", "input")}
    return {"num_joints": context.recipe.num_joints, **named}


def count(context: RunContext) -> RunResult:
    """Parameters and multiply-adds of a variant's `model` at its `input`.

    Metrics: `params` and `macs` to the unit; `gmacs`, true multiply-adds in 10⁹; `gflops` by the
    convention of the HRNet and SimpleBaseline papers: in 2³⁰, a transposed convolution counted at
    its output's size.
    """
    name = str(context.variant["model"])
    parameters, macs = measure(name, str(context.variant["input"]), **options_of(context))
    metrics: dict[str, float] = {
        "params": parameters,
        "macs": macs.total,
        "gmacs": macs.total / 1e9,
        "gflops": macs.gflops_paper,
    }
    return RunResult(metrics, model=name)


def counts(
    variants: Sequence[Variant],
    *,
    recipe: CountRecipe | None = None,
    function: Callable[[RunContext], RunResult] = count,
    metrics: tuple[str, ...] = METRICS,
) -> Experiment:
    """The experiment `counts` of a paper, the same in all profiles.

    Args:
        variants: each a `model`, an `input` and options of the network.
        recipe: what `function` is told.
        function: `count`, or one that adds metrics of the paper's own to what it gives.
        metrics: names of all that it gives.
    """
    plan = Plan(tuple(variants), recipe=recipe or CountRecipe())
    return Experiment(
        name=NAME,
        metrics=metrics,
        version=1,
        changelog={1: "first version"},
        function=function,
        deterministic=True,
        cost=lambda variant, recipe: 0.3,
        plans=dict.fromkeys(PROFILES, plan),
    )
