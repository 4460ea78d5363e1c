"""Departures of the CIFAR nets from the paper: normalisation, activation, initialisation."""

import copy
import math
import pickle

import pytest
import torch
from torch import nn

from replab import models
from replab.models.counting import count_macs, count_parameters
from replab.models.folding import fold_batch_norm
from replab.models.resnet import conv_layers, response_layers

FORMS = [
    {"norm": norm, "activation": activation, "init": init}
    for norm in ("batch", "none")
    for activation in ("relu", "sigmoid", "tanh")
    for init in ("he", "xavier", "constant")
]


def made(name, seed=5, **options):
    torch.manual_seed(seed)
    return models.create(name, **options)


def test_the_default_is_drawn_as_ever():
    """Layer by layer in the order of the first version, whose seeds our records name."""
    torch.manual_seed(5)
    widths = [(3, 16), *[(16, 16)] * 4, (16, 32), *[(32, 32)] * 3, (32, 64), *[(64, 64)] * 3]
    layers = [nn.Conv2d(*width, 3, bias=False) for width in widths]
    layers.append(nn.Linear(64, 10))
    for layer in layers:
        nn.init.normal_(layer.weight, 0.0, math.sqrt(2 / layer.weight[0].numel()))
    following = torch.rand(3)
    for name in ("cifar_resnet14", "cifar_plain14"):
        model = made(name)
        assert torch.equal(torch.rand(3), following)
        weights = [p for key, p in model.named_parameters() if p.dim() > 1]
        assert all(torch.equal(w, old.weight) for w, old in zip(weights, layers, strict=True))


@pytest.mark.parametrize("name", ["cifar_resnet14", "cifar_plain14"])
def test_the_defaults_are_the_paper_s(name):
    default = made(name)
    paper = made(name, norm="batch", activation="relu", init="he")
    assert list(default.state_dict()) == list(paper.state_dict())
    for tensor, same in zip(
        default.state_dict().values(), paper.state_dict().values(), strict=True
    ):
        assert torch.equal(tensor, same)
    x = torch.randn(2, 3, 16, 16)
    assert torch.equal(default.eval()(x), paper.eval()(x))


@pytest.mark.parametrize("name", ["cifar_resnet8", "cifar_plain8"])
@pytest.mark.parametrize("form", FORMS, ids=lambda form: "-".join(form.values()))
def test_every_form_runs_and_is_trained_in_all_its_parameters(name, form):
    model = made(name, **form)
    logits = model(torch.randn(2, 3, 16, 16))
    assert logits.shape == (2, 10)
    logits.square().sum().backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in model.parameters())
    twin = pickle.loads(pickle.dumps(copy.deepcopy(model)))
    x = torch.randn(2, 3, 16, 16)
    assert torch.equal(twin.eval()(x), model.eval()(x))


def test_without_normalisation_there_are_biases_instead():
    with torch.device("meta"):
        batch, none = (models.create("cifar_resnet20", norm=n) for n in ("batch", "none"))
    assert not [m for m in none.modules() if isinstance(m, nn.BatchNorm2d)]
    channels = sum(m.num_features for m in batch.modules() if isinstance(m, nn.BatchNorm2d))
    # Of a normalisation's scale and shift, the bias stands for the shift.
    assert count_parameters(none) == count_parameters(batch) - channels
    shape = (1, 3, 32, 32)
    assert count_macs(none, shape).total == count_macs(batch, shape).total
    start = made("cifar_resnet20", norm="none", init="xavier")
    biases = [p for name, p in start.named_parameters() if name.endswith("bias")]
    assert len(biases) == 20
    assert not any(bias.any() for bias in biases)


def test_projections_have_no_normalisation_either():
    model = made("cifar_resnet14", shortcut="B", norm="none")
    assert isinstance(model.layer2[0].shortcut[1], nn.Identity)
    assert model.layer2[0].shortcut[0].bias is not None
    assert model(torch.randn(1, 3, 16, 16)).shape == (1, 10)


@pytest.mark.parametrize(
    ("activation", "function"),
    [("relu", torch.relu), ("sigmoid", torch.sigmoid), ("tanh", torch.tanh)],
)
@pytest.mark.parametrize("norm", ["batch", "none"])
def test_a_net_is_what_it_says(activation, function, norm):
    model = made("cifar_resnet8", norm=norm, activation=activation).eval()
    x = torch.randn(2, 3, 16, 16)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.02 * torch.randn(parameter.shape))
        out = function(model.bn1(model.conv1(x)))
        for stage in (model.layer1, model.layer2, model.layer3):
            for block in stage:
                inner = function(block.bn1(block.conv1(out)))
                out = function(block.bn2(block.conv2(inner)) + block.shortcut(out))
        assert torch.equal(model.linear(out.mean((2, 3))), model(x))


@pytest.mark.parametrize("init", ["xavier", "constant"])
def test_initialisations_differ_in_scale_alone(init):
    he, other = made("cifar_plain14"), made("cifar_plain14", init=init)
    for (name, a), b in zip(he.named_parameters(), other.parameters(), strict=True):
        if a.dim() == 1:
            assert torch.equal(a, b), name
            continue
        fan_in, fan_out = a[0].numel(), a[:, 0].numel()
        deviation = {"xavier": math.sqrt(2 / (fan_in + fan_out)), "constant": 0.01}[init]
        assert torch.allclose(b, a * (deviation / math.sqrt(2 / fan_in)), rtol=1e-5, atol=1e-8)
        assert abs(b.std() / deviation - 1) < 5 / math.sqrt(2 * b.numel())


@pytest.mark.parametrize("norm", ["batch", "none"])
@pytest.mark.parametrize("name", ["cifar_resnet14", "cifar_plain14"])
def test_responses_are_seen_before_activation_and_addition(name, norm):
    model = made(name, norm=norm, activation="sigmoid").eval()
    kept = []
    for _, layer in response_layers(model):
        layer.register_forward_hook(lambda _layer, inputs, output: kept.append((inputs, output)))
    with torch.no_grad():
        model(torch.randn(2, 3, 16, 16))
    assert len(kept) == len(conv_layers(model)) == 13
    # A sigmoid's output is positive: these have not met it.
    assert all((output < 0).any() for _, output in kept)
    if norm == "none":
        assert all(torch.equal(inputs[0], output) for inputs, output in kept)


def test_layers_and_their_responses_have_one_order():
    model = made("cifar_resnet14")
    pairs = zip(conv_layers(model), response_layers(model), strict=True)
    assert all(conv.replace("conv", "bn") == bn for (conv, _), (bn, _) in pairs)
    assert all(layer.kernel_size == (3, 3) for _, layer in conv_layers(model))
    with pytest.raises(TypeError, match="Linear is no residual or plain net"):
        conv_layers(nn.Linear(2, 2))


def test_folding_leaves_a_bare_net_as_it_is():
    model = made("cifar_resnet8", norm="none").eval()
    x = torch.randn(2, 3, 16, 16)
    assert torch.equal(fold_batch_norm(model)(x), model(x))
