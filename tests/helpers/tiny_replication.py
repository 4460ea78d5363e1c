"""A made-up checkout whose experiments take milliseconds, some of them ending badly."""

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from replab.runs.experiment import load_replication
from replab.runs.identity import RunSpec, plan_runs
from replab.runs.store import Store

EXPERIMENTS = '''
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

from replab.errors import CheckFailed, MissingData
from replab.recipe import Recipe
from replab.runs.experiment import Experiment, Plan, RunResult

NOTES = Path(os.environ["REPLAB_ROOT"]) / "notes"


@dataclass(frozen=True, kw_only=True)
class Toy(Recipe):
    scale: int = 10
    drops: tuple[int, ...] = (1, 2)


def note(context):
    """Leave one file per computation, so that tests can count them."""
    NOTES.mkdir(exist_ok=True)
    words = "-".join(str(v) for v in context.variant.values())
    name = f"{words}-s{context.seed}"
    (NOTES / f"{name}.{os.getpid()}.{time.monotonic_ns()}").touch()
    return name


def add(context):
    note(context)
    context.progress(0.5, "half way")
    (context.workspace / "scratch").write_text("kept until the record is there")
    total = context.variant["a"] + context.seed * context.recipe.scale
    return RunResult(
        {"sum": total, "third": total / 3},
        {"line": {"x": [0, 1], "y": [0, total]}},
        model="adder",
        iterations=2,
        throughput=12.345,
    )


def fail(context):
    note(context)
    if context.variant["a"] == 2:
        raise ZeroDivisionError("a number was\\ndivided by nothing")
    return RunResult({"sum": 1.0})


def check(context):
    raise CheckFailed("the loss is nan at iteration 7")


def lack(context):
    raise MissingData("the data are not on this machine; fetch them")


def number(context):
    return RunResult({"value": {"nan": float("nan"), "inf": float("inf"), "text": "1"}[
        context.variant["kind"]]})


def sleep(context):
    note(context)
    for step in range(100):
        time.sleep(context.variant["seconds"] / 100)
        context.progress((step + 1) / 100, "asleep")
    return RunResult({"slept": context.variant["seconds"]})


def die(context):
    name = note(context)
    if context.variant["times"] > len(list(NOTES.glob(f"{name}.*"))) - 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return RunResult({"deaths": context.variant["times"]})


def experiment(name, function, variants, *, seeds=(0,), **options):
    plan = Plan(variants, seeds=seeds, recipe=Toy(), split="all")
    return Experiment(name, 1, function, {"quick": plan}, {1: "first version"}, **options)


EXPERIMENTS = (
    experiment(
        "add", add, ({"a": 1, "b": "x"}, {"a": 2, "b": "x"}), seeds=(0, 1),
        cost=lambda variant, recipe: float(variant["a"]),
    ),
    experiment("fail", fail, ({"a": 1}, {"a": 2}, {"a": 3})),
    experiment("check", check, ({"a": 1},)),
    experiment("lack", lack, ({"a": 1},)),
    experiment("number", number, ({"kind": "nan"}, {"kind": "inf"}, {"kind": "text"})),
    experiment(
        "sleep", sleep, ({"seconds": 0.001}, {"seconds": 0.5}, {"seconds": 60}), seeds=range(4)
    ),
    experiment("die", die, ({"times": 0}, {"times": 1}, {"times": 1000}), seeds=range(6)),
    experiment("fixed", add, ({"a": 5},), deterministic=True),
)
'''

# What a test runs in a process of its own: all runs of some variants, and a line at the end.
DRIVER = """
import sys
from pathlib import Path

from replab.options import RunOptions
from replab.runs import executors
from replab.runs.experiment import load_replication
from replab.runs.identity import plan_runs
from replab.runs.store import Store

if __name__ == "__main__":
    experiment, wanted, workers = sys.argv[1], sys.argv[2].split(","), int(sys.argv[3])
    chosen = load_replication("tiny").experiments[experiment]
    specs = plan_runs("tiny", chosen, "quick", data=("", ""), device="cpu")
    specs = [s for s in specs if str(next(iter(s.variant.values()))) in wanted]
    placement = executors.Placement(("cpu",) * workers, RunOptions())
    errors = executors.run_all(specs, store=Store(), placement=placement)
    print(f"{len(specs)} specs, {len(errors)} errors")
"""


@pytest.fixture
def tiny(tmp_path, monkeypatch):
    """The checkout, its store, and short ways to its specs."""
    root = tmp_path / "checkout"
    folder = root / "replications" / "tiny"
    folder.mkdir(parents=True)
    (folder / "experiments.py").write_text(EXPERIMENTS, encoding="utf-8")
    (folder / "paper.yaml").write_text("citation: {}\n", encoding="utf-8")
    (root / "driver.py").write_text(DRIVER, encoding="utf-8")
    monkeypatch.setenv("REPLAB_ROOT", str(root))
    monkeypatch.setenv("REPLAB_STORE", str(root / ".replab"))
    # Set by runs in this process; put back afterwards.
    monkeypatch.setenv("OMP_NUM_THREADS", os.environ.get("OMP_NUM_THREADS", "1"))
    replication = load_replication("tiny")

    def specs(name: str, **variant: object) -> list[RunSpec]:
        experiment = replication.experiments[name]
        every = plan_runs("tiny", experiment, "quick", data=("", ""), device="cpu")
        return [s for s in every if variant.items() <= s.variant.items()]

    def computed() -> int:
        return len(list((root / "notes").glob("*")))

    def drive(*words: object, **options: object) -> subprocess.Popen:
        library = Path(sys.modules["replab"].__file__).parents[1]
        environment = {**os.environ, "PYTHONPATH": str(library)}
        command = [sys.executable, str(root / "driver.py"), *map(str, words)]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        return subprocess.Popen(command, env=environment, **{**pipes, **options})

    return SimpleNamespace(
        root=root,
        replication=replication,
        specs=specs,
        store=Store(),
        computed=computed,
        notes=root / "notes",
        drive=drive,
    )
