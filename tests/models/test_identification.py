"""A network is told by its tensors alone, whatever form it has and whoever wrote the file."""

from pathlib import Path

import numpy as np
import pytest
import torch

from replab.errors import UserError
from replab.models import create, load
from replab.models.identification import identify
from replab.models.loading import Checkpoint, read_checkpoint
from replab.models.preprocessing import BGR_IMAGENET, RGB_IMAGENET
from replab.models.registry import infer
from replab.models.saving import save

SMALL_CPM = {"head_width": 32, "head_kernel": 3, "image_kernel": 1, "stage_width": 24}
SMALL = {"stem": 16, "bottlenecks": 1, "modules": (1, 2, 1), "blocks": 1}


def meta(name, **options):
    with torch.device("meta"):
        return create(name, **options)


def shapes(model):
    return {name: tensor.shape for name, tensor in model.state_dict().items()}


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("pose_hrnet_w32", {}),
        ("pose_hrnet_w48", {"num_joints": 16}),
        ("pose_hrnet_w32", {"exchange": "across"}),
        ("pose_hrnet_w32", {"exchange": "end"}),
        ("pose_hrnet_w32", {"branches": "four"}),
        *(("pose_hrnet_w8", {"head": head} | SMALL) for head in ("1x", "2x", "4x", "8x", "each")),
        ("pose_hrnet_w12", {"modules": (1, 1, 1), "num_joints": 14}),
        ("pose_hrnet_w8", {"exchange": "across"} | SMALL),
        ("pose_hrnet_w8", {"exchange": "end", "head": "4x"} | SMALL),
        ("pose_resnet50", {}),
        ("pose_resnet101", {"num_joints": 16, "deconv_layers": 2}),
        ("pose_resnet152", {"deconv_layers": 1, "deconv_kernel": 2}),
        ("pose_resnet50", {"deconv_kernel": 3}),
        ("pose_resnet18", {"num_joints": 14}),
        ("pose_resnet10", {"width": 16, "deconv_channels": 64, "deconv_layers": 2}),
        ("cpm", {}),
        ("cpm", {"stages": 4, "num_joints": 9}),
        ("cpm", {"stages": 1}),
        ("cpm", {"stages": 2, "centre_map": False}),
        ("cpm", {"stages": 5, "shared": "features"}),
        ("cpm", {"stages": 3, "shared": "none", "tower_kernel": 5, "stage_layers": 2}),
        ("cpm", {"stages": 3, "stride": 4, "tower": (16, 24), "image_width": 24} | SMALL_CPM),
        ("cpm_vgg", {}),
        ("cpm_vgg", {"stages": 3, "num_joints": 16, "centre_map": False}),
        ("cifar_resnet20", {}),
        ("cifar_resnet56", {"shortcut": "B", "num_classes": 100}),
    ],
)
def test_the_inferred_net_has_the_same_tensors(name, options):
    model = meta(name, **options)
    found, inferred = infer(model.state_dict())
    assert found == name
    assert shapes(meta(found, **inferred)) == shapes(model)
    assert {key: inferred[key] for key in options} == options


@pytest.mark.parametrize("name", ["resnet18", "vgg16"])
def test_nets_that_cannot_be_told(name):
    with pytest.raises(UserError, match="of no network that can be told by its tensors"):
        infer(meta(name).state_dict())


@pytest.mark.parametrize(
    ("name", "lost", "kind"),
    [
        ("pose_hrnet_w8", "conv1.weight", "no pose HRNet"),
        ("pose_hrnet_w8", "final_layer.weight", "no pose HRNet"),
        ("pose_resnet50", "layer3.2.conv1.weight", "no pose ResNet"),
        ("pose_resnet50", "final_layer.weight", "no pose ResNet"),
        ("cpm", "conv4_stage1.weight", "no CPM"),
        ("cpm", "Mconv1_stage4.weight", "no CPM"),
        ("cpm", "Mconv2_stage2.weight", "no CPM"),
        ("cpm_vgg", "conv5_2_CPM.weight", "no CPM"),
    ],
)
def test_incomplete_nets_are_refused(name, lost, kind):
    state = meta(name).state_dict()
    del state[lost]
    with pytest.raises(UserError, match=kind):
        infer(state)


