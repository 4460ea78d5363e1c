"""A small set in ImageNet's layout: three classes, JPEGs of odd sizes, some grey, some CMYK.

No test module: loaded by file, since pytest's importlib mode puts no test folder on the path.
"""

import numpy as np
from PIL import Image

from replab.datasets.imagenet import Extent

WNIDS = ("n01440764", "n01443537", "n15075141")
EXTENT = Extent(classes=3, train=12, val=6, least=4)
SIZES = ((50, 37), (41, 64), (80, 80), (333, 47))
MODES = ("RGB", "L", "CMYK", "RGB")


def picture(label, number, mode="RGB"):
    """A noisy image; how bright it is tells its class."""
    random = np.random.default_rng((label, number))
    width, height = SIZES[number % len(SIZES)]
    pixels = random.integers(0, 80, (height, width, 3)) + 80 * label
    return Image.fromarray(pixels.astype(np.uint8)).convert(mode)


def write(folder, train=4, val=2):
    """Make `train/<wnid>/*.JPEG` and `val/<wnid>/*.JPEG` below a folder."""
    for label, wnid in enumerate(WNIDS):
        for half, count in (("train", train), ("val", val)):
            place = folder / half / wnid
            place.mkdir(parents=True)
            for number in range(count):
                drawn = 100 * (half == "val") + number
                mode = MODES[(number + label) % len(MODES)]
                picture(label, drawn, mode).save(place / f"{wnid}_{drawn}.JPEG")
    return folder
