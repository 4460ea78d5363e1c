"""Errors on one and on ten crops, beside torchvision's own crops."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import nn
from torchvision import transforms
from torchvision.transforms import functional as tf

import tiny_imagenet as tiny
from replab.datasets import image_files, imagenet
from replab.errors import UserError
from replab.metrics.crops import CENTRE, crop_errors, five_crops

PLACE = {"mean": (0.5, 0.4, 0.3), "short_side": 40, "px": 32}


@pytest.fixture(scope="module")
def val(tmp_path_factory):
    folder = tiny.write(tmp_path_factory.mktemp("imagenet"))
    return imagenet.load(folder, extent=tiny.EXTENT).val


def linear(classes=3, seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, classes))


@settings(max_examples=40, deadline=None)
@given(st.integers(8, 30), st.integers(8, 30), st.integers(1, 8), st.integers(0, 2**32 - 1))
def test_ten_crops_are_torchvision_s(height, width, px, seed):
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    mine = five_crops(pixels, px)
    both = [*mine, *mine[:, :, ::-1]]
    theirs = [np.asarray(crop) for crop in transforms.TenCrop(px)(Image.fromarray(pixels))]
    # torchvision mirrors the image, and then finds its left corner where ours is the right one.
    order = [0, 1, 2, 3, 4, 6, 5, 8, 7]
    if (width - px) % 2 == 0:
        order.append(9)
    # The centre of an image with an odd margin lies half a pixel aside: ten reflections of five
    # patches (Krizhevsky et al. 2012) take the same one twice.
    for ours, place in enumerate(order):
        assert np.array_equal(both[ours], theirs[place])
    assert np.array_equal(both[9][:, ::-1], theirs[CENTRE])


def test_no_crop_of_too_small_an_image():
    with pytest.raises(ValueError, match="no crops of 8 px in an image of 9×7"):
        five_crops(np.zeros((7, 9, 3), np.uint8), 8)


def expected(model, val):
    """Errors by torchvision's transforms, image by image."""
    wrong = dict.fromkeys(("top1_1crop", "top1_10crop"), 0)
    for i in range(len(val)):
        image = transforms.Resize(40)(Image.open(val.path(i)).convert("RGB"))
        five = [tf.to_tensor(crop) for crop in transforms.FiveCrop(32)(image)]
        views = torch.stack([*five, *(tf.hflip(crop) for crop in five)])
        views -= torch.tensor(PLACE["mean"])[:, None, None]
        scores = model(views).softmax(1)
        label = int(val.labels[i])
        wrong["top1_1crop"] += int(scores[4].argmax()) != label
        wrong["top1_10crop"] += int(scores.mean(0).argmax()) != label
    return {key: 100 * count / len(val) for key, count in wrong.items()}


@torch.inference_mode()
def test_errors_are_those_of_torchvision_s_views(val):
    seen = set()
    for seed in range(8):
        model = linear(seed=seed)
        found = crop_errors(model, val, batch_size=4, **PLACE)
        assert {k: v for k, v in found.items() if k.startswith("top1")} == expected(model, val)
        # Three classes: none is outside the best five.
        assert found["top5_1crop"] == found["top5_10crop"] == 0
        seen.add((found["top1_1crop"], found["top1_10crop"]))
    # Nets for which the two protocols differ are among them.
    assert any(one != ten for one, ten in seen)


def test_softmax_is_averaged_not_logits(tmp_path):
    """Four of five patches lean a little to class 0, one very strongly to class 1."""

    class Leaning(nn.Module):
        def forward(self, views):
            bright = views.amax((1, 2, 3)) > 0.9
            weak, strong = torch.tensor([2.0, 0.0]), torch.tensor([0.0, 50.0])
            return torch.where(bright[:, None], strong, weak)

    pixels = np.zeros((8, 8, 3), np.uint8)
    pixels[0, 0] = 255  # in the upper left patch alone
    Image.fromarray(pixels).save(tmp_path / "one.png")
    images = image_files.ImageFiles(tmp_path, np.array([b"one.png"]), np.array([0]))
    found = crop_errors(Leaning(), images, mean=(0, 0, 0), short_side=8, px=4)
    assert found["top1_10crop"] == 0.0


def test_top_five_counts(val):
    """A bias alone ranks seven classes: labels 0, 1 and 2 come first, fifth and sixth."""
    model = linear(classes=7)
    nn.init.zeros_(model[1].weight)
    with torch.no_grad():
        model[1].bias.copy_(torch.tensor([9.0, 5.0, 4.0, 8.0, 7.0, 6.0, 0.0]))
    third = pytest.approx(100 / 3)
    assert crop_errors(model, val, **PLACE) == {
        "top1_1crop": 2 * third.expected,
        "top5_1crop": third,
        "top1_10crop": 2 * third.expected,
        "top5_10crop": third,
    }


def test_one_crop_alone_mode_and_progress(val):
    model, told = linear(), []
    both = crop_errors(model, val, **PLACE)
    assert model.training
    model.eval()
    alone = crop_errors(
        model, val, ten=False, batch_size=4, progress=lambda *a: told.append(a), **PLACE
    )
    assert not model.training
    assert alone == {key: both[key] for key in ("top1_1crop", "top5_1crop")}
    assert told == [(4 / 6, "4 images"), (1.0, "6 images")]


def test_workers_change_nothing(val):
    model = linear(seed=3)
    alone = crop_errors(model, val, batch_size=2, **PLACE)
    assert crop_errors(model, val, batch_size=2, workers=2, **PLACE) == alone


@pytest.mark.faults
@pytest.mark.parametrize("workers", [0, 1])
def test_a_damaged_image_is_one_line(tmp_path, workers):
    folder = tiny.write(tmp_path / "set")
    images = imagenet.load(folder, extent=tiny.EXTENT).val
    images.path(5).write_bytes(b"no image")
    with pytest.raises(UserError) as error:
        crop_errors(linear(), images, batch_size=2, workers=workers, **PLACE)
    assert str(error.value).startswith(f"cannot read the image {images.path(5)}: ")
    assert "\n" not in str(error.value)


def test_no_images_and_no_numbers(val):
    none = image_files.ImageFiles(val.folder, val.names[:0], val.labels[:0])
    with pytest.raises(ValueError, match="no images to score"):
        crop_errors(linear(), none, **PLACE)
    model = linear()
    nn.init.constant_(model[1].bias, float("nan"))
    with pytest.raises(ValueError, match="not finite"):
        crop_errors(model, val, **PLACE)
