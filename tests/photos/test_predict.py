"""`predict IMAGE…` and the two lines of a notebook, from a file of weights to what is shown."""

import ast
import inspect
import json
import re
import shlex
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

import dotted_people
from replab.cli import main
from replab.errors import UserError
from replab.keypoints.skeletons import LSP
from replab.photos import Unread, predict, predict_each
from replab.photos.overlay import THRESHOLD
from replab.photos.results import Results
from replab.predict import THRESHOLD as SHOWN

LABEL = "replab's own small network, trained on LSP Extended; not a published model"


@pytest.fixture(scope="module")
def checkout(tmp_path_factory, own_file):
    """A checkout that brings a network of its own, and a folder of photographs."""
    folder = tmp_path_factory.mktemp("checkout")
    (folder / "replications").mkdir()
    weights = folder / "results/hrnet/weights/own.safetensors"
    weights.parent.mkdir(parents=True)
    shutil.copy(own_file, weights)
    people = dotted_people.people(3, LSP)
    for number in range(3):
        place = folder / "photos" / ("sub" if number == 2 else "")
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(people.images.read(number)).save(place / f"{number}.jpg")
    return folder


@pytest.fixture
def here(checkout, monkeypatch, tmp_path):
    monkeypatch.setenv("REPLAB_ROOT", str(checkout))
    monkeypatch.chdir(tmp_path)
    return checkout


def run(capsys, *words):
    code = main(["predict", *map(str, words), "--device", "cpu"])
    return code, *capsys.readouterr()


def test_a_folder_of_photographs_by_our_own_network(here, capsys, tmp_path):
    code, out, err = run(capsys, here / "photos")
    assert code == 0
    assert err == f"note: {LABEL}\n"
    assert out.startswith("pictures: 3, people: 3 (boxes: whole), ")
    assert LABEL in out
    made = {p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*") if p.is_file()}
    overlays = {"0.overlay.jpg", "1.overlay.jpg", "sub/2.overlay.jpg"}
    assert made == {
        f"poses/{name}" for name in overlays | {"keypoints.json", "keypoints.about.json"}
    }
    about = json.loads((tmp_path / "poses/keypoints.about.json").read_text())
    assert about["what"] == LABEL
    assert about["complete"]
    assert about["weights"]["file"] == "own.safetensors"
    # The label stands in the corner of each.
    stored = cv2.imread(str(here / "photos/0.jpg"))[-8:, :60].astype(float)
    shown = cv2.imread(str(tmp_path / "poses/0.overlay.jpg"))[-8:, :60].astype(float)
    assert shown.mean() > stored.mean() + 80
    # A second time, what was written is no picture.
    code, out, _ = run(capsys, here / "photos", tmp_path, "--json")
    assert code == 0
    assert json.loads(out)["pictures"] == 3


def test_a_broken_picture_is_named_and_the_rest_goes_on(here, capsys, tmp_path):
    (tmp_path / "bad.jpg").write_bytes(b"nothing")
    Image.fromarray(np.zeros((9, 9), np.uint16)).save(tmp_path / "deep.png")
    words = (here / "photos", "bad.jpg", "deep.png", "--out", tmp_path / "out", "--json")
    code, out, err = run(capsys, *words)
    assert code == 2
    found = json.loads(out)
    assert (found["pictures"], found["people"]) == (4, 4)
    assert [unread["file_name"].rpartition("/")[2] for unread in found["unread"]] == ["bad.jpg"]
    label, *others = err.splitlines()
    assert label == f"note: {LABEL}"
    assert others[0].startswith("left out: cannot read the picture bad.jpg: its format")
    assert others[1].endswith("deep.png: of 16 bits the upper 8 are taken")
    assert len(others) == 2


def test_boxes_of_a_file(here, capsys, tmp_path):
    boxes = [
        {"file_name": "0.jpg", "bbox": [20, 10, 60, 80], "score": 0.9},
        {"file_name": "0.jpg", "bbox": [60, 10, 40, 80], "score": 0.1},
        {"file_name": "sub/2.jpg", "bbox": [0, 0, 100, 90], "score": 0.8},
    ]
    (tmp_path / "boxes.json").write_text(json.dumps(boxes))
    words = (here / "photos", "--boxes", "boxes.json", "--box-threshold", "0.5", "--json")
    code, out, err = run(capsys, *words)
    assert code == 0
    assert "note: 1 boxes scored below 0.5 left out" in err
    found = json.loads(out)
    assert (found["pictures"], found["people"]) == (3, 2)
    assert found["boxes"].startswith("boxes.json@")


def test_what_was_found_before_an_interruption_is_kept(here, capsys, tmp_path, monkeypatch):
    add = Results.add

    def stopped(self, found):
        if found.id == 3:
            raise KeyboardInterrupt
        add(self, found)

    monkeypatch.setattr(Results, "add", stopped)
    code, out, err = run(capsys, here / "photos", "--json")
    assert code == 130
    assert json.loads(out)["people"] == 2
    assert err.splitlines()[-1] == "interrupted: these are 2 of 3 pictures"
    assert len(json.loads((tmp_path / "poses/keypoints.json").read_text())) == 2
    assert not json.loads((tmp_path / "poses/keypoints.about.json").read_text())["complete"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["none.jpg"], "there is no picture or folder none.jpg"),
        (["photos", "--boxes", "detector"], "give --detector-weights FILE"),
        (["photos", "--boxes", "none.json"], "cannot read none.json"),
        (["photos", "--detector", "x"], "say --boxes detector"),
        (["photos", "--weights", "none.pth"], "no weights at none.pth"),
        (["photos", "--input", "256"], "--input 256: write height x width"),
        (["photos", "--threshold", "2"], "--threshold 2.0: give a number from 0 to 1"),
        (["photos", "--overlays", "gif"], "--overlays gif: choose jpg, png or none"),
        (["photos", "--precision", "int8"], "unknown precision 'int8'"),
    ],
)
def test_mistakes_are_one_line_and_leave_nothing(here, capsys, tmp_path, words, message):
    words = [str(here / "photos") if word == "photos" else word for word in words]
    code, out, err = run(capsys, *words)
    assert code == 2
    assert out == ""
    (line,) = [line for line in err.splitlines() if not line.startswith("note: ")]
    assert line.startswith("error: ")
    assert message in line
    assert list(tmp_path.iterdir()) == []


