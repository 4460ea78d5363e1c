"""Words on photographs: a label in the corner, a number on a person."""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

# Dark letters on a light ground, which any picture leaves readable.
GROUND, INK = "#FFFFFF", "#222222"
OPACITY = 0.85
# Height of letters in parts of the picture's longer side, and the smallest that can be read, px.
CORNER, READABLE = 1 / 60, 10
# Letters are drawn so many times larger and shrunk: hinted to whole pixels, words run together.
FINER = 4


def rgb(colour: str) -> tuple[int, int, int]:
    """Red, green and blue, 0–255, of `#RRGGBB`."""
    red, green, blue = bytes.fromhex(colour.removeprefix("#"))
    return red, green, blue


def corner(canvas: NDArray[np.float32], words: str) -> None:
    """Write words into the lower left corner of a canvas H×W×3 (0–255), in place.

    They are broken into lines where the picture is narrow, and made smaller where it is low.
    """
    height, width = canvas.shape[:2]
    size = max(READABLE, round(max(height, width) * CORNER))
    lines = _broken(words, size, width)
    block = _joined([_letters(line, size) for line in lines], gap=max(1, size // 5))
    _plate(canvas, block, (0, height), size)


def tag(
    canvas: NDArray[np.float32],
    words: str,
    foot: tuple[float, float],
    *,
    size: float,
    taken: list[tuple[int, int, int, int]],
) -> None:
    """Write a word or number so that its lower edge is centred at a place, within the picture.

    It is moved up, and where there is no room sideways, until it covers no other.

    Args:
        canvas: H×W×3, 0–255, changed in place.
        foot: x and y in px.
        size: height of the letters in px.
        taken: left, top, right, bottom of those written before; this one is added.
    """
    letters = max(READABLE, round(size))
    block = _letters(words, letters)
    wide, high = (side + 2 * _margin(letters) for side in reversed(block.shape))
    left = min(max(0, round(foot[0] - wide / 2)), max(0, canvas.shape[1] - wide))
    top = min(max(0, round(foot[1]) - high), max(0, canvas.shape[0] - high))
    while any(
        left < r and le < left + wide and top < b and t < top + high for le, t, r, b in taken
    ):
        if top >= high:
            top -= high
        elif left + 2 * wide <= canvas.shape[1]:
            left += wide
        else:  # the picture is full of them
            break
    taken.append((left, top, left + wide, top + high))
    _plate(canvas, block, (left, top + high), letters)


def _margin(size: int) -> int:
    return max(1, size // 4)


def _plate(
    canvas: NDArray[np.float32], block: NDArray[np.float32], corner: tuple[int, int], size: int
) -> None:
    """Lay letters on a light ground whose lower left corner is given, moved into the picture."""
    height, width = canvas.shape[:2]
    margin = _margin(size)
    ink = np.pad(block, margin)
    high, wide = min(ink.shape[0], height), min(ink.shape[1], width)
    left = min(max(0, corner[0]), width - wide)
    top = min(max(0, corner[1] - high), height - high)
    part = canvas[top : top + high, left : left + wide]
    part += (np.array(rgb(GROUND), np.float32) - part) * OPACITY
    part += (np.array(rgb(INK), np.float32) - part) * ink[:high, :wide, None]


def _broken(words: str, size: int, width: int) -> list[str]:
    lines: list[str] = []
    for word in words.split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and _letters(longer, size).shape[1] + 2 * _margin(size) <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines


def _joined(blocks: list[NDArray[np.float32]], gap: int) -> NDArray[np.float32]:
    wide = max(block.shape[1] for block in blocks)
    rows = [np.pad(block, ((0, gap), (0, wide - block.shape[1]))) for block in blocks]
    return np.concatenate(rows)[:-gap]


@lru_cache(maxsize=256)
def _letters(words: str, size: int) -> NDArray[np.float32]:
    """Words in one line, h×w, 1 where there is ink; all of a size are equally high."""
    from PIL import Image, ImageDraw, ImageFont

    font = ImageFont.load_default(FINER * size)
    left, _, right, _ = font.getbbox(words)
    # As high as any letters of this size, so that lines lie evenly.
    _, top, _, bottom = font.getbbox("Ág1")
    extent = [FINER * max(1, -round(-side // FINER)) for side in (right - left, bottom - top)]
    image = Image.new("L", (extent[0], extent[1]))
    ImageDraw.Draw(image).text((-left, -top), words, fill=255, font=font)
    return np.asarray(image.reduce(FINER), dtype=np.float32) * np.float32(1 / 255)
