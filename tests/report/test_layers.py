"""Figures of layers: what is plotted, not how it looks."""

import math

import matplotlib as mpl
import numpy as np
import pytest

from made_records import made_record
from replab.report import layers
from replab.runs.record import Record

mpl.use("Agg")


def record(seed, *, series=None, **options) -> Record:
    kept = {key: options.pop(key) for key in ("iterations", "metrics") if key in options}
    curves = {name: {"x": [1.0, 2.0, 3.0], "y": list(y)} for name, y in (series or {}).items()}
    return made_record(options, seed, series=curves, **kept)


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    import matplotlib.pyplot as plt

    plt.close("all")


def drawn(axis):
    """The curves of a panel, without reference lines and intervals of two points."""
    return [list(line.get_ydata()) for line in axis.lines if len(line.get_ydata()) == 3]


STRUCTURE = [
    record(seed, net=net, depth=depth, norm=norm, series={"g": (0, -1, base - seed)})
    for norm, base in (("batch", 0.0), ("none", -10.0))
    for net, depth in (("resnet", 110), ("plain", 110), ("plain", 20))
    for seed in (1, 0)
]


def test_profiles_show_the_mean_and_the_band_of_every_net():
    figure = layers.profiles(
        STRUCTURE, panel="{norm}", line="{net}-{depth}", rows={"g": "gradient (1)"}
    )
    bare, normalised = figure.axes
    assert [axis.get_title() for axis in figure.axes] == ["no BN", "BN"]
    assert drawn(bare) == [[0, -1, -10.5]] * 3
    assert drawn(normalised) == [[0, -1, -0.5]] * 3
    band = bare.collections[0].get_paths()[0].vertices[:, 1]
    assert (band.min(), band.max()) == (-11, 0)
    assert bare.get_ylabel() == "gradient (1)"
    assert bare.get_xlabel() == "layer"
    assert bare.get_ylim() == normalised.get_ylim()
    # A net has one colour everywhere, another than the others, and stands in the legend once.
    colours = [[line.get_color() for line in axis.lines] for axis in figure.axes]
    assert colours[0] == colours[1]
    assert len(set(colours[0])) == 3
    (legend,) = figure.legends
    assert [t.get_text() for t in legend.get_texts()] == ["plain-20", "plain-110", "ResNet-110"]
    figure.canvas.draw()
    # What is plotted are logarithms; the axis names the sizes.
    named = {float(t.get_position()[1]): t.get_text() for t in bare.get_yticklabels()}
    assert named[-8.0] == "$10^{-8}$"


def test_profiles_of_nets_of_different_depths_lie_over_each_other():
    long, short = record(0, net="a", series={"g": (1, 2, 3)}), record(0, net="b")
    short.series["g"] = {"x": [1.0, 2.0], "y": [1.0, 3.0]}
    figure = layers.profiles(
        [long, short], panel="both", line="{net}", rows={"g": "g"}, relative=True
    )
    (axis,) = figure.axes
    assert [list(line.get_xdata()) for line in axis.lines] == [[0, 0.5, 1], [0, 1]]


def test_profiles_of_some_networks_alone():
    look = {"panel": "{norm}", "line": "{net}-{depth}", "rows": {"g": "g"}}
    figure = layers.profiles(STRUCTURE, **look, where={"net": "plain", "norm": "none"})
    assert [axis.get_title() for axis in figure.axes] == ["no BN"]
    assert [t.get_text() for t in figure.legends[0].get_texts()] == ["plain-20", "plain-110"]


def test_rows_may_have_their_own_ranges():
    records = [record(0, net="a", series={"r": (0, 1, 2), "g": (-20, -21, -22)})]
    look = {"panel": "one", "line": "{net}", "rows": {"r": "response", "g": "gradient"}}
    own = [axis.get_ylim() for axis in layers.profiles(records, **look, per_row=True).axes]
    one = [axis.get_ylim() for axis in layers.profiles(records, **look).axes]
    assert own[0][0] > -1 > -19 > own[1][1]
    assert one[0] == one[1]
    assert one[0][0] < -22 < 2 < one[0][1]


MISSING = [
    *(record(s, net="a", metrics={"diverged": 0, "m_after": 1.0}) for s in (0, 1)),
    record(0, net="b", metrics={"diverged": 1}, iterations=0),
    record(1, net="b", metrics={"diverged": 0, "m_after": 2.0}),
    *(record(s, net="c", metrics={"diverged": 0}, iterations=0) for s in (0, 1)),
    record(0, net="d", metrics={}),
]


