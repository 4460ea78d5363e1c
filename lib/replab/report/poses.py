"""Figures of pose networks' scores: a table's rows beside the print, and accuracy against cost."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from replab.claims import printed
from replab.claims.ledger import Entry, Ledger
from replab.claims.statistics import estimate
from replab.report import gathering, measures, networks, style
from replab.runs.record import Record

METRICS: Mapping[str, str] = {
    "ap": "AP",
    "ap50": "AP50",
    "ap75": "AP75",
    "apm": "APM (medium)",
    "apl": "APL (large)",
    "ar": "AR",
}
BOXES: Mapping[str, str] = {"detections": "detected boxes", "gt": "ground-truth boxes"}
COLOURS = networks.COLOURS
MARKERS = networks.MARKERS
# Metrics of counted networks. The two differ by more than 2³⁰/10⁹ = 1.074 where there are
# transposed convolutions, which the papers count at the size of their output.
COSTS: Mapping[str, str] = {
    "gmacs": "multiply-adds ($10^9$)",
    "gflops": "GFLOPs as printed ($2^{30}$ multiply-adds, transposed ones at output size)",
}
INK = "#555555"
# Where a figure holds the paper's numbers alone.
NOT_ATTEMPTED = "ours: not attempted in this profile"
# Of a figure, beside a point: where its name stands, if no other point does.
LABEL_ROOM = (0.08, 0.08)
# Behind words that a line may cross.
PAPER: Mapping[str, Any] = {"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 0.6}


@dataclass(frozen=True)
class Number:
    """One of our numbers as a figure shows it.

    Attributes:
        mean: over the seeds.
        interval: at 95 %: of the mean over seeds, or for one run the one that its record gives;
            None if there is neither.
        values: of each seed.
    """

    mean: float
    interval: tuple[float, float] | None
    values: tuple[float, ...]


def number(records: Iterable[Record], metric: str) -> Number | None:
    """A metric over some records, a record a seed; None if none of them has it.

    Scores below 0, which stand for nobody to be found, count as none. A single record's interval
    is what it names `<metric>_low` and `<metric>_high`, such as the bootstrap over pictures of
    released weights.
    """
    having = [r for r in records if r.metrics.get(metric, -1) >= 0]
    if not having:
        return None
    values = tuple(float(r.metrics[metric]) for r in having)
    found = estimate(values)
    interval = (found.low, found.high) if found.n > 1 else _own_interval(having[0], metric)
    return Number(found.mean, interval, values)


def _own_interval(record: Record, metric: str) -> tuple[float, float] | None:
    low, high = (record.metrics.get(f"{metric}{end}") for end in ("_low", "_high"))
    return None if low is None or high is None else (float(low), float(high))


def stated(entry: Entry | None) -> float | None:
    """A claim's print, fractions as percent; None if no number is printed, or from memory."""
    # What somebody remembers is no print, and a figure has no room to say so.
    if entry is None or entry.source.startswith("M") or entry.kind in ("ordering", "trend"):
        return None
    print_ = printed.parse(entry.reported)
    return None if print_.bound else print_.value * (100 if entry.unit == "ratio" else 1)


class _Stems:
    """Claims whose ids are `<stem>.<metric>`, and the records behind them."""

    def __init__(self, ledger: Ledger, records: Iterable[Record]) -> None:
        self.entries = {e.id: e for e in ledger.entries}
        self.records = list(records)

    def require(self, stem: str) -> None:
        if not any(id_.startswith(f"{stem}.") for id_ in self.entries):
            raise ValueError(f"no claim's id begins with '{stem}.'")

    def stated(self, stem: str, metric: str) -> float | None:
        return stated(self.entries.get(f"{stem}.{metric}"))

    def runs(self, stem: str, metrics: Iterable[str]) -> list[Record]:
        """The records that any of a row's claims rests on: they hold its other metrics, too."""
        found = [self.entries.get(f"{stem}.{metric}") for metric in metrics]
        ids = {run for entry in found if entry for run in entry.runs}
        return [r for r in self.records if r.id in ids]


