import gzip
import json
import lzma

import numpy as np
import pytest
import torch

import tiny_pose_sets as tiny
from replab.datasets import coco
from replab.datasets.pose_set import Images
from replab.errors import MissingData, UserError
from replab.keypoints.boxes import centre_scale
from replab.keypoints.skeletons import COCO
from shared_files import golden_dir, need, shared_dir

SUBSET = "person_keypoints_val2017_subset.json"
ESTIMATED = "person_keypoints_val2017_estimated_area.json.xz"


@pytest.fixture
def made(tmp_path):
    tiny.write_coco(tmp_path)
    return tmp_path


def load(folder, **options):
    return coco.load("tiny", folder=folder, **options)


def refused(folder, content, **options):
    """The one line for these annotations."""
    tiny.write_coco(folder, annotations=content)
    with pytest.raises(UserError) as error:
        load(folder, **options)
    text = str(error.value)
    assert "\n" not in text
    assert "person_keypoints_tiny.json" in text
    return text


class TestAnnotatedBoxes:
    def test_people_are_those_of_the_released_loader_in_the_order_of_pictures(self, made):
        poses = load(made)
        assert poses.name == "coco-tiny"
        assert poses.skeleton is COCO
        assert poses.box_source == "gt"
        assert poses.image_ids.tolist() == [42, 7, 100, 9]
        assert poses.image_sizes.tolist() == [[64, 48], [50, 80], [33, 31], [40, 40]]
        assert poses.person_ids.tolist() == [12, 13, 11, 19, 15, 18]
        assert poses.image_of.tolist() == [0, 0, 1, 1, 2, 3]
        assert poses.left_out == {
            "crowd": 1,
            "no keypoints": 1,
            "no area": 1,
            "box outside its picture": 1,
        }
        assert sum(poses.left_out.values()) + len(poses) == len(poses.truth["annotations"])

    def test_boxes_are_clipped_as_released(self, made):
        poses = load(made)
        # Moved, not cut, on the left; one px narrower each; cut on the right and below.
        assert poses.boxes.tolist() == [
            [0, 5, 29, 29],
            [40, 10, 23, 37],
            [10, 20, 19, 39],
            [1, 1, 47, 77],
            [0, 0, 32, 30],
            [5.5, 6.25, 19.5, 29.75],
        ]
        assert (poses.box_scores == 1).all()
        assert poses.areas.tolist() == [450, 1800, 400, 1872, 511.5, 0.5 * 20.5 * 30.75]

    def test_joints_and_visibilities(self, made):
        poses = load(made)
        assert poses.joints.shape == (6, 17, 2)
        assert poses.visible.dtype == np.uint8
        assert poses.visible[0].tolist() == [1, 1, 2, 2, 2] + 12 * [0]
        assert poses.joints[2, 0].tolist() == [20, 40]
        assert (poses.joints[0, 5:] == 0).all()
        assert (poses.visible[4] > 0).all()

    def test_types_are_those_that_are_promised(self, made):
        poses = load(made)
        for name in ("image_ids", "image_sizes", "image_of", "person_ids"):
            assert getattr(poses, name).dtype == np.int64, name
        for name in ("boxes", "box_scores", "joints", "areas"):
            assert getattr(poses, name).dtype == np.float64, name
        images: Images = poses.images
        assert len(images) == len(poses.image_ids)

    def test_another_category_is_left_out(self, made):
        content = tiny.coco_annotations()
        content["annotations"][0]["category_id"] = 3
        tiny.write_coco(made, annotations=content)
        poses = load(made)
        assert poses.left_out["other category"] == 1
        assert 11 not in poses.person_ids

    def test_truth_is_whole_but_for_segments(self, made):
        expected = tiny.coco_annotations()
        for annotation in expected["annotations"]:
            del annotation["segmentation"]
        assert load(made).truth == expected

    def test_selected_people_keep_the_truth(self, made):
        poses = load(made)
        few = poses.select(poses.areas > 500)
        assert few.person_ids.tolist() == [13, 19, 15]
        assert few.truth is poses.truth
        assert len(few.images) == 4

    def test_the_same_numbers_as_the_released_loader(self, tmp_path):
        with np.load(need(golden_dir() / "boxes_center_scale.npz")) as file:
            gold = {key: file[key] for key in file.files}
        count = len(gold["area"])
        content = tiny.coco_annotations()
        content["images"] = [
            {"id": n, "file_name": f"{n}.jpg", "width": int(w), "height": int(h)}
            for n, (w, h) in enumerate(gold["image_wh"])
        ]
        content["annotations"] = [
            {
                "id": n,
                "image_id": n,
                "category_id": 1,
                "bbox": gold["bbox_xywh"][n].tolist(),
                "area": float(gold["area"][n]),
                "iscrowd": int(gold["iscrowd"][n]),
                "keypoints": gold["keypoints"][n].flatten().tolist(),
                "num_keypoints": int((gold["keypoints"][n, :, 2] > 0).sum()),
            }
            for n in range(count)
        ]
        tiny.write_coco(tmp_path, annotations=content)
        poses = load(tmp_path)
        kept = np.flatnonzero(gold["kept"])
        assert np.array_equal(poses.person_ids, kept)
        assert sum(poses.left_out.values()) == count - len(kept) > 0
        assert np.array_equal(poses.boxes, gold["clean_bbox"][kept])
        centre, scale = centre_scale(torch.from_numpy(poses.boxes), 192 / 256)
        assert np.array_equal(centre.numpy(), gold["center"][kept])
        assert np.array_equal(scale.numpy(), gold["scale"][kept])
        assert np.array_equal(np.minimum(poses.visible, 1), gold["joints_vis"][kept])


