"""Ceilings: what perfect heatmaps score, and what of it is lost at crops, rounding and reading."""

import importlib.util
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pytest
import torch

from planned import made_plan
from replab import datasets
from replab.datasets import coco, coco_estimated
from replab.datasets import people as people_set
from replab.datasets.pose_set import PoseSet
from replab.errors import MissingData, UserError
from replab.keypoints.affine import transform
from replab.keypoints.boxes import centre_scale
from replab.keypoints.codecs import CODECS, codec
from replab.keypoints.skeletons import COCO
from replab.options import RunOptions
from replab.runs.execution import make_context
from replab.runs.experiment import PROFILES, Replication
from replab.topdown.ceilings import Ceiling, ceiling
from replab.topdown.evaluate import detections
from replab.topdown.predict import Predictions

ROOT = Path(__file__).resolve().parents[2]
SMALL = {"input_size": (192, 256), "heatmap_size": (48, 64)}
LARGE = {"input_size": (288, 384), "heatmap_size": (72, 96)}


class NoPictures:
    """A ceiling never looks at a picture."""

    def __len__(self):
        return 0

    def read(self, index):
        raise AssertionError("a picture was read")


def people(count=40, *, seed=0, side=(90, 240), hidden=0.2, missing=0.3):
    """People one a picture, their joints somewhere in their boxes."""
    random = np.random.default_rng(seed)
    height = random.uniform(*side, count)
    boxes = np.stack((*random.uniform(60, 200, (2, count)), 0.5 * height, height), axis=1)
    joints = boxes[:, None, :2] + random.random((count, 17, 2)) * boxes[:, None, 2:]
    draw = random.random((count, 17))
    visible = np.where(draw < missing, 0, np.where(draw < missing + hidden, 1, 2))
    visible[:, 0] = 2
    return made(boxes, joints, visible.astype(np.uint8), 0.5 * boxes[:, 2] * boxes[:, 3])


def made(boxes, joints, visible, areas):
    count = len(boxes)
    joints = np.where(visible[..., None] > 0, joints, 0.0)
    keypoints = np.concatenate((joints, visible[..., None]), axis=2).reshape(count, -1)
    annotations = [
        {
            "id": n + 1,
            "image_id": n + 1,
            "category_id": 1,
            "iscrowd": 0,
            "area": float(areas[n]),
            "bbox": boxes[n].tolist(),
            "keypoints": keypoints[n].tolist(),
            "num_keypoints": int((visible[n] > 0).sum()),
        }
        for n in range(count)
    ]
    ids = np.arange(1, count + 1)
    truth = {
        "images": [{"id": int(n)} for n in ids],
        "annotations": annotations,
        "categories": [{"id": 1, "name": "person"}],
    }
    return PoseSet(
        name="made",
        fingerprint="0" * 16,
        skeleton=COCO,
        images=NoPictures(),
        image_ids=ids,
        image_sizes=np.full((count, 2), 640),
        image_of=np.arange(count),
        person_ids=ids,
        boxes=boxes,
        box_scores=np.ones(count),
        joints=joints,
        visible=visible,
        areas=areas,
        truth=truth,
    )


def with_joint(poses, person, joint, place):
    """The same people, one joint elsewhere, in the truth as well."""
    joints = poses.joints.copy()
    joints[person, joint] = place
    visible = poses.visible.copy()
    visible[person, joint] = 2
    return made(poses.boxes, joints, visible, poses.areas)


@pytest.mark.parametrize("name", CODECS)
@pytest.mark.parametrize("target", ["own", "exact"])
def test_as_codec_and_evaluation_say(name, target, monkeypatch):
    """Joint by joint in lots, and person by person in one go: the same poses."""
    poses, chosen = people(), codec(name)
    seen = []
    original = detections

    def noting(some, predictions):
        seen.append(predictions)
        return original(some, predictions)

    monkeypatch.setattr("replab.topdown.ceilings.detections", noting)
    monkeypatch.setattr("replab.topdown.ceilings.JOINTS", 37)
    found = ceiling(poses, chosen, target=target, **SMALL)
    painter = chosen if target == "own" else replace(chosen, centre="exact", cut=False)
    centre, scale = centre_scale(torch.from_numpy(poses.boxes), 0.75)
    joints = transform(torch.from_numpy(poses.joints), chosen.matrix(centre, scale, (192, 256)))
    visible = torch.from_numpy(poses.visible > 0).float()
    maps, _ = painter.encode(joints, visible, (192, 256), (48, 64))
    place, score = chosen.decode(maps, centre, scale)
    assert isinstance(seen[0], Predictions)
    # Lots of another size are summed in another order on some processors.
    np.testing.assert_allclose(seen[0].keypoints, place.numpy(), rtol=1e-6)
    np.testing.assert_allclose(seen[0].scores, score.numpy(), rtol=1e-6)
    on_map, _ = chosen.locate(maps)
    stride = torch.tensor(chosen.stride((192, 256), (48, 64)), dtype=torch.float64)
    away = (on_map - joints / stride).norm(dim=-1)[visible > 0]
    assert found.displacement == pytest.approx(float(away.mean()), rel=1e-5, abs=1e-7)
    assert (found.annotated, found.outside, found.empty) == (int(visible.sum()), 0, 0)
    assert (found.people, found.kept) == (40, 40)


