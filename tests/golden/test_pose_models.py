"""Pose nets compute what the published code computes, on weights drawn from their names."""

import dataclasses
import json
import re

import numpy as np
import pytest
import torch

from recipe_weights import recipe_input, recipe_state
from replab.models import create, load
from replab.models.counting import count_macs, count_parameters
from replab.models.loading import Checkpoint

from .conftest import golden_dir, need
from .parity import assert_statistics

# The forms that the goldens may show. No two of a net have the same number of parameters, so that
# the number in a golden tells which it is, whatever its file is called.
FORMS = {
    "pose_hrnet": [{}],
    "pose_resnet": [
        {"deconv_layers": layers, "deconv_kernel": kernel}
        for layers in (3, 2, 1)
        for kernel in (4, 3, 2)
    ],
}
# Left and right joints, whose heat maps change places under a mirror, by the number of joints:
# COCO and MPII.
PAIRS = {
    17: [(joint, joint + 1) for joint in range(1, 17, 2)],
    16: [(0, 5), (1, 4), (2, 3), (10, 15), (11, 14), (12, 13)],
}


def described(pattern, usual):
    """Files of the folder that match, and the usual ones, which are skipped where absent."""
    found = {path.name for path in golden_dir().glob(pattern)}
    return sorted(found | set(usual))


USUAL = ["pose_hrnet_w32_256x192", "pose_resnet50_256x192"]
MODELS = described("model_pose_*.json", [f"model_{name}.json" for name in USUAL])
KEYS = described(
    "keys_pose_*.txt",
    [*(f"keys_{name}.txt" for name in USUAL), "keys_pose_hrnet_w32_mpii16_256x256.txt"],
)


def net_of(text, parameters, joints):
    """The net that a golden's name begins with, in the form that has that many parameters."""
    name = re.match(r"pose_hrnet_w\d+|pose_resnet\d+", text)[0]
    family = re.match(r"[a-z]+_[a-z]+?(?=_|\d)", name)[0]
    fitting = []
    for form in FORMS[family]:
        for count in joints:
            with torch.device("meta"):
                model = create(name, num_joints=count, **form)
            if count_parameters(model) == parameters:
                fitting.append(model)
    assert len(fitting) == 1, f"{parameters} parameters fit no form of {name}"
    return fitting[0].eval()


def run(model, images, wanted=()):
    """Heat maps and the outputs of the modules that the golden's stages name."""
    names = {"stem_after_second_bn": "bn2", "stem_after_maxpool": "maxpool"}
    seen = {}

    def hook(stage, branch):
        def keep(_module, _inputs, output):
            seen[stage] = output[int(branch)] if branch else output

        return keep

    hooks = []
    for stage in wanted:
        module, _, branch = stage.partition(".branch")
        submodule = model.get_submodule(names.get(module, module))
        hooks.append(submodule.register_forward_hook(hook(stage, branch)))
    with torch.no_grad():
        heatmaps = model(images)
    for handle in hooks:
        handle.remove()
    return heatmaps, seen


def worst(got, expected):
    """Largest difference, relative to the largest number expected."""
    expected = np.asarray(expected)
    assert got.shape == expected.shape
    return np.abs(np.asarray(got) - expected).max() / np.abs(expected).max()


@dataclasses.dataclass
class Case:
    """A golden and its net, with the recipe's weights."""

    about: dict
    arrays: dict
    images: torch.Tensor
    model: torch.nn.Module
    heatmaps: torch.Tensor
    seen: dict


@pytest.fixture(scope="module", params=MODELS)
def case(request):
    path = golden_dir() / request.param
    about = json.loads(need(path).read_text())
    with np.load(need(path.with_suffix(".npz"))) as file:
        arrays = dict(file)
    model = net_of(about["model"], about["parameters"], [about["output"]["shape"][1]])
    load(model, Checkpoint(recipe_state(model.state_dict(), about["gain"])))
    given = arrays.get("input")
    drawn = recipe_input(about["input_shape"], about.get("input_seed", 0))
    images = drawn if given is None else torch.from_numpy(given)
    return Case(about, arrays, images, model, *run(model, images, about["intermediates"]))


