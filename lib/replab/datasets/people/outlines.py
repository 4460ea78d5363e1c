"""From bodies in metres to outlines in the picture: limbs, trunk, head, and what lies in front.

All people of a picture are handled at once. Outlines are fixed-point numbers of a canvas twice as
fine as the picture, so that no rounding of the last bit can move a pixel.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from replab.datasets.people.body import FACE, HEAD_AXES, INDEX, JOINTS, Bodies, Floats, sine
from replab.datasets.people.raster import Fixed, to_fixed

FINE = 2  # canvas pixels through picture pixels
AWAY_M = 6.0  # from the camera to the pelvis: nearer parts look larger

TRUNK, SEAT, NECK, HEAD = range(4)
LIMBS = ("upper_arm", "forearm", "hand", "thigh", "shin", "foot")
PARTS = (
    *("trunk", "seat", "neck", "head"),
    *(f"{side}_{limb}" for limb in LIMBS for side in ("left", "right")),
)
PART = {name: number for number, name in enumerate(PARTS)}

# Of every part but trunk, seat and head: the two ends and the radii at both and half-way, through
# stature; and how much the second end counts where parts are sorted by depth.
_TUBES = {
    "upper_arm": ("shoulder", "elbow", (0.031, 0.028, 0.023), 0.65),
    "forearm": ("elbow", "wrist", (0.024, 0.023, 0.0155), 0.5),
    "hand": ("wrist", "hand", (0.0155, 0.022, 0.013), 0.5),
    "thigh": ("hip", "knee", (0.051, 0.044, 0.031), 0.6),
    "shin": ("knee", "ankle", (0.031, 0.033, 0.021), 0.5),
    "foot": ("heel", "toe", (0.022, 0.025, 0.016), 0.5),
}
_ROUND = 12  # points of a ring, of which seven face the viewer
TUBE_ROWS = 7  # of a tube's surface, from end to end
_ACROSS = np.array([-1.0, -0.5, 0.0, 0.5, 1.0])
TRUNK_ROWS = 10


def _circle(points: int, start: float) -> Floats:
    """Cosine and sine of equal steps round a circle from an angle in degrees: points×2."""
    at: Floats = start + 360.0 / points * np.arange(points, dtype=np.float64)
    return np.stack((sine(at + 90.0), sine(at)), -1)


# The rim of a tube: at which end a point lies (0, ½, 1), and its way sidewards and onwards from
# there in radii.
_H = math.sqrt(0.5)
_RIM = np.array(
    [
        *((0, 1, 0), (0.5, 1, 0), (1, 1, 0), (1, _H, _H), (1, 0, 1), (1, -_H, _H)),
        *((1, -1, 0), (0.5, -1, 0), (0, -1, 0), (0, -_H, -_H), (0, 0, -1), (0, _H, -_H)),
    ]
)
_RING = _circle(_ROUND, -90.0)
FRONT = slice(0, 7)  # of a ring's points, those from one edge to the other


@dataclass(frozen=True)
class Outlines:
    """N people in px of the picture, relative to where each one's pelvis is put.

    Attributes:
        joints: N×17×2, px.
        depth: N×16, m towards the viewer, by which the parts are sorted.
        locks_depth: N, the same of long hair.
        tubes: N×16×12×2, px, the rims of neck and limbs (rows of the other parts are 0).
        surfaces: N×16×7×5×2, px, from end to end and across the tubes.
        rings: N×6×12×2, px: neck's base, shoulders, chest, waist, hips, crotch.
        trunk: N×10×7×2, px, the trunk's visible surface from the shoulders to the hips.
        head: N×16×2, px, the head's rim; `hair` N×16×2, the hair's, a little wider.
        hairline: N×20×2, px; `hairline_shown` N×20, whether a point faces the viewer.
        hair_rim: N×16, whether a point of the rim is covered by hair.
        hair_faces: N, whether more of the hair than of the face is seen.
        locks: N×12×2, px, long hair.
        features: N×6×2, px, in the order of `FACE`; `features_shown` N×6, how squarely a feature
            faces the viewer (1: fully, below 0: turned away).
        flesh: N×17, m of the own trunk in front of a shoulder or hip, 0 elsewhere.
        unit: N, px through m at the pelvis.
    """

    joints: Floats
    depth: Floats
    locks_depth: Floats
    tubes: Floats
    surfaces: Floats
    rings: Floats
    trunk: Floats
    head: Floats
    hair: Floats
    hairline: Floats
    hairline_shown: NDArray[np.bool_]
    hair_rim: NDArray[np.bool_]
    hair_faces: NDArray[np.bool_]
    locks: Floats
    features: Floats
    features_shown: Floats
    flesh: Floats
    unit: Floats


# In the order of `FACE`: how squarely a feature must face the viewer to be seen at all. A nose
# sticks out and is seen from behind the profile, an eye lies in its socket.
SEEN_FROM = np.array([-0.25, 0.02, 0.02, -0.15, -0.15, 0.05])


def trace(bodies: Bodies, unit: Floats) -> Outlines:
    """The outlines of bodies seen by a camera some metres away.

    Args:
        bodies: N.
        unit: N, px through m at the pelvis.
    """
    points, stature = bodies.points, bodies.measure("stature")
    girth = stature * bodies.measure("girth")
    flat = _project(points, unit)
    rings, trunk = _trunk(bodies, girth, unit)
    tubes, surfaces, depth = _tubes(points, flat, girth, unit)
    middle = 0.5 * (points[:, INDEX["neck"], 2] + points[:, INDEX["waist"], 2])
    depth[:, TRUNK] = middle
    # The shirt lies over the trousers and the neck's lower end, the head over its upper end.
    depth[:, SEAT] = np.minimum(points[:, INDEX["pelvis"], 2], middle) - 0.03
    depth[:, HEAD] = points[:, INDEX["head"], 2]
    depth[:, NECK] = np.minimum(middle - 0.02, depth[:, HEAD] - 0.005)
    head = _head(bodies, unit)
    tall = bodies.measure("head")
    # Long hair hangs down from the back of the head, along the body.
    top = points[:, INDEX["head"]] - (0.12 * tall)[:, None] * bodies.head[:, 2]
    end = points[:, INDEX["neck"]] - (0.35 * tall)[:, None] * bodies.chest[:, 2]
    end = end - (0.12 * tall)[:, None] * bodies.chest[:, 1]
    ends = _project(np.stack((top, end), 1), unit)
    wide = tall * unit
    locks = rim(ends[:, 0], ends[:, 1], np.stack((0.36 * wide, 0.37 * wide, 0.3 * wide), -1))
    # It lies between trunk and viewer only where the back is turned to the viewer, and never over
    # a face that is not.
    locks_depth = middle - 0.15 * bodies.chest[:, 2, 2]
    below_head = np.minimum(locks_depth, depth[:, HEAD] - 0.01)
    locks_depth = np.where(bodies.head[:, 2, 2] > -0.2, below_head, locks_depth)
    return Outlines(
        flat[:, :JOINTS],
        depth,
        locks_depth,
        tubes,
        surfaces,
        rings,
        trunk,
        **head,
        locks=locks,
        flesh=_flesh(bodies, girth),
        unit=unit,
    )


def _project(points: Floats, unit: Floats) -> Floats:
    """Points N×…×3 in m to px N×…×2 with the pelvis at 0, y downwards."""
    size = unit.reshape(-1, *(1,) * (points.ndim - 2)) * (AWAY_M / (AWAY_M - points[..., 2]))
    return np.stack((points[..., 0] * size, -points[..., 1] * size), -1)


def rim(first: Floats, second: Floats, radii: Floats) -> Floats:
    """Rims (…×12×2) of tubes between points (…×2) with radii at begin, middle and end (…×3)."""
    way, side = _directions(first, second)
    at, across, onwards = _RIM.T
    radius = radii[..., np.rint(2 * at).astype(np.int64)]
    middle = first[..., None, :] + at[:, None] * (second - first)[..., None, :]
    out = across[:, None] * side[..., None, :] + onwards[:, None] * way[..., None, :]
    return middle + radius[..., None] * out


def _directions(first: Floats, second: Floats) -> tuple[Floats, Floats]:
    """Unit vectors …×2 from one point to another, and those to the left of them."""
    way = second - first
    length = np.sqrt(way[..., 0] * way[..., 0] + way[..., 1] * way[..., 1])
    way = way / np.maximum(length, 1e-6)[..., None]
    return way, np.stack((-way[..., 1], way[..., 0]), -1)


_ENDS = np.zeros((len(PARTS), 2), np.int64)
_RADII = np.zeros((len(PARTS), 3))
_SECOND = np.zeros(len(PARTS))
_ENDS[NECK] = INDEX["neck"], INDEX["head"]
_RADII[NECK] = 0.034
for _name, (_from, _to, _widths, _share) in _TUBES.items():
    for _side in ("left", "right"):
        _row = PART[f"{_side}_{_name}"]
        _ENDS[_row] = INDEX[f"{_side}_{_from}"], INDEX[f"{_side}_{_to}"]
        _RADII[_row], _SECOND[_row] = _widths, _share


def _tubes(
    points: Floats, flat: Floats, girth: Floats, unit: Floats
) -> tuple[Floats, Floats, Floats]:
    first, second = flat[:, _ENDS[:, 0]], flat[:, _ENDS[:, 1]]
    radii = _RADII * (girth * unit)[:, None, None]
    rims = rim(first, second, radii)
    _, side = _directions(first, second)
    at = np.linspace(0.0, 1.0, TUBE_ROWS)
    begin, half, end = (radii[..., i : i + 1] for i in range(3))
    early, late = np.minimum(2 * at, 1.0), np.maximum(2 * at - 1.0, 0.0)
    radius = begin + early * (half - begin) + late * (end - half)
    middle = first[..., None, :] + at[:, None] * (second - first)[..., None, :]
    across = (radius[..., None] * _ACROSS)[..., None] * side[..., None, None, :]
    surfaces = middle[..., None, :] + across
    near, far = points[:, _ENDS[:, 0], 2], points[:, _ENDS[:, 1], 2]
    return rims, surfaces, near + _SECOND * (far - near)


def _trunk(bodies: Bodies, girth: Floats, unit: Floats) -> tuple[Floats, Floats]:
    """Rings round the trunk (N×6×12×2, px) and its visible surface (N×10×7×2, px)."""
    stature, points = bodies.measure("stature"), bodies.points
    waist, seat = girth * bodies.measure("waist"), girth * bodies.measure("seat")
    neck, belly, pelvis = (points[:, INDEX[name]] for name in ("neck", "waist", "pelvis"))
    up, low = bodies.chest[:, 1], bodies.pelvis[:, 1]
    between = 0.5 * (bodies.chest + bodies.pelvis)

    def lower(point: Floats, direction: Floats, share: float) -> Floats:
        return point - (share * stature)[:, None] * direction

    breast = neck + 0.45 * (belly - neck)
    hips = bodies.measure("hips") + 0.036 * seat
    levels = [
        (lower(neck, up, -0.012), bodies.chest, 0.042 * girth, 0.040 * girth),
        (lower(neck, up, 0.030), bodies.chest, bodies.measure("shoulders"), 0.052 * girth),
        (breast, bodies.chest, 0.88 * bodies.measure("shoulders"), 0.070 * girth),
        (belly, between, 0.086 * waist, 0.062 * waist),
        (lower(pelvis, low, -0.004), bodies.pelvis, hips, 0.066 * seat),
        (lower(pelvis, low, 0.050), bodies.pelvis, 0.90 * hips, 0.056 * seat),
    ]
    centre = np.stack([level[0] for level in levels], 1)
    wide = np.stack([level[1][:, 0] * level[2][:, None] for level in levels], 1)
    deep = np.stack([level[1][:, 2] * level[3][:, None] for level in levels], 1)
    rings = _ring_points(centre, wide, deep)
    # Rows of the surface lie between the shoulders' ring (1) and the hips' ring (4).
    at = 1.0 + 3.0 / (TRUNK_ROWS - 1) * np.arange(TRUNK_ROWS)
    begin = np.minimum(at.astype(np.int64), 3)
    share = (at - begin)[:, None]
    between_rings = [
        line[:, begin] + share * (line[:, begin + 1] - line[:, begin])
        for line in (centre, wide, deep)
    ]
    surface = _ring_points(*between_rings)[:, :, FRONT]
    return _project(rings, unit), _project(surface, unit)


def _ring_points(centre: Floats, wide: Floats, deep: Floats) -> Floats:
    """Points N×L×12×3 of ellipses; the first to the seventh go round the side that is seen."""
    a = wide[..., 2] / _dot(wide, wide)
    b = deep[..., 2] / _dot(deep, deep)
    length = np.sqrt(a * a + b * b)
    clear = length > 1e-6
    a = np.where(clear, a / np.maximum(length, 1e-6), 0.0)[..., None]
    b = np.where(clear, b / np.maximum(length, 1e-6), 1.0)[..., None]
    front, edge = wide * a + deep * b, deep * a - wide * b
    turn = _RING[:, :, None]
    return (
        centre[..., None, :] + turn[:, 0] * front[..., None, :] + turn[:, 1] * edge[..., None, :]
    )


def _dot(one: Floats, other: Floats) -> Floats:
    return one[..., 0] * other[..., 0] + one[..., 1] * other[..., 1] + one[..., 2] * other[..., 2]


# Hair covers the head where a point lies up and back: this direction, and the least cosine to it.
_CROWN = np.array([0.0, 0.64, -0.7683749084919418])
_HAIRLINE = 0.08
_FEATURES = np.array(list(FACE.values()))
_RIM16 = _circle(16, 0.0)
_LINE20 = _circle(20, 0.0)
# Beside the crown's direction, two at right angles to it.
_LINE = _HAIRLINE * _CROWN + math.sqrt(1 - _HAIRLINE * _HAIRLINE) * (
    _LINE20[:, :1] * np.array([1.0, 0.0, 0.0])
    + _LINE20[:, 1:] * np.array([0.0, 0.7683749084919418, 0.64])
)


def _head(bodies: Bodies, unit: Floats) -> dict[str, NDArray]:
    """The head's outlines: an ellipsoid's rim, the hairline on it, and the face's features."""
    tall = bodies.measure("head")[:, None]
    axes = np.array(HEAD_AXES)
    # What the ellipsoid shows is what the unit sphere shows from this direction.
    view = bodies.head[:, :, 2] / axes
    view = view / np.sqrt(_dot(view, view))[:, None]
    flat = np.sqrt(view[:, 0] * view[:, 0] + view[:, 2] * view[:, 2])
    clear = (flat > 1e-6)[:, None]
    zero = np.zeros_like(flat)
    first = np.stack((view[:, 2], zero, -view[:, 0]), -1) / np.maximum(flat, 1e-6)[:, None]
    first = np.where(clear, first, np.array([1.0, 0.0, 0.0]))
    second = np.stack(
        (
            view[:, 1] * first[:, 2] - view[:, 2] * first[:, 1],
            view[:, 2] * first[:, 0] - view[:, 0] * first[:, 2],
            view[:, 0] * first[:, 1] - view[:, 1] * first[:, 0],
        ),
        -1,
    )
    edge = _RIM16[:, :1] * first[:, None] + _RIM16[:, 1:] * second[:, None]

    def place(on_sphere: Floats, size: float) -> Floats:
        local = on_sphere * (axes * size) * tall[..., None]
        out = bodies.points[:, INDEX["head"]][:, None]
        for axis in range(3):
            out = out + local[..., axis : axis + 1] * bodies.head[:, None, axis]
        return _project(out, unit)

    line = np.broadcast_to(_LINE, (len(view), *_LINE.shape))
    features = _FEATURES / axes
    length = np.sqrt(_dot(features, features))[:, None]
    return {
        "head": place(edge, 1.0),
        "hair": place(edge, 1.07),
        "hairline": place(line, 1.03),
        "hairline_shown": _dot(line, view[:, None]) > 0,
        "hair_rim": _dot(edge, np.broadcast_to(_CROWN, edge.shape)) > _HAIRLINE,
        "hair_faces": _dot(view, np.broadcast_to(_CROWN, view.shape)) > 0,
        "features": place(np.broadcast_to(features, (len(view), *features.shape)), 1.0),
        "features_shown": _dot((features / length)[None], view[:, None]),
    }


