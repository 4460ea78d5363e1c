"""Boxes: of the whole picture, given, and of a file, whose every fault is named."""

import gzip
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from replab.errors import UserError
from replab.keypoints.boxes import centre_scale
from replab.photos.boxes import BoxFile, GivenBoxes, WholePicture
from replab.photos.listing import Entry

ENTRIES = [Entry(Path("x"), "a/x.jpg", 1), Entry(Path("y"), "b.jpg", 2)]
PICTURES = [np.zeros((50, 80, 3), np.uint8), np.zeros((40, 30, 3), np.uint8)]


def write(folder, content):
    path = folder / "boxes.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_the_whole_picture_is_the_crop():
    found = WholePicture().find(ENTRIES, PICTURES)
    for boxes, picture in zip(found, PICTURES, strict=True):
        height, width = picture.shape[:2]
        centre, scale = centre_scale(torch.from_numpy(boxes.places), width / height)
        assert torch.allclose(centre, torch.tensor([[(width - 1) / 2, (height - 1) / 2]]))
        assert torch.allclose(scale * 200, torch.tensor([[width, height]]).float())
        assert boxes.scores.tolist() == [1.0]


def test_boxes_by_name_and_by_number(tmp_path):
    path = write(
        tmp_path,
        [
            {"file_name": "b.jpg", "bbox": [1, 2, 3, 4], "score": 0.25},
            {"image_id": 1, "bbox": [5, 6.5, 7, 8]},
            {"image_id": 2, "bbox": [0, 0, 9, 9], "score": 0.5, "category_id": 1},
            {"image_id": 2, "bbox": [0, 0, 9, 9], "score": 0.5, "category_id": 3},
            {"image_id": 99, "bbox": [0, 0, 9, 9]},
            {"file_name": "x.jpg", "bbox": [0, 0, 9, 9]},
            {"image_id": 1, "bbox": [0, 0, 0, 9]},
            {"image_id": 1, "bbox": [0, 0, 5, 9], "score": 0.1},
        ],
    )
    found = BoxFile(path, ENTRIES, least=0.2)
    first, second = found.find(ENTRIES, PICTURES)
    assert first.places.tolist() == [[5, 6.5, 7, 8]]
    assert first.scores.tolist() == [1]
    assert second.places.tolist() == [[1, 2, 3, 4], [0, 0, 9, 9]]
    assert second.scores.tolist() == [0.25, 0.5]
    assert found.left_out == {
        "boxes of other categories": 1,
        "boxes of other pictures": 2,
        "boxes without an area": 1,
        "boxes scored below 0.2": 1,
    }
    # Of some of the pictures, in any order.
    assert len(found.find(ENTRIES[1:], PICTURES[1:])[0]) == 2
    packed = tmp_path / "boxes.json.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    assert BoxFile(packed, ENTRIES).source == found.source
    assert found.source.startswith("boxes.json@")


def test_no_boxes_are_nobody(tmp_path):
    found = BoxFile(write(tmp_path, []), ENTRIES).find(ENTRIES, PICTURES)
    assert [boxes.places.shape for boxes in found] == [(0, 4), (0, 4)]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", "is not valid JSON"),
        ({"a": 1}, "is no list of boxes"),
        ([1], "is no list of boxes"),
        ([{"bbox": [1, 2, 3, 4]}], "entry 0 names no picture"),
        ([{"image_id": 1}], "entry 0 has no 'bbox'"),
        ([{"image_id": 1, "bbox": [1, 2, 3]}], "entry 0 is not as it should be"),
        ([{"image_id": 1, "bbox": [1, 2, 3, "4"]}], "entry 0 is not as it should be"),
        ([{"image_id": 1.5, "bbox": [1, 2, 3, 4]}], "entry 0 is not as it should be"),
        ([{"image_id": 1, "bbox": [1, 2, 3, 4], "score": None}], "entry 0 is not as it should"),
        ([{"image_id": 7, "bbox": [1, 2, 3, 4]}], r"no box is of these pictures \(a/x.jpg is"),
    ],
)
def test_faults_of_a_file(tmp_path, content, words):
    with pytest.raises(UserError, match=words) as caught:
        BoxFile(write(tmp_path, content), ENTRIES)
    assert "boxes.json" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_box_beyond_its_picture_is_of_another_frame(tmp_path):
    found = BoxFile(write(tmp_path, [{"image_id": 2, "bbox": [35, 0, 9, 9]}]), ENTRIES)
    with pytest.raises(UserError, match=r"lies outside b\.jpg, which has 30×40 px when upright"):
        found.find(ENTRIES, PICTURES)


def test_given_boxes():
    found = GivenBoxes([[1, 2, 3, 4]]).find(ENTRIES[:1], PICTURES[:1])
    assert found[0].places.tolist() == [[1, 2, 3, 4]]
    with pytest.raises(UserError, match=r"\(4,\) are not N×4"):
        GivenBoxes([1, 2, 3, 4])
    with pytest.raises(UserError, match="has no area or is no numbers"):
        GivenBoxes([[1, 2, 0, 4]])
