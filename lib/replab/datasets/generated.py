"""Drawn shapes and textures in ten classes, for a machine that can get no CIFAR-10.

Colour, place, size, direction and background are drawn without regard to the class; the form is
lighter than what lies behind it. A linear classifier on pixels gets 28 % right, on colours 22 %;
ResNet-20 gets 88 % after 400 batches of 32 at 16×16 px. Every pixel comes from additions,
multiplications, divisions and comparisons, which IEEE 754 fixes to the last bit (no sine, no
logarithm, no matrix product), so that every machine draws the same set.
"""

import contextlib
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from replab import files
from replab.datasets import image_set
from replab.datasets.image_set import ImageSet
from replab.datasets.registry import Dataset, register
from replab.errors import UserError
from replab.paths import data_dir

NAME = "generated-shapes"
VERSION = 2  # raise it with every change that moves a pixel
CLASSES = (
    "disc",
    "ring",
    "triangle",
    "square",
    "cross",
    "star",
    "crescent",
    "stripes",
    "checker",
    "dots",
)
BLOCK = 500  # images drawn at once, each block from its own random stream
SIDE = 32

Plane = NDArray[np.float32]
Random = np.random.Generator


def fingerprint(train: int = 20_000, test: int = 2_000, seed: int = 0) -> str:
    """16 hexadecimal digits that stand for a generated set, known without drawing it."""
    identity = {"name": NAME, "version": VERSION, "train": train, "test": test, "seed": seed}
    return files.sha256_bytes(files.canonical_json(identity).encode())[:16]


def load(train: int = 20_000, test: int = 2_000, seed: int = 0) -> ImageSet:
    """Open the generated set, which is drawn on first use (seconds) and kept in the data folder.

    Train images N×32×32×3 and test images M×32×32×3 (uint8, RGB, 0–255), labels 0–9, classes
    equally frequent in every ten consecutive images. A smaller set is the beginning of a larger.

    Args:
        train: the number of training images.
        test: the number of test images.
        seed: of the random draw.

    Raises:
        UserError: a count or the seed is negative, or the data folder cannot be written.
    """
    if train < 1 or test < 1 or seed < 0:
        raise UserError(
            f"cannot draw {train} training and {test} test images with seed {seed}; "
            "name positive counts and a seed of 0 or more"
        )
    digits = fingerprint(train, test, seed)
    folder = data_dir() / "generated" / f"shapes-{digits}"
    with contextlib.suppress(UserError):  # missing or damaged: drawn again
        return _open(folder, digits)
    with image_set.locked(folder):
        with contextlib.suppress(UserError):  # another process drew it meanwhile
            return _open(folder, digits)
        arrays = {}
        for number, (split, count) in enumerate((("train", train), ("test", test))):
            arrays[f"{split}_images"], arrays[f"{split}_labels"] = draw(count, seed, number)
        with image_set.new_folder(folder) as temporary:
            image_set.write_folder(temporary, NAME, digits, arrays)
    return _open(folder, digits)


def _open(folder: Path, digits: str) -> ImageSet:
    mend = "remove it, and it is drawn again"
    return image_set.open_folder(folder, NAME, digits, CLASSES, mend=mend)


