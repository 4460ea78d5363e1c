"""Trainings on CIFAR-10: degradation in minutes on a laptop, and the recipe of §4.2."""

from collections.abc import Mapping
from typing import Any

from replab.runs.experiment import Experiment, Plan, RunContext, RunResult, Variant

DEPTHS = (20, 32, 44, 56, 110)
NETS = ("plain", "resnet")


def train(context: RunContext) -> RunResult:
    """Train one net and report the last iterate: no selection on test images.

    With `evaluate_every` in the recipe, also the test error on the way (Fig. 6); with
    `response_images`, the layer responses at the end (Fig. 7).
    """
    import torch

    from replab import datasets, models
    from replab.metrics.classification import predict, top_k_error
    from replab.metrics.responses import response_std
    from replab.models.ghost import use_ghost_batches
    from replab.training import batches
    from replab.training.loop import train_classifier

    recipe, size = context.recipe, int(context.recipe["px"])
    images = datasets.open_set(context.data)
    used = slice(0, recipe["train_images"])
    mean = batches.per_pixel_mean(images.train_images[used], size)
    place: dict[str, Any] = {"size": size, "mean": mean, "device": context.device}
    training = batches.to_device(images.train_images[used], images.train_labels[used], **place)
    test = batches.to_device(images.test_images, images.test_labels, **place)
    torch.manual_seed(context.seed)
    name = f"cifar_{context.variant['net']}{context.variant['depth']}"
    model = models.create(name).to(context.device, memory_format=torch.channels_last)
    if recipe.get("ghost_batch"):
        use_ghost_batches(model, int(recipe["ghost_batch"]))
    precision = str(context.variant.get("precision", context.precision))
    glance = slice(0, recipe.get("glance_images"))

    def test_error(net: torch.nn.Module) -> float:
        logits = predict(net, test.images[glance], batch_size=1000, precision=precision)
        return top_k_error(logits, test.labels[glance])

    warm = context.variant["depth"] in recipe.get("warm_up_depths", ())
    trained = train_classifier(
        model,
        batches.shuffled(training, recipe, context.seed),
        {**recipe, "warm_up_rate": recipe["warm_up_rate"] if warm else None},
        seed=context.seed,
        device=context.device,
        precision=precision,
        checkpoint=context.workspace / "checkpoint.pt",
        progress=context.progress,
        evaluate=test_error if "evaluate_every" in recipe else None,
        compiled=context.compiled,
    )
    logits = predict(model, test.images, batch_size=1000, precision=precision)
    loss, error = trained.history.tail(recipe["tail"])
    metrics = {
        "train_loss": loss,
        "train_error": 100 * error,
        "test_error": top_k_error(logits, test.labels),
    }
    where, losses, errors = trained.history.smoothed(recipe["curve_points"])
    series = {
        "train_loss": {"x": where, "y": [round(v, 5) for v in losses]},
        "train_error": {"x": where, "y": [round(100 * v, 4) for v in errors]},
    }
    if trained.history.tests:
        done, found = zip(*trained.history.tests, strict=True)
        series["test_error"] = {"x": list(done), "y": [round(v, 4) for v in found]}
    if "response_images" in recipe:
        seen = test.images[: recipe["response_images"]]
        responses = response_std(model, seen, batch_size=500, precision=precision)
        metrics["response_std"] = sum(responses) / len(responses)
        layers = [float(i) for i in range(1, len(responses) + 1)]
        series["response_std"] = {"x": layers, "y": [round(v, 6) for v in responses]}
    return RunResult(
        metrics,
        series,
        model=name,
        iterations=len(trained.history.loss),
        throughput=trained.throughput or None,
        engine=trained.engine,
    )


def training_cost(variant: Variant, recipe: Mapping[str, Any]) -> float:
    """Work in units of network layers times images."""
    return (
        float(variant["depth"]) * recipe["iterations"] * recipe["batch_size"] * recipe["px"] ** 2
    )


