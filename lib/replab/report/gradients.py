"""Figures of gradients by layer and moment, with a loss after every stage and with one at the end.

Records hold, for each moment n from 1, the series of `training.gradients.report`: `log_gradient_n`
and `layer_stage_n` over layers, `gradient_layer<i>_n` over shares; `moments` says after how many
iterations each was.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from replab.claims.statistics import combine_by_seed, estimate
from replab.report import gathering, poses, style
from replab.report.poses import INK
from replab.runs.record import Record
from replab.training.gradients import shown

# Half the width of a histogram in standard deviations, and how many bars that is.
REACH, BARS = 2.5, 25
# Of the highest bar, unless it is a peak, so that tails can be seen beside it.
ROOM, PEAK = 1.7, 0.8
COLOURS = (style.BLUE, style.VERMILION)
MOMENT_LOOKS = ((style.SKY, "o"), (style.BLUE, "s"), (style.BLACK, "D"))
NOT_KEPT = "these runs kept no gradients"


def histograms(
    records: Iterable[Record], nets: Mapping[str, Mapping[str, Any]], *, title: str = ""
) -> Any:
    """Histograms of weight gradients as Fig. 5 has them: layers down, moments across.

    Each panel's axis is in standard deviations of the first net's gradients, since they differ by
    powers of ten between layers; both nets' own are written beside. A bar that leaves the panel
    at the top is a peak at zero. Of each net the lowest seed that all have is shown.

    Args:
        records: whose gradients were watched.
        nets: label → values that its variant must have, as `gathering.fits` takes them; two of
            them, the one that sets the axes first.
        title: of the figure: the claim.
    """
    chosen = _of_one_seed(records, nets)
    if len(chosen) < len(nets):
        return _nothing(nets)
    first = next(iter(chosen.values()))
    moments = first.series["moments"]
    stages = [int(stage) for stage in first.series["layer_stage_1"]["y"]]
    layers = [(layer, stages[layer - 1]) for layer in shown(stages)]
    figure, axes = style.subplots(
        len(layers),
        len(moments["x"]),
        width=1.2 + 2.6 * len(moments["x"]),
        height=1.4 + len(layers),
    )
    axes = np.asarray(axes, dtype=object).reshape(len(layers), -1)
    for line, (layer, stage) in zip(axes, layers, strict=True):
        for number, axis in enumerate(line, 1):
            _panel(axis, list(chosen.values()), layer, number)
        line[0].set_ylabel(f"stage {stage}\nlayer {layer}", fontsize=8.5)
    for axis, done in zip(axes[0], moments["y"], strict=True):
        axis.set_title(f"after {done:,.0f} iterations", fontsize=10)
    for axis in axes[-1]:
        axis.set_xticks([-2, -1, 0, 1, 2])
        axis.tick_params(labelbottom=True)
        axis.set_xlabel(f"gradient (in s.d. of “{next(iter(chosen))}”)", fontsize=8.5)
    from matplotlib.patches import Patch

    handles = [
        Patch(facecolor=colour, alpha=0.55, edgecolor=colour, label=f"{label}, seed {record.seed}")
        for colour, (label, record) in zip(COLOURS, chosen.items(), strict=True)
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles))
    if title:
        figure.suptitle(title, fontsize=11)
    return figure


def ratios(
    records: Iterable[Record],
    nets: Mapping[str, Mapping[str, Any]],
    *,
    bound: float | None = None,
    title: str = "",
) -> Any:
    """Ratio of two nets' gradient spreads in every layer, mean and 95 % t-interval over seeds.

    Ratios are taken seed by seed, and their logarithms averaged.

    Args:
        records: whose gradients were watched.
        nets: as of `histograms`: of the first is through the second.
        bound: a ratio to draw a line at.
        title: of the figure: the claim.
    """
    known = [r for r in records if "moments" in r.series]
    groups = [gathering.by_seed(known, where) for where in nets.values()]
    seeds = set.intersection(*(set(group) for group in groups))
    if len(groups) != 2 or not seeds:
        return _nothing(nets)
    first = groups[0][min(seeds)]
    moments, stages = first.series["moments"], first.series["layer_stage_1"]["y"]
    figure, axis = style.subplots(width=8.2, height=4.0)
    _bands(axis, [int(stage) for stage in stages])
    axis.axhline(0, color=style.BLACK, linewidth=0.9)
    if bound is not None:
        look = {"color": INK, "linewidth": 0.9, "linestyle": (0, (4, 2))}
        axis.axhline(np.log10(bound), label=f"ratio {bound:g}", **look)
    for i, done in enumerate(moments["y"]):
        colour, marker = MOMENT_LOOKS[i % len(MOMENT_LOOKS)]
        name = f"log_gradient_{i + 1}"
        found = [_ratio(groups, name, layer) for layer in range(len(stages))]
        places = np.arange(1, len(stages) + 1) + 0.2 * (i - (len(moments["y"]) - 1) / 2)
        means = [value.mean for value in found]
        ends = [[v.mean - v.low for v in found], [v.high - v.mean for v in found]]
        axis.errorbar(
            *(places, means),
            yerr=ends if len(seeds) > 1 else None,
            color=colour,
            marker=marker,
            markersize=4.5,
            linewidth=0,
            elinewidth=1.3,
            label=f"after {done:,.0f} iterations",
        )
    axis.set_xticks(range(1, len(stages) + 1))
    axis.set_xlabel("layer, from the image to the last beliefs")
    axis.set_ylabel("ratio of the gradients' s.d.,\n" + " / ".join(nets))
    _powers(axis)
    over = f"n = {len(seeds)}, mean and 95 % interval" if len(seeds) > 1 else "n = 1"
    axis.legend(loc="upper right", title=over, title_fontsize=8.5, fontsize=8.5)
    if title:
        axis.set_title(title)
    return figure


def _ratio(groups: Sequence[Mapping[int, Record]], name: str, layer: int) -> Any:
    sizes = [
        {seed: record.series[name]["y"][layer] for seed, record in group.items()}
        for group in groups
    ]
    return estimate(list(combine_by_seed([sizes[0]], [sizes[1]]).values()))


def _of_one_seed(
    records: Iterable[Record], nets: Mapping[str, Mapping[str, Any]]
) -> dict[str, Record]:
    """Label → its record, all of the lowest seed that all have; empty if they have none."""
    kept = [record for record in records if "moments" in record.series]
    found = gathering.of_one_seed(kept, nets)
    compared = len(found) == len(nets) and len({r.seed for r in found.values()}) == 1
    return found if compared else {}


def _panel(axis: Any, records: Sequence[Record], layer: int, number: int) -> None:
    name = f"gradient_layer{layer}_{number}"
    logs = [record.series[f"log_gradient_{number}"]["y"][layer - 1] for record in records]
    unit = 10 ** logs[0]
    tallest = 0.0
    for i, (record, colour) in enumerate(zip(records, COLOURS, strict=True)):
        edges, heights = _bars(record.series[name], unit)
        axis.stairs(heights, edges, fill=True, color=colour, alpha=0.4, zorder=2 + i)
        axis.stairs(heights, edges, color=colour, linewidth=1.0, zorder=2 + i)
        tallest = tallest or float(heights.max())
        text = f"s.d. {_short(logs[i])}"
        place: dict[str, Any] = {"xycoords": "axes fraction", "fontsize": 7.5, "color": colour}
        place |= {"ha": "left" if i else "right", "va": "top"}
        axis.annotate(text, (0.01 if i else 0.99, 0.97), **place)
    axis.set_xlim(-REACH, REACH)
    axis.set_ylim(0, ROOM * min(tallest, PEAK))
    axis.set_yticks([])
    axis.tick_params(labelbottom=False)


def _bars(
    points: Mapping[str, Sequence[float]], unit: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Edges of bars in units, and densities of what lies in them; zero is in a bar's middle."""
    shares, edges = np.asarray(points["x"], float), np.asarray(points["y"], float) / unit
    # Shares are read between the points; points that coincide are a step, which needs a width.
    edges = edges + np.arange(len(edges)) * 1e-9
    bars = np.linspace(-BARS - 0.5, BARS + 0.5, 2 * BARS + 2) * (REACH / BARS)
    densities: NDArray[np.float64] = np.diff(np.interp(bars, edges, shares)) / np.diff(bars)
    return bars, densities