def test_what_each_decoding_loses():
    """Uniform places in a pixel: means over the square of what is left after each correction."""
    poses = people(400, missing=0.0)
    own = {n: ceiling(poses, codec(n), **SMALL) for n in CODECS}
    exact = {n: ceiling(poses, codec(n), target="exact", **SMALL) for n in CODECS}
    # The mean distance from the middle of a unit square is 0.3826; the quarter offset leaves
    # squares of half the side.
    assert own["plain"].displacement == pytest.approx(0.3826, abs=0.01)
    assert exact["plain"].displacement == pytest.approx(0.3826, abs=0.01)
    assert exact["released"].displacement == pytest.approx(0.1913, abs=0.01)
    for found in (own, exact):
        assert max(found[n].displacement for n in ("dark", "udp")) < 0.02


@pytest.mark.parametrize("sizes", [SMALL, LARGE])
def test_the_quarter_finds_no_slope_on_a_rounded_target(sizes):
    """Sign of nothing is nothing: joints, and so all numbers, are those of plain."""
    poses = people()
    plain, released = (ceiling(poses, codec(n), **sizes) for n in ("plain", "released"))
    assert plain.score == released.score
    assert plain.ranked == released.ranked
    assert plain.displacement == released.displacement


def test_a_coarser_map_scores_less():
    # So small a person that half a pixel of the heatmap matters at an OKS of .95.
    poses = people(150, side=(80, 100), missing=0.0)
    quarter = {"input_size": (48, 64), "heatmap_size": (12, 16)}
    fine, coarse = (ceiling(poses, codec("plain"), **s) for s in (SMALL, quarter))
    sharp = ceiling(poses, codec("dark"), **quarter)
    assert coarse.score.AP < fine.score.AP - 0.05
    assert sharp.score.AP > coarse.score.AP + 0.02
    assert fine.score.AP > 0.9


class TestJointsOutside:
    def test_nothing_is_drawn_and_the_joint_is_missed(self):
        poses = people(1, missing=0.0)
        x, y, width, _ = poses.boxes[0]
        far = with_joint(poses, 0, 3, (x + 4 * width, y))
        before, after = (ceiling(p, codec("dark"), **SMALL) for p in (poses, far))
        assert (before.outside, after.outside) == (0, 1)
        assert before.score.as_dict()["AP"] == pytest.approx(1)
        # 16 of 17 joints: an OKS of .94, which only the last threshold tells from 1.
        assert after.score.as_dict()["AR"] == pytest.approx(0.9)
        assert after.displacement < 0.05

    def test_the_crop_ends_half_a_pixel_beyond_its_outermost_pixels(self):
        poses, chosen = people(1, missing=0.0), codec("released")
        centre, scale = centre_scale(torch.from_numpy(poses.boxes), 0.75)
        back = chosen.matrix(centre, scale, (192, 256), inverse=True)
        for x, outside in ((-0.51, 1), (-0.49, 0), (191.49, 0), (191.51, 1)):
            place = transform(torch.tensor([[[x, 100.0]]], dtype=torch.float64), back)
            some = with_joint(poses, 0, 5, place[0, 0].numpy())
            assert ceiling(some, chosen, **SMALL).outside == outside

    def test_drawn_as_far_as_windows_touch_the_map(self):
        poses = people(1, missing=0.0)
        _, y, _, height = poses.boxes[0]
        chosen = codec("released")
        centre, scale = centre_scale(torch.from_numpy(poses.boxes), 0.75)
        # 4 px of the heatmap beyond its border, within 3 sigma of it; then far away.
        pixel = float(scale[0, 0]) * 200 / 48
        near = with_joint(poses, 0, 3, (float(centre[0, 0]) + 28 * pixel, y + height / 2))
        far = with_joint(poses, 0, 3, (float(centre[0, 0]) + 90 * pixel, y + height / 2))
        seen = {}
        for name, some in (("near", near), ("far", far)):
            for outside in ("empty", "drawn"):
                seen[name, outside] = ceiling(some, chosen, outside=outside, **SMALL)
        assert {found.outside for found in seen.values()} == {1}
        # Read at the last column: some 5 px away, which counts only where it is drawn.
        gain = seen["near", "drawn"].displacement - seen["near", "empty"].displacement
        assert 4 / 17 < gain < 6 / 17
        assert seen["far", "drawn"].score == seen["far", "empty"].score
        assert seen["far", "drawn"].displacement == seen["far", "empty"].displacement

    def test_a_person_of_empty_maps_is_found_with_score_0(self):
        poses = people(2, missing=0.0)
        joints = poses.joints.copy()
        joints[1] += 2000
        some = made(poses.boxes, joints, poses.visible, poses.areas)
        found = ceiling(some, codec("released"), **SMALL)
        assert (found.empty, found.outside, found.kept) == (1, 17, 2)
        assert found.score.as_dict()["AR50"] == pytest.approx(0.5)
        # The miss stands last, so nothing before it suffers.
        assert found.score.as_dict()["AP50"] == pytest.approx(51 / 101)


