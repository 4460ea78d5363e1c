"""All people of val2017 with estimated areas: from a file, known by content, named so."""

import gzip
import json
import lzma
from types import SimpleNamespace

import numpy as np
import pytest

import tiny_pose_sets as tiny
from replab import datasets, files
from replab.datasets import coco, coco_estimated, people
from replab.datasets.availability import ensure_available, require
from replab.datasets.coco_sources import ANNOTATIONS_ONLY
from replab.errors import MissingData, UserError

PACKED = {".json": bytes, ".json.xz": lzma.compress, ".json.gz": gzip.compress}


def content():
    return json.dumps(tiny.coco_annotations() | {"area_estimated": True}).encode()


DIGEST = files.sha256_bytes(content())


@pytest.fixture
def source(tmp_path):
    """A folder with the file two folders down, packed."""
    folder = tmp_path / "source" / "coco" / "annotations"
    folder.mkdir(parents=True)
    path = folder / "person_keypoints_val2017_estimated_area.json.xz"
    path.write_bytes(lzma.compress(content()))
    return SimpleNamespace(folder=tmp_path / "source", path=path)


def fetch(where=None, **options):
    return coco_estimated.fetch(where, quiet=True, digest=DIGEST, **options)


class TestFetch:
    @pytest.mark.parametrize("suffix", PACKED)
    def test_from_a_file_however_packed(self, suffix, tmp_path, data_dir):
        path = tmp_path / f"any-name{suffix}"
        path.write_bytes(PACKED[suffix](content()))
        place = fetch(path)
        assert place.parent == data_dir / "coco" / "annotations"
        assert place.name == f"person_keypoints_val2017_estimated_area{suffix}"
        assert place.read_bytes() == path.read_bytes()
        assert coco_estimated.find(DIGEST) == place

    def test_from_a_folder(self, source, data_dir):
        assert fetch(source.folder).read_bytes() == source.path.read_bytes()

    def test_never_without_a_file(self, data_dir):
        with pytest.raises(MissingData, match=r"fetch coco-val2017-estimated --from FILE") as e:
            fetch()
        assert "\n" not in str(e.value)

    def test_what_is_here_stays(self, source, data_dir):
        place = fetch(source.path)
        assert fetch() == place
        # What is named is not even looked at.
        assert fetch(source.folder / "gone") == place

    def test_another_packing_takes_its_place(self, source, tmp_path, data_dir):
        first = fetch(source.path)
        plain = tmp_path / "plain.json"
        plain.write_bytes(content())
        second = fetch(plain, force=True)
        assert second.suffix == ".json"
        assert not first.exists()

    @pytest.mark.faults
    def test_a_damaged_one_is_mended(self, source, data_dir):
        place = fetch(source.path)
        place.write_bytes(place.read_bytes()[:-20])
        with pytest.raises(UserError, match="cannot read"):
            coco_estimated.find(DIGEST)
        assert fetch(source.path).read_bytes() == source.path.read_bytes()

    @pytest.mark.faults
    def test_other_content(self, source, data_dir):
        other = json.loads(content())
        other["annotations"][0]["area"] += 1
        source.path.write_bytes(lzma.compress(json.dumps(other).encode()))
        with pytest.raises(UserError, match=r"holds other content than coco-val2017-estimated"):
            fetch(source.path)
        assert not (data_dir / "coco").exists()

    @pytest.mark.faults
    def test_no_such_source(self, tmp_path, data_dir):
        with pytest.raises(UserError, match="there is no"):
            fetch(tmp_path / "gone")
        with pytest.raises(UserError, match=r"holds no person_keypoints_val2017_estimated_area\."):
            fetch(tmp_path)


def test_a_pose_set_without_pictures(source, data_dir):
    fetch(source.path)
    poses = coco_estimated.load(digest=DIGEST)
    assert poses.name == "coco-val2017-estimated"
    assert poses.fingerprint == coco_estimated.fingerprint(DIGEST)
    assert coco.areas_estimated(poses)
    assert len(poses) == 6
    assert len(poses.images) == len(tiny.COCO_IMAGES)
    with pytest.raises(UserError, match=r"run `python -m replab fetch coco-val2017`"):
        poses.images.read(0)