class TestFiles:
    def test_pictures_of_a_folder_and_of_a_zip_are_the_same(self, made, tmp_path):
        archived = tmp_path / "archived"
        tiny.write_coco(archived)
        members = {}
        for path in sorted((archived / "tiny").iterdir()):
            members[f"tiny/{path.name}"] = path.read_bytes()
            path.unlink()
        (archived / "tiny").rmdir()
        (archived / "tiny.zip").write_bytes(tiny.zip_of(members))
        one, other = load(made, require_images=True), load(archived, require_images=True)
        assert one.fingerprint == other.fingerprint
        for index in range(4):
            picture = one.images.read(index)
            assert picture.shape[:2] == tuple(one.image_sizes[index, ::-1])
            assert np.array_equal(picture, other.images.read(index))

    @pytest.mark.parametrize("pack", [gzip.compress, lzma.compress])
    def test_packed_annotations_are_the_annotations(self, pack, made):
        plain = load(made)
        path = made / "annotations" / "person_keypoints_tiny.json"
        suffix = ".json.gz" if pack is gzip.compress else ".json.xz"
        packed = path.with_name(f"person_keypoints_tiny{suffix}")
        packed.write_bytes(pack(path.read_bytes()))
        path.unlink()
        assert load(made).fingerprint == plain.fingerprint
        packed.write_bytes(packed.read_bytes()[:-20])
        with pytest.raises(UserError, match=f"cannot read .*tiny{suffix}"):
            load(made)

    def test_missing_pictures_are_counted_at_once_or_named_when_read(self, made):
        (made / "tiny" / tiny.file_name(7)).unlink()
        (made / "tiny" / tiny.file_name(9)).write_bytes(b"")
        with pytest.raises(MissingData) as error:
            load(made, require_images=True)
        assert "lacks 2 of the 4 pictures of person_keypoints_tiny.json" in str(error.value)
        assert tiny.file_name(7) in str(error.value)
        poses = load(made)
        assert poses.images.read(0).shape == (48, 64, 3)
        with pytest.raises(UserError, match=r"cannot read the image .*000000000007\.jpg"):
            poses.images.read(1)

    def test_what_is_not_on_this_machine(self, data_dir, tmp_path):
        with pytest.raises(MissingData, match="run `python -m replab fetch coco-val2017`"):
            coco.load()
        with pytest.raises(MissingData, match="name a folder that holds annotations/person_key"):
            coco.load(folder=tmp_path)
        tiny.write_coco(data_dir / "coco", part="train2017")
        assert len(coco.load("train2017", require_images=True)) == 6

    def test_a_picture_of_another_size_is_refused_unless_the_size_is_a_guess(self, made):
        content = tiny.coco_annotations()
        content["images"][0]["width"] = 65
        tiny.write_coco(made, annotations=content)
        with pytest.raises(UserError, match="it has 64×48 px, annotated are 65×48"):
            load(made).images.read(0)
        content["images"][0]["size_certain"] = False
        tiny.write_coco(made, annotations=content)
        assert load(made).images.read(0).shape == (48, 64, 3)


