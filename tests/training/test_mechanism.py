"""The experiment on responses and gradients, at a tiny size on generated images."""

import importlib
import math
from dataclasses import replace

import pytest
import torch

from replab import datasets, models
from replab.datasets import generated
from replab.runs.experiment import load_replication
from replab.training.signals import LOG_FLOOR
from run_contexts import made_context


@pytest.fixture(scope="module")
def mechanism():
    load_replication("resnet")
    return importlib.import_module("replications.resnet.mechanism")


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("REPLAB_DATA", str(tmp_path_factory.mktemp("data")))
        return generated.load(train=60, test=10)


@pytest.fixture
def run(mechanism, images, tmp_path, monkeypatch):
    """Runs the experiment's function: a variant and changes of the recipe to a result."""
    monkeypatch.setattr(datasets, "open_set", lambda name: images)
    mechanism._images.cache_clear()

    def run(net="plain", depth=8, norm="none", activation="relu", init="he", seed=0, **changes):
        recipe = replace(mechanism.RECIPE, **{**TINY, **changes})
        variant = mechanism._variant(net, depth, norm, activation, init)
        return mechanism.mechanism(
            made_context(variant, recipe, seed=seed, data="generated-shapes", workspace=tmp_path)
        )

    yield run
    mechanism._images.cache_clear()


TINY = {"px": 8, "train_images": 60, "probe_images": 16, "iterations": 2, "batch_size": 8}
CURVES = {"log_response", "log_gradient", "log_weight"}
NUMBERS = {
    "loss",
    "log_response_ratio",
    "log_gradient_first",
    "log_gradient_last",
    "log_gradient_ratio",
    "log_weight_first",
    "zero_gradients",
}


@pytest.mark.parametrize(("net", "norm"), [("plain", "none"), ("resnet", "batch")])
def test_a_run(run, net, norm):
    result = run(net, norm=norm)
    assert set(result.metrics) == {"diverged"} | NUMBERS | {f"{name}_after" for name in NUMBERS}
    assert all(math.isfinite(value) for value in result.metrics.values())
    assert (result.model, result.iterations) == (f"cifar_{net}8", 2)
    assert result.metrics["diverged"] == result.metrics["zero_gradients"] == 0
    assert set(result.series) == CURVES | {f"{name}_after" for name in CURVES}
    for moment in ("", "_after"):
        gradient = result.series[f"log_gradient{moment}"]
        response = result.series[f"log_response{moment}"]
        assert gradient["x"] == response["x"] == [1, 2, 3, 4, 5, 6, 7]
        ratio = gradient["y"][0] - gradient["y"][-1]
        assert result.metrics[f"log_gradient_ratio{moment}"] == pytest.approx(ratio, abs=2e-4)
        ratio = response["y"][-1] - response["y"][0]
        assert result.metrics[f"log_response_ratio{moment}"] == pytest.approx(ratio, abs=2e-4)
    assert result.metrics["loss"] != result.metrics["loss_after"]


def test_runs_repeat_and_seeds_differ(run):
    first, again, other = run(), run(), run(seed=1)
    assert first.metrics == again.metrics
    assert first.series == again.series
    assert first.metrics["loss_after"] != other.metrics["loss_after"]


def test_a_divergence_is_a_result(run):
    result = run("resnet", lr=1e20, iterations=6)
    assert result.metrics["diverged"] == 1
    assert set(result.metrics) == {"diverged"} | NUMBERS
    assert set(result.series) == CURVES
    assert result.iterations == 0


def test_a_net_that_overflows_in_its_last_step_has_diverged(run):
    # The loss of the one batch is finite; what the step then makes of the net is not.
    result = run("plain", lr=1e30, iterations=1)
    assert result.metrics["diverged"] == 1
    assert "loss_after" not in result.metrics
    assert result.iterations == 1


def test_the_deepest_nets_are_not_trained(run):
    result = run(untrained_depths=(8,))
    assert set(result.metrics) == {"diverged"} | NUMBERS
    assert result.iterations == 0
    assert result.metrics["diverged"] == 0


def test_gradients_that_underflow_are_counted_and_put_at_the_floor(run):
    result = run(depth=56, init="constant", untrained_depths=(56,))
    assert result.metrics["zero_gradients"] == 55
    assert result.metrics["log_gradient_first"] == LOG_FLOOR
    assert result.series["log_gradient"]["y"] == [round(LOG_FLOOR, 4)] * 55


def test_the_plan(mechanism):
    plans = mechanism.MECHANISM.plans
    assert plans["quick"] == plans["standin"] == plans["paper"]
    assert set(plans) == {"quick", "standin", "paper"}
    variants = plans["quick"].variants
    assert len({tuple(v.items()) for v in variants}) == len(variants) == 18
    for variant in variants:
        options = dict(variant)
        name = f"cifar_{options.pop('net')}{options.pop('depth')}"
        with torch.device("meta"):
            models.create(name, **options)
        assert mechanism.cost(variant, plans["quick"].recipe) > 0
