"""The loops beside which heatmaps are timed do the same work; no speed is asserted."""

from contextlib import ExitStack

import numpy as np
import pytest

from replab.bench import comparing, heatmaps


@pytest.mark.parametrize(
    ("name", "usual"), [("released", False), ("released", True), ("dark", False)]
)
def test_ours_and_the_loops_agree(name, usual):
    ours, peer = heatmaps.decoding(name, people=5, usual=usual)
    joints = ours()
    assert joints.shape == peer().shape == (5, 17, 2)
    assert len(np.unique(joints)) > 100
    drawn, in_a_loop = (step() for step in heatmaps.encoding(name, people=5, usual=usual))
    assert drawn.shape == in_a_loop.shape == (5, 17, 64, 48)
    assert 20 < (drawn.max(axis=(2, 3)) > 0.5).sum() < 85


def test_steps_that_do_not_agree_are_not_timed(monkeypatch):
    monkeypatch.setattr(heatmaps, "_quarter", lambda level, x, y: (0.0, 0.0))
    with pytest.raises(ValueError, match="differ by"):
        heatmaps.decoding("released", people=3)


def test_each_benchmark_runs(monkeypatch):
    monkeypatch.setattr(heatmaps, "PEOPLE", 2)
    found = heatmaps.benchmarks()
    assert len({b.name for b in found}) == len(found) == 6
    for benchmark in found:
        with ExitStack() as stack:
            ours, _ = benchmark.prepare(stack)
            assert len(ours()) == 2
        assert comparing.measure(benchmark, rounds=1).ratio > 0
