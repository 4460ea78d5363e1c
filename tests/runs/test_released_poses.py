"""Released weights on COCO: on a small set in its layout, with a small network's weights."""

import json
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

import tiny_pose_sets as tiny
from recipe_weights import recipe_state
from replab import models
from replab.datasets import coco, coco_detections, pose_weights
from replab.errors import MissingData, UserError
from replab.keypoints.codecs import codec
from replab.runs import released_poses
from replab.runs.experiment import Cost
from replab.runs.released_poses import ReleasedRecipe
from replab.topdown.network import open_network
from replab.topdown.predict import predict
from run_contexts import made_context

SMALL = {"stem": 16, "bottlenecks": 1, "modules": (1, 1, 1), "blocks": 1}
NAME = "w32-384x288"


@pytest.fixture
def data(tmp_path, monkeypatch):
    monkeypatch.setenv("REPLAB_DATA", str(tmp_path))
    known = pose_weights.CHECKPOINTS[NAME]
    small = replace(known, model="pose_hrnet_w16", sha256="")
    monkeypatch.setattr(pose_weights, "CHECKPOINTS", {NAME: small})
    tiny.write_coco(tmp_path / "coco", part="val2017")
    net = models.create("pose_hrnet_w16", **SMALL)
    path = tmp_path / "weights" / known.file
    path.parent.mkdir()
    torch.save(recipe_state(net.state_dict(), 0.5), path)
    return tmp_path


def context(boxes="gt", colour=None, recipe=None, progress=lambda share, text: None):
    variant = {"weights": NAME, "boxes": boxes} | ({"colour": colour} if colour else {})
    told = ReleasedRecipe(**{"draws": 20, **(recipe or {})})
    return made_context(variant, told, data="coco-val2017", progress=progress)


def write_detections():
    path = coco_detections.default_path()
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(tiny.detections()))
    return coco_detections.read(path).source


def test_joints_that_the_network_finds_are_found(data):
    """The truth is what the network says: then AP is 100, or the path loses joints."""
    network = open_network(pose_weights.find(NAME), size=pose_weights.sides("384x288"))
    poses = coco.load("val2017")
    said = predict(network, poses, codec("released", sigma=3.0)).keypoints
    truth = tiny.coco_annotations()
    people = {number: i for i, number in enumerate(poses.person_ids.tolist())}
    truth["annotations"] = [a for a in truth["annotations"] if a["id"] in people]
    for entry in truth["annotations"]:
        joints = said[people[entry["id"]]].tolist()
        entry["keypoints"] = [value for x, y in joints for value in (x, y, 2)]
        entry["num_keypoints"] = len(joints)
    tiny.write_coco(data / "coco2", part="val2017", annotations=truth)
    (data / "coco").rename(data / "before")
    (data / "coco2").rename(data / "coco")
    seen = []
    result = released_poses.score_released(
        context(progress=lambda share, text: seen.append(share))
    )
    metrics = result.metrics
    assert metrics["boxes"] == metrics["poses"] == len(poses) == 6
    assert metrics["ap"] == pytest.approx(100, abs=1e-6)
    assert metrics["ap_ratio"] == pytest.approx(1, abs=1e-8)
    assert metrics["ap_low"] <= metrics["ap"] <= metrics["ap_high"] + 1e-9
    # No picture holds anyone of 96² px²: a number that there is none of is not reported.
    assert not {"apl", "apl_ratio", "apl_low"} & set(metrics)
    assert result.model == f"pose_hrnet_w16@{network.weights}"
    assert result.throughput > 0
    assert seen[-1] == 1


def test_detected_boxes(data, monkeypatch):
    source = write_detections()
    with pytest.raises(UserError, match=r"in other bytes .*published") as caught:
        released_poses.score_released(context("detections"))
    assert "\n" not in str(caught.value)
    monkeypatch.setattr(coco, "PUBLISHED_BOXES", source)
    result = released_poses.score_released(context("detections"))
    assert result.metrics["boxes"] == 5
    assert 0 <= result.metrics["ap"] <= 100
    assert result.metrics["ap"] == pytest.approx(100 * result.metrics["ap_ratio"])


def test_weights_of_another_network_under_the_name(data, monkeypatch):
    known = pose_weights.CHECKPOINTS[NAME]
    table = {NAME: replace(known, model="pose_hrnet_w32")}
    monkeypatch.setattr(pose_weights, "CHECKPOINTS", table)
    with pytest.raises(UserError, match="is of pose_hrnet_w16 with 17 joints, not of"):
        released_poses.score_released(context())


