"""PCK in figures and tables: lines over prints, dots by joint, and what was not measured."""

import dataclasses

import matplotlib as mpl
import numpy as np
import pytest

from made_records import made_record
from replab.report import pck

mpl.use("Agg")

LIMITS = [0.0, 0.05, 0.1, 0.15, 0.2]


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    import matplotlib.pyplot as plt

    plt.close("all")


def record(model, top, **metrics):
    own = [top * x / 0.2 for x in LIMITS]
    series = {"pck": {"x": LIMITS, "y": own}}
    series |= {
        f"pck_{end}": {"x": LIMITS, "y": [value + by for value in own]}
        for end, by in (("low", -2.0), ("high", 1.0))
    }
    made = made_record({"model": model}, 0, metrics={"pck": top, **metrics}, series=series)
    return dataclasses.replace(made, experiment="scores")


RECORDS = [
    record("a", 84.0, pck_low=83.0, pck_high=85.5, head=97.0, ankle=81.0),
    record("b", 90.0, head=98.0),
]
LINES = {"net A": "scores[model=a].pck", "net B": "scores[model=b].pck"}
WAYS = {"net A": "scores[model=a].{}", "net B": "scores[model=b].{}"}
ROWS = {"pck": "all", "head": "head", "ankle": "ankle"}


def lines(axis, marker):
    """Places and heights of the lines with a marker."""
    return [
        (line.get_xdata().tolist(), np.asarray(line.get_ydata()).tolist())
        for line in axis.lines
        if line.get_marker() == marker and isinstance(line.get_xdata(), np.ndarray)
    ]


class TestCurves:
    def test_lines_bands_and_prints(self):
        figure = pck.curves(RECORDS, {"LSP": LINES}, printed={"net A": 84.3, "net B": 90.5})
        figure.canvas.draw()
        (axis,) = figure.axes
        labels = [text.get_text() for text in axis.get_legend().get_texts()]
        assert labels == ["net A", "net B"]
        whole = [pair for pair in lines(axis, "o") if len(pair[0]) > 1]
        assert whole == [(LIMITS, pytest.approx([0, 21, 42, 63, 84]))]
        # Our dot at the printed threshold stands over the print.
        dots = [pair for pair in lines(axis, "o") if len(pair[0]) == 1]
        assert dots == [([0.2], [84.0])]
        hollow = {line.get_ydata()[0]: line for line in axis.lines if line.get_marker() == "D"}
        assert set(hollow) == {84.3, 90.5}
        assert all(line.get_xdata()[0] == 0.2 for line in hollow.values())
        dot = next(line for line in axis.lines if np.array_equal(line.get_ydata(), [84.0]))
        assert dot.get_zorder() > hollow[84.3].get_zorder()
        band = axis.collections[0].get_paths()[0].vertices
        assert band[:, 1].min() == pytest.approx(-2)
        assert band[:, 1].max() == pytest.approx(85)
        assert (axis.get_xlim(), axis.get_ylim()) == ((0, 0.2), (0, 100))
        assert {"84.3", "90.5"} <= {text.get_text() for text in axis.texts}

    def test_numbers_at_the_edge_do_not_overlap(self):
        printed = {"net A": 95.03, "net B": 97.59}
        figure = pck.curves(RECORDS, {"LSP": LINES}, printed=printed)
        figure.canvas.draw()
        low, high = sorted(
            (text.get_window_extent() for text in figure.axes[0].texts), key=lambda box: box.y0
        )
        assert low.y1 <= high.y0 + 1

    def test_what_was_not_measured_shows_the_print_alone(self):
        panels = {"LSP": LINES, "FLIC": {"net C": "scores[model=c].pck"}}
        figure = pck.curves(RECORDS, panels, printed={"net C": 95.0})
        figure.canvas.draw()
        _, empty = figure.axes
        assert [line.get_marker() for line in empty.lines] == ["D"]
        assert {text.get_text() for text in empty.texts} == {"not run in this profile", "95"}

    def test_an_interval_is_not_invented(self):
        bare = [dataclasses.replace(RECORDS[0], series={"pck": RECORDS[0].series["pck"]})]
        (axis,) = pck.curves(bare, {"LSP": LINES}).axes
        assert not axis.collections
        assert not axis.figure.legends

    def test_mistakes(self):
        with pytest.raises(ValueError, match="no line is called net Z"):
            pck.curves(RECORDS, {"LSP": LINES}, printed={"net Z": 1.0})
        with pytest.raises(ValueError, match=r"scores\[\]\.pck fits 2 records"):
            pck.curves(RECORDS, {"LSP": {"all": "scores[].pck"}})


class TestJoints:
    def test_a_dot_a_joint_with_its_interval(self):
        figure = pck.joints(RECORDS, {"LSP": WAYS}, ROWS, printed={"pck": 84.3})
        figure.canvas.draw()
        (axis,) = figure.axes
        found = {
            marker: {
                (line.get_xdata()[0], round(float(line.get_ydata()[0]), 2))
                for line in axis.lines
                if line.get_marker() == marker
            }
            for marker in "osD"
        }
        assert found["o"] == {(84.0, -0.15), (97.0, 0.85), (81.0, 1.85)}
        assert found["s"] == {(90.0, 0.15), (98.0, 1.15)}
        assert found["D"] == {(84.3, 0)}
        spans = [list(n.get_xdata()) for n in axis.lines if len(n.get_xdata()) == 2]
        assert [83.0, 85.5] in spans
        assert [label.get_text() for label in axis.get_yticklabels()] == list(ROWS.values())

    def test_panels_share_a_scale_and_say_what_is_missing(self):
        panels = {"A": {"net A": WAYS["net A"]}, "C": {"net A": "scores[model=c].{}"}}
        first, second = pck.joints(RECORDS, panels, ROWS).axes
        assert first.get_xlim() == second.get_xlim()
        assert [text.get_text() for text in second.texts] == ["not run in this profile"]
        assert not first.texts


def test_table():
    shown = pck.by_joint(RECORDS, {**WAYS, "net C": "scores[model=c].{}"}, ROWS).data
    assert shown.splitlines() == [
        "| percent | all | head | ankle |",
        "| --- | --- | --- | --- |",
        "| net A | 84.00 [83.0, 85.5] | 97.00 | 81.00 |",
        "| net B | 90.00 | 98.00 | – |",
        "| net C | – | – | – |",
    ]
