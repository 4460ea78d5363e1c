"""PCK: how many joints are found, against the threshold and joint by joint.

What is shown is named by selectors as in `paper.yaml`: `predictions[model=lsp-6s].pck`, or with
`{}` in the metric's place, which stands for each of several metrics.
"""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from replab.claims import selectors
from replab.report import poses, style, tables
from replab.report.poses import COLOURS, INK, MARKERS
from replab.runs.record import Record

if TYPE_CHECKING:
    from IPython.display import Markdown

# The least distance between two numbers at the edge of a panel, as a share of its height.
LABEL_GAP = 0.055


def curves(
    records: Iterable[Record],
    panels: Mapping[str, Mapping[str, str]],
    *,
    printed: Mapping[str, float] | None = None,
    printed_at: float = 0.2,
    printed_label: str = "the paper",
    xlabel: str = "threshold (true torso lengths)",
    ylabel: str = "joints found (%)",
) -> Any:
    """PCK against the threshold, ours as lines over the numbers that a paper prints.

    A band is the 95 % interval over people, where a record has the series `<name>_low` and
    `<name>_high`. What was not measured shows the paper's number alone.

    Args:
        records: with the series in percent.
        panels: title → label of a line → selector of its series.
        printed: label of a line → what the paper prints, percent: a hollow diamond, beneath ours,
            and the number itself at the right edge.
        printed_at: the threshold of these.

    Raises:
        ValueError: two records fit one selector, or a printed number belongs to no line.
    """
    known, theirs = list(records), dict(printed or {})
    stray = set(theirs) - {label for lines in panels.values() for label in lines}
    if stray:
        raise ValueError(f"no line is called {', '.join(sorted(stray))}")
    figure, axes = style.subplots(1, len(panels), width=0.6 + 3.7 * len(panels), height=3.7)
    axes = np.atleast_1d(axes)
    for axis, (title, lines) in zip(axes, panels.items(), strict=True):
        for i, (label, text) in enumerate(lines.items()):
            look = {"color": COLOURS[i], "marker": MARKERS[i]}
            if label in theirs:
                place = ([printed_at], [theirs[label]])
                hollow = {"markersize": 10, "markerfacecolor": "none", "clip_on": False}
                axis.plot(*place, "D", color=look["color"], zorder=2, **hollow)
            _curve(axis, known, text, label, look, printed_at)
        if not axis.get_legend_handles_labels()[0]:
            poses.nothing(axis)
        else:
            axis.legend(loc="lower right", title="bands: 95 % over people", title_fontsize=8)
        _edge(axis, {label: theirs[label] for label in lines if label in theirs})
        axis.set(title=title, xlabel=xlabel, ylim=(0, 100), xlim=(0, printed_at))
        axis.grid(color="#E4E4E4", linewidth=0.7)
        axis.set_axisbelow(True)
    axes[0].set_ylabel(ylabel)
    if theirs:
        figure.legend(handles=[_handle(printed_label)], loc="outside lower center")
    return figure


def joints(
    records: Iterable[Record],
    panels: Mapping[str, Mapping[str, str]],
    rows: Mapping[str, str],
    *,
    printed: Mapping[str, float] | None = None,
    printed_label: str = "the paper",
    xlabel: str = "joints found (%)",
) -> Any:
    """PCK joint by joint: a row a joint, a dot a way of scoring, with its 95 % interval.

    Args:
        records: with the metrics in percent.
        panels: title → label of a dot → selector, with `{}` for the metric.
        rows: metric → what its row is called, from above.
        printed: metric → what a paper prints, percent: a hollow diamond, beneath ours, in every
            panel.

    Raises:
        ValueError: two records fit one selector.
    """
    known = list(records)
    kinds = list(dict.fromkeys(label for lines in panels.values() for label in lines))
    looks = {kind: {"color": COLOURS[i], "marker": MARKERS[i]} for i, kind in enumerate(kinds)}
    figure, axes = style.subplots(
        1, len(panels), width=1.4 + 3.4 * len(panels), height=1.5 + 0.36 * len(rows)
    )
    axes = np.atleast_1d(axes)
    for axis, (title, lines) in zip(axes, panels.items(), strict=True):
        shown = False
        for row, metric in enumerate(rows):
            if metric in (printed or {}):
                hollow = {"markersize": 9, "markerfacecolor": "none", "zorder": 2}
                axis.plot([(printed or {})[metric]], [row], "D", color=INK, **hollow)
        for lane, (kind, template) in enumerate(lines.items()):
            for row, metric in enumerate(rows):
                found = _number(known, template.format(metric))
                if found is None:
                    continue
                y, shown = row + 0.3 * (lane - (len(lines) - 1) / 2), True
                colour = looks[kind]["color"]
                if found.interval is not None:
                    axis.plot(found.interval, [y, y], color=colour, linewidth=1.6, zorder=3)
                axis.plot([found.mean], [y], linestyle="", markersize=5.5, zorder=4, **looks[kind])
        axis.set_title(title)
        if not shown and not printed:
            poses.nothing(axis)
        axis.set_yticks(range(len(rows)), list(rows.values()) if axis is axes[0] else [])
        axis.set_ylim(len(rows) - 0.5, -0.5)
        axis.tick_params(axis="y", length=0)
        axis.set_xlabel(xlabel)
        axis.margins(x=0.06)
        axis.grid(axis="x", color="#E4E4E4", linewidth=0.7)
        axis.set_axisbelow(True)
        for row in range(1, len(rows), 2):
            axis.axhspan(row - 0.5, row + 0.5, color="#F4F4F4", linewidth=0, zorder=-1)
    # One scale, so that panels can be compared.
    lows, highs = zip(*(axis.get_xlim() for axis in axes), strict=True)
    for axis in axes:
        axis.set_xlim(min(lows), max(highs))
    key = [_handle(kind, full=True, **look) for kind, look in looks.items()]
    key += [_handle(printed_label)] if printed else []
    figure.legend(
        handles=key,
        loc="outside lower center",
        ncols=len(kinds),
        title="lines: 95 % intervals over people",
        title_fontsize=8,
    )
    return figure


