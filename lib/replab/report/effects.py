"""Figure of effect sizes: what each factor of an ablation is worth, ours over the paper's."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from replab.claims import selectors
from replab.claims.statistics import combine_by_seed, estimate
from replab.report import style
from replab.report.poses import COLOURS, INK, MARKERS
from replab.runs.record import Record

Values = Mapping[str, Mapping[int, float]]
Measure = str | Mapping[str, str]
# Between the lanes of one row, of which each series has one and the paper the last, in rows.
LANE = 0.3
PAPER_LABEL = "the paper"


def gains(records: Iterable[Record], measure: Measure, rows: Sequence[str], base: str) -> Values:
    """row → seed → its number less the base's of the same seed; rows that were not run are absent.

    Args:
        measure: selector with `{}` for the row, or row → selector where some rows have none.
        rows: of the ablation, the base or not.
        base: the row that the others depart from.

    Raises:
        ValueError: a selector is malformed, or two records of one seed stand for one number.
    """
    known = list(records)
    found: dict[str, dict[int, float]] = {}
    for row in dict.fromkeys((*rows, base)):
        text = measure.format(row) if isinstance(measure, str) else measure.get(row)
        found[row] = selectors.values(selectors.parse(text), known) if text else {}
    return {
        row: combine_by_seed([found[row]], [found[base]])
        for row in rows
        if set(found[row]) & set(found[base])
    }


def effects(
    records: Iterable[Record],
    *,
    factors: Mapping[str, Mapping[str, str]],
    measures: Mapping[str, Measure],
    printed: Mapping[str, float],
    base: str,
    xlabel: str,
    printed_label: str = PAPER_LABEL,
) -> Any:
    """What each departure from a base changes, grouped by factor: ours full, the paper's hollow.

    Each seed's difference from the base of the same seed is a small dot; their mean and its 95 %
    t-interval lie over them. The paper's difference is a hollow ring beneath. Both stand as
    numbers at the right. What no record of this profile holds is left out; the paper's stay.

    Args:
        records: of any experiments.
        factors: name of a factor → row of the ablation → what it changes, in words.
        measures: what ours is → its numbers, as of `gains`; those without records are left out.
        printed: row → the paper's number, the base among them.
        base: the row that the others depart from.
        xlabel: what the differences are, with their unit.
        printed_label: what the paper's is.

    Raises:
        ValueError: a selector is malformed, or two records of one seed stand for one number.
        KeyError: the paper's number of a row or of the base is not given.
    """
    known = list(records)
    rows = [row for steps in factors.values() for row in steps]
    ours = {name: gains(known, measure, rows, base) for name, measure in measures.items()}
    looks = {name: _look(i) for i, name in enumerate(ours) if ours[name]}
    lines = len(rows) + len(factors)
    tall = 0.30 + 0.10 * len(looks)
    figure, axis = style.subplots(width=8.6, height=1.2 + tall * lines)
    places: list[float] = []
    names: list[str] = []
    for factor, steps in factors.items():
        places.append(float(len(places)))
        names.append(factor)
        for row, words in steps.items():
            places.append(float(len(places)))
            names.append(words)
            _paper(axis, printed[row] - printed[base], _lane(places[-1], len(looks), len(looks)))
            for i, (name, look) in enumerate(looks.items()):
                if row in ours[name]:
                    _ours(axis, ours[name][row], _lane(places[-1], i, len(looks)), look)
    axis.axvline(0, color=style.BLACK, linewidth=0.9, zorder=1)
    axis.set_yticks(places, names)
    for label in axis.get_yticklabels():
        heading = label.get_text() in factors
        label.set(fontweight="bold" if heading else "normal")
    axis.set_ylim(lines - 0.4, -0.6)
    axis.tick_params(axis="y", length=0)
    axis.set_xlabel(xlabel)
    axis.margins(x=0.06)
    axis.grid(axis="x", color="#E4E4E4", linewidth=0.7)
    axis.set_axisbelow(True)
    _legend(figure, looks, ours, printed_label)
    return figure


def _look(number: int) -> dict[str, Any]:
    return {
        "color": COLOURS[number % len(COLOURS)],
        "marker": MARKERS[number % len(MARKERS)],
        "linestyle": "",
    }


def _lane(place: float, lane: int, last: int) -> float:
    """Height of a lane: the series above, the paper in the last one."""
    return place + LANE * (lane - last / 2)


def _ours(axis: Any, found: Mapping[int, float], at: float, look: Mapping[str, Any]) -> None:
    values = list(found.values())
    mean = estimate(values)
    words = _signed(mean.mean)
    if mean.n > 1:
        axis.plot(values, [at] * len(values), **{**look, "markersize": 3, "alpha": 0.45})
        bar = {"color": look["color"], "linewidth": 1.8, "zorder": 3}
        axis.plot([mean.low, mean.high], [at, at], **bar)
        words += f" [{_signed(mean.low)}, {_signed(mean.high)}]"
    axis.plot([mean.mean], [at], **{**look, "markersize": 6, "zorder": 4})
    _write(axis, words, at, style.BLACK)


def _paper(axis: Any, difference: float, at: float) -> None:
    hollow = {"markerfacecolor": "none", "markersize": 8, "markeredgewidth": 1.2}
    axis.plot([difference], [at], marker="o", color=INK, linestyle="", zorder=2, **hollow)
    _write(axis, _signed(difference), at, INK)


def _write(axis: Any, words: str, at: float, colour: str) -> None:
    place: dict[str, Any] = {"xycoords": ("axes fraction", "data"), "va": "center"}
    axis.annotate(words, (1.02, at), fontsize=7.5, color=colour, ha="left", **place)


def _signed(value: float) -> str:
    """A difference to one digit with its sign; one that rounds to nothing has none."""
    rounded = round(value, 1)
    return f"{rounded:+.1f}".replace("-", "−") if rounded else "0.0"


def _legend(
    figure: Any,
    looks: Mapping[str, Mapping[str, Any]],
    ours: Mapping[str, Values],
    printed_label: str,
) -> None:
    from matplotlib.lines import Line2D

    handles = []
    for name, look in looks.items():
        seeds = set().union(*ours[name].values())
        over = f", n = {len(seeds)}, 95 % interval" if len(seeds) > 1 else ""
        handles.append(Line2D([], [], label=f"{name}{over}", markersize=6, **look))
    hollow: dict[str, Any] = {"markerfacecolor": "none", "markersize": 8, "linestyle": ""}
    handles.append(Line2D([], [], marker="o", color=INK, label=printed_label, **hollow))
    absent = None if looks else "ours: not attempted in this profile"
    figure.legend(
        handles=handles,
        loc="outside lower center",
        ncols=min(2, len(handles)),
        title=absent,
        title_fontsize=8,
        fontsize=8,
    )