def draw(count: int, seed: int = 0, split: int = 0) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Draw labelled images.

    Args:
        count: how many.
        seed: of the random draw.
        split: 0 for training images, 1 for test images: independent streams.

    Returns:
        Images count×32×32×3 (uint8, RGB) and labels count (uint8, 0–9).
    """
    images = np.empty((count, SIDE, SIDE, 3), np.uint8)
    labels = np.empty(count, np.uint8)
    for start in range(0, count, BLOCK):
        random = np.random.Generator(np.random.PCG64([seed, split, start // BLOCK, VERSION]))
        stop = min(start + BLOCK, count)
        block, block_labels = _draw_block(random)
        images[start:stop], labels[start:stop] = (
            block[: stop - start],
            block_labels[: stop - start],
        )
    return images, labels


def _draw_block(random: Random) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """BLOCK images (BLOCK×32×32×3) and labels, all drawn at once."""
    tens = np.tile(np.arange(10, dtype=np.uint8), (BLOCK // 10, 1))
    labels = random.permuted(tens, axis=1).reshape(-1)
    base = _between(random, 20, 110, (BLOCK, 1, 1, 3))
    picture = base + _clouds(random, 4, 35) + _clouds(random, 9, 25)
    for _ in range(2):
        picture = _blend(picture, _bar(random), _between(random, 0, 140, (BLOCK, 1, 1, 3)))

    across, down, radius = _placed(random)
    distance = np.empty((BLOCK, SIDE, SIDE), np.float32)
    for label, form in enumerate(FORMS):
        chosen = labels == label
        distance[chosen] = form(across[chosen], down[chosen])
    cover = _soft(distance * radius) * _between(random, 0.75, 1.0, (BLOCK, 1, 1))
    shade = _between(random, -35, 35, (BLOCK, 1, 1)) * across
    ink = _ink(random) + np.clip(shade, -40, 40)[..., None]
    picture = _blend(picture, cover, ink)

    occluded = random.random((BLOCK, 1, 1), dtype=np.float32) < np.float32(0.2)
    front = _bar(random) * occluded
    picture = _blend(picture, front, _between(random, 0, 140, (BLOCK, 1, 1, 3)))
    picture += _grain(random)
    return np.clip(np.floor(picture + np.float32(0.5)), 0, 255).astype(np.uint8), labels


def _between(random: Random, low: float, high: float, shape: tuple[int, ...]) -> Plane:
    """Uniform numbers in [low, high); `Generator.uniform` would round differently on some CPUs."""
    return np.float32(low) + np.float32(high - low) * random.random(shape, dtype=np.float32)


def _directions() -> Plane:
    """720 unit vectors (720×2), rounded so that no library's cosine shows in them."""
    turns = [2 * math.pi * k / 720 for k in range(720)]
    return np.array([[round(math.cos(t), 6), round(math.sin(t), 6)] for t in turns], np.float32)


_DIRECTIONS = _directions()
_DOWN, _ACROSS = (axis.astype(np.float32) + np.float32(0.5) for axis in np.mgrid[0:SIDE, 0:SIDE])


def _turned(random: Random, x: Plane, y: Plane) -> tuple[Plane, Plane]:
    """Coordinates N×32×32 seen from an axis in a random direction."""
    unit = _DIRECTIONS[random.integers(0, 720, BLOCK)][:, None, None]
    cosine, sine = unit[..., 0], unit[..., 1]
    return x * cosine + y * sine, y * cosine - x * sine


def _placed(random: Random) -> tuple[Plane, Plane, Plane]:
    """The form's own coordinates (N×32×32, 1 at its rim) and its radius in pixels (N×1×1)."""
    radius = _between(random, 8.5, 13, (BLOCK, 1, 1))
    slack = np.float32(17) - radius
    x = _ACROSS - np.float32(16) - slack * _between(random, -1, 1, (BLOCK, 1, 1))
    y = _DOWN - np.float32(16) - slack * _between(random, -1, 1, (BLOCK, 1, 1))
    u, v = _turned(random, x, y)
    stretch = _between(random, 0.85, 1.18, (BLOCK, 1, 1))
    u, v = _turned(random, u * stretch, v / stretch)
    return u / radius, v / radius, radius


def _soft(distance: Plane) -> Plane:
    """How much of a pixel lies inside (0–1), from its signed distance to the rim in pixels."""
    return np.clip(np.float32(0.5) - distance, 0, 1)


def _blend(picture: Plane, cover: Plane, ink: Plane) -> Plane:
    """Lay an ink (N×h×w×3) over a picture (N×32×32×3) where it covers it (N×32×32, 0–1)."""
    return picture + cover[..., None] * (ink - picture)


def _clouds(random: Random, knots: int, height: float) -> Plane:
    """Smooth coloured noise (N×32×32×3, −height to height) with knots×knots free values."""
    grid = _between(random, -height, height, (BLOCK, knots, knots, 3))
    place = (np.arange(SIDE, dtype=np.float32) + np.float32(0.5)) * np.float32((knots - 1) / SIDE)
    low = place.astype(np.intp)
    weight = (place - low).astype(np.float32)
    along = weight[:, None, None]
    rows = grid[:, low] + along * (grid[:, low + 1] - grid[:, low])
    along = weight[:, None]
    return rows[:, :, low] + along * (rows[:, :, low + 1] - rows[:, :, low])


def _bar(random: Random) -> Plane:
    """The cover (N×32×32, 0–1) of a thin bar at a random place: clutter that tells nothing."""
    x = _ACROSS - _between(random, 2, 30, (BLOCK, 1, 1))
    y = _DOWN - _between(random, 2, 30, (BLOCK, 1, 1))
    u, v = _turned(random, x, y)
    half_length = _between(random, 2, 9, (BLOCK, 1, 1))
    half_width = _between(random, 0.5, 1.4, (BLOCK, 1, 1))
    return _soft(np.maximum(np.abs(u) - half_length, np.abs(v) - half_width))


