"""ImageNet: the nets of Tables 2 and 3 by the recipe of §3.4, scored on one and on ten crops.

What differs from the paper (mean, batch norm, "plateau", crops) says `deviations.yaml`.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from replab.runs.experiment import Cost, Experiment, Plan, RunContext, RunResult, Variant
from replab.training.recipe import TrainingRecipe

if TYPE_CHECKING:
    from torch import nn

    from replab.datasets.image_files import ImageFiles
    from replab.datasets.imagenet import ImageNet
    from replab.training.image_folders import FolderBatches

# Rows of Tables 2 and 3, and the networks that they are.
NETS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "plain18": ("plain18", {}),
    "plain34": ("plain34", {}),
    "resnet18-a": ("resnet18", {"shortcut": "A"}),
    "resnet34-a": ("resnet34", {"shortcut": "A"}),
    "resnet34-b": ("resnet34", {"shortcut": "B"}),
    "resnet34-c": ("resnet34", {"shortcut": "C"}),
    **{
        f"resnet{d}": (f"resnet{d}", {"shortcut": "B", "stride_on": "1x1"}) for d in (50, 101, 152)
    },
}
# Multiply-adds of an image at 224×224 px, in units of 10⁹.
GMACS = {
    "plain18": 1.795,
    "plain34": 3.644,
    "resnet18-a": 1.795,
    "resnet34-a": 3.644,
    "resnet34-b": 3.664,
    "resnet34-c": 3.831,
    "resnet50": 3.858,
    "resnet101": 7.570,
    "resnet152": 11.282,
}
PROBE_IMAGES = 256


@dataclass(frozen=True)
class Prepared:
    """A net and its images, ready to train."""

    name: str
    model: "nn.Module"
    batches: "FolderBatches"
    val: "ImageFiles"
    scoring: Mapping[str, Any]

    def errors(self, images: "ImageFiles", **options: Any) -> dict[str, float]:
        """Errors of the net as it is, percent; `options` as of `crop_errors`."""
        from replab.metrics.crops import crop_errors

        return crop_errors(self.model, images, **{**self.scoring, **options})


def prepare(images: "ImageNet", context: RunContext) -> Prepared:
    """Lay out the batches, draw the net's weights."""
    import torch

    from replab import models
    from replab.training.image_folders import Augmentation, FolderBatches

    recipe: ImagenetRecipe = context.recipe
    scoring = {
        "mean": recipe.mean,
        "short_side": recipe.short_side,
        "px": recipe.px,
        # One core feeds the device.
        "workers": context.options.threads - 1,
        "device": context.options.device,
        "precision": context.options.precision,
    }
    low, high = recipe.short_sides
    batches = FolderBatches(
        images.train,
        batch_size=recipe.batch_size,
        seed=context.seed,
        augmentation=Augmentation((low, high), recipe.px, lighting=recipe.lighting),
        mean=recipe.mean,
        device=context.options.device,
        workers=context.options.threads - 1,
    )
    torch.manual_seed(context.seed)
    name, options = NETS[str(context.variant["net"])]
    model = models.create(name, num_classes=len(images.classes), **options)
    model = model.to(context.options.device, memory_format=torch.channels_last)
    return Prepared(name, model, batches, images.val, scoring)


def train(context: RunContext) -> RunResult:
    """Train one net on ImageNet; see `train_on`."""
    from replab.datasets import imagenet

    return train_on(imagenet.load(), context)


def train_on(images: "ImageNet", context: RunContext) -> RunResult:
    """Train one net and score its last iterate on all validation images.

    On the way, every `evaluate_every` iterations, the centre crops of the validation images are
    scored too: for the curve, they decide nothing.
    """
    from replab.training import loop

    recipe: ImagenetRecipe = context.recipe
    ready = prepare(images, context)
    try:
        trained = loop.train(
            ready.model,
            ready.batches,
            recipe,
            seed=context.seed,
            options=context.options,
            checkpoint=context.workspace / "checkpoint.pt",
            progress=context.progress,
            evaluate=lambda net: ready.errors(ready.val, ten=False)["top1_1crop"],
        )
    finally:
        ready.batches.close()
    errors = ready.errors(ready.val, progress=lambda share, text: context.progress(1.0, text))
    metrics, series = trained.history.report(tail=recipe.tail, points=recipe.curve_points)
    return RunResult(
        {**errors, **metrics},
        series,
        model=ready.name,
        iterations=len(trained.history.loss),
        throughput=trained.throughput or None,
        engine=trained.engine,
    )


