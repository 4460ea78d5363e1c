"""Figures of what happens in each layer of a network: responses, gradients, and their remedies."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from replab.claims.statistics import estimate
from replab.report import gathering, style
from replab.runs.record import Record

# How the options of networks are called in a figure, in the order in which they are compared.
WORDS: Mapping[str, str] = {
    "plain": "plain",
    "resnet": "ResNet",
    "none": "no BN",
    "batch": "BN",
    "relu": "ReLU",
    "tanh": "tanh",
    "sigmoid": "sigmoid",
    "he": "He",
    "xavier": "Xavier",
    "constant": "N(0, 0.01²)",
}
COLOURS = (
    style.ORANGE,
    style.BLUE,
    style.VERMILION,
    style.GREEN,
    style.PURPLE,
    style.SKY,
    style.BLACK,
)
# Lines that cross and cover each other are told apart by their dashes, too.
DASHES = ("-", (0, (5, 1.5)), (0, (1.5, 1)), "-.", (0, (7, 2, 1, 2, 1, 2)), (0, (3, 1)))
MOMENTS: Mapping[str, str] = {"": "at the start", "_after": "after the iterations"}


def profiles(
    records: Iterable[Record],
    *,
    panel: str,
    line: str,
    rows: Mapping[str, str],
    where: Mapping[str, Any] | None = None,
    relative: bool = False,
    per_row: bool = False,
) -> Any:
    """A quantity of every layer on a logarithmic axis: mean over seeds, band from least to most.

    Args:
        panel, line: titles of columns and labels of lines, as in `gathering.panels`.
        rows: series of the records → what it is, with its unit; a row each. Their `y` are decimal
            logarithms, their `x` the layers, counted from 1.
        where: values that a variant must have, as `gathering.fits` takes them.
        relative: lay the depths of all nets over each other, 0 the first layer and 1 the last.
        per_row: a row has its own range; otherwise all panels share one.
    """
    some = (r for r in records if gathering.fits(r, where or {}))
    panels = gathering.panels(some, panel, line, WORDS)
    figure, axes = style.subplots(
        len(rows), len(panels), width=1.0 + 3.5 * len(panels), height=1.0 + 2.4 * len(rows)
    )
    axes = np.asarray(axes, dtype=object).reshape(len(rows), len(panels))
    # A net has one colour in all panels.
    labels = list(dict.fromkeys(label for members in panels.values() for label in members))
    looks = {
        label: {"color": COLOURS[i % len(COLOURS)], "linestyle": DASHES[i % len(DASHES)]}
        for i, label in enumerate(labels)
    }
    for row, (series, what) in zip(axes, rows.items(), strict=True):
        for axis, members in zip(row, panels.values(), strict=True):
            for label, runs in members.items():
                _profile(axis, runs, series, looks[label], relative=relative)
            _note_missing(axis, members, series)
            _powers_of_ten(axis, relative=relative)
        row[0].set_ylabel(what)
    for axis, title in zip(axes[0], panels, strict=True):
        axis.set_title(title)
    for axis in axes[-1]:
        axis.set_xlabel("relative depth (first layer 0, last 1)" if relative else "layer")
    for group in axes if per_row else [axes.ravel()]:
        low = min(axis.get_ylim()[0] for axis in group)
        high = max(axis.get_ylim()[1] for axis in group)
        for axis in group:
            axis.set_ylim(low, high)
    handles = [_handle(label, linewidth=2, **look) for label, look in looks.items()]
    figure.legend(handles=handles, loc="outside lower center", ncols=4, handlelength=3.2)
    return figure


def _profile(
    axis: Any,
    records: Sequence[Record],
    series: str,
    look: Mapping[str, Any],
    *,
    relative: bool,
) -> None:
    curves = [r.series[series] for r in records if series in r.series]
    if not curves:
        return
    x = np.asarray(curves[0]["x"])
    if relative:
        x = (x - x[0]) / max(x[-1] - x[0], 1)
    y = np.array([curve["y"] for curve in curves])
    axis.fill_between(x, y.min(0), y.max(0), color=look["color"], alpha=0.25, linewidth=0)
    axis.plot(x, y.mean(0), linewidth=2, **look)


def _note_missing(axis: Any, members: gathering.Nets, series: str) -> None:
    """Name, in the panel, the nets that have no curve or not one for each seed."""
    notes = [
        f"{label}: {why}"
        for label, records in members.items()
        if (why := _missing(records, [series in r.series for r in records]))
    ]
    if notes:
        axis.annotate(
            "\n".join(notes),
            (0.98, 0.97),
            xycoords="axes fraction",
            ha="right",
            va="top",
            fontsize=8,
            color="#555555",
        )


def _missing(records: Sequence[Record], there: Sequence[bool]) -> str:
    """Why some records have no number or curve, in words; empty if all have."""
    absent = [record for record, has in zip(records, there, strict=True) if not has]
    if not absent:
        return ""
    diverged = sum(bool(r.metrics.get("diverged")) for r in absent)
    if diverged:
        return f"{diverged} of {len(records)} seeds diverged"
    return "not trained" if not any(r.iterations for r in absent) else "not measured"


def _powers_of_ten(axis: Any, *, relative: bool) -> None:
    """Ticks of a `y` axis of decimal logarithms, named by what they stand for."""
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    axis.yaxis.set_major_locator(MaxNLocator(nbins=7, integer=True))
    axis.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"$10^{{{y:.0f}}}$"))
    if not relative:
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    axis.grid(axis="y", color="#E4E4E4", linewidth=0.7)
    axis.set_axisbelow(True)


def remedies(
    records: Iterable[Record],
    *,
    label: str,
    columns: Mapping[str, str],
    moments: Mapping[str, str] = MOMENTS,
    references: Mapping[str, float] | None = None,
) -> Any:
    """What each remedy buys: a row a network, its seeds, their mean and its 95 % interval.

    Args:
        label: of a network, as in `gathering.nets`.
        columns: metric → what it is, with its unit; a panel each. A name that ends as one of
            `moments` does is shown at that moment only, any other at all of them.
        moments: what is appended to a metric's name at each moment → what the moment is called.
        references: metric → where to draw a vertical line.
    """
    nets = gathering.nets(records, label, WORDS)
    figure, axes = style.subplots(
        1, len(columns), width=2.2 + 2.2 * len(columns), height=1.4 + 0.33 * len(nets)
    )
    axes = np.atleast_1d(axes)
    looks = {
        moment: {"color": colour, "marker": marker}
        for moment, colour, marker in zip(
            moments, (style.ORANGE, style.BLUE, style.GREEN), "soD", strict=False
        )
    }
    for axis, (column, what) in zip(axes, columns.items(), strict=True):
        metrics = _by_moment(column, moments)
        for row, runs in enumerate(nets.values()):
            for i, (moment, metric) in enumerate(metrics.items()):
                values = [r.metrics[metric] for r in runs if metric in r.metrics]
                height = row + 0.3 * (i - (len(metrics) - 1) / 2)
                _interval(axis, values, height, looks[moment])
            missing = [r.metrics.keys() >= set(metrics.values()) for r in runs]
            if len(metrics) == 1 and (why := _missing(runs, missing)):
                _explain(axis, row, why)
        if references and column in references:
            axis.axvline(references[column], color="#666666", linewidth=1, ls="--", zorder=0)
        axis.set_yticks(range(len(nets)), list(nets) if axis is axes[0] else [])
        axis.tick_params(axis="y", length=0)
        axis.set_ylim(len(nets) - 0.5, -0.5)
        axis.set_xlabel(what)
        for row in range(1, len(nets), 2):
            axis.axhspan(row - 0.5, row + 0.5, color="#F4F4F4", linewidth=0, zorder=-1)
    handles = [
        _handle(label=words, linewidth=1.8, markersize=5, **looks[moment])
        for moment, words in moments.items()
    ]
    figure.legend(
        handles=handles,
        loc="outside lower center",
        ncols=len(handles),
        title="large: mean and its 95 % interval over seeds; small: the seeds",
        title_fontsize=8,
    )
    return figure


def _by_moment(column: str, moments: Mapping[str, str]) -> dict[str, str]:
    """The metrics that a column of `remedies` shows, by their moments."""
    for moment in moments:
        if moment and column.endswith(moment):
            return {moment: column}
    return {moment: column + moment for moment in moments}


def _interval(axis: Any, values: Sequence[float], height: float, look: Mapping[str, Any]) -> None:
    if not values:
        return
    found = estimate([float(v) for v in values])
    if found.n > 1:
        axis.plot([found.low, found.high], [height] * 2, color=look["color"], linewidth=1.8)
    axis.plot(values, [height] * found.n, linestyle="", alpha=0.45, markersize=3, **look)
    axis.plot([found.mean], [height], markersize=5, **look)


def _explain(axis: Any, row: int, why: str) -> None:
    """Say in a row why a number is not there."""
    axis.annotate(
        why,
        (0.98, row),
        xycoords=("axes fraction", "data"),
        ha="right",
        va="center",
        fontsize=8,
        color="#555555",
    )


def _handle(label: str, **look: Any) -> Any:
    from matplotlib.lines import Line2D

    return Line2D([], [], label=label, **look)


def responses(
    records: Iterable[Record],
    *,
    label: str,
    dashed: Mapping[str, Any] | None = None,
    series: str = "response_std",
) -> Any:
    """Standard deviations of layer responses as in Fig. 7 of He et al. 2016.

    Above in the order of the layers, below each net's sorted from the largest down; mean over
    seeds, band from least to most. The axis is logarithmic where the sizes differ much.

    Args:
        label: of a net, as in `gathering.nets`.
        dashed: part of the variants whose nets are drawn dashed, such as `{"net": "plain"}`.
        series: of the records; `x` the layers, counted from 1, `y` the standard deviations.
    """
    marked = dashed.items() if dashed else None
    groups = gathering.nets(records, label, WORDS)
    figure, axes = style.subplots(2, 1, width=7.0, height=5.6)
    sortings = (("layer, in the order of the network", False), ("layer, sorted by size", True))
    colours: dict[tuple[Any, ...], str] = {}
    sizes: list[float] = []
    for axis, (xlabel, descending) in zip(axes, sortings, strict=True):
        for name, runs in groups.items():
            variant = runs[0].variant
            y = np.array([r.series[series]["y"] for r in runs])
            sizes += [y.min(), y.max()]
            dash = marked is not None and marked <= variant.items()
            # Nets that differ in the dashes alone share a colour.
            rest = tuple(value for key, value in variant.items() if key not in (dashed or {}))
            colour = colours.setdefault(rest, COLOURS[len(colours) % len(COLOURS)])
            if descending:
                y = -np.sort(-y, axis=1)
            x = np.arange(1, y.shape[1] + 1)
            axis.fill_between(x, y.min(0), y.max(0), color=colour, alpha=0.2, linewidth=0)
            axis.plot(
                x,
                y.mean(0),
                color=colour,
                linestyle="--" if dash else "-",
                linewidth=1.8,
                label=f"{name} (n = {len(runs)})",
            )
        axis.set(xlabel=xlabel, ylabel="standard deviation of response")
        axis.set_xlim(left=0)
    for axis in axes:
        _scale_responses(axis, min(sizes), max(sizes))
    axes[0].legend(loc="upper right")
    return figure


def _scale_responses(axis: Any, least: float, greatest: float) -> None:
    """From zero as in the paper, unless one net would press the others onto the axis."""
    from matplotlib.ticker import FormatStrFormatter, NullFormatter

    if least <= 0 or greatest < 8 * least:
        axis.set_ylim(bottom=0)
        return
    axis.set_yscale("log", base=2)
    axis.yaxis.set_major_formatter(FormatStrFormatter("%g"))
    axis.yaxis.set_minor_formatter(NullFormatter())
    axis.grid(axis="y", color="#DDDDDD", linewidth=0.6)
