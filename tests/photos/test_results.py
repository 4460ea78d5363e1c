"""What is left behind: COCO's format for COCO's joints, all of it told, no name taken twice."""

import json

import cv2
import numpy as np
import pytest
from PIL import Image

import dotted_people
from replab.errors import UserError
from replab.keypoints.skeletons import COCO, LSP
from replab.metrics.coco import evaluate
from replab.photos.boxes import GivenBoxes
from replab.photos.estimate import estimate
from replab.photos.listing import entries
from replab.photos.overlay import encode, shrink
from replab.photos.results import ABOUT, KEYPOINTS, Results

BOX = (20.0, 10.0, 80.0, 80.0)


def write(folder, pictures, opened, **options):
    results = Results(folder, pictures, 0.2, **options)
    for found in estimate(pictures, opened, GivenBoxes([BOX]), flip=False):
        results.add(found)
    results.write(opened, {"source": "given"}, flip=False)
    about = json.loads((folder / ABOUT).read_text())
    return json.loads((folder / KEYPOINTS).read_text()), about


def test_a_result_file_of_coco_s_joints_is_scored_by_coco_s_evaluator(tmp_path, make_network):
    people = dotted_people.people(4, COCO, truth=True)
    folder = tmp_path / "photos"
    folder.mkdir()
    for number, image in enumerate(people.image_ids):
        Image.fromarray(people.images.read(number)).save(folder / f"{image:012}.png")
    out = tmp_path / "out"
    written, _ = write(out, entries([folder]), make_network(COCO))
    assert [person["image_id"] for person in written] == people.image_ids.tolist()
    truth = tmp_path / "truth.json"
    truth.write_text(json.dumps(people.truth))
    for engine in ("pycocotools", "hotcoco"):
        found = evaluate(truth, out / KEYPOINTS, engine=engine)
        assert found.as_dict()["AP"] > 0.9
    from pycocotools.coco import COCO as Reference

    reference = Reference()
    reference.dataset = people.truth
    reference.createIndex()
    loaded = reference.loadRes(str(out / KEYPOINTS))
    assert len(loaded.anns) == 4
    # The areas are those of the joints: no box of ours takes their place.
    keypoints = np.array(written[0]["keypoints"]).reshape(17, 3)
    extent = np.ptp(keypoints[:, :2], axis=0)
    assert loaded.anns[1]["area"] == pytest.approx(extent.prod())


def test_what_is_to_be_known_stands_beside(tmp_path, dots, make_network):
    pictures, people = dots
    written, about = write(tmp_path / "out", pictures, make_network(LSP, "ours, small"))
    assert [person["file_name"] for person in written] == ["0.png", "1.png", "2.png"]
    # Named by numbers that do not begin at 1, so counted anew.
    assert [person["image_id"] for person in written] == [1, 2, 3]
    assert {person["category_id"] for person in written} == {1}
    joints = np.array([person["keypoints"] for person in written]).reshape(3, 14, 3)
    assert np.abs(joints[..., :2] - people.joints).max() < 1
    assert written[0]["box"] == list(BOX)
    assert "bbox" not in written[0]
    assert about["what"] == "ours, small"
    assert about["skeleton"]["joints"] == list(LSP.joints)
    assert about["weights"] == {"file": "colours.pth", "sha256": "0" * 64}
    assert about["boxes"] == {"source": "given"}
    assert about["protocol"]["flip_shift"] is None
    assert "upright" in about["coordinates"]
    assert set(about["replab"]) == {"version", "commit", "dirty", "versions"}
    assert about["pictures"][1] == {
        "id": 2,
        "file_name": "1.png",
        "width": 120,
        "height": 100,
        "orientation": 1,
        "people": 1,
        "overlay": "1.overlay.jpg",
    }
    assert about["unread"] == []
    assert str(tmp_path) not in json.dumps(about)


def test_equal_pictures_give_equal_files(tmp_path, dots, finds_dots):
    pictures, _ = dots
    for name in ("one", "two"):
        write(tmp_path / name, pictures, finds_dots)
    first = {p.name: p.read_bytes() for p in (tmp_path / "one").iterdir()}
    second = {p.name: p.read_bytes() for p in (tmp_path / "two").iterdir()}
    assert len(first) == 5
    assert first == second


def test_overlays_show_the_poses_at_the_picture_s_size(tmp_path, dots, finds_dots):
    pictures, people = dots
    write(tmp_path / "out", pictures, finds_dots, overlays="png")
    found = cv2.imread(str(tmp_path / "out" / "2.overlay.png"))[..., ::-1]
    assert found.shape == (100, 120, 3)
    (photo,) = estimate(pictures[2:], finds_dots, GivenBoxes([BOX]), flip=False)
    np.testing.assert_array_equal(found, photo.overlay(0.2))
    assert (found != people.images.read(2)).any()
    _, about = write(tmp_path / "none", pictures, finds_dots, overlays="none")
    assert "overlay" not in about["pictures"][0]
    assert {p.name for p in (tmp_path / "none").iterdir()} == {KEYPOINTS, ABOUT}
    with pytest.raises(UserError, match="there are no 'bmp' overlays"):
        Results(tmp_path, pictures, 0.2, "bmp")


def test_pictures_of_one_name_in_two_folders(tmp_path, dots, finds_dots):
    _, people = dots
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        Image.fromarray(people.images.read(0)).save(tmp_path / folder / "x.png")
    pictures = entries([tmp_path / "a/x.png", tmp_path / "b/x.png"])
    written, _ = write(tmp_path / "out", pictures, finds_dots)
    assert [person["file_name"] for person in written] == ["a/x.png", "b/x.png"]
    for folder in ("a", "b"):
        assert (tmp_path / "out" / folder / "x.overlay.jpg").is_file()


def test_pictures_that_cannot_be_read_are_listed(tmp_path, dots, finds_dots):
    pictures, _ = dots
    (tmp_path / "0.png").write_bytes(b"broken")
    written, about = write(tmp_path / "out", pictures, finds_dots)
    assert [person["image_id"] for person in written] == [2, 3]
    assert about["unread"] == [{"id": 1, "file_name": "0.png"}]
    for path in (tmp_path / "1.png", tmp_path / "2.png"):
        path.write_bytes(b"broken")
    written, about = write(tmp_path / "none", pictures, finds_dots)
    assert written == []
    assert len(about["unread"]) == 3


@pytest.mark.faults
def test_a_full_disk_is_one_line_and_leaves_no_half_file(tiny_disk, dots, finds_dots):
    pictures, _ = dots
    (tiny_disk / "filler").write_bytes(b"x" * 250_000)
    with pytest.raises(UserError, match="free some space"):
        write(tiny_disk / "out", pictures, finds_dots, overlays="png")
    left = [p for p in (tiny_disk / "out").rglob("*") if p.is_file()]
    assert all(cv2.imread(str(p)) is not None for p in left)


def test_encoded_pictures_decode_to_the_same(photograph):
    data = np.frombuffer(encode(photograph, ".png"), np.uint8)
    np.testing.assert_array_equal(cv2.imdecode(data, cv2.IMREAD_COLOR)[..., ::-1], photograph)


def test_what_a_notebook_shows_fits_a_screen(photograph):
    assert shrink(photograph, 90) is photograph
    small = shrink(photograph, 45)
    assert small.shape == (30, 45, 3)
    assert np.abs(small - photograph.reshape(30, 2, 45, 2, 3).mean((1, 3))).max() <= 1
    assert shrink(np.zeros((1000, 2, 3), np.uint8), 100).shape == (100, 1, 3)