def test_what_is_missing_is_said():
    for r in MISSING:
        if "m_after" in r.metrics:
            r.series["g"] = {"x": [1.0, 2.0, 3.0], "y": [0.0, 1.0, r.metrics["m_after"]]}
    figure = layers.profiles(MISSING, panel="", line="net {net}", rows={"g": "g"})
    (axis,) = figure.axes
    expected = ["1 of 2 seeds diverged", "not trained", "not measured"]
    (note,) = axis.texts
    assert note.get_text().splitlines() == [
        f"net {net}: {why}" for net, why in zip("bcd", expected, strict=True)
    ]
    assert len(drawn(axis)) == 2
    figure = layers.remedies(MISSING, label="net {net}", columns={"m_after": "loss (nats)"})
    (axis,) = figure.axes
    assert [t.get_text() for t in axis.texts] == expected
    assert [t.xy[1] for t in axis.texts] == [1, 2, 3]


def test_remedies_show_intervals_at_both_moments():
    records = [
        record(s, net="a", metrics={"ratio": 1.0 + s, "ratio_after": 5.0, "loss_after": 2.0})
        for s in range(3)
    ]
    figure = layers.remedies(
        records,
        label="{net}",
        columns={"ratio": "ratio", "loss_after": "loss (nats)"},
        references={"loss_after": math.log(10)},
    )
    ratio, loss = figure.axes
    intervals = [
        line.get_xdata()
        for line in ratio.lines
        if len(line.get_xdata()) == 2 and line.get_marker()
    ]
    # Student's t at two degrees of freedom: 4.3027 standard errors.
    half = 4.30265 / math.sqrt(3)
    assert np.allclose(intervals[0], [2 - half, 2 + half], atol=1e-4)
    assert np.allclose(intervals[1], [5, 5])
    heights = sorted({float(y) for line in ratio.lines for y in line.get_ydata()})
    assert heights == pytest.approx([-0.15, 0.15])
    # A metric named with its moment has that one alone, on the middle of the row.
    reference, *shown = sorted(loss.lines, key=lambda line: line.get_linestyle() != "--")
    assert list(reference.get_xdata()) == [math.log(10)] * 2
    assert {float(y) for line in shown for y in line.get_ydata()} == {0.0}
    assert [t.get_text() for t in ratio.get_yticklabels()] == ["a"]
    assert not any(t.get_text() for t in loss.get_yticklabels())
    (legend,) = figure.legends
    assert [t.get_text() for t in legend.get_texts()] == ["at the start", "after the iterations"]


def test_responses_in_order_and_sorted():
    records = [
        record(0, net="plain", depth=8, series={"response_std": (1.0, 3.0, 2.0)}),
        record(1, net="plain", depth=8, series={"response_std": (5.0, 1.0, 4.0)}),
        record(0, net="resnet", depth=8, series={"response_std": (1.5, 1.25, 1.75)}),
    ]
    figure = layers.responses(records, label="{net}-{depth}", dashed={"net": "plain"})
    ordered, by_size = figure.axes
    assert drawn(ordered) == [[3, 2, 3], [1.5, 1.25, 1.75]]
    # Each seed is sorted by itself.
    assert drawn(by_size) == [[4, 3, 1], [1.75, 1.5, 1.25]]
    assert [line.get_linestyle() for line in ordered.lines] == ["--", "-"]
    labels = [t.get_text() for t in ordered.get_legend().get_texts()]
    assert labels == ["plain-8 (n = 2)", "ResNet-8 (n = 1)"]
    assert ordered.get_ylim()[0] == 0
    # The same depth in both forms: one colour, told apart by the dashes.
    assert len({line.get_color() for line in ordered.lines}) == 1


def test_responses_that_differ_much_get_a_logarithmic_axis():
    records = [
        record(0, net="plain", depth=8, series={"response_std": (20.0, 3.0, 2.0)}),
        record(0, net="resnet", depth=20, series={"response_std": (0.5, 0.25, 0.75)}),
    ]
    ordered, by_size = layers.responses(records, label="{net}-{depth}").axes
    assert ordered.get_yscale() == by_size.get_yscale() == "log"
    assert len({line.get_color() for line in ordered.lines}) == 2
