"""People painted part by part, the farthest first, in colours and in numbers of person and part.

The canvas has four channels: red, green, blue and a mark that says whose part is on top.
"""

import numpy as np
from numpy.typing import NDArray

from replab.datasets.people.looks import Look, shaded
from replab.datasets.people.outlines import (
    HEAD,
    NECK,
    PART,
    PARTS,
    SEAT,
    SEEN_FROM,
    TRUNK,
    TRUNK_ROWS,
    TUBE_ROWS,
    Outlines,
    fixed,
)
from replab.datasets.people.raster import Canvas, Colour, Fixed, fill, fill_hull, fill_oval

_SHADOW = 0.8  # brightness of the side away from the light
_LOCKS = len(PARTS)  # in the order of painting, after the parts themselves
_SHIRT, _TROUSERS, _SKIN, _SHOES = "shirt", "trousers", "skin", "shoes"


class Figures:
    """The outlines of a picture's people in the canvas's fixed-point numbers, ready to paint."""

    def __init__(self, outlines: Outlines, at: NDArray[np.float64]) -> None:
        self._tubes = fixed(outlines.tubes, at)
        self._surfaces = fixed(outlines.surfaces, at)
        self._rings = fixed(outlines.rings, at)
        self._trunk = fixed(outlines.trunk, at)
        self._head = fixed(outlines.head, at)
        self._hair = fixed(outlines.hair, at)
        self._hairline = fixed(outlines.hairline, at)
        self._locks = fixed(outlines.locks, at)
        self._features = fixed(outlines.features, at)
        self._outlines = outlines
        keys = np.concatenate((outlines.depth, outlines.locks_depth[:, None]), 1)
        self._order = np.argsort(keys, axis=1, kind="stable")
        apart = outlines.depth - outlines.depth[:, TRUNK : TRUNK + 1]
        # What is farther away than the trunk is darker: how a net can tell near from far limbs.
        self._bright = (1.0 + 0.7 * np.clip(apart, -0.35, 0.2)).tolist()

    def paint(
        self, canvas: Canvas, person: int, look: Look, mark: int, *, simple: bool = False
    ) -> None:
        """Paint one person.

        Args:
            canvas: H×W×4, twice as fine as the picture.
            person: the person's number.
            look: how the person is dressed.
            mark: of the person's first part; the others follow. A simple figure has but this one.
            simple: leave out patterns, shading and faces, for figures of a few pixels.
        """
        for part in self._order[person].tolist():
            if part == _LOCKS:
                if look.long_hair:
                    number = mark if simple else mark + HEAD
                    fill_hull(canvas, self._locks[person], look.hair, number)
                continue
            number = mark if simple else mark + part
            if part == TRUNK:
                self._paint_trunk(canvas, person, look, number, simple)
            elif part == SEAT:
                self._paint_seat(canvas, person, look, number)
            elif part == HEAD:
                self._paint_head(canvas, person, look, number, simple)
            else:
                self._paint_tube(canvas, person, part, look, number, simple)

    def _paint_tube(
        self, canvas: Canvas, person: int, part: int, look: Look, mark: int, simple: bool
    ) -> None:
        bright = self._bright[person][part]
        rows = self._surfaces[person, part]
        cloth = _CLOTH[part](look)
        base = shaded(_base(look, cloth), bright)
        fill_hull(canvas, self._tubes[person, part], base, mark)
        if simple:
            return
        if cloth in (_SHIRT, _TROUSERS):
            pattern, second = _pattern(look, cloth)
            _decorate(canvas, rows, pattern, shaded(second, bright), mark)
        fill_hull(canvas, _edge(rows, look.lit), shaded(base, _SHADOW), mark)
        if cloth == _SKIN and look.sleeves == 1 and PARTS[part].endswith("upper_arm"):
            # A short sleeve ends above the elbow and stands off a little.
            sleeve = rows[:_SLEEVE_ROWS].astype(np.int64)
            middle = sleeve[:, 2:3]
            sleeve = (middle + (sleeve - middle) * 9 // 8).astype(np.int32)
            colour = shaded(look.shirt, bright)
            shoulder = self._tubes[person, part, [11, 10, 9]]
            fill_hull(canvas, np.concatenate((sleeve.reshape(-1, 2), shoulder)), colour, mark)
            pattern, second = _pattern(look, _SHIRT)
            _decorate(canvas, sleeve, pattern, shaded(second, bright), mark)
            fill_hull(canvas, _edge(sleeve, look.lit), shaded(colour, _SHADOW), mark)

    def _paint_trunk(
        self, canvas: Canvas, person: int, look: Look, mark: int, simple: bool
    ) -> None:
        rings = self._rings[person]
        fill_hull(canvas, rings[:4], look.shirt, mark)
        fill_hull(canvas, rings[3:5], look.shirt, mark)
        if simple:
            return
        rows = self._trunk[person]
        _decorate(canvas, rows, look.shirt_pattern, look.shirt_second, mark)
        if look.shirt_pattern == "yoke":
            fill_hull(canvas, rows[:4], look.shirt_second, mark)
        if look.shirt_pattern == "dots":
            corners = rows[1:-1:2, 1:-1]
            third = (rows[2:, 1:-1] - rows[:-2, 1:-1])[::2] * 2 // 5
            side = (corners[:, 1:] - corners[:, :-1]) // 2
            dots = np.stack(
                (
                    corners[:, :-1],
                    corners[:, :-1] + side,
                    corners[:, :-1] + side + third[:, :-1],
                    corners[:, :-1] + third[:, :-1],
                ),
                2,
            )
            for dot in dots.reshape(-1, 4, 2):
                fill(canvas, dot, look.shirt_second, mark)
        # The waist may be narrower than both: each half for itself is convex.
        edge = _edge(rows, look.lit)
        for half in (edge[:_WAIST_ROW], edge[_WAIST_ROW - 1 :]):
            fill_hull(canvas, half, shaded(look.shirt, _SHADOW), mark)

    def _paint_seat(self, canvas: Canvas, person: int, look: Look, mark: int) -> None:
        rings = self._rings[person]
        base = shaded(look.trousers, 0.95)
        if look.legs == 2:
            thighs = self._surfaces[person, [PART["left_thigh"], PART["right_thigh"]], :6]
            places = np.concatenate((rings[4].reshape(-1, 2), thighs.reshape(-1, 2)))
            fill_hull(canvas, places, base, mark)
        else:
            fill_hull(canvas, rings[4:6], base, mark)

    def _paint_head(
        self, canvas: Canvas, person: int, look: Look, mark: int, simple: bool
    ) -> None:
        lines = self._outlines
        rim, hair = self._head[person], self._hair[person]
        covered = lines.hair_rim[person]
        edge = self._hairline[person][lines.hairline_shown[person]]
        bright = self._bright[person][HEAD]
        skin, hairy = shaded(look.skin, bright), shaded(look.hair, bright)
        # Of face and hair the one that is turned to the viewer is convex: it is painted last.
        if lines.hair_faces[person]:
            fill_hull(canvas, rim, skin, mark)
            fill_hull(canvas, np.concatenate((edge, hair[covered])), hairy, mark)
        else:
            fill_hull(canvas, np.concatenate((hair[covered], rim)), hairy, mark)
            fill_hull(canvas, np.concatenate((edge, rim[~covered])), skin, mark)
        if simple:
            return
        self._paint_features(canvas, person, look, mark, skin)

    def _paint_features(
        self, canvas: Canvas, person: int, look: Look, mark: int, skin: Colour
    ) -> None:
        nose, left_eye, right_eye, left_ear, right_ear, mouth = range(6)
        places = self._features[person]
        shown = self._outlines.features_shown[person].tolist()
        seen = (self._outlines.features_shown[person] > SEEN_FROM).tolist()
        rim = self._head[person]
        tall = int(np.ptp(rim, axis=0).max())

        def oval(feature: int, wide: float, high: float, colour: Colour) -> None:
            # The more a feature is turned away, the narrower it looks.
            squarely = max(0.35, shown[feature])
            axes = (max(8, int(tall * wide * squarely)), max(8, int(tall * high)))
            fill_oval(canvas, places[feature], axes, colour, mark)

        for ear in (left_ear, right_ear):
            if seen[ear]:
                oval(ear, 0.075, 0.11, shaded(skin, 0.78))
        for eye in (left_eye, right_eye):
            if seen[eye]:
                oval(eye, 0.085, 0.055, (242, 242, 238))
                oval(eye, 0.042, 0.05, (34, 26, 24))
        if seen[mouth]:
            oval(mouth, 0.12, 0.03, shaded((178, 74, 70), 0.55 + 0.002 * sum(look.skin) / 3))
        if seen[nose]:
            oval(nose, 0.055, 0.09, shaded(skin, 0.84))


def _edge(rows: Fixed, lit: int) -> Fixed:
    """The strip of a surface (R×C×2) that lies away from the light: R×2×2."""
    middle = len(rows) // 2
    away = lit * int(rows[middle, -1, 0] - rows[middle, 0, 0]) < 0
    return rows[:, -2:] if away else rows[:, :2]


def _decorate(canvas: Canvas, rows: Fixed, pattern: str, colour: Colour, mark: int) -> None:
    """Paint bands across, stripes along, or both, on a surface R×C×2."""
    if pattern in ("bands", "plaid"):
        for quad in rows[_BANDS[rows.shape[:2]]]:
            fill(canvas, quad, colour, mark)
    if pattern in ("stripes", "plaid"):
        if pattern == "plaid":
            colour = shaded(colour, 0.86)
        for quad in rows[_STRIPES[rows.shape[:2]]]:
            fill(canvas, quad, colour, mark)


Quads = tuple[NDArray[np.int64], NDArray[np.int64]]


def _quads(rows: list[tuple[int, int]], columns: list[tuple[int, int]]) -> Quads:
    """Indices (N×4) of the corners of all pieces between pairs of rows and of columns."""
    pairs = [(r, c) for r in rows for c in columns]
    corners = [((r[0], c[0]), (r[0], c[1]), (r[1], c[1]), (r[1], c[0])) for r, c in pairs]
    index = np.array(corners, np.int64)
    return index[..., 0], index[..., 1]


def _every_other(count: int) -> list[tuple[int, int]]:
    return [(i, i + 1) for i in range(0, count - 1, 2)]


# By rows and columns of a surface. Tubes are straight across; the trunk is round, its bands are
# pieced together of three parts and its stripes of two (above and below the waist).
_SLEEVE_ROWS = 5
_WAIST_ROW = 7
_STRAIGHT, _HALVES = [(0, 4)], [(0, TUBE_ROWS // 2), (TUBE_ROWS // 2, TUBE_ROWS - 1)]
_ROUND = [(0, 2), (2, 4), (4, 6)]
_ALONG = [(0, _WAIST_ROW - 1), (_WAIST_ROW - 1, TRUNK_ROWS - 1)]
_TUBE, _SLEEVE, _TRUNK = (TUBE_ROWS, 5), (_SLEEVE_ROWS, 5), (TRUNK_ROWS, 7)
_BANDS = {
    _TUBE: _quads(_every_other(TUBE_ROWS), _STRAIGHT),
    _SLEEVE: _quads(_every_other(_SLEEVE_ROWS), _STRAIGHT),
    _TRUNK: _quads(_every_other(TRUNK_ROWS), _ROUND),
}
_STRIPES = {
    _TUBE: _quads(_HALVES, _every_other(5)),
    _SLEEVE: _quads([(0, _SLEEVE_ROWS - 1)], _every_other(5)),
    _TRUNK: _quads(_ALONG, _every_other(7)),
}


def _base(look: Look, cloth: str) -> Colour:
    return {
        _SHIRT: look.shirt,
        _TROUSERS: look.trousers,
        _SKIN: look.skin,
        _SHOES: look.shoes,
    }[cloth]


def _pattern(look: Look, cloth: str) -> tuple[str, Colour]:
    if cloth == _SHIRT:
        return look.shirt_pattern, look.shirt_second
    return look.trousers_pattern, look.trousers_second


def _upper_arm(look: Look) -> str:
    return _SHIRT if look.sleeves == 2 else _SKIN


def _forearm(look: Look) -> str:
    return _SHIRT if look.sleeves == 2 else _SKIN


def _thigh(look: Look) -> str:
    return _SKIN if look.legs == 2 else _TROUSERS


def _shin(look: Look) -> str:
    return _TROUSERS if look.legs == 0 else _SKIN


def _skin(look: Look) -> str:
    return _SKIN


def _foot(look: Look) -> str:
    return _SHOES


_COVERS = {
    "upper_arm": _upper_arm,
    "forearm": _forearm,
    "hand": _skin,
    "thigh": _thigh,
    "shin": _shin,
    "foot": _foot,
}
_CLOTH = {NECK: _skin} | {
    PART[f"{side}_{limb}"]: cover for limb, cover in _COVERS.items() for side in ("left", "right")
}
