"""Residual and plain nets: initialisation, shortcuts, Fig. 7 hooks, torchvision's equal."""

import math

import pytest
import torch
import torchvision
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from replab import models
from replab.models.loading import Checkpoint
from replab.models.resnet import response_layers
from replab.models.resnet_blocks import ZeroPadShortcut


def random_state(model, seed=0):
    """A state_dict in which every entry matters and activations stay of order one."""
    generator = torch.Generator().manual_seed(seed)
    state = {}
    for name, tensor in model.state_dict().items():
        if name.endswith("num_batches_tracked"):
            state[name] = torch.zeros((), dtype=torch.int64)
            continue
        noise = torch.empty(tensor.shape).normal_(generator=generator)
        if tensor.dim() > 1:
            state[name] = noise.mul_((1.5 / tensor[0].numel()) ** 0.5)
        elif name.endswith("running_var"):
            state[name] = (0.1 * noise).exp()
        else:
            state[name] = 0.1 * noise + (name.endswith("weight"))
    return state


@pytest.mark.parametrize(
    ("name", "theirs"),
    [
        ("resnet18", torchvision.models.resnet18),
        ("resnet50", torchvision.models.resnet50),
        ("vgg16", torchvision.models.vgg16),
    ],
)
def test_torchvision_parity(name, theirs):
    with torch.device("meta"):
        ours, reference = models.create(name), theirs(weights=None)
    assert list(ours.state_dict()) == list(reference.state_dict())
    state = random_state(reference)
    models.load(ours, Checkpoint(state))
    reference.load_state_dict(state, strict=True, assign=True)
    images = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        got, expected = ours.eval()(images), reference.eval()(images)
    assert expected.abs().max() > 0.1
    assert (got - expected).abs().max() <= 1e-5 * expected.abs().max()


@pytest.mark.parametrize(
    ("name", "theirs"),
    [
        ("resnet34", torchvision.models.resnet34),
        ("resnet101", torchvision.models.resnet101),
        ("resnet152", torchvision.models.resnet152),
        ("vgg19", torchvision.models.vgg19),
    ],
)
def test_torchvision_names_and_shapes(name, theirs):
    with torch.device("meta"):
        ours, reference = models.create(name).state_dict(), theirs(weights=None).state_dict()
    assert [(key, tensor.shape) for key, tensor in ours.items()] == [
        (key, tensor.shape) for key, tensor in reference.items()
    ]


def test_akamaster_names_of_option_b():
    with torch.device("meta"):
        a, b = (models.create("cifar_resnet20", shortcut=option).state_dict() for option in "AB")
    entries = ("0.weight", "1.weight", "1.bias", "1.running_mean", "1.running_var")
    extra = {
        f"{stage}.0.shortcut.{entry}"
        for stage in ("layer2", "layer3")
        for entry in (*entries, "1.num_batches_tracked")
    }
    assert set(b) - set(a) == extra
    assert set(a) <= set(b)
    assert b["layer2.0.shortcut.0.weight"].shape == (32, 16, 1, 1)


def projections(model):
    return [name for name in model.state_dict() if name.endswith("downsample.0.weight")]


def test_imagenet_shortcut_options():
    with torch.device("meta"):
        made = {
            (name, option): models.create(name, shortcut=option)
            for name in ("resnet18", "resnet50")
            for option in "ABC"
        }
    counts = {key: len(projections(model)) for key, model in made.items()}
    assert counts == {
        ("resnet18", "A"): 0,
        ("resnet18", "B"): 3,
        ("resnet18", "C"): 8,
        ("resnet50", "A"): 0,
        ("resnet50", "B"): 4,
        ("resnet50", "C"): 16,
    }


def test_the_stride_sits_where_it_is_put():
    with torch.device("meta"):
        nets = {where: models.create("resnet50", stride_on=where) for where in ("1x1", "3x3")}
    for where, (first, second) in {"1x1": (2, 1), "3x3": (1, 2)}.items():
        block = nets[where].layer3[0]
        assert (block.conv1.stride[0], block.conv2.stride[0]) == (first, second)
        assert nets[where].layer3[1].conv1.stride == nets[where].layer3[1].conv2.stride == (1, 1)


@given(
    batch=st.integers(1, 2),
    channels=st.integers(1, 6),
    added=st.integers(0, 4).map(lambda half: 2 * half),
    stride=st.sampled_from([1, 2]),
    height=st.integers(1, 7),
    width=st.integers(1, 7),
)
def test_option_a_equals_its_definition(batch, channels, added, stride, height, width):
    x = torch.randn(batch, channels, height, width)
    got = ZeroPadShortcut(added, stride)(x)
    expected = torch.zeros(
        batch, channels + added, math.ceil(height / stride), math.ceil(width / stride)
    )
    for channel in range(channels):
        for row in range(expected.shape[2]):
            for column in range(expected.shape[3]):
                expected[:, added // 2 + channel, row, column] = x[
                    :, channel, stride * row, stride * column
                ]
    assert torch.equal(got, expected)


