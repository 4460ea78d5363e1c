"""The ImageNet experiment from files to metrics, on a set of its layout with three classes."""

import importlib.util
import math
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import tiny_imagenet as tiny
from planned import made_plan
from replab import models
from replab.claims.schema import load
from replab.datasets import imagenet as images
from replab.errors import MissingData
from replab.models.counting import count_macs
from replab.options import RunOptions
from replab.runs.experiment import load_replication
from run_contexts import made_context

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def experiment(monkeypatch):
    """The module of the experiment."""
    monkeypatch.setenv("REPLAB_ROOT", str(ROOT))
    load_replication("resnet")
    # Not by name: experiments.py need not have imported it.
    return importlib.import_module("replications.resnet.imagenet")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny.write(tmp_path_factory.mktemp("imagenet"))


def context(experiment, workspace, *, net="resnet18-a", threads=1, told=None, **recipe):
    """A run of one net at 32 px for a few iterations."""
    small = {"px": 32, "short_sides": (36, 48), "short_side": 40, "batch_size": 4}
    small |= {"iterations": 4, "evaluate_every": 2, "curve_points": 2, "tail": 0.5, "lr": 0.01}
    workspace.mkdir(exist_ok=True)
    return made_context(
        {"net": net},
        replace(experiment.RECIPE, **{**small, **recipe}),
        data="imagenet",
        options=RunOptions(threads=threads),
        workspace=workspace,
        progress=told or (lambda share, text: None),
    )


def run(experiment, folder, workspace, **options):
    """Train on the small set."""
    found = images.load(folder, extent=tiny.EXTENT)
    return experiment.train_on(found, context(experiment, workspace, **options))


KILLED = """
import importlib.util, multiprocessing, sys, time
from pathlib import Path
import torch
torch.set_num_threads(1)
sys.path.insert(0, str(Path(sys.argv[1]).with_name("helpers")))
spec = importlib.util.spec_from_file_location("test_imagenet_end_to_end", sys.argv[1])
tests = importlib.util.module_from_spec(spec)
spec.loader.exec_module(tests)
tests.load_replication("resnet")
from replab.training import loop
loop.CHECKPOINT_EVERY_S = 0.0
experiment = importlib.import_module("replications.resnet.imagenet")

def told(share, text):
    print(text, flush=True)
    if text.startswith("iteration 3,"):
        print(*(child.pid for child in multiprocessing.active_children()), flush=True)
        time.sleep(600)

tests.run(experiment, Path(sys.argv[2]), Path(sys.argv[3]), threads=2, told=told)
"""


def is_there(process):
    """Whether a process runs; one that ended and was not asked for its status does not."""
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


@pytest.mark.faults
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks at processes in /proc")
def test_trained_killed_resumed_and_scored(experiment, folder, tmp_path):
    """The numbers are those of an undisturbed training, though workers made half the batches."""
    words = [__file__, str(folder), str(tmp_path / "killed")]
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, *words],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT / "lib")},
    )
    whole = run(experiment, folder, tmp_path / "whole")
    assert set(whole.metrics) == {
        *("top1_1crop", "top5_1crop", "top1_10crop", "top5_10crop"),
        *("train_loss", "train_error"),
    }
    assert all(math.isfinite(value) for value in whole.metrics.values())
    assert whole.metrics["top5_10crop"] == 0
    # Six images: errors come in sixths.
    assert whole.metrics["top1_10crop"] in [pytest.approx(100 * n / 6) for n in range(7)]
    assert whole.series["test_error"]["x"] == [2, 4]
    assert whole.series["test_error"]["y"][-1] == pytest.approx(
        whole.metrics["top1_1crop"], abs=1e-4
    )
    assert len(whole.series["train_loss"]["y"]) == len(whole.series["train_error"]["y"]) == 2
    assert (whole.model, whole.iterations) == ("resnet18", 4)

    line = ""
    while not line.startswith("iteration 3,"):
        line = process.stdout.readline()
        assert line, "it ended before it was killed"
    (worker,) = map(int, process.stdout.readline().split())
    os.kill(worker, 0)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    deadline = time.monotonic() + 20
    while is_there(worker):
        assert time.monotonic() < deadline, "its worker goes on"
        time.sleep(0.05)
    shares = []
    resumed = run(
        experiment,
        folder,
        tmp_path / "killed",
        threads=3,
        told=lambda share, text: shares.append(share),
    )
    # It was killed between the third step and its checkpoint.
    assert shares[0] == 3 / 4
    assert resumed.metrics == whole.metrics
    assert resumed.series == whole.series


def test_a_probe_says_what_a_training_costs(experiment, folder, tmp_path):
    found = images.load(folder, extent=tiny.EXTENT)
    costs = [
        experiment.probe_on(
            found,
            context(experiment, tmp_path / str(n), threads=2, iterations=n, batch_size=2),
        )
        for n in (1000, 101_000)
    ]
    # A step of two images at 32 px takes between a millisecond and a second.
    assert 100 < costs[1].seconds - costs[0].seconds < 1e5
    # Weights and momentum, in float32.
    assert costs[0].checkpoint_bytes > 2 * 4 * 11e6


def test_it_learns(experiment, folder, tmp_path):
    """Brightness tells the classes: 30 batches let a plain net tell it of unseen images too."""
    recipe = {"iterations": 30, "batch_size": 12, "lr": 0.002, "tail": 0.1, "evaluate_every": 0}
    result = run(experiment, folder, tmp_path, net="plain18", **recipe)
    assert result.metrics["train_error"] <= 10
    assert result.metrics["top1_1crop"] == result.metrics["top1_10crop"] == 0
    assert result.series["test_error"] == {"x": [30], "y": [0.0]}
    assert result.model == "plain18"


def test_the_plan_is_the_paper_s(experiment):
    (profile,) = experiment.IMAGENET.plans
    plan = experiment.IMAGENET.plans[profile]
    assert profile == "paper"
    assert plan.data == ("imagenet",)
    assert [v["net"] for v in plan.variants] == list(experiment.NETS) == list(experiment.GMACS)
    selectors = [c.selector for c in load("resnet").claims.values() if c.selector]
    decided = [dict(s.variant) for s in selectors if s.experiment == "imagenet"]
    recipe = plan.recipe
    assert (recipe.batch_size, recipe.lr, recipe.momentum) == (256, 0.1, 0.9)
    assert (recipe.weight_decay, recipe.iterations) == (1e-4, 600_000)
    assert (recipe.short_sides, recipe.px, recipe.short_side) == ((256, 480), 224, 256)
    for net, (name, options) in experiment.NETS.items():
        with torch.device("meta"):
            model = models.create(name, **options)
        macs = count_macs(model, (1, 3, 224, 224)).total
        assert experiment.GMACS[net] == pytest.approx(macs / 1e9, abs=6e-4)
        assert {"net": net} in decided


def test_without_the_images_it_is_skipped_with_the_mend(experiment, tmp_path, monkeypatch):
    monkeypatch.setenv("REPLAB_DATA", str(tmp_path / "none"))
    replication = load_replication("resnet")
    alone = type(replication)("resnet", {"imagenet": experiment.IMAGENET})
    for may_fetch in (False, True):
        planned = made_plan(alone, "paper", device="cuda", may_fetch=may_fetch)
        assert planned.specs == []
        why = planned.skipped["imagenet"]
        assert "python -m replab fetch imagenet --from DIR" in why
        assert "\n" not in why
    assert made_plan(alone, "quick", device="cpu").skipped == {}
    with pytest.raises(MissingData, match="imagenet is not on this machine"):
        images.load()
