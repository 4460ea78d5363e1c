"""A tiny training, its record, its file: the file scores as the record says, to the last digit."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import dotted_people
from replab import datasets
from replab.cli import main
from replab.datasets import ImageSet
from replab.keypoints.skeletons import LSP
from replab.models.own_weights import COMMITTED_BYTES, load_network, write
from replab.options import RunOptions
from replab.runs.experiment import PROFILES, load_replication, papers
from replab.runs.identity import plan_runs
from replab.runs.store import Store
from replab.training.pose_recipes import PoseResNet
from run_contexts import made_context

ROOT = Path(__file__).resolve().parents[1]
TINY = {
    "train_images": 64,
    "iterations": 4,
    "drops": (2, 3),
    "batch_size": 16,
    "evaluate_every": 4,
    "glance_images": 8,
    "response_images": 8,
}


@pytest.fixture
def sets(monkeypatch, tmp_path):
    """Small sets under the names of CIFAR-10 and LSP Extended, and a store of this test."""
    monkeypatch.setenv("REPLAB_ROOT", str(ROOT))
    monkeypatch.setenv("REPLAB_STORE", str(tmp_path / "store"))
    generator = np.random.default_rng(7)
    pictures = generator.integers(0, 256, (200, 32, 32, 3), np.uint8)
    labels = generator.integers(0, 10, 200).astype(np.uint8)
    # Brighter pictures are of later classes, so that there is something to learn.
    pictures = (pictures // 3 + 17 * labels[:, None, None, None]).astype(np.uint8)
    parts = (pictures[:64], labels[:64], pictures[64:], labels[64:])
    known = ImageSet("cifar10", "f" * 16, *parts, classes=tuple("abcdefghij"))
    monkeypatch.setattr(datasets, "open_set", {"cifar10": known}.__getitem__)
    people = {
        f"lspet-{split}": dotted_people.people(9, LSP, seed=seed)
        for split, seed in (("train", 1), ("test", 2))
    }
    for poses in people.values():
        poses.visible[:] = 2
    monkeypatch.setattr(datasets, "open_poses", people.__getitem__)


def first_run(paper, name, recipe, *, profile="standin", precision="fp32", **variant):
    """The first seed's run of a variant, under a changed recipe."""
    experiment = load_replication(paper).experiments[name]
    plan = experiment.plans[profile]
    data = (plan.data[0], datasets.fingerprint(plan.data[0]))
    specs = plan_runs(paper, experiment, profile, data=data, device="cpu", seeds=(0,))
    spec = next(s for s in specs if variant.items() <= s.variant.items())
    return replace(spec, precision=precision, recipe=replace(spec.recipe, **recipe))


def executed(spec, **options):
    from replab.runs.execution import execute

    store = Store()
    execute(spec, str(store.folder), RunOptions(**options))
    return store.find(spec)


def printed(capsys, *words):
    capsys.readouterr()
    assert main(list(map(str, words))) == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_cifar(sets, tmp_path, capsys, precision):
    spec = first_run("resnet", "shortened", TINY, precision=precision, net="plain", depth=20)
    record = executed(spec)
    file = tmp_path / "plain20.safetensors"
    assert f"sha256 {record.weights['sha256']}" in printed(
        capsys, "export", record.id, "--out", file
    )
    error = record.metrics["test_error"]
    assert 0 < error < 95
    found = json.loads(printed(capsys, "score", "cifar10", "--weights", file, "--json"))
    assert found["error"] == error
    assert found["n"] == 136
    assert found["model"] == "cifar_plain20"
    alone = json.loads(printed(capsys, "score", file, "--device", "cpu", "--json"))
    assert alone["scores"] == alone["recorded"] == {"test_error": error}
    assert (alone["run"], alone["precision"], alone["n"]) == (record.id, precision, 136)
    assert alone["trained_on"]["fingerprint"] == datasets.fingerprint("cifar10")
    assert "as its record says" in printed(capsys, "score", file, "--device", "cpu")


