"""Error curves as papers draw them: thin in training, bold on test images, nets side by side."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from replab.report import gathering, style
from replab.runs.record import Record

COLOURS = (style.ORANGE, style.BLUE, style.GREEN, style.PURPLE, style.VERMILION)


def errors(
    records: Sequence[Record],
    *,
    panel: str = "{net}",
    line: str = "{net}-{depth}",
    titles: Mapping[str, str] | None = None,
    colours: Sequence[str] = COLOURS,
    printed: Mapping[str, float] | None = None,
    printed_label: str = "the paper's final test error",
) -> Any:
    """Error against iterations: thin in training, bold on test images (He et al. 2016, Fig. 6).

    Lines are means over seeds; faint ones are single seeds. The axis begins at 0 and
    ends where the training error is after a twentieth of the iterations, so that the start does
    not squeeze all that follows.

    Args:
        records: with series `train_error` and `test_error`, in percent.
        panel, line: titles of panels and labels of lines, as in `gathering.panels`.
        titles: titles for panels, in place of their names.
        colours: of a panel's lines.
        printed: label of a line → final test error in the paper, drawn at the right edge.
    """
    sorted_ = gathering.panels(records, panel, line)
    # Plain nets at the left, as in the paper.
    names = sorted(sorted_, key=list(titles or sorted_).index)
    figure, axes = style.subplots(1, len(names), width=4.1 * len(names), height=3.9)
    axes = np.atleast_1d(axes)
    last = max(r.iterations for r in records)
    # 64,000 iterations are 6.4 of 1e4, as in the paper; 1,000 are 10 of 1e2.
    power = math.floor(math.log10(last / 2))
    tops = []
    for axis, name in zip(axes, names, strict=True):
        for colour, (net, runs) in zip(colours, sorted_[name].items(), strict=False):
            x, train = _seeds(runs, "train_error")
            tops.append(np.interp(last / 20, x, train.mean(0)))
            axis.plot(x / 10**power, train.mean(0), color=colour, linewidth=0.9, alpha=0.8)
            x, test = _seeds(runs, "test_error")
            # Each seed by itself: one that does not learn would hide in a band.
            axis.plot(x / 10**power, test.T, color=colour, linewidth=1.6, alpha=0.3)
            shown = f"{net} (n = {len(runs)})"
            axis.plot(x / 10**power, test.mean(0), color=colour, linewidth=2.4, label=shown)
            if printed and net in printed:
                place = {"color": colour, "markerfacecolor": "none", "clip_on": False}
                axis.plot([last / 10**power], [printed[net]], "D", markersize=7, **place)
        axis.set(title=(titles or {}).get(name, name), xlabel=f"iteration (1e{power})")
        axis.set_xlim(0, last / 10**power)
        axis.legend(loc="best")
    for axis in axes:
        axis.set_ylim(0, 5 * math.ceil(max(tops) / 5))
        axis.grid(axis="y", color="#DDDDDD", linewidth=0.6)
        axis.set_axisbelow(True)
    axes[0].set_ylabel("error (%)")
    figure.legend(handles=_key(bool(printed), printed_label), loc="outside lower center", ncols=3)
    return figure


def _seeds(records: Sequence[Record], series: str) -> tuple[Any, Any]:
    """The places of a series, and its values, a row a seed."""
    return (
        np.asarray(records[0].series[series]["x"], dtype=float),
        np.array([r.series[series]["y"] for r in records], dtype=float),
    )


def _key(printed: bool, printed_label: str) -> list[Any]:
    from matplotlib.lines import Line2D

    grey = "#555555"
    key = [
        Line2D([], [], color=grey, linewidth=0.9, label="training error"),
        Line2D([], [], color=grey, linewidth=2.4, label="test error (faint: each seed)"),
    ]
    if printed:
        mark: dict[str, Any] = {"marker": "D", "linestyle": "", "markerfacecolor": "none"}
        key.append(Line2D([], [], color=grey, label=printed_label, **mark))
    return key
