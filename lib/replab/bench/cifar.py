"""Training and scoring of CIFAR-10 nets beside the loops that most repositories have."""

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

from replab.bench.comparing import Benchmark, Step
from replab.options import RunOptions
from replab.training.recipe import ImageRecipe

NETS = ("cifar_resnet20", "cifar_resnet56")
BATCH = 128
STEPS = 4


def benchmarks() -> list[Benchmark]:
    """Training and scoring of the nets of He et al. 2016 on CIFAR-10."""
    usual = "DataLoader with 2 workers, torchvision transforms, eager fp32, NCHW"
    in_memory = "the same eager fp32 NCHW loop on batches that are in memory"
    training = [
        Benchmark(
            f"train-{name}-{peer}",
            "images",
            text,
            BATCH * STEPS,
            lambda stack, name=name, peer=peer: _training(stack, name, peer),  # type: ignore[misc]
        )
        for name in NETS
        for peer, text in (("usual", usual), ("in-memory", in_memory))
    ]
    scoring = Benchmark(
        "score-cifar_resnet20",
        "images",
        "eager fp32 NCHW without folding",
        1000,
        lambda stack: _scoring(),
    )
    compiled = [
        Benchmark(
            f"train-{name}-compiled",
            "images",
            "our own step, not compiled",
            BATCH * STEPS,
            lambda stack, name=name: _compiled(name),  # type: ignore[misc]
        )
        for name in NETS
    ]
    return [*training, *compiled, scoring]


def _training(stack: ExitStack, name: str, peer: str) -> tuple[Step, Step]:
    images, labels = random_images()
    ours = our_training(name, images, labels)
    return ours, usual_training(name, peer, stack)


RECIPE = ImageRecipe(
    iterations=STEPS,
    batch_size=BATCH,
    schedule="steps",
    lr=0.01,
    drops=(),
    momentum=0.9,
    weight_decay=1e-4,
    augment=True,
)


def random_images() -> tuple[Any, Any]:
    """Images N×32×32×3 uint8 and labels N, without meaning."""
    import numpy as np

    images = np.random.default_rng(0).integers(0, 256, (4096, 32, 32, 3), dtype=np.uint8)
    return images, (np.arange(4096) % 10).astype(np.int64)


def our_batches(images: Any, labels: Any) -> Any:
    """The batches of our own loop: on the device, augmented there."""
    from replab.training import batches

    mean = batches.per_pixel_mean(images, 32)
    data = batches.to_device(images, labels, size=32, mean=mean, device="cpu")
    return batches.shuffled(data, RECIPE, seed=0)


def our_net(name: str) -> Any:
    """A net laid out as our own loop has it."""
    import torch

    from replab import models

    torch.manual_seed(0)
    return models.create(name).to(memory_format=torch.channels_last)


def our_training(name: str, images: Any, labels: Any) -> Step:
    """A few iterations of the loop as an experiment calls it."""
    from replab.hardware import native_precision
    from replab.training.loop import train

    model, source = our_net(name), our_batches(images, labels)
    options = RunOptions(precision=native_precision("cpu"))

    def step() -> None:
        train(model, source, RECIPE, seed=0, options=options)

    return step


def bare_step(name: str, *, compiled: bool) -> Step:
    """A few optimiser steps alone, eager or compiled."""
    import itertools

    import torch

    from replab.hardware import native_precision
    from replab.training.objectives import classification
    from replab.training.step import make_step

    model, source = our_net(name).train(), our_batches(*random_images())
    optimiser = torch.optim.SGD(
        model.parameters(), lr=0.01, momentum=0.9, weight_decay=1e-4, fused=True
    )
    engine = "compiled" if compiled else "eager"
    options = RunOptions(precision=native_precision("cpu"), engine=engine)
    step = make_step(model, optimiser, classification, options)
    count = itertools.count()

    def several() -> None:
        for _ in range(STEPS):
            loss, _ = step(*source.batch(next(count)))
            loss.item()

    return several


def _compiled(name: str) -> tuple[Step, Step]:
    return bare_step(name, compiled=True), bare_step(name, compiled=False)


def usual_training(name: str, peer: str, stack: ExitStack) -> Step:
    """A few iterations of the loop that most repositories have.

    Args:
        peer: `usual` with a DataLoader, `in-memory` on batches that are there.
    """
    import torch
    from torch.nn import functional

    from replab import models

    images, labels = random_images()
    source = _usual_batches(stack, images, labels) if peer == "usual" else _ready_batches(images)
    torch.manual_seed(0)
    model = models.create(name)
    optimiser = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, weight_decay=1e-4)

    def step() -> None:
        for _ in range(STEPS):
            images, labels = next(source)
            loss = functional.cross_entropy(model(images), labels)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            loss.item()

    return step


class _Pictures:
    """The usual data set: a PIL image and a chain of transforms at each look."""

    def __init__(self, images: Any, labels: Any) -> None:
        from torchvision import transforms

        self.images, self.labels = images, labels
        self.transform = transforms.Compose(
            [
                transforms.RandomCrop(32, 4),
                transforms.RandomHorizontalFlip(),
                transforms.ToTensor(),
                transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
            ]
        )

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Any:
        from PIL import Image

        return self.transform(Image.fromarray(self.images[index])), int(self.labels[index])


def _usual_batches(stack: ExitStack, images: Any, labels: Any) -> Iterator[Any]:
    from torch.utils.data import DataLoader

    loader: Any = DataLoader(
        _Pictures(images, labels),  # type: ignore[arg-type]
        BATCH,
        shuffle=True,
        num_workers=2,
        persistent_workers=True,
        drop_last=True,
    )

    def forever() -> Iterator[Any]:
        while True:
            yield from loader

    source = forever()
    stack.callback(lambda: setattr(loader, "_iterator", None))
    return source


def _ready_batches(images: Any) -> Iterator[Any]:
    import itertools

    import torch

    chunk = torch.from_numpy(images).permute(0, 3, 1, 2).float().div(255).contiguous()
    labels = torch.arange(len(chunk)) % 10
    pairs = [(chunk[i : i + BATCH], labels[i : i + BATCH]) for i in range(0, len(chunk), BATCH)]
    return itertools.cycle(pairs)


def _scoring() -> tuple[Step, Step]:
    import torch

    from replab import models
    from replab.metrics.classification import predict
    from replab.models.folding import fold_batch_norm

    torch.manual_seed(0)
    model = models.create("cifar_resnet20").eval()
    folded = fold_batch_norm(model).to(memory_format=torch.channels_last)
    images = torch.randn(1000, 3, 32, 32)
    ours = images.contiguous(memory_format=torch.channels_last)

    def score(net: Any, batch: Any) -> Step:
        return lambda: predict(net, batch, batch_size=250)

    return score(folded, ours), score(model, images)
