"""Batches: every image once an epoch, the same ones whenever a training is taken up."""

import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from replab.training import batches
from replab.training.batches import PAD, DeviceBatches, DeviceImages, EpochOrder, crop_and_mirror


def indices(order, iterations):
    return torch.cat([order.batch(i)[0] for i in iterations])


@given(
    count=st.integers(1, 40),
    batch=st.integers(1, 17),
    seed=st.integers(0, 2**31 - 1),
)
@settings(max_examples=50)
def test_every_image_once_per_epoch(count, batch, seed):
    order = EpochOrder(count, batch, seed, augment=True)
    iterations = -(-3 * count // batch)
    drawn = indices(order, range(iterations))
    # Batches across the ends of epochs are full.
    assert len(drawn) == iterations * batch
    for epoch in range(3):
        assert sorted(drawn[epoch * count : (epoch + 1) * count].tolist()) == list(range(count))


def test_epochs_and_seeds_differ():
    first = EpochOrder(100, 100, 0, augment=True)
    orders = [first.batch(0), first.batch(1), EpochOrder(100, 100, 1, augment=True).batch(0)]
    for i in range(3):
        for j in range(i):
            for one, other in zip(orders[i], orders[j], strict=True):
                assert not torch.equal(one, other)


@given(st.integers(0, 30), st.integers(2, 13), st.integers(0, 99), st.integers(5, 33))
@settings(max_examples=50)
def test_resumed_anywhere(first, batch, seed, count):
    """A batch is a function of seed and iteration, whatever was drawn before."""
    order = EpochOrder(count, batch, seed, augment=True)
    for iteration in range(first):
        order.batch(iteration)
    usual = order.batch(first)
    fresh = EpochOrder(count, batch, seed, augment=True).batch(first)
    back = (order.batch(0), order.batch(first))[1]
    for one, other, third in zip(usual, fresh, back, strict=True):
        assert torch.equal(one, other)
        assert torch.equal(one, third)


def test_the_draws_are_pinned():
    """Another order would be another experiment: bump the versions."""
    order, shifts, mirror = EpochOrder(10, 4, 7, augment=True).batch(2)
    assert order.tolist() == [4, 0, 7, 3]
    assert shifts.tolist() == [[8, 4], [5, 0], [0, 0], [3, 0]]
    assert mirror.tolist() == [False, True, True, True]
    assert (order.dtype, shifts.dtype, mirror.dtype) == (torch.int64, torch.int64, torch.bool)
    assert (order.shape, shifts.shape, mirror.shape) == ((4,), (4, 2), (4,))


def test_the_global_generator_is_left_alone():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    EpochOrder(50, 8, 0, augment=True).batch(3)
    assert torch.equal(torch.rand(3), expected)


def test_augmentation_is_even():
    order = EpochOrder(20_000, 20_000, 0, augment=True)
    _, shifts, mirror = order.batch(0)
    counts = torch.stack([torch.bincount(shifts[:, axis], minlength=9) for axis in (0, 1)])
    assert counts.shape == (2, 9)
    # 20,000 / 9, with a standard deviation of 44.
    assert (counts - 20_000 / 9).abs().max() < 5 * 44
    assert abs(mirror.float().mean().item() - 0.5) < 5 * 0.0036


def test_draw():
    images = torch.arange(6 * 2 * 3 * 3, dtype=torch.float32).reshape(6, 2, 3, 3)
    data = DeviceImages(images, torch.arange(6) * 10)
    plain = EpochOrder(6, 4, 3, augment=False)
    got, labels = DeviceBatches(data, plain).batch(1)
    index, shifts, mirror = plain.batch(1)
    assert torch.equal(got, images[index])
    assert torch.equal(labels, index * 10)
    got, labels = DeviceBatches(data, EpochOrder(6, 4, 3, augment=True)).batch(1)
    assert torch.equal(got, crop_and_mirror(images[index], shifts, mirror))
    assert torch.equal(labels, index * 10)


def slowly(image, shift, mirror):
    """One image, C×H×W, padded, cropped and mirrored by hand."""
    channels, height, width = image.shape
    padded = np.zeros((channels, height + 2 * PAD, width + 2 * PAD), np.float32)
    padded[:, PAD : PAD + height, PAD : PAD + width] = image
    top, left = shift
    crop = padded[:, top : top + height, left : left + width]
    return crop[:, :, ::-1] if mirror else crop


SHAPES = st.tuples(st.integers(1, 5), st.integers(1, 3), st.integers(1, 9), st.integers(1, 9))


@given(st.data())
@settings(max_examples=60)
def test_crop_and_mirror(data):
    images = data.draw(
        SHAPES.flatmap(lambda s: hnp.arrays(np.float32, s, elements=st.integers(-9, 9)))
    )
    count = len(images)
    shifts = data.draw(hnp.arrays(np.int64, (count, 2), elements=st.integers(0, 2 * PAD)))
    mirror = data.draw(hnp.arrays(np.bool_, (count,)))
    got = crop_and_mirror(*map(torch.from_numpy, (images, shifts, mirror)))
    expected = np.stack([slowly(*each) for each in zip(images, shifts, mirror, strict=True)])
    np.testing.assert_array_equal(got.numpy(), expected)


def test_crop_and_mirror_of_channels_last():
    images = torch.randn(4, 3, 8, 8)
    shifts, mirror = torch.randint(0, 9, (4, 2)), torch.tensor([True, False, True, False])
    last = images.contiguous(memory_format=torch.channels_last)
    assert torch.equal(
        crop_and_mirror(images, shifts, mirror), crop_and_mirror(last, shifts, mirror)
    )


@pytest.fixture
def images():
    return np.random.default_rng(0).integers(0, 256, (25, 8, 8, 3), dtype=np.uint8)


@pytest.mark.parametrize("size", [8, 4, 2, 1])
@pytest.mark.parametrize("chunk", [2000, 7, 25])
def test_averaging_down(images, size, chunk, monkeypatch):
    monkeypatch.setattr(batches, "CHUNK", chunk)
    got = batches.to_tensor(images, size)
    factor = 8 // size
    squares = images.reshape(25, size, factor, size, factor, 3).mean(axis=(2, 4)) / 255
    assert (got.shape, got.dtype) == ((25, 3, size, size), torch.float32)
    np.testing.assert_allclose(got.numpy(), squares.transpose(0, 3, 1, 2), atol=1e-6)


def test_what_cannot_be_averaged_down(images):
    with pytest.raises(ValueError, match="images of 8 px cannot be averaged down to 3 px"):
        batches.to_tensor(images, 3)


def test_per_pixel_mean(images):
    mean = batches.per_pixel_mean(images, 8)
    expected = images.astype(np.float64).mean(axis=0).transpose(2, 0, 1)[None] / 255
    assert mean.shape == (1, 3, 8, 8)
    np.testing.assert_allclose(mean.numpy(), expected, atol=1e-6)
    half = batches.per_pixel_mean(images, 4)
    assert (half - torch.nn.functional.avg_pool2d(mean, 2)).abs().max() < 1e-6


def test_to_device(images):
    mean = batches.per_pixel_mean(images, 4)
    labels = np.arange(25, dtype=np.uint8)
    data = batches.to_device(images, labels, size=4, mean=mean, device="cpu")
    assert torch.equal(data.images, batches.to_tensor(images, 4) - mean)
    assert data.images.mean(dim=0).abs().max() < 1e-6
    assert (data.labels.dtype, data.labels.tolist()) == (torch.int64, list(range(25)))


def test_read_only_memory_maps_raise_no_warning(images, tmp_path):
    np.save(tmp_path / "images.npy", images)
    mapped = np.load(tmp_path / "images.npy", mmap_mode="r")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        got = batches.to_tensor(mapped[:20], 8)
    assert torch.equal(got, batches.to_tensor(images[:20], 8))
    got.zero_()
    np.testing.assert_array_equal(np.load(tmp_path / "images.npy"), images)
