"""Why gradients vanish or do not, and what each remedy buys: §4.1, Fig. 7, He et al. 2015 §2.2."""

import functools
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from replab.runs.experiment import PROFILES, Experiment, Plan, RunContext, RunResult, Variant
from replab.training.recipe import ImageRecipe

if TYPE_CHECKING:
    from replab.training.batches import DeviceImages
    from replab.training.signals import Signals


def _variant(
    net: str, depth: int, norm: str = "batch", activation: str = "relu", init: str = "he"
) -> Variant:
    return {"net": net, "depth": depth, "norm": norm, "activation": activation, "init": init}


# What each comparison changes, all else equal. Depth, batch normalisation and additions:
STRUCTURE = tuple(
    _variant(net, depth, norm)
    for norm in ("none", "batch")
    for net in ("plain", "resnet")
    for depth in (20, 56)
)
# The deepest nets at their initialisation alone: their training would cost more than all others.
DEEPEST = tuple(_variant(net, 110) for net in ("plain", "resnet"))
# Activation and initialisation, where nothing else helps (ReLU with He's is in STRUCTURE).
BARE = (
    *(_variant("plain", 20, "none", "relu", init) for init in ("xavier", "constant")),
    *(_variant("plain", 20, "none", a, i) for a in ("sigmoid", "tanh") for i in ("he", "xavier")),
)
# And batch normalisation given to the two worst of them.
RESCUED = (
    _variant("plain", 20, "batch", "relu", "constant"),
    _variant("plain", 20, "batch", "sigmoid", "xavier"),
)


@dataclass(frozen=True, kw_only=True)
class MechanismRecipe(ImageRecipe):
    """What is measured, and the few iterations in between.

    Attributes:
        px: side to which the images are averaged down.
        train_images: the first of the training images.
        probe_images: images of a measurement.
        untrained_depths: of nets that are measured at their start alone.
    """

    px: int
    train_images: int
    probe_images: int
    untrained_depths: tuple[int, ...]


def mechanism(context: RunContext) -> RunResult:
    """Responses and gradients of every 3×3 layer at the start and after some iterations.

    A loss, a response or a gradient that is no longer finite is a result here: the run is then
    recorded as `diverged`, without numbers of the moment it did not live to see.
    """
    import torch

    from replab import models
    from replab.training import batches, loop, signals
    from replab.training.loop import Diverged

    recipe: MechanismRecipe = context.recipe
    variant, device = context.variant, context.options.device
    training = _images(context.data, recipe.train_images, recipe.px, device)
    torch.manual_seed(context.seed)
    name = f"cifar_{variant['net']}{variant['depth']}"
    form = {option: str(variant[option]) for option in ("norm", "activation", "init")}
    model = models.create(name, **form).to(device, memory_format=torch.channels_last)
    probe = slice(0, recipe.probe_images)

    def measure() -> "Signals":
        images, labels = training.images[probe], training.labels[probe]
        return signals.measure(model, images, labels, precision=context.options.precision)

    moments = {"": measure()}
    iterations, throughput, engine, diverged = 0, None, "", False
    if variant["depth"] not in recipe.untrained_depths:
        try:
            trained = loop.train(
                model,
                batches.shuffled(training, recipe, context.seed),
                recipe,
                seed=context.seed,
                options=replace(context.options, engine="eager"),
                progress=context.progress,
            )
        except Diverged:
            diverged = True
        else:
            iterations, throughput = len(trained.history.loss), trained.throughput or None
            engine = trained.engine
            moments["_after"] = measure()
    diverged = diverged or not all(found.finite for found in moments.values())
    metrics: dict[str, float] = {"diverged": int(diverged)}
    series: dict[str, dict[str, list[float]]] = {}
    for moment, found in moments.items():
        if found.finite:
            numbers, curves = profile(found)
            metrics |= {f"{key}{moment}": value for key, value in numbers.items()}
            series |= {f"{key}{moment}": value for key, value in curves.items()}
    return RunResult(
        metrics,
        series,
        model=name,
        iterations=iterations,
        throughput=throughput,
        engine=engine,
    )


def profile(found: "Signals") -> tuple[dict[str, float], dict[str, dict[str, list[float]]]]:
    """Metrics and per-layer series of one moment, sizes as decimal logarithms.

    Ratios are taken along the way of the signal: the response of the last layer to that of the
    first, the gradient of the first to that of the last. Below zero, the signal fades.
    """
    from replab.training.signals import log10

    response = [log10(size) for size in found.response]
    gradient = [log10(size) for size in found.gradient]
    weight = [log10(size) for size in found.weight]
    layers = [float(layer) for layer in range(1, len(response) + 1)]
    metrics = {
        "loss": found.loss,
        "log_response_ratio": response[-1] - response[0],
        "log_gradient_first": gradient[0],
        "log_gradient_last": gradient[-1],
        "log_gradient_ratio": gradient[0] - gradient[-1],
        "log_weight_first": weight[0],
        "zero_gradients": sum(size == 0 for size in found.gradient),
    }
    curves = {"log_response": response, "log_gradient": gradient, "log_weight": weight}
    series = {
        name: {"x": layers, "y": [round(value, 4) for value in values]}
        for name, values in curves.items()
    }
    return metrics, series


@functools.lru_cache(maxsize=1)
def _images(data: str, count: int, size: int, device: str) -> "DeviceImages":
    """The training images; kept, since to make them takes as long as a run does."""
    from replab import datasets
    from replab.training import batches

    images = datasets.open_set(data)
    used = slice(0, count)
    mean = batches.per_pixel_mean(images.train_images[used], size)
    return batches.to_device(
        images.train_images[used], images.train_labels[used], size=size, mean=mean, device=device
    )


def cost(variant: Variant, recipe: "MechanismRecipe") -> float:
    """Work in units of network layers times images."""
    trained = variant["depth"] not in recipe.untrained_depths
    images = recipe.iterations * recipe.batch_size if trained else 0
    return float(variant["depth"]) * (images + 2 * recipe.probe_images) * recipe.px**2


RECIPE = MechanismRecipe(
    # Deviations from §4.2 as in the quick recipe of the trainings, and for its reasons.
    px=16,
    train_images=20_000,
    # As many as each of the paper's batch normalisations saw at once.
    probe_images=64,
    untrained_depths=(110,),
    iterations=24,
    batch_size=32,
    schedule="cosine",
    lr=0.02,
    momentum=0.9,
    weight_decay=1e-4,
    augment=False,
)

MECHANISM = Experiment(
    name="mechanism",
    version=1,
    changelog={1: "first version"},
    function=mechanism,
    plans={
        name: Plan(
            (*STRUCTURE, *DEEPEST, *BARE, *RESCUED),
            seeds=(0, 1, 2),
            recipe=RECIPE,
            data=("cifar10", "generated-shapes"),
            split="first 20,000 training images at 16×16 px",
            precision="fp32",
        )
        for name in PROFILES
    },
    needs=dict.fromkeys(PROFILES, "CIFAR-10 (170 MB) and about a minute on two cores"),
    cost=cost,
)
