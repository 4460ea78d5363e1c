"""AP and AR: both engines equal the referee wherever it gives a number."""

import copy
import json

import numpy as np
import pytest
from hypothesis import assume, example, given, settings

from coco_made import LARGE, MEDIUM, cases, made, referee
from replab.errors import UserError
from replab.metrics import coco
from replab.metrics.coco_files import Detections, from_arrays, read_detections, read_truth

EMPTY = {"images": [{"id": 7}, {"id": 9}], "categories": [{"id": 1}], "annotations": []}
SIMPLE = (3, [([("plain", 4000.0)], [("near", 0, 0.9), ("stray", 0, 0.5)])])
CROWDED = [("near", i, 0.5) for i in range(24)]


def numbers(score):
    return np.array(list(score.as_dict().values()))


def both(truth, results):
    return [numbers(coco.evaluate(truth, results, engine=e)) for e in coco.ENGINES]


@settings(max_examples=40, deadline=None)
@given(cases())
# More than 20 detections, all of equal score, on twins; an area of exactly 96² counts twice.
@example(made(1, [([("plain", LARGE), ("twin", LARGE), ("none", MEDIUM)], CROWDED)]))
@example(made(2, [([("crowd", 2e4)], CROWDED), ([], [("stray", 0, 0.5)]), ([], [])]))
@example(made(3, [([("flagless", 4000.0), ("fieldless", 4000.0)], CROWDED[:9])]))
def test_both_engines_equal_the_referee(case):
    truth, results = case
    assume(results)
    expected = referee(truth, results)
    before = copy.deepcopy(case)
    for found in both(truth, results):
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)
    assert (truth, results) == before


@settings(max_examples=15, deadline=None)
@given(cases())
def test_a_box_in_results_gives_the_areas_as_in_the_referee(case):
    truth, results = case
    assume(results)
    boxed = [{**r, "bbox": [0.0, 0.0, 40.0 + 20 * (i % 5), 40.0]} for i, r in enumerate(results)]
    expected = referee(truth, boxed)
    for engine in coco.ENGINES:
        score = coco.evaluate(truth, boxed, engine=engine)
        np.testing.assert_allclose(numbers(score), expected, rtol=0, atol=1e-12)
        assert score.areas == "boxes"


def test_boxes_change_the_score_and_only_the_first_entry_decides():
    truth, results = made(*SIMPLE)
    stray = [{**r, "bbox": [0.0, 0.0, 1.0, 1.0]} for r in results]
    stray[0]["bbox"] = [0.0, 0.0, 60.0, 60.0]
    plain = coco.evaluate(truth, results)
    assert plain.areas == "keypoints"
    later = [results[0], *stray[1:]]
    assert coco.evaluate(truth, later) == plain
    assert numbers(coco.evaluate(truth, later)) == pytest.approx(referee(truth, later), abs=1e-12)
    empty = [{**r, "bbox": []} for r in results]
    assert coco.evaluate(truth, empty) == plain
    assert numbers(plain) == pytest.approx(referee(truth, empty), abs=1e-12)


def test_no_detections_find_no_one():
    truth, _ = made(*SIMPLE)
    for found in both(truth, []):
        # The person is of medium size: of large ones there is none to find.
        assert found.tolist() == [0, 0, 0, 0, -1, 0, 0, 0, 0, -1]


@pytest.mark.parametrize("images", [EMPTY["images"], []])
def test_no_people_give_minus_one(images):
    truth = {**EMPTY, "images": images}
    _, results = made(*SIMPLE)
    given = [{**r, "image_id": 7} for r in results] if images else []
    for found in both(truth, given):
        assert found.tolist() == [-1] * 10


def test_counts_of_what_was_looked_at():
    people = [("plain", 4000.0), ("crowd", 4000.0), ("none", 4000.0), ("flagless", 4000.0)]
    truth, results = made(5, [(people, CROWDED), ([], CROWDED[:20]), ([], CROWDED[:3])])
    results.append({**results[0], "category_id": 2})
    truth["annotations"].append({**truth["annotations"][0], "id": 900, "image_id": 999})
    score = coco.evaluate(truth, results)
    assert (score.people, score.detections, score.dropped) == (1, 47, 4)
    assert score.left_out == {
        "annotations of images that are not listed": 1,
        "detections of categories that the ground truth does not list": 1,
    }
    assert numbers(score) == pytest.approx(referee(truth, results), abs=1e-12)
    assert score.engine.startswith("hotcoco 1")
    assert coco.evaluate(truth, results, engine="pycocotools").dropped == 4
    assert tuple(score.as_dict()) == coco.METRICS


@settings(max_examples=15, deadline=None)
@given(cases())
def test_arrays_lists_and_files_score_alike(tmp_path_factory, case):
    truth, results = case
    folder = tmp_path_factory.mktemp("coco")
    (folder / "gt.json").write_text(json.dumps(truth))
    (folder / "dt.json").write_text(json.dumps(results))
    spots = np.array([r["keypoints"] for r in results]).reshape(-1, 17, 3)
    images = np.array([r["image_id"] for r in results], dtype=np.int64)
    scores = np.array([r["score"] for r in results])
    arrays = from_arrays(images, spots[..., :2], spots[..., 2], scores)
    score = coco.evaluate(folder / "gt.json", folder / "dt.json")
    assert score == coco.evaluate(truth, arrays) == coco.evaluate(read_truth(truth), results)


def test_several_categories_are_averaged():
    truth, results = made(8, [([("plain", 4000.0), ("plain", LARGE)], CROWDED[:6])] * 3)
    truth["categories"] += [{"id": 3, "name": "other"}, {"id": 4, "name": "no one"}]
    for entries in (truth["annotations"], results):
        for entry in entries[::2]:
            entry["category_id"] = 3
    expected = referee(truth, results)
    assert len(set(np.round(expected, 6))) > 3
    for found in both(truth, results):
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)


def test_engines_are_quiet(capfd):
    truth, results = made(*SIMPLE)
    both(truth, results)
    both(truth, [])
    assert capfd.readouterr() == ("", "")


def test_an_unknown_engine_is_a_clear_error():
    truth, results = made(*SIMPLE)
    with pytest.raises(UserError, match=r"no engine 'fast'.*hotcoco or pycocotools"):
        coco.evaluate(truth, results, engine="fast")


def test_arrays_of_unknown_images_are_refused():
    truth, results = made(*SIMPLE)
    found, _ = read_detections(results, read_truth(truth))
    strange = Detections(found.image_ids + 90, found.keypoints, found.scores, found.category_ids)
    with pytest.raises(UserError, match=r"entry 1: image \d+ is not in the ground truth \(2 of 2"):
        coco.evaluate(truth, strange)