def test_hidden_joints_are_drawn_as_the_others():
    poses = people(hidden=0.0)
    hidden = np.where(poses.visible > 0, 1, 0).astype(np.uint8)
    other = made(poses.boxes, poses.joints, hidden, poses.areas)
    one, two = (ceiling(p, codec("released"), **SMALL) for p in (poses, other))
    assert (one.score, one.displacement) == (two.score, two.displacement)


def test_ranked_is_no_worse():
    """People who are missed in part stand last in the order by OKS, anywhere in that by peaks."""
    poses = people(60, missing=0.0)
    joints = poses.joints.copy()
    joints[::3, :4] += 2000
    some = made(poses.boxes, joints, poses.visible, poses.areas)
    found = ceiling(some, codec("dark"), **SMALL)
    assert found.ranked.AP > found.score.AP + 0.01
    assert found.ranked.as_dict()["AR"] == pytest.approx(found.score.AR)
    # 13 of 17 joints, an OKS of .76: 40 of 60 people are found at the four highest thresholds.
    assert found.ranked.as_dict()["AP"] == pytest.approx((6 + 4 * 67 / 101) / 10, abs=1e-3)


def test_metrics_are_percent_and_leave_out_whom_there_is_not():
    poses = people(12)
    assert poses.areas.max() < 96**2 * 2
    some = poses.select(poses.areas < 96**2)
    only = made(some.boxes, some.joints, some.visible, some.areas)
    found = ceiling(only, codec("released"), **SMALL)
    metrics = found.metrics()
    assert found.score.APL == -1
    assert set(metrics) == {"ap", "ap50", "ap75", "apm", "ar", "ap_ranked", "displacement"}
    assert metrics["ap50"] == pytest.approx(100 * found.score.AP50)
    assert metrics["displacement"] == found.displacement


def test_progress_runs_to_the_end():
    told = []
    ceiling(people(), codec("plain"), progress=lambda *words: told.append(words), **SMALL)
    shares = [share for share, _ in told]
    assert shares == sorted(shares)
    assert shares[-1] == 1
    assert len(shares) > 1


class TestRefusals:
    def test_without_truth(self):
        with pytest.raises(UserError, match="made has no ground truth in COCO's form to draw"):
            ceiling(replace(people(), truth=None), codec("plain"), **SMALL)

    def test_detected_boxes(self):
        found = replace(people(), box_source="boxes.json@0123456789abcdef")
        with pytest.raises(UserError, match="made has no joints in its boxes"):
            ceiling(found, codec("plain"), **SMALL)

    def test_a_box_without_area(self):
        poses = people()
        boxes = poses.boxes.copy()
        boxes[3, 2:] = 0
        with pytest.raises(UserError, match=r"1 boxes have no area .* person 4; leave them out"):
            ceiling(replace(poses, boxes=boxes), codec("plain"), **SMALL)

    @pytest.mark.parametrize("words", [{"target": "mean"}, {"outside": "guessed"}])
    def test_unknown_words(self, words):
        with pytest.raises(ValueError, match=r"mean|guessed"):
            ceiling(people(), codec("plain"), **words, **SMALL)


