"""Names and options of `create`, and the errors that a mistake in them gives."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from replab import models
from replab.errors import UserError


def one_line(error):
    message = str(error.value)
    assert "\n" not in message
    return message


def test_names_are_unique_and_complete():
    listed = models.names()
    assert len(listed) == len(set(listed)) == 27
    expected = {"cifar_resnet1202", "cifar_plain110", "resnet152", "plain34", "vgg19"}
    assert expected <= set(listed)
    assert {"pose_hrnet_w32", "pose_hrnet_w48", "pose_resnet101", "cpm"} <= set(listed)


@pytest.mark.parametrize("name", [name for name in models.names() if "1202" not in name])
def test_every_name_can_be_created(name):
    with torch.device("meta"):
        model = models.create(name)
    assert all(parameter.is_meta for parameter in model.parameters())


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("cifar_resnet8", {"shortcut": "A"}),
        ("cifar_resnet14", {"shortcut": "B"}),
        ("cifar_plain8", {}),
        ("resnet18", {"shortcut": "A"}),
        ("resnet18", {"shortcut": "C"}),
        ("resnet50", {"shortcut": "A"}),
        ("resnet50", {"shortcut": "C", "stride_on": "1x1"}),
        ("plain18", {}),
    ],
)
def test_options_shape_the_output_and_gradients_reach_everything(name, options):
    model = models.create(name, num_classes=7, in_channels=1, **options)
    logits = model(torch.randn(2, 1, 32, 32))
    assert logits.shape == (2, 7)
    logits.square().sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


@pytest.mark.parametrize(
    ("name", "options", "parts"),
    [
        ("resnet51", {}, ["'resnet51'", "cifar_resnet{6n+2}", "vgg{16,19}", "resnet50"]),
        ("ResNet50", {}, ["'ResNet50'", "resnet50"]),
        ("resnet050", {}, ["'resnet050'"]),
        ("resnet50\n", {}, ["resnet50\\n"]),
        ("", {}, ["the families are"]),
        ("cifar_resnet21", {}, ["6n+2", "20 or 26"]),
        ("cifar_plain2", {}, ["6n+2", "nearest is 8"]),
        ("cifar_plain20", {"shortcut": "A"}, ["shortcut", "num_classes=10"]),
        ("resnet18", {"stride_on": "1x1"}, ["stride_on", "shortcut='B'", "num_classes=1000"]),
        ("cifar_resnet20", {"shortcut": "C"}, ["'C'", "'A', 'B'"]),
        ("cifar_resnet20", {"norm": "group"}, ["norm='group'", "'batch', 'none'"]),
        ("cifar_plain20", {"activation": "gelu"}, ["'gelu'", "'relu', 'sigmoid', 'tanh'"]),
        ("cifar_plain20", {"init": "zero"}, ["'zero'", "'he', 'xavier', 'constant'"]),
        ("resnet18", {"norm": "none"}, ["no option norm", "shortcut='B'"]),
        ("resnet50", {"stride_on": "5x5"}, ["'5x5'", "'3x3', '1x1'"]),
        ("vgg16", {"num_classes": 0}, ["num_classes=0"]),
        ("cifar_resnet20", {"num_classes": True}, ["num_classes=True"]),
        ("resnet18", {"in_channels": 1.5}, ["in_channels=1.5"]),
    ],
)
def test_mistakes_are_named(name, options, parts):
    with pytest.raises(UserError) as error:
        models.create(name, **options)
    message = one_line(error)
    assert all(part in message for part in parts), message


@given(depth=st.integers(0, 400).filter(lambda depth: (depth - 2) % 6 != 0 or depth < 8))
def test_no_other_depth(depth):
    with pytest.raises(UserError):
        models.create(f"cifar_resnet{depth}")
