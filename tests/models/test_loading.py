"""Weights in, strictly, whatever wraps them; weights out, with their origin."""

import json
import os
import pickle
import stat

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from replab import models
from replab.errors import UserError
from replab.models.loading import Checkpoint, load_backbone, read_checkpoint
from replab.models.resnet_cifar import infer_cifar
from replab.models.saving import save


def net(seed=0, name="cifar_resnet8", **options):
    torch.manual_seed(seed)
    return models.create(name, **options)


def equal(a, b):
    return list(a) == list(b) and all(torch.equal(a[name], b[name]) for name in a)


def message_of(error):
    text = str(error.value)
    assert "\n" not in text
    return text


@pytest.mark.parametrize("suffix", [".th", ".pth", ".pt"])
@pytest.mark.parametrize(
    "wrap",
    [
        lambda state: state,
        lambda state: {"state_dict": state, "best_prec1": 91.5},
        lambda state: {"model": state, "epoch": 7},
        lambda state: {"model": {"state_dict": state}, "optimizer": {"state": {}}},
        lambda state: {"state_dict": {f"module.{name}": t for name, t in state.items()}},
        lambda state: {f"module.module.{name}": t for name, t in state.items()},
    ],
    ids=["bare", "state_dict", "model", "nested", "module", "module twice"],
)
def test_layouts(tmp_path, suffix, wrap):
    model, path = net(1), tmp_path / f"w{suffix}"
    torch.save(wrap(model.state_dict()), path)
    fresh = models.load(net(2), path)
    assert equal(fresh.state_dict(), model.state_dict())
    assert equal(models.load(net(3), str(path)).state_dict(), model.state_dict())


def test_metadata_of_a_torch_checkpoint(tmp_path):
    path = tmp_path / "w.th"
    torch.save({"state_dict": net().state_dict(), "best_prec1": 91.5, "arch": "r8"}, path)
    checkpoint = read_checkpoint(path)
    assert checkpoint.metadata == {"best_prec1": 91.5, "arch": "r8"}
    assert checkpoint.source == path


def test_legacy_format(tmp_path):
    model, path = net(1), tmp_path / "w.th"
    torch.save(model.state_dict(), path, _use_new_zipfile_serialization=False)
    assert equal(models.load(net(2), path).state_dict(), model.state_dict())


def test_save_and_read_back(tmp_path):
    model, path = net(1, shortcut="B"), tmp_path / "deep" / "w.safetensors"
    about = {
        "model": "cifar_resnet8",
        "options": {"shortcut": "B"},
        "preprocessing": {"order": "RGB", "mean": [0.1, 0.2, 0.3]},
        "record": "a1b2",
    }
    save(model.to(memory_format=torch.channels_last), path, **about)
    checkpoint = read_checkpoint(path)
    told = dict(checkpoint.metadata)
    assert len(told.pop("tensors_sha256")) == 64
    assert told == about
    assert {name: t.shape for name, t in checkpoint.state_dict.items()} == {
        name: t.shape for name, t in model.state_dict().items()
    }
    again = models.create(checkpoint.metadata["model"], **checkpoint.metadata["options"])
    assert equal(models.load(again, checkpoint).state_dict(), model.state_dict())
    assert stat.S_IMODE(path.stat().st_mode) & 0o444
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_save_is_deterministic_and_standard(tmp_path):
    from safetensors import safe_open

    files = [tmp_path / f"{i}.safetensors" for i in range(6)]
    for file in files:
        save(
            net(1).state_dict(),
            file,
            model="cifar_resnet8",
            options={},
            preprocessing={"b": 1, "a": 2},
            record=None,
        )
    assert len({file.read_bytes() for file in files}) == 1
    with safe_open(files[0], framework="pt") as file:
        assert json.loads(file.metadata()["preprocessing"]) == {"a": 2, "b": 1}
        assert torch.equal(file.get_tensor("conv1.weight"), net(1).conv1.weight)


def test_save_wants_safetensors(tmp_path):
    with pytest.raises(UserError, match="safetensors"):
        save(net(), tmp_path / "w.pth", model="x", options={}, preprocessing={}, record=None)
    assert list(tmp_path.iterdir()) == []


def test_foreign_metadata_stays_text(tmp_path):
    from safetensors.torch import save_file

    path = tmp_path / "w.safetensors"
    save_file({"a": torch.ones(2)}, path, metadata={"format": "pt", "epoch": "3"})
    assert read_checkpoint(path).metadata == {"format": "pt", "epoch": 3}


class Code:
    def __reduce__(self):
        return os.mkdir, ("must-not-exist",)


