"""Ground truth and results: every fault is one clear line, and what is written reads back."""

import json

import numpy as np
import pytest

from coco_made import made
from replab.errors import UserError
from replab.metrics import coco
from replab.metrics.coco_files import from_arrays, read_detections, read_truth, write_results

CASE = [([("plain", 4000.0), ("none", 4000.0)], [("near", 0, 0.9), ("far", 0, 0.5)])] * 2
NAN, INFINITE = float("nan"), float("inf")


def change(place, **fields):
    """A fault in one entry; a field set to `...` is taken away."""

    def apply(entries):
        entries[place].update(fields)
        for name in [n for n, value in fields.items() if value is ...]:
            del entries[place][name]

    return apply


RESULTS = [
    (change(1, image_id=777), "entry 2: image 777 is not in .*must be of the same images"),
    (change(2, keypoints=[1.0] * 50), "entry 3 has 50 numbers in 'keypoints', not 51"),
    (change(0, keypoints=[[1.0, 2.0, 1.0]] * 17), "entry 1 has 17 numbers in 'keypoints', not 51"),
    (change(0, keypoints=[[1.0]] * 51), "entry 1 has a list in 'keypoints' where a number"),
    (change(0, keypoints=[*[1.0] * 50, None]), "entry 1 has null in 'keypoints'"),
    (change(0, keypoints=[*[1.0] * 50, NAN]), "entry 1 has nan in 'keypoints'; give a finite"),
    (change(0, keypoints=3), "entry 1 has as 'keypoints' a number, not 51 numbers"),
    (change(1, keypoints=...), "entry 2 has no 'keypoints'; add it"),
    (change(3, score=NAN), "entry 4 has nan in 'score'; give a finite number"),
    (change(3, score=-INFINITE), "entry 4 has -inf in 'score'"),
    (change(0, score="0.5"), "entry 1 has text in 'score' where a number belongs"),
    (change(0, score=None), "entry 1 has null in 'score'"),
    (change(0, score=[0.5]), "entry 1 has a list in 'score'"),
    (change(0, score=10**400), "entry 1 has a number out of range in 'score'; give a finite"),
    (change(1, score=...), "entry 2 has no 'score'; add it"),
    (change(1, image_id=...), "entry 2 has no 'image_id'"),
    (change(1, image_id=2.5), "entry 2 has the image_id 2.5, which is no whole number"),
    (change(1, image_id="1"), "entry 2 has text in 'image_id'"),
    (change(1, category_id=...), "entry 2 has no 'category_id'"),
    (change(0, bbox=[0, 0, 1, 1]), "entry 2 has no 'bbox' while the first entry has one"),
    (change(0, bbox=7), "entry 2 has no 'bbox' while the first entry has one"),
    (
        change(0, segmentation={}),
        "entry 1 has a 'segmentation', by which .*; leave that field out",
    ),
    (change(0, caption="a man"), "entry 1 has a 'caption', by which"),
    (lambda entries: entries.__setitem__(2, [1, 2]), "entry 3 is no object but a list"),
]


@pytest.mark.parametrize(("fault", "message"), RESULTS)
def test_faults_of_results(tmp_path, fault, message):
    truth, results = made(0, CASE)
    fault(results)
    path = tmp_path / "dt.json"
    path.write_text(json.dumps(results))
    for engine in coco.ENGINES:
        with pytest.raises(UserError, match=message) as error:
            coco.evaluate(truth, path, engine=engine)
        assert str(path) in str(error.value)
        assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"annotations": []}, "is no list but an object; a COCO result file is a list"),
        ("text", "is no list but text"),
        (True, "is no list but true or false"),
        (None, "is no list but null"),
    ],
)
def test_results_that_are_no_list(tmp_path, content, message):
    (tmp_path / "dt.json").write_text(json.dumps(content))
    with pytest.raises(UserError, match=message):
        read_detections(tmp_path / "dt.json", read_truth(made(0, CASE)[0]))


def test_files_that_cannot_be_read(tmp_path):
    truth, _ = made(0, CASE)
    with pytest.raises(UserError, match=r"cannot read .*none\.json: .*COCO result file"):
        coco.evaluate(truth, tmp_path / "none.json")
    (tmp_path / "half.json").write_text(json.dumps(truth)[:50])
    with pytest.raises(UserError, match=r"half\.json is not valid JSON .*person keypoints"):
        coco.evaluate(tmp_path / "half.json", tmp_path / "none.json")


