"""Points read off a paper's figures, and ours over them."""

import csv
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from replab.errors import UserError
from replab.files import read_text
from replab.report import gathering, networks, poses, style
from replab.report.poses import INK, Number
from replab.runs.record import Record

# How sure a point is, as in claims.csv; printed ones and those read off are drawn apart.
SURE = "sure"
READ_OFF = "D"
# How far apart several lines of ours stand at one place, in places.
ASIDE = 0.09


@dataclass(frozen=True)
class Points:
    """Points of one figure of a paper.

    Attributes:
        provenance: the comments above the points: which figure, and how they were read off.
        rows: column → cell.
    """

    provenance: str
    rows: tuple[Mapping[str, str], ...]


def read_points(path: Path, *, shown_as: str | None = None) -> Points:
    """Points from a table with comments, lines that begin with `#`, above a row of column names.

    Raises:
        UserError: the file is missing, or a row has not as many cells as there are columns.
    """
    name = shown_as or str(path)
    lines = read_text(path, shown_as=name).splitlines()
    comments = [line.lstrip("# ").strip() for line in lines if line.startswith("#")]
    content = "\n".join(line for line in lines if not line.startswith("#"))
    reader = csv.reader(io.StringIO(content))
    columns = next(reader, [])
    rows = []
    for cells in reader:
        if len(cells) != len(columns):
            raise UserError(
                f"{name}: '{','.join(cells)}' has {len(cells)} cells, not {len(columns)} as the "
                "columns; mend the row"
            )
        rows.append(dict(zip(columns, cells, strict=True)))
    if not rows:
        raise UserError(f"{name}: no points; restore the file from git")
    return Points(" ".join(comments), tuple(rows))


def beneath(
    records: Sequence[Record],
    points: Points,
    *,
    x: str,
    line: str,
    xlabel: str,
    y: str = "ap",
    ylabel: str = "AP (%)",
    words: Mapping[str, str] = networks.NAMES,
    where: Mapping[str, Any] | None = None,
    parts: Mapping[str, str] | None = None,
    metric: str = "ap",
    metrics: Mapping[str, str] | None = None,
    record_x: str = "{input}",
    record_line: str = "{net}",
    bars: bool = False,
    apart: str = "",
    title: str = "",
    printed_label: str = "the paper",
) -> Any:
    """A figure of a paper with ours over it: the paper's points pale or hollow, ours full.

    Points that are printed are diamonds or full bars; those read off the drawing are circles or
    hatched bars. Ours are means over seeds with their 95 % interval; where there are none, that
    is said. The letter x between two digits is set as ×.

    Args:
        records: with the metrics in percent; those of lines or places that the paper's figure does
            not have are drawn, too.
        x, line: of the paper's points, with columns in braces; the places on the axis are named by
            `x` and stand in the order of the file.
        y: column of the height.
        words: values of columns and variants → how they are called, so that a network has one
            name on both sides.
        where: values that a record's variant must have, as `gathering.fits` takes them.
        parts: key of the variants → pattern of its values with names in braces, which then serve
            as keys, too: `{"weights": "{net}-{input}"}`; other variants stay as they are.
        metric: of the records, where each stands at one place, `record_x`.
        metrics: metric → place, where a record holds several places; `record_x` is then not used.
        record_x, record_line: as `x` and `line`, with keys of the variants in braces.
        bars: the paper's points as grouped bars, else as lines.
        apart: title of a panel of its own for ours, with its own axis, where the scales differ.
        title: of the figure: the claim.

    Raises:
        ValueError: a variant's value does not have the form that `parts` says.
    """
    some = [_split(r, parts or {}) for r in records if gathering.fits(r, where or {})]
    theirs = _theirs(points, x, line, y, words)
    ours = _ours(some, metrics, metric, record_x, record_line, words)
    places = [place for found in theirs.values() for place in found]
    places = list(dict.fromkeys(places + [place for found in ours.values() for place in found]))
    names = list(dict.fromkeys([*theirs, *ours]))
    looks = networks.looks(names)
    panels = 2 if apart else 1
    figure, axes = style.subplots(1, panels, width=2.6 + 4.0 * panels, height=3.8)
    axes = np.atleast_1d(axes)
    if title:
        figure.suptitle(title, fontsize=11)
    width = 0.8 / max(len(theirs), 1)
    shift = {
        name: (i - (len(theirs) - 1) / 2) * width if bars else 0.0 for i, name in enumerate(theirs)
    }
    for name, found in theirs.items():
        colour = looks[name]["color"]
        if bars:
            _bars(axes[0], found, places, shift[name], width, colour)
        else:
            _line(axes[0], found, places, colour)
    for i, (name, numbers) in enumerate(ours.items()):
        # Side by side, so that none covers another's interval.
        aside = 0.0 if bars else (i - (len(ours) - 1) / 2) * ASIDE
        off = aside if apart else aside + shift.get(name, 0.0)
        at = [places.index(place) + off for place in numbers]
        _over(axes[-1], at, list(numbers.values()), looks[name], joined=not bars or bool(apart))
    if apart:
        axes[0].set_title(printed_label)
        axes[1].set_title(apart)
        if not ours:
            poses.nothing(axes[1])
    for axis in axes:
        axis.set_xticks(range(len(places)), places)
        axis.set_xlim(-0.6, len(places) - 0.4)
        axis.set(xlabel=xlabel, ylabel=ylabel)
        axis.grid(axis="y", color="#E4E4E4", linewidth=0.7)
        axis.set_axisbelow(True)
        axis.margins(y=0.12)
    read_off = any(sure == READ_OFF for found in theirs.values() for _, sure in found.values())
    figure.legend(
        handles=_key(theirs, ours, looks, bars, read_off, printed_label),
        loc="outside lower center",
        ncols=2,
        title="lines through ours: 95 % intervals" if ours else poses.NOT_ATTEMPTED,
        title_fontsize=8,
    )
    return figure