def test_heat_maps(case):
    assert worst(case.heatmaps, case.arrays["heatmaps"]) <= 1e-5
    assert_statistics(case.heatmaps, case.about["output"])


def test_stages(case):
    assert set(case.seen) == set(case.about["intermediates"])
    for stage, expected in case.about["intermediates"].items():
        assert_statistics(case.seen[stage], expected)


def test_counts(case):
    summary = case.about["authors_summary"]
    assert count_parameters(case.model) == case.about["parameters"]
    macs = count_macs(case.model, summary["input"])
    assert macs.total_paper == summary["multiply_adds"]
    assert macs.gflops_paper == pytest.approx(summary["gflops_1024cubed"], rel=1e-12)
    state = case.model.state_dict()
    assert len(state) == case.about["state_dict_entries"]
    assert len(list(case.model.buffers())) == case.about["buffers"]
    assert f"{count_parameters(case.model):,}" == summary["total_parameters"]


def test_flip_averages(case):
    if "flip_average_shift" not in case.arrays:
        pytest.skip("this golden has no flip test")
    mirrored, _ = run(case.model, case.images.flip(3))
    order = list(range(mirrored.shape[1]))
    for left, right in PAIRS[len(order)]:
        order[left], order[right] = right, left
    back = mirrored.flip(3)[:, order]
    shifted = back.clone()
    shifted[..., 1:] = back[..., :-1]
    for name, other in (("noshift", back), ("shift", shifted)):
        average = (case.heatmaps + other) / 2
        assert worst(average, case.arrays[f"flip_average_{name}"]) <= 1e-5


def test_the_comparison_can_fail(case):
    """One tensor out of hundreds rotated by one place, and the heat maps are off."""
    names = ("stage4.0.fuse_layers.0.3.0.weight", "deconv_layers.0.weight")
    state = case.model.state_dict()
    tensor = next(state[name] for name in names if name in state)
    before = tensor.clone()
    tensor.copy_(before.roll(1, 0))
    heatmaps, _ = run(case.model, case.images[:1])
    tensor.copy_(before)
    assert worst(heatmaps, case.arrays["heatmaps"][:1]) >= 1e-3


def test_in_double_precision(case):
    if "heatmaps_from_float64" not in case.arrays:
        pytest.skip("this golden has no run in double precision")
    exact, _ = run(case.model.double(), case.images[:1].double())
    case.model.float()  # exactly as it was
    assert worst(exact, case.arrays["heatmaps_from_float64"][:1]) <= 1e-6


@pytest.mark.parametrize("name", KEYS)
def test_keys(name):
    lines = need(golden_dir() / name).read_text().splitlines()
    entries = [line.split("\t") for line in lines]
    shapes = {key: shape.split("x") for key, shape, _ in entries}
    options = {"num_joints": int(shapes["final_layer.weight"][0])}
    net = re.match(r"keys_(pose_hrnet_w\d+|pose_resnet\d+)", name)[1]
    if "deconv_layers.0.weight" in shapes:
        kernels = [shape for key, shape in shapes.items() if re.match(r"deconv.*\.\d", key)]
        deconvs = [shape for shape in kernels if len(shape) == 4]
        options |= {"deconv_layers": len(deconvs), "deconv_kernel": int(deconvs[0][3])}
    with torch.device("meta"):
        state = create(net, **options).state_dict()
    ours = [
        [
            key,
            "x".join(str(size) for size in tensor.shape) or "scalar",
            str(tensor.dtype).removeprefix("torch."),
        ]
        for key, tensor in state.items()
    ]
    assert ours == entries


def extra_counts():
    path = golden_dir() / "model_counts_extra.json"
    if not path.is_file():
        return {"model_counts_extra.json": None}
    return json.loads(path.read_text())


@pytest.mark.parametrize("name", [name for name in extra_counts() if "cifar" not in name])
def test_counts_of_other_forms(name):
    need(golden_dir() / "model_counts_extra.json")
    expected = extra_counts()[name]
    model = net_of(name, expected["parameters"], (17, 16))
    height, width = map(int, re.search(r"(\d+)x(\d+)$", name).groups())
    macs = count_macs(model, (3, height, width))
    assert macs.gflops_paper == pytest.approx(expected["authors_gflops_1024cubed"], rel=1e-12)
