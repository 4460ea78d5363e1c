"""Figures of ablations: seeds paired along the variants, and what the paper prints of them."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from replab.claims.statistics import combine_by_seed, estimate
from replab.report import poses, style
from replab.report.poses import INK, PAPER
from replab.runs.record import Record


def ablation(
    records: Iterable[Record],
    steps: Mapping[str, str],
    *,
    ylabel: str,
    along: str | None = None,
    metric: str = "ap",
    where: Mapping[str, Any] | None = None,
    base: str | None = None,
    printed: Mapping[str, Mapping[str, float]] | None = None,
    printed_title: str = "the paper",
    printed_ylabel: str = "AP (%)",
) -> Any:
    """Variants side by side, paired by seed: each seed a thin line, their mean, paired gains.

    The first panel holds the seeds and the mean with its 95 % t-interval; the second each step's
    difference from `base`, seed by seed, whose interval is the one that decides, since what a
    seed does to all variants alike falls out; the third, with its own axis, what the paper prints.

    Args:
        records: of one training a seed and step.
        steps: value of `along`, or a metric where `along` is None → its label, in order.
        ylabel: what the metric is, with its unit.
        along: key of the variants that makes the steps; None if a record holds all steps.
        metric: in every record, where `along` is given.
        where: values that a variant must have; several in a tuple, None for not having the key.
        base: the step that the others are compared with; the first by default.
        printed: name of a line → step → the paper's number.
        printed_title: title of the paper's panel.
        printed_ylabel: its axis.

    Raises:
        ValueError: two records stand for one seed and step.
    """
    values = _by_step(records, steps, along, metric, where or {})
    base = base or next(iter(steps))
    panels = 3 if printed else 2
    figure, axes = style.subplots(1, panels, width=1.2 + 3.0 * panels, height=3.6)
    _seeds(axes[0], values, ylabel)
    axes[0].set_title("ours")
    _gains(axes[1], values, base, ylabel)
    axes[1].set_title(f"ours, less “{_one_line(steps[base])}”, by seed")
    if printed:
        for i, (name, numbers) in enumerate(printed.items()):
            at = [(x, numbers[step]) for x, step in enumerate(steps) if step in numbers]
            look = {"color": (INK, "#999999", "#222222")[i % 3], "marker": "oDs"[i % 3]}
            hollow = {"markerfacecolor": "none", "markersize": 8, "linewidth": 0.9}
            axes[2].plot(*zip(*at, strict=True), label=name, **hollow, **look)
            for x, y in at:
                place = {"textcoords": "offset points", "ha": "center", "fontsize": 8}
                place["bbox"] = {**PAPER, "facecolor": "#F7F7F7"}
                # The first line's numbers stand below, the others' above.
                up = 8 if i or len(printed) == 1 else -8
                vertical = "bottom" if up > 0 else "top"
                axes[2].annotate(f"{y:.1f}", (x, y), (0, up), va=vertical, color=INK, **place)
        axes[2].set(title=printed_title, ylabel=printed_ylabel)
        axes[2].margins(y=0.2)
        axes[2].legend(loc="best", fontsize=8)
        axes[2].set_facecolor("#F7F7F7")
    for axis in axes:
        axis.set_xticks(range(len(steps)), list(steps.values()))
        axis.set_xlim(-0.5, len(steps) - 0.5)
        axis.grid(axis="y", color="#E4E4E4", linewidth=0.7)
        axis.set_axisbelow(True)
    return figure


def _by_step(
    records: Iterable[Record],
    steps: Iterable[str],
    along: str | None,
    metric: str,
    where: Mapping[str, Any],
) -> dict[str, dict[int, float]]:
    """step → seed → number; a step that was not run is empty."""
    values: dict[str, dict[int, float]] = {step: {} for step in steps}
    for record in sorted(records, key=lambda r: r.seed):
        if not all(_fits(record, key, value) for key, value in where.items()):
            continue
        for step, found in values.items():
            name = step if along is None else metric
            fits = along is None or str(record.variant.get(along)) == step
            if not fits or name not in record.metrics:
                continue
            if record.seed in found:
                raise ValueError(
                    f"two records of seed {record.seed} stand for {step}; use `where`"
                )
            found[record.seed] = float(record.metrics[name])
    return values


def _fits(record: Record, key: str, value: Any) -> bool:
    """Whether a record's variant has a value, or one of several."""
    return record.variant.get(key) in (value if isinstance(value, tuple) else (value,))


def _seeds(axis: Any, values: Mapping[str, Mapping[int, float]], ylabel: str) -> None:
    seeds = sorted(set().union(*values.values()))
    axis.set_ylabel(ylabel)
    if not seeds:
        poses.nothing(axis)
        return
    for i, seed in enumerate(seeds):
        line = [found.get(seed, np.nan) for found in values.values()]
        look = {"color": style.SKY, "linewidth": 0.9, "marker": "o", "markersize": 3}
        label = f"each seed (n = {len(seeds)})" if i == 0 else None
        axis.plot(range(len(line)), line, alpha=0.9, label=label, **look)
    _means(axis, list(values.values()), "mean, 95 % interval")
    axis.legend(loc="best", fontsize=8)


def _gains(axis: Any, values: Mapping[str, Mapping[int, float]], base: str, ylabel: str) -> None:
    axis.set_ylabel(f"difference in {ylabel.replace('%', 'points')}")
    common = {step: set(found) & set(values[base]) for step, found in values.items()}
    if not any(seeds for step, seeds in common.items() if step != base):
        poses.nothing(axis)
        return
    axis.axhline(0, color=style.BLACK, linewidth=0.9, zorder=1)
    gains = [
        combine_by_seed([found], [values[base]]) if common[step] and step != base else {}
        for step, found in values.items()
    ]
    for x, found in enumerate(gains):
        look = {"color": style.SKY, "linestyle": "", "marker": "o", "markersize": 3}
        axis.plot([x] * len(found), list(found.values()), **look)
    _means(axis, gains, None)
    for x, (step, found) in enumerate(zip(values, gains, strict=True)):
        if not found:
            why = "base" if step == base else "not run"
            place: dict[str, Any] = {"textcoords": "offset points", "ha": "center"}
            axis.annotate(why, (x, 0), (0, 3), fontsize=8, color=INK, **place)


def _means(axis: Any, steps: Sequence[Mapping[int, float]], label: str | None) -> None:
    """Mean and interval of each step, a little aside, so that they cover no seed."""
    for x, found in enumerate(steps):
        if not found:
            continue
        mean = estimate(list(found.values()))
        place = x + 0.14
        if mean.n > 1:
            axis.plot([place] * 2, [mean.low, mean.high], color=style.BLUE, linewidth=1.8)
        axis.plot([place], [mean.mean], "D", color=style.BLUE, markersize=6, label=label)
        label = None


def _one_line(label: str) -> str:
    return " ".join(label.split())
