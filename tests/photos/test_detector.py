"""A detector of torchvision from a file: told by its tensors, loaded strictly, people only."""

import numpy as np
import pytest
import torch
from torchvision.models import detection

from replab.errors import UserError
from replab.photos import detector
from replab.photos.api import box_source
from replab.photos.detector import Detector

TINY = "ssdlite320_mobilenet_v3_large"


@pytest.fixture(scope="module")
def tiny_detector(tmp_path_factory):
    """A network that has learned nothing, but believes to see people everywhere."""
    torch.manual_seed(0)
    net = detection.ssdlite320_mobilenet_v3_large(
        weights=None, weights_backbone=None, num_classes=3
    )
    head = net.head.classification_head
    for module in head.module_list:
        # Per anchor: background, person, another class.
        module[1].bias.data.view(-1, 3)[:] = torch.tensor([0.0, 2.0, 1.0])
    path = tmp_path_factory.mktemp("detector") / "mine.pth"
    torch.save(net.state_dict(), path)
    return path


@pytest.fixture(scope="module")
def pictures():
    generator = np.random.default_rng(0)
    return [
        generator.integers(0, 256, (h, w, 3), dtype=np.uint8) for h, w in ((90, 120), (70, 50))
    ]


@pytest.fixture(scope="module")
def opened(tiny_detector):
    return box_source("detector", [], detector_weights=tiny_detector, least=0.3)


def test_people_come_with_boxes_in_the_picture_s_pixels(opened, pictures):
    assert opened.name == TINY
    assert opened.notes == ()
    assert opened.source.startswith(f"{TINY} (mine.pth@")
    for boxes, picture in zip(opened.find([], pictures), pictures, strict=True):
        height, width = picture.shape[:2]
        assert len(boxes)
        assert (boxes.scores >= 0.3).all()
        assert (np.diff(boxes.scores) <= 0).all()
        assert (boxes.places[:, 2:] > 0).all()
        ends = boxes.places[:, :2] + boxes.places[:, 2:]
        assert (boxes.places[:, :2] >= 0).all()
        assert (ends <= np.array([width, height]) + 1e-3).all()


def test_boxes_are_those_of_the_network_and_of_people_only(
    tiny_detector, opened, pictures, monkeypatch
):
    net = detection.ssdlite320_mobilenet_v3_large(
        weights=None, weights_backbone=None, num_classes=3
    )
    net.load_state_dict(torch.load(tiny_detector, weights_only=True))
    with torch.inference_mode():
        image = torch.from_numpy(pictures[1]).permute(2, 0, 1) / 255
        (answer,) = net.eval()([image])
    people = (answer["labels"] == 1) & (answer["scores"] >= 0.3)
    assert (answer["labels"] == 2).any()
    (found,) = opened.find([], pictures[1:])
    corners = answer["boxes"][people].double().numpy()
    np.testing.assert_array_equal(found.places[:, :2], corners[:, :2])
    np.testing.assert_allclose(found.places[:, 2:], corners[:, 2:] - corners[:, :2])
    np.testing.assert_array_equal(found.scores, answer["scores"][people].double().numpy())
    assert 0.3 <= found.scores.min() <= found.scores.max() < 0.9
    monkeypatch.setattr(opened, "_least", 0.9)
    (nobody,) = opened.find([], pictures[1:])
    assert nobody.places.shape == (0, 4)


def meta_state(name, classes=91):
    with torch.device("meta"):
        return detector._build(name, classes).state_dict()


@pytest.mark.parametrize("name", detector.NAMES)
def test_every_network_is_told_by_its_tensors(name):
    state = meta_state(name)
    twins = {n for n in detector.NAMES if n.startswith("fasterrcnn_mobilenet")}
    expected = sorted(twins) if name in twins else [name]
    assert sorted(detector._matching(state)) == expected


@pytest.mark.parametrize("name", ["retinanet_resnet50_fpn", "fasterrcnn_resnet50_fpn"])
def test_names_of_older_files_and_people_only_make_no_difference(name):
    # As torchvision's own files have them, which it translates as it loads.
    state = {
        key.replace(".0.0.", ".0.").replace("blocks.0.0", "blocks.0"): tensor
        for key, tensor in meta_state(name, classes=2).items()
    }
    assert detector._matching(state) == [name]
    assert detector._classes(state, name) == 2


def test_a_state_that_looks_like_mmpose_s_gets_its_names_back(tmp_path):
    with torch.device("meta"):
        names = list(detector._build("retinanet_resnet50_fpn", 91).state_dict())
    torch.save({name: torch.zeros(1) for name in names}, tmp_path / "x.pth")
    from replab.models.loading import read_checkpoint

    checkpoint = read_checkpoint(tmp_path / "x.pth")
    assert checkpoint.layout == "mmpose"
    assert list(detector._restored(checkpoint)) == names


def test_twins_are_named_and_the_first_is_taken(tiny_detector, monkeypatch):
    monkeypatch.setattr(detector, "_matching", lambda state: [TINY, "its_twin"])
    (note,) = Detector(tiny_detector).notes
    assert note == f"mine.pth is taken for {TINY}; say --detector its_twin if not"


def test_faults(tmp_path, tiny_detector, own_file):
    with pytest.raises(UserError, match="no weights at"):
        Detector(tmp_path / "none.pth")
    with pytest.raises(UserError, match="is of none of torchvision's detectors"):
        Detector(own_file)
    with pytest.raises(UserError, match="there is no detector 'yolo'; choose one of faster"):
        Detector(tiny_detector, name="yolo")
    with pytest.raises(UserError, match="does not fit ssd300_vgg16") as caught:
        Detector(tiny_detector, name="ssd300_vgg16")
    assert "\n" not in str(caught.value)
