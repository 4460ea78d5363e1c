import csv
import hashlib
import os
import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torchvision import transforms
from torchvision.datasets import ImageFolder

import tiny_imagenet as tiny
from replab import datasets
from replab.datasets import fetch, image_files, imagenet
from replab.datasets.availability import require
from replab.errors import MissingData, UserError


@pytest.fixture
def made(tmp_path):
    return tiny.write(tmp_path / "set")


def load(folder):
    return imagenet.load(folder, extent=tiny.EXTENT)


def test_listing_is_that_of_torchvision(made):
    # What macOS and file managers leave behind is no image.
    (made / "train" / tiny.WNIDS[0] / "._x.JPEG").write_bytes(b"")
    (made / "train" / tiny.WNIDS[0] / "notes.txt").write_text("x")
    (made / "train" / ".cache").mkdir()
    found = load(made)
    assert found.classes == tiny.WNIDS
    (made / "train" / tiny.WNIDS[0] / "._x.JPEG").unlink()
    (made / "train" / ".cache").rmdir()
    for half in ("train", "val"):
        theirs = ImageFolder(str(made / half)).samples
        ours = getattr(found, half)
        mine = [(str(ours.path(i)), int(ours.labels[i])) for i in range(len(ours))]
        assert mine == theirs


def test_every_kind_of_file_is_read_as_rgb(made):
    found = load(made).train
    modes = set()
    for i in range(len(found)):
        with Image.open(found.path(i)) as stored:
            modes.add(stored.mode)
            expected = stored.convert("RGB")
        image = image_files.read_image(found.path(i))
        assert image.mode == "RGB"
        assert image.tobytes() == expected.tobytes()
    assert modes == {"RGB", "L", "CMYK"}


def test_a_png_under_a_jpeg_name_and_damaged_camera_data(tmp_path):
    path = tmp_path / "n02105855_2933.JPEG"
    Image.new("RGB", (3, 2), (1, 2, 3)).save(path, format="PNG")
    assert image_files.read_image(path).getpixel((0, 0)) == (1, 2, 3)
    picture = Image.new("RGB", (9, 9), (200, 0, 0))
    picture.save(path, format="JPEG", exif=b"Exif\0\0II*\0\x08\0\0\0\xff\xff\x01\x02", quality=99)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert image_files.read_image(path).size == (9, 9)


@pytest.mark.faults
@pytest.mark.parametrize("damage", ["cut", "text", "gone"])
def test_a_damaged_image_is_one_line(made, damage):
    path = made / "val" / tiny.WNIDS[0] / f"{tiny.WNIDS[0]}_100.JPEG"
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:600])
    elif damage == "text":
        path.write_text("no image")
    else:
        path.unlink()
    with pytest.raises(UserError) as error:
        image_files.read_image(path)
    text = str(error.value)
    assert text.startswith(f"cannot read the image {path}: ")
    assert text.endswith("; unpack it again from its archive")
    assert "\n" not in text


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 90), st.integers(1, 90), st.integers(1, 60), st.integers(0, 2**32 - 1))
def test_scaling_is_that_of_torchvision(width, height, short_side, seed):
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    image = Image.fromarray(pixels)
    theirs = transforms.Resize(short_side)(image)
    assert np.array_equal(image_files.scale(image, short_side), np.asarray(theirs))
    assert image_files.scaled_size(width, height, short_side) == theirs.size


@settings(max_examples=40, deadline=None)
@given(st.integers(5, 90), st.integers(5, 90), st.integers(8, 60), st.data())
def test_a_scaled_crop_is_a_crop_of_the_scaled(width, height, short_side, data):
    random = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    image = Image.fromarray(random.integers(0, 256, (height, width, 3), dtype=np.uint8))
    whole = image_files.scale(image, short_side).astype(int)
    px = data.draw(st.integers(1, short_side))
    top = data.draw(st.integers(0, whole.shape[0] - px))
    left = data.draw(st.integers(0, whole.shape[1] - px))
    crop = image_files.scale_crop(image, short_side, left, top, px)
    assert crop.shape == (px, px, 3)
    difference = np.abs(crop - whole[top : top + px, left : left + px])
    assert difference.max() <= 2


