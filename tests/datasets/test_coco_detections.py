import gzip
import json
import lzma

import numpy as np
import pytest
import torch

import tiny_pose_sets as tiny
from replab import files
from replab.datasets import coco, coco_detections
from replab.datasets.coco_detections import PublishedBoxes
from replab.errors import DownloadFailed, MissingData, UserError
from replab.keypoints.boxes import centre_scale
from shared_files import golden_dir, need

NAME = "found.json"


@pytest.fixture
def made(tmp_path):
    """A set, and boxes for it."""
    tiny.write_coco(tmp_path)
    path = tmp_path / NAME
    path.write_text(json.dumps(tiny.detections()))
    return tmp_path


def load(folder):
    return coco.load("tiny", folder=folder, boxes=folder / NAME)


class TestBoxes:
    def test_every_person_box_is_kept_whatever_its_score(self, made):
        found = coco_detections.read(made / NAME)
        assert found.image_ids.tolist() == [9, 42, 9, 7, 42]
        assert found.scores.tolist() == [0.9, 0.001, 0.0, -0.5, 0.3]
        assert found.boxes[1].tolist() == [-5.5, 3, 80, 20]
        assert found.left_out == {
            "other category": 1,
            "numbers not finite": 2,
            "negative width or height": 1,
            "no extent": 1,
        }
        assert len(found) + sum(found.left_out.values()) == len(tiny.detections())

    def test_boxes_in_the_order_of_pictures_and_not_clipped(self, made):
        poses = load(made)
        assert poses.image_of.tolist() == [0, 0, 1, 3, 3]
        assert poses.box_scores.tolist() == [0.001, 0.3, -0.5, 0.9, 0.0]
        assert poses.boxes[0].tolist() == [-5.5, 3, 80, 20]
        assert poses.person_ids.tolist() == [0, 1, 2, 3, 4]
        assert poses.areas.tolist() == [1600, 160, 0, 12, 400]
        assert np.isnan(poses.joints).all()
        assert poses.joints.shape == (5, 17, 2)
        assert (poses.visible == 0).all()
        assert len(poses.truth["annotations"]) == 10
        assert poses.left_out["no extent"] == 1

    def test_boxes_beyond_their_picture_stay_and_are_told(self, made):
        poses = load(made)
        beyond = coco_detections.outside(poses.boxes, poses.image_sizes[poses.image_of])
        assert beyond.tolist() == [False, True, False, False, False]
        assert coco_detections.counts(poses.boxes, poses.image_sizes[poses.image_of]) == {
            "boxes": 5,
            "beyond their picture": 1,
            "without width or height": 1,
        }

    def test_the_same_crops_as_the_released_loader(self, tmp_path):
        with np.load(need(golden_dir() / "boxes_center_scale.npz")) as file:
            gold = {key: file[key] for key in file.files}
        content = tiny.coco_annotations() | {"annotations": []}
        content["images"] = [
            {"id": n, "file_name": f"{n}.jpg", "width": int(w), "height": int(h)}
            for n, (w, h) in enumerate(gold["image_wh"])
        ]
        tiny.write_coco(tmp_path, annotations=content)
        (tmp_path / NAME).write_text(
            json.dumps(
                [
                    {"image_id": n, "category_id": 1, "bbox": box, "score": 0.5}
                    for n, box in enumerate(gold["bbox_xywh"].tolist())
                ]
            )
        )
        poses = load(tmp_path)
        assert len(poses) == 200
        centre, scale = centre_scale(torch.from_numpy(poses.boxes), 192 / 256)
        assert np.array_equal(centre.numpy(), gold["det_center"])
        assert np.array_equal(scale.numpy(), gold["det_scale"])

    def test_an_empty_list_is_a_set_without_people(self, made):
        (made / NAME).write_text("[]")
        poses = load(made)
        assert len(poses) == 0
        assert poses.boxes.shape == (0, 4)


class TestIdentity:
    def test_source_is_name_and_digest(self, made):
        digest = files.sha256_file(made / NAME)
        poses = load(made)
        assert poses.box_source == f"found.json@{digest[:16]}"
        (made / NAME).write_text(json.dumps(tiny.detections()[:2]))
        assert load(made).box_source != poses.box_source
        assert load(made).fingerprint != poses.fingerprint

    @pytest.mark.parametrize(("pack", "suffix"), [(gzip.compress, ".gz"), (lzma.compress, ".xz")])
    def test_packed_boxes_are_the_same_source(self, pack, suffix, made):
        plain = coco_detections.read(made / NAME)
        packed = made / f"{NAME}{suffix}"
        packed.write_bytes(pack((made / NAME).read_bytes()))
        assert coco_detections.read(packed).source == plain.source

    def test_that_of_the_published_boxes_fits_their_digest(self):
        name = "COCO_val2017_detections_AP_H_56_person.json@53ba0ad8d0fd461c"
        assert name == coco.PUBLISHED_BOXES