def test_option_a_pads_a_quarter_of_the_planes_on_each_side():
    shortcut = models.create("cifar_resnet8").layer3[0].shortcut
    x = torch.randn(1, 32, 16, 16)
    out = shortcut(x)
    assert out.shape == (1, 64, 8, 8)
    assert torch.equal(out[:, 16:48], x[:, :, ::2, ::2])
    assert not out[:, :16].any()
    assert not out[:, 48:].any()


@pytest.mark.parametrize(
    ("plain", "residual"),
    [("cifar_plain20", "cifar_resnet20"), ("cifar_plain56", "cifar_resnet56")],
)
def test_plain_and_residual_nets_start_from_the_same_parameters(plain, residual):
    torch.manual_seed(3)
    a = models.create(plain)
    torch.manual_seed(3)
    b = models.create(residual)
    state = b.state_dict()
    assert list(a.state_dict()) == list(state)
    assert all(torch.equal(tensor, state[name]) for name, tensor in a.state_dict().items())
    x = torch.randn(2, 3, 32, 32)
    assert not torch.allclose(a.eval()(x), b.eval()(x))


def test_plain18_has_the_parameters_of_option_a():
    with torch.device("meta"):
        a, b = models.create("plain18"), models.create("resnet18", shortcut="A")
    assert list(a.state_dict()) == list(b.state_dict())


def test_a_plain_block_is_its_two_layers():
    block = models.create("cifar_plain8").eval().layer2[0]
    x = torch.randn(2, 16, 8, 8)
    inner = torch.relu(block.bn1(block.conv1(x)))
    assert torch.equal(block(x), torch.relu(block.bn2(block.conv2(inner))))


@pytest.mark.parametrize("name", ["cifar_resnet20", "resnet18"])
def test_he_initialisation(name):
    torch.manual_seed(0)
    model = models.create(name)
    for module in model.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            count, expected = module.weight.numel(), math.sqrt(2 / module.weight[0].numel())
            # Five standard errors of a mean and of a standard deviation.
            assert abs(module.weight.mean()) < 5 * expected / count**0.5
            assert abs(module.weight.std() / expected - 1) < 5 / (2 * count) ** 0.5
            assert module.bias is None or not module.bias.any()
        elif isinstance(module, nn.BatchNorm2d):
            assert module.eps == 1e-5
            assert (module.weight == 1).all()
            assert not module.bias.any()


def test_vgg_initialisation_is_he():
    from replab.models.initialisation import he_normal

    layer = nn.Linear(50, 400)
    he_normal(layer)
    assert abs(layer.weight.std() / 0.2 - 1) < 0.05
    assert not layer.bias.any()


@given(n=st.integers(1, 6), family=st.sampled_from(["resnet", "plain"]))
def test_response_layers_of_cifar_nets(n, family):
    with torch.device("meta"):
        model = models.create(f"cifar_{family}{6 * n + 2}")
    layers = response_layers(model)
    blocks = [f"layer{stage}.{i}" for stage in (1, 2, 3) for i in range(n)]
    expected = ["bn1", *(f"{block}.{bn}" for block in blocks for bn in ("bn1", "bn2"))]
    assert [name for name, _ in layers] == expected
    assert len(layers) == 2 * n * 3 + 1
    assert all(model.get_submodule(name) is module for name, module in layers)
    assert all(isinstance(module, nn.BatchNorm2d) for _, module in layers)


def test_responses_come_in_network_order_before_relu_and_addition():
    model = models.create("cifar_resnet14").eval()
    kept = []
    for name, module in response_layers(model):
        module.register_forward_hook(
            lambda _module, _inputs, output, name=name: kept.append((name, output, output.clone()))
        )
    with torch.no_grad():
        model(torch.randn(2, 3, 32, 32))
    assert [name for name, _, _ in kept] == [name for name, _ in response_layers(model)]
    # Nothing writes into a response after the hook has seen it, and none has met a ReLU.
    assert all(torch.equal(output, copy) for _, output, copy in kept)
    assert all((output < 0).any() for _, output, _ in kept)


def test_response_layers_of_imagenet_nets():
    with torch.device("meta"):
        basic, bottleneck = models.create("resnet34"), models.create("resnet50")
        other = models.create("vgg16")
    assert len(response_layers(basic)) == 32
    assert len(response_layers(bottleneck)) == 16
    assert {name.rpartition(".")[2] for name, _ in response_layers(bottleneck)} == {"bn2"}
    with pytest.raises(TypeError, match="VGG"):
        response_layers(other)
