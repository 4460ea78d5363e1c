"""The trainings on COCO from files to records, on a small set in its layout, and their recipes."""

import importlib
import json
import math
import os
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch

import tiny_pose_sets as tiny
from killed_runs import killed_after
from replab import datasets, models
from replab.datasets import coco, coco_detections, pose_weights
from replab.errors import MissingData, UserError
from replab.models.counting import count_parameters
from replab.models.loading import read_checkpoint
from replab.options import RunOptions
from replab.runs.execution import execute, make_context
from replab.runs.experiment import load_replication
from replab.runs.identity import plan_runs
from replab.runs.store import Store
from replab.training.pose_pictures import PictureBatches
from replab.training.pose_recipes import CocoNetOptions, CocoSchedule
from replab.training.poses import make_batches

ROOT = Path(__file__).resolve().parents[1]
TINY = {"stem": 8, "bottlenecks": 1, "modules": (1, 1, 1), "blocks": 1}


@dataclass(frozen=True, kw_only=True)
class TinyOptions(CocoNetOptions):
    """Those of nets that take seconds, too."""

    stem: int | None = None
    bottlenecks: int | None = None
    modules: tuple[int, ...] | None = None
    blocks: int | None = None
    width: int | None = None
    deconv_channels: int | None = None


SMALL = {
    "batch_size": 4,
    "evaluate_every": 3,
    "glance_people": 4,
    "tail": 0.5,
    "curve_points": 5,
    "sigmas": {"128x96": 1.0, "256x192": 2.0, "384x288": 3.0},
}
SCHEDULE = CocoSchedule(iterations=6, drops=(4, 5))
# A variant of the plan that begins with ImageNet weights, and the one that it is compared with.
OURS = {"net": "w32", "input": "128x96", "init": "imagenet", "head": "1x"}
THEIRS = {"net": "sb-r50", "input": "128x96"}


def module():
    """The replication's own module, of this checkout."""
    os.environ["REPLAB_ROOT"] = str(ROOT)
    load_replication("hrnet")
    return importlib.import_module("replications.hrnet.coco")


def write(folder):
    """A small COCO with boxes of a detector and ImageNet weights, under `folder`."""
    for part in ("train2017", "val2017"):
        tiny.write_coco(folder / "coco", part=part)
    boxes = folder / "boxes.json"
    boxes.write_text(json.dumps(tiny.detections()))
    (folder / "weights").mkdir()
    torch.manual_seed(1)
    for name, model, options in (
        # A classifier's last exchange goes into all branches, and so do the heads of Fig. 5.
        ("imagenet-w32", "pose_hrnet_w8", {**TINY, "head": "each"}),
        ("imagenet-r50", "pose_resnet50", {"width": 8}),
    ):
        state = models.create(model, **options).state_dict()
        state = {k: v for k, v in state.items() if not k.startswith(("deconv", "final"))}
        torch.save(state, folder / "weights" / pose_weights.CHECKPOINTS[name].file)
    return folder


def use(folder, patch=setattr):
    """Make the small files those that everything expects."""
    os.environ["REPLAB_DATA"] = str(folder)
    path = coco_detections.default_path()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes((folder / "boxes.json").read_bytes())
    patch(coco, "PUBLISHED_BOXES", coco_detections.read(path).source)
    table = {name: replace(known, sha256="") for name, known in pose_weights.CHECKPOINTS.items()}
    patch(pose_weights, "CHECKPOINTS", table)


def specs(experiment):
    """The runs of the plan, of seed 0."""
    data = ("coco-train2017", datasets.fingerprint("coco-train2017"))
    return plan_runs("hrnet", experiment, "paper", data=data, device="cpu", seeds=(0,))


def planned(experiment, variant):
    """The run of one variant of the plan."""
    (found,) = (s for s in specs(experiment) if variant.items() <= dict(s.variant).items())
    return found


def small(spec):
    """The same run with nets and a schedule that take seconds."""
    nets = {}
    for name, net in spec.recipe.nets.items():
        hrnet = net.model.startswith("pose_hrnet")
        nets[name] = replace(
            net,
            schedule=SCHEDULE,
            options=TinyOptions(**(TINY if hrnet else {"width": 8, "deconv_channels": 8})),
            model="pose_hrnet_w8" if hrnet else net.model,
        )
    nets["w32"] = replace(nets["w32"], four_branches="pose_hrnet_w4")
    return replace(spec, recipe=replace(spec.recipe, **SMALL, nets=nets))


def job_of(experiment, spec, workspace=Path()):
    context = make_context(spec, RunOptions(), workspace, lambda share, text: None)
    return sys.modules["replications.hrnet.coco"].make_job(context)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write(tmp_path_factory.mktemp("data"))


