"""One picture: people of several sizes in a room or a street, placed, dressed, painted."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from replab.datasets.people import backgrounds, body, looks
from replab.datasets.people.body import Bodies, Floats, Random
from replab.datasets.people.difficulty import Difficulty
from replab.datasets.people.drawing import Figures
from replab.datasets.people.outlines import PARTS, Outlines, trace
from replab.datasets.people.raster import BACKGROUND, Canvas

STEP = len(PARTS)  # marks of one person's parts follow each other
MOST_PEOPLE = 8
BYSTANDERS = MOST_PEOPLE * STEP  # marks from here on are of people without keypoints
CROWD = BACKGROUND - 1
_ADULT_M = 1.75


@dataclass(frozen=True)
class Scene:
    """A picture and what is known about it.

    Attributes:
        picture: H×W×3, RGB, 0–255.
        marks: 2H×2W, what is on top on the finer canvas: of person n the part p is 16·n + p;
            bystanders follow from `BYSTANDERS` on, `CROWD` is a crowd, `BACKGROUND` all else.
        joints: N×17×2, px, of the people with keypoints, the farthest first.
        flesh: N×17, m of the own trunk in front of a shoulder or hip.
        reach: N, m, half the shoulders' distance.
        features_shown: N×6, how squarely each point of `body.FACE` faces the viewer.
        bystanders: how many people without keypoints were drawn.
        bodies: N, as posed.
    """

    picture: NDArray[np.uint8]
    marks: NDArray[np.uint8]
    joints: Floats
    flesh: Floats
    reach: Floats
    features_shown: Floats
    bystanders: int
    bodies: Bodies


def draw(random: Random, level: Difficulty, size: tuple[int, int]) -> Scene:
    """Draw one picture.

    Args:
        random: of this picture alone.
        level: how hard it is to be.
        size: width and height, px.
    """
    import cv2

    width, height = size
    horizon = height * (0.22 + 0.22 * float(random.random()))
    canvas = backgrounds.backdrop(random, size, level, height * (0.45 + 0.3 * random.random()))
    behind = canvas[::16, ::16, :3].reshape(-1, 3).mean(0)
    backgrounds.clutter(random, canvas, level)
    lit = 1 if random.random() < 0.5 else -1

    count = int(random.integers(level.people[0], level.people[1] + 1))
    bodies = body.sample(random, count)
    share = random.random(count)
    # From the far to the near: how tall a grown-up would be there, px.
    tall = np.sort(height * (0.45 + 0.78 * share * share))
    outlines = trace(bodies, tall / _ADULT_M)
    at = _places(random, level, size, horizon, tall, outlines)
    dressed = looks.sample(random, bodies, behind, level.contrast, lit)

    bystanders = _bystanders(random, canvas, level, size, horizon, behind)
    _crowd(random, canvas, level, size, horizon, behind)
    backgrounds.loose_limbs(random, canvas, level, [look.skin for look in dressed])
    figures = Figures(outlines, at)
    joints = outlines.joints + at[:, None]
    low, high = joints.min(1), joints.max(1)
    boxes = np.concatenate((low, high - low), 1)
    hidden = random.integers(0, count, int(random.integers(0, level.occluders + 1))).tolist()
    for person in range(count):
        if body.POSES[bodies.pose[person]] == "sitting":
            unit, foot = float(outlines.unit[person]), float(high[person, 1])
            backgrounds.stool(random, canvas, at[person], foot, unit)
        figures.paint(canvas, person, dressed[person], person * STEP)
        for _ in range(hidden.count(person)):
            backgrounds.occluder(random, canvas, boxes[person])

    marks = cv2.extractChannel(canvas, 3)
    four = cv2.resize(canvas, (width, height), interpolation=cv2.INTER_AREA)
    picture = cv2.cvtColor(four, cv2.COLOR_RGBA2RGB)
    return Scene(
        backgrounds.grain(random, picture, level),
        marks,
        joints,
        outlines.flesh,
        bodies.measure("shoulders"),
        outlines.features_shown,
        bystanders,
        bodies,
    )


def _places(
    random: Random,
    level: Difficulty,
    size: tuple[int, int],
    horizon: float,
    tall: Floats,
    outlines: Outlines,
) -> Floats:
    """Where the pelvises go: N×2, px. Who is nearer stands lower, as on a floor."""
    width, height = size
    count = len(tall)
    low, high = outlines.joints.min(1), outlines.joints.max(1)
    # Hair above the ears and soles below the ankles stick out of the joints' box.
    low = low - 0.07 * tall[:, None]
    high = high + 0.05 * tall[:, None]
    camera = 0.62 + 0.4 * random.random()
    foot = horizon + camera * tall + 0.06 * height * (random.random(count) - 0.5)
    across = random.random((count, level.places))
    cut = random.random(count) < level.cut
    taken: list[Floats] = []
    out = np.empty((count, 2))
    for person in range(count - 1, -1, -1):
        extent = high[person] - low[person]
        top = foot[person] - extent[1]
        if cut[person]:
            left = width * across[person] - 0.5 * extent[0]
        else:
            left = across[person] * max(0.0, width - extent[0])
            # Who is taller than the picture shows the head.
            top = max(0.0, min(top, height - extent[1]))
        boxes = np.stack(
            (left, np.full_like(left, top), left + extent[0], np.full_like(left, top) + extent[1]),
            1,
        )
        best = int(_overlaps(boxes, taken).argmin())
        taken.append(boxes[best])
        out[person] = boxes[best, :2] - low[person]
    return out


def _overlaps(boxes: Floats, taken: list[Floats]) -> Floats:
    """Areas (N) that boxes (N×4, corners) share with those that are taken."""
    total = np.zeros(len(boxes))
    for other in taken:
        begin, end = np.maximum(boxes[:, :2], other[:2]), np.minimum(boxes[:, 2:], other[2:])
        shared = np.maximum(end - begin, 0.0)
        total += shared[:, 0] * shared[:, 1]
    return total


def _bystanders(
    random: Random,
    canvas: Canvas,
    level: Difficulty,
    size: tuple[int, int],
    horizon: float,
    behind: Floats,
) -> int:
    """One to three people too small for keypoints, sometimes; returns how many."""
    if random.random() >= level.bystanders:
        return 0
    count = int(random.integers(1, 4))
    tall = size[1] * (0.1 + 0.09 * random.random(count))
    places = random.random((count, 2)) * (size[0], 0.2 * size[1]) + (0, horizon + 0.08 * size[1])
    _small(random, canvas, tall, places, behind, level, [BYSTANDERS + n for n in range(count)])
    return count


def _crowd(
    random: Random,
    canvas: Canvas,
    level: Difficulty,
    size: tuple[int, int],
    horizon: float,
    behind: Floats,
) -> None:
    """A group of small people so close together that nobody would annotate each, sometimes."""
    if random.random() >= level.crowd:
        return
    count = int(random.integers(6, 13))
    tall = size[1] * (0.12 + 0.1 * random.random()) * (0.9 + 0.2 * random.random(count))
    wide = 0.14 * float(tall[0]) * count
    middle = size[0] * float(random.random())
    spread = random.random((count, 2)) - 0.5
    places = spread * (wide, 0.4 * tall[0]) + (middle, horizon + 0.12 * size[1])
    order = np.argsort(places[:, 1], kind="stable")
    _small(random, canvas, tall[order], places[order], behind, level, [CROWD] * count)


def _small(
    random: Random,
    canvas: Canvas,
    tall: Floats,
    places: Floats,
    behind: Floats,
    level: Difficulty,
    marks: list[int],
) -> None:
    bodies = body.sample(random, len(tall))
    figures = Figures(trace(bodies, tall / _ADULT_M), places)
    dressed = looks.sample(random, bodies, behind, level.contrast, 1)
    for person, mark in enumerate(marks):
        figures.paint(canvas, person, dressed[person], mark, simple=True)
