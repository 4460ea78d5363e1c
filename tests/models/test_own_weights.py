"""Files of our own weights: what they say, what they give back, and which are refused."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from replab import models
from replab.errors import UserError
from replab.models import own_weights
from replab.models.own_weights import OwnWeights
from replab.models.saving import save

RUN = "0123456789abcdef"
CLASSES = OwnWeights(
    model="cifar_resnet8",
    options={"shortcut": "B"},
    size=(32, 32),
    colour="RGB",
    mean=own_weights.shortest(np.random.default_rng(1).random((3, 32, 32), np.float32)),
    std=(1.0, 1.0, 1.0),
    classes=tuple("abcdefghij"),
    precision="bf16",
    test_data="cifar10",
    scores={"test_error": 12.34},
    run=RUN,
    paper="resnet",
    data={"name": "cifar10", "fingerprint": "f", "split": "all"},
    licence="none stated",
)
SMALL_HRNET = {"num_joints": 14, "stem": 8, "bottlenecks": 1, "modules": [1, 1, 1], "blocks": 1}
JOINTS = replace(
    CLASSES,
    model="pose_hrnet_w8",
    options=SMALL_HRNET,
    size=(96, 128),
    mean=(0.485, 0.456, 0.406),
    std=(0.229, 0.224, 0.225),
    classes=(),
    skeleton="lsp",
    codec="udp",
    sigma=1.5,
    head=2,
    test_data="lspet-test",
    scores={"pck": 61.5},
)


def written(folder, about=CLASSES, seed=1):
    torch.manual_seed(seed)
    net = models.create(about.model, **about.options)
    path = folder / "own.safetensors"
    own_weights.write(path, net, about)
    return path, net


def refusal(call, path):
    with pytest.raises(UserError) as caught:
        call(path)
    text = str(caught.value)
    assert "\n" not in text
    assert str(path) in text
    return text


@pytest.mark.parametrize("about", [CLASSES, JOINTS], ids=["classes", "joints"])
def test_what_was_written_is_read(tmp_path, about):
    path, net = written(tmp_path, about)
    found = own_weights.read_description(path)
    plain = {**vars(about), "mean": list(about.mean)}
    assert {**vars(found), "mean": list(found.mean)} == plain
    assert found.finds_joints == bool(about.skeleton)
    loaded, again = own_weights.load_network(path)
    assert again == found
    assert not loaded.training
    state = net.state_dict()
    assert all(torch.equal(tensor, state[name]) for name, tensor in loaded.state_dict().items())


def test_equal_networks_give_equal_bytes(tmp_path):
    first, second = tmp_path / "1", tmp_path / "2"
    first.mkdir()
    second.mkdir()
    assert written(first)[0].read_bytes() == written(second)[0].read_bytes()
    written(second, seed=2)
    assert (first / "own.safetensors").read_bytes() != (second / "own.safetensors").read_bytes()


def test_shortest_decimals_are_the_same_float32():
    values = np.random.default_rng(2).random((3, 40, 40), np.float32)
    nested = own_weights.shortest(values)
    assert np.array_equal(np.asarray(json.loads(json.dumps(nested)), np.float32), values)
    assert len(json.dumps(nested)) < 0.75 * len(json.dumps(values.astype(float).tolist()))


def test_every_changed_or_missing_byte_is_noticed(tmp_path):
    path, _ = written(tmp_path)
    whole = path.read_bytes()
    start = 8 + int.from_bytes(whole[:8], "little")
    for place in (start, (start + len(whole)) // 2, len(whole) - 1):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        assert "is damaged" in refusal(own_weights.load_network, path)
        # The description does not hang on the tensors.
        assert own_weights.read_description(path).run == RUN
    for cut in (0, 5, start - 1, start + 100, len(whole) - 1):
        path.write_bytes(whole[:cut])
        for call in (own_weights.load_network, own_weights.read_description):
            text = refusal(call, path)
            assert "is damaged" in text or "is empty" in text


def test_files_of_others_are_refused(tmp_path):
    net = models.create("cifar_resnet8")
    foreign = tmp_path / "foreign.safetensors"
    save(net, foreign, model="cifar_resnet8", options={}, preprocessing={}, record=None)
    torch.save(net.state_dict(), tmp_path / "foreign.pth")
    for path in (foreign, tmp_path / "foreign.pth"):
        for call in (own_weights.read_description, own_weights.load_network):
            assert "is not of our own weights" in refusal(call, path)
    assert "no weights at" in refusal(own_weights.read_description, tmp_path / "none.safetensors")


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"model": "cifar_resnet9"}, "its metadata are at fault"),
        ({"model": "cifar_resnet14"}, "does not fit this"),
        ({"model": "cifar_plain8", "options": {}}, "does not fit this"),
        ({"options": {"shortcut": "B", "taste": 1}}, "has no option taste"),
        ({"run": "no id"}, "no id of a run"),
        ({"colour": "GRB"}, "colour order 'GRB'"),
        ({"mean": [0.5]}, "mean of 1 channels"),
        ({"std": (1.0, 0.0, 1.0)}, "std of its preprocessing"),
        ({"size": (32.5, 32)}, "size of its preprocessing"),
        ({"precision": "int8"}, "precision 'int8'"),
        ({"classes": ()}, "neither joints nor classes"),
        ({"skeleton": "lsp"}, "neither joints nor classes"),
        ({"skeleton": "lsp", "classes": ()}, "joints without a codec"),
        ({"head": -1}, "a head -1"),
        ({"scores": {"test_error": "12"}}, "a score that is no number"),
        ({"scores": [1]}, "scores of its metadata is not a JSON object"),
        ({"data": "cifar10"}, "data of its metadata is not a JSON object"),
    ],
)
def test_metadata_that_make_no_sense(tmp_path, change, expected):
    torch.manual_seed(1)
    net = models.create(CLASSES.model, **CLASSES.options)
    path = tmp_path / "own.safetensors"
    own_weights.write(path, net, replace(CLASSES, **change))
    assert expected in refusal(own_weights.load_network, path)


def test_another_version_is_told(tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(own_weights, "FORMAT", 7)
        path, _ = written(tmp_path)
    text = refusal(own_weights.read_description, path)
    assert "format 7" in text
    assert "use the replab that wrote it" in text


def test_the_format_s_own_package_reads_every_kind_of_number(tmp_path):
    from safetensors.torch import load_file

    state = {
        "double": torch.rand(3, dtype=torch.float64),
        "half": torch.rand(2, 3).half(),
        "brain": torch.rand(5).bfloat16(),
        "scalar": torch.tensor(7),
        "empty": torch.zeros(0, 4),
        "flags": torch.tensor([True, False, True]),
        "float": torch.rand(2, 2).t(),
    }
    path = tmp_path / "kinds.safetensors"
    save(state, path, model="m", options={}, preprocessing={}, record=None)
    found = load_file(path)
    assert set(found) == set(state)
    for name, tensor in state.items():
        assert found[name].dtype == tensor.dtype
        assert torch.equal(found[name], tensor)