QUICK_RECIPE: dict[str, Any] = {
    # Deviations from §4.2, each for the sake of minutes on a laptop: images averaged down to
    # 16×16 px, the first 20,000 training images, no augmentation, batches of 32, a cosine from
    # 0.02. At 0.05 and above, so short a run of ResNet-56 mostly shows its own start-up (tried on
    # seeds that are not used here).
    "px": 16,
    "train_images": 20_000,
    "iterations": 400,
    "batch_size": 32,
    "schedule": "cosine",
    "lr": 0.02,
    "warm_up_rate": None,
    "momentum": 0.9,
    "weight_decay": 1e-4,
    "augment": False,
    "tail": 0.2,
    "curve_points": 40,
}

PAPER_RECIPE: dict[str, Any] = {
    "px": 32,
    "train_images": 50_000,
    "iterations": 64_000,
    "batch_size": 128,
    "schedule": "steps",
    "lr": 0.1,
    "drops": [32_000, 48_000],
    "warm_up_rate": 0.01,
    "warm_up_depths": [110],
    "momentum": 0.9,
    "weight_decay": 1e-4,
    "augment": True,
    "tail": 0.02,
    "curve_points": 160,
    "evaluate_every": 1000,
    "glance_images": 10_000,
    "response_images": 10_000,
}


def shortened(recipe: Mapping[str, Any], factor: int) -> dict[str, Any]:
    """A recipe whose schedule takes a `factor`-th of the iterations; all else is as it was.

    The curve on the way is drawn from the first 2,000 test images and the responses from the first
    1,000: both are looked at, the final error takes them all.
    """
    return {
        **recipe,
        "shortened": factor,
        "iterations": recipe["iterations"] // factor,
        "drops": [drop // factor for drop in recipe["drops"]],
        "tail": 0.05,
        "curve_points": 64,
        "evaluate_every": recipe["iterations"] // factor // 16,
        "glance_images": 2000,
        "response_images": 1000,
    }


# How many times fewer iterations than the paper's: 1,000 instead of 64,000, with drops at 500 and
# 750. As far as two cores get with three seeds of four nets in about an hour.
STANDIN_FACTOR = 64

DEGRADATION = Experiment(
    name="degradation",
    version=1,
    changelog={1: "first version"},
    function=train,
    plans={
        "quick": Plan(
            tuple({"net": n, "depth": d} for n in NETS for d in (20, 56)),
            seeds=(0, 1, 2),
            recipe=QUICK_RECIPE,
            data=("cifar10", "generated-shapes"),
            split="first 20,000 training images at 16×16 px; all test images",
            precision="native",
        )
    },
    needs={"quick": "CIFAR-10 (170 MB) and about 5 minutes on two cores"},
    cost=training_cost,
)

SHORTENED = Experiment(
    name="shortened",
    version=1,
    changelog={1: "first version"},
    function=train,
    plans={
        "standin": Plan(
            tuple({"net": n, "depth": d} for n in NETS for d in (20, 56)),
            seeds=(0, 1, 2),
            recipe=shortened(PAPER_RECIPE, STANDIN_FACTOR),
            data=("cifar10",),
            split="50,000 training and 10,000 test images",
            precision="native",
        ),
    },
    needs={"standin": "CIFAR-10 (170 MB) and about an hour on two cores (`--compile`)"},
    cost=training_cost,
)

CIFAR = Experiment(
    name="cifar",
    version=1,
    changelog={1: "first version"},
    function=train,
    plans={
        "paper": Plan(
            tuple({"net": n, "depth": d} for n in NETS for d in DEPTHS),
            seeds=(0, 1, 2, 3, 4),
            recipe=PAPER_RECIPE,
            data=("cifar10",),
            split="50,000 training and 10,000 test images",
            precision="fp32",
        ),
    },
    needs={
        "paper": "CIFAR-10 and GPU-days: five seeds of ten nets, 64,000 iterations each",
    },
    cost=training_cost,
)

ANSWERS = {
    **{
        f"table6.resnet{depth}.error": f"cifar[net=resnet,depth={depth}].test_error"
        for depth in DEPTHS
    },
    "fig6.left.plain110": "cifar[net=plain,depth=110].test_error",
}
