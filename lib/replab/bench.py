"""Speeds, as ratios to a named peer measured in the same process run; never asserted in a test."""

import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from replab.errors import UserError

ROUNDS = 5
BATCH = 128
STEPS = 4


@dataclass(frozen=True)
class Result:
    """One benchmark.

    Attributes:
        ours, peer: items per second, medians over the rounds.
        ratio: median over the rounds of ours / peer, each taken side by side.
    """

    name: str
    unit: str
    ours: float
    peer: float
    ratio: float
    peer_name: str


Step = Callable[[], object]


@dataclass(frozen=True)
class Benchmark:
    """Two ways to do the same work.

    Attributes:
        items: how many items one call of a step handles.
        prepare: makes the two steps, ours first; what it opens is closed by the stack.
    """

    name: str
    unit: str
    peer_name: str
    items: int
    prepare: Callable[[ExitStack], tuple[Step, Step]]


def run_all(glob: str) -> list[Result]:
    """Measure the benchmarks whose names fit.

    Raises:
        UserError: none does.
    """
    chosen = [b for b in benchmarks() if fnmatchcase(b.name, glob)]
    if not chosen:
        names = ", ".join(b.name for b in benchmarks())
        raise UserError(f"no benchmark fits '{glob}'; there are: {names}")
    return [measure(benchmark) for benchmark in chosen]


def measure(benchmark: Benchmark, rounds: int = ROUNDS) -> Result:
    """Run ours and the peer in turn, so that a machine whose speed drifts is fair to both."""
    with ExitStack() as stack:
        ours, peer = benchmark.prepare(stack)
        ours(), peer()  # the first call builds kernels and starts workers
        speeds: tuple[list[float], list[float]] = ([], [])
        for _ in range(rounds):
            for step, found in zip((ours, peer), speeds, strict=True):
                began = time.perf_counter()
                step()
                found.append(benchmark.items / (time.perf_counter() - began))
    ratios = [a / b for a, b in zip(*speeds, strict=True)]
    return Result(
        benchmark.name,
        benchmark.unit,
        statistics.median(speeds[0]),
        statistics.median(speeds[1]),
        statistics.median(ratios),
        benchmark.peer_name,
    )


def benchmarks() -> list[Benchmark]:
    """All benchmarks."""
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
        for name in ("cifar_resnet20", "cifar_resnet56")
        for peer, text in (("usual", usual), ("in-memory", in_memory))
    ]
    scoring = Benchmark(
        "score-cifar_resnet20",
        "images",
        "eager fp32 NCHW without folding",
        1000,
        lambda stack: _scoring(),
    )
    return [*training, scoring]


def _training(stack: ExitStack, name: str, peer: str) -> tuple[Step, Step]:
    import numpy as np

    images = np.random.default_rng(0).integers(0, 256, (4096, 32, 32, 3), dtype=np.uint8)
    labels = (np.arange(4096) % 10).astype(np.int64)
    ours = _our_training(name, images, labels)
    source = _usual_batches(stack, images, labels) if peer == "usual" else _ready_batches(images)
    return ours, _usual_training(name, source)


def _our_training(name: str, images: Any, labels: Any) -> Step:
    import torch

    from replab import models
    from replab.runs.hardware import native_precision
    from replab.training import batches
    from replab.training.loop import train_classifier

    torch.manual_seed(0)
    model = models.create(name).to(memory_format=torch.channels_last)
    mean = batches.per_pixel_mean(images, 32)
    data = batches.to_device(images, labels, size=32, mean=mean, device="cpu")
    recipe: dict[str, Any] = {
        "iterations": STEPS,
        "batch_size": BATCH,
        "schedule": "steps",
        "lr": 0.01,
        "drops": [],
        "momentum": 0.9,
        "weight_decay": 1e-4,
        "augment": True,
    }

    source = batches.shuffled(data, recipe, seed=0)

    def step() -> None:
        precision = native_precision("cpu")
        train_classifier(model, source, recipe, seed=0, device="cpu", precision=precision)

    return step


def _usual_training(name: str, source: Iterator[Any]) -> Step:
    import torch
    from torch.nn import functional

    from replab import models

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