def _short(log: float) -> str:
    return f"$10^{{{log:.1f}}}$".replace("-", "−")


def _bands(axis: Any, stages: Sequence[int]) -> None:
    """Ground and name of each stage's layers."""
    for stage in sorted(set(stages)):
        own = [number for number, of in enumerate(stages, 1) if of == stage]
        ground = "#F1F1F1" if stage % 2 else "#FFFFFF"
        axis.axvspan(own[0] - 0.5, own[-1] + 0.5, color=ground, zorder=0, linewidth=0)
        middle = (own[0] + own[-1]) / 2
        place: dict[str, Any] = {"xycoords": ("data", "axes fraction"), "ha": "center"}
        axis.annotate(f"stage {stage}", (middle, 0.02), fontsize=9, color=INK, **place)
    axis.set_xlim(0.5, len(stages) + 0.5)
    axis.margins(y=0.12)


def _powers(axis: Any) -> None:
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    axis.yaxis.set_major_locator(MaxNLocator(nbins=7, integer=True))
    axis.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"$10^{{{y:.0f}}}$"))
    axis.grid(axis="y", color="#DDDDDD", linewidth=0.7)
    axis.set_axisbelow(True)


def _nothing(nets: Mapping[str, Any]) -> Any:
    figure, axis = style.subplots(width=6.4, height=1.6)
    poses.nothing(axis, f"{NOT_KEPT}, or not one of each: {', '.join(nets)}")
    axis.set_axis_off()
    return figure
