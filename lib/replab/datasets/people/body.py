"""Bodies in three dimensions: proportions, poses within the limits of joints, and their points.

Lengths are those of the usual anthropometric tables (Winter, Biomechanics and Motor Control of
Human Movement, ch. 4: segments as fractions of stature); children have larger heads and shorter
legs. Every number comes from additions, multiplications, divisions, square roots and a rounded
table of sines, which IEEE 754 fixes to the last bit: every machine draws the same bodies.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Random = np.random.Generator

SIDES = ("left", "right")
_SIDED = ("eye", "ear", "shoulder", "elbow", "wrist", "hip", "knee", "ankle")
# The seventeen joints of COCO in their order, then what only the drawing needs.
POINTS = (
    "nose",
    *(f"{side}_{part}" for part in _SIDED for side in SIDES),
    *(f"{side}_{part}" for part in ("hand", "heel", "toe") for side in SIDES),
    *("pelvis", "waist", "neck", "head", "mouth"),
)
INDEX = {name: number for number, name in enumerate(POINTS)}
JOINTS = 17

# Degrees of freedom of a body, then those of either side, and the joints' limits in degrees.
TRUNK_LIMITS = {
    "lean": (-25, 60),
    "spine_flex": (-20, 75),
    "spine_side": (-25, 25),
    "spine_twist": (-35, 35),
    "neck_flex": (-30, 40),
    "neck_side": (-25, 25),
    "neck_turn": (-60, 60),
}
SIDE_LIMITS = {
    "arm_flex": (-45, 175),
    "arm_out": (-5, 165),
    "arm_twist": (-60, 90),
    "elbow": (2, 145),
    "leg_flex": (-25, 115),
    "leg_out": (-8, 45),
    "leg_twist": (-15, 35),
    "knee": (1, 135),
    "ankle": (-30, 20),
}
POSES = ("standing", "walking", "running", "sitting", "arms raised", "bending", "free")
POSE_SHARES = (0.20, 0.17, 0.12, 0.14, 0.12, 0.08, 0.17)

# Mean and standard deviation in degrees; of the sides the first and the second, which is left
# and which is right being drawn by lot. What is not named stays at the relaxed values.
_RELAXED = {
    "lean": (0, 3),
    "spine_flex": (3, 6),
    "spine_side": (0, 5),
    "spine_twist": (0, 8),
    "neck_flex": (3, 10),
    "neck_side": (0, 7),
    "neck_turn": (0, 22),
}
_RELAXED_SIDE = {
    "arm_flex": (4, 14),
    "arm_out": (12, 8),
    "arm_twist": (0, 20),
    "elbow": (24, 22),
    "leg_flex": (3, 7),
    "leg_out": (4, 5),
    "leg_twist": (6, 7),
    "knee": (6, 7),
    "ankle": (0, 5),
}
_TRUNKS: dict[str, dict[str, tuple[int, int]]] = {
    "standing": {},
    "walking": {"lean": (4, 3), "spine_twist": (0, 10)},
    "running": {"lean": (12, 6), "spine_twist": (0, 14)},
    "sitting": {"lean": (0, 8), "spine_flex": (10, 14)},
    "arms raised": {"spine_side": (0, 9), "neck_flex": (-4, 14)},
    "bending": {"lean": (24, 14), "spine_flex": (36, 18), "neck_flex": (-2, 18)},
    "free": {"lean": (6, 14), "spine_flex": (8, 16), "spine_side": (0, 11), "neck_side": (0, 11)},
}
_FIRST: dict[str, dict[str, tuple[int, int]]] = {
    "standing": {"elbow": (45, 40)},
    "walking": {"leg_flex": (25, 8), "knee": (10, 8), "arm_flex": (-22, 10), "elbow": (18, 12)},
    "running": {
        "leg_flex": (62, 18),
        "knee": (80, 22),
        "arm_flex": (-32, 14),
        "elbow": (85, 18),
        "arm_twist": (-10, 15),
    },
    "sitting": {
        "leg_flex": (84, 12),
        "knee": (84, 22),
        "leg_out": (8, 9),
        "arm_flex": (28, 20),
        "elbow": (55, 32),
    },
    "arms raised": {"arm_flex": (12, 22), "arm_out": (118, 28), "elbow": (45, 35)},
    "bending": {"leg_flex": (18, 14), "knee": (20, 18), "arm_flex": (55, 30), "elbow": (25, 22)},
    "free": {
        "arm_flex": (40, 48),
        "arm_out": (32, 34),
        "arm_twist": (10, 35),
        "elbow": (55, 40),
        "leg_flex": (25, 32),
        "leg_out": (12, 13),
        "knee": (38, 34),
        "ankle": (-5, 12),
    },
}
_SECOND: dict[str, dict[str, tuple[int, int]]] = {
    **_FIRST,
    "standing": {},
    "walking": {"leg_flex": (-16, 6), "knee": (20, 14), "arm_flex": (24, 10), "elbow": (25, 14)},
    "running": {
        "leg_flex": (-14, 8),
        "knee": (48, 26),
        "arm_flex": (38, 16),
        "elbow": (95, 18),
        "ankle": (-15, 8),
    },
    "arms raised": {"arm_flex": (30, 60), "arm_out": (60, 55), "elbow": (45, 38)},
}

# Stature in m, and the ranges of lengths through stature: head (from chin to crown), trunk (from
# the hips' line to the neck's base), thigh, shin, upper arm, forearm, half the shoulders' and half
# the hips' distance; girth scales every radius, waist and seat those of the trunk alone.
MEASURES = (
    *("stature", "head", "trunk", "thigh", "shin", "upper_arm", "forearm"),
    *("shoulders", "hips", "girth", "waist", "seat"),
)
GROUPS = {
    "man": (
        *((1.62, 1.94), (0.122, 0.136), (0.285, 0.302), (0.237, 0.253), (0.236, 0.252)),
        *((0.176, 0.192), (0.144, 0.158), (0.102, 0.120), (0.058, 0.066), (0.88, 1.22)),
        *((0.95, 1.15), (0.94, 1.02)),
    ),
    "woman": (
        *((1.50, 1.78), (0.124, 0.138), (0.282, 0.300), (0.237, 0.253), (0.234, 0.250)),
        *((0.172, 0.188), (0.140, 0.153), (0.092, 0.107), (0.059, 0.068), (0.84, 1.12)),
        *((0.84, 1.02), (1.02, 1.14)),
    ),
    "child": (
        *((0.98, 1.50), (0.148, 0.180), (0.285, 0.308), (0.216, 0.240), (0.212, 0.236)),
        *((0.165, 0.183), (0.136, 0.150), (0.096, 0.110), (0.056, 0.066), (0.92, 1.15)),
        *((0.98, 1.10), (0.96, 1.04)),
    ),
}
GROUP_SHARES = (0.42, 0.40, 0.18)

_STEPS = 3600  # of a full turn, in the table of sines
_SINE = np.array([round(math.sin(2 * math.pi * i / _STEPS), 9) for i in range(_STEPS)])


def sine(degrees: Floats) -> Floats:
    """Sine from a table in steps of a tenth of a degree, the same on every machine."""
    return _SINE[np.rint(degrees * (_STEPS / 360)).astype(np.int64) % _STEPS]


def cosine(degrees: Floats) -> Floats:
    """Cosine from the same table."""
    return sine(degrees + 90.0)


def bell(random: Random, shape: tuple[int, ...]) -> Floats:
    """Bell-shaped numbers of mean 0 and standard deviation 1, never beyond ±3.47.

    A sum of four uniform numbers: a library's normal numbers need logarithms, whose last bit
    differs from machine to machine.
    """
    four = random.random((4, *shape))
    return (four[0] + four[1] + four[2] + four[3] - 2.0) * math.sqrt(3.0)


def lot(random: Random, shares: tuple[float, ...], count: int) -> Ints:
    """Indices, `count` of them, drawn in the given shares (which add up to 1)."""
    bounds = np.array([sum(shares[: i + 1]) for i in range(len(shares) - 1)])
    return np.searchsorted(bounds, random.random(count), side="right").astype(np.int64)


@dataclass(frozen=True)
class Bodies:
    """N bodies as the camera sees them: x to the right of the picture, y up, z to the viewer.

    Attributes:
        points: N×28×3, m, in the order of `POINTS`; the pelvis is the origin.
        pelvis: N×3×3, the pelvis's own axes (to its left, up, forward), one a row.
        chest: N×3×3, the chest's.
        head: N×3×3, the head's.
        measures: N×12 as in `MEASURES`: stature in m, lengths in m, factors.
        group: N, index into `GROUPS`.
        pose: N, index into `POSES`.
        trunk_angles: N×7, degrees, in the order of `TRUNK_LIMITS`.
        side_angles: N×2×9, degrees, left and right, in the order of `SIDE_LIMITS`.
    """

    points: Floats
    pelvis: Floats
    chest: Floats
    head: Floats
    measures: Floats
    group: Ints
    pose: Ints
    trunk_angles: Floats
    side_angles: Floats

    def measure(self, name: str) -> Floats:
        """One of `MEASURES` of every body: N."""
        return self.measures[:, MEASURES.index(name)]


def sample(random: Random, count: int) -> Bodies:
    """Bodies of men, women and children in poses of every kind, turned to all sides.

    Half of them are turned by any angle, half face the viewer within some tens of degrees; which
    side does what is drawn by lot, so that left and right are alike in every statistic.

    Args:
        random: of the picture.
        count: how many bodies.
    """
    group = lot(random, GROUP_SHARES, count)
    low, high = _GROUP_RANGES[group, :, 0], _GROUP_RANGES[group, :, 1]
    measures = low + random.random(low.shape) * (high - low)
    measures[:, 1:9] *= measures[:, :1]

    pose = lot(random, POSE_SHARES, count)
    trunk = _TRUNK_TABLE[pose]
    trunk_angles = trunk[..., 0] + trunk[..., 1] * bell(random, trunk.shape[:-1])
    # Nobody leans to one side more often than to the other.
    flipped = np.where(random.random((count, 1)) < 0.5, -1.0, 1.0)
    trunk_angles[:, 2:4] *= flipped
    trunk_angles = np.clip(trunk_angles, _TRUNK_RANGE[:, 0], _TRUNK_RANGE[:, 1])
    side = _SIDE_TABLE[pose]
    swapped = random.random(count) < 0.5
    side[swapped] = side[swapped][:, ::-1]
    side_angles = side[..., 0] + side[..., 1] * bell(random, side.shape[:-1])
    # An arm that is raised to the front is not raised as far to the side as well.
    out = SIDE_NAMES.index("arm_out")
    side_angles[..., out] *= 1.0 - np.clip(side_angles[..., 0], 0, 150) / 220.0
    side_angles = np.clip(side_angles, _SIDE_RANGE[:, 0], _SIDE_RANGE[:, 1])

    around = random.random(count)
    yaw = np.where(around < 0.5, around * 720.0, 45.0 * bell(random, (count,)))
    # Cameras look down more often than up: from a taller person's height, or from a wall.
    pitch = 5.0 + 8.0 * bell(random, (count,))
    roll = 2.5 * bell(random, (count,))
    return stand(measures, group, pose, trunk_angles, side_angles, np.stack((yaw, pitch, roll), 1))


def stand(
    measures: Floats,
    group: Ints,
    pose: Ints,
    trunk_angles: Floats,
    side_angles: Floats,
    view: Floats,
) -> Bodies:
    """Bodies from their angles: every point follows from the pelvis outwards.

    Args:
        measures: N×12, as in `Bodies`.
        group: N.
        pose: N.
        trunk_angles: N×7, degrees.
        side_angles: N×2×9, degrees.
        view: N×3, degrees: the turn of the body (0 faces the viewer, 90 shows its right side),
            the camera's height above it and its roll.
    """
    count = len(measures)
    length = dict(zip(MEASURES, measures.T, strict=True))
    trunk = dict(zip(TRUNK_LIMITS, trunk_angles.T, strict=True))
    world = np.broadcast_to(np.eye(3), (count, 3, 3))
    upright = _turn(_turn(_turn(world, 0, view[:, 1]), 2, view[:, 2]), 1, view[:, 0])
    pelvis = _turn(upright, 0, trunk["lean"])
    chest = _turn(
        _turn(_turn(pelvis, 0, trunk["spine_flex"]), 2, trunk["spine_side"]),
        1,
        trunk["spine_twist"],
    )
    head = _turn(
        _turn(_turn(chest, 0, trunk["neck_flex"]), 2, trunk["neck_side"]), 1, trunk["neck_turn"]
    )
    points = np.zeros((count, len(POINTS), 3))
    waist = _along(pelvis, 1, 0.36 * length["trunk"])
    neck = waist + _along(chest, 1, 0.64 * length["trunk"])
    tall = length["head"]
    centre = neck + _along(chest, 1, 0.28 * tall) + _along(head, 1, 0.55 * tall)
    points[:, INDEX["waist"]], points[:, INDEX["neck"]] = waist, neck
    points[:, INDEX["head"]] = centre
    for name, (left, up, forward) in FACE.items():
        place = centre + _along(head, 0, left * tall)
        place = place + _along(head, 1, up * tall) + _along(head, 2, forward * tall)
        points[:, INDEX[name]] = place

    # Both sides at once: the left one first, whose outward direction is the frame's first axis.
    outward = np.array([1.0, -1.0])
    angle = dict(zip(SIDE_LIMITS, np.moveaxis(side_angles, -1, 0), strict=True))
    both = {name: np.repeat(value[:, None], 2, 1) for name, value in length.items()}

    def limb(name: str, at: Floats) -> Floats:
        first = INDEX[f"left_{name}"]
        points[:, first : first + 2] = at
        return at

    def two(frame: Floats) -> Floats:
        return np.repeat(frame[:, None], 2, 1)

    # Shoulder blades lift the joint when the arm goes up.
    lift = np.clip(np.maximum(angle["arm_flex"], angle["arm_out"]) - 60.0, 0, 100) / 100.0
    high = np.stack((neck, neck), 1) + _along(
        two(chest), 1, both["stature"] * (-0.030 + 0.036 * lift)
    )
    shoulder = limb(
        "shoulder", high + _along(two(chest), 0, outward * both["shoulders"] * (1 - 0.1 * lift))
    )
    arm = _turn(two(chest), 0, -angle["arm_flex"])
    arm = _turn(_turn(arm, 2, outward * angle["arm_out"]), 1, outward * angle["arm_twist"])
    elbow = limb("elbow", shoulder - _along(arm, 1, both["upper_arm"]))
    forearm = _turn(arm, 0, -angle["elbow"])
    wrist = limb("wrist", elbow - _along(forearm, 1, both["forearm"]))
    limb("hand", wrist - _along(forearm, 1, 0.075 * both["stature"]))

    hip = limb("hip", _along(two(pelvis), 0, outward * both["hips"]))
    leg = _turn(two(pelvis), 0, -angle["leg_flex"])
    leg = _turn(_turn(leg, 2, outward * angle["leg_out"]), 1, outward * angle["leg_twist"])
    knee = limb("knee", hip - _along(leg, 1, both["thigh"]))
    shin = _turn(leg, 0, angle["knee"])
    ankle = limb("ankle", knee - _along(shin, 1, both["shin"]))
    foot = _turn(shin, 0, -angle["ankle"])
    sole = ankle - _along(foot, 1, 0.022 * both["stature"])
    limb("heel", sole - _along(foot, 2, 0.022 * both["stature"]))
    limb("toe", sole + _along(foot, 2, 0.105 * both["stature"]))
    return Bodies(points, pelvis, chest, head, measures, group, pose, trunk_angles, side_angles)


# Places on the head in units of its height, from its centre: to the left, up, forward.
FACE = {
    "nose": (0.0, -0.07, 0.46),
    "left_eye": (0.145, 0.06, 0.37),
    "right_eye": (-0.145, 0.06, 0.37),
    "left_ear": (0.34, 0.0, -0.02),
    "right_ear": (-0.34, 0.0, -0.02),
    "mouth": (0.0, -0.25, 0.38),
}
HEAD_AXES = (0.345, 0.5, 0.42)  # half the head's breadth, height and depth, in the same unit
SIDE_NAMES = tuple(SIDE_LIMITS)


def _turn(frame: Floats, axis: int, degrees: Floats) -> Floats:
    """Frames …×3×3 turned about one of their own axes by degrees (…).

    A positive turn takes up to forward (axis 0), forward to the left (1), or left to up (2).
    """
    first, second = (axis + 1) % 3, (axis + 2) % 3
    turned = np.array(frame)
    c, s = cosine(degrees)[..., None], sine(degrees)[..., None]
    one, other = frame[..., first, :], frame[..., second, :]
    turned[..., first, :] = c * one + s * other
    turned[..., second, :] = c * other - s * one
    return turned


def _along(frame: Floats, axis: int, length: Floats) -> Floats:
    """Vectors …×3 of a length (…) along one axis of frames …×3×3."""
    return frame[..., axis, :] * length[..., None]


def _table(
    poses: dict[str, dict[str, tuple[int, int]]], relaxed: dict[str, tuple[int, int]]
) -> Floats:
    return np.array([list((relaxed | poses[name]).values()) for name in POSES], np.float64)


_TRUNK_TABLE = _table(_TRUNKS, _RELAXED)
_SIDE_TABLE = np.stack((_table(_FIRST, _RELAXED_SIDE), _table(_SECOND, _RELAXED_SIDE)), 1)
_TRUNK_RANGE = np.array(list(TRUNK_LIMITS.values()), np.float64)
_SIDE_RANGE = np.array(list(SIDE_LIMITS.values()), np.float64)
_GROUP_RANGES = np.array(list(GROUPS.values()), np.float64)