def _split(record: Record, parts: Mapping[str, str]) -> Record:
    """A record whose variant also has the parts that its values are made of."""
    variant = dict(record.variant)
    for key, pattern in parts.items():
        if key not in variant:
            continue
        value = str(variant[key])
        names = re.escape(pattern).replace(r"\{", "{").replace(r"\}", "}")
        match = re.fullmatch(re.sub(r"\{(\w+)\}", r"(?P<\1>.+)", names), value)
        if match is None:
            raise ValueError(f"{key}={value} is not of the form {pattern}")
        variant |= match.groupdict()
    return replace(record, variant=variant)


def _place(label: str) -> str:
    return re.sub(r"(?<=\d)x(?=\d)", "×", label)


def _theirs(
    points: Points, x: str, line: str, y: str, words: Mapping[str, str]
) -> dict[str, dict[str, tuple[float, str]]]:
    """line → place → (height, how sure)."""
    found: dict[str, dict[str, tuple[float, str]]] = {}
    for row in points.rows:
        cells = {key: words.get(cell, cell) for key, cell in row.items()}
        height = (float(row[y]), row.get(SURE, ""))
        found.setdefault(line.format(**cells), {})[_place(x.format(**cells))] = height
    return found


def _ours(
    records: Sequence[Record],
    metrics: Mapping[str, str] | None,
    metric: str,
    record_x: str,
    record_line: str,
    words: Mapping[str, str],
) -> dict[str, dict[str, Number]]:
    """line → place → number over the seeds."""
    groups: dict[tuple[str, str, str], list[Record]] = {}
    for record in sorted(records, key=lambda r: r.seed):
        name = gathering.labelled(record, record_line, words)
        at = metrics or {metric: _place(gathering.labelled(record, record_x, words))}
        for key, place in at.items():
            groups.setdefault((name, place, key), []).append(record)
    found: dict[str, dict[str, Number]] = {}
    for (name, place, key), members in groups.items():
        value = poses.number(members, key)
        if value is not None:
            found.setdefault(name, {})[place] = value
    return found


