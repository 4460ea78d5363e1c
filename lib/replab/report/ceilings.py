"""Figures of ceilings: what a perfect heatmap scores, by how it is drawn and read."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from replab.report import gathering, poses, style
from replab.report.poses import INK
from replab.runs.record import Record

# Of heatmaps' sizes: none of the networks' colours, since no network is at work here.
LOOKS = (
    {"color": style.BLACK, "marker": "o"},
    {"color": style.PURPLE, "marker": "s"},
    {"color": style.GREEN, "marker": "D"},
    {"color": style.VERMILION, "marker": "^"},
)


def ceilings(
    records: Iterable[Record],
    *,
    panels: Mapping[str, str] | None = None,
    panel: str = "{data}",
    row: str = "{codec}",
    colour: str = "{heatmap}",
    rows: Mapping[str, str] | None = None,
    words: Mapping[str, str] | None = None,
    where: Mapping[str, Any] | None = None,
    metrics: Mapping[str, str] | None = None,
    xlabel: str = "what is lost: 100 − AP (points; logarithmic)",
    title: str = "",
) -> Any:
    """What a perfect heatmap still loses: a panel a data set, a row a codec, a colour a size.

    The axis is logarithmic in the distance to 100, since the best ceilings lie within a tenth of
    a point of it and the worst ones several points below; nothing lost stands at the left edge as
    an arrow. The number itself is written beside its dot.

    Args:
        records: one of each variant.
        panels: label of a panel → its title, in order; one without records says so. All by
            default.
        panel, row, colour: labels, with keys of the variants in braces.
        rows: label of a row → how it is called, in order; all by default.
        words: values of variants → how they are called.
        where: values that a variant must have.
        metrics: metric, in percent → how it is called; the first is drawn full, a second hollow.
            `ap` alone by default.

        xlabel: of all panels.
        title: of the figure: the claim.

    Raises:
        ValueError: two records stand for one dot, or there are more colours than `LOOKS`.
    """
    shown = metrics or {"ap": ""}
    found: dict[tuple[str, str, str], dict[str, float]] = {}
    for record in records:
        if not gathering.fits(record, where or {}):
            continue
        place = tuple(gathering.labelled(record, label, words) for label in (panel, row, colour))
        if place in found:
            raise ValueError(f"two records stand for {', '.join(place)}; use `where` or a label")
        found[place[0], place[1], place[2]] = {
            metric: float(record.metrics[metric]) for metric in shown if metric in record.metrics
        }
    titles = panels or {name: name for name in dict.fromkeys(place[0] for place in found)}
    names = rows or {name: name for name in dict.fromkeys(place[1] for place in found)}
    kinds = sorted({place[2] for place in found})
    if len(kinds) > len(LOOKS):
        raise ValueError(f"{len(kinds)} colours are asked for; there are {len(LOOKS)}")
    figure, axes = style.subplots(
        1,
        max(len(titles), 1),
        width=1.8 + 2.9 * max(len(titles), 1),
        height=1.5 + (0.2 + 0.22 * max(len(kinds) * len(shown), 1)) * max(len(names), 1),
    )
    axes = np.atleast_1d(axes)
    lost = [
        100 - value
        for place, numbers in found.items()
        if place[0] in titles and place[1] in names
        for value in numbers.values()
    ]
    floor, top = _range(lost)
    looks = dict(zip(kinds, LOOKS, strict=False))
    lanes = [(kind, metric) for kind in kinds for metric in shown]
    hollow = list(shown)[1:]
    for axis, (key, heading) in zip(axes, titles.items(), strict=False):
        axis.set_title(heading)
        if not any(place[0] == key for place in found):
            poses.nothing(axis)
        for y, name in enumerate(names):
            for lane, (kind, metric) in enumerate(lanes):
                value = found.get((key, name, kind), {}).get(metric)
                if value is not None:
                    height = y + 0.76 * ((lane + 0.5) / len(lanes) - 0.5)
                    _dot(axis, value, height, floor, looks[kind], hollow=metric in hollow)
        axis.set_xscale("log")
        axis.set_xlim(floor, top)
        _plain_decades(axis)
        axis.set_yticks(range(len(names)), list(names.values()) if axis is axes[0] else [])
        axis.set_ylim(max(len(names), 1) - 0.5, -0.5)
        axis.tick_params(axis="y", length=0)
        axis.grid(axis="x", color="#E4E4E4", linewidth=0.7)
        axis.set_axisbelow(True)
        for y in range(1, len(names), 2):
            axis.axhspan(y - 0.5, y + 0.5, color="#F4F4F4", linewidth=0, zorder=-1)
    # The ends of neighbouring axes are labelled, too.
    figure.get_layout_engine().set(wspace=0.05)
    figure.supxlabel(xlabel, fontsize=10)
    if title:
        figure.suptitle(title, fontsize=11, x=0.01, ha="left")
    key_ = [_handle(kind, look) for kind, look in looks.items()]
    if hollow:
        grey = {"color": INK, "marker": "o"}
        key_ += [
            _handle(what, {**grey, "markerfacecolor": "none" if metric in hollow else INK})
            for metric, what in shown.items()
        ]
    figure.legend(
        handles=key_,
        loc="outside upper right",
        ncols=max(len(key_), 1),
        title="written at a dot: the number itself (%)",
        title_fontsize=8,
    )
    return figure


def _range(lost: list[float]) -> tuple[float, float]:
    """Ends of the logarithmic axis: beyond the smallest loss above 0, and the largest."""
    some = [loss for loss in lost if loss > 0]
    if not some:
        return 0.01, 1.0
    # Room at the left for what loses nothing, at the right for the numbers beside the dots.
    return min(some) / 2.5, max(some) * 4.5


def _dot(
    axis: Any, value: float, y: float, floor: float, look: Mapping[str, Any], *, hollow: bool
) -> None:
    loss = 100 - value
    fill = {"markerfacecolor": "white" if hollow else look["color"], "linestyle": ""}
    if loss > 0:
        axis.plot([loss], [y], markersize=6, zorder=3, **look, **fill)
    else:
        arrow = {**look, "marker": "<", "clip_on": False}
        axis.plot([floor], [y], markersize=7, zorder=3, **arrow, **fill)
    digits = 0 if loss <= 0 else 2 if loss < 1 else 1
    place: dict[str, Any] = {"textcoords": "offset points", "va": "center"}
    at = max(loss, floor)
    axis.annotate(f"{value:.{digits}f}", (at, y), (6, 0), fontsize=8, color=INK, **place)


def _plain_decades(axis: Any) -> None:
    from matplotlib.ticker import FormatStrFormatter, LogLocator, NullFormatter

    axis.xaxis.set_major_locator(LogLocator(base=10, numticks=6))
    axis.xaxis.set_major_formatter(FormatStrFormatter("%g"))
    axis.xaxis.set_minor_formatter(NullFormatter())


def _handle(label: str, look: Mapping[str, Any]) -> Any:
    from matplotlib.lines import Line2D

    return Line2D([], [], label=label, linestyle="", **look)
