"""The benchmark's arithmetic; no speed is asserted."""

import time
from contextlib import ExitStack

import pytest
import torch

from replab import bench
from replab.errors import UserError


def test_ratio_is_of_items_per_second_side_by_side():
    calls = []

    def prepare(stack):
        stack.callback(lambda: calls.append("closed"))

        def ours():
            calls.append("ours")
            time.sleep(0.002)

        def peer():
            calls.append("peer")
            time.sleep(0.02)

        return ours, peer

    found = bench.measure(bench.Benchmark("b", "images", "a peer", 10, prepare), rounds=2)
    assert calls == ["ours", "peer", "ours", "peer", "ours", "peer", "closed"]
    assert found.ratio > 1
    assert found.ours > found.peer > 0
    assert found.peer_name == "a peer"


def test_names_are_unique_and_an_unknown_one_is_a_clear_error():
    names = [b.name for b in bench.benchmarks()]
    assert len(set(names)) == len(names)
    with pytest.raises(UserError, match="no benchmark fits 'zzz'; there are: train-"):
        bench.run_all("zzz")


def test_both_ways_of_scoring_give_the_same_logits():
    (scoring,) = [b for b in bench.benchmarks() if b.name.startswith("score")]
    with ExitStack() as stack:
        ours, peer = scoring.prepare(stack)
        first, second = ours(), peer()
    assert first.shape == (1000, 10)
    assert torch.allclose(first, second, rtol=1e-4, atol=1e-4)
