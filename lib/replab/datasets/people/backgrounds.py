"""What is no person: walls and floors, furniture, clutter, loose limbs, things in front; grain."""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from replab.datasets.people.body import Floats, Random
from replab.datasets.people.difficulty import Difficulty
from replab.datasets.people.looks import colour, shaded
from replab.datasets.people.outlines import FINE, rim
from replab.datasets.people.raster import BACKGROUND, Canvas, Colour, fill_hull, to_fixed

Pixels = NDArray[np.uint8]


def backdrop(random: Random, size: tuple[int, int], level: Difficulty, horizon: float) -> Canvas:
    """A wall and a floor with soft stains, as a canvas twice as fine as the picture: H×W×4.

    Args:
        random: of the picture.
        size: width and height of the picture, px.
        level: how much the background varies.
        horizon: height of the floor's far edge from the top, px.
    """
    import cv2

    width, height = size
    # Stains are soft: half the resolution will do.
    wide, high = (width + 1) // 2, (height + 1) // 2
    spread = 8 + int(random.integers(0, level.backdrop + 1))
    wall = _muted(random.integers(30, 226, 3))
    floor = wall + _muted(random.integers(68, 189, 3)) - 128
    edge = min(height, max(0, int(horizon)))
    total = np.empty((high, wide, 3), np.int16)
    # Three textures follow, each around 128.
    total[: edge // 2] = wall - 3 * 128
    total[edge // 2 :] = floor - 3 * 128
    for knots in ((3, 4), (8, 11), (30, 40)):
        coarse = random.integers(128 - spread, 129 + spread, (*knots, 3), dtype=np.uint8)
        coarse = _muted(coarse).astype(np.uint8)
        # The exact kind of interpolation is reckoned in whole numbers, alike on every machine.
        total += cv2.resize(coarse, (wide, high), interpolation=cv2.INTER_LINEAR_EXACT)
        spread = spread * 3 // 5
    # Light falls off from one side to the other.
    slope = random.integers(-28, 29, 2)
    total += ((np.arange(wide) * 2 - wide) * int(slope[0]) // wide).astype(np.int16)[:, None]
    total += ((np.arange(high) * 2 - high) * int(slope[1]) // high).astype(np.int16)[:, None, None]
    small = np.clip(total, 0, 255, out=total).astype(np.uint8)
    picture = cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR_EXACT)
    _boards(random, picture, edge)
    four = cv2.cvtColor(picture, cv2.COLOR_RGB2RGBA)  # with 255, the background's mark
    return cv2.resize(four, (width * FINE, height * FINE), interpolation=cv2.INTER_NEAREST)


def _muted(colours: NDArray[np.integer]) -> NDArray[np.int16]:
    """Colours (…×3) half-way to their own grey: rooms and streets are rarely gaudy."""
    values = colours.astype(np.int16)
    grey = values.sum(-1, keepdims=True, dtype=np.int16) // 3
    return (values + grey) // 2


def _boards(random: Random, picture: Pixels, edge: int) -> None:
    """Stripes of a wallpaper or panels, and the joints of a floor, on some pictures."""
    import cv2

    height, width = picture.shape[:2]
    kind = int(random.integers(0, 4))
    step = int(random.integers(10, 46))
    change = int(random.choice(np.array([-26, -14, 14, 26])))
    if kind == 0:  # an upright pattern on the wall
        for left in range(int(random.integers(0, step)), width, step):
            part = picture[:edge, left : left + max(1, step // 3)]
            part[:] = np.clip(part.astype(np.int16) + change, 0, 255).astype(np.uint8)
    elif kind == 1:  # bricks
        for row, top in enumerate(range(0, edge, max(6, step // 3))):
            shade = np.clip(picture[top : top + 1].astype(np.int16) + change, 0, 255)
            picture[top : top + 1] = shade.astype(np.uint8)
            start = step // 2 if row % 2 else 0
            part = picture[top : min(edge, top + max(6, step // 3)), start::step]
            part[:] = np.clip(part.astype(np.int16) + change, 0, 255).astype(np.uint8)
    if kind in (0, 2) and edge < height:  # floor boards running to a vanishing point
        tone = colour(picture[edge:].reshape(-1, 3)[::97].mean(0) + change)
        middle = int(random.integers(0, width))
        for foot in range(-width, 2 * width, step * 2):
            near = (foot * 3 - middle * 2, height)
            far = (foot, edge)
            cv2.line(picture, far, near, tone, 1, cv2.LINE_8)


def clutter(random: Random, canvas: Canvas, level: Difficulty) -> None:
    """Furniture-like shapes, discs and sticks anywhere behind the people."""
    for _ in range(int(random.integers(level.clutter // 3, level.clutter + 1))):
        kind = int(random.integers(0, 5))
        where = random.random(2) * (canvas.shape[1], canvas.shape[0])
        extent = (0.04 + 0.2 * random.random(2)) * canvas.shape[0]
        _thing(random, canvas, kind, where, extent, 0.55)


def loose_limbs(random: Random, canvas: Canvas, level: Difficulty, skins: list[Colour]) -> None:
    """Bent tubes in colours of skin or cloth that belong to nobody."""
    for _ in range(int(random.integers(0, level.distractors + 1))):
        first = random.random(2) * (canvas.shape[1], canvas.shape[0])
        reach = (random.random((2, 2)) - 0.5) * 0.36 * canvas.shape[0]
        wide = canvas.shape[0] * (0.006 + 0.015 * random.random())
        own = skins[int(random.integers(0, len(skins)))]
        tone = own if random.random() < 0.6 else colour(255 * random.random(3))
        bend = first + reach[0]
        _bar(canvas, first, bend, wide, tone)
        _bar(canvas, bend, bend + reach[1], 0.8 * wide, shaded(tone, 0.95))


def stool(random: Random, canvas: Canvas, seat: Floats, foot: float, unit: float) -> None:
    """Something to sit on, from the seat down to the feet.

    Args:
        random: of the picture.
        canvas: to paint on.
        seat: of the sitting person, px of the picture.
        foot: where the lowest foot is, px from the top.
        unit: px through m.
    """
    tone = colour(30 + 190 * random.random(3))
    half, top = (0.2 + 0.12 * random.random()) * unit, float(seat[1]) + 0.06 * unit
    thick = (0.05 + 0.1 * random.random()) * unit
    left, right = float(seat[0]) - half, float(seat[0]) + half
    bottom = max(top + 2 * thick, foot - 0.04 * unit)
    _box(canvas, left, top, right, top + thick, tone)
    if random.random() < 0.35:  # a chest, else legs
        _box(canvas, left, top + thick, right, bottom, shaded(tone, 0.8))
        return
    for at in (left, right - 0.05 * unit):
        _box(canvas, at, top + thick, at + 0.05 * unit, bottom, shaded(tone, 0.7))


def occluder(random: Random, canvas: Canvas, box: Floats) -> None:
    """Something in front of a part of a person.

    Args:
        random: of the picture.
        canvas: to paint on.
        box: x, y, width, height of the person's joints, px of the picture.
    """
    kind = int(random.choice(np.array([0, 1, 3, 4])))
    extent = np.maximum(box[2:], 0.35 * box[3]) * (0.12 + 0.16 * random.random(2)) * FINE
    where = (box[:2] + box[2:] * (0.1 + 0.8 * random.random(2))) * FINE
    _thing(random, canvas, kind, where, extent, 1.0)


def _thing(
    random: Random, canvas: Canvas, kind: int, where: Floats, extent: Floats, boldness: float
) -> None:
    """A cupboard (0), a ball (1), a stick (2), a board (3) or a plant (4)."""
    import cv2

    x, y = float(where[0]), float(where[1])
    wide, high = float(extent[0]), float(extent[1])
    middle = np.array([x, y])
    under = canvas[min(int(y), canvas.shape[0] - 1), min(int(x), canvas.shape[1] - 1), :3]
    ink = 255 * random.random(3)
    tone = colour(under + boldness * (ink - under))
    if kind == 0:
        _box(canvas, (x - wide) / 2, (y - high) / 2, (x + wide) / 2, (y + high) / 2, tone)
        rows = int(random.integers(1, 5))
        for row in range(rows):
            top = (y - high + 2 * high * (row + 0.12) / rows) / 2
            end = (y - high + 2 * high * (row + 0.88) / rows) / 2
            inside = (x - 0.9 * wide) / 2, top, (x + 0.9 * wide) / 2, end
            _box(canvas, *inside, shaded(tone, 0.86 if row % 2 else 1.12))
    elif kind == 1:
        centre = int(x), int(y)
        radius = max(2, int(min(wide, high) * 0.8))
        cv2.circle(canvas, centre, radius, (*tone, BACKGROUND), -1, cv2.LINE_8)
        light = int(x - radius / 4), int(y - radius / 4)
        cv2.circle(canvas, light, radius * 3 // 5, (*shaded(tone, 1.15), BACKGROUND), -1)
    elif kind == 2:
        way = (random.random(2) - 0.5) * 4 * max(wide, high)
        _bar(canvas, where, where + way, 0.5 + 0.12 * min(wide, high), tone)
    elif kind == 3:
        corners = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * (wide, high)
        corners = corners + (random.random((4, 2)) - 0.5) * (wide, high)
        _shape(canvas, corners + middle, tone)
        _shape(canvas, corners * 0.7 + middle, shaded(tone, 0.85))
    else:
        leaves = (random.random((7, 2)) - 0.5) * (2.2 * wide, 2.2 * high) + middle
        wing = (random.random((7, 2)) - 0.5) * 0.5 * min(wide, high)
        shades = (0.75 + 0.5 * random.random(7)).tolist()
        for end, side, shade in zip(leaves, wing, shades, strict=True):
            half = 0.5 * (end + middle)
            leaf = np.stack((middle, half + side, end, half - side))
            _shape(canvas, leaf, shaded(tone, shade))


def _box(
    canvas: Canvas, left: float, top: float, right: float, bottom: float, tone: Colour
) -> None:
    """A rectangle given in px of the picture."""
    corners = np.array([[left, top], [right, top], [right, bottom], [left, bottom]]) * FINE
    _shape(canvas, corners, tone)


def _bar(canvas: Canvas, first: Floats, second: Floats, radius: float, tone: Colour) -> None:
    """A stick with round ends between two places of the canvas."""
    _shape(canvas, rim(first, second, np.full(3, radius)), tone)


def _shape(canvas: Canvas, corners: Floats, tone: Colour) -> None:
    fill_hull(canvas, to_fixed(corners), tone)


def grain(random: Random, picture: Pixels, level: Difficulty) -> Pixels:
    """The picture with blur, coarse grain and a sensor's noise."""
    import cv2

    height, width = picture.shape[:2]
    blurred = cv2.GaussianBlur(picture, (5, 5), level.blur, borderType=cv2.BORDER_REPLICATE)
    # Cameras differ: from a fifth of the level's noise to all of it.
    sheet = _noise_sheet(height + _SPARE, width + _SPARE, level.noise, int(random.integers(0, 5)))
    down, across = random.integers(0, _SPARE + 1, 2).tolist()
    total = sheet[down : down + height, across : across + width] + blurred
    low, high = 128 - level.texture, 129 + level.texture
    coarse = random.integers(low, high, (height // 3, width // 3), dtype=np.uint8)
    soft = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR_EXACT)
    total += soft[..., None]  # around 128, which the sheet lacks
    return np.clip(total, 0, 255, out=total).astype(np.uint8)


_SPARE = 64  # px by which a sheet of noise is larger than a picture


@lru_cache(maxsize=8)
def _noise_sheet(height: int, width: int, noise: float, strength: int) -> NDArray[np.int16]:
    """A sensor's noise less 128 (height×width×3, levels): every picture shows another part.

    Fresh noise for every picture would take as long as drawing the people.
    """
    random = np.random.Generator(np.random.PCG64([height, width, strength]))
    dice = random.integers(0, 256, (2, height, width, 3), dtype=np.uint8).astype(np.int64)
    # The sum of two dice of 256 sides has a standard deviation of 104.5.
    scale = int(noise * (0.2 + 0.2 * strength) * 1024 / 104.5 + 0.5)
    return (((dice[0] + dice[1] - 255) * scale + 512) >> 10).astype(np.int16) - np.int16(128)