def mmpose(state, head="head"):
    """The names that mmpose gives the tensors of a pose net."""
    heads = ("final_layer", "deconv_layers")
    return {
        f"{head if name.startswith(heads) else 'backbone'}.{name}": value
        for name, value in state.items()
    }


class TestFiles:
    @pytest.mark.parametrize("head", ["head", "keypoint_head"])
    @pytest.mark.parametrize(
        ("name", "options"), [("pose_hrnet_w8", SMALL), ("pose_resnet50", {"deconv_layers": 1})]
    )
    def test_mmpose_checkpoints_load_strictly(self, tmp_path, name, options, head):
        torch.manual_seed(1)
        model = create(name, **options)
        path = tmp_path / "net.pth"
        about = {"epoch": 210, "dataset_meta": {"sigmas": np.full(17, 0.1)}}
        torch.save({"meta": about, "state_dict": mmpose(model.state_dict(), head)}, path)
        checkpoint = read_checkpoint(path)
        found = identify(checkpoint, path)
        assert (checkpoint.layout, found.model, found.told) == ("mmpose", name, False)
        # mmpose converts pictures to RGB for every network.
        assert found.preprocessing == dict(RGB_IMAGENET)
        loaded = load(create(found.model, **found.options), checkpoint)
        for key, tensor in model.state_dict().items():
            assert torch.equal(loaded.state_dict()[key], tensor)

    def test_training_checkpoints_of_the_authors(self, tmp_path):
        model = create("pose_hrnet_w8", **SMALL)
        path = tmp_path / "checkpoint.pth"
        state = {f"module.{name}": value for name, value in model.state_dict().items()}
        content = {
            "epoch": 3,
            "model": "pose_hrnet",
            "state_dict": state,
            "best_state_dict": model.state_dict(),
            "perf": np.float64(0.74),
            "optimizer": {"state": {}, "param_groups": []},
        }
        torch.save(content, path)
        checkpoint = read_checkpoint(path)
        assert checkpoint.metadata["perf"] == 0.74
        found = identify(checkpoint, path)
        assert (found.model, found.told) == ("pose_hrnet_w8", False)
        load(create(found.model, **found.options), checkpoint)

    def test_released_colour_orders(self):
        resnet = Checkpoint(meta("pose_resnet50").state_dict())
        hrnet = Checkpoint(meta("pose_hrnet_w32").state_dict())
        assert identify(resnet, Path("a")).preprocessing == dict(BGR_IMAGENET)
        assert identify(hrnet, Path("a")).preprocessing == dict(RGB_IMAGENET)

    def test_our_own_weights_say_what_they_are(self, tmp_path):
        model = create("pose_resnet50", deconv_layers=1)
        path = tmp_path / "net.safetensors"
        own = {"colour": "RGB", "mean": [0.5] * 3, "std": [0.2] * 3, "size": [96, 128]}
        options = {"deconv_layers": 1}
        save(
            *(model, path),
            model="pose_resnet50",
            options=options,
            preprocessing=own,
            record="abc",
        )
        found = identify(read_checkpoint(path), path)
        assert found.told
        assert (found.model, found.options, found.preprocessing) == ("pose_resnet50", options, own)


def test_simple_baseline_weights_given_to_hrnet():
    checkpoint = Checkpoint(meta("pose_resnet50").state_dict())
    with pytest.raises(UserError) as error:
        load(create("pose_hrnet_w8"), checkpoint)
    message = str(error.value)
    assert "\n" not in message
    assert message.endswith("(pose_resnet50, by its tensors)")
    # Every tensor is spoken for, more than eight of a kind by the part of the net they are in.
    assert "stage4.* (" in message
    assert "deconv_layers.* (18)" in message