def _flesh(bodies: Bodies, girth: Floats) -> Floats:
    """Metres of the own trunk between each shoulder or hip and the viewer: N×17.

    The trunk's cross-section is an ellipse; the joint lies inside it, to one side.
    """
    out = np.zeros((len(girth), JOINTS))
    seat = girth * bodies.measure("seat")
    for part, frame, wide, deep in (
        ("shoulder", bodies.chest, bodies.measure("shoulders") * 1.08, 0.062 * girth),
        ("hip", bodies.pelvis, bodies.measure("hips") + 0.036 * seat, 0.066 * seat),
    ):
        across, along = frame[:, 0, 2], frame[:, 2, 2]
        reach = bodies.measure(f"{part}s")
        for number, sign in ((INDEX[f"left_{part}"], 1.0), (INDEX[f"right_{part}"], -1.0)):
            # (p + t·across)²/wide² + (t·along)²/deep² = 1, for the t above 0.
            p = sign * reach
            a = across * across / (wide * wide) + along * along / (deep * deep)
            b = p * across / (wide * wide)
            c = p * p / (wide * wide) - 1.0
            root = np.sqrt(np.maximum(b * b - a * c, 0.0))
            out[:, number] = np.maximum((root - b) / np.maximum(a, 1e-6), 0.0)
    return out


def fixed(places: Floats, at: Floats) -> Fixed:
    """Outlines N×…×2 in px, moved by N×2 px, as fixed-point numbers of the finer canvas."""
    moved = places + at.reshape(len(at), *(1,) * (places.ndim - 2), 2)
    # The centre of a picture's pixel lies between those of two by two canvas pixels.
    return to_fixed(moved * FINE + (FINE - 1) / 2)
