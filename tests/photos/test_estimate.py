"""From photographs to poses: exact joints whatever the tag, order, batches, suppression."""

import io

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

import dotted_people
import replab.photos.estimate as module
from replab.datasets.pose_set import PoseSet
from replab.keypoints.skeletons import COCO, LSP
from replab.photos import upright
from replab.photos.boxes import GivenBoxes, WholePicture
from replab.photos.estimate import Photo, Unread, estimate
from replab.photos.listing import entries
from replab.topdown.evaluate import detections
from replab.topdown.predict import predict

BOX = (20.0, 10.0, 80.0, 80.0)
# What stores an upright picture so that the tag turns it back.
STORED = {
    1: lambda p: p,
    2: lambda p: p[:, ::-1],
    3: lambda p: p[::-1, ::-1],
    4: lambda p: p[::-1],
    5: lambda p: p.transpose(1, 0, 2),
    6: lambda p: np.rot90(p),
    7: lambda p: np.rot90(p, 2).transpose(1, 0, 2),
    8: lambda p: np.rot90(p, -1),
}


def write_tagged(path, picture, orientation):
    exif = Image.Exif()
    exif[upright.ORIENTATION] = orientation
    stored = Image.fromarray(np.ascontiguousarray(STORED[orientation](picture)))
    stream = io.BytesIO()
    stored.save(stream, format="PNG", exif=exif, compress_level=1)
    path.write_bytes(stream.getvalue())


def test_joints_are_where_the_dots_are(dots, finds_dots):
    pictures, people = dots
    found = list(estimate(pictures, finds_dots, GivenBoxes([BOX]), flip=False))
    assert [photo.name for photo in found] == ["0.png", "1.png", "2.png"]
    for number, photo in enumerate(found):
        assert photo.keypoints.shape == (1, 14, 3)
        away = np.abs(photo.keypoints[0, :, :2] - people.joints[number]).max()
        assert away < 1.0
        assert (photo.keypoints[0, :, 2] > 0.3).all()
        assert photo.boxes.tolist() == [list(BOX)]
        np.testing.assert_array_equal(photo.picture, people.images.read(number))
        assert (photo.skeleton, photo.orientation, photo.label) == (LSP, 1, "")


