"""The recipe draws the very numbers that the goldens were made with."""

import json
import zlib

import numpy as np
import pytest

from recipe_weights import draw, recipe_input, value

from .conftest import golden_dir, need

NAMES = ("conv1.weight", "bn1.weight", "layer1.0.conv1.weight")


def recipe_check():
    return json.loads(need(golden_dir() / "recipe_check.json").read_text())


@pytest.mark.parametrize("name", NAMES)
def test_first_draws(name):
    check = recipe_check()
    assert zlib.crc32(name.encode()) == check["crc32_of_name"][name]
    assert draw(name, (8,)).tolist() == check["first8_standard_normals_by_name"][name]


@pytest.mark.parametrize("key", ["input_8x3x32x32", "input_2x3x256x192"])
def test_inputs(key):
    expected = recipe_check()[key]
    shape = [int(size) for size in key.removeprefix("input_").split("x")]
    numbers = recipe_input(shape).numpy()
    assert numbers.dtype == np.float32
    assert numbers.ravel()[:4].tolist() == expected["first4"]
    assert zlib.crc32(numbers.tobytes()) == expected["crc32_of_float32_bytes"]


@pytest.mark.parametrize(
    ("name", "shape", "formula"),
    [
        ("bn1.running_mean", (5,), lambda n: 0.1 * n),
        ("bn1.running_var", (5,), lambda n: np.exp(0.1 * n)),
        ("linear.bias", (5,), lambda n: 0.1 * n),
        ("bn1.weight", (5,), lambda n: 1 + 0.1 * n),
        ("conv1.weight", (2, 3, 4, 4), lambda n: n * np.sqrt(0.5 / 48)),
        ("linear.weight", (2, 7), lambda n: n * np.sqrt(0.5 / 7)),
    ],
)
def test_every_kind_of_entry(name, shape, formula):
    got = value(name, shape, gain=0.5).numpy()
    assert got.dtype == np.float32
    np.testing.assert_array_equal(got, formula(draw(name, shape)).astype(np.float32))


def test_counter_is_zero():
    counter = value("bn1.num_batches_tracked", (), gain=1.0)
    assert counter.item() == 0
    assert counter.dim() == 0
