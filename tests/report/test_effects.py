"""Effect sizes: differences are of pairs, and the paper's stand beneath ours."""

import matplotlib as mpl
import numpy as np
import pytest

from made_records import made_record
from replab.report import effects

mpl.use("Agg")
T2 = 4.30265 / np.sqrt(3)  # Student's t of three values, over the root of their number
AP = {"a": (30.0, 32.0, 34.0), "b": (28.0, 30.5, 31.5), "g": (10.0, 12.0, 14.0)}
RECORDS = [
    made_record({"row": row}, seed, metrics={"ap": values[seed]})
    for row, values in AP.items()
    for seed in (2, 0, 1)
]
FACTORS = {"input size": {"g": "half the input"}, "head": {"b": "two layers", "c": "kernel 2"}}
PRINTED = {"a": 70.4, "b": 67.9, "c": 70.1, "g": 60.6}
MEASURE = "e[row={}].ap"


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    import matplotlib.pyplot as plt

    plt.close("all")


def draw(records=RECORDS, **changes):
    options = {
        "factors": FACTORS,
        "measures": {"on People": MEASURE},
        "printed": PRINTED,
        "base": "a",
        "xlabel": "change in AP (points)",
    }
    figure = effects.effects(records, **options | changes)
    figure.canvas.draw()
    return figure


def dots(axis, *, hollow=False, size=None):
    """x and y of the marks of one kind."""
    return [
        (list(map(float, line.get_xdata())), float(line.get_ydata()[0]))
        for line in axis.lines
        if line.get_marker() == "o"
        and (line.get_markerfacecolor() == "none") == hollow
        and (size is None or line.get_markersize() == size)
    ]


def test_gains_are_paired_by_seed():
    found = effects.gains(RECORDS, MEASURE, ["b", "c", "g"], "a")
    assert found == {"b": {0: -2.0, 1: -1.5, 2: -2.5}, "g": {0: -20.0, 1: -20.0, 2: -20.0}}


def test_seeds_without_a_partner_are_left_out():
    some = [r for r in RECORDS if not (r.variant["row"] == "a" and r.seed == 1)]
    assert set(effects.gains(some, MEASURE, ["b"], "a")["b"]) == {0, 2}
    none = [r for r in RECORDS if r.variant["row"] != "a"]
    assert effects.gains(none, MEASURE, ["b", "g"], "a") == {}


def test_rows_may_have_selectors_of_their_own():
    found = effects.gains(RECORDS, {"b": "e[row=b].ap", "a": "e[row=a].ap"}, ["b", "g"], "a")
    assert found == {"b": {0: -2.0, 1: -1.5, 2: -2.5}}
    assert effects.gains(RECORDS, {"b": "e[row=b].ap"}, ["b"], "a") == {}


def test_two_records_for_one_number_are_refused():
    with pytest.raises(ValueError, match="fits two runs of seed 0"):
        effects.gains(
            [*RECORDS, made_record({"row": "b"}, 0, metrics={"ap": 1.0})], MEASURE, "b", "a"
        )


def test_ours_lies_over_the_paper_s():
    (axis,) = draw().axes
    means = dots(axis, size=6)
    assert [x[0] for x, _ in means] == pytest.approx([-20.0, -2.0])
    papers = dots(axis, hollow=True)
    assert [x[0] for x, _ in papers] == pytest.approx([-9.8, -2.5, -0.3])
    # The y axis runs downwards: the paper's ring is below ours, and no further than half a row.
    for (_, own), (_, theirs) in zip(means, papers, strict=False):
        assert 0 < theirs - own < 0.5
    intervals = [
        list(line.get_xdata())
        for line in axis.lines
        if line.get_marker() == "None" and len(set(line.get_ydata())) == 1
    ]
    half = T2 * np.std([-2.0, -1.5, -2.5], ddof=1)
    np.testing.assert_allclose(intervals, [[-20, -20], [-2 - half, -2 + half]], atol=1e-4)
    assert axis.get_xlabel() == "change in AP (points)"


def test_numbers_and_names_stand_beside_the_rows():
    (axis,) = draw().axes
    words = [t.get_text() for t in axis.texts]
    assert words == ["−9.8", "−20.0 [−20.0, −20.0]", "−2.5", "−2.0 [−3.2, −0.8]", "−0.3"]
    labels = axis.get_yticklabels()
    assert [t.get_text() for t in labels] == [
        "input size",
        "half the input",
        "head",
        "two layers",
        "kernel 2",
    ]
    assert [t.get_fontweight() for t in labels] == ["bold", "normal", "bold", "normal", "normal"]
    assert axis.get_ylim()[0] > axis.get_ylim()[1]


def test_legend_names_the_series_that_were_run():
    other = {"on People": MEASURE, "on COCO": "coco[row={}].ap"}
    (legend,) = draw(measures=other, printed_label="Table 1").legends
    words = [t.get_text() for t in legend.get_texts()]
    assert words == ["on People, n = 3, 95 % interval", "Table 1"]


def test_two_series_have_lanes_of_their_own():
    twice = {"on People": MEASURE, "again": "e[row={}].ar"}
    both = [
        made_record(r.variant, r.seed, metrics={"ap": r.metrics["ap"], "ar": r.metrics["ap"] / 2})
        for r in RECORDS
    ]
    (axis,) = draw(both, measures=twice).axes
    squares = [line for line in axis.lines if line.get_marker() == "s"]
    colours = {line.get_color() for line in squares}
    assert len(colours) == 1
    assert colours.isdisjoint({ln.get_color() for ln in axis.lines if ln.get_marker() == "o"})
    heights = {float(line.get_ydata()[0]) for line in squares}
    assert heights.isdisjoint({y for _, y in dots(axis, size=6)})


def test_nothing_run_leaves_the_paper_alone():
    figure = draw([])
    assert dots(figure.axes[0], size=6) == []
    assert len(dots(figure.axes[0], hollow=True)) == 3
    assert figure.legends[0].get_title().get_text() == "ours: not attempted in this profile"


def test_one_run_has_no_interval():
    (axis,) = draw([r for r in RECORDS if r.seed == 0]).axes
    assert [t.get_text() for t in axis.texts] == ["−9.8", "−20.0", "−2.5", "−2.0", "−0.3"]
    assert not [
        line
        for line in axis.lines
        if line.get_marker() == "None" and len(set(line.get_ydata())) == 1
    ]


def test_a_row_that_the_paper_does_not_print_is_an_error():
    with pytest.raises(KeyError, match="c"):
        draw(printed={k: v for k, v in PRINTED.items() if k != "c"})


def test_a_rounded_zero_has_no_sign():
    records = [
        made_record({"row": row}, 0, metrics={"ap": ap}) for row, ap in (("a", 9.02), ("g", 9.0))
    ]
    (axis,) = draw(records).axes
    assert "0.0" in [t.get_text() for t in axis.texts]