class TestIdentity:
    def test_fingerprint_stands_for_annotations_and_boxes(self, made, tmp_path):
        first = load(made).fingerprint
        assert len(first) == 16
        assert int(first, 16) >= 0
        path = made / "boxes.json"
        path.write_text(json.dumps(tiny.detections()))
        assert load(made, boxes=path).fingerprint != first
        content = tiny.coco_annotations()
        content["images"][2]["height"] += 1
        tiny.write_coco(made, annotations=content)
        assert load(made).fingerprint != first

    def test_that_of_the_official_sets_is_known_without_them(self):
        known = {coco.fingerprint(digest) for digest in coco.ANNOTATIONS.values()}
        known.add(coco.fingerprint(coco.ANNOTATIONS["val2017"], coco.PUBLISHED_BOXES))
        assert len(known) == 3
        assert coco.fingerprint(coco.ANNOTATIONS["val2017"]) == "0f4654ec603355fe"

    def test_estimated_areas_show_in_the_name(self, made):
        content = {**tiny.coco_annotations(), "area_estimated": True}
        path = tiny.write_coco(made, annotations=content)
        assert load(made).name == "coco-tiny-estimated_area"
        assert coco.areas_estimated(load(made))
        other = path.with_name("person_keypoints_tiny_estimated_area.json")
        path.rename(other)
        assert load(made, annotations=other).name == "coco-tiny_estimated_area"


def change(path, value):
    """Annotations with one value changed; a value of None takes the key away."""

    def make():
        content = tiny.coco_annotations()
        place = content
        for key in path[:-1]:
            place = place[key]
        if value is None:
            del place[path[-1]]
        else:
            place[path[-1]] = value
        return content

    return make


