"""Points of a paper's figures: read with their provenance, drawn beneath ours."""

import matplotlib as mpl
import numpy as np
import pytest

from made_records import made_record
from replab.errors import UserError
from replab.report import digitised, networks, poses

mpl.use("Agg")
TABLE = """\
# Fig. 6, AP against input size
# read off with ±0.1
model,height,width,ap,sure
sb,128,96,59.2,D
sb,256,192,70.4,P
hr,128,96,65.5,D
hr,192,128,70.9,D
hr,256,192,74.4,P
"""
OPTIONS = {"x": "{height}×{width}", "line": "{model}", "xlabel": "input size (px)"}
WORDS = {
    "hr": "HRNet",
    "sb": "SimpleBaseline",
    "w32": "HRNet",
    "256x192": "256×192",
    "128x96": "128×96",
}


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    import matplotlib.pyplot as plt

    plt.close("all")


@pytest.fixture
def points(tmp_path):
    (tmp_path / "fig.csv").write_text(TABLE)
    return digitised.read_points(tmp_path / "fig.csv")


def run(seed, ap, **variant):
    return made_record(variant, seed, metrics={"ap": ap})


OURS = [
    *(run(seed, 74.0 + seed, net="w32", input="256x192") for seed in (0, 1, 2)),
    run(0, 65.0, net="w32", input="128x96"),
]


def means(axis):
    """Ours: the lines with white-rimmed markers."""
    return [line for line in axis.lines if line.get_markeredgecolor() == "white"]


def test_points_are_read_with_their_provenance(points):
    assert points.provenance == "Fig. 6, AP against input size read off with ±0.1"
    assert len(points.rows) == 5
    assert points.rows[0] == {
        "model": "sb",
        "height": "128",
        "width": "96",
        "ap": "59.2",
        "sure": "D",
    }


@pytest.mark.parametrize(
    ("text", "problem"),
    [("a,b\n1,2\n3\n", "fig.csv: '3' has 1 cells, not 2"), ("# nothing\n", "fig.csv: no points")],
)
def test_faulty_files_are_said_in_one_line(tmp_path, text, problem):
    (tmp_path / "fig.csv").write_text(text)
    with pytest.raises(UserError, match=problem) as error:
        digitised.read_points(tmp_path / "fig.csv", shown_as="curves/fig.csv")
    assert "\n" not in str(error.value)
    with pytest.raises(UserError, match=r"curves/none\.csv"):
        digitised.read_points(tmp_path / "none.csv", shown_as="curves/none.csv")


def test_lines_beneath_ours(points):
    figure = digitised.beneath(OURS, points, words=WORDS, **OPTIONS)
    figure.canvas.draw()
    (axis,) = figure.axes
    # Places stand in the file's order, those that only the second net has behind the first's.
    assert [t.get_text() for t in axis.get_xticklabels()] == ["128×96", "256×192", "192×128"]
    hollow = [line for line in axis.lines if line.get_markerfacecolor() == "white"]
    # Printed points are diamonds, those read off circles.
    assert {(line.get_marker(), tuple(line.get_ydata())) for line in hollow} == {
        ("D", (70.4,)),
        ("o", (59.2,)),
        ("D", (74.4,)),
        ("o", (65.5, 70.9)),
    }
    (ours,) = means(axis)
    assert list(ours.get_xdata()) == [0, 1]
    assert list(ours.get_ydata()) == [65, 75]
    # One network has one colour, the paper's and ours.
    (theirs,) = {line.get_color() for line in hollow if 74.4 in line.get_ydata()}
    assert ours.get_color() == theirs
    assert ours.get_zorder() > max(line.get_zorder() for line in hollow)
    (interval,) = [
        line.get_ydata()
        for line in axis.lines
        if line.get_marker() == "None" and line.get_linewidth() > 1.7
    ]
    half = 4.30265 / np.sqrt(3)
    np.testing.assert_allclose(interval, [75 - half, 75 + half], atol=1e-4)


def test_no_line_runs_across_a_place_that_was_not_run(points):
    records = [run(0, 65.0, net="w32", input="128x96"), run(0, 70.5, net="w32", input="192×128")]
    (axis,) = digitised.beneath(records, points, words=WORDS, **OPTIONS).axes
    (ours,) = means(axis)
    assert list(ours.get_xdata()) == [0, 1, 2]
    assert np.isnan(ours.get_ydata()[1])


def test_no_records_leave_the_paper_alone(points):
    figure = digitised.beneath([], points, words=WORDS, **OPTIONS)
    (axis,) = figure.axes
    assert not means(axis)
    assert [t.get_text() for t in figure.legends[0].get_texts()] == [
        "the paper: SimpleBaseline",
        "the paper: HRNet",
        "the paper: read off the figure",
    ]
    assert (axis.get_xlabel(), axis.get_ylabel()) == ("input size (px)", "AP (%)")


