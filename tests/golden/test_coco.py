"""Rescoring, suppression and AP give the numbers that the published code gives."""

import json

import numpy as np
import pytest

from replab.keypoints.oks import crop_areas, pose_oks
from replab.keypoints.skeletons import COCO
from replab.keypoints.suppression import oks_nms, rescore, soft_oks_nms
from replab.metrics.coco import ENGINES, evaluate
from replab.metrics.coco_bootstrap import Matches
from replab.metrics.coco_files import from_arrays, read_detections, read_truth, write_results

from .conftest import golden_dir, need, shared_dir

SETTINGS = ["hard_oks0.9_vis0.2", "hard_oks0.5_vis0.2", "hard_oks0.9_vis0.0", "soft_oks0.9_vis0.2"]


@pytest.fixture(scope="module")
def gold():
    with np.load(need(golden_dir() / "oks_nms.npz")) as file:
        return dict(file)


def suppressed(gold, setting):
    """Scores and kept indices of a setting."""
    kind, overlap, visible = setting.split("_")
    heights, joints = gold["preds"][..., 2], gold["preds"][..., :2]
    threshold = float(visible.removeprefix("vis"))
    scores = rescore(gold["all_boxes"][:, 5], heights, threshold=threshold)
    suppress = {"hard": oks_nms, "soft": soft_oks_nms}[kind]
    given = (gold["image_id"], joints, gold["all_boxes"][:, 4], scores, COCO.sigmas)
    return scores, suppress(*given, threshold=float(overlap.removeprefix("oks")))


@pytest.mark.parametrize("setting", SETTINGS)
def test_scores_and_order(gold, setting):
    scores, kept = suppressed(gold, setting)
    assert np.abs(scores - gold[f"rescored_{setting}"]).max() <= 1e-6
    assert np.array_equal(kept, gold[f"keep_order_{setting}"])
    mask = np.zeros(len(scores), dtype=np.uint8)
    mask[kept] = 1
    assert np.array_equal(mask, gold[f"kept_{setting}"])


def test_areas_and_pairwise_oks(gold):
    boxes = gold["all_boxes"]
    assert crop_areas(boxes[:, 2:4]) == pytest.approx(boxes[:, 4], rel=1e-6)
    first = gold["pairwise_oks_first_image_index"]
    joints, areas = gold["preds"][first, :, :2], boxes[first, 4]
    found = pose_oks(joints[:, None], joints, areas[:, None], areas, COCO.sigmas)
    assert np.abs(found - gold["pairwise_oks_first_image"]).max() <= 1e-12


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("engine", ENGINES)
def test_statistics(gold, setting, engine, tmp_path):
    scores, kept = suppressed(gold, setting)
    preds = gold["preds"][kept]
    arrays = from_arrays(gold["image_id"][kept], preds[..., :2], preds[..., 2], scores[kept])
    truth = need(golden_dir() / "oks_nms_gt.json")
    about = json.loads(need(golden_dir() / "oks_nms.json").read_text())[setting]
    score = evaluate(truth, arrays, engine=engine)
    expected = list(about["coco_stats"].values())
    assert list(score.as_dict().values()) == pytest.approx(expected, abs=1e-9)
    assert (score.detections, len(scores)) == (about["kept"], about["detections"])
    write_results(tmp_path / "results.json", arrays)
    assert evaluate(truth, tmp_path / "results.json", engine=engine) == score
    assert Matches.of(truth, arrays, engine=engine).score() == pytest.approx(expected, abs=1e-9)


def test_the_authors_result_file_reads_as_what_we_write(gold):
    """Their entries have a centre and a scale besides; the numbers are the same."""
    head = json.loads(need(golden_dir() / "oks_nms_result_json_head.json").read_text())
    truth = read_truth(need(golden_dir() / "oks_nms_gt.json"))
    theirs, left_out = read_detections(head, truth)
    scores, kept = suppressed(gold, SETTINGS[0])
    ours = gold["preds"][kept[: len(theirs)]]
    assert len(theirs) > 0
    assert not left_out
    assert np.array_equal(theirs.keypoints, ours.astype(np.float64))
    assert np.abs(theirs.scores - scores[kept[: len(theirs)]]).max() <= 1e-6


@pytest.mark.parametrize("engine", ENGINES)
def test_truth_as_detections_scores_one(engine):
    name = "person_keypoints_val2017_subset.json"
    truth = json.loads(need(shared_dir() / "data/coco/annotations" / name).read_text())
    found = [
        {**{k: a[k] for k in ("image_id", "category_id", "keypoints")}, "score": 1.0}
        for a in truth["annotations"]
        if a["num_keypoints"] and not a["iscrowd"]
    ]
    score = evaluate(truth, found, engine=engine)
    assert list(score.as_dict().values()) == [1.0] * 10
    assert (score.people, score.dropped) == (166, 0)