class TestAnnotationsThatAreWrong:
    @pytest.mark.faults
    @pytest.mark.parametrize(
        ("path", "value", "says"),
        [
            (("annotations", 2, "image_id"), 43, "1 annotations are of images that are not annot"),
            (("annotations", 2, "keypoints"), [1] * 48, "annotation 13 has 48 numbers in its key"),
            (("annotations", 2, "keypoints"), 5, "annotation 13 has no list of numbers"),
            (("annotations", 2, "keypoints"), ["x"] * 51, "keypoints, bbox or area"),
            (("annotations", 2, "bbox"), [1, 2, 3], "keypoints, bbox or area"),
            (("annotations", 2, "area"), "many", "keypoints, bbox or area"),
            (("annotations", 2, "area"), None, "annotation 2 has no area"),
            (("annotations", 2, "bbox"), None, "annotation 2 has no bbox"),
            (("annotations", 2, "iscrowd"), "no", "iscrowd of an annotation is no whole number"),
            (("annotations", 2, "bbox", 1), float("nan"), "annotation 13 has bbox with numbers"),
            (("annotations", 2, "keypoints", 4), float("inf"), "annotation 13 has keypoints with"),
            (("annotations", 2, "keypoints", 5), 3, "annotation 13 has visibilities other than"),
            (("annotations", 2, "id"), 12, "annotation 12 is there twice"),
            (("images", 1, "id"), 42, "image 42 is there twice"),
            (("images", 1, "width"), None, "image 1 has no width"),
            (("images", 1, "height"), 0, "image 7 has no size in px"),
            (("images", 1, "id"), 7.5, "id of an image is no whole number"),
            (("images",), {}, "lacks lists of images, annotations or categories"),
            (("annotations",), ["x"], "lacks lists of images, annotations or categories"),
            (("categories",), None, "lacks lists of images, annotations or categories"),
            (("categories", 0, "keypoints"), ["nose"], "other keypoints than COCO's 17"),
        ],
    )
    def test_one_line_says_what_and_where(self, path, value, says, tmp_path):
        assert says in refused(tmp_path, change(path, value)())

    @pytest.mark.faults
    @pytest.mark.parametrize("content", ["", "{", "[]", "[" * 100_000, "\x00"])
    def test_what_is_no_annotations_at_all(self, content, made):
        path = made / "annotations" / "person_keypoints_tiny.json"
        path.write_text(content)
        with pytest.raises(UserError) as error:
            load(made)
        assert "\n" not in str(error.value)

    def test_a_set_without_people_is_a_set(self, tmp_path):
        tiny.write_coco(tmp_path, annotations={**tiny.coco_annotations(), "annotations": []})
        poses = load(tmp_path)
        assert len(poses) == 0
        assert poses.joints.shape == (0, 17, 2)
        assert poses.boxes.shape == (0, 4)


@pytest.fixture
def shared_coco():
    folder = shared_dir() / "data" / "coco"
    need(folder / "annotations" / SUBSET)
    return folder


@pytest.mark.data
class TestSharedData:
    def test_the_exact_part(self, shared_coco):
        poses = coco.load(folder=shared_coco, annotations=shared_coco / "annotations" / SUBSET)
        assert poses.name == "coco-val2017_subset"
        assert not coco.areas_estimated(poses)
        assert len(poses.images) == 121
        assert len(poses) == 166
        assert poses.left_out == {"crowd": 7, "no keypoints": 134}
        assert len(np.unique(poses.image_of)) == 64
        assert (poses.boxes[:, :2] + poses.boxes[:, 2:] <= poses.image_sizes[poses.image_of]).all()

    def test_all_its_photographs_decode_to_their_sizes(self, shared_coco):
        poses = coco.load(
            folder=shared_coco,
            annotations=shared_coco / "annotations" / SUBSET,
            require_images=True,
        )
        sizes = [poses.images.read(index).shape for index in range(121)]
        assert np.array_equal(np.array(sizes)[:, 1::-1], poses.image_sizes)
        assert {shape[2] for shape in sizes} == {3}

    def test_all_people_with_keypoints(self, shared_coco):
        path = need(shared_coco / "annotations" / ESTIMATED)
        poses = coco.load(folder=shared_coco, annotations=path)
        assert poses.name == "coco-val2017_estimated_area"
        assert coco.areas_estimated(poses)
        assert len(poses.image_ids) == 2346
        assert len(poses) == 6352
        assert poses.left_out == {}
        assert len(poses.images.missing()) == 2346 - 64
        with pytest.raises(MissingData, match=r"lacks 2,282 of the 2,346 pictures"):
            coco.load(folder=shared_coco, annotations=path, require_images=True)

    def test_both_give_the_same_people(self, shared_coco):
        exact, every = (
            coco.load(folder=shared_coco, annotations=shared_coco / "annotations" / name)
            for name in (SUBSET, ESTIMATED)
        )
        there = every.select(np.isin(every.image_ids[every.image_of], exact.image_ids))
        assert len(there) == len(exact)

        def rows(poses):
            ids = poses.image_ids[poses.image_of][:, None]
            found = np.concatenate(
                (ids, poses.boxes.round(2), poses.joints.reshape(len(poses), -1)), axis=1
            )
            return found[np.lexsort(found.T[::-1])]

        np.testing.assert_allclose(rows(exact), rows(there), atol=0.011)
