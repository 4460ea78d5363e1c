"""CIFAR nets compute what the published code computes, on recipe weights and on released ones."""

import json
import re

import numpy as np
import pytest
import torch

from recipe_weights import recipe_input, recipe_state
from replab.files import sha256_file
from replab.models import create, load
from replab.models.counting import count_parameters
from replab.models.loading import Checkpoint, read_checkpoint
from replab.models.resnet_cifar import infer_cifar

from .conftest import golden_dir, need, shared_dir
from .parity import assert_statistics

STAGES = {"stem_conv1_bn1": "bn1", "layer1": "layer1", "layer2": "layer2", "layer3": "layer3"}


def described(pattern, usual):
    """Files of the folder that match, and the usual ones, which are skipped where absent."""
    found = {path.name for path in golden_dir().glob(pattern)}
    return sorted(found | set(usual))


RECIPE = [
    name
    for name in described(
        "model_cifar_*.json", ["model_cifar_resnet20.json", "model_cifar_resnet32.json"]
    )
    if "realweights" not in name
]
REAL = described(
    "model_cifar_resnet*realweights*.json",
    ["model_cifar_resnet20_realweights.json", "model_cifar_resnet32_realweights.json"],
)
KEYS = described("keys_cifar_*.txt", ["keys_cifar_resnet20.txt", "keys_cifar_resnet32.txt"])


def read(name):
    """The description, the arrays and the input of a golden."""
    about = json.loads(need(golden_dir() / name).read_text())
    with np.load(need((golden_dir() / name).with_suffix(".npz"))) as file:
        arrays = dict(file)
    shape = about.get("input_shape", (len(arrays["logits"]), 3, 32, 32))
    given = arrays.get("input")
    drawn = recipe_input(shape, about.get("input_seed", 0))
    images = drawn if given is None else torch.from_numpy(given)
    return about, arrays, images


def model_of(about):
    """The net that the golden's `model` names, with as many parameters as the golden says."""
    name = re.match(r"cifar_(resnet|plain)\d+", about["model"])[0]
    options = [{}] if "plain" in name else [{"shortcut": "A"}, {"shortcut": "B"}]
    nets = [create(name, **option) for option in options]
    fitting = [net for net in nets if count_parameters(net) == about["parameters"]]
    assert len(fitting) == 1, f"{about['parameters']} parameters fit no shortcut option"
    return fitting[0].eval()


def run(model, images):
    """Logits and the outputs of the stages."""
    seen = {}
    hooks = [
        model.get_submodule(module).register_forward_hook(
            lambda _module, _inputs, output, stage=stage: seen.__setitem__(stage, output)
        )
        for stage, module in STAGES.items()
    ]
    with torch.no_grad():
        logits = model(images)
    for hook in hooks:
        hook.remove()
    return logits, seen


def close(got, expected, relative):
    expected = np.asarray(expected)
    return np.abs(np.asarray(got) - expected).max() <= relative * np.abs(expected).max()


def assert_parity(model, about, arrays, images):
    logits, seen = run(model, images)
    assert close(logits, arrays["logits"], 1e-5)
    assert_statistics(logits, about["output"])
    for stage, expected in about["intermediates"].items():
        assert_statistics(seen[stage], expected)
    exact, _ = run(model.double(), images.double())
    assert close(exact, arrays["logits_from_float64"], 1e-6)


@pytest.mark.parametrize("name", RECIPE)
def test_recipe_weights(name):
    about, arrays, images = read(name)
    model = model_of(about)
    load(model, Checkpoint(recipe_state(model.state_dict(), about["gain"])))
    assert_parity(model, about, arrays, images)


@pytest.mark.parametrize("name", REAL)
def test_released_weights(name):
    about, arrays, images = read(name)
    beside = golden_dir() / about["weights_file"]
    weights = shared_dir() / "data" / "cifar10" / "weights"
    file = need(beside if beside.is_file() else weights / about["weights_file"])
    assert sha256_file(file) == about["weights_sha256"]
    checkpoint = read_checkpoint(file)
    assert checkpoint.metadata["best_prec1"] == about["checkpoint_best_prec1"]
    inferred, options = infer_cifar(checkpoint.state_dict)
    assert about["model"].startswith(inferred)
    with torch.device("meta"):
        empty = create(inferred, **options)
    model = load(empty, checkpoint).eval()
    assert count_parameters(model) == about["parameters"]
    assert_parity(model, about, arrays, images)


@pytest.mark.parametrize("name", RECIPE)
def test_the_comparison_can_fail(name):
    """The same weights without, or with, the additions are far off."""
    about, arrays, images = read(name)
    family, depth = re.match(r"cifar_(resnet|plain)(\d+)", about["model"]).groups()
    other = create(f"cifar_{'resnet' if family == 'plain' else 'plain'}{depth}").eval()
    load(other, Checkpoint(recipe_state(other.state_dict(), about["gain"])))
    logits, _ = run(other, images)
    assert not close(logits, arrays["logits"], 1e-2)


@pytest.mark.parametrize("name", KEYS)
def test_keys(name):
    lines = need(golden_dir() / name).read_text().splitlines()
    depth = re.search(r"cifar_resnet(\d+)", name)[1]
    option = "B" if any("shortcut" in line for line in lines) else "A"
    state = create(f"cifar_resnet{depth}", shortcut=option).state_dict()
    ours = [
        "\t".join(
            (
                key,
                "x".join(str(size) for size in tensor.shape) or "scalar",
                str(tensor.dtype).removeprefix("torch."),
            )
        )
        for key, tensor in state.items()
    ]
    assert ours == lines
