"""The benchmark's arithmetic; no speed is asserted."""

import time
from contextlib import ExitStack
from dataclasses import replace

import pytest
import torch

from replab.bench import anatomy, comparing, suite
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

    found = comparing.measure(comparing.Benchmark("b", "images", "a peer", 10, prepare), rounds=2)
    assert calls == ["ours", "peer", "ours", "peer", "ours", "peer", "closed"]
    assert found.ratio > 1
    assert found.ours > found.peer > 0
    assert found.peer_name == "a peer"


def test_names_are_unique_and_an_unknown_one_is_a_clear_error():
    names = [b.name for b in suite.benchmarks()]
    assert len(set(names)) == len(names)
    with pytest.raises(UserError, match="no benchmark fits 'zzz'; there are: train-"):
        suite.run_all("zzz")


def test_both_ways_of_scoring_give_the_same_logits():
    (scoring,) = [b for b in suite.benchmarks() if b.name == "score-cifar_resnet20"]
    with ExitStack() as stack:
        ours, peer = scoring.prepare(stack)
        first, second = ours(), peer()
    assert first.shape == (1000, 10)
    assert torch.allclose(first, second, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("operator", "part"),
    [
        ("aten::mkldnn_convolution", "convolution"),
        ("aten::native_batch_norm_backward", "batch normalisation"),
        ("aten::threshold_backward", "ReLU"),
        ("aten::_fused_sgd_", "update"),
        ("Optimizer.step#SGD.step", "update"),
        ("aten::gather", "batches"),
        ("aten::add", "additions"),
        ("aten::_to_copy", "number formats and copies"),
        ("aten::nll_loss_forward", anatomy.OTHER),
    ],
)
def test_parts_of_a_step(operator, part):
    assert anatomy.part_of(operator) == part


def test_where_a_step_goes(one_thread, monkeypatch):
    from replab.bench import cifar

    monkeypatch.setattr(cifar, "BATCH", 4)
    monkeypatch.setattr(cifar, "RECIPE", replace(cifar.RECIPE, batch_size=4))
    shares = anatomy.step_shares("cifar_resnet8")
    assert sum(shares.values()) == pytest.approx(1)
    assert {"convolution", "batch normalisation", "ReLU", "update"} <= set(shares)
    assert list(shares.values()) == sorted(shares.values(), reverse=True)
    found = anatomy.Anatomy("net", shares, 12.3, {"ours": 3 * 2**20, "usual": 5 * 2**20})
    text = "\n".join(anatomy.lines(found))
    assert "compiling: 12 s before the first step" in text
    assert "peak memory: 3 MiB, the in-memory loop 5 MiB" in text
