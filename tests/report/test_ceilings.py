"""Ceilings: distances to 100 on a logarithmic axis, and what stands at its end."""

import matplotlib as mpl
import pytest

from made_records import made_record
from replab.report import ceilings

mpl.use("Agg")


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    import matplotlib.pyplot as plt

    plt.close("all")


def record(data, heatmap, codec, ap, **more):
    return made_record(
        {"data": data, "heatmap": heatmap, "codec": codec}, 0, metrics={"ap": ap, **more}
    )


RECORDS = [
    record("people", "64x48", "plain", 97.0, ap_exact=97.5),
    record("people", "96x72", "plain", 98.5, ap_exact=98.75),
    record("people", "64x48", "udp", 99.9, ap_exact=99.95),
    record("people", "96x72", "udp", 100.0),
    record("real", "64x48", "plain", 96.0),
]


def dots(axis):
    """marker → (loss, height) of the dots."""
    found = {}
    for line in axis.lines:
        point = (round(float(line.get_xdata()[0]), 6), round(float(line.get_ydata()[0]), 3))
        found.setdefault(line.get_marker(), []).append(point)
    return found


def test_dots_stand_at_what_is_lost():
    figure = ceilings.ceilings(RECORDS)
    figure.canvas.draw()
    people, real = figure.axes
    assert [a.get_title() for a in (people, real)] == ["people", "real"]
    assert people.get_xscale() == real.get_xscale() == "log"
    assert people.get_xlim() == real.get_xlim()
    assert [t.get_text() for t in people.get_yticklabels()] == ["plain", "udp"]
    found = dots(people)
    assert found["o"] == [(3.0, -0.19), (0.1, 0.81)]
    assert found["s"] == [(1.5, 0.19)]
    assert dots(real) == {"o": [(4.0, -0.19)]}
    assert [t.get_text() for t in people.texts] == ["97.0", "98.5", "99.90", "100"]


def test_nothing_lost_stands_at_the_edge():
    people, _ = ceilings.ceilings(RECORDS).axes
    ((x, y),) = dots(people)["<"]
    assert x == pytest.approx(people.get_xlim()[0])
    assert y == 1.19
    assert x < 0.1


def test_two_metrics_are_full_and_hollow():
    figure = ceilings.ceilings(
        RECORDS, metrics={"ap": "own targets", "ap_exact": "exact"}, where={"heatmap": "64x48"}
    )
    people = figure.axes[0]
    fills = [(line.get_xdata()[0], line.get_markerfacecolor() == "white") for line in people.lines]
    assert fills == [
        (pytest.approx(3.0), False),
        (pytest.approx(2.5), True),
        (pytest.approx(0.1), False),
        (pytest.approx(0.05), True),
    ]
    (key,) = figure.legends
    assert [t.get_text() for t in key.get_texts()] == ["64x48", "own targets", "exact"]


def test_named_panels_and_rows_come_in_their_order_and_may_be_empty():
    figure = ceilings.ceilings(
        RECORDS,
        panels={"absent": "COCO", "people": "People"},
        rows={"udp": "UDP", "dark": "DARK", "plain": "argmax"},
        words={"64x48": "64×48"},
    )
    absent, people = figure.axes
    assert (absent.get_title(), people.get_title()) == ("COCO", "People")
    assert [t.get_text() for t in absent.texts] == ["not run in this profile"]
    assert not absent.lines
    assert sorted(y for _, y in dots(people)["o"]) == [-0.19, 1.81]
    assert [t.get_text() for t in figure.legends[0].get_texts()] == ["64×48", "96x72"]


def test_an_empty_panel_does_not_take_the_row_labels():
    figure = ceilings.ceilings(RECORDS, panels={"absent": "COCO", "people": "People"})
    assert [t.get_text() for t in figure.axes[0].get_yticklabels()] == ["plain", "udp"]


def test_two_records_for_one_dot_are_a_mistake():
    with pytest.raises(ValueError, match="two records stand for people, plain, 64x48"):
        ceilings.ceilings([RECORDS[0], RECORDS[0]])


def test_no_records_are_said():
    (axis,) = ceilings.ceilings([], panels={"people": "People"}).axes
    assert [t.get_text() for t in axis.texts] == ["not run in this profile"]


def test_a_title_and_sizes_beyond_the_looks():
    figure = ceilings.ceilings(RECORDS, title="What is lost")
    assert figure.get_suptitle() == "What is lost"
    assert figure.axes[0].get_title() == "people"
    many = [record("people", f"{i}x{i}", "plain", 90.0) for i in range(5)]
    with pytest.raises(ValueError, match="5 colours are asked for; there are 4"):
        ceilings.ceilings(many)