@settings(
    deadline=None, max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(orientation=st.integers(1, 8), seed=st.integers(0, 5), whole=st.booleans())
def test_a_camera_s_tag_changes_nothing_but_the_file(
    tmp_path, finds_dots, orientation, seed, whole
):
    picture = dotted_people.people(1, LSP, seed=seed).images.read(0)
    source = WholePicture() if whole else GivenBoxes([BOX])
    results = []
    for tag in (1, orientation):
        path = tmp_path / "x.png"
        write_tagged(path, picture, tag)
        (photo,) = estimate(entries([path]), finds_dots, source, flip=False)
        assert photo.orientation == tag
        results.append(photo)
    np.testing.assert_array_equal(results[0].picture, results[1].picture)
    np.testing.assert_array_equal(results[0].keypoints, results[1].keypoints)
    np.testing.assert_array_equal(results[0].overlay(), results[1].overlay())


def test_as_evaluation_does_it(dots, make_network):
    """Boxes of a detector, some found twice: the poses, scores and order of `evaluate`."""
    pictures, people = dots
    opened = make_network(COCO)
    base = np.array(BOX)
    boxes = base + np.array([[0, 0, 0, 0], [1, 0, 0, 1], [30, 30, 40, 40]])
    sure = np.array([0.6, 0.9, 0.3])

    class Detected:
        source = "made"

        def find(self, listed, decoded):
            return [module.Boxes(boxes, sure)] * len(decoded)

    found = list(estimate(pictures, opened, Detected(), flip=False))
    count = len(pictures)
    ids = np.array([entry.id for entry in pictures])
    poses = PoseSet(
        name="made",
        fingerprint="",
        skeleton=COCO,
        images=people.images,
        image_ids=ids,
        image_sizes=np.tile((dotted_people.WIDTH, dotted_people.HEIGHT), (count, 1)),
        image_of=np.repeat(np.arange(count), 3),
        person_ids=np.arange(3 * count),
        boxes=np.tile(boxes, (count, 1)),
        box_scores=np.tile(sure, count),
        joints=np.full((3 * count, 17, 2), np.nan),
        visible=np.zeros((3 * count, 17), np.uint8),
        areas=np.ones(3 * count),
    )
    expected = detections(poses, predict(opened.network, poses, opened.codec, flip=False))
    assert count <= len(expected) < 3 * count
    np.testing.assert_array_equal(
        np.concatenate([photo.keypoints for photo in found]), expected.keypoints
    )
    np.testing.assert_array_equal(
        np.concatenate([photo.scores for photo in found]), expected.scores
    )
    assert np.repeat(ids, [len(photo) for photo in found]).tolist() == expected.image_ids.tolist()
    for photo in found:
        assert (np.diff(photo.scores) <= 0).all()


def test_poses_of_other_skeletons_found_twice_are_dropped_too(dots, finds_dots):
    pictures, _ = dots
    twice = GivenBoxes([BOX, np.array(BOX) + 1])
    found = list(estimate(pictures, finds_dots, twice, flip=False))
    assert [len(photo) for photo in found] == [1, 1, 1]


@pytest.mark.parametrize("together", [1, 2, 32])
def test_groups_and_threads_change_no_bit(monkeypatch, dots, finds_dots, together):
    pictures, _ = dots
    whole = list(estimate(pictures, finds_dots, WholePicture()))
    monkeypatch.setattr(module, "PICTURES", together)
    parts = list(estimate(pictures, finds_dots, WholePicture()))
    for one, other in zip(whole, parts, strict=True):
        np.testing.assert_array_equal(one.keypoints, other.keypoints)
        np.testing.assert_array_equal(one.scores, other.scores)
    monkeypatch.setattr(module, "PIXELS", 1)
    assert len(list(estimate(pictures, finds_dots, WholePicture()))) == 3


def test_few_pictures_are_in_memory_at_a_time(monkeypatch, tmp_path, finds_dots):
    for number in range(16):
        Image.fromarray(np.full((8, 8, 3), number, np.uint8)).save(tmp_path / f"{number:02}.png")
    monkeypatch.setattr(module, "PICTURES", 3)
    read = []

    def reading(path):
        read.append(path)
        return upright.Upright(np.zeros((8, 8, 3), np.uint8), 1)

    monkeypatch.setattr(module.upright, "read", reading)
    for done, _ in enumerate(estimate(entries([tmp_path]), finds_dots, WholePicture())):
        # Those given, those of the group at work, and those decoded ahead.
        assert len(read) <= done + 1 + 3 + module.AHEAD + 1
    assert len(read) == 16


def test_each_picture_is_decoded_once(monkeypatch, dots, finds_dots):
    pictures, _ = dots
    read = []

    def counting(path):
        read.append(path)
        return original(path)

    original = upright.read
    monkeypatch.setattr(module.upright, "read", counting)
    source = GivenBoxes([BOX, [0, 0, 50, 60], [40, 30, 60, 60]])
    photos = list(estimate(pictures, finds_dots, source))
    assert [photo.overlay().shape for photo in photos] == [(100, 120, 3)] * 3
    assert sorted(read) == [entry.path for entry in pictures]


def test_a_broken_picture_stops_nobody(tmp_path, dots, finds_dots):
    (tmp_path / "1.png").write_bytes(b"broken")
    pictures = entries([tmp_path])
    found = list(estimate(pictures, finds_dots, GivenBoxes([BOX]), flip=False))
    assert [type(photo) for photo in found] == [Photo, Unread, Photo]
    assert found[1].name == "1.png"
    assert str(tmp_path / "1.png") in found[1].why
    (tmp_path / "0.png").write_bytes(b"")
    (tmp_path / "2.png").write_bytes(b"")
    found = list(estimate(pictures, finds_dots, GivenBoxes([BOX])))
    assert [type(photo) for photo in found] == [Unread] * 3


def test_nobody_is_found_where_there_are_no_boxes(dots, finds_dots):
    pictures, people = dots
    found = list(estimate(pictures, finds_dots, GivenBoxes(np.zeros((0, 4)))))
    assert [photo.keypoints.shape for photo in found] == [(0, 14, 3)] * 3
    np.testing.assert_array_equal(found[0].overlay(), people.images.read(0))


def test_mirror_images_are_averaged_unless_told_otherwise(dots, finds_dots):
    pictures, _ = dots
    (straight, *_), (both, *_) = (
        list(estimate(pictures, finds_dots, GivenBoxes([BOX]), flip=flip))
        for flip in (False, True)
    )
    assert not np.array_equal(straight.keypoints, both.keypoints)