@pytest.mark.parametrize("short_side", [256, 300, 375, 480])
def test_at_imagenet_s_sizes_the_two_hardly_ever_differ(short_side):
    random = np.random.default_rng(0)
    image = Image.fromarray(random.integers(0, 256, (375, 500, 3), dtype=np.uint8))
    whole = image_files.scale(image, short_side).astype(int)
    crop = image_files.scale_crop(image, short_side, 17, 9, 224)
    difference = np.abs(crop - whole[9:233, 17:241])
    assert difference.max() <= 1
    assert difference.mean() < 0.01


class TestWhatIsWrong:
    def says(self, made):
        with pytest.raises(UserError) as error:
            load(made)
        assert "\n" not in str(error.value)
        return str(error.value)

    def test_half_a_set(self, made):
        shutil.rmtree(made / "val")
        assert f"{made} has no folder val/; get ILSVRC2012" in self.says(made)

    def test_a_class_is_missing(self, made):
        shutil.rmtree(made / "train" / tiny.WNIDS[1])
        assert f"{made / 'train'} has 2 class folders instead of 3" in self.says(made)

    def test_a_training_image_is_missing(self, made):
        next((made / "train" / tiny.WNIDS[1]).iterdir()).unlink()
        assert self.says(made).startswith(
            f"{made / 'train'} has 11 images instead of 12 (class {tiny.WNIDS[1]} has only 3); "
            "unpack"
        )

    def test_a_validation_image_too_many(self, made):
        place = made / "val" / tiny.WNIDS[2]
        tiny.picture(0, 0).save(place / "more.JPEG")
        assert "has 7 images instead of 6; unpack" in self.says(made)

    def test_classes_of_the_halves_differ(self, made):
        (made / "val" / tiny.WNIDS[0]).rename(made / "val" / "n00000001")
        assert "class n00000001 is missing in train/" in self.says(made)

    def test_another_set_of_as_many_classes(self, made):
        digest = hashlib.sha256(b"n01440764\nn01443537\nn15075141\n").hexdigest()
        assert (
            len(imagenet.load(made, extent=imagenet.Extent(3, 12, 6, 4, wnids=digest)).train) == 12
        )
        extent = imagenet.Extent(3, 12, 6, 4, wnids="0" * 64)
        with pytest.raises(UserError, match="but not the WordNet ids of ILSVRC2012"):
            imagenet.load(made, extent=extent)

    def test_a_folder_that_cannot_be_read(self, tmp_path):
        (tmp_path / "file").write_text("")
        with pytest.raises(UserError, match=r"cannot read .*file: Not a directory"):
            image_files.list_folder(tmp_path / "file")


def flatten(made):
    """The validation images without class folders; their labels by name."""
    labels = {}
    for number, wnid in enumerate(tiny.WNIDS):
        for path in sorted((made / "val" / wnid).iterdir()):
            labels[path.stem] = number
            path.rename(made / "val" / path.name)
        (made / "val" / wnid).rmdir()
    return labels


class TestFlatValidation:
    def write(self, made, form, labels):
        """As Kaggle gives them, as Caffe numbers them, and by WordNet id."""
        if form == "kaggle":
            path = made / "LOC_val_solution.csv"
            with path.open("w", newline="") as stream:
                writer = csv.writer(stream)
                writer.writerow(["ImageId", "PredictionString"])
                for name, label in reversed(labels.items()):
                    writer.writerow([name, f"{tiny.WNIDS[label]} 1 2 3 4 {tiny.WNIDS[label]} 5 6"])
        else:
            path = made / "val.txt"
            words = tiny.WNIDS if form == "wnids" else range(3)
            path.write_text("".join(f"{n}.JPEG {words[k]}\n" for n, k in labels.items()))
        return path

    @pytest.mark.parametrize("form", ["kaggle", "numbers", "wnids"])
    def test_labels_from_a_file(self, made, form):
        labels = flatten(made)
        self.write(made, form, labels)
        val = load(made).val
        assert {val.path(i).stem: int(val.labels[i]) for i in range(6)} == labels
        assert all(val.path(i).is_file() for i in range(6))

    def test_none(self, made):
        flatten(made)
        with pytest.raises(UserError, match=r"neither LOC_val_solution\.csv nor val\.txt"):
            load(made)

    def test_an_image_without_a_class(self, made):
        labels = flatten(made)
        path = self.write(made, "wnids", dict(list(labels.items())[1:]))
        with pytest.raises(UserError, match=f"{path} has no class for the image '{min(labels)}'"):
            load(made)

    def test_numbers_of_the_development_kit_are_not_mistaken(self, made):
        labels = flatten(made)
        self.write(made, "numbers", labels)
        text = (made / "val.txt").read_text().replace(" 2\n", " 3\n")
        (made / "val.txt").write_text(text)
        with pytest.raises(UserError, match=r"'3' of .* is neither a WordNet id nor a number"):
            load(made)


