"""Which network looks: the user's file, fetched weights by their name, or our own small one."""

import shutil

import pytest
import torch

from replab import paths
from replab.datasets import pose_weights
from replab.errors import MissingData, UserError
from replab.files import sha256_file
from replab.models import create
from replab.photos.networks import open_weights, own_network

SMALL = {"width": 4, "deconv_layers": 1, "deconv_channels": 8}


def released(path, joints=17):
    torch.save(create("pose_resnet50", num_joints=joints, **SMALL).state_dict(), path)
    return path


def test_our_own_weights_say_how_they_are_used(own_file):
    found = open_weights(own_file)
    assert found.network.model == "pose_hrnet_w8"
    assert found.network.size == (32, 64)
    assert found.network.skeleton.name == "lsp"
    assert (found.codec.name, found.codec.sigma) == ("dark", 1.0)
    assert (found.file, found.sha256) == ("tiny.safetensors", sha256_file(own_file))
    # The user chose them, so they are labelled by their file alone.
    assert found.label == ""
    assert open_weights(own_file, model="pose_hrnet_w8").network.model == "pose_hrnet_w8"
    assert open_weights(own_file, size=(64, 64)).network.size == (64, 64)


def test_released_files_have_the_size_of_their_name(tmp_path):
    plain = open_weights(released(tmp_path / "mine.pth"))
    assert (plain.network.size, plain.codec.name, plain.codec.sigma) == ((192, 256), "released", 2)
    named = open_weights(released(tmp_path / "pose_resnet_50_384x288.pth.tar"))
    assert (named.network.size, named.codec.sigma) == ((288, 384), 3)
    again = open_weights(tmp_path / "mine.pth", model="sb-r50-384x288")
    assert again.network.size == (288, 384)


def test_fetched_weights_are_found_by_their_name(tmp_path, monkeypatch):
    monkeypatch.setenv("REPLAB_DATA", str(tmp_path))
    with pytest.raises(MissingData, match="sb-r50-256x192 are not on this machine"):
        open_weights(model="sb-r50-256x192")
    path = tmp_path / "weights" / pose_weights.CHECKPOINTS["sb-r50-256x192"].file
    path.parent.mkdir()
    released(path)
    found = open_weights(model="sb-r50-256x192")
    assert (found.network.model, found.file) == ("pose_resnet50", path.name)


def test_faults(tmp_path, own_file):
    with pytest.raises(UserError, match="no weights at"):
        open_weights(tmp_path / "none.pth")
    with pytest.raises(UserError, match="is of pose_hrnet_w8, not of pose_resnet50"):
        open_weights(own_file, model="sb-r50-256x192")
    with pytest.raises(UserError, match="--model nobody names no published weights"):
        open_weights(model="nobody")


def checkout(tmp_path, monkeypatch):
    (tmp_path / "replications").mkdir()
    monkeypatch.setenv("REPLAB_ROOT", str(tmp_path))
    assert paths.root() == tmp_path


def test_without_weights_our_own_are_taken_and_labelled(tmp_path, monkeypatch, own_file):
    checkout(tmp_path, monkeypatch)
    with pytest.raises(MissingData, match=r"results/\*/weights/\*\.safetensors\); give --weights"):
        open_weights()
    path = tmp_path / "results" / "hrnet" / "weights" / "poses.safetensors"
    path.parent.mkdir(parents=True)
    shutil.copy(own_file, path)
    assert own_network()[0] == path
    found = open_weights()
    assert found.label == (
        "replab's own small network, trained on LSP Extended; not a published model"
    )
    assert found.file == "poses.safetensors"