def test_a_pose_net_whose_plan_keeps_nothing(sets, tmp_path, capsys):
    net = PoseResNet(model="pose_resnet10", width=8, deconv_channels=8)
    recipe = {
        "iterations": 30,
        "batch_size": 8,
        "lr": 0.01,
        "warm_up_iterations": 2,
        "evaluate_every": 30,
        "glance_people": 3,
        "input": (64, 64),
        "codec": "udp",
        "sigma": 2.0,
        "nets": {"simplebaseline": net},
    }
    spec = first_run("hrnet", "lspet_reduced", recipe, precision="bf16", net="simplebaseline")
    assert executed(spec).weights is None
    record = executed(spec, keep_weights=True)
    file = tmp_path / "net.safetensors"
    printed(capsys, "export", record.id, "--out", file)
    found = json.loads(printed(capsys, "score", file, "--device", "cpu", "--json"))
    assert found["scores"] == found["recorded"] == {"pck": record.metrics["pck"]}
    assert (found["model"], found["n"], found["precision"]) == ("pose_resnet10", 9, "bf16")


def test_a_net_of_several_heads_is_read_where_it_was_scored(sets, tmp_path, capsys):
    from replab.runs import pose_runs
    from replab.topdown.predict import Reading

    plan = load_replication("own_nets").experiments["pose"].plans["standin"]
    tiny = {"iterations": 20, "batch_size": 8, "warm_up_iterations": 2, "lr": 0.01}
    recipe = replace(plan.recipe, **tiny, input=(64, 64), evaluate_every=20, shown_people=0)
    form = {"head": "each", "stem": 8, "bottlenecks": 1, "modules": [1, 1, 1], "blocks": 1}
    context = made_context({}, recipe, data="lspet-train", workspace=tmp_path)
    own = pose_runs.recipe_codec(recipe)
    readings = {"": Reading(own, head=1), "_finest": Reading(own)}
    job = pose_runs.job(
        *(recipe, "pose_hrnet_w8", form), strides=(4, 8, 16, 32), readings=readings
    )
    result = pose_runs.run(context, job)
    assert result.metrics["pck"] != result.metrics["pck_finest"]
    net, about = result.weights()
    file = tmp_path / "heads.safetensors"
    write(file, net, replace(about, run="0" * 16, paper="own_nets", data={"name": "lspet-train"}))
    found = json.loads(printed(capsys, "score", file, "--device", "cpu", "--json"))
    assert found["scores"] == found["recorded"] == {"pck": result.metrics["pck"]}


def test_the_nets_that_are_shipped(sets):
    """Each is small enough to be committed, keeps its weights, and says how it is used."""
    from replab.models.counting import count_parameters

    tiny = {"iterations": 2, "batch_size": 4, "evaluate_every": 2, "glance_people": 3}
    plan = load_replication("own_nets").experiments["pose"].plans["standin"]
    for variant in plan.variants:
        spec = first_run("own_nets", "pose", tiny, **variant)
        record = executed(spec)
        assert 0 < record.weights["bytes"] < COMMITTED_BYTES
        net, about = load_network(Store().weights(spec.id))
        assert count_parameters(net) == record.metrics["params"] < 1e6
        assert about.size == plan.recipe.input
        assert (about.skeleton, about.codec, about.sigma) == ("lsp", "udp", 1.0)
        assert about.data["name"] == "lspet-train"
        assert "Johnson and Everingham" in about.licence
        assert about.scores == {"pck": record.metrics["pck"]}


def test_what_cannot_be_scored_is_one_line(sets, tmp_path, capsys):
    small = {**TINY, "px": 16}
    record = executed(first_run("resnet", "shortened", small, net="plain", depth=20))
    file = tmp_path / "small.safetensors"
    printed(capsys, "export", record.id, "--out", file)
    for words in (("score", file), ("score", "cifar10", "--weights", file)):
        assert main(list(map(str, words))) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert "of a net for images of 16×16 px, those to score have 32×32 px" in line
    damaged = bytearray(file.read_bytes())
    damaged[-1] ^= 1
    file.write_bytes(damaged)
    assert main(["score", str(file)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "is damaged: its numbers are not those that were written" in line


def test_quick_runs_keep_nothing():
    plans = {
        (paper, experiment.name, profile): experiment.plans[profile].keeps_weights
        for paper in papers()
        for experiment in load_replication(paper).experiments.values()
        for profile in PROFILES
        if profile in experiment.plans
    }
    assert not any(keeps for (_, _, profile), keeps in plans.items() if profile == "quick")
    kept = {place for place, keeps in plans.items() if keeps}
    assert kept == {
        *(("resnet", "shortened", "standin"), ("resnet", "eighth", "standin")),
        ("resnet", "cifar", "paper"),
    }
