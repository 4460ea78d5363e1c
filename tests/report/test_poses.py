"""Scores of pose networks beside the print: what is drawn where, and what is left out."""

from dataclasses import replace

import matplotlib as mpl
import numpy as np
import pytest

from made_records import made_record
from replab.claims.ledger import Entry, Ledger
from replab.claims.verdicts import NOT_ATTEMPTED, REPRODUCED
from replab.report import networks, poses

mpl.use("Agg")


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    import matplotlib.pyplot as plt

    plt.close("all")


def entry(id_, reported, *, runs=(), measured=None, unit="AP points", source="P", kind="value"):
    return Entry(
        id=id_,
        locus="Table 1",
        kind=kind,
        metric=id_.rpartition(".")[2],
        source=f"{source}: where from",
        reported=reported,
        unit=unit,
        measured=measured,
        interval=None,
        n=len(runs),
        tolerance=None,
        verdict=REPRODUCED if runs else NOT_ATTEMPTED,
        why="",
        profile="paper",
        protocol="",
        data="",
        supports=None,
        runs=list(runs),
        command="",
        gate=True,
        powered=False,
    )


def run(id_, seed=0, variant=None, **metrics):
    return replace(made_record(variant or {}, seed, metrics=metrics), id=id_)


def ledger(*entries):
    return Ledger("p", "paper", entries, {})


LEDGER = ledger(
    entry("t.small.ap", "74.4", runs=["a"], measured=74.38),
    entry("t.small.ar", "79.8", runs=["a"], measured=79.5),
    entry("t.small.gflops", "7.10", unit="GFLOPs", runs=["c"], measured=7.12),
    entry("g.small.ap", ".765", unit="ratio", runs=["b"], measured=0.76),
    # Remembered only: never shown, though our number is.
    entry("g.small.ar", ".793", unit="ratio", source="M"),
    entry("t.large.ap", "76.3"),
    entry("t.large.ar", "81.2"),
    entry("t.large.gflops", "32.9", unit="GFLOPs"),
)
RECORDS = [
    run("a", ap=74.38, ap_low=73.2, ap_high=75.5, ar=79.5),
    run("b", ap=76.0, ar=79.0),
    run("c", gmacs=5.0, gflops=7.12, macs=5e9),
    run("other", ap=1.0, ar=2.0),
]
ROWS = {
    "small": {"detections": "t.small", "gt": "g.small"},
    "large": {"detections": "t.large"},
}
TWO = {"ap": "AP", "ar": "AR"}


def dots(axis, *, hollow):
    """(x, y) of the single points of a panel, hollow or full."""
    return [
        (float(line.get_xdata()[0]), round(float(line.get_ydata()[0]), 2))
        for line in axis.lines
        if len(line.get_xdata()) == 1
        and line.get_marker() != "None"
        and (line.get_markerfacecolor() == "none") == hollow
    ]


def bars(axis):
    return [line for line in axis.lines if line.get_marker() == "None"]


def test_a_table_lays_ours_over_the_paper():
    figure = poses.table(LEDGER, RECORDS, ROWS, metrics=TWO)
    ap, ar = figure.axes
    assert [a.get_title() for a in (ap, ar)] == ["AP", "AR"]
    assert ap.get_xlabel() == ar.get_xlabel() == "%"
    assert [t.get_text() for t in ap.get_yticklabels()] == ["small", "large"]
    # The paper's points, fractions as percent; the row without an attempt has nothing else.
    assert dots(ap, hollow=True) == [(74.4, -0.17), (76.5, 0.17), (76.3, 1.0)]
    assert dots(ap, hollow=False) == [(74.38, -0.17), (76.0, 0.17)]
    # A remembered number is not drawn; ours is, from the record behind the row's other claim.
    assert dots(ar, hollow=True) == [(79.8, -0.17), (81.2, 1.0)]
    assert dots(ar, hollow=False) == [(79.5, -0.17), (79.0, 0.17)]


def test_a_table_shows_intervals_differences_and_the_boxes():
    figure = poses.table(LEDGER, RECORDS, ROWS, metrics=TWO)
    # All of it fits its place: a layout that does not would warn.
    figure.canvas.draw()
    ap, ar = figure.axes
    (interval,) = bars(ap)
    assert list(interval.get_xdata()) == [73.2, 75.5]
    assert bars(ar) == []
    # −0.02 is no difference that one digit shows.
    assert [t.get_text() for t in ap.texts] == ["0.0", "−0.5"]
    assert [t.get_text() for t in ar.texts] == ["−0.3"]
    assert [t.xy[1] for t in ap.texts] == pytest.approx([-0.17, 0.17])
    assert len({line.get_marker() for line in ap.lines if len(line.get_xdata()) == 1}) == 2
    (key,) = figure.legends
    assert [t.get_text() for t in key.get_texts()] == [
        "detected boxes: the paper",
        "detected boxes: ours",
        "ground-truth boxes: the paper",
        "ground-truth boxes: ours",
    ]