HEADS = {"ap_1x": "1×", "ap_2x": "2×"}
BARS = digitised.Points(
    "",
    (
        {"model": "W32", "resolution": "1×", "ap": "74.40", "sure": "P"},
        {"model": "W32", "resolution": "2×", "ap": "68.90", "sure": "D"},
        {"model": "W48", "resolution": "1×", "ap": "75.10", "sure": "P"},
    ),
)
BAR_OPTIONS = {"x": "{resolution}", "line": "{model}", "xlabel": "resolution", "bars": True}


def test_bars_beneath_ours_of_several_metrics():
    records = [made_record({"net": "W48"}, 0, metrics={"ap_1x": 75.0, "ap_2x": 69.0})]
    (axis,) = digitised.beneath(records, BARS, metrics=HEADS, **BAR_OPTIONS).axes
    shown = [(round(b.get_x() + b.get_width() / 2, 3), b.get_height()) for b in axis.patches]
    assert shown == [(-0.2, 74.4), (0.8, 68.9), (0.2, 75.1)]
    assert [bar.get_hatch() for bar in axis.patches] == [None, "///", None]
    assert [t.get_text() for t in axis.texts] == ["74.4", "68.9", "75.1"]
    # Ours stand over the bars of their own network, also where the paper has none.
    (ours,) = means(axis)
    assert list(ours.get_xdata()) == [0.2, 1.2]
    assert list(ours.get_ydata()) == [75, 69]
    assert ours.get_linestyle() == "None"


def test_other_scales_stand_apart():
    records = [
        made_record({}, seed, metrics={"ap_1x": 40.0 + seed, "ap_2x": 30.0}) for seed in (0, 1)
    ]
    options = {"metrics": HEADS, "apart": "ours, scaled down", **BAR_OPTIONS}
    theirs, ours = digitised.beneath(records, BARS, record_line="ours", **options).axes
    assert (theirs.get_title(), ours.get_title()) == ("the paper", "ours, scaled down")
    assert not means(theirs)
    assert list(means(ours)[0].get_ydata()) == [40.5, 30]
    assert not ours.patches
    assert ours.get_ylim()[1] < 60
    _, empty = digitised.beneath([], BARS, **options).axes
    assert [t.get_text() for t in empty.texts] == ["not run in this profile"]


def test_released_weights_stand_over_the_points_of_their_networks(points):
    """A variant's value is taken apart; what `where` leaves out is not drawn."""
    records = [
        made_record(
            {"weights": weights, "boxes": boxes},
            0,
            metrics={"ap": ap, "ap_low": ap - 1, "ap_high": ap + 1},
        )
        for weights, boxes, ap in (
            ("hr-128x96", "detections", 65.0),
            ("hr-256x192", "detections", 74.0),
            ("hr-256x192", "gt", 76.0),
            ("sb-256x192", "detections", 70.0),
            ("other-256x192", "detections", 10.0),
        )
    ]
    figure = digitised.beneath(
        records,
        points,
        words=WORDS,
        where={"boxes": "detections", "weights": ("hr-128x96", "hr-256x192", "sb-256x192")},
        parts={"weights": "{net}-{input}"},
        title="Claim",
        **OPTIONS,
    )
    figure.canvas.draw()
    (axis,) = figure.axes
    assert [t.get_text() for t in axis.get_xticklabels()] == ["128×96", "256×192", "192×128"]
    assert sorted(list(line.get_ydata()) for line in means(axis)) == [[65, 74], [70]]
    ends = [
        list(line.get_ydata())
        for line in axis.lines
        if line.get_marker() == "None" and line.get_linewidth() > 1.7
    ]
    assert sorted(ends) == [[64, 66], [69, 71], [73, 75]]
    assert figure.get_suptitle() == "Claim"
    assert "95 %" in figure.legends[0].get_title().get_text()
    # Two lines of ours stand a little aside of each other, at the same places.
    ends = [line.get_xdata() for line in means(axis)]
    assert sorted(x[-1] for x in ends) == pytest.approx([0.955, 1.045])


def test_a_value_of_another_form_is_a_mistake(points):
    records = [made_record({"weights": "plain"}, 0, metrics={"ap": 1.0})]
    with pytest.raises(ValueError, match=r"weights=plain is not of the form \{net\}-\{input\}"):
        digitised.beneath(records, points, parts={"weights": "{net}-{input}"}, **OPTIONS)


def test_networks_have_their_names_and_colours_without_being_told():
    row = {"model": "hrnet-w32", "height": "128", "width": "96", "ap": "65.5", "sure": "D"}
    sized = digitised.Points("", (row, {**row, "model": "simplebaseline-r50", "ap": "59.2"}))
    options = {**OPTIONS, "x": "{height}x{width}"}
    figure = digitised.beneath([], sized, **options)
    (axis,) = figure.axes
    assert [t.get_text() for t in axis.get_xticklabels()] == ["128×96"]
    names = ["HRNet-W32", "SimpleBaseline-50"]
    words = [t.get_text() for t in figure.legends[0].get_texts()]
    assert words[:2] == [f"the paper: {name}" for name in names]
    colours = {line.get_color() for line in axis.lines}
    assert colours == {networks.look(name)["color"] for name in names}
    assert figure.legends[0].get_title().get_text() == poses.NOT_ATTEMPTED