def damaged(kind, folder):
    """A file that cannot be read, and words that its error must have."""
    whole = folder / "whole.pth"
    torch.save(net().state_dict(), whole)
    data = whole.read_bytes()
    ours = folder / "whole.safetensors"
    save(net(), ours, model="m", options={}, preprocessing={}, record=None)
    tensors = ours.read_bytes()
    contents = {
        "empty.pth": b"",
        "empty.safetensors": b"",
        "truncated.pth": data[: len(data) // 2],
        "short.pth": data[:10],
        "truncated.safetensors": tensors[: len(tensors) // 2],
        "short.safetensors": tensors[:5],
        "text.th": b"hello world\n",
        "page.pth": b"<!DOCTYPE html><html><body>404</body></html>",
        "pickle.pth": data[:-40],
        "code.pth": pickle.dumps({"state_dict": Code()}, protocol=2),
        "torch.safetensors": data,
    }
    path = folder / kind
    if kind == "module.pth":
        torch.save(nn.Linear(2, 2), path)
    elif kind == "nothing.pth":
        torch.save({"epoch": 3, "state_dict": {}}, path)
    elif kind == "list.pth":
        torch.save([torch.ones(2)], path)
    elif kind == "folder.pth":
        path.mkdir()
    elif kind != "absent.pth":
        path.write_bytes(contents[kind])
    return path


@pytest.mark.faults
@pytest.mark.parametrize(
    ("kind", "word"),
    [
        ("absent.pth", "no weights at"),
        ("folder.pth", "no file"),
        ("empty.pth", "empty"),
        ("empty.safetensors", "empty"),
        ("truncated.pth", "damaged"),
        ("short.pth", "damaged"),
        ("truncated.safetensors", "damaged"),
        ("short.safetensors", "damaged"),
        ("torch.safetensors", "damaged"),
        ("text.th", "damaged"),
        ("page.pth", "damaged"),
        ("pickle.pth", "damaged"),
        ("code.pth", "pickled code"),
        ("module.pth", "pickled code"),
        ("nothing.pth", "no tensors"),
        ("list.pth", "no tensors"),
    ],
)
def test_unreadable_files(tmp_path, monkeypatch, kind, word):
    monkeypatch.chdir(tmp_path)
    path = damaged(kind, tmp_path)
    with pytest.raises(UserError) as error:
        read_checkpoint(path)
    message = message_of(error)
    assert word in message
    assert str(path) in message
    assert not (tmp_path / "must-not-exist").exists()


STATE = net(5).state_dict()
FLOATS = [name for name in STATE if not name.endswith("num_batches_tracked")]


@settings(max_examples=40, deadline=None)
@given(
    name=st.sampled_from(FLOATS),
    other=st.sampled_from(FLOATS),
    mutation=st.sampled_from(["drop", "rename", "reshape", "kind", "add"]),
)
def test_any_mutation_is_named_and_nothing_is_loaded(name, other, mutation):
    state, expected = dict(STATE), [name]
    if mutation == "drop":
        del state[name]
    elif mutation == "rename":
        state[f"{name}_"] = state.pop(name)
        expected.append(f"{name}_")
    elif mutation == "reshape":
        state[name] = state[name].unsqueeze(0)
    elif mutation == "kind":
        state[name] = state[name].to(torch.int64)
    else:
        expected = [f"extra.{other}"]
        state[expected[0]] = state[other]
    model = net(6)
    before = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    with pytest.raises(UserError) as error:
        models.load(model, Checkpoint(state))
    message = message_of(error)
    assert all(part in message for part in expected)
    assert "nothing was loaded" in message
    assert equal(model.state_dict(), before)


def test_long_lists_name_the_parts_of_the_net(tmp_path):
    path = tmp_path / "w.pth"
    torch.save(net(name="cifar_resnet14").state_dict(), path)
    with pytest.raises(UserError) as error:
        models.load(net(num_classes=5), path)
    message = message_of(error)
    # A block has twelve entries; three stages have one block too many.
    assert "36 unexpected: layer1.* (12), layer2.* (12), layer3.* (12);" in message
    assert "made for (cifar_resnet14, by its tensors)" in message
    assert (
        "2 of another shape: linear.weight (10×64, not 5×64), linear.bias (10, not 5)" in message
    )
    assert str(path) in message


def test_old_checkpoints_have_no_counters():
    state = {name: STATE[name] for name in FLOATS}
    model = models.load(net(6), Checkpoint(state))
    assert all(torch.equal(model.state_dict()[name], state[name]) for name in FLOATS)


@pytest.mark.parametrize("with_counters", [True, False])
def test_a_model_without_memory_gets_some(with_counters):
    state = STATE if with_counters else {name: STATE[name] for name in FLOATS}
    with torch.device("meta"):
        model = models.create("cifar_resnet8")
    models.load(model, Checkpoint(dict(state)))
    assert equal(model.state_dict(), STATE)
    assert all(parameter.requires_grad for parameter in model.parameters())
    with torch.no_grad():
        model.conv1.weight.zero_()
    assert STATE["conv1.weight"].any(), "the checkpoint must not share the model's memory"


def test_half_precision_weights_are_widened():
    half = {name: t.half() if t.is_floating_point() else t for name, t in STATE.items()}
    model = models.load(net(6), Checkpoint(half))
    assert model.conv1.weight.dtype == torch.float32
    assert torch.equal(model.conv1.weight, STATE["conv1.weight"].half().float())


@settings(max_examples=25, deadline=None)
@given(
    n=st.integers(1, 12),
    shortcut=st.sampled_from("AB"),
    num_classes=st.integers(1, 200),
    in_channels=st.integers(1, 5),
)
def test_name_and_options_are_read_off_the_blocks(n, shortcut, num_classes, in_channels):
    options = {"shortcut": shortcut, "num_classes": num_classes, "in_channels": in_channels}
    with torch.device("meta"):
        state = models.create(f"cifar_resnet{6 * n + 2}", **options).state_dict()
    assert infer_cifar(state) == (f"cifar_resnet{6 * n + 2}", options)


@pytest.mark.parametrize(
    "change",
    [
        lambda state: state.clear(),
        lambda state: state.pop("linear.weight"),
        lambda state: state.pop("conv1.weight"),
        lambda state: state.pop("layer2.0.conv1.weight"),
        lambda state: state.update({"layer4.0.conv1.weight": torch.ones(1)}),
        lambda state: state.update({"layer1.2.conv1.weight": torch.ones(1)}),
        lambda state: state.update({"linear.weight": torch.ones(10, 512)}),
        lambda state: state.update({"conv1.weight": torch.ones(64, 3, 7, 7)}),
        lambda state: state.update({"conv1.weight": torch.ones(())}),
    ],
)
def test_other_nets_are_refused(change):
    state = dict(STATE)
    change(state)
    with pytest.raises(UserError) as error:
        infer_cifar(state)
    assert "no CIFAR net" in message_of(error)


def test_imagenet_weights_are_no_cifar_net():
    with torch.device("meta"):
        state = models.create("resnet18").state_dict()
    with pytest.raises(UserError, match="no CIFAR net"):
        infer_cifar(state)


SMALL = {"stem": 8, "bottlenecks": 1, "modules": (1, 1, 1), "blocks": 1}
NEW = ("deconv_layers", "final_layer")


def imagenet_like(model, seed=7, **more):
    """A classifier's weights on a pose net's backbone: old enough to have counted no batches."""
    generator = torch.Generator().manual_seed(seed)
    given = {
        name: torch.rand(tensor.shape, generator=generator)
        for name, tensor in model.state_dict().items()
        if name.partition(".")[0] not in NEW and not name.endswith("num_batches_tracked")
    }
    return given | more


@pytest.mark.parametrize(
    ("name", "options", "new"),
    [("pose_hrnet_w8", SMALL, {"final_layer"}), ("pose_resnet50", {"width": 8}, set(NEW))],
)
def test_a_backbone_is_taken_over_whole(tmp_path, name, options, new):
    model = net(1, name, **options)
    before = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    given = imagenet_like(model, **{"fc.weight": torch.ones(10, 4), "fc.bias": torch.ones(10)})
    # The head of another task may have the name of ours, and any shape.
    given["final_layer.weight"] = torch.ones(3, 3)
    path = tmp_path / "imagenet.pth"
    torch.save({"state_dict": given}, path)
    found = load_backbone(model, path, fresh=NEW)
    assert set(found.taken) == set(given) - {"fc.weight", "fc.bias", "final_layer.weight"}
    assert set(found.left) == {"fc.weight", "fc.bias", "final_layer.weight"}
    assert set(found.taken) | set(found.fresh) == set(before)
    assert {n.partition(".")[0] for n in found.fresh if not n.endswith("tracked")} == new
    for key, tensor in model.state_dict().items():
        assert torch.equal(tensor, given[key] if key in found.taken else before[key]), key
    text = str(found)
    assert "\n" not in text
    assert "left: fc.* (2), final_layer.* (1)" in text


def test_a_part_of_a_backbone_or_none_is_refused_and_changes_nothing():
    model = net(1, "pose_hrnet_w8", **SMALL)
    before = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    whole = imagenet_like(model)
    part = {k: v for k, v in whole.items() if not k.startswith("stage4.")}
    wider = whole | {"conv1.weight": torch.rand(64, 3, 3, 3)}
    other = {f"features.{k}": v for k, v in whole.items()}
    for state, words in (
        (part, r"missing: stage4\.\*"),
        (wider, r"1 of \d+ of another shape: conv1\.weight \(64×3×3×3, not 8×3×3×3\)"),
        (other, "missing: conv1"),
    ):
        with pytest.raises(UserError, match=words) as error:
            load_backbone(model, Checkpoint(state), fresh=NEW)
        assert "does not hold the backbone" in message_of(error)
    with pytest.raises(UserError, match="all of its parts are new"):
        load_backbone(model, Checkpoint(whole), fresh={k.partition(".")[0] for k in before})
    assert equal(model.state_dict(), before)