def by_joint(
    records: Iterable[Record],
    lines: Mapping[str, str],
    columns: Mapping[str, str],
    *,
    digits: int = 2,
) -> "Markdown":
    """A paper's table as measured: a row a way of scoring, a column a joint, percent.

    The first column has the 95 % interval over people in brackets where a record gives it; what a
    record does not hold is a dash.

    Args:
        records: with the metrics in percent.
        lines: label of a row → selector, with `{}` for the metric.
        columns: metric → header.

    Raises:
        ValueError: two records fit one selector.
    """
    from IPython.display import Markdown

    known, rows = list(records), []
    for label, template in lines.items():
        cells = []
        for i, metric in enumerate(columns):
            found = _number(known, template.format(metric))
            cell = "–" if found is None else f"{found.mean:.{digits}f}"
            if found is not None and found.interval is not None and i == 0:
                low, high = found.interval
                cell += f" [{low:.1f}, {high:.1f}]"
            cells.append(cell)
        rows.append((label, *cells))
    return Markdown(tables.markdown(rows, ("percent", *columns.values())))


def _one(records: Iterable[Record], selector: selectors.Selector) -> Record | None:
    """The record that a selector fits; None if there is none."""
    fits = [r for r in records if r.experiment == selector.experiment and selector.fits(r.variant)]
    if len(fits) > 1:
        raise ValueError(f"{selector} fits {len(fits)} records; name more of the variant")
    return fits[0] if fits else None


def _number(records: Iterable[Record], text: str) -> poses.Number | None:
    selector = selectors.parse(text)
    record = _one(records, selector)
    return None if record is None else poses.number([record], selector.metric)


def _curve(
    axis: Any,
    records: Iterable[Record],
    text: str,
    label: str,
    look: Mapping[str, Any],
    marked: float,
) -> None:
    """One line with its band, and a dot where the paper prints a number."""
    selector = selectors.parse(text)
    record = _one(records, selector)
    if record is None or selector.metric not in record.series:
        return
    own = record.series[selector.metric]
    x, y = np.asarray(own["x"], float), np.asarray(own["y"], float)
    ends = [record.series.get(f"{selector.metric}{end}") for end in ("_low", "_high")]
    if ends[0] is not None and ends[1] is not None:
        band = {"color": look["color"], "alpha": 0.22, "linewidth": 0}
        axis.fill_between(x, ends[0]["y"], ends[1]["y"], zorder=1, **band)
    # A dot on each fifth threshold tells lines apart without their colours.
    axis.plot(x, y, label=label, linewidth=1.6, markersize=3.5, markevery=5, zorder=3, **look)
    at = np.isclose(x, marked)
    dot = {"linestyle": "", "markersize": 4.5, "clip_on": False, "zorder": 4}
    axis.plot(x[at], y[at], **dot, **look)


def _edge(axis: Any, printed: Mapping[str, float]) -> None:
    """Printed numbers at the right edge, moved apart where they would overlap."""
    height = -np.inf
    for value in sorted(printed.values()):
        height = max(value / 100, height + LABEL_GAP)
        place = {"xycoords": "axes fraction", "textcoords": "offset points", "va": "center"}
        axis.annotate(f"{value:g}", (1, height), (9, 0), fontsize=9, color=INK, **place)


def _handle(label: str, *, full: bool = False, **look: Any) -> Any:
    from matplotlib.lines import Line2D

    style_ = {"marker": "D", "color": INK, "markersize": 7, **look}
    return Line2D(
        [], [], linestyle="", markerfacecolor=None if full else "none", label=label, **style_
    )