def probe(context: RunContext) -> Cost:
    """Cost of one training on ImageNet; see `probe_on`."""
    from replab.datasets import imagenet

    return probe_on(imagenet.load(), context)


def probe_on(images: "ImageNet", context: RunContext) -> Cost:
    """Cost of one training from its first ten steps, a batch of images and a few scored ones.

    The workers' first batches are all ready at once, so that the steps do not show what reading
    costs: one batch made in this process does, shared out among them.
    """
    from replab.training import probing

    recipe: ImagenetRecipe = context.recipe
    ready = prepare(images, context)
    workers = max(1, context.options.threads - 1)
    try:
        pace = probing.probe(
            ready.model,
            ready.batches,
            recipe,
            options=context.options,
            workspace=context.workspace,
        )
    finally:
        ready.batches.close()
    alone = ready.batches.alone()
    began = time.perf_counter()
    alone.batch(0)
    reading = (time.perf_counter() - began) / workers
    few = ready.val.first(PROBE_IMAGES)
    began = time.perf_counter()
    ready.errors(few, ten=False, workers=0)
    scoring = (time.perf_counter() - began) / len(few) / workers
    iterations = recipe.iterations
    looks = iterations // recipe.evaluate_every if recipe.evaluate_every else 1
    # The last look takes ten crops, hardly more than reading one where a GPU scores them.
    seconds = pace.start_s + iterations * max(pace.step_s, reading)
    return Cost(seconds + (looks + 1) * len(ready.val) * scoring, pace.checkpoint_bytes)


def training_cost(variant: Variant, recipe: "ImagenetRecipe") -> float:
    """Work in the units of the CIFAR trainings, which are some 2,000 multiply-adds."""
    return GMACS[str(variant["net"])] * 1e9 / 2000 * recipe.iterations * recipe.batch_size


@dataclass(frozen=True, kw_only=True)
class ImagenetRecipe(TrainingRecipe):
    """A training on ImageNet, and how it is scored.

    Attributes:
        px: side of a crop.
        short_sides: least and greatest short side, px, to which training images are scaled.
        short_side: to which validation images are scaled, px.
        mean: of each channel of 0–1 values.
        lighting: strength of the color augmentation, as of `image_folders.Augmentation`.
        tail: share of the iterations (0–1), the last ones, that training loss and error are means
            of.
        curve_points: about as many as the training curves have.
    """

    px: int
    short_sides: tuple[int, int]
    short_side: int
    mean: tuple[float, float, float]
    lighting: float
    tail: float
    curve_points: int


RECIPE = ImagenetRecipe(
    px=224,
    short_sides=(256, 480),
    short_side=256,
    # Of ImageNet's channels; source in replab.training.image_folders.
    mean=(0.485, 0.456, 0.406),
    lighting=0.1,
    iterations=600_000,
    batch_size=256,
    schedule="plateau",
    lr=0.1,
    plateau_window=5000,
    plateau_patience=3,
    plateau_least=0.002,
    plateau_drops=3,
    momentum=0.9,
    weight_decay=1e-4,
    evaluate_every=10_000,
    tail=0.02,
    curve_points=240,
)

IMAGENET = Experiment(
    name="imagenet",
    metrics=("top1_1crop", "top5_1crop", "top1_10crop", "top5_10crop"),
    version=1,
    changelog={1: "first version"},
    function=train,
    plans={
        "paper": Plan(
            tuple({"net": net} for net in NETS),
            seeds=(0, 1, 2),
            recipe=RECIPE,
            data=("imagenet",),
            split="1,281,167 training and 50,000 validation images of ILSVRC2012",
            precision="fp32",
        ),
    },
    needs={
        "paper": (
            "the images of ImageNet (ILSVRC2012), which their authors give out on request "
            "(`python -m replab fetch imagenet --from DIR`), and GPU-days: for three seeds of all "
            "nine nets about 53, an estimate from their multiply-adds at 25 Tflop/s, not measured"
        )
    },
    cost=training_cost,
    probe=probe,
    per_gpu=1,
)
