"""Counts: parameters and multiply-adds of every network the paper names. CPU, seconds."""

from dataclasses import dataclass
from typing import Any

from replab.recipe import Recipe
from replab.runs.experiment import Experiment, Plan, RunContext, RunResult, Variant

CIFAR_DEPTHS = (20, 32, 44, 56, 110)

COUNTED: tuple[Variant, ...] = (
    *({"model": f"cifar_resnet{d}", "shortcut": s} for d in (*CIFAR_DEPTHS, 1202) for s in "AB"),
    *({"model": f"cifar_plain{d}"} for d in CIFAR_DEPTHS),
    *({"model": f"resnet{d}", "shortcut": s} for d in (18, 34) for s in "AB"),
    *({"model": f"plain{d}"} for d in (18, 34)),
    *({"model": f"resnet{d}", "stride_on": s} for d in (50, 101, 152) for s in ("1x1", "3x3")),
    *({"model": f"vgg{d}"} for d in (16, 19)),
)


@dataclass(frozen=True, kw_only=True)
class CountRecipe(Recipe):
    """Sides of the images that networks are counted at, px."""

    cifar_px: int = 32
    imagenet_px: int = 224


def count(context: RunContext) -> RunResult:
    """Parameters and multiply-adds at the size the paper trains on (32² or 224² px)."""
    import torch

    from replab import models
    from replab.models.counting import count_macs, count_parameters

    options: dict[str, Any] = dict(context.variant)
    name = str(options.pop("model"))
    size = context.recipe.cifar_px if name.startswith("cifar") else context.recipe.imagenet_px
    with torch.device("meta"):
        model = models.create(name, **options)
    macs = count_macs(model, (1, 3, size, size))
    metrics = {
        "params": count_parameters(model),
        "macs": macs.total,
        "macs_conv": macs.conv,
        "gflops": macs.total / 1e9,
    }
    return RunResult(metrics, model=name)


COUNTS = Experiment(
    name="counts",
    metrics=("params", "macs", "macs_conv", "gflops"),
    version=1,
    changelog={1: "first version"},
    function=count,
    deterministic=True,
    cost=lambda variant, recipe: 0.1,
    plans={
        profile: Plan(COUNTED, recipe=CountRecipe()) for profile in ("quick", "standin", "paper")
    },
)
