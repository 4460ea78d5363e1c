"""Figures of ablations: seeds paired along the variants, and what the paper prints of them."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from replab.claims.statistics import combine_by_seed, estimate
from replab.report import gathering, measures, networks, poses, style
from replab.report.poses import INK, PAPER
from replab.runs.record import Record

# Of single seeds, which belong to several variants and so have no network's colour.
FAINT = "#8C8C8C"


def ablation(
    records: Iterable[Record],
    steps: Mapping[str, str],
    *,
    along: str | None = None,
    metric: str | None = None,
    ylabel: str | None = None,
    where: Mapping[str, Any] | None = None,
    base: str | None = None,
    network: str = "",
    title: str = "",
    printed: Mapping[str, Mapping[str, float]] | None = None,
    printed_title: str = "the paper",
    printed_ylabel: str = "AP (%)",
) -> Any:
    """Variants side by side, paired by seed: each seed a thin line, their mean, paired gains.

    The first panel holds the seeds and the mean with its 95 % t-interval; the second each step's
    difference from `base`, seed by seed, whose interval is the one that decides, since what a
    seed does to all variants alike falls out; the third, with its own axis, what the paper prints.
    Steps that no record has are named below the first panel. Where none has a record, the paper's
    panel stands alone and says so.

    Args:
        records: of one training a seed and step.
        steps: value of `along`, or what `metric` names where `along` is None → label, in order.
        along: key of the variants that makes the steps; None if a record holds all steps.
        metric: with `{measure}` for the score that the records answer by, `measures.measure`, and
            `{step}` for the step; by default the one, or without `along` the other.
        ylabel: what the metric is, with its unit; found from the records by default.
        where: values that a variant must have; several in a tuple, None for not having the key.
        base: the step that the others are compared with; the first by default, or the first that
            was run.
        network: whose steps these are, for their colour; unneeded where labels name networks.
        title: of the figure: the claim.
        printed: name of a line → step → the paper's number.
        printed_title: title of the paper's panel.
        printed_ylabel: its axis.

    Raises:
        ValueError: two records stand for one seed and step.
    """
    some = [r for r in records if gathering.fits(r, where or {})]
    measure = measures.measure(some)
    names = {
        step: (metric or ("{measure}" if along else "{step}")).format(measure=measure, step=step)
        for step in steps
    }
    values = _by_step(some, names, along)
    run = {step: label for step, label in steps.items() if values[step]}
    panels = (2 if run else 0) + bool(printed)
    # Labels of more steps than four need the room.
    each = max(3.0, 0.7 * len(steps))
    figure, axes = style.subplots(
        1,
        max(panels, 1),
        width=(1.2 if run else 2.4) + each * max(panels, 1),
        height=4.0 if run else 3.7,
    )
    axes = list(np.atleast_1d(axes))
    if title:
        figure.suptitle(title, fontsize=11)
    if run:
        shown = {step: values[step] for step in run}
        looks = [networks.look(label) or networks.look(network) or {} for label in run.values()]
        colours = [str(look.get("color", style.BLUE)) for look in looks]
        _seeds(axes[0], shown, colours, ylabel or measures.axis_label(some, measure))
        start = base if base in run else next(iter(run))
        _gains(axes[1], shown, colours, start)
        axes[1].set_title(f"gain over “{_one_line(run[start])}”, by seed", fontsize=10)
        absent = [_one_line(label) for step, label in steps.items() if step not in run]
        if absent:
            axes[0].set_xlabel(f"not run here: {', '.join(absent)}", fontsize=8, color=INK)
        for axis in axes[:2]:
            _places(axis, run)
    if printed:
        _printed(axes[-1], steps, printed)
        axes[-1].set_title(printed_title, fontsize=10)
        axes[-1].set_ylabel(printed_ylabel)
        _places(axes[-1], steps)
        if not run:
            axes[-1].set_xlabel(poses.NOT_ATTEMPTED, color=INK)
    elif not run:
        poses.nothing(axes[0])
        _places(axes[0], steps)
    return figure


def _places(axis: Any, steps: Mapping[str, str]) -> None:
    axis.set_xticks(range(len(steps)), list(steps.values()))
    axis.set_xlim(-0.5, len(steps) - 0.5)
    axis.grid(axis="y", color="#E4E4E4", linewidth=0.7)
    axis.set_axisbelow(True)


def _printed(
    axis: Any, steps: Mapping[str, str], printed: Mapping[str, Mapping[str, float]]
) -> None:
    """What a paper prints of the steps: a hollow line a network, its numbers written beside."""
    looks = networks.looks(printed)
    for i, (name, numbers) in enumerate(printed.items()):
        at = [(x, numbers[step]) for x, step in enumerate(steps) if step in numbers]
        hollow = {"markerfacecolor": "none", "markersize": 8, "linewidth": 0.9}
        axis.plot(*zip(*at, strict=True), label=name, **hollow, **looks[name])
        for x, y in at:
            place: dict[str, Any] = {"textcoords": "offset points", "ha": "center", "fontsize": 8}
            place["bbox"] = {**PAPER, "facecolor": "#F7F7F7"}
            # The first line's numbers stand below, the others' above.
            up = 8 if i or len(printed) == 1 else -8
            vertical = "bottom" if up > 0 else "top"
            axis.annotate(f"{y:.1f}", (x, y), (0, up), va=vertical, color=INK, **place)
    axis.margins(y=0.2)
    axis.legend(loc="best", fontsize=8)
    axis.set_facecolor("#F7F7F7")


def _by_step(
    records: Iterable[Record], names: Mapping[str, str], along: str | None
) -> dict[str, dict[int, float]]:
    """step → seed → number of the metric that is named; a step that was not run is empty."""
    values: dict[str, dict[int, float]] = {step: {} for step in names}
    for record in sorted(records, key=lambda r: r.seed):
        for step, found in values.items():
            fits = along is None or str(record.variant.get(along)) == step
            if not fits or names[step] not in record.metrics:
                continue
            if record.seed in found:
                raise ValueError(
                    f"two records of seed {record.seed} stand for {step}; use `where`"
                )
            found[record.seed] = float(record.metrics[names[step]])
    return values


def _seeds(
    axis: Any,
    values: Mapping[str, Mapping[int, float]],
    colours: Sequence[str],
    ylabel: str,
) -> None:
    seeds = sorted(set().union(*values.values()))
    axis.set_ylabel(ylabel)
    axis.set_title("ours", fontsize=10)
    for i, seed in enumerate(seeds):
        line = [found.get(seed, np.nan) for found in values.values()]
        look = {"color": FAINT, "linewidth": 0.9, "marker": "o", "markersize": 3}
        label = f"each seed (n = {len(seeds)})" if i == 0 else None
        axis.plot(range(len(line)), line, label=label, **look)
    _means(axis, list(values.values()), colours)
    # In no variant's colour, since it stands for all of them.
    (mean,) = axis.plot([], [], "D-", color=INK, markersize=6, linewidth=1.8)
    mean.set_label("mean, 95 % interval")
    # Below the panels: within one, it would cross an interval of some profile or other.
    handles, _ = axis.get_legend_handles_labels()
    axis.figure.legend(handles=handles, loc="outside lower left", ncols=2, fontsize=8)


def _gains(
    axis: Any, values: Mapping[str, Mapping[int, float]], colours: Sequence[str], base: str
) -> None:
    axis.set_ylabel("difference (points)")
    common = {step: set(found) & set(values[base]) for step, found in values.items()}
    if not any(seeds for step, seeds in common.items() if step != base):
        poses.nothing(axis, "nothing to compare with")
        return
    axis.axhline(0, color=style.BLACK, linewidth=0.9, zorder=1)
    gains = [
        combine_by_seed([found], [values[base]]) if common[step] and step != base else {}
        for step, found in values.items()
    ]
    for x, found in enumerate(gains):
        look = {"color": FAINT, "linestyle": "", "marker": "o", "markersize": 3}
        axis.plot([x] * len(found), list(found.values()), **look)
    _means(axis, gains, colours)
    axis.margins(y=0.1)
    # Under the line where the differences lie above it, else over it.
    above = np.mean([value for found in gains for value in found.values()]) > 0
    for x, (step, found) in enumerate(zip(values, gains, strict=True)):
        if not found:
            why = "base" if step == base else "no seed in common"
            place: dict[str, Any] = {"textcoords": "offset points", "ha": "center"}
            place["va"] = "bottom" if above else "top"
            axis.annotate(why, (x, 0), (0, 3 if above else -3), fontsize=8, color=INK, **place)


def _means(axis: Any, steps: Sequence[Mapping[int, float]], colours: Sequence[str]) -> None:
    """Mean and interval of each step, a little aside, so that they cover no seed."""
    for x, (found, colour) in enumerate(zip(steps, colours, strict=True)):
        if not found:
            continue
        mean = estimate(list(found.values()))
        place = x + 0.14
        if mean.n > 1:
            axis.plot([place] * 2, [mean.low, mean.high], color=colour, linewidth=1.8)
        axis.plot([place], [mean.mean], "D", color=colour, markersize=6)


def _one_line(label: str) -> str:
    return " ".join(label.split())
