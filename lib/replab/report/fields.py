"""Figure of a score against the receptive field of the nets that reach it."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from replab.claims.statistics import estimate
from replab.report import gathering, measures, poses, style
from replab.report.ablations import FAINT
from replab.runs.record import Record


def against_field(
    records: Iterable[Record],
    nets: Sequence[str],
    *,
    metric: str,
    ylabel: str,
    where: Mapping[str, Any] | None = None,
    title: str = "",
) -> Any:
    """A score against the last stage's receptive field, each seed a line, mean and 95 % interval.

    Fields are computed from the nets' options in the records' recipes. Above each point stands
    how many parameters the net has: they should be about the same.

    Args:
        records: of trainings whose recipe holds `nets`, options of `replab.models.create` by the
            variants' `net`.
        nets: which of them.
        metric: in percent.
        ylabel: what it is, with its unit.
        where: further values that a variant must have, as `gathering.fits` takes them.
        title: of the figure: the claim.
    """
    some = [
        r
        for r in records
        if r.variant.get("net") in nets and metric in r.metrics and gathering.fits(r, where or {})
    ]
    figure, axis = style.subplots(width=6.4, height=3.7)
    if title:
        axis.set_title(title)
    axis.set_xlabel("receptive field of the last stage (px of the input)")
    axis.set_ylabel(ylabel)
    if not some:
        poses.nothing(axis)
        return figure
    places = {str(r.variant["net"]): _field(r) for r in some}
    scores: dict[str, dict[int, float]] = {name: {} for name in sorted(places, key=places.get)}  # type: ignore[arg-type]
    for record in some:
        scores[str(record.variant["net"])][record.seed] = float(record.metrics[metric])
    seeds = sorted({record.seed for record in some})
    for i, seed in enumerate(seeds):
        line = [(places[name], found[seed]) for name, found in scores.items() if seed in found]
        label = f"each seed (n = {len(seeds)})" if i == 0 else None
        look = {"color": FAINT, "linewidth": 0.9, "marker": "o", "markersize": 3}
        axis.plot(*np.array(line).T, label=label, **look)
    means = {name: estimate(list(found.values())) for name, found in scores.items()}
    spots = [places[name] for name in means]
    for spot, mean in zip(spots, means.values(), strict=True):
        if mean.n > 1:
            axis.plot([spot] * 2, [mean.low, mean.high], color=style.BLUE, linewidth=1.8)
    centres = [mean.mean for mean in means.values()]
    axis.plot(spots, centres, "D", color=style.BLUE, markersize=6, label="mean, 95 % interval")
    params = {str(r.variant["net"]): float(r.metrics["params"]) for r in some}
    for spot, name, mean in zip(spots, means, means.values(), strict=True):
        top = max(mean.high, *scores[name].values()) if mean.n > 1 else mean.mean
        place: dict[str, Any] = {"textcoords": "offset points", "ha": "center", "va": "bottom"}
        axis.annotate(_count(params[name]), (spot, top), (0, 5), fontsize=8, **place)
    sets = measures.axis_label(some, metric).partition(" on ")[2]
    axis.annotate(
        f"parameters above each point; scored on {sets.removesuffix(' (%)')}",
        (0, -0.21),
        xycoords="axes fraction",
        fontsize=8,
        color=poses.INK,
    )
    axis.margins(y=0.15)
    axis.legend(loc="lower right", fontsize=8.5)
    axis.grid(axis="y", color="#E4E4E4", linewidth=0.7)
    axis.set_axisbelow(True)
    return figure


def _field(record: Record) -> int:
    """The last stage's field in px of the input, by arithmetic."""
    import torch

    from replab import models
    from replab.models.receptive_fields import by_arithmetic

    options = dict(record.recipe["nets"][record.variant["net"]])
    options = {key: value for key, value in options.items() if key not in ("input", "sigma")}
    options["stages"] = record.variant["stages"]
    with torch.device("meta"):
        net: Any = models.create(options.pop("model"), **options)
    return by_arithmetic(net, net.last_layers[-1]).size


def _count(number: float) -> str:
    return f"{number / 1e6:.1f} M" if number >= 1e6 else f"{number / 1e3:.0f} k"
