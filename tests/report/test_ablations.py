"""Ablations: pairing by seed is what is drawn, and the paper keeps to its own panel."""

from dataclasses import replace

import matplotlib as mpl
import numpy as np
import pytest

from made_records import made_record
from replab.report import ablations, networks, poses

mpl.use("Agg")
T2 = 4.30265 / np.sqrt(3)  # Student's t of three values, over the root of their number
STEPS = {"end": "(a)", "across": "(b)", "all": "(c)"}
AP = {"end": (30.0, 32.0, 34.0), "across": (32.0, 34.0, 36.5), "all": (33.0, 35.0, 37.0)}
RECORDS = [
    made_record({"net": "hrnet", "exchange": step}, seed, metrics={"ap": values[seed]})
    for step, values in AP.items()
    for seed in (2, 0, 1)
]
RECORDS.append(made_record({"net": "simplebaseline"}, 0, metrics={"ap": 20.0}))


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    import matplotlib.pyplot as plt

    plt.close("all")


def draw(records=RECORDS, steps=STEPS, **options):
    options.setdefault("along", "exchange")
    return ablations.ablation(records, steps, ylabel="AP on People (%)", **options)


def marks(axis, marker):
    return [line for line in axis.lines if line.get_marker() == marker]


def shown_means(axis):
    """The diamonds; the one of the legend has no point."""
    return [line for line in marks(axis, "D") if len(line.get_xdata())]


def intervals(axis):
    return [
        list(line.get_ydata())
        for line in axis.lines
        if line.get_marker() == "None" and len(line.get_xdata()) == 2 and line.get_linewidth() > 1
    ]


def test_each_seed_is_a_line_through_the_variants():
    ours, gains = draw().axes
    lines = [list(line.get_ydata()) for line in marks(ours, "o")]
    assert lines == [[30, 32, 33], [32, 34, 35], [34, 36.5, 37]]
    means = [float(line.get_ydata()[0]) for line in shown_means(ours)]
    assert means == pytest.approx([32, 102.5 / 3, 35])
    np.testing.assert_allclose(intervals(ours)[0], [32 - 2 * T2, 32 + 2 * T2], atol=1e-4)
    assert [t.get_text() for t in ours.get_xticklabels()] == ["(a)", "(b)", "(c)"]
    assert ours.get_ylabel() == "AP on People (%)"
    assert [t.get_text() for t in ours.figure.legends[0].get_texts()] == [
        "each seed (n = 3)",
        "mean, 95 % interval",
    ]
    assert gains.get_ylabel() == "difference (points)"


def test_differences_are_of_pairs():
    _, gains = draw().axes
    assert [list(line.get_ydata()) for line in marks(gains, "o")] == [[], [2, 2, 2.5], [3, 3, 3]]
    # The seeds differ by 4 points; what they gain does not, and so the interval is narrow.
    across, all_ = intervals(gains)
    half = T2 * np.std([2, 2, 2.5], ddof=1)
    np.testing.assert_allclose(across, [6.5 / 3 - half, 6.5 / 3 + half], atol=1e-4)
    assert all_ == pytest.approx([3, 3])
    assert [t.get_text() for t in gains.texts] == ["base"]


def test_another_base_and_a_step_that_was_not_run():
    some = [r for r in RECORDS if r.variant.get("exchange") != "across"]
    ours, gains = draw(some, base="all").axes
    assert [list(line.get_ydata()) for line in marks(gains, "o")] == [[-3, -3, -3], []]
    assert [t.get_text() for t in gains.texts] == ["base"]
    assert "“(c)”" in gains.get_title()
    # A step that nobody ran has no place among ours, and is named.
    for axis in (ours, gains):
        assert [t.get_text() for t in axis.get_xticklabels()] == ["(a)", "(c)"]
    assert ours.get_xlabel() == "not run here: (b)"
    assert [list(line.get_ydata()) for line in marks(ours, "o")] == [[30, 33], [32, 35], [34, 37]]
    assert len(shown_means(ours)) == 2


def test_a_base_that_was_not_run_gives_way_to_the_first_that_was():
    some = [r for r in RECORDS if r.variant.get("exchange") != "end"]
    _, gains = draw(some).axes
    assert "“(b)”" in gains.get_title()
    assert [list(line.get_ydata()) for line in marks(gains, "o")] == [[], [1, 1, 0.5]]


def test_one_step_has_nothing_to_be_compared_with():
    some = [r for r in RECORDS if r.variant.get("exchange") == "end"]
    ours, gains = draw(some).axes
    assert len(shown_means(ours)) == 1
    assert [t.get_text() for t in gains.texts] == ["nothing to compare with"]


def test_only_common_seeds_are_paired():
    some = [r for r in RECORDS if not (r.seed == 1 and r.variant.get("exchange") == "all")]
    _, gains = draw(some).axes
    assert [list(line.get_ydata()) for line in marks(gains, "o")][2] == [3, 3]


