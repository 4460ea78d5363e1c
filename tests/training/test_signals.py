"""Responses and gradients of one batch: against a naive computation, and leaving no trace."""

import copy
import math

import pytest
import torch
from torch.nn import functional

from replab import models
from replab.models.resnet import conv_layers, response_layers
from replab.training.signals import LOG_FLOOR, log10, measure

IMAGES = torch.randn(6, 3, 16, 16, generator=torch.Generator().manual_seed(1))
LABELS = torch.tensor([0, 1, 2, 3, 4, 5])


def net(name="cifar_resnet14", **options):
    torch.manual_seed(0)
    return models.create(name, **options)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("cifar_resnet14", {}),
        ("cifar_resnet14", {"norm": "none"}),
        ("cifar_plain14", {"norm": "none", "activation": "sigmoid", "init": "xavier"}),
    ],
)
def test_equal_to_a_naive_computation(name, options):
    model = net(name, **options)
    twin = copy.deepcopy(model).train()
    outputs = []
    for _, layer in response_layers(twin):
        layer.register_forward_hook(lambda _layer, _inputs, output: outputs.append(output))
    loss = functional.cross_entropy(twin(IMAGES), LABELS)
    loss.backward()
    found = measure(model, IMAGES, LABELS)
    assert found.loss == loss.item()
    assert found.response == pytest.approx([o.std(correction=0).item() for o in outputs], rel=1e-4)
    norms = [
        layer.weight.grad.norm().item() / math.sqrt(layer.weight.numel())
        for _, layer in conv_layers(twin)
    ]
    assert found.gradient == pytest.approx(norms, rel=1e-4)
    assert len(found.gradient) == 13
    sizes = [layer.weight.square().mean().sqrt().item() for _, layer in conv_layers(model)]
    assert found.weight == pytest.approx(sizes, rel=1e-5)
    assert found.finite


@pytest.mark.parametrize("training", [True, False])
def test_the_net_is_left_as_it_was(training):
    model = net().train(training)
    for parameter in model.parameters():
        parameter.grad = torch.full_like(parameter, 3.0)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    first = measure(model, IMAGES, LABELS)
    assert model.training is training
    assert all(torch.equal(t, before[name]) for name, t in model.state_dict().items())
    assert all((p.grad == 3).all() for p in model.parameters())
    assert not any(module._forward_hooks for module in model.modules())
    # Training mode in both cases: the batch's own statistics.
    assert first == measure(model.train(not training), IMAGES, LABELS)


def test_also_after_a_mistake():
    model = net().eval()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with pytest.raises(IndexError):
        measure(model, IMAGES, LABELS + 90)
    assert not model.training
    assert all(torch.equal(t, before[name]) for name, t in model.state_dict().items())


def test_twice_the_weights_give_twice_the_response_in_each_layer():
    """ReLU nets without biases are homogeneous: what an initialisation's scale does to them."""
    small, large = (net("cifar_plain14", norm="none") for _ in range(2))
    with torch.no_grad():
        for _, layer in conv_layers(large):
            layer.weight.mul_(2)
    found, doubled = measure(small, IMAGES, LABELS), measure(large, IMAGES, LABELS)
    for depth, (a, b) in enumerate(zip(found.response, doubled.response, strict=True), start=1):
        assert b == pytest.approx(a * 2**depth, rel=1e-5)


def test_batch_normalisation_makes_every_response_one():
    found = measure(net("cifar_plain20"), IMAGES, LABELS)
    assert found.response == pytest.approx([1.0] * 19, abs=1e-2)


def test_overflow_is_seen():
    model = net("cifar_plain14", norm="none")
    with torch.no_grad():
        for _, layer in conv_layers(model):
            layer.weight.mul_(1e4)
    assert not measure(model, IMAGES, LABELS).finite


def test_gradients_that_underflow_are_zero():
    found = measure(net("cifar_plain56", norm="none", init="constant"), IMAGES, LABELS)
    assert found.gradient == [0.0] * 55
    assert found.finite
    assert found.loss == pytest.approx(math.log(10), abs=1e-6)


def test_small_gradients_are_not_lost_in_their_squares():
    found = measure(
        net("cifar_plain20", norm="none", activation="relu", init="constant"), IMAGES, LABELS
    )
    # Their squares, below 1e-40, have no full digits in single precision.
    assert all(1e-25 < size < 1e-20 for size in found.gradient)


@pytest.mark.parametrize(
    ("size", "expected"), [(1.0, 0.0), (1e-20, -20.0), (0.0, LOG_FLOOR), (1e-60, LOG_FLOOR)]
)
def test_logarithm_with_a_floor(size, expected):
    assert log10(size) == pytest.approx(expected)
    assert log10(0.0) == pytest.approx(-44.85, abs=0.01)


@pytest.mark.parametrize("size", [-1.0, math.nan, math.inf])
def test_what_has_no_logarithm(size):
    with pytest.raises(ValueError, match="no finite size"):
        log10(size)