def test_real_people_with_exact_areas(photographs):
    """166 people of COCO's own annotations: what codecs lose in all, and in what order."""
    poses = coco.load(folder=photographs.folder)
    found = {n: ceiling(poses, codec(n), target="exact", **SMALL) for n in CODECS}
    assert all(isinstance(f, Ceiling) and not f.area_estimated for f in found.values())
    assert found["plain"].ranked.AP <= found["released"].ranked.AP <= found["dark"].ranked.AP
    assert 0.9 < found["plain"].score.AP < 1
    assert found["released"].displacement == pytest.approx(0.19, abs=0.02)
    referee = ceiling(poses, codec("dark"), target="exact", engine="pycocotools", **SMALL)
    assert referee.score.as_dict() == pytest.approx(found["dark"].score.as_dict(), abs=1e-12)


class TestExperiment:
    """`ceilings` of HRNet: each variant has people of its own, which may be missing."""

    @pytest.fixture
    def ceilings(self, monkeypatch, tmp_path):
        monkeypatch.setenv("REPLAB_DATA", str(tmp_path / "data"))
        path = ROOT / "replications" / "hrnet" / "ceilings.py"
        spec = importlib.util.spec_from_file_location("hrnet_ceilings", path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    def plan(self, ceilings, **options):
        experiments = MappingProxyType({"ceilings": ceilings.CEILINGS})
        replication = Replication("hrnet", experiments)
        return made_plan(replication, "quick", device="cpu", **options)

    @pytest.mark.parametrize("may_fetch", [False, True])
    def test_people_always(self, ceilings, monkeypatch, may_fetch):
        """What is missing leaves out its variants, each with one line; nothing is downloaded."""
        asked = []

        def fetch(name):
            asked.append(name)
            coco_estimated.fetch(quiet=True)

        monkeypatch.setattr("replab.datasets.fetch.fetch", fetch)
        found = self.plan(ceilings, may_fetch=may_fetch)
        # Not COCO with its pictures; and what is had from a file alone says so.
        assert asked == ["coco-val2017-estimated"] * may_fetch
        assert {s.variant["data"] for s in found.specs} == {"people"}
        assert len(found.specs) == 8
        assert {s.fingerprint for s in found.specs} == {datasets.fingerprint("people-test")}
        assert len(found.skipped) == 16
        for label, reason in found.skipped.items():
            name = "coco-val2017" + "-estimated" * ("-estimated" in label)
            assert label.startswith(f"ceilings[data={name},heatmap=")
            assert f"python -m replab fetch {name}" in reason
            assert "\n" not in reason
        assert found.notices == []

    def test_others_where_they_are_at_hand(self, ceilings, monkeypatch):
        def require(name):
            if name not in ("people-test", "coco-val2017-estimated"):
                raise MissingData(f"no {name}")

        monkeypatch.setattr("replab.datasets.availability.require", require)
        found = self.plan(ceilings)
        sets = [s.fingerprint for s in found.specs if s.variant["data"] != "people"]
        assert sets == [datasets.fingerprint("coco-val2017-estimated")] * 8

    def test_a_run(self, ceilings, monkeypatch, tmp_path):
        monkeypatch.setattr(people_set, "COUNTS", {"train": 6, "test": 6})
        (spec,) = (
            s
            for s in self.plan(ceilings).specs
            if (s.variant["heatmap"], s.variant["codec"]) == ("64x48", "released")
        )
        told = []
        context = make_context(spec, RunOptions(), tmp_path, lambda *words: told.append(words))
        metrics = ceilings.CEILINGS.function(context).metrics
        assert metrics["people"] == len(datasets.open_poses("people-test"))
        for suffix in ("", "_exact", "_beyond"):
            assert 90 < metrics[f"ap{suffix}"] <= 100
        assert metrics["displacement_exact"] < 0.3 < metrics["displacement"]
        shares = [share for share, _ in told]
        assert shares == sorted(shares)
        assert shares[-1] == pytest.approx(1)

    def test_other_people_under_the_name_are_refused(self, ceilings, monkeypatch, tmp_path):
        (spec, *_) = self.plan(ceilings).specs
        monkeypatch.setattr(datasets, "open_poses", lambda name: people(3))
        context = make_context(spec, RunOptions(), tmp_path, lambda *words: None)
        with pytest.raises(UserError, match="people-test holds other people than the published"):
            ceilings.CEILINGS.function(context)

    def test_in_every_profile_once(self, ceilings):
        plans = ceilings.CEILINGS.plans
        assert set(plans) == set(PROFILES)
        words = [tuple(sorted(v.items())) for v in plans["quick"].variants]
        assert len(words) == len(set(words)) == 24
        assert all(ceilings.CEILINGS.cost(v, {}) > 0 for v in plans["quick"].variants)
