"""Figures that any paper can use: the ledger as a picture, learning curves, paired gaps."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from replab.claims.ledger import Ledger
from replab.claims.statistics import combine_by_seed, estimate
from replab.claims.verdicts import VERDICTS
from replab.report import gathering, style, text
from replab.report.tables import grouped
from replab.runs.record import Record

# Share of a training that does not set the axis of a difference.
START_UP = 0.2


def ledger_picture(ledger: Ledger) -> Any:
    """Every claim as a cell, a row for each table or figure of the paper, coloured by verdict.

    The verdict's sign stands in each cell, so that the picture reads without its colours.
    """
    own = grouped(ledger.select(scaled=False))
    rows: list[tuple[str, list[str]]] = [
        (name, sorted((e.verdict for e in members), key=VERDICTS.index))
        for name, members in own.items()
    ]
    scaled = [e.verdict for e in ledger.select(scaled=True)]
    if scaled:
        rows.append(("scaled claims\n(ours)", sorted(scaled, key=VERDICTS.index)))
    per_line = 24
    lines = [-(-len(verdicts) // per_line) for _, verdicts in rows]
    height = 1.1 + 0.27 * (sum(lines) + 0.45 * len(rows))
    figure, axis = style.subplots(width=8.2, height=height)
    top = 0.0
    ticks = []
    for (name, verdicts), count in zip(rows, lines, strict=True):
        ticks.append((top + (count - 1) / 2, name))
        for i, verdict in enumerate(verdicts):
            x, y = i % per_line, top + i // per_line
            colour = style.VERDICT_COLOURS[verdict]
            axis.add_patch(_cell(x, y, colour))
            axis.text(
                x,
                y,
                text.SIGNS[verdict],
                ha="center",
                va="center",
                fontsize=8,
                color=_ink(verdict),
            )
        top += count + 0.45
    axis.set(xlim=(-0.7, per_line - 0.3), ylim=(top - 0.4, -0.8))
    axis.set_yticks([y for y, _ in ticks], [name for _, name in ticks])
    axis.set_xticks([])
    axis.tick_params(length=0)
    for spine in axis.spines.values():
        spine.set_visible(False)
    counts = ledger.counts(scaled=False)
    axis.set_title(
        f"{ledger.paper}, profile {ledger.profile}: the paper's claims, one cell each",
        loc="left",
    )
    handles = [
        _cell(0, 0, style.VERDICT_COLOURS[v], label=f"{text.SIGNS[v]} {v} ({counts[v]})")
        for v in VERDICTS
    ]
    figure.legend(
        handles=handles,
        loc="outside lower center",
        ncols=4,
        title="in brackets: the paper's claims, scaled claims left out",
        title_fontsize=8,
    )
    return figure


def _cell(x: float, y: float, colour: str, label: str = "") -> Any:
    from matplotlib.patches import Rectangle

    return Rectangle((x - 0.46, y - 0.46), 0.92, 0.92, color=colour, linewidth=0, label=label)


def _ink(verdict: str) -> str:
    return {"reproduced": "white", "not reproduced": "white"}.get(verdict, "#444444")


def guessing(classes: int) -> tuple[float, str]:
    """Cross-entropy of answering every class alike, in nats, as a reference line."""
    return math.log(classes), f"guessing (ln {classes})"


def learning_curves(
    records: Sequence[Record],
    *,
    series: str,
    panel: str,
    line: str,
    ylabel: str,
    colours: Sequence[str] = (style.ORANGE, style.BLUE, style.GREEN, style.PURPLE),
    reference: tuple[float, str] | None = None,
    titles: Mapping[str, str] | None = None,
    top: float | None = None,
) -> Any:
    """Curves of several nets, a panel a group; a thin line a seed, a bold one their mean.

    Args:
        series: name of the series in the records.
        panel, line: titles of panels and labels of lines, as in `gathering.panels`.
        ylabel: what it is, with its unit.
        reference: height and text of a horizontal line.
        titles: titles for panels, in place of their names.
        top: upper end of the axis, where a start-up would squeeze all that follows.
    """
    import seaborn as sns
    from matplotlib.ticker import EngFormatter

    panels = gathering.panels(records, panel, line)
    figure, axes = style.subplots(1, len(panels), width=4.1 * len(panels), height=3.5)
    axes = np.atleast_1d(axes)
    for axis, (title, nets) in zip(axes, panels.items(), strict=True):
        frame = _curves(nets, series)
        palette = dict(zip(frame["net"].unique(), colours, strict=False))
        place = {"data": frame, "x": "x", "y": "y", "hue": "net", "palette": palette, "ax": axis}
        sns.lineplot(**place, units="seed", estimator=None, linewidth=0.8, alpha=0.5, legend=False)
        sns.lineplot(**place, errorbar=None, linewidth=2.4)
        if reference:
            axis.axhline(reference[0], color="#666666", linewidth=1, linestyle="--", zorder=0)
            right, height = axis.get_xlim()[1], reference[0]
            axis.text(
                right, height, reference[1], ha="right", va="bottom", fontsize=8, color="#666666"
            )
        axis.set(title=(titles or {}).get(title, title), xlabel="iteration", ylabel="")
        axis.xaxis.set_major_formatter(EngFormatter(sep=""))
        axis.legend(loc="lower left")
    axes[0].set_ylabel(ylabel)
    low = min(axis.get_ylim()[0] for axis in axes)
    high = top or max(axis.get_ylim()[1] for axis in axes)
    for axis in axes:
        # Room below the curves for the legends.
        axis.set_ylim(low - 0.2 * (high - low), high)
    return figure


def _curves(nets: Mapping[str, Sequence[Record]], series: str) -> Any:
    """A series of some nets as a long table: net (with its number of seeds), seed, x, y."""
    import pandas as pd

    return pd.concat(
        pd.DataFrame(
            {
                "net": f"{label} (n = {len(records)})",
                "seed": record.seed,
                "x": record.series[series]["x"],
                "y": record.series[series]["y"],
            }
        )
        for label, records in nets.items()
        for record in records
    ).reset_index(drop=True)


def paired_gaps(
    records: Sequence[Record],
    *,
    pairs: gathering.Pairing,
    metric: str,
    xlabel: str,
    claimed: float = 0.0,
) -> Any:
    """Differences between two nets, seed by seed, with their mean and 95 % interval.

    Args:
        pairs: which runs are compared, from `gathering.between` or `gathering.along`.
        xlabel: what the difference is, with its unit.
        claimed: the bound the claim names, drawn as a line.
    """
    gaps = pairs(records)
    figure, axis = style.subplots(width=7.4, height=0.9 + 0.55 * len(gaps))
    for row, (_, (plus, minus)) in enumerate(gaps.items()):
        first, second = (
            {r.seed: float(r.metrics[metric]) for r in group} for group in (plus, minus)
        )
        values = list(combine_by_seed([first], [second]).values())
        found = estimate(values)
        if found.n > 1:
            axis.plot([found.low, found.high], [row, row], color=style.BLUE, linewidth=2)
        axis.plot(values, [row] * len(values), "o", color=style.BLUE, alpha=0.45, markersize=5)
        axis.plot([found.mean], [row], "D", color=style.BLUE, markersize=7)
    axis.axvline(claimed, color=style.BLACK, linewidth=1)
    axis.set_yticks(range(len(gaps)), list(gaps))
    axis.set_ylim(len(gaps) - 0.5, -0.5)
    axis.set_xlabel(xlabel)
    return figure


def gap_over_time(
    records: Sequence[Record],
    *,
    pairs: gathering.Pairing,
    series: str,
    ylabel: str,
    colours: Sequence[str] = (style.ORANGE, style.BLUE),
) -> Any:
    """How a gap between two nets grows or shrinks while they train: mean and range over seeds.

    The axis takes in what comes after a fifth of the iterations, so that the start-up does not
    squeeze it.

    Args:
        pairs: which runs are compared, as in `paired_gaps`.
    """
    gaps = pairs(records)
    figure, axis = style.subplots(width=5.6, height=3.3)
    reach = [0.0]
    for colour, (label, (plus, minus)) in zip(colours, gaps.items(), strict=False):
        second = {r.seed: r for r in minus}
        seeds = [(r, second[r.seed]) for r in plus if r.seed in second]
        curves = np.array(
            [np.subtract(a.series[series]["y"], b.series[series]["y"]) for a, b in seeds]
        )
        x = np.asarray(seeds[0][0].series[series]["x"], dtype=float)
        later = curves[:, x >= START_UP * x[-1]]
        reach += [later.min(), later.max()]
        axis.fill_between(x, curves.min(0), curves.max(0), color=colour, alpha=0.25, linewidth=0)
        legend = f"{label} (n = {len(seeds)}, band: range)"
        axis.plot(x, curves.mean(0), color=colour, linewidth=2.2, label=legend)
    axis.axhline(0, color=style.BLACK, linewidth=0.8)
    axis.set(xlabel="iteration", ylabel=ylabel)
    spread = max(reach) - min(reach) or 1.0
    # Room below for the legend.
    axis.set_ylim(min(reach) - 0.35 * spread, max(reach) + 0.1 * spread)
    axis.legend(loc="lower right")
    return figure


def printed_against_measured(ledger: Ledger, glob: str, *, xlabel: str) -> Any:
    """Relative difference of our number from the print, claim by claim, with the tolerance.

    A claim that was not attempted has its tolerance alone.
    """
    from replab.claims import printed

    entries = ledger.select(glob)
    figure, axis = style.subplots(width=7.0, height=1.1 + 0.32 * len(entries))
    for row, entry in enumerate(entries):
        margin = 100 * float((entry.tolerance or {})["margin"])
        axis.plot([-margin, margin], [row, row], color=style.GREY, linewidth=7, alpha=0.6)
        if isinstance(entry.measured, float):
            off = 100 * (entry.measured / printed.parse(entry.reported).value - 1)
            colour = style.VERDICT_COLOURS[entry.verdict]
            axis.plot([off], [row], "D", color=colour, markersize=7)
    axis.axvline(0, color=style.BLACK, linewidth=1)
    labels = [f"{e.id} ({text.reported(e)})" for e in entries]
    axis.set_yticks(range(len(entries)), labels)
    axis.set_ylim(len(entries) - 0.5, -0.5)
    axis.set_xlabel(xlabel)
    return figure
