"""Models are found by name, in one order, each registered once."""

import re

import pytest
import torch
from torch import nn

from replab.errors import UserError
from replab.models import registry
from replab.models.registry import Form, Model, register, registered


def test_every_listed_form_is_of_the_model_that_lists_it():
    for model in registered():
        for form in model.forms:
            assert registry.find(form.name) is model
            with torch.device("meta"):
                assert isinstance(registry.create(form.name, **form.options), nn.Module)


def test_classes_come_first_then_small_inputs():
    order = [model.pattern for model in registered()]
    assert order == [
        *("cifar_resnet{6n+2}", "cifar_plain{6n+2}"),
        *("resnet{18,34}", "resnet{50,101,152}", "plain{18,34}", "vgg{16,19}"),
        *("pose_hrnet_w{C}", "pose_resnet{10,18,34,50,101,152}", "cpm", "cpm_vgg"),
    ]


@pytest.mark.parametrize(
    ("name", "pattern"),
    [
        ("cifar_resnet8", "cifar_resnet{6n+2}"),
        ("resnet101", "resnet{50,101,152}"),
        ("pose_hrnet_w18", "pose_hrnet_w{C}"),
        ("pose_resnet10", "pose_resnet{10,18,34,50,101,152}"),
        ("cpm_vgg", "cpm_vgg"),
        ("resnet20", None),
        ("resnet018", None),
        ("pose_hrnet_w", None),
        ("cpm6", None),
        ("", None),
    ],
)
def test_a_name_is_of_one_model_or_none(name, pattern):
    fitting = [model for model in registered() if model.number(name) is not None]
    assert [model.pattern for model in fitting] == ([pattern] if pattern else [])
    assert registry.get(name) is (fitting[0] if fitting else None)


def test_unknown_names_are_answered_by_the_nearest():
    with pytest.raises(UserError, match=r"'cifar_resent20'.*nearest names cifar_resnet20, "):
        registry.find("cifar_resent20")


def test_a_name_is_registered_once():
    with pytest.raises(ValueError, match="cpm is registered already"):
        register(registry.find("cpm"))


def test_a_model_without_forms_is_listed_by_its_name():
    model = Model(name="plainest", build=nn.Identity, output="classes", input_shape=(3, 8, 8))
    assert (model.number("plainest"), model.pattern) == ((), "plainest")
    assert model.forms_of("plainest") == [Form(name="plainest")]


def test_state_dicts_are_told_by_one_family():
    for name in ("cifar_resnet8", "pose_hrnet_w8", "pose_resnet50", "cpm", "cpm_vgg"):
        with torch.device("meta"):
            names = registry.create(name).state_dict()
        prefixes = [model.tensor_prefix for model in registered() if model.infer]
        assert sum(any(own.startswith(prefix) for own in names) for prefix in prefixes) == 1


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"name": "resnet50"}, "resnet50 is registered already, as resnet{50,101,152}"),
        ({"name": "resnet", "numbers": (20, 34)}, "resnet34 is registered already"),
        ({"name": "cpm"}, "cpm is registered already"),
        ({"name": "toy", "forms": (Form(name="toyy"),)}, "no such name as toyy"),
        ({"name": "toy", "infer": lambda tensors: ("toy", {})}, "tensor_prefix"),
    ],
)
def test_what_would_stand_in_another_s_place_is_refused(fields, said):
    registered()
    with pytest.raises(ValueError, match=re.escape(said)):
        register(Model(build=nn.Identity, input_shape=(3, 32, 32), **fields))
    assert registry.get("toy") is None