def test_the_two_lines_of_a_notebook(here):
    found = predict(here / "photos/0.jpg")
    assert found.keypoints.shape == (1, 14, 3)
    assert found.boxes.shape == (1, 4)
    assert found.skeleton is LSP
    assert found.label == LABEL
    shown = cv2.imdecode(np.frombuffer(found._repr_png_(), np.uint8), cv2.IMREAD_COLOR)
    np.testing.assert_array_equal(shown[..., ::-1], found.overlay())
    own = here / "results/hrnet/weights/own.safetensors"
    given = predict(here / "photos/0.jpg", own, boxes=[[10, 10, 50, 60], [30, 20, 50, 60]])
    assert len(given) == 2
    assert given.label == ""
    with pytest.raises(UserError, match="for folders use predict_each"):
        predict(here / "photos")


def test_many_photographs_in_a_notebook(here, tmp_path):
    (tmp_path / "bad.jpg").write_bytes(b"nothing")
    found = list(predict_each([here / "photos", tmp_path / "bad.jpg"]))
    assert [type(photo) is Unread for photo in found] == [False, False, False, True]
    with pytest.raises(UserError, match="cannot read the picture"):
        predict(tmp_path / "bad.jpg")


def test_the_command_draws_from_the_library_s_threshold():
    assert SHOWN == THRESHOLD


def test_the_document_s_commands_are_understood():
    from replab.cli import _parser

    document = (Path(__file__).parents[2] / "docs" / "predict.md").read_text()
    commands = re.findall(r"^python -m replab (predict .+)$", document, re.MULTILINE)
    assert len(commands) >= 6
    for command in commands:
        options = _parser().parse_args(shlex.split(command))
        assert options.images
    namespace = {}
    (block,) = re.findall(r"```python\n(.*?)```", document, re.DOTALL)
    first, call = filter(None, block.splitlines())
    exec(first, namespace)
    call = ast.parse(call, mode="eval").body
    inspect.signature(namespace[call.func.id]).bind(
        *call.args, **{word.arg: word.value for word in call.keywords}
    )
