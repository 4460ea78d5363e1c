"""Trainings of Convolutional Pose Machines, from a tiny budget to verdicts."""

import importlib
import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import dotted_people
from replab import datasets, models
from replab.claims import schema
from replab.claims.ledger import build
from replab.keypoints.skeletons import COCO, LSP
from replab.models.counting import count_parameters
from replab.models.cpm_context import stage_fields
from replab.runs import record as records
from replab.runs.identity import plan_runs
from replab.training.signals import LOG_FLOOR
from run_contexts import made_context

ROOT = Path(__file__).resolve().parents[2]
TINY = {
    "iterations": 6,
    "batch_size": 4,
    "moments": (2, 4, 6),
    "gradient_batches": 1,
    "context_people": 4,
    "belief_people": 2,
    "glance_people": 3,
    "evaluate_every": 3,
}
NARROW = {
    "tower": (2, 2, 2),
    "image_width": 2,
    "head_width": 2,
    "stage_width": 2,
    "input": (64, 64),
}


@pytest.fixture(scope="module")
def paper():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("REPLAB_ROOT", str(ROOT))
        yield schema.load("cpm")


@pytest.fixture
def sets(monkeypatch):
    known = {
        "people-train": dotted_people.people(8, COCO, truth=True),
        "people-test": dotted_people.people(6, COCO, seed=9, truth=True),
        "lspet-train": dotted_people.people(8, LSP),
        "lspet-test": dotted_people.people(6, LSP, seed=9),
    }
    monkeypatch.setattr(datasets, "open_poses", known.__getitem__)
    return known


def part(paper, name):
    assert paper.name == "cpm"
    return importlib.import_module(f"replications.cpm.{name}")


def context_of(spec, recipe, folder, name="run"):
    workspace = folder / name
    workspace.mkdir(exist_ok=True)
    return made_context(spec.variant, recipe, seed=spec.seed, data=spec.data, workspace=workspace)


def specs(experiment, profile, data):
    return plan_runs("cpm", experiment, profile, data=(data, "0" * 16), device="cpu")


def small_lspet(lspet):
    nets = {name: replace(net, **NARROW) for name, net in lspet.NETS.items()}
    return replace(lspet.RECIPE, **TINY, nets=nets, lr=1e-6)


def test_generated_people_to_verdicts(paper, sets, tmp_path):
    experiment = paper.replication.experiments["scaled"]
    trainings = part(paper, "trainings")
    done = []
    for spec in specs(experiment, "quick", "people-train"):
        recipe = replace(spec.recipe, **TINY, input=(48, 64))
        result = trainings.TRAININGS.run(context_of(spec, recipe, tmp_path, spec.id))
        done.append(records.make(spec, result, threads=1, provenance={}))
    assert len(done) == 6
    with_all = done[0]
    assert with_all.variant["supervision"] == "all"
    metrics = with_all.metrics
    assert metrics["ap_stage3"] == metrics["ap"]
    for name in ("ap_stage1", "ap_together_stage2", "ap_alone_stage3", "macs"):
        assert math.isfinite(metrics[name])
    assert LOG_FLOOR < metrics["log_gradient_first_1"] < 0
    shown = [name for name in with_all.series if name.startswith("belief_")]
    assert len(shown) == 2 * 3 + 1
    # The same start and the same crops: what differs is the loss alone.
    last = next(r for r in done if r.variant["supervision"] == "last" and r.seed == with_all.seed)
    assert last.series["log_gradient_1"]["y"] != with_all.series["log_gradient_1"]["y"]
    decided = {e.id: e for e in build(paper, "quick", done).select("quick.*")}
    claims = ("first-layer", "second-stage", "stages", "supervision", "context")
    assert set(decided) == {f"quick.{name}" for name in claims}
    assert all(entry.verdict != "not attempted" for entry in decided.values())
    # Even six steps show it.
    assert decided["quick.first-layer"].verdict == "reproduced"


@pytest.mark.parametrize("scheme", ["in-turn", "in-turn-then-all"])
def test_the_paper_s_net_stage_by_stage(paper, sets, tmp_path, scheme):
    lspet, trainings = part(paper, "lspet"), part(paper, "trainings")
    (spec,) = [
        s
        for s in specs(lspet.FULL, "standin", "lspet-train")
        if s.variant["supervision"] == scheme and s.seed == 0
    ]
    found = trainings.TRAININGS.run(context_of(spec, small_lspet(lspet), tmp_path))
    assert found.iterations == 6
    assert found.metrics["pck_stage3"] == found.metrics["pck"]
    assert 0 <= found.metrics["pck_far"] <= 100
    assert not any(name.startswith("log_gradient") for name in found.metrics)


def test_the_paper_s_net_at_once(paper, sets, tmp_path):
    lspet, trainings = part(paper, "lspet"), part(paper, "trainings")
    wanted = {"net": "base", "stages": 3, "supervision": "all"}
    (spec,) = [
        s
        for s in specs(lspet.FULL, "standin", "lspet-train")
        if s.variant == wanted and s.seed == 0
    ]
    context = context_of(spec, small_lspet(lspet), tmp_path)
    job = trainings.make_job(context)
    assert (job.training.channels, job.training.size, job.training.strides) == (
        *(4, (64, 64), (8, 8, 8)),
    )
    objective = job.training.objective
    assert (objective.supervision, objective.loss, objective.background) == ("all", "sum", True)
    found = trainings.TRAININGS.run(context)
    assert found.metrics["log_gradient_least_3"] <= found.metrics["log_gradient_first_3"]
    assert [len(found.series[name]["x"]) for name in ("moments", "pck")] == [3, 2]
    assert trainings.TRAININGS.probe(context).seconds > 0


def test_nets_of_figure_4_differ_in_their_fields_alone(paper):
    lspet = part(paper, "lspet")
    for nets, joints, least in ((lspet.NETS, 14, 100), (lspet.SMALL_NETS, 14, 15)):
        sizes, fields = [], []
        for side in lspet.KERNELS:
            net = replace(nets[lspet.kernel_net(side)], stages=lspet.FIELD_STAGES)
            with torch.device("meta"):
                made = models.create(net.model, num_joints=joints, **net.options())
            sizes.append(count_parameters(made))
            fields.append(stage_fields(made)[-1].size)
        assert max(sizes) / min(sizes) < 1.07
        assert fields == sorted(set(fields))
        assert fields[0] > least
    assert fields == [18, 50, 82, 114, 146]


def test_every_plan_can_be_made(paper):
    """Each variant's network, loss and phases exist."""
    lspet, trainings = part(paper, "lspet"), part(paper, "trainings")
    for experiment, count in ((lspet.FULL, 16), (lspet.REDUCED, 15)):
        plan = experiment.plans["standin"]
        variants = {tuple(v.items()) for v in plan.variants}
        assert len(variants) == len(plan.variants) == count
        for variant in plan.variants:
            net = trainings.net_of(variant, plan.recipe)
            with torch.device("meta"):
                models.create(net.model, num_joints=14, **net.options())
            assert experiment.cost(variant, plan.recipe) > 0
    schemes = [trainings.phases(scheme, 3) for scheme in trainings.SCHEMES]
    assert [len(found) for found in schemes] == [0, 3, 4, 0]
    assert all(sum(p.share for p in found) == pytest.approx(1) for found in schemes if found)
