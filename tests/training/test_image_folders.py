"""Batches from files: functions of seed and iteration, whoever makes them and from wherever."""

import numpy as np
import pytest
import torch
from PIL import Image

import tiny_imagenet as tiny
from replab.datasets import image_files, imagenet
from replab.errors import UserError
from replab.training.image_folders import (
    IMAGENET_EIGENVALUES,
    IMAGENET_EIGENVECTORS,
    IMAGENET_MEAN,
    Augmentation,
    FolderBatches,
)

SMALL = Augmentation(short_sides=(36, 48), px=32)


@pytest.fixture(scope="module")
def train(tmp_path_factory):
    folder = tiny.write(tmp_path_factory.mktemp("imagenet"))
    return imagenet.load(folder, extent=tiny.EXTENT).train


def batches(train, **options):
    made = {"batch_size": 5, "seed": 0, "augmentation": SMALL, **options}
    return FolderBatches(train, **made)


def assert_same(one, other):
    for mine, theirs in zip(one, other, strict=True):
        assert torch.equal(mine, theirs)


def test_shapes_and_values(train):
    images, labels = batches(train).batch(0)
    assert images.shape == (5, 3, 32, 32)
    assert images.dtype == torch.float32
    assert images.is_contiguous(memory_format=torch.channels_last)
    assert labels.dtype == torch.int64
    shift = 0.1 * 4 * max(IMAGENET_EIGENVALUES)
    assert images.min() >= -max(IMAGENET_MEAN) - shift
    assert images.max() <= 1 - min(IMAGENET_MEAN) + shift


def test_a_function_of_seed_and_iteration(train):
    forward = batches(train)
    expected = [forward.batch(i) for i in range(6)]
    # Out of order, from the middle, again, and by another maker.
    other = batches(train)
    for i in (4, 5, 0, 3, 3, 2):
        assert_same(other.batch(i), expected[i])
    assert not torch.equal(batches(train, seed=1).batch(0)[0], expected[0][0])


def test_workers_change_no_bit(train):
    alone, shared = batches(train), batches(train, workers=2)
    try:
        for i in range(7, 12):
            assert_same(shared.batch(i), alone.batch(i))
    finally:
        shared.close()


def test_every_image_once_an_epoch_in_another_order(train):
    size = len(train)
    maker = batches(train, batch_size=5)._prepare
    orders = [maker.order(epoch).tolist() for epoch in range(4)]
    assert all(sorted(order) == list(range(size)) for order in orders)
    assert len({tuple(order) for order in orders}) == 4
    # Batches of 5 cut through epochs of 12: the labels follow the orders end to end.
    labels = torch.cat([batches(train).batch(i)[1] for i in range(6)]).tolist()
    flat = [int(train.labels[i]) for order in orders for i in order]
    assert labels == flat[:30]


def test_an_image_s_draws_hang_on_its_own_number_alone(train):
    """The same crop of an image in an epoch, whatever batch it comes in."""
    small, large = batches(train, batch_size=3), batches(train, batch_size=12)
    parts = [small.batch(i) for i in range(4)]
    together = tuple(torch.cat(column) for column in zip(*parts, strict=True))
    assert_same(together, large.batch(0))
    again, order = large.batch(1), large._prepare.order
    first = {int(i): image for i, image in zip(order(0), together[0], strict=True)}
    second = {int(i): image for i, image in zip(order(1), again[0], strict=True)}
    assert not any(torch.equal(first[i], second[i]) for i in first)


class Counting:
    """Stands for a generator: gives back what it is told, and notes what it was asked."""

    def __init__(self, side, left, top, mirror, factors):
        self.answers = [side, left, top, mirror]
        self.factors = np.array(factors)
        self.asked = []

    def integers(self, low, high=None, endpoint=False):
        self.asked.append((low, high, endpoint))
        return self.answers[len(self.asked) - 1]

    def normal(self, mean, deviation, count):
        assert (mean, deviation, count) == (0.0, 1.0, 3)
        return self.factors


