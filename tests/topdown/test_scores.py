"""Scores of a set by its own measure, for several readings of one pass."""

import dataclasses

import numpy as np
import pytest
import torch
from torch import nn

import dotted_people
from replab.errors import UserError
from replab.keypoints.codecs import codec
from replab.keypoints.skeletons import COCO, LSP, MPII
from replab.models.preprocessing import RGB_IMAGENET
from replab.topdown.evaluate import evaluate_coco, evaluate_pck
from replab.topdown.network import PoseNetwork, Preprocessing
from replab.topdown.predict import Reading
from replab.topdown.scores import measure_of, score

CODEC = codec("plain", sigma=1.0)
BOTH = {"": Reading(CODEC), "_noflip": Reading(CODEC, flip=False)}


class Untrained(nn.Module):
    """Heatmaps that hang on the picture, of a net that nobody trained."""

    def __init__(self, joints):
        super().__init__()
        torch.manual_seed(2)
        self.final_layer = nn.Conv2d(3, joints, 7, stride=4, padding=3)

    def forward(self, x):
        return self.final_layer(x)


def network(skeleton):
    return PoseNetwork(
        Untrained(len(skeleton)),
        model="untrained",
        options={},
        skeleton=skeleton,
        size=(64, 64),
        preprocessing=Preprocessing.of(RGB_IMAGENET),
    )


def test_coco_sets_are_scored_as_evaluation_scores_them():
    poses = dotted_people.people(8, COCO, truth=True)
    found = score(network(COCO), poses, BOTH)
    for suffix, flip in (("", True), ("_noflip", False)):
        own = evaluate_coco(network(COCO), poses, CODEC, flip=flip).score.as_dict()
        expected = {f"{k.lower()}{suffix}": 100 * v for k, v in own.items() if v >= 0}
        assert expected
        assert {k: found.metrics[k] for k in expected} == expected
    assert set(found.metrics) == {
        f"{name}{suffix}"
        for name in ("ap", "ap50", "ap75", "apm", "ar", "ar50", "ar75", "arm")
        for suffix in BOTH
    }
    assert found.people.all()
    assert measure_of(poses) == "ap"


def test_lsp_is_scored_by_torsos_and_who_has_none_is_left_out():
    from replab.datasets.lspet import torso_lengths

    poses = dotted_people.people(8, LSP)
    poses.visible[:, [LSP.index("left_shoulder"), LSP.index("right_hip")]] = 2
    poses.visible[3, LSP.index("right_hip")] = 0
    found = score(network(LSP), poses, BOTH)
    assert found.people.tolist() == [i != 3 for i in range(8)]
    assert len(found.predictions[""].keypoints) == 7
    for suffix, flip in (("", True), ("_noflip", False)):
        own = evaluate_pck(network(LSP), poses, CODEC, torso_lengths(poses), flip=flip).pck
        at = dict(zip(own.thresholds.tolist(), own.pooled().tolist(), strict=True))
        assert found.metrics[f"pck{suffix}"] == at[0.2]
        assert found.metrics[f"pck@0.1{suffix}"] == at[0.1]
    assert measure_of(poses) == "pck"


def test_joints_that_are_found_score_full_marks():
    poses = dotted_people.people(5, LSP)
    poses.visible[:] = 2
    there = (
        score(network(LSP), poses, {"": Reading(CODEC)}).predictions[""].keypoints.astype(float)
    )
    # The truth moved to where the network says, but for one joint far away.
    there[:, LSP.index("left_shoulder")] = there[:, LSP.index("right_hip")] + (30, 0)
    same = dataclasses.replace(poses, joints=there)
    found = score(network(LSP), same, {"": Reading(CODEC)})
    assert found.metrics["pck"] >= 100 * 13 / 14


def test_sets_without_a_measure_are_refused():
    with pytest.raises(UserError, match="neither ground truth in COCO's form nor LSP's joints"):
        score(network(MPII), dotted_people.people(2, MPII), {"": Reading(CODEC)})
    torsoless = dotted_people.people(2, LSP)
    torsoless.visible[:, LSP.index("left_shoulder")] = 0
    with pytest.raises(UserError, match="nobody has a torso"):
        score(network(LSP), torsoless, {"": Reading(CODEC)})


class TestFirst:
    def test_whole_pictures_and_their_truth(self):
        poses = dotted_people.people(6, COCO, truth=True)
        poses = dataclasses.replace(poses, image_of=np.array([0, 1, 1, 1, 4, 5]))
        few = poses.first(2)
        assert few.image_of.tolist() == [0, 1, 1, 1]
        assert [i["id"] for i in few.truth["images"]] == [100, 101]
        assert [a["image_id"] for a in few.truth["annotations"]] == [100, 101]
        assert len(poses.truth["images"]) == 6

    def test_all_where_there_are_fewer(self):
        poses = dotted_people.people(3, LSP)
        assert len(poses.first(10)) == 3
        assert poses.first(1).person_ids.tolist() == [100]