class TestFetch:
    def get(self, source=None, **options):
        return imagenet.fetch(source, extent=tiny.EXTENT, quiet=True, **options)

    def test_it_becomes_a_link(self, made, data_dir, capsys):
        with pytest.raises(MissingData, match=r"imagenet is not on this machine .*--from DIR"):
            require("imagenet")
        folder = imagenet.fetch(made, extent=tiny.EXTENT)
        assert folder == data_dir / "imagenet"
        assert Path(os.readlink(folder)) == made
        require("imagenet")
        assert len(imagenet.load(extent=tiny.EXTENT).train) == 12
        assert f"imagenet is at {folder}, a link to {made}" in capsys.readouterr().err
        # Again, from itself, and without a source: nothing changes.
        assert self.get(made) == self.get(folder) == self.get() == folder
        assert Path(os.readlink(folder)) == made

    def test_another_source_replaces_the_link(self, made, tmp_path, data_dir):
        self.get(made)
        other = tiny.write(tmp_path / "other")
        assert Path(os.readlink(self.get(other))) == other
        assert made.is_dir()

    def test_kaggle_s_layout(self, made, tmp_path, data_dir):
        place = tmp_path / "kaggle" / "ILSVRC" / "Data" / "CLS-LOC"
        place.parent.mkdir(parents=True)
        labels = flatten(made)
        made.rename(place)
        TestFlatValidation().write(tmp_path / "kaggle", "kaggle", labels)
        assert Path(os.readlink(self.get(tmp_path / "kaggle"))) == place
        assert len(imagenet.load(extent=tiny.EXTENT).val) == 6

    def test_a_wrong_layout_makes_no_link(self, made, tmp_path, data_dir):
        shutil.rmtree(made / "train" / tiny.WNIDS[0])
        with pytest.raises(UserError, match="has 2 class folders instead of 3"):
            self.get(made)
        with pytest.raises(UserError, match="is no folder; name the one that holds train/"):
            self.get(tmp_path / "none")
        assert not (data_dir / "imagenet").exists()

    def test_a_real_folder_is_not_replaced(self, made, tmp_path, data_dir):
        shutil.copytree(made, data_dir / "imagenet")
        assert self.get() == data_dir / "imagenet"
        with pytest.raises(UserError, match="is a folder, no link; remove or rename it"):
            self.get(made)
        assert len(imagenet.load(extent=tiny.EXTENT).train) == 12

    def test_a_link_that_leads_nowhere(self, made, data_dir):
        self.get(made)
        shutil.rmtree(made)
        with pytest.raises(MissingData, match=f"leads to {made}, which is not there"):
            require("imagenet")

    def test_of_the_table(self, made, data_dir):
        """The command's own entry asks for the whole ILSVRC2012 and downloads nothing."""
        with pytest.raises(MissingData, match="from its authors") as error:
            fetch.fetch("imagenet")
        assert "\n" not in str(error.value)
        with pytest.raises(UserError, match="has 3 class folders instead of 1,000"):
            fetch.fetch("imagenet", made, quiet=True)


def test_it_is_known_without_the_data(data_dir):
    assert datasets.fingerprint("imagenet") == imagenet.FINGERPRINT == "3187840f5f9fb728"
    assert tiny.EXTENT.fingerprint() != imagenet.FINGERPRINT
    with pytest.raises(UserError, match=r"open it by replab\.datasets\.imagenet\.load"):
        datasets.open_set("imagenet")
    with pytest.raises(UserError, match="'imagnet'; the nearest names are imagenet, "):
        require("imagnet")


class Numbers:
    """Work for `deliver`."""

    def __init__(self, bad=-1):
        self.bad = bad

    def __call__(self, key):
        if key == self.bad:
            raise UserError(f"cannot read number {key}; write it again")
        return key, key * key


def test_delivery_in_order_until_an_error():
    assert list(image_files.deliver(Numbers(), range(3, 6))) == [(3, 9), (4, 16), (5, 25)]
    seen = []
    with pytest.raises(UserError) as error:
        seen.extend(image_files.deliver(Numbers(bad=1), range(5)))
    assert str(error.value) == "cannot read number 1; write it again"