@pytest.mark.parametrize("mirror", [0, 1])
def test_one_augmentation_step_by_step(mirror):
    image = tiny.picture(0, 0)
    random = Counting(40, 7, 3, mirror, [1.0, -2.0, 0.5])
    crop, shift = SMALL.draw(image, random)
    width, height = image_files.scaled_size(*image.size, 40)
    # Both ends count: side 36 to 48, and any place where the crop still fits.
    assert random.asked == [
        (36, 48, True),
        (0, width - 32, True),
        (0, height - 32, True),
        (2, None, False),
    ]
    whole = image_files.scale(image, 40)[3:35, 7:39].astype(int)
    expected = whole[:, ::-1] if mirror else whole
    assert np.abs(crop - expected).max() <= 2
    # Krizhevsky et al. 2012, §4.1: [p1 p2 p3] [α1 λ1, α2 λ2, α3 λ3]ᵀ, here by hand for red.
    red = 0.1 * (-0.5675 * 0.2175 * 1 + 0.7192 * 0.0188 * -2 + 0.4009 * 0.0045 * 0.5)
    assert shift[0] == pytest.approx(red, rel=1e-6)
    assert shift.shape == (3,)


def test_the_components_are_orthonormal():
    vectors = np.array(IMAGENET_EIGENVECTORS)
    assert np.allclose(vectors.T @ vectors, np.eye(3), atol=2e-3)


def test_colours_are_shifted_and_the_mean_subtracted(tmp_path):
    """On an image of one colour, nothing is left but the mean and the shift."""
    Image.new("RGB", (40, 40), (51, 102, 204)).save(tmp_path / "one.png")
    images = image_files.ImageFiles(tmp_path, np.array([b"one.png"]), np.array([0]))
    still = Augmentation(short_sides=(36, 48), px=32, lighting=0)
    plain, _ = FolderBatches(images, batch_size=1, seed=0, augmentation=still).batch(0)
    expected = torch.tensor([0.2, 0.4, 0.8]) - torch.tensor(IMAGENET_MEAN)
    assert torch.allclose(plain, expected[None, :, None, None].expand_as(plain), atol=1e-6)
    lit = FolderBatches(images, batch_size=400, seed=0, augmentation=SMALL).batch(0)[0]
    shifts = lit[:, :, 0, 0] - expected
    assert torch.equal(lit, lit[:, :, :1, :1].expand_as(lit))
    # Along each component, the standard deviation is a tenth of its eigenvalue.
    along = shifts @ torch.tensor(IMAGENET_EIGENVECTORS)
    ratios = along.std(0) / torch.tensor(IMAGENET_EIGENVALUES)
    assert torch.allclose(ratios, torch.full((3,), 0.1), rtol=0.12)
    assert (along.mean(0).abs() < 4 * along.std(0) / 20).all()


def test_half_are_mirrored(tmp_path):
    pixels = np.zeros((40, 40, 3), np.uint8)
    pixels[:, 20:] = 255
    Image.fromarray(pixels).save(tmp_path / "one.png")
    images = image_files.ImageFiles(tmp_path, np.array([b"one.png"]), np.array([0]))
    made, _ = FolderBatches(images, batch_size=300, seed=0, augmentation=SMALL).batch(0)
    mirrored = made[:, 0, :, 0].mean(1) > made[:, 0, :, -1].mean(1)
    assert 115 <= int(mirrored.sum()) <= 185  # four standard deviations


@pytest.mark.faults
def test_a_damaged_image_is_one_line_and_mends(tmp_path):
    folder = tiny.write(tmp_path / "set")
    images = imagenet.load(folder, extent=tiny.EXTENT).train
    made = batches(images, batch_size=12)
    expected = made.batch(0)
    whole = images.path(4).read_bytes()
    images.path(4).write_bytes(whole[:300])
    for _ in range(2):
        with pytest.raises(UserError) as error:
            made.batch(1)
        assert str(error.value).startswith(f"cannot read the image {images.path(4)}: ")
        assert "\n" not in str(error.value)
    images.path(4).write_bytes(whole)
    assert_same(made.batch(0), expected)


def test_what_cannot_be_drawn(train):
    with pytest.raises(ValueError, match="no crop of 40 px out of shorter sides from 36 to 48"):
        Augmentation(short_sides=(36, 48), px=40)
    none = image_files.ImageFiles(train.folder, train.names[:0], train.labels[:0])
    with pytest.raises(ValueError, match="no images to train on"):
        batches(none)


def test_the_generator_of_the_networks_is_left_alone(train):
    torch.manual_seed(5)
    before = torch.get_rng_state()
    made = batches(train)
    made.batch(0)
    made.batch(3)
    assert torch.equal(torch.get_rng_state(), before)
