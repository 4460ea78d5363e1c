"""Experiments of He et al. (CVPR 2016): counts, released weights, degradation on CIFAR-10."""

from collections.abc import Mapping
from typing import Any

from replab.runs.experiment import Experiment, Plan, RunContext, RunResult, Variant

CIFAR_DEPTHS = (20, 32, 44, 56, 110)
NETS = ("plain", "resnet")

# ---------------------------------------------------------------------------------------------
# counts: parameters and multiply-adds of every network the paper names. CPU, seconds.

COUNTED: tuple[Variant, ...] = (
    *({"model": f"cifar_resnet{d}", "shortcut": s} for d in (*CIFAR_DEPTHS, 1202) for s in "AB"),
    *({"model": f"cifar_plain{d}"} for d in CIFAR_DEPTHS),
    *({"model": f"resnet{d}", "shortcut": s} for d in (18, 34) for s in "AB"),
    *({"model": f"plain{d}"} for d in (18, 34)),
    *({"model": f"resnet{d}", "stride_on": s} for d in (50, 101, 152) for s in ("1x1", "3x3")),
    *({"model": f"vgg{d}"} for d in (16, 19)),
)


def count(context: RunContext) -> RunResult:
    """Parameters and multiply-adds at the size the paper trains on (32² or 224² px)."""
    import torch

    from replab import models
    from replab.models.counting import count_macs, count_parameters

    options: dict[str, Any] = dict(context.variant)
    name = str(options.pop("model"))
    size = context.recipe["cifar_px" if name.startswith("cifar") else "imagenet_px"]
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


# ---------------------------------------------------------------------------------------------
# released: published CIFAR-10 checkpoints on the 10,000 test images. About 10–60 s each.


def released_weights(variant: Variant) -> tuple[str, ...]:
    """What `replab fetch` has to bring for a variant."""
    return (f"weights:{variant['weights']}",)


def released_fingerprint(variant: Variant) -> str:
    """Fingerprint of a published checkpoint, known without it."""
    from replab.datasets import weights

    return weights.fingerprint(str(variant["weights"]))


def score_released(context: RunContext) -> RunResult:
    """Test error of a published checkpoint, one view, the checkpoint's own preprocessing."""
    from replab import datasets
    from replab.datasets import weights
    from replab.metrics.cifar import score_checkpoint

    images = datasets.open_set(context.data)
    score = score_checkpoint(
        weights.find(str(context.variant["weights"])),
        images.test_images,
        images.test_labels,
        device=context.device,
        progress=context.progress,
    )
    return RunResult({"test_error": score.error}, model=score.model)


def scored_cost(variant: Variant, recipe: Mapping[str, Any]) -> float:
    """Seconds on one core, about, for the estimate of the time left."""
    return 0.7 * float(str(variant["weights"]).removeprefix("cifar_resnet"))


# ---------------------------------------------------------------------------------------------
# degradation: plain and residual nets, seed by seed, small enough for a laptop.
# Expected: plain-56 trains far worse than plain-20; ResNet-56 nearly as well as ResNet-20.
# cifar: the recipe of §4.2. 64k iterations of 128: GPU-hours.


def train(context: RunContext) -> RunResult:
    """Train one net and report the last iterate: no selection on test images."""
    import torch

    from replab import datasets, models
    from replab.metrics.classification import predict, top_k_error
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
    warm = context.variant["depth"] in recipe.get("warm_up_depths", ())
    trained = train_classifier(
        model,
        training,
        {**recipe, "warm_up_rate": recipe["warm_up_rate"] if warm else None},
        seed=context.seed,
        device=context.device,
        precision=context.precision,
        checkpoint=context.workspace / "checkpoint.pt",
        progress=context.progress,
    )
    logits = predict(model, test.images, batch_size=1000, precision=context.precision)
    loss, error = trained.history.tail(recipe["tail"])
    where, losses, errors = trained.history.smoothed(recipe["curve_points"])
    return RunResult(
        {
            "train_loss": loss,
            "train_error": 100 * error,
            "test_error": top_k_error(logits, test.labels),
        },
        {
            "train_loss": {"x": where, "y": [round(v, 5) for v in losses]},
            "train_error": {"x": where, "y": [round(100 * v, 4) for v in errors]},
        },
        model=name,
        iterations=len(trained.history.loss),
        throughput=trained.throughput or None,
    )


