"""Where a training step's time goes, what compiling costs, how much memory a training takes."""

import multiprocessing
import os
import tempfile
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from replab.runs import provenance

# Operators of torch by what they are for; the first pattern that an operator's name holds decides.
PARTS: Mapping[str, tuple[str, ...]] = {
    "convolution": ("convolution", "conv2d"),
    "batch normalisation": ("batch_norm",),
    "ReLU": ("relu", "threshold", "clamp"),
    "update": ("sgd", "_fused"),
    "batches": ("gather", "index", "pad", "flip", "where", "arange"),
    "number formats and copies": ("copy", "_to_copy", "empty", "zero", "fill", "clone"),
    "additions": ("add",),
}
OTHER = "other"
WARM_UP = 2


@dataclass(frozen=True)
class Anatomy:
    """What a training step of one net consists of.

    Attributes:
        shares: part of the step → share of its time, 0–1, by torch's own profiler.
        compile_s: seconds until the first compiled step is done, caches empty; None without a C++
            compiler.
        peak_bytes: largest resident memory of a process that trains: ours, and the usual loop.
    """

    name: str
    shares: Mapping[str, float]
    compile_s: float | None
    peak_bytes: Mapping[str, int]


def examine(name: str) -> Anatomy:
    """Take one net's step apart; each measurement has a process of its own."""
    import shutil

    return Anatomy(
        name,
        _apart(step_shares, name),
        _apart(compile_seconds, name) if shutil.which("g++") else None,
        {way: _apart(peak_memory, name, way) for way in ("ours", "usual")},
    )


def _apart(function: Callable[..., Any], *words: Any) -> Any:
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        return pool.submit(function, *words).result()


def step_shares(name: str) -> dict[str, float]:
    """Share of each part in the time that the operators of a few steps take, largest first."""
    from torch.profiler import ProfilerActivity, profile

    from replab.bench.cifar import bare_step

    step = bare_step(name, compiled=False)
    for _ in range(WARM_UP):
        step()
    with profile(activities=[ProfilerActivity.CPU]) as found:
        step()
    times: dict[str, float] = {}
    for event in found.key_averages():
        part = part_of(event.key)
        times[part] = times.get(part, 0.0) + event.self_cpu_time_total
    whole = sum(times.values())
    ordered = sorted(times.items(), key=lambda item: -item[1])
    return {part: spent / whole for part, spent in ordered}


def part_of(operator: str) -> str:
    """The part of a step that an operator of torch belongs to."""
    name = operator.lower()
    for part, patterns in PARTS.items():
        if any(pattern in name for pattern in patterns):
            return part
    return OTHER


def compile_seconds(name: str) -> float:
    """Seconds until the first compiled steps are done, all caches empty."""
    with tempfile.TemporaryDirectory() as folder:
        # Read when torch's compiler is first used, in this process for the first time.
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = folder
        from replab.bench.cifar import bare_step

        step = bare_step(name, compiled=True)
        began = time.perf_counter()
        step()
        first = time.perf_counter() - began
        began = time.perf_counter()
        step()
        return first - (time.perf_counter() - began)


def peak_memory(name: str, way: str) -> int:
    """Largest resident memory of a process that trains, torch itself included."""
    from replab.bench import cifar

    images, labels = cifar.random_images()
    with ExitStack() as stack:
        if way == "ours":
            step = cifar.our_training(name, images, labels)
        else:
            step = cifar.usual_training(name, "in-memory", stack)
        step()
        step()
    return provenance.peak_memory("cpu")


def lines(anatomy: Anatomy) -> list[str]:
    """An anatomy in words."""
    parts = ", ".join(f"{part} {share:.0%}" for part, share in anatomy.shares.items())
    ours, usual = (anatomy.peak_bytes[way] / 2**20 for way in ("ours", "usual"))
    compiling = (
        "no C++ compiler here"
        if anatomy.compile_s is None
        else f"{anatomy.compile_s:.0f} s before the first step, caches empty"
    )
    return [
        f"{anatomy.name}, batch of 128:",
        f"  time of a step: {parts}",
        f"  compiling: {compiling}",
        f"  peak memory: {ours:.0f} MiB, the in-memory loop {usual:.0f} MiB",
    ]