@pytest.mark.faults
class TestWrongFiles:
    @pytest.mark.parametrize(
        ("content", "says"),
        [
            ({"annotations": []}, "is no list of detections"),
            ([[1]], "is no list of detections"),
            ([{"image_id": 9, "category_id": 1, "score": 1}], "entry 0 has no 'bbox'"),
            ([tiny.detections()[0], {"image_id": 9}], "entry 1 has no 'category_id'"),
            ([tiny.detections()[0] | {"bbox": [1, 2, 3]}], "entry 0 is not as it should be"),
            ([tiny.detections()[0] | {"bbox": "box"}], "entry 0 is not as it should be"),
            ([tiny.detections()[0], tiny.detections()[0] | {"score": "1"}], "entry 1 is not as"),
            ([tiny.detections()[0] | {"image_id": 9.5}], "entry 0 is not as it should be"),
            ([tiny.detections()[0] | {"image_id": None}], "entry 0 is not as it should be"),
            ([tiny.detections()[0] | {"image_id": 10**30}], "entry 0 is not as it should be"),
        ],
    )
    def test_one_line_says_what_and_where(self, content, says, made):
        (made / NAME).write_text(json.dumps(content))
        with pytest.raises(UserError) as error:
            load(made)
        text = str(error.value)
        assert "\n" not in text
        assert text.startswith(str(made / NAME))
        assert says in text
        assert "a detections file is a JSON list" in text

    def test_boxes_of_pictures_that_are_not_annotated(self, made):
        boxes = [*tiny.detections(), tiny.detections()[0] | {"image_id": 8}]
        (made / NAME).write_text(json.dumps(boxes))
        with pytest.raises(UserError) as error:
            load(made)
        assert "1 boxes are of images that are not annotated (the first of image 8)" in str(
            error.value
        )

    @pytest.mark.parametrize("damage", ["gone", "cut", "no gzip", "cut gzip"])
    def test_files_that_cannot_be_read(self, damage, made):
        path = made / (NAME if "gzip" not in damage else f"{NAME}.gz")
        data = (made / NAME).read_bytes()
        if damage == "gone":
            path.unlink()
        elif damage == "cut":
            path.write_bytes(data[:-5])
        else:
            path.write_bytes(data if damage == "no gzip" else gzip.compress(data)[:-40])
        with pytest.raises(UserError) as error:
            coco_detections.read(path)
        assert str(path) in str(error.value)
        assert "\n" not in str(error.value)


class TestFetch:
    @pytest.fixture
    def published(self, made):
        sound = tiny.detections()[:5]
        (made / NAME).write_text(json.dumps(sound))
        size = (made / NAME).stat().st_size
        return PublishedBoxes(NAME, files.sha256_file(made / NAME), size, len(sound))

    @pytest.mark.parametrize("form", ["file", "renamed", "folder", "released layout"])
    def test_from_a_file_or_a_folder(self, form, made, published, data_dir, capsys):
        source = made / NAME
        if form == "renamed":
            source = source.rename(made / "other.json")
        elif form == "folder":
            source = made
        elif form == "released layout":
            (made / coco_detections.BOXES).mkdir()
            source.rename(made / coco_detections.BOXES / NAME)
            source = made
        with pytest.raises(
            MissingData, match=r"get found\.json from the page of one of the papers"
        ):
            coco_detections.find(published)
        path = coco_detections.fetch(source, published=published)
        assert path == data_dir / "coco" / "person_detection_results" / NAME
        assert path == coco_detections.find(published)
        assert files.sha256_file(path) == published.sha256
        assert f"coco-detections are at {path}" in capsys.readouterr().err
        assert coco_detections.fetch(made / "gone", published=published) == path
        assert "already here" in capsys.readouterr().err

    def test_without_a_source_it_says_what_to_get_and_where_to(self, published, data_dir):
        with pytest.raises(MissingData) as error:
            coco_detections.fetch(published=published)
        for word in (NAME, "--from FILE", coco_detections.URL):
            assert word in str(error.value)

    def test_from_a_user_s_own_address(self, published, made, data_dir, archives, monkeypatch):
        body = (made / NAME).read_bytes()
        with archives.serving(body, cuts=[100]) as server:
            monkeypatch.setenv(coco_detections.URL, server.url)
            path = coco_detections.fetch(published=published, quiet=True)
        assert path.read_bytes() == body
        assert archives.visible(path.parent) == [NAME]

    @pytest.mark.faults
    def test_an_address_that_gives_something_else(
        self, published, data_dir, archives, monkeypatch
    ):
        with archives.serving(b"<html>") as server:
            monkeypatch.setenv(coco_detections.URL, server.url)
            with pytest.raises(DownloadFailed, match="announces 6 bytes"):
                coco_detections.fetch(published=published, quiet=True)
        assert not (data_dir / "coco" / "person_detection_results" / NAME).exists()

    def test_other_bytes_with_as_many_boxes_are_taken_and_said(
        self, published, made, data_dir, capsys
    ):
        content = json.loads((made / NAME).read_text())
        (made / NAME).write_text(json.dumps(content, indent=1))
        path = coco_detections.fetch(made / NAME, published=published)
        assert "but in other bytes than the file known here" in capsys.readouterr().err
        assert coco_detections.read(path).source in (
            coco_detections.source_name(path, files.sha256_file(path)),
        )

    @pytest.mark.faults
    def test_something_else_is_refused(self, published, made, data_dir):
        (made / NAME).write_text(json.dumps(tiny.detections()[:4]))
        with pytest.raises(UserError, match=r"holds 4 person boxes instead of 5; get found\.json"):
            coco_detections.fetch(made / NAME, published=published)
        (made / NAME).write_text(json.dumps(tiny.detections()))
        with pytest.raises(UserError, match="holds 5 person boxes, but also 5 other"):
            coco_detections.fetch(made / NAME, published=published)
        with pytest.raises(UserError, match="there is no"):
            coco_detections.fetch(made / "gone", published=published)
        assert not (data_dir / "coco").exists()

    @pytest.mark.faults
    def test_a_damaged_file_here_is_fetched_anew(self, published, made, data_dir):
        path = coco_detections.fetch(made / NAME, published=published, quiet=True)
        path.write_bytes(path.read_bytes()[:-9])
        assert coco_detections.fetch(made / NAME, published=published, quiet=True) == path
        assert files.sha256_file(path) == published.sha256