def _ink(random: Random) -> Plane:
    """A colour (N×1×1×3) lighter than any background in every channel.

    Were the form now lighter and now darker, a net would first have to learn to disregard that:
    more than a training of minutes can do, and then nothing separates one net from another.
    """
    return _between(random, 150, 245, (BLOCK, 1, 1, 3))


def _grain(random: Random) -> Plane:
    """Bell-shaped noise per value (N×32×32×3) with a standard deviation of 5 to 15 levels."""
    dice = random.integers(0, 256, (3, BLOCK, SIDE, SIDE, 3), dtype=np.uint8).astype(np.int16)
    total = (dice[0] + dice[1] + dice[2]).astype(np.float32) - np.float32(382.5)
    # The sum of three dice of 256 sides has a standard deviation of 128 (√(3·(256²−1)/12)).
    return total * (_between(random, 5, 15, (BLOCK, 1, 1, 1)) / np.float32(128))


def _wave(x: Plane, period: float) -> Plane:
    """A triangle wave of slope ±1: the signed distance to stripes of half a period's width."""
    phase = x / np.float32(period)
    return (np.abs(phase - np.floor(phase) - np.float32(0.5)) - np.float32(0.25)) * np.float32(
        period
    )


def _disc(u: Plane, v: Plane) -> Plane:
    return np.sqrt(u * u + v * v) - np.float32(0.9)


def _ring(u: Plane, v: Plane) -> Plane:
    return np.abs(np.sqrt(u * u + v * v) - np.float32(0.75)) - np.float32(0.2)


def _triangle(u: Plane, v: Plane) -> Plane:
    slanted = np.float32(0.8660254) * np.abs(u) + np.float32(0.5) * v
    return np.maximum(slanted, -v) - np.float32(0.55)


def _square(u: Plane, v: Plane) -> Plane:
    return np.maximum(np.abs(u), np.abs(v)) - np.float32(0.76)


def _cross(u: Plane, v: Plane) -> Plane:
    a, b = np.abs(u), np.abs(v)
    wide, long = np.float32(0.28), np.float32(1.0)
    return np.minimum(np.maximum(a - wide, b - long), np.maximum(a - long, b - wide))


def _star(u: Plane, v: Plane) -> Plane:
    # A pentagram is where at most one of its five lines is crossed: the second largest distance.
    first = np.full_like(u, -np.inf)
    second = first
    for k in range(5):
        cosine, sine = _DIRECTIONS[144 * k]
        side = u * cosine + v * sine
        second = np.maximum(second, np.minimum(first, side))
        first = np.maximum(first, side)
    return second - np.float32(0.4)


def _crescent(u: Plane, v: Plane) -> Plane:
    bite = u - np.float32(0.5)
    outer = np.sqrt(u * u + v * v) - np.float32(0.97)
    return np.maximum(outer, np.float32(0.8) - np.sqrt(bite * bite + v * v))


def _stripes(u: Plane, v: Plane) -> Plane:
    return np.maximum(np.maximum(np.abs(u), np.abs(v)) - np.float32(0.85), _wave(u, 0.55))


def _checker(u: Plane, v: Plane) -> Plane:
    a, b = _wave(u, 0.9), _wave(v, 0.9)
    cells = np.maximum(np.minimum(a, b), -np.maximum(a, b))
    return np.maximum(np.maximum(np.abs(u), np.abs(v)) - np.float32(0.9), cells)


def _dots(u: Plane, v: Plane) -> Plane:
    a = u / np.float32(0.62) + np.float32(0.5)
    b = v / np.float32(0.62) + np.float32(0.5)
    a, b = a - np.floor(a) - np.float32(0.5), b - np.floor(b) - np.float32(0.5)
    dots = (np.sqrt(a * a + b * b) - np.float32(0.33)) * np.float32(0.62)
    return np.maximum(np.maximum(np.abs(u), np.abs(v)) - np.float32(0.93), dots)


FORMS: tuple[Callable[[Plane, Plane], Plane], ...] = (
    _disc,
    _ring,
    _triangle,
    _square,
    _cross,
    _star,
    _crescent,
    _stripes,
    _checker,
    _dots,
)


register(
    Dataset(
        name=NAME,
        kind="images",
        load=load,
        fingerprint=fingerprint,
        what="generated shapes: drawn forms and textures in ten classes",
        licence="Apache-2.0, as the code that draws them",
        citation="replab.datasets.generated",
    ),
    order=11,
)
