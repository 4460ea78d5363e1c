"""All benchmarks."""

from fnmatch import fnmatchcase

from replab.bench import cifar, coco, heatmaps, ranks, topdown
from replab.bench.comparing import Benchmark, Result, measure
from replab.errors import UserError


def benchmarks() -> list[Benchmark]:
    """All benchmarks."""
    modules = (cifar, ranks, topdown, heatmaps, coco)
    return [part for module in modules for part in module.benchmarks()]


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