def test_the_published_people(shared, data_dir):
    source = shared / "data" / "coco" / "annotations"
    if not any((source / name).is_file() for name in coco_estimated.FILES):
        pytest.skip("data/coco is not in shared/")
    coco_estimated.fetch(source, quiet=True)
    require("coco-val2017-estimated")
    poses = datasets.open_poses("coco-val2017-estimated")
    assert (len(poses), len(poses.images)) == (coco_estimated.PEOPLE, coco_estimated.PICTURES)
    assert poses.fingerprint == datasets.fingerprint("coco-val2017-estimated")
    assert poses.left_out == {}
    boxes = np.array([entry["bbox"] for entry in poses.truth["annotations"]])
    ratio = np.array([e["area"] for e in poses.truth["annotations"]]) / (boxes[:, 2] * boxes[:, 3])
    np.testing.assert_allclose(ratio, 0.5369, rtol=1e-3)


class TestNames:
    """How sets of people are named, opened and fingerprinted."""

    def test_fingerprints_are_known_without_data(self, data_dir):
        digits = {name: datasets.fingerprint(name) for name in datasets.names("poses")}
        assert len(set(digits.values())) == len(digits)
        assert all(len(d) == 16 and int(d, 16) for d in digits.values())
        assert digits["people-test"] == people.fingerprint("test", pictures=700)
        assert digits["coco-val2017"] == coco.fingerprint(coco.ANNOTATIONS["val2017"])
        assert not data_dir.exists()

    def test_generated_people_open_by_name(self, data_dir, monkeypatch):
        monkeypatch.setattr(people, "COUNTS", {"train": 3, "test": 2})
        train, test = (datasets.open_poses(f"people-{split}") for split in ("train", "test"))
        assert (len(train.images), len(test.images)) == (3, 2)
        assert (train.name, test.name) == ("people-train-easy", "people-test-easy")
        assert test.fingerprint == datasets.fingerprint("people-test")

    def test_coco_opens_by_name(self, data_dir):
        path = tiny.write_coco(data_dir / "coco", "val2017")
        poses = datasets.open_poses("coco-val2017")
        assert poses.name == "coco-val2017"
        assert poses.fingerprint == coco.fingerprint(files.sha256_file(path))

    def test_names_that_are_none(self):
        with pytest.raises(UserError, match=r"no data set 'people-val'; the nearest .* people-"):
            datasets.open_poses("people-val")
        with pytest.raises(UserError, match="cifar10 is a set of labelled images, not of people"):
            datasets.open_poses("cifar10")
        with pytest.raises(UserError, match=r"open it by replab.datasets.open_poses\('people-"):
            datasets.open_set("people-test")


class TestAvailability:
    def test_generated_people_need_nothing(self, data_dir):
        require("people-train")
        require("people-test")
        assert not data_dir.exists()

    def test_the_estimated_set_has_to_be_fetched(self, data_dir):
        with pytest.raises(MissingData, match="--from FILE"):
            require("coco-val2017-estimated")

    def test_annotations_are_enough_where_no_picture_is_wanted(self, data_dir, monkeypatch):
        path = tiny.write_coco(data_dir / "coco", "val2017")
        digest = files.sha256_file(path)
        monkeypatch.setattr(coco, "ANNOTATIONS", {"val2017": digest})
        for picture in (data_dir / "coco" / "val2017").iterdir():
            picture.unlink()
        require(ANNOTATIONS_ONLY)
        with pytest.raises(MissingData):
            require("coco-val2017")

    def test_annotations_that_are_not_coco_s(self, data_dir):
        tiny.write_coco(data_dir / "coco", "val2017")
        with pytest.raises(UserError, match=r"person_keypoints_val2017.json is not COCO's"):
            require(ANNOTATIONS_ONLY)

    def test_missing_annotations_start_no_download(self, data_dir, monkeypatch):
        def never(*words, **options):
            raise AssertionError("a gigabyte was asked for")

        monkeypatch.setattr("replab.datasets.download.get", never)
        with pytest.raises(UserError, match="the keypoints of COCO val2017 are not on this") as e:
            ensure_available(ANNOTATIONS_ONLY)
        assert not isinstance(e.value, MissingData)
        assert "\n" not in str(e.value)
