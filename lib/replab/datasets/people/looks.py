"""What people wear and look like: skin, hair, garments and their patterns; both sides alike."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from replab.datasets.people.body import Bodies, Floats, Random, lot
from replab.datasets.people.raster import Colour

PATTERNS = ("plain", "bands", "stripes", "plaid", "dots", "yoke")
_PATTERN_SHARES = (0.34, 0.2, 0.14, 0.12, 0.1, 0.1)
_SKINS = np.array(
    [
        *((244, 212, 188), (232, 190, 160), (222, 172, 138), (198, 146, 110)),
        *((168, 118, 84), (128, 86, 60), (92, 62, 46), (70, 48, 38)),
    ],
    np.float64,
)
_HAIRS = np.array(
    [
        *((28, 22, 20), (52, 36, 26), (88, 58, 36), (134, 92, 52)),
        *((196, 160, 96), (222, 196, 140), (150, 76, 40), (168, 168, 166)),
    ],
    np.float64,
)


@dataclass(frozen=True)
class Look:
    """How one person is dressed; nothing here knows left from right.

    Attributes:
        skin: RGB, 0–255, as all colours.
        hair: RGB.
        shirt: RGB, and `shirt_second` the colour of its pattern.
        shirt_pattern: one of `PATTERNS`.
        trousers: RGB, and `trousers_second` the colour of their pattern.
        trousers_pattern: one of the first four of `PATTERNS`.
        shoes: RGB.
        sleeves: 0 none, 1 to the elbow, 2 to the wrist.
        legs: 0 trousers, 1 shorts, 2 a skirt and bare legs.
        long_hair: whether hair falls to the shoulders.
        lit: 1 or −1, the side of the picture from which light falls.
    """

    skin: Colour
    hair: Colour
    shirt: Colour
    shirt_second: Colour
    shirt_pattern: str
    trousers: Colour
    trousers_second: Colour
    trousers_pattern: str
    shoes: Colour
    sleeves: int
    legs: int
    long_hair: bool
    lit: int


def colour(values: Floats) -> Colour:
    """Three numbers as a colour, rounded and kept within 0–255."""
    red, green, blue = np.rint(np.clip(values, 0, 255)).astype(int).tolist()
    return red, green, blue


def shaded(base: Colour, factor: float) -> Colour:
    """A colour made lighter (factor above 1) or darker."""
    red, green, blue = base
    if factor <= 1.0:  # most calls, of some hundred a picture
        return int(red * factor + 0.5), int(green * factor + 0.5), int(blue * factor + 0.5)
    return (
        min(255, int(red * factor + 0.5)),
        min(255, int(green * factor + 0.5)),
        min(255, int(blue * factor + 0.5)),
    )


def garments(random: Random, count: int, behind: Floats, contrast: float) -> NDArray[np.float64]:
    """Colours (count×3) that stand out from what lies behind (3) where a few tries allow it.

    Args:
        random: of the picture.
        count: how many colours.
        behind: RGB, the mean colour of the surroundings.
        contrast: the least difference in some channel, through 128.
    """
    tries = 14.0 + 228.0 * random.random((count, 6, 3))
    apart = np.abs(tries - behind).max(-1) / 128.0
    good = apart >= contrast
    best = np.where(good.any(1), good.argmax(1), apart.argmax(1))
    return tries[np.arange(count), best]


def sample(
    random: Random, bodies: Bodies, behind: Floats, contrast: float, lit: int
) -> list[Look]:
    """Dress people; hair and skirts follow the group, all else is drawn by lot.

    Args:
        random: of the picture.
        bodies: N.
        behind: RGB, the mean colour of the surroundings.
        contrast: of garments to it, see `garments`.
        lit: 1 or −1, the side of the light.
    """
    count = len(bodies.group)
    spread = 10.0 * (random.random((count, 2, 3)) - 0.5)
    tone = 0.9 + 0.2 * random.random((count, 2, 1))
    kinds = random.integers(0, len(_SKINS), (count, 2))
    skins = _SKINS[kinds[:, 0]] * tone[:, 0] + spread[:, 0]
    hairs = _HAIRS[kinds[:, 1]] * tone[:, 1] + spread[:, 1]
    cloth = garments(random, 2 * count, behind, contrast).reshape(count, 2, 3)
    # A pattern's second colour is clearly lighter or darker than the first.
    step = (45.0 + 70.0 * random.random((count, 2, 1))) * np.where(cloth.mean(-1) > 120, -1, 1)[
        ..., None
    ] + 30.0 * (random.random((count, 2, 3)) - 0.5)
    second = cloth + step
    shoes = 15.0 + 215.0 * random.random((count, 1)) + 40.0 * random.random((count, 3))
    patterns = lot(random, _PATTERN_SHARES, 2 * count).reshape(count, 2)
    sleeves = lot(random, (0.12, 0.4, 0.48), count)
    chance = random.random((count, 3))
    woman, child = bodies.group == 1, bodies.group == 2
    skirt = (woman & (chance[:, 0] < 0.28)) | (child & (chance[:, 0] < 0.12))
    shorts = ~skirt & (chance[:, 1] < 0.28)
    long_hair = np.where(woman, chance[:, 2] < 0.65, chance[:, 2] < np.where(child, 0.3, 0.06))
    legs = np.where(skirt, 2, np.where(shorts, 1, 0))
    return [
        Look(
            colour(skins[n]),
            colour(hairs[n]),
            colour(cloth[n, 0]),
            colour(second[n, 0]),
            PATTERNS[patterns[n, 0]],
            colour(cloth[n, 1]),
            colour(second[n, 1]),
            # Dots and yokes are for shirts.
            PATTERNS[patterns[n, 1] % 4],
            colour(shoes[n]),
            int(sleeves[n]),
            int(legs[n]),
            bool(long_hair[n]),
            lit,
        )
        for n in range(count)
    ]
