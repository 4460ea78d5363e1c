"""Figures: what is plotted, not how it looks."""

import math

import matplotlib as mpl
import numpy as np
import pytest

from made_records import made_record
from replab.report import figures, gathering, style
from replab.runs.record import Record

mpl.use("Agg")


def record(net: str, depth: int, seed: int, loss: float) -> Record:
    curve = {"x": [0.0, 1.0, 2.0], "y": [3.0, 2.0, loss]}
    variant = {"net": net, "depth": depth}
    return made_record(variant, seed, metrics={"loss": loss}, series={"loss": curve})


RECORDS = [
    record(net, depth, seed, base + 0.1 * seed)
    for net, depth, base in (("plain", 20, 1.0), ("plain", 56, 2.0), ("resnet", 20, 0.9))
    for seed in (2, 0, 1)
]
DEEPER = gathering.between("{net}-{depth}", ("plain-56", "plain-20"))


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    import matplotlib.pyplot as plt

    plt.close("all")


def test_learning_curves_show_every_seed_and_their_mean():
    figure = figures.learning_curves(
        RECORDS,
        series="loss",
        panel="{net}",
        line="{net}-{depth}",
        ylabel="loss (nats)",
        reference=figures.guessing(10),
        top=2.5,
    )
    plain, residual = figure.axes
    curves = [line.get_ydata() for line in plain.lines if len(line.get_ydata()) == 3]
    ends = sorted(round(float(y[-1]), 6) for y in curves)
    assert ends == [1.0, 1.1, 1.1, 1.2, 2.0, 2.1, 2.1, 2.2]
    labels = [t.get_text() for t in plain.get_legend().get_texts()]
    assert labels == ["plain-20 (n = 3)", "plain-56 (n = 3)"]
    assert plain.get_ylabel() == "loss (nats)"
    assert residual.get_xlabel() == "iteration"
    assert plain.get_ylim() == residual.get_ylim()
    assert plain.get_ylim()[1] == 2.5
    assert any(
        np.allclose(line.get_ydata(), math.log(10)) for line in plain.lines if line.get_linestyle()
    )


def test_gaps_are_paired_by_seed():
    figure = figures.paired_gaps(RECORDS, pairs=DEEPER, metric="loss", xlabel="difference (nats)")
    (axis,) = figure.axes
    seeds = next(line for line in axis.lines if line.get_marker() == "o")
    assert np.allclose(seeds.get_xdata(), [1.0, 1.0, 1.0])
    assert [t.get_text() for t in axis.get_yticklabels()] == ["plain-56 − plain-20"]


def test_gap_over_time_ends_at_the_final_gap():
    figure = figures.gap_over_time(RECORDS, pairs=DEEPER, series="loss", ylabel="gap (nats)")
    mean = figure.axes[0].lines[0].get_ydata()
    assert np.allclose(mean, [0.0, 0.0, 1.0])


def test_two_values_of_a_key_are_paired_at_the_end_and_on_the_way():
    records = [
        made_record(
            {"net": net, "format": kind},
            seed,
            metrics={"loss": base + shift},
            series={"loss": {"x": [1.0, 2.0], "y": [base, base + shift]}},
        )
        for net, base in (("a", 1.0), ("b", 2.0))
        for kind, shift in (("half", 0.25), ("full", 0.0))
        for seed in (1, 0)
    ]
    pairs = gathering.along("format", plus="half", minus="full", label="net {net}")
    assert list(pairs(records)) == ["net a", "net b"]
    (axis,) = figures.paired_gaps(records, pairs=pairs, metric="loss", xlabel="nats").axes
    seeds = next(line for line in axis.lines if line.get_marker() == "o")
    assert np.allclose(seeds.get_xdata(), [0.25, 0.25])
    (axis,) = figures.gap_over_time(records, pairs=pairs, series="loss", ylabel="nats").axes
    assert np.allclose(axis.lines[0].get_ydata(), [0, 0.25])
    assert axis.get_ylabel() == "nats"


def test_the_start_up_does_not_set_the_axis_of_a_gap():
    def steep(depth, seed, first):
        curve = {"x": [0.0, 10.0, 90.0, 100.0], "y": [first, first / 2, 0.5 + depth / 100, 1.0]}
        return made_record({"net": "plain", "depth": depth}, seed, series={"loss": curve})

    made = [steep(20, 0, 1.0), steep(56, 0, 50.0)]
    (axis,) = figures.gap_over_time(made, pairs=DEEPER, series="loss", ylabel="gap").axes
    low, high = axis.get_ylim()
    assert -1 < low < 0 < 0.36 < high < 1
    same = [steep(20, 0, 1.0), made_record({"net": "plain", "depth": 56}, 0)]
    same[1].series.update(same[0].series)
    (axis,) = figures.gap_over_time(same, pairs=DEEPER, series="loss", ylabel="gap").axes
    assert axis.get_ylim()[0] < 0 < axis.get_ylim()[1]


def test_figures_are_kept_only_where_asked_and_equal_data_give_equal_files(tmp_path, monkeypatch):
    monkeypatch.delenv(style.FIGURES_VARIABLE, raising=False)
    monkeypatch.chdir(tmp_path)
    contents = []
    for folder in (None, "a", "b"):
        if folder:
            monkeypatch.setenv(style.FIGURES_VARIABLE, str(tmp_path / folder))
        figure, axis = style.subplots()
        axis.plot([0, 1], [1, 0])
        style.save(figure, "line")
        if folder:
            contents.append(sorted(p.read_bytes() for p in (tmp_path / folder).iterdir()))
        else:
            assert not any(tmp_path.iterdir())
    assert contents[0] == contents[1]