@pytest.fixture
def here(folder, monkeypatch):
    for name in ("REPLAB_ROOT", "REPLAB_DATA"):
        monkeypatch.setenv(name, str(ROOT))
    use(folder, monkeypatch.setattr)
    return module().COCO


@pytest.mark.faults
def test_trained_killed_resumed_and_scored(here, tmp_path, monkeypatch, capfd):
    """The record is that of the plan's run, and its numbers those of an undisturbed training.

    Other tests kill the same loop's process; here an exception that nothing catches stands for it,
    since a process of its own would import torch for longer than all of these tests take.
    """
    plan = planned(here, OURS)
    run = small(plan)
    with killed_after(3):
        execute(run, str(tmp_path / "killed"), RunOptions())
    assert list((tmp_path / "killed").rglob("checkpoint.pt"))
    records, seen = {}, []
    step = PictureBatches.batch
    monkeypatch.setattr(PictureBatches, "batch", lambda self, i: seen.append(i) or step(self, i))
    for name in ("killed", "whole"):
        store = Store(tmp_path / name)
        assert store.find(run) is None
        seen.clear()
        assert execute(run, str(store.folder), RunOptions()) == plan.id
        assert len(seen) == {"killed": 3, "whole": 6}[name]
        records[name] = store.find(run)
    killed, whole = records["killed"], records["whole"]
    assert killed.id == whole.id == plan.id
    assert killed.metrics == whole.metrics
    assert killed.series == whole.series
    assert killed.iterations == 6
    assert 0 <= killed.metrics["ap"] <= 100
    assert all(math.isfinite(value) for value in killed.metrics.values())
    assert killed.series["ap"]["x"] == [3, 6]
    assert killed.data["name"] == "coco-train2017"
    # What the weights gave is said once a start, and no whole training stands behind the record.
    assert "final_layer.* (2)" in capfd.readouterr().err
    with pytest.raises(UserError, match="recipe"):
        Store(tmp_path / "whole").find(plan)


def test_each_variant_trains_what_it_says(here):
    """Every run of the plan, its nets made small: the network, its start, its pictures."""
    for spec in specs(here):
        if spec.variant["net"] == "w48" or spec.variant["input"] == "384x288":
            continue  # as their likes, and larger
        training = job_of(here, small(spec)).training
        variant = spec.variant
        height, width = (int(side) for side in str(variant["input"]).split("x"))
        assert training.size == (width, height)
        assert training.codec.sigma == {128: 1.0, 256: 2.0}[height]
        net = training.create(datasets.open_poses("coco-train2017").skeleton, 0, "cpu")
        modules = dict(net.named_modules())
        if variant["net"] == "sb-r50":
            assert (training.colour, training.augmentation.half_body) == ("BGR", 0)
            assert training.ready(net, coco.COCO, RunOptions()).preprocessing
        else:
            assert (training.colour, training.augmentation.half_body) == ("RGB", 0.3)
            exchanges = sum(name.endswith("fuse_layers.0.1") for name in modules)
            assert exchanges == {"all": 3, "across": 3, "end": 1}[variant["exchange"]]
            four = "stage2.0.branches.3" in modules
            assert four == (variant["branches"] == "four")
            assert ("final_layer.3" in modules) == (variant["head"] == "each")
        begun = training.weights is not None
        assert begun == (variant["init"] == "imagenet")
        if begun:
            given = read_checkpoint(training.weights).state_dict
            state = net.state_dict()
            assert all(torch.equal(state[k], v) for k, v in given.items() if k in state)
        batches = make_batches(
            training, datasets.open_poses("coco-train2017"), seed=0, device="cpu"
        )
        assert isinstance(batches, PictureBatches)
        images, *targets = batches.batch(0)
        batches.close()
        assert images.shape == (4, 3, height, width)
        heads = 4 if variant.get("head") == "each" else 1
        sizes = [target.shape[-2:] for target in targets[0::2]]
        assert sizes == [(height >> n, width >> n) for n in range(2, 2 + heads)]


def test_the_heads_of_one_net_are_scored_apart(here, tmp_path):
    run = small(planned(here, {"net": "w32", "head": "each"}))
    result = here.function(make_context(run, RunOptions(), tmp_path, lambda share, text: None))
    heads = [result.metrics[f"ap_{head}"] for head in ("1x", "2x", "4x", "8x")]
    assert result.metrics["ap"] == heads[0]
    assert all(0 <= value <= 100 for value in heads)


