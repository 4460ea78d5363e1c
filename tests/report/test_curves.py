"""Error curves: what is plotted, where, and at which scale."""

from dataclasses import replace

import matplotlib as mpl
import numpy as np
import pytest

from made_records import made_record
from replab.report import curves

mpl.use("Agg")


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    import matplotlib.pyplot as plt

    plt.close("all")


def record(net, depth, seed, final):
    train = np.linspace(90, final, 64)
    series = {
        "train_error": {"x": list(range(500, 64_500, 1000)), "y": list(train + seed)},
        "test_error": {"x": [32_000, 64_000], "y": [30.0 + seed, final + 2 + seed]},
    }
    return made_record({"net": net, "depth": depth}, seed, series=series, iterations=64_000)


RECORDS = [
    record(net, depth, seed, final)
    for net, depth, final in (("resnet", 56, 6.0), ("plain", 20, 9.0), ("plain", 56, 12.0))
    for seed in (1, 0)
]


def test_thin_training_and_bold_test_side_by_side():
    figure = curves.errors(
        RECORDS,
        titles={"plain": "plain nets", "resnet": "residual nets"},
        printed={"resnet-56": 6.97, "resnet-110": 6.61},
    )
    plain, residual = figure.axes
    assert [a.get_title() for a in (plain, residual)] == ["plain nets", "residual nets"]
    assert plain.get_ylabel() == "error (%)"
    assert plain.get_xlabel() == residual.get_xlabel() == "iteration (1e4)"
    assert plain.get_xlim() == (0, 6.4)
    assert plain.get_ylim() == residual.get_ylim()
    assert plain.get_ylim()[0] == 0
    # A net has its training error, both seeds of its test error, and their mean.
    assert len(plain.lines) == 8
    thin, *seeds, bold = residual.lines[:4]
    assert thin.get_linewidth() < bold.get_linewidth()
    # Means over both seeds.
    np.testing.assert_allclose(bold.get_xydata(), [[3.2, 30.5], [6.4, 8.5]])
    assert thin.get_ydata()[-1] == pytest.approx(6.5)
    labels = [t.get_text() for t in plain.get_legend().get_texts()]
    assert labels == ["plain-20 (n = 2)", "plain-56 (n = 2)"]
    assert [line.get_ydata()[-1] for line in seeds] == [8.0, 9.0]
    assert all(thin.get_linewidth() < line.get_linewidth() < 2.4 for line in seeds)
    # The paper's number stands at the end of its own net's line, and nowhere else.
    (mark,) = [line for line in residual.lines if line.get_marker() == "D"]
    np.testing.assert_allclose(mark.get_xydata(), [[6.4, 6.97]])
    assert mark.get_color() == bold.get_color()
    assert not [line for line in plain.lines if line.get_marker() == "D"]


def test_the_axis_ends_where_the_start_is_over():
    figure = curves.errors(RECORDS)
    # After a twentieth, 3,200 iterations, the training error has fallen from 90 to about 86–87.
    assert figure.axes[0].get_ylim()[1] == 90


def test_without_prints_the_key_names_two_things():
    (key,) = curves.errors(RECORDS).legends
    assert [t.get_text() for t in key.get_texts()] == [
        "training error",
        "test error (faint: each seed)",
    ]


@pytest.mark.parametrize(("iterations", "unit"), [(1000, "1e2"), (1999, "1e2"), (2000, "1e3")])
def test_iterations_are_counted_in_a_unit_that_shows_several(iterations, unit):
    records = [replace(r, iterations=iterations) for r in RECORDS]
    assert curves.errors(records).axes[0].get_xlabel() == f"iteration ({unit})"