def test_seeds_of_a_row_give_a_t_interval():
    runs = [
        run(name, seed, ap=value)
        for seed, (name, value) in enumerate((("a", 73.0), ("b", 74.0), ("c", 75.0)))
    ]
    figure = poses.table(
        ledger(entry("t.x.ap", "74.4", runs=["a", "b", "c"])),
        runs,
        {"x": {"detections": "t.x"}},
        metrics={"ap": "AP"},
    )
    (axis,) = figure.axes
    (interval,) = bars(axis)
    half = 4.30265 / np.sqrt(3)
    np.testing.assert_allclose(interval.get_xdata(), [74 - half, 74 + half], atol=1e-4)
    (seeds,) = [line for line in axis.lines if len(line.get_xdata()) == 3]
    assert list(seeds.get_xdata()) == [73, 74, 75]
    assert dots(axis, hollow=False) == [(74.0, 0.0)]


def test_a_stem_without_claims_is_a_mistake():
    with pytest.raises(ValueError, match=r"begins with 't\.none\.'"):
        poses.table(LEDGER, RECORDS, {"x": {"gt": "t.none"}})
    with pytest.raises(ValueError, match=r"begins with 't\.none\.'"):
        poses.cost(LEDGER, RECORDS, {"x": {"y": "t.none"}})


def test_a_table_before_any_run_is_all_hollow():
    bare = [replace(e, runs=[], measured=None) for e in LEDGER.entries]
    for axis in poses.table(ledger(*bare), [], ROWS, metrics=TWO).axes:
        assert dots(axis, hollow=True)
        assert not dots(axis, hollow=False)
        assert not axis.texts


def test_a_table_of_the_paper_alone_says_so_and_shows_no_key_of_ours():
    bare = [replace(e, runs=[], measured=None) for e in LEDGER.entries]
    figure = poses.table(ledger(*bare), [], ROWS, metrics=TWO, title="Claim")
    (key,) = figure.legends
    assert key.get_title().get_text() == poses.NOT_ATTEMPTED
    assert [t.get_text() for t in key.get_texts()] == [
        "detected boxes: the paper",
        "ground-truth boxes: the paper",
    ]
    assert figure.get_suptitle() == "Claim"
    assert "95 %" in poses.table(LEDGER, RECORDS, ROWS).legends[0].get_title().get_text()


def test_rows_of_a_table_have_their_networks_colours():
    rows = {"HRNet-W32, small": ROWS["small"], "SimpleBaseline-152, large": ROWS["large"]}
    ap, _ = poses.table(LEDGER, RECORDS, rows, metrics=TWO).axes
    found = {
        round(float(line.get_ydata()[0])): line.get_color()
        for line in ap.lines
        if len(line.get_xdata()) == 1
    }
    expected = [networks.look(name)["color"] for name in rows]
    assert [found[0], found[1]] == expected
    assert expected[0] != expected[1]


def test_nobody_to_be_found_is_no_score():
    assert poses.number([run("a", apm=-1.0)], "apm") is None
    assert poses.number([], "ap") is None
    found = poses.number([run("a", ap=50.0)], "ap")
    assert (found.mean, found.interval, found.values) == (50.0, None, (50.0,))


@pytest.mark.parametrize(
    ("reported", "fields", "value"),
    [
        ("74.4", {}, 74.4),
        (".765", {"unit": "ratio"}, 76.5),
        ("< 10", {}, None),
        ("74.4", {"source": "M"}, None),
        ("a < b", {"kind": "ordering"}, None),
    ],
)
def test_what_is_stated(reported, fields, value):
    assert poses.stated(entry("t.ap", reported, **fields)) == pytest.approx(value)


FAMILIES = {"net": {"small": "t.small", "large": "t.large"}}


@pytest.mark.parametrize(
    ("unit", "theirs", "ours"),
    [
        # At the printed GFLOPs, counted or not; ours at our count.
        ("gflops", [[7.10, 74.4], [32.9, 76.3]], 7.12),
        # True multiply-adds are not printed: both stand at our count, and what nobody counted
        # stands nowhere. They do not follow from the print.
        ("gmacs", [[5.0, 74.4]], 5.0),
    ],
)
def test_cost_in_both_units(unit, theirs, ours):
    figure = poses.cost(LEDGER, RECORDS, FAMILIES, unit=unit)
    (axis,) = figure.axes
    (line,) = [a for a in axis.lines if a.get_markerfacecolor() == "none"]
    np.testing.assert_allclose(line.get_xydata(), theirs)
    (shown,) = dots(axis, hollow=False)
    assert shown == (ours, 74.38)
    (interval,) = bars(axis)
    assert list(interval.get_ydata()) == [73.2, 75.5]
    assert [t.get_text() for t in axis.texts] == ["small", "large"][: len(theirs)]
    assert axis.get_ylabel() == "AP (%)"
    assert ("GFLOPs" if unit == "gflops" else "10^9") in axis.get_xlabel()
    assert axis.get_xlim()[0] == 0
    assert "full: ours" in axis.get_legend().get_title().get_text()
    bare = ledger(*(replace(e, runs=["c"] if "c" in e.runs else []) for e in LEDGER.entries))
    (axis,) = poses.cost(bare, RECORDS, FAMILIES, unit=unit, title="Claim").axes
    assert not dots(axis, hollow=False)
    assert poses.NOT_ATTEMPTED in axis.get_legend().get_title().get_text()
    assert axis.get_title() == "Claim"