def test_a_probe_costs_the_whole_training(here, tmp_path):
    run = small(planned(here, THEIRS))
    cost = here.probe(make_context(run, RunOptions(), tmp_path, lambda share, text: None))
    assert 0 < cost.seconds < 600
    assert cost.checkpoint_bytes > 10_000


def test_what_is_missing_or_other_is_named(here, folder, tmp_path, monkeypatch):
    run = small(planned(here, OURS))
    context = make_context(run, RunOptions(), tmp_path, lambda share, text: None)
    monkeypatch.setattr(coco, "PUBLISHED_BOXES", "other.json@0123456789abcdef")
    with pytest.raises(UserError, match=r"in other bytes .*published"):
        here.function(context)
    monkeypatch.setenv("REPLAB_DATA", str(tmp_path))
    with pytest.raises(MissingData, match="fetch weights:imagenet-w32 --from FILE_OR_DIR"):
        here.function(context)
    scratch = small(planned(here, {"init": "scratch", "exchange": "end"}))
    with pytest.raises(MissingData, match="fetch coco-train2017"):
        here.function(replace(context, variant=scratch.variant, recipe=scratch.recipe))


def test_each_row_of_simplebaseline_trains_what_it_says(monkeypatch):
    """Parameters to the unit; stride, colours, start and length as released."""
    monkeypatch.setenv("REPLAB_ROOT", str(ROOT))
    known = load_replication("simplebaseline").experiments["coco"]
    rows = importlib.import_module("replications.simplebaseline.coco")
    monkeypatch.setattr(pose_weights, "find", Path)
    parameters = {}
    for spec in plan_runs(
        "simplebaseline", known, "paper", data=("coco-train2017", "0"), device="cpu", seeds=(0,)
    ):
        letter = spec.variant["row"]
        context = make_context(spec, RunOptions(), Path(), lambda share, text: None)
        training = rows.make_job(context).training
        with torch.device("meta"):
            net = models.create(training.model, num_joints=17, **training.options)
            said = net(torch.zeros(1, 3, *training.size[::-1]))
        assert said.shape[:1:-1] == training.heatmaps()[0]
        assert training.strides == ((8,) if letter == "b" else (4,))
        assert (training.colour, training.streamed) == ("BGR", True)
        assert str(training.weights) == f"imagenet-r{ {'e': 101, 'f': 152}.get(letter, 50) }"
        assert training.recipe.iterations == round(140 * 149_813 / 128)
        assert known.cost(spec.variant, spec.recipe) > 0
        parameters[letter] = count_parameters(net)
    assert parameters == {
        **dict.fromkeys("agh", 33_999_697),
        "b": 32_950_609,
        "c": 26_135_377,
        "d": 29_412_177,
        "e": 52_991_825,
        "f": 68_635_473,
    }


class TestRecipe:
    def test_epochs_are_those_that_were_released(self, here):
        nets = here.plans["paper"].recipe.nets
        assert nets["w32"].schedule == CocoSchedule(iterations=245_787, drops=(198_970, 234_083))
        assert nets["sb-r50"].schedule == CocoSchedule(
            iterations=163_858, drops=(105_337, 140_450)
        )

    def test_what_a_run_rests_on_is_in_its_identity(self, here):
        found = specs(here)
        assert len({spec.id for spec in found}) == len(found) == 12
        for spec in found:
            start = sys.modules["replications.hrnet.coco"].start_of(spec.variant)
            needed = here.fetches(spec.variant)
            assert {"coco-detections", "coco-val2017"} <= set(needed)
            assert (f"weights:{start}" in needed) == (spec.variant["init"] == "imagenet")
            own = pose_weights.fingerprint(start) if start else ""
            assert spec.fingerprint.endswith(own)
            assert spec.fingerprint.count("+") == (2 if start else 1)

    def test_costs_are_those_of_the_networks(self, here):
        costs = {
            (s.variant["net"], s.variant["input"]): here.cost(s.variant, s.recipe)
            for s in specs(here)
        }
        people = 210 * 149_813
        for net, gmacs in (("w32", 7.645), ("w48", 15.692)):
            assert costs[net, "256x192"] == pytest.approx(3e-9 * gmacs * people, rel=1e-5)
        assert costs["w32", "384x288"] == pytest.approx(2.25 * costs["w32", "256x192"])
        assert costs["sb-r50", "256x192"] == pytest.approx(3e-9 * 5.426 * 140 * 149_813, rel=1e-5)

    def test_four_branches_have_about_the_parameters_of_w32(self, here):
        recipe = here.plans["paper"].recipe.nets["w32"]
        with torch.device("meta"):
            four = models.create(recipe.four_branches, branches="four")
            released = models.create(recipe.model)
        assert count_parameters(four) == pytest.approx(count_parameters(released), rel=0.03)