def training_cost(variant: Variant, recipe: Mapping[str, Any]) -> float:
    """Work in units of network layers times images."""
    return (
        float(variant["depth"]) * recipe["iterations"] * recipe["batch_size"] * recipe["px"] ** 2
    )


QUICK_RECIPE = {
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

PAPER_RECIPE = {
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
}

EXPERIMENTS = (
    Experiment(
        name="counts",
        version=1,
        changelog={1: "first version"},
        function=count,
        deterministic=True,
        cost=lambda variant, recipe: 0.1,
        plans={
            profile: Plan(COUNTED, recipe={"cifar_px": 32, "imagenet_px": 224})
            for profile in ("quick", "standin", "paper")
        },
    ),
    Experiment(
        name="released",
        version=1,
        changelog={1: "first version"},
        function=score_released,
        deterministic=True,
        plans={
            profile: Plan(
                tuple({"weights": f"cifar_resnet{d}"} for d in depths),
                data=("cifar10",),
                split="test",
            )
            for profile, depths in {
                "quick": (20, 32),
                "standin": (20, 32, 44, 56, 110),
                "paper": (20, 32, 44, 56, 110, 1202),
            }.items()
        },
        needs={
            "quick": "CIFAR-10 and the published checkpoint (`python -m replab fetch`, 1–2 MB)",
            "standin": "CIFAR-10 and the published checkpoint (`python -m replab fetch`, 3–7 MB)",
            "paper": "CIFAR-10, the published checkpoint (78 MB) and a GPU or an hour",
        },
        cost=scored_cost,
        fetches=released_weights,
        fingerprint=released_fingerprint,
    ),
    Experiment(
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
    ),
    Experiment(
        name="cifar",
        version=1,
        changelog={1: "first version"},
        function=train,
        plans={
            "paper": Plan(
                tuple({"net": n, "depth": d} for n in NETS for d in CIFAR_DEPTHS),
                seeds=(0, 1, 2, 3, 4),
                recipe=PAPER_RECIPE,
                data=("cifar10",),
                split="50,000 training and 10,000 test images",
                precision="fp32",
            )
        },
        needs={"paper": "CIFAR-10 and GPU-days: five seeds of ten nets, 64,000 iterations each"},
        cost=training_cost,
    ),
)

ANSWERS = {
    "table6.resnet{depth}.params": "counts[model=cifar_resnet{depth},shortcut=A].params",
    "table6.resnet{depth}.params_a": "counts[model=cifar_resnet{depth},shortcut=A].params",
    "table6.resnet{depth}.params_b": "counts[model=cifar_resnet{depth},shortcut=B].params",
    "table6.resnet{depth}.macs_a": "counts[model=cifar_resnet{depth},shortcut=A].macs",
    "table6.resnet{depth}.macs_b": "counts[model=cifar_resnet{depth},shortcut=B].macs",
    **{
        f"table6.resnet{depth}.error": f"cifar[net=resnet,depth={depth}].test_error"
        for depth in CIFAR_DEPTHS
    },
    "fig6.left.plain110": "cifar[net=plain,depth=110].test_error",
    "akamaster.resnet{depth}.error": "released[weights=cifar_resnet{depth}].test_error",
    # Table 1 counts ResNet-18 and -34 with option A, deeper ones with the stride on the 1×1.
    **{f"table1.flops.{d}": f"counts[model=resnet{d},shortcut=A].gflops" for d in (18, 34)},
    **{
        f"table1.flops.{d}": f"counts[model=resnet{d},stride_on=1x1].gflops"
        for d in (50, 101, 152)
    },
    "text.flops.{net}": "counts[model={net}].gflops",
    "counts.resnet{depth}-a.{number}": "counts[model=resnet{depth},shortcut=A].{number}",
    "counts.resnet{depth}-b.{number}": "counts[model=resnet{depth},shortcut=B].{number}",
    "counts.resnet{depth}-v15.{number}": "counts[model=resnet{depth},stride_on=3x3].{number}",
    "counts.resnet{depth}.{number}": "counts[model=resnet{depth},stride_on=1x1].{number}",
    "counts.vgg{depth}.{number}": "counts[model=vgg{depth}].{number}",
}
