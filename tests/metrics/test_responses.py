"""Layer responses: the streamed standard deviation against the one of all elements at once."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from replab import models
from replab.metrics.responses import Spread, response_std
from replab.models.resnet import response_layers


@given(
    parts=st.lists(
        st.lists(st.floats(-1e3, 1e3, width=32), min_size=1, max_size=9), min_size=1, max_size=6
    ),
    offset=st.sampled_from([0.0, 1e5]),
)
def test_spread_of_parts_is_the_spread_of_all(parts, offset):
    spread = Spread()
    for part in parts:
        spread.add(torch.tensor(part, dtype=torch.float64) + offset)
    everything = np.concatenate([np.array(part) for part in parts]) + offset
    assert spread.value() == pytest.approx(everything.std(), rel=1e-6, abs=1e-9)


def test_nothing_has_no_spread():
    with pytest.raises(ValueError, match="of nothing"):
        Spread().value()


@pytest.mark.parametrize("broken", [math.nan, math.inf])
def test_a_number_that_is_not_finite_is_not_hidden(broken):
    spread = Spread()
    spread.add(torch.tensor([1.0, 2.0]))
    spread.add(torch.tensor([1.0, broken]))
    spread.add(torch.tensor([1.0, 2.0]))
    assert not math.isfinite(spread.value())


def lived_in(name, **options):
    """A net whose normalisations have running statistics of some images, and are not 1 and 0."""
    torch.manual_seed(0)
    model = models.create(name, **options)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape))
        for _ in range(3):
            model(torch.randn(8, 3, 16, 16))
    return model


@pytest.mark.parametrize("batch_size", [1, 4, 11, 50])
@pytest.mark.parametrize(
    ("name", "options"),
    [("cifar_resnet14", {}), ("cifar_plain8", {"norm": "none", "activation": "tanh"})],
)
def test_equal_to_all_outputs_at_once(name, options, batch_size):
    model = lived_in(name, **options)
    images = torch.randn(11, 3, 16, 16)
    got = response_std(model, images, batch_size=batch_size)
    outputs = {}
    model.eval()
    for layer, module in response_layers(model):
        module.register_forward_hook(
            lambda _module, _inputs, output, layer=layer: outputs.update({layer: output})
        )
    with torch.no_grad():
        model(images)
    naive = [outputs[layer].double().std(correction=0).item() for layer in outputs]
    assert got == pytest.approx(naive, rel=1e-5)


@pytest.mark.parametrize("training", [True, False])
def test_the_net_is_left_as_it_was(training):
    model = lived_in("cifar_resnet8").train(training)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    response_std(model, torch.randn(4, 3, 16, 16), batch_size=3)
    assert model.training is training
    assert all(torch.equal(t, before[name]) for name, t in model.state_dict().items())
    assert not any(module._forward_hooks for module in model.modules())


def test_also_after_a_mistake():
    model = lived_in("cifar_resnet8")
    with pytest.raises(RuntimeError, match="channels"):
        response_std(model, torch.randn(4, 5, 16, 16), batch_size=2)
    assert model.training
    assert not any(module._forward_hooks for module in model.modules())


def test_bf16_is_near():
    model, images = lived_in("cifar_resnet8"), torch.randn(6, 3, 16, 16)
    exact = response_std(model, images, batch_size=6)
    rough = response_std(model, images, batch_size=6, precision="bf16")
    assert rough != exact
    assert rough == pytest.approx(exact, rel=0.02)


def test_what_has_no_responses():
    with pytest.raises(ValueError, match="no images"):
        response_std(lived_in("cifar_resnet8"), torch.zeros(0, 3, 16, 16), batch_size=2)
    with pytest.raises(TypeError, match="Linear"):
        response_std(nn.Linear(2, 2), torch.zeros(1, 2), batch_size=2)