def test_what_is_missing_is_named(data):
    with pytest.raises(MissingData, match="fetch coco-detections"):
        released_poses.score_released(context("detections"))
    pose_weights.find(NAME).unlink()
    with pytest.raises(MissingData, match=f"fetch weights:{NAME} --from FILE_OR_DIR"):
        released_poses.score_released(context())


def test_probe_costs_what_all_boxes_would(data, monkeypatch):
    annotations = tiny.coco_annotations()
    annotations["annotations"] = [tiny.person(i, 42, (2, 2, 30, 30)) for i in range(1, 13)]
    (data / "coco/annotations/person_keypoints_val2017.json").write_text(json.dumps(annotations))
    clock = [0.0]

    def half_a_second_each(network, poses, *rest, **options):
        clock[0] += 0.5 * len(poses)
        return predict(network, poses, *rest, **options)

    monkeypatch.setattr("replab.topdown.predict.predict", half_a_second_each)
    monkeypatch.setattr(released_poses, "time", SimpleNamespace(perf_counter=lambda: clock[0]))
    cost = released_poses.probe(context())
    # Eight people to start with, then four, and twelve at their pace.
    assert clock[0] == 6
    assert cost == Cost(4 + 6)


def test_the_wrong_colour_order_is_used_where_it_is_asked_for(data):
    right, other = (released_poses.prepare(context(colour=colour))[1] for colour in (None, "BGR"))
    assert (right.preprocessing.colour, other.preprocessing.colour) == ("RGB", "BGR")
    assert right.weights == other.weights
    crops = torch.randint(0, 256, (1, 384, 288, 3), dtype=torch.uint8)
    assert torch.equal(right.heatmaps(crops.flip(-1)), other.heatmaps(crops))
    assert not torch.equal(right.heatmaps(crops), other.heatmaps(crops))


def test_printed_numbers_of_others_stand_beside_detected_boxes_alone(data, monkeypatch):
    monkeypatch.setattr(coco, "PUBLISHED_BOXES", write_detections())
    told = {"beside": {NAME: {"hourglass8": 66.9}, "other": {"cpn": 70.0}}}
    metrics = {
        boxes: released_poses.score_released(context(boxes, recipe=told)).metrics
        for boxes in ("detections", "gt")
    }
    assert metrics["detections"]["hourglass8"] == 66.9
    assert "cpn" not in metrics["detections"]
    assert "hourglass8" not in metrics["gt"]


class TestDeclaring:
    VARIANTS = (
        {"weights": "sb-r50-256x192", "boxes": "detections"},
        {"weights": "sb-r50-256x192", "boxes": "gt"},
        {"weights": "sb-r101-256x192", "boxes": "gt"},
    )

    def experiment(self):
        gmacs = {"sb-r50-256x192": 5.0, "sb-r101-256x192": 10.0}
        return released_poses.released(
            self.VARIANTS, gmacs, needs="much", name="mine", recipe=ReleasedRecipe(beside={})
        )

    def test_one_plan(self):
        made = self.experiment()
        assert (made.name, made.deterministic, set(made.plans)) == ("mine", True, {"paper"})
        assert made.needs == {"paper": "much"}
        assert made.plans["paper"].variants == self.VARIANTS
        assert made.plans["paper"].recipe.as_json() == {"draws": 1000, "beside": {}}
        assert made.probe is released_poses.probe

    def test_what_a_variant_costs_and_fetches(self):
        made = self.experiment()
        costs = [made.cost(variant, {}) for variant in self.VARIANTS]
        assert costs == pytest.approx([1041.25, 63.52, 127.04])
        assert made.fetches(self.VARIANTS[0]) == ("weights:sb-r50-256x192", "coco-detections")
        assert made.fetches(self.VARIANTS[1]) == ("weights:sb-r50-256x192",)
        prints = [made.fingerprint(variant) for variant in self.VARIANTS]
        assert len(set(prints)) == 3
        assert prints[0].startswith(f"{prints[1]}+")

    def test_needs_in_words(self):
        words = released_poses.needs_of("six", "sb-r50-256x192")
        assert "NAME as in sb-r50-256x192)" in words
        assert "the six networks look at 104,125 boxes each" in words
        assert "\n" not in words
