"""A network that finds coloured dots, so that its answers are known, and pictures of such dots."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import dotted_people
from replab.keypoints.codecs import codec
from replab.keypoints.skeletons import LSP
from replab.models import create
from replab.models.own_weights import OwnWeights, write
from replab.photos.listing import entries
from replab.photos.networks import Opened
from replab.topdown.network import PoseNetwork, Preprocessing

TINY = {"num_joints": 14, "stem": 8, "bottlenecks": 1, "modules": (1, 1, 1), "blocks": 1}


class ColourNet(nn.Module):
    """Heatmaps as large as the image, high where the colour of a joint's dot is."""

    def __init__(self, joints):
        super().__init__()
        level = 15 * torch.arange(joints, dtype=torch.float32)
        colours = torch.stack((level, 255 - level, torch.full((joints,), 200.0)), dim=1) / 255
        self.register_buffer("colours", colours)

    def forward(self, images):
        apart = (images[:, None] - self.colours[:, :, None, None]).square().sum(2)
        return nn.functional.avg_pool2d(torch.exp(-apart / 2e-3), 3, stride=1, padding=1)


def colour_network(skeleton=LSP, label=""):
    """What `open_weights` would give for a network that finds the dots."""
    network = PoseNetwork(
        ColourNet(len(skeleton)),
        model="colours",
        options={},
        skeleton=skeleton,
        size=(128, 128),
        preprocessing=Preprocessing("RGB", (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
    )
    return Opened(network, codec("released"), "colours.pth", "0" * 64, label)


@pytest.fixture(scope="session")
def finds_dots():
    return colour_network()


@pytest.fixture(scope="session")
def make_network():
    return colour_network


@pytest.fixture
def dots(tmp_path):
    """Three pictures of a person each, their listing, and the joints and boxes of the people."""
    people = dotted_people.people(3, LSP)
    for number in range(3):
        Image.fromarray(people.images.read(number)).save(tmp_path / f"{number}.png")
    return entries([tmp_path]), people


@pytest.fixture(scope="session")
def own_file(tmp_path_factory):
    """A file of our own weights, of a tiny network that has learned nothing."""
    torch.manual_seed(3)
    path = tmp_path_factory.mktemp("own") / "tiny.safetensors"
    about = OwnWeights(
        model="pose_hrnet_w8",
        options=TINY,
        size=(32, 64),
        colour="RGB",
        mean=(0.485, 0.456, 0.406),
        std=(0.229, 0.224, 0.225),
        skeleton="lsp",
        codec="dark",
        sigma=1.0,
        test_data="lspet-test",
        scores={"pck": 12.5},
        run="0123456789abcdef",
        paper="hrnet",
        data={"name": "lspet-train", "fingerprint": "0" * 16, "split": "train"},
    )
    write(path, create(about.model, **TINY), about)
    return path


@pytest.fixture
def photograph():
    """A smooth picture, H×W×3."""
    ramp = np.linspace(40, 220, 90, dtype=np.uint8)
    return np.stack(np.broadcast_arrays(ramp[:60, None], ramp[None], np.uint8(120)), axis=-1)