def test_without_any_count_the_paper_stands_at_its_gflops():
    bare = ledger(*(replace(e, runs=[], measured=None) for e in LEDGER.entries))
    (axis,) = poses.cost(bare, RECORDS, FAMILIES, unit="gmacs").axes
    (line,) = axis.lines
    np.testing.assert_allclose(line.get_xydata(), [[7.10, 74.4], [32.9, 76.3]])
    assert "GFLOPs" in axis.get_xlabel()


NAMES = {"hr": "HRNet", "sb": "SimpleBaseline", "all": "(c)"}


def test_cost_of_small_networks_counts_in_millions():
    records = [
        run("", seed, {"net": "hr", "fusion": "all"}, ap=40.0 + seed, macs=45e6) for seed in (1, 0)
    ] + [run("", 0, {"net": "sb"}, ap=35.0, macs=37e6), run("", 0, {"net": "x"}, ap=1.0)]
    (axis,) = poses.cost_of_runs(records, label="{net} {fusion}", words=NAMES).axes
    assert [(x, y) for x, y in dots(axis, hollow=False)] == [(37.0, 35.0), (45.0, 40.5)]
    labels = [t.get_text() for t in axis.get_legend().get_texts()]
    assert labels == ["SimpleBaseline (n = 1)", "HRNet (c) (n = 2)"]
    assert "10^6" in axis.get_xlabel()
    # Costs are compared from nothing on.
    assert axis.get_xlim()[0] == 0
    colours = [line.get_color() for line in axis.lines if line.get_label() in labels]
    assert colours == [networks.look(name)["color"] for name in ("SimpleBaseline", "HRNet")]
    some = poses.cost_of_runs(records, label="{net}", words=NAMES, where={"fusion": (None, "all")})
    assert len(some.axes[0].get_legend().get_texts()) == 2
    only = poses.cost_of_runs(records, label="{net}", words=NAMES, where={"net": "hr"})
    assert [(x, y) for x, y in dots(only.axes[0], hollow=False)] == [(45.0, 40.5)]


def test_cost_of_runs_by_the_measure_that_they_have():
    record = replace(run("", pck=50.0, macs=7e9), recipe={"test_data": "lspet-test"})
    (axis,) = poses.cost_of_runs([record], label="net", title="Claim").axes
    assert dots(axis, hollow=False) == [(7.0, 50.0)]
    assert axis.get_ylabel() == "PCK@0.2 on LSP Extended (%)"
    assert axis.get_title() == "Claim"


def test_cost_without_records_says_so():
    (axis,) = poses.cost_of_runs([], label="{net}").axes
    assert [t.get_text() for t in axis.texts] == ["not run in this profile"]


def test_cost_of_rows_without_any_number_is_empty():
    bare = ledger(entry("t.x.ap", "< 10"), entry("t.x.gflops", "7.1", unit="GFLOPs"))
    (axis,) = poses.cost(bare, [], {"net": {"x": "t.x"}}).axes
    assert [len(line.get_xdata()) for line in axis.lines] == [0]
    assert axis.get_xlim() == (0, 1)


def test_cost_of_large_networks_counts_in_thousands_of_millions():
    (axis,) = poses.cost_of_runs([run("", ap=74.0, macs=7.6e9)], label="net").axes
    assert dots(axis, hollow=False) == [(7.6, 74.0)]
    assert "10^9" in axis.get_xlabel()


def test_a_point_s_name_makes_way_for_the_point_at_its_right():
    import matplotlib.pyplot as plt

    _, axis = plt.subplots()
    axis.set(xlim=(0, 30), ylim=(70, 75))
    poses._label_points(axis, [(12.2, 72.2, "50"), (12.7, 72.0, "152"), (28.0, 74.3, "152")])
    crowded, *free = axis.texts
    assert (crowded.get_ha(), crowded.get_va()) == ("right", "bottom")
    assert {(t.get_ha(), t.get_va()) for t in free} == {("left", "top")}