TRUTHS = [
    (change(0, id=0), "entry 1 has the id 0, by which COCO's evaluator means 'no match'"),
    (lambda entries: change(2, id=entries[0]["id"])(entries), "entry 3 has the id .* earlier one"),
    *(
        (change(1, **{name: ...}), f"annotations, entry 2 has no '{name}'; add it")
        for name in ("id", "image_id", "category_id", "iscrowd", "area", "bbox", "keypoints")
    ),
    (change(1, num_keypoints=...), "annotations, entry 2 has no 'num_keypoints'; add it"),
    (change(1, area=NAN), "annotations, entry 2 has nan in 'area'"),
    (change(1, area=-4.0), "annotations, entry 2 has an area below 0"),
    (change(1, bbox=[1, 2, 3]), "annotations, entry 2 has 3 numbers in 'bbox', not 4"),
    (change(1, keypoints=[0] * 42), "annotations, entry 2 has 42 numbers in 'keypoints', not 51"),
    (change(1, num_keypoints=-1), "entry 2 has the num_keypoints -1; give numbers from 0 on"),
    (change(1, id=-3), "annotations, entry 2 has the id -3; give numbers from 0 on"),
    (change(1, id="a"), "annotations, entry 2 has text in 'id'"),
]


@pytest.mark.parametrize(("fault", "message"), TRUTHS)
def test_faults_of_truth(tmp_path, fault, message):
    truth, _ = made(0, CASE)
    fault(truth["annotations"])
    path = tmp_path / "gt.json"
    path.write_text(json.dumps(truth))
    with pytest.raises(UserError, match=message) as error:
        read_truth(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["images", "annotations", "categories"])
def test_truth_that_lacks_a_list(name):
    truth, _ = made(0, CASE)
    with pytest.raises(
        UserError, match=f"the ground truth has no list '{name}', so it is no COCO"
    ):
        read_truth({**truth, name: {}})
    with pytest.raises(UserError, match="no list 'images'"):
        read_truth([truth])


def test_images_listed_twice_count_once():
    truth, results = made(0, CASE)
    twice = {**truth, "images": truth["images"] * 2}
    assert coco.evaluate(twice, results) == coco.evaluate(truth, results)


def test_whole_numbers_may_be_written_with_a_point():
    truth, results = made(0, CASE)
    points = [{**r, "image_id": float(r["image_id"])} for r in results]
    assert coco.evaluate(truth, points) == coco.evaluate(truth, results)


def test_numbers_of_very_many_digits_are_numbers():
    truth, results = made(0, CASE)
    results[0]["score"], results[1]["score"] = 2**70, 1e21
    found, _ = read_detections(results, read_truth(truth))
    assert found.scores[:2].tolist() == [2.0**70, 1e21]


def detections(truth, count=40, seed=0):
    rng = np.random.default_rng(seed)
    images = rng.choice([i["id"] for i in truth["images"]], count)
    spots = rng.uniform(-50, 700, (count, 17, 2)).astype(np.float32)
    spots[0, 0] = (1e-7, 1e17)
    heights = rng.normal(0.5, 0.5, (count, 17)).astype(np.float32)
    return from_arrays(images, spots, heights, rng.random(count))


def test_what_is_written_reads_back_to_the_bit(tmp_path):
    truth, _ = made(0, CASE)
    given = detections(truth)
    path = tmp_path / "folder" / "dt.json"
    write_results(path, given)
    back, left_out = read_detections(path, read_truth(truth))
    assert not left_out
    for name in ("image_ids", "keypoints", "scores", "category_ids"):
        assert np.array_equal(getattr(back, name), getattr(given, name)), name
    entries = json.loads(path.read_text())
    assert entries == given.as_coco()
    assert set(entries[0]) == {"image_id", "category_id", "keypoints", "score"}
    write_results(path, given, decimals=2)
    rounded, _ = read_detections(path, read_truth(truth))
    assert np.array_equal(rounded.keypoints, np.round(given.keypoints, 2))
    assert np.array_equal(rounded.scores, given.scores)


def test_many_and_no_results_are_valid_json(tmp_path, monkeypatch):
    from replab.metrics import coco_files

    truth, _ = made(0, CASE)
    monkeypatch.setattr(coco_files, "CHUNK", 16)
    for count in (1, 16, 33):
        write_results(tmp_path / "dt.json", detections(truth, count))
        assert len(json.loads((tmp_path / "dt.json").read_text())) == count
    write_results(tmp_path / "dt.json", detections(truth, 1).select(np.array([False])))
    assert json.loads((tmp_path / "dt.json").read_text()) == []


def test_broken_numbers_of_a_network_are_refused():
    images, spots, heights, scores = (
        np.array([4, 6]),
        np.zeros((2, 17, 2)),
        np.zeros((2, 17)),
        np.zeros(2),
    )
    heights[1, 3] = NAN
    with pytest.raises(
        UserError, match=r"detection 2 \(image 6\) holds NaN or infinity; the netw"
    ):
        from_arrays(images, spots, heights, scores)
    with pytest.raises(ValueError, match="N×17×2"):
        from_arrays(images, spots[:, :16], heights, scores)
