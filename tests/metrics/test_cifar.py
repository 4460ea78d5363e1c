"""The score of a CIFAR-10 checkpoint, against the unfolded network and its metadata."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from replab import models
from replab.datasets import cifar10
from replab.datasets.weights import CHECKPOINTS
from replab.errors import MissingData, UserError
from replab.files import sha256_file
from replab.metrics.cifar import prepare, score_checkpoint
from replab.models.preprocessing import RGB_IMAGENET
from replab.models.saving import save

ROOT = Path(__file__).resolve().parents[2]
IMAGENET = {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}
SHIFTED = {"mean": [0.2, 0.5, 0.7], "std": [0.4, 0.1, 0.3]}


@pytest.fixture(scope="module")
def images():
    """Coarse random patterns: of plain noise a network says the same each time."""
    coarse = np.random.default_rng(0).integers(0, 256, (50, 2, 2, 3), dtype=np.uint8)
    return coarse.repeat(16, axis=1).repeat(16, axis=2)


def net(name="cifar_resnet8", **options):
    """A net whose batch norms do something, and whose answers differ from image to image."""
    torch.manual_seed(1)
    model = models.create(name, **options)
    with torch.no_grad():
        for key, tensor in model.state_dict().items():
            if key.endswith(("running_mean", "bias")):
                tensor.normal_(0, 0.3)
            elif key.endswith("running_var") or (key.endswith("weight") and tensor.ndim == 1):
                tensor.uniform_(0.5, 2)
        model.eval()
        # A head that tells the images apart: features about their mean, no class preferred.
        features = []
        hook = model.linear.register_forward_pre_hook(lambda _, given: features.append(given[0]))
        generator = torch.Generator().manual_seed(2)
        coarse = torch.randn(40, 3, 2, 2, generator=generator)
        model(coarse.repeat_interleave(16, 2).repeat_interleave(16, 3))
        hook.remove()
        model.linear.weight.normal_().div_(features[0].std(dim=0) + 1e-3)
        model.linear.bias.copy_(-(model.linear.weight @ features[0].mean(dim=0)))
    return model


def slowly(model, images, mean, std, *, colour="RGB"):
    """Answers of the unfolded network, image by image, by the definitions."""
    answers = []
    for image in images:
        pixels = image.astype(np.float64) / 255
        if colour == "BGR":
            pixels = pixels[:, :, [2, 1, 0]]
        values = pixels.transpose(2, 0, 1)
        values = (values - np.asarray(mean)) / np.asarray(std)
        with torch.no_grad():
            logits = model(torch.from_numpy(values.astype(np.float32))[None])
        answers.append(int(logits.argmax()))
    return np.array(answers)


def per_channel(values):
    return np.reshape(values, (3, 1, 1))


def error_of(answers, labels):
    return 100 * float((answers != labels).mean())


def some_right(answers):
    """Labels that agree with the answers in about two of three images."""
    wrong = np.random.default_rng(1).random(len(answers)) < 0.35
    return np.where(wrong, (answers + 1) % 10, answers)


def one_line(path, call):
    with pytest.raises(UserError) as error:
        call()
    text = str(error.value)
    assert "\n" not in text
    assert str(path) in text
    return text


@pytest.mark.parametrize("shortcut", ["A", "B"])
def test_without_metadata(images, tmp_path, shortcut):
    model = net(shortcut=shortcut)
    path = tmp_path / "any name.th"
    state = {f"module.{key}": tensor for key, tensor in model.state_dict().items()}
    torch.save({"state_dict": state, "best_prec1": 12.3}, path)
    answers = slowly(model, images, *map(per_channel, IMAGENET.values()))
    assert len(set(answers)) > 2
    labels = some_right(answers)
    told = []
    score = score_checkpoint(path, images, labels, progress=lambda *words: told.append(words))
    assert score.error == pytest.approx(error_of(answers, labels), abs=1e-9)
    assert 20 < score.error < 50
    assert score.n == 50
    assert score.model.startswith(f"cifar_resnet8 (shortcut={shortcut}, ")
    assert score.preprocessing == dict(RGB_IMAGENET)
    assert told == [(1.0, "50 images")]
    assert json.loads(json.dumps(score.as_dict())) == score.as_dict()
    assert set(score.as_dict()) == {"error", "n", "model", "preprocessing"}


def saved(path, model, name, preprocessing, **options):
    about = {"model": name, "options": options, "preprocessing": preprocessing, "record": "0" * 16}
    save(model, path, **about)
    return path


@pytest.mark.parametrize("name", ["cifar_resnet8", "cifar_plain8"])
@pytest.mark.parametrize("colour", ["RGB", "BGR"])
@pytest.mark.parametrize("values", [IMAGENET, SHIFTED], ids=["imagenet", "shifted"])
def test_metadata_are_honoured(images, tmp_path, name, colour, values):
    model = net(name)
    path = saved(tmp_path / "net.safetensors", model, name, {"colour": colour, **values})
    answers = slowly(model, images, *map(per_channel, values.values()), colour=colour)
    labels = some_right(answers)
    score = score_checkpoint(path, images, labels)
    assert score.error == pytest.approx(error_of(answers, labels), abs=1e-9)
    assert score.model == name
    assert score.preprocessing == {"colour": colour, **values}


def test_the_cases_above_can_be_told_apart(images):
    """Another preprocessing, or a plain net taken for a residual one, gives other answers."""
    model, plain = net(), net("cifar_plain8")
    plain.load_state_dict(model.state_dict())
    usual = tuple(map(per_channel, IMAGENET.values()))
    answers = slowly(model, images, *usual)
    others = [
        slowly(plain, images, *usual),
        slowly(model, images, *usual, colour="BGR"),
        slowly(model, images, *map(per_channel, SHIFTED.values())),
        slowly(model, images, np.zeros((3, 32, 32)), 1),
    ]
    for other in others:
        assert (other != answers).any()


def test_options_in_the_metadata(images, tmp_path):
    model = net(shortcut="B")
    path = saved(
        tmp_path / "net.safetensors", model, "cifar_resnet8", {"colour": "RGB"}, shortcut="B"
    )
    answers = slowly(model, images, 0, 1)
    score = score_checkpoint(path, images, answers)
    assert (score.error, score.model) == (0.0, "cifar_resnet8 (shortcut=B)")


def test_a_mean_per_pixel(images, tmp_path):
    model = net()
    mean = (np.arange(3 * 32 * 32).reshape(3, 32, 32) % 97 / 97).tolist()
    path = saved(
        tmp_path / "net.safetensors", model, "cifar_resnet8", {"colour": "RGB", "mean": mean}
    )
    answers = slowly(model, images, mean, 1)
    labels = some_right(answers)
    score = score_checkpoint(path, images, labels)
    assert score.error == pytest.approx(error_of(answers, labels), abs=1e-9)


def test_prepare(images):
    got = prepare(images[:2], {"mean": [0.5, 0.25, 0.0], "std": [1.0, 2.0, 4.0]})
    assert got.shape == (2, 3, 32, 32)
    assert got.dtype == torch.float32
    expected = (images[1, 5, 7].astype(float) / 255 - [0.5, 0.25, 0]) / [1, 2, 4]
    np.testing.assert_allclose(got[1, :, 5, 7].numpy(), expected, atol=1e-6)
    assert got.is_contiguous(memory_format=torch.channels_last)
    before = images.copy()
    prepare(images, {"colour": "BGR", "mean": [1, 1, 1]})
    np.testing.assert_array_equal(images, before)


@pytest.mark.parametrize(
    ("preprocessing", "message"),
    [
        ({"colour": "YUV"}, "unknown colour order 'YUV'"),
        ({"mean": [1, 2]}, "mean of the preprocessing has shape"),
        ({"std": [[[1.0] * 3] * 32] * 32}, "std of the preprocessing has shape (32, 32, 3)"),
        ({"mean": "grey"}, "mean of the preprocessing holds other than numbers"),
        ({"mean": {"r": 1}}, "mean of the preprocessing holds other than numbers"),
        ({"std": [1, None, 2]}, "std of the preprocessing holds other than numbers"),
        ({"std": [0.2, 0, 0.2]}, "std of the preprocessing holds NaN, infinity or a zero"),
    ],
)
def test_a_preprocessing_that_does_not_fit(images, tmp_path, preprocessing, message):
    path = saved(tmp_path / "net.safetensors", net(), "cifar_resnet8", preprocessing)
    text = one_line(path, lambda: score_checkpoint(path, images, np.zeros(50)))
    assert message in text
    assert "save it anew" in text


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({"model": "[1]"}, "model of its metadata is not text"),
        ({"model": '"cifar_resnet8"', "options": "{broken"}, "options of its metadata is not a"),
        ({"preprocessing": "[0.5]"}, "preprocessing of its metadata is not a JSON object"),
        ({"model": '"cifar_resnet9"'}, "cifar_resnet9"),
        ({"model": '"cifar_resnet8"', "options": '{"width": 2}'}, "has no option width"),
        ({"model": '"cifar_resnet8"', "options": '{"shortcut": "Z"}'}, "Z"),
        ({"model": '"resnet18"'}, "is of resnet18, no net for colour images of CIFAR"),
        ({"model": '"cifar_resnet8"', "options": '{"in_channels": 1}'}, "no net for colour"),
        ({"model": '"cifar_resnet14"'}, "does not fit this"),
        ({"model": '"cifar_resnet8"', "options": '{"num_classes": 7}'}, "does not fit this"),
    ],
)
def test_corrupt_metadata(images, tmp_path, metadata, message):
    path = tmp_path / "net.safetensors"
    save_file(net().state_dict(), path, metadata=metadata)
    assert message in one_line(path, lambda: score_checkpoint(path, images, np.zeros(50)))


def test_a_model_in_plain_words(images, tmp_path):
    path = tmp_path / "net.safetensors"
    save_file(net("cifar_plain8").state_dict(), path, metadata={"model": "cifar_plain8"})
    assert score_checkpoint(path, images, np.zeros(50)).model == "cifar_plain8"


@pytest.mark.faults
def test_files_that_are_no_cifar_checkpoint(images, tmp_path):
    path = tmp_path / "net.th"
    cases = {"no weights at": None, "is empty": b"", "is damaged": b"nothing of the kind"}
    for message, content in cases.items():
        if content is not None:
            path.write_bytes(content)
        assert message in one_line(path, lambda: score_checkpoint(path, images, np.zeros(50)))
    torch.save({"weight": torch.ones(3)}, path)
    assert "of no network" in one_line(path, lambda: score_checkpoint(path, images, np.zeros(50)))
    state = net().state_dict()
    state["linear.bias"] = torch.full((10,), float("nan"))
    torch.save(state, path)
    text = one_line(path, lambda: score_checkpoint(path, images, np.zeros(50)))
    assert "logits are not finite" in text


def test_labels_that_do_not_fit(images, tmp_path):
    path = saved(tmp_path / "net.safetensors", net(), "cifar_resnet8", {})
    text = one_line(path, lambda: score_checkpoint(path, images, np.full(50, 10)))
    assert "out of the range of 10 classes" in text


def shared():
    named = os.environ.get("REPLAB_SHARED")
    return Path(named).expanduser() if named else ROOT.parent / "shared"


@pytest.mark.data
def test_the_published_resnet20_on_all_test_images():
    """8.27 %, as the README of akamaster/pytorch_resnet_cifar10@d5489e8 says, to the image."""
    try:
        data = cifar10.load()
    except MissingData as error:
        pytest.skip(str(error))
    known = CHECKPOINTS["cifar_resnet20"].remote
    path = shared() / "data" / "cifar10" / "weights" / known.file
    if not path.is_file():
        pytest.skip(f"{known.file} is not there; REPLAB_SHARED names the folder of facts")
    assert sha256_file(path) == known.sha256
    before = torch.get_num_threads()
    torch.set_num_threads(os.cpu_count() or 1)
    try:
        score = score_checkpoint(path, data.test_images, data.test_labels)
    finally:
        torch.set_num_threads(before)
    assert score.n == 10_000
    assert score.error == 8.27
    assert score.model.startswith("cifar_resnet20 (shortcut=A, ")
