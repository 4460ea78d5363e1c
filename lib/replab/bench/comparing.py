"""A benchmark: two ways to do the same work, timed in turn."""

import statistics
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass

ROUNDS = 5


@dataclass(frozen=True)
class Result:
    """One benchmark.

    Attributes:
        ours, peer: items per second, medians over the rounds.
        ratio: median over the rounds of ours / peer, each taken side by side.
        start_s: seconds that the first call of ours takes beyond a usual one (compiling).
    """

    name: str
    unit: str
    ours: float
    peer: float
    ratio: float
    peer_name: str
    start_s: float


Step = Callable[[], object]


@dataclass(frozen=True)
class Benchmark:
    """Two ways to do the same work.

    Attributes:
        items: how many items one call of a step handles.
        prepare: makes the two steps, ours first; what it opens is closed by the stack.
        rounds: how often the two are timed, after a first call that is not.
    """

    name: str
    unit: str
    peer_name: str
    items: int
    prepare: Callable[[ExitStack], tuple[Step, Step]]
    rounds: int = ROUNDS


def measure(benchmark: Benchmark, rounds: int | None = None) -> Result:
    """Run ours and the peer in turn, so that a machine whose speed drifts is fair to both.

    Args:
        rounds: instead of the benchmark's own.
    """
    with ExitStack() as stack:
        ours, peer = benchmark.prepare(stack)
        # The first call builds kernels and starts workers.
        first = _seconds(ours)
        peer()
        speeds: tuple[list[float], list[float]] = ([], [])
        for _ in range(rounds or benchmark.rounds):
            for step, found in zip((ours, peer), speeds, strict=True):
                found.append(benchmark.items / _seconds(step))
    ratios = [a / b for a, b in zip(*speeds, strict=True)]
    return Result(
        benchmark.name,
        benchmark.unit,
        statistics.median(speeds[0]),
        statistics.median(speeds[1]),
        statistics.median(ratios),
        benchmark.peer_name,
        max(0.0, first - benchmark.items / statistics.median(speeds[0])),
    )


def _seconds(step: Step) -> float:
    began = time.perf_counter()
    step()
    return time.perf_counter() - began