def test_steps_may_be_metrics_of_one_record():
    records = [
        made_record({"net": net}, seed, metrics={"s0": 1.0 + seed, "s1": 3.0 + seed})
        for net in ("hrnet", "other")
        for seed in (0, 1)
    ]
    steps = {"s0": "0 px", "s1": "1 px"}
    ours, gains = draw(records, steps, along=None, where={"net": "hrnet"}, base="s1").axes
    assert [list(line.get_ydata()) for line in marks(ours, "o")] == [[1, 3], [2, 4]]
    assert [list(line.get_ydata()) for line in marks(gains, "o")] == [[-2, -2], []]
    with pytest.raises(ValueError, match="two records of seed 0 stand for s0"):
        draw(records, steps, along=None)


def test_the_paper_has_a_panel_and_an_axis_of_its_own():
    printed = {"W32": {"end": 70.8, "all": 73.4}}
    figure = draw(printed=printed, printed_title="Table 6", printed_ylabel="AP, COCO (%)")
    figure.canvas.draw()
    ours, _, theirs = figure.axes
    (line,) = theirs.lines
    np.testing.assert_allclose(line.get_xydata(), [[0, 70.8], [2, 73.4]])
    assert line.get_markerfacecolor() == "none"
    assert (theirs.get_title(), theirs.get_ylabel()) == ("Table 6", "AP, COCO (%)")
    assert [t.get_text() for t in theirs.texts] == ["70.8", "73.4"]
    assert ours.get_ylim()[1] < 50 < theirs.get_ylim()[0]


def test_nothing_run_leaves_the_paper_alone():
    figure = draw([], printed={"W32": {"end": 70.8}}, title="Claim")
    figure.canvas.draw()
    (theirs,) = figure.axes
    assert len(theirs.lines) == 1
    assert theirs.get_xlabel() == poses.NOT_ATTEMPTED
    assert [t.get_text() for t in theirs.get_xticklabels()] == ["(a)", "(b)", "(c)"]
    assert figure.get_suptitle() == "Claim"


def test_nothing_run_and_nothing_printed_is_said():
    (axis,) = draw([]).axes
    assert not axis.lines
    assert [t.get_text() for t in axis.texts] == ["not run in this profile"]


def test_one_seed_has_no_interval():
    ours, gains = draw([r for r in RECORDS if r.seed == 0]).axes
    assert intervals(ours) == intervals(gains) == []
    assert len(shown_means(ours)) == 3


def test_a_net_beside_one_form_of_another():
    """A variant without the key is asked for by None, beside those that have one value of it."""
    others = [made_record({"net": "simplebaseline"}, s, metrics={"ap": 20.0 + s}) for s in (1, 2)]
    ours, gains = draw(
        RECORDS + others,
        {"simplebaseline": "SimpleBaseline", "hrnet": "HRNet"},
        along="net",
        where={"exchange": ("all", None)},
    ).axes
    assert [list(line.get_ydata()) for line in marks(ours, "o")] == [[20, 33], [21, 35], [22, 37]]
    assert [list(line.get_ydata()) for line in marks(gains, "o")][-1] == [13, 14, 15]


def test_networks_keep_their_colours():
    others = [made_record({"net": "simplebaseline"}, s, metrics={"ap": 20.0 + s}) for s in (1, 2)]
    steps = {"simplebaseline": "SimpleBaseline", "hrnet": "HRNet"}
    options = {"along": "net", "where": {"exchange": ("all", None)}}
    ours, gains = draw(RECORDS + others, steps, **options).axes
    colours = [networks.look(label)["color"] for label in steps.values()]
    assert [line.get_color() for line in shown_means(ours)] == colours
    assert [line.get_color() for line in shown_means(gains)] == colours[1:]
    ours, _ = draw(network="HRNet").axes
    assert {line.get_color() for line in shown_means(ours)} == {colours[1]}


def test_the_measure_and_its_axis_come_from_the_records():
    """The same call serves every profile, whatever score its experiment answers by."""
    records = [
        replace(
            made_record({"exchange": step}, 0, metrics={"pck": value, "pck_coarse": value - 1}),
            recipe={"test_data": "lspet-test"},
        )
        for step, value in (("end", 40.0), ("all", 45.0))
    ]
    ours, gains = ablations.ablation(records, STEPS, along="exchange").axes
    assert ours.get_ylabel() == "PCK@0.2 on LSP Extended (%)"
    assert [list(line.get_ydata()) for line in marks(gains, "o")] == [[], [5]]
    steps = {"coarse": "coarse", "fine": "fine"}
    ours, _ = ablations.ablation(records[:1], steps, metric="{measure}_{step}").axes
    assert [list(line.get_ydata()) for line in marks(ours, "o")] == [[39]]
    assert ours.get_xlabel() == "not run here: fine"