def table(
    ledger: Ledger,
    records: Iterable[Record],
    rows: Mapping[str, Mapping[str, str]],
    *,
    metrics: Mapping[str, str] = METRICS,
    boxes: Mapping[str, str] = BOXES,
    columns: int = 3,
    title: str = "",
    printed_label: str = "the paper",
) -> Any:
    """A paper's table as dots, ours over the paper's: a row a network, a panel a metric.

    The paper's number is hollow, ours full with its 95 % interval; the difference, ours less the
    paper's, stands at the right of a panel. A row that was not attempted shows the paper's alone.
    Colours are those of the networks that the rows' labels begin with, shapes those of the boxes.

    Args:
        records: with the metrics in percent. A row's records are those that its claims rest on.
        rows: label of a row → key of `boxes` → stem of the claims, whose ids are
            `<stem>.<metric>`.
        metrics: metric → title of its panel.
        boxes: whose boxes the networks were given → how that is called.
        columns: panels side by side.
        title: of the figure: the claim.

    Raises:
        ValueError: no claim belongs to a stem.
    """
    stems = _Stems(ledger, records)
    for kinds in rows.values():
        for stem in kinds.values():
            stems.require(stem)
    columns = min(columns, len(metrics))
    lines = -(-len(metrics) // columns)
    shown = [kind for kind in boxes if any(kind in kinds for kinds in rows.values())]
    per_row = 0.28 if len(shown) == 1 else 0.36
    figure, axes = style.subplots(
        lines,
        columns,
        width=1.9 + 2.6 * columns,
        height=0.8 + lines * (0.75 + per_row * len(rows)),
    )
    axes = np.atleast_1d(axes).ravel()
    if title:
        figure.suptitle(title, fontsize=11)
    shapes = {kind: MARKERS[i] for i, kind in enumerate(boxes)}
    attempted = False
    for i, (axis, (metric, heading)) in enumerate(zip(axes, metrics.items(), strict=False)):
        for row, (name, kinds) in enumerate(rows.items()):
            colour = (networks.look(name) or {"color": INK})["color"]
            present = [kind for kind in shown if kind in kinds]
            for lane, kind in enumerate(present):
                y = row + 0.34 * (lane - (len(present) - 1) / 2)
                stem = kinds[kind]
                theirs = stems.stated(stem, metric)
                ours = number(stems.runs(stem, metrics), metric)
                attempted = attempted or ours is not None
                _beside(axis, theirs, ours, y, {"color": colour, "marker": shapes[kind]})
        axis.set_title(heading)
        axis.set_yticks(range(len(rows)), list(rows) if i % columns == 0 else [])
        axis.set_ylim(len(rows) - 0.5, -0.5)
        axis.tick_params(axis="y", length=0)
        axis.margins(x=0.12)
        axis.grid(axis="x", color="#E4E4E4", linewidth=0.7)
        axis.set_axisbelow(True)
        for row in range(1, len(rows), 2):
            axis.axhspan(row - 0.5, row + 0.5, color="#F4F4F4", linewidth=0, zorder=-1)
        if i + columns >= len(metrics):
            axis.set_xlabel("%")
    for axis in axes[len(metrics) :]:
        axis.set_visible(False)
    handles = [
        _handle(f"{boxes[kind]}: {whose}", color=INK, marker=shapes[kind], **look)
        for kind in shown
        for whose, look in (
            (printed_label, {"markerfacecolor": "none", "markersize": 8, "linestyle": ""}),
            ("ours", {"markersize": 4.5, "linewidth": 1.6}),
        )
        if attempted or whose != "ours"
    ]
    figure.legend(
        handles=handles,
        loc="outside lower center",
        ncols=len(handles),
        title=f"lines: 95 % intervals of ours; at the right of a panel: ours − {printed_label}"
        if attempted
        else NOT_ATTEMPTED,
        title_fontsize=8,
    )
    return figure


def _beside(
    axis: Any, theirs: float | None, ours: Number | None, y: float, look: Mapping[str, Any]
) -> None:
    """One number of a table: the paper's hollow, ours full over it."""
    if theirs is not None:
        hollow = {"markerfacecolor": "none", "markersize": 8, "markeredgewidth": 1.1}
        axis.plot([theirs], [y], linestyle="", zorder=2, **hollow, **look)
    if ours is None:
        return
    _bar(axis, ours, y, look, along="x")
    axis.plot([ours.mean], [y], linestyle="", markersize=4.5, zorder=4, **look)
    if theirs is not None:
        place: dict[str, Any] = {"xycoords": ("axes fraction", "data"), "va": "center"}
        # A difference of −0.04 is "0.0", without a sign.
        off = round(ours.mean - theirs, 1)
        words = f"{off:+.1f}".replace("-", "−") if off else "0.0"
        axis.annotate(words, (1.02, y), fontsize=7.5, color=INK, ha="left", **place)


def _bar(axis: Any, ours: Number, at: float, look: Mapping[str, Any], *, along: str) -> None:
    """The interval of a number, if it has one, and its seeds, if there are several."""
    if ours.interval is not None:
        ends, place = list(ours.interval), [at, at]
        line = {"color": look["color"], "linewidth": 1.6, "zorder": 3}
        axis.plot(*((ends, place) if along == "x" else (place, ends)), **line)
    if len(ours.values) > 1:
        seeds, places = list(ours.values), [at] * len(ours.values)
        dots = {"linestyle": "", "markersize": 2.5, "alpha": 0.45, "zorder": 3, **look}
        axis.plot(*((seeds, places) if along == "x" else (places, seeds)), **dots)


def _handle(label: str, **look: Any) -> Any:
    from matplotlib.lines import Line2D

    return Line2D([], [], label=label, **look)


def cost(
    ledger: Ledger,
    records: Iterable[Record],
    families: Mapping[str, Mapping[str, str]],
    *,
    metric: str = "ap",
    ylabel: str = "AP (%)",
    unit: str = "gmacs",
    title: str = "",
    printed_label: str = "the paper",
) -> Any:
    """Accuracy against multiply-adds, ours and the paper's: a line a family, a point a network.

    The paper's points are hollow: at the GFLOPs that it prints, or at our count of the same
    network's multiply-adds, which papers do not print. Ours are full, with their 95 % interval, at
    our own count. A network that nobody counted in the unit is left out; where nobody counted any,
    the paper's points stand at its GFLOPs.

    Args:
        records: with the metric in percent, and of counts, with `gmacs` and `gflops`.
        families: label of a line → label of a point → stem of its claims, of which
            `<stem>.<metric>` and `<stem>.gflops` are used.
        unit: key of `COSTS`: true multiply-adds, or GFLOPs by the papers' convention.
        title: of the figure: the claim.

    Raises:
        ValueError: no claim belongs to a stem.
    """
    stems = _Stems(ledger, records)
    everyone = [stem for members in families.values() for stem in members.values()]
    for stem in everyone:
        stems.require(stem)
    if not any(number(stems.runs(stem, ("gflops",)), unit) for stem in everyone):
        unit = "gflops"
    figure, axis = style.subplots(width=7.6, height=4.6)
    handles, attempted = [], False
    labels: list[tuple[float, float, str]] = []
    looks = networks.looks(families)
    for family, members in families.items():
        look, line = looks[family], []
        for label, stem in members.items():
            theirs, price = stems.stated(stem, metric), stems.stated(stem, "gflops")
            count = number(stems.runs(stem, ("gflops",)), unit)
            counted = None if count is None else count.mean
            at = price if unit == "gflops" else counted
            if theirs is not None and at is not None:
                line.append((at, theirs, label))
            ours = number(stems.runs(stem, (metric,)), metric)
            if ours is not None and counted is not None:
                attempted = True
                _bar(axis, ours, counted, look, along="y")
                axis.plot([counted], [ours.mean], linestyle="", markersize=4.5, zorder=4, **look)
        line.sort()
        xs, ys = [x for x, *_ in line], [y for _, y, _ in line]
        hollow = {"markerfacecolor": "none", "markersize": 9, "linewidth": 0.9}
        axis.plot(xs, ys, zorder=2, **hollow, **look)
        labels += line
        handles.append(_handle(family, linewidth=0.9, markersize=5, **look))
    axis.set(xlabel=COSTS[unit], ylabel=ylabel, title=title)
    axis.margins(y=0.1)
    # Room for the label of the last point.
    right = axis.dataLim.x1
    axis.set_xlim(0, 1.13 * right if math.isfinite(right) else 1)
    _label_points(axis, labels)
    axis.grid(color="#E4E4E4", linewidth=0.7)
    axis.set_axisbelow(True)
    axis.legend(
        handles=handles,
        loc="lower right",
        title=f"hollow: {printed_label}; "
        + ("full: ours, 95 % interval" if attempted else NOT_ATTEMPTED),
        title_fontsize=8,
    )
    return figure


def _label_points(axis: Any, points: Sequence[tuple[float, float, str]]) -> None:
    """Name points of lines that rise: below their right, or above their left if one lies there."""
    places = axis.transData.transform([(x, y) for x, y, _ in points]) if points else []
    room = axis.bbox.width * LABEL_ROOM[0], axis.bbox.height * LABEL_ROOM[1]
    for (x, y, label), (left, top) in zip(points, places, strict=True):
        taken = any(0 <= a - left < room[0] and 0 < top - b < room[1] for a, b in places)
        aside = {"xytext": (-6, 4), "ha": "right", "va": "bottom"}
        below = {"xytext": (6, -4), "ha": "left", "va": "top"}
        place = {"textcoords": "offset points", "bbox": PAPER, **(aside if taken else below)}
        axis.annotate(label, (x, y), fontsize=8, color=INK, zorder=2.5, **place)


def cost_of_runs(
    records: Sequence[Record],
    *,
    label: str,
    words: Mapping[str, str] = networks.NAMES,
    where: Mapping[str, Any] | None = None,
    metric: str | None = None,
    ylabel: str | None = None,
    title: str = "",
) -> Any:
    """Accuracy against multiply-adds of our own networks, a point a variant, with its seeds.

    Args:
        records: with the metric in percent and `macs`, the number of multiply-adds; records that
            lack one of the two are left out.
        label: of a point, with keys of the variants in braces; a key that a variant lacks is left
            empty.
        words: values of variants → how they are called.
        where: values that a variant must have, as `gathering.fits` takes them.
        metric: by default the one that the records answer by, `measures.measure`.
        ylabel: what the metric is, with its unit; found from the records by default.
        title: of the figure: the claim.
    """
    some = [r for r in records if gathering.fits(r, where or {})]
    metric = metric or measures.measure(some)
    groups: dict[str, list[Record]] = {}
    for record in sorted(some, key=lambda r: r.seed):
        if metric in record.metrics and "macs" in record.metrics:
            groups.setdefault(gathering.labelled(record, label, words), []).append(record)
    macs = {name: float(group[0].metrics["macs"]) for name, group in groups.items()}
    power = 6 if max(macs.values(), default=0) < 1e8 else 9
    figure, axis = style.subplots(width=6.4, height=3.8)
    looks = networks.looks(sorted(groups, key=lambda name: macs[name]))
    for name, look in looks.items():
        ours = number(groups[name], metric)
        assert ours is not None
        _bar(axis, ours, macs[name] / 10**power, look, along="y")
        shown = f"{name} (n = {len(groups[name])})"
        axis.plot(
            [macs[name] / 10**power], [ours.mean], linestyle="", label=shown, zorder=4, **look
        )
    axis.set(xlabel=f"multiply-adds of a crop ($10^{power}$)", title=title)
    axis.set_ylabel(ylabel or measures.axis_label(some, metric))
    axis.margins(y=0.1)
    # From nothing on: nets of equal cost stand beside each other and look it.
    axis.set_xlim(0, 1.25 * max(macs.values(), default=1e6) / 10**power)
    axis.grid(color="#E4E4E4", linewidth=0.7)
    axis.set_axisbelow(True)
    if groups:
        axis.legend(loc="upper left", title="lines: 95 % intervals over seeds", title_fontsize=8)
    else:
        nothing(axis)
    return figure


def nothing(axis: Any, why: str = "not run in this profile") -> None:
    """Say in an empty panel that there are no numbers."""
    place = {"xycoords": "axes fraction", "ha": "center", "va": "center"}
    axis.annotate(why, (0.5, 0.5), fontsize=9, color=INK, **place)
    axis.set_yticks([])
