"""The trainings on LSP Extended from people to records, of both papers, with a tiny budget."""

import math
import os
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import dotted_people
from killed_runs import killed_after
from replab import datasets, models
from replab.datasets import lspet
from replab.errors import MissingData
from replab.keypoints.skeletons import LSP
from replab.models.counting import count_parameters
from replab.options import RunOptions
from replab.runs.execution import execute, make_context
from replab.runs.experiment import load_replication
from replab.runs.identity import plan_runs
from replab.runs.pose_runs import PoseTrainings
from replab.runs.store import Store
from replab.training.pose_recipes import HRNet, PoseResNet
from shared_files import need, shared_dir

ROOT = Path(__file__).resolve().parents[1]
TINY = {
    "hrnet": HRNet(model="pose_hrnet_w8", stem=8, bottlenecks=1, modules=(1, 1, 1)),
    "resnet": PoseResNet(model="pose_resnet10", width=8, deconv_channels=8),
}
BUDGET = {
    "iterations": 6,
    "drops": (4,),
    "batch_size": 4,
    "evaluate_every": 3,
    "glance_people": 4,
    "tail": 0.5,
    "curve_points": 3,
}
EXPERIMENTS = (
    ("hrnet", "lspet"),
    ("hrnet", "lspet_reduced"),
    ("simplebaseline", "lspet"),
    ("simplebaseline", "lspet_reduced"),
)


def experiment(paper, name):
    os.environ["REPLAB_ROOT"] = str(ROOT)
    return load_replication(paper).experiments[name]


def specs(paper, name):
    data = ("lspet-train", datasets.fingerprint("lspet-train"))
    known = experiment(paper, name)
    return plan_runs(paper, known, "standin", data=data, device="cpu", seeds=(0,))


def small(spec):
    """The same run with nets and a schedule that take seconds; what a row changes stays."""
    nets = {}
    for name, net in spec.recipe.nets.items():
        own = net.as_json()
        kept = {k: own[k] for k in ("deconv_layers", "deconv_kernel", "sigma") if k in own}
        nets[name] = replace(TINY["hrnet" if "hrnet" in net.model else "resnet"], **kept)
    changed = replace(spec.recipe, **BUDGET, input=(64, 64), nets=nets)
    return replace(spec, recipe=changed)


@pytest.fixture
def people(monkeypatch):
    monkeypatch.setenv("REPLAB_ROOT", str(ROOT))
    known = {
        f"lspet-{split}": dotted_people.people(9, LSP, seed=seed)
        for split, seed in (("train", 1), ("test", 2))
    }
    for poses in known.values():
        poses.visible[:] = 2
    monkeypatch.setattr(datasets, "open_poses", known.__getitem__)


def make_job(known, context):
    """The training that a run of an experiment is."""
    assert isinstance(known.function.__self__, PoseTrainings)
    return known.function.__self__.make_job(context)


@pytest.mark.faults
def test_trained_killed_resumed_and_scored(people, tmp_path, monkeypatch):
    """Of several stores of one run, that of the killed training holds the same numbers."""
    plan = specs("hrnet", "lspet_reduced")[0]
    run = small(plan)
    with killed_after(4):
        execute(run, str(tmp_path / "killed"), RunOptions())
    assert list((tmp_path / "killed").rglob("checkpoint.pt"))
    records = []
    for name in ("killed", "whole"):
        assert execute(run, str(tmp_path / name), RunOptions()) == plan.id
        records.append(Store(tmp_path / name).find(run))
    killed, whole = records
    assert killed.metrics == whole.metrics
    assert killed.series == whole.series
    assert 0 <= killed.metrics["pck"] <= 100
    assert killed.series["pck"]["x"] == [3, 6]
    assert len(killed.series["person_0"]["x"]) == 14


@pytest.mark.parametrize(("paper", "name"), EXPERIMENTS)
def test_each_variant_runs_and_is_probed(paper, name, people, tmp_path):
    known = experiment(paper, name)
    for spec in specs(paper, name):
        context = make_context(small(spec), RunOptions(), tmp_path, lambda share, text: None)
        job = make_job(known, context)
        training = job.training
        net = training.create(LSP, 0, "cpu")
        said = net(torch.zeros(1, 3, 64, 64))
        assert said.shape[-2:] == training.heatmaps()[0]
        assert known.cost(spec.variant, spec.recipe) > 0
    cost = known.probe(context)
    assert 0 < cost.seconds < 600
    metrics = known.function(context).metrics
    assert all(math.isfinite(value) for value in metrics.values())


def test_the_nets_are_the_papers(monkeypatch):
    """At full size: parameters as published but for the three joints fewer in the last layer."""
    monkeypatch.setenv("REPLAB_ROOT", str(ROOT))
    fewer = 3 * (32 + 1), 3 * (256 + 1)
    for paper, variant, published, lacks in (
        ("hrnet", {"net": "hrnet", "exchange": "all"}, 28_536_113, fewer[0]),
        ("hrnet", {"net": "simplebaseline"}, 33_999_697, fewer[1]),
        ("simplebaseline", {"row": "b"}, 32_950_609, fewer[1]),
        ("simplebaseline", {"row": "f"}, 68_635_473, fewer[1]),
    ):
        (spec,) = (s for s in specs(paper, "lspet") if dict(s.variant) == variant)
        context = make_context(spec, RunOptions(), Path(), lambda share, text: None)
        training = make_job(experiment(paper, "lspet"), context).training
        net = dict(training.options)
        with torch.device("meta"):
            found = count_parameters(models.create(training.model, num_joints=14, **net))
        assert found == published - lacks


def test_without_the_photographs_their_place_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("REPLAB_ROOT", str(ROOT))
    monkeypatch.setenv("REPLAB_DATA", str(tmp_path))
    run = small(specs("hrnet", "lspet")[0])
    context = make_context(run, RunOptions(), tmp_path, lambda share, text: None)
    with pytest.raises(MissingData, match=r"python -m replab fetch lspet"):
        experiment("hrnet", "lspet").function(context)


def test_real_photographs(tmp_path, monkeypatch):
    """Two dozen people of the set itself: cut out, augmented, learned, scored."""
    source = need(shared_dir() / "data/lspet/lspet_dataset.zip")
    monkeypatch.setenv("REPLAB_ROOT", str(ROOT))
    whole = {f"lspet-{split}": lspet.load(split, source=source) for split in ("train", "test")}
    monkeypatch.setattr(datasets, "open_poses", lambda name: whole[name].first(24))
    run = small(specs("hrnet", "lspet")[0])
    context = make_context(run, RunOptions(), tmp_path, lambda share, text: None)
    found = experiment("hrnet", "lspet").function(context)
    assert 0 <= found.metrics["pck"] <= 100
    assert found.series["train_loss"]["y"][-1] < found.series["train_loss"]["y"][0]