def _bars(
    axis: Any,
    found: Mapping[str, tuple[float, str]],
    places: Sequence[str],
    shift: float,
    width: float,
    colour: str,
) -> None:
    for place, (height, sure) in found.items():
        x = places.index(place) + shift
        look = {"facecolor": colour, "alpha": 0.3, "edgecolor": colour, "zorder": 1}
        hatch = "///" if sure == READ_OFF else None
        axis.bar([x], [height], width=0.92 * width, hatch=hatch, **look)
        # At the foot, where no point of ours covers it.
        place_ = {"textcoords": "offset points", "ha": "center", "va": "bottom"}
        axis.annotate(f"{height:.1f}", (x, 0), (0, 3), fontsize=8, color=INK, **place_)


def _line(
    axis: Any, found: Mapping[str, tuple[float, str]], places: Sequence[str], colour: str
) -> None:
    xs = [places.index(place) for place in found]
    axis.plot(xs, [height for height, _ in found.values()], color=colour, linewidth=0.9, zorder=1)
    for marker, read_off in (("D", False), ("o", True)):
        some = [
            (places.index(place), height)
            for place, (height, sure) in found.items()
            if (sure == READ_OFF) == read_off
        ]
        if some:
            # White within, so that the line does not run through the hollow.
            look = {"markerfacecolor": "white", "markersize": 7, "linestyle": "", "zorder": 2}
            axis.plot(*zip(*some, strict=True), marker=marker, color=colour, **look)


def _over(
    axis: Any,
    at: Sequence[float],
    numbers: Sequence[Number],
    look: Mapping[str, Any],
    *,
    joined: bool,
) -> None:
    for x, value in zip(at, numbers, strict=True):
        if value.interval is not None:
            ends = {"color": look["color"], "linewidth": 1.8, "zorder": 4}
            axis.plot([x, x], list(value.interval), **ends)
        if len(value.values) > 1:
            dots = {"linestyle": "", "markersize": 2.5, "alpha": 0.45, "zorder": 4, **look}
            axis.plot([x] * len(value.values), list(value.values), **dots)
    style_ = {"linestyle": "-" if joined else "", "linewidth": 1.6, "markersize": 6, "zorder": 5}
    # No line across a place that was not run.
    full = np.arange(min(at), max(at) + 1) if joined else np.array(at)
    means = {round(x, 6): value.mean for x, value in zip(at, numbers, strict=True)}
    heights = [means.get(round(x, 6), np.nan) for x in full]
    axis.plot(full, heights, markeredgecolor="white", **style_, **look)


def _key(
    theirs: Iterable[str],
    ours: Iterable[str],
    looks: Mapping[str, Mapping[str, Any]],
    bars: bool,
    read_off: bool,
    printed_label: str,
) -> list[Any]:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    key: list[Any] = []
    for name in theirs:
        colour = looks[name]["color"]
        if bars:
            label = f"{printed_label}: {name}"
            key.append(Patch(facecolor=colour, edgecolor=colour, alpha=0.3, label=label))
        else:
            mark = {"marker": "D", "markerfacecolor": "white", "linewidth": 0.9, "markersize": 6}
            key.append(Line2D([], [], color=colour, label=f"{printed_label}: {name}", **mark))
    if read_off:
        words = f"{printed_label}: read off the figure"
        if bars:
            key.append(Patch(facecolor="white", edgecolor=INK, hatch="///", label=words))
        else:
            hollow = {"marker": "o", "markerfacecolor": "white", "linestyle": "", "markersize": 6}
            key.append(Line2D([], [], color=INK, label=words, **hollow))
    full = {"linewidth": 1.6, "markersize": 6}
    return key + [Line2D([], [], label=f"ours: {name}", **full, **looks[name]) for name in ours]
