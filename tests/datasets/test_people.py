"""The set of generated people: the same everywhere, kept, mended, valid for COCO's evaluation."""

import contextlib
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from replab import files
from replab.datasets import people
from replab.datasets.people import pictures
from replab.datasets.people.difficulty import LEVELS
from replab.datasets.people.pictures import BLOCK, Recipe
from replab.errors import UserError
from replab.keypoints.boxes import clip_boxes
from replab.keypoints.skeletons import COCO

LIB = Path(people.__file__).parents[3]
SMALL = 160, 120
RECIPE = Recipe("train", "hard", SMALL, 0)
# Of the first pictures of a hard set, with OpenCV 4.10.0 and 5.0.0 alike.
PINNED_ANNOTATIONS = "93e649a0cf5bd8c55bfa8f48d8bcf9b755a5a7b0df740ab2062ec3d9186b37b6"
PINNED_PICTURES = "bf6e603ca3f0b1a420fe55f4f1169977a2ad66d0954d862cd426680c67c17c06"
PINNED_LEVELS = [
    [109, 158, 178],
    [161, 152, 158],
    [171, 139, 147],
    [132, 157, 151],
    [156, 192, 170],
    [114, 164, 103],
]
KNOWN_OPENCV = ("4.10.0", "5.0.0")


def test_every_machine_draws_the_same():
    drawn, found = pictures.block(RECIPE, 0, 6)
    text = files.canonical_json(found).encode()
    coarse = np.rint(drawn.reshape(6, 120, 160, 3).mean((1, 2))).astype(int).tolist()
    if cv2.__version__ not in KNOWN_OPENCV and files.sha256_bytes(text) != PINNED_ANNOTATIONS:
        # Another version may draw some edges otherwise, but nothing more than that.
        assert np.abs(np.array(coarse) - PINNED_LEVELS).max() <= 1
        return
    assert files.sha256_bytes(text) == PINNED_ANNOTATIONS
    assert files.sha256_bytes(drawn.data.cast("B")) == PINNED_PICTURES
    assert coarse == PINNED_LEVELS


def test_a_picture_depends_on_its_number_alone():
    drawn, _ = pictures.block(RECIPE, 3, 5)
    np.testing.assert_array_equal(drawn[1], pictures.scene(RECIPE, 4).picture)
    again, _ = pictures.block(RECIPE, 4, 5)
    np.testing.assert_array_equal(drawn[1], again[0])


def test_how_many_processes_draw_changes_nothing():
    count = 2 * BLOCK + 3
    alone = list(pictures.blocks(RECIPE, count, processes=1))
    together = list(pictures.blocks(RECIPE, count, processes=2))
    assert [len(block[0]) for block in together] == [BLOCK, BLOCK, 3]
    for (one, found), (other, described) in zip(alone, together, strict=True):
        np.testing.assert_array_equal(one, other)
        assert found == described


def test_a_drawing_process_that_dies_is_reported(monkeypatch):
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(UserError, match=r"ended early \(exit code 1\)") as error:
        list(pictures.blocks(RECIPE, 2, processes=2))
    assert "\n" not in str(error.value)


def test_splits_seeds_levels_and_numbers_differ():
    recipes = [
        RECIPE,
        Recipe("test", "hard", SMALL, 0),
        Recipe("train", "hard", SMALL, 1),
        Recipe("train", "easy", SMALL, 0),
    ]
    drawn = [pictures.block(recipe, 0, 12) for recipe in recipes]
    some = [picture for images, _ in drawn for picture in images]
    assert len({picture.tobytes() for picture in some}) == len(some)
    # Nobody stands in two splits, not even on another background.
    poses = [{tuple(e["keypoints"]) for e in found if e["num_keypoints"]} for _, found in drawn]
    for number, one in enumerate(poses):
        for other in poses[number + 1 :]:
            assert not one & other
    ids = [{entry["id"] for entry in found} for _, found in drawn[:2]]
    assert not ids[0] & ids[1]


@pytest.fixture(scope="module")
def opened(tmp_path_factory):
    folder = tmp_path_factory.mktemp("people")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("REPLAB_DATA", str(folder))
        yield people.load("test", pictures=60, difficulty="medium"), folder


def test_poses_are_those_of_the_ground_truth(opened):
    poses, _ = opened
    assert poses.name == "people-test-medium"
    assert poses.skeleton is COCO
    assert poses.box_source == "gt"
    assert len(poses.images) == len(poses.image_ids) == 60
    assert (poses.image_sizes == people.SIZE).all()
    assert (np.diff(poses.image_of) >= 0).all()
    assert (np.diff(poses.image_ids) > 0).all()
    assert len(poses) > 2 * 60
    table = {entry["id"]: entry for entry in poses.truth["annotations"]}
    assert len(table) == len(poses.truth["annotations"])
    labelled = [e for e in table.values() if e["num_keypoints"] and not e["iscrowd"]]
    assert sorted(e["id"] for e in labelled) == sorted(poses.person_ids.tolist())
    assert sum(poses.left_out.values()) == len(table) - len(poses)
    sizes = poses.image_sizes[poses.image_of]
    for number, person in enumerate(poses.person_ids.tolist()):
        entry = table[person]
        assert entry["image_id"] == poses.image_ids[poses.image_of[number]]
        keypoints = np.array(entry["keypoints"]).reshape(17, 3)
        np.testing.assert_array_equal(poses.joints[number], keypoints[:, :2])
        np.testing.assert_array_equal(poses.visible[number], keypoints[:, 2])
        assert poses.areas[number] == entry["area"]
    import torch

    given = torch.tensor([table[p]["bbox"] for p in poses.person_ids.tolist()])
    clipped, inside = clip_boxes(given.double(), torch.from_numpy(sizes))
    assert inside.all()
    np.testing.assert_array_equal(poses.boxes, clipped.numpy())
    assert (poses.boxes[:, :2] + poses.boxes[:, 2:] <= sizes - 1).all()
    assert (poses.box_scores == 1).all()
    assert not (set(poses.visible.flat) - {0, 1, 2})
    assert poses.images.read(0).shape == (240, 320, 3)


def test_pictures_read_are_one_s_own(opened):
    poses, _ = opened
    first = poses.images.read(5)
    kept = first.copy()
    first[:] = 0
    np.testing.assert_array_equal(poses.images.read(5), kept)


def test_cocos_own_evaluation_takes_it_and_truth_scores_one(opened):
    coco = pytest.importorskip("pycocotools.coco")
    evaluation = pytest.importorskip("pycocotools.cocoeval")
    poses, _ = opened
    found = [
        {
            "image_id": entry["image_id"],
            "category_id": 1,
            "keypoints": entry["keypoints"],
            "score": 0.9,
        }
        for entry in poses.truth["annotations"]
        if entry["num_keypoints"] and not entry["iscrowd"]
    ]
    with contextlib.redirect_stdout(io.StringIO()):
        truth = coco.COCO()
        truth.dataset = json.loads(json.dumps(poses.truth))
        truth.createIndex()
        judge = evaluation.COCOeval(truth, truth.loadRes(found), "keypoints")
        judge.evaluate()
        judge.accumulate()
        judge.summarize()
    # Detected areas are those of the joints' boxes, so a few people of a size near a bound could
    # be counted on either side; none may be lost.
    np.testing.assert_allclose(judge.stats, 1.0)
    (person,) = poses.truth["categories"]
    assert person["keypoints"] == list(COCO.joints)
    assert np.array(person["skeleton"]).min() == 1
    medium = (poses.areas > 32**2) & (poses.areas < 96**2)
    assert medium.mean() > 0.5
    assert (poses.areas > 96**2).sum() >= 3


def test_a_set_is_kept_and_mended(data_dir, monkeypatch):
    first = people.load("train", pictures=5, size=SMALL, seed=3)
    (path,) = (data_dir / "generated").glob("people-*/pictures.npy")
    assert path.parent.name == f"people-{first.fingerprint}"
    wanted = [first.images.read(n) for n in range(5)]
    drawn = []
    original = pictures.blocks

    def counted(*args):
        drawn.append(args)
        return original(*args)

    monkeypatch.setattr(pictures, "blocks", counted)
    people.load("train", pictures=5, size=SMALL, seed=3)
    assert not drawn
    # A smaller set is the beginning.
    shorter = people.load("train", pictures=2, size=SMALL, seed=3)
    np.testing.assert_array_equal(shorter.images.read(1), wanted[1])
    np.testing.assert_array_equal(shorter.joints, first.joints[: len(shorter)])
    truth, index = path.with_name("truth.json"), path.with_name("index.json")
    for victim, damage in (
        (path, path.read_bytes()[:-5]),
        (truth, truth.read_bytes().replace(b'"iscrowd":0', b'"iscrowd":1', 1)),
        (index, b"{}"),
        (index, b"no JSON"),
    ):
        before = len(drawn)
        victim.write_bytes(damage)
        again = people.load("train", pictures=5, size=SMALL, seed=3)
        assert len(drawn) == before + 1
        np.testing.assert_array_equal(again.images.read(4), wanted[4])
        np.testing.assert_array_equal(again.joints, first.joints)
    path.unlink()
    again = people.load("train", pictures=5, size=SMALL, seed=3)
    np.testing.assert_array_equal(again.images.read(4), wanted[4])
    assert not list((data_dir / "generated").glob(".*.tmp"))


def test_fingerprints_are_known_without_drawing(data_dir):
    base = {"pictures": 10, "difficulty": "easy", "size": SMALL, "seed": 0}
    others = [{"pictures": 11}, {"difficulty": "hard"}, {"size": (160, 128)}, {"seed": 1}]
    digits = [people.fingerprint("train", **base), people.fingerprint("test", **base)]
    digits += [people.fingerprint("train", **{**base, **other}) for other in others]
    assert len(set(digits)) == len(digits)
    assert all(len(word) == 16 for word in digits)
    assert people.fingerprint("train", pictures=10) == people.fingerprint(
        "train", pictures=10, difficulty="easy", size=people.SIZE, seed=0
    )
    assert not data_dir.exists()


def test_a_change_of_a_level_changes_the_fingerprint(monkeypatch):
    from dataclasses import replace

    before = people.fingerprint("train", pictures=10, difficulty="hard")
    monkeypatch.setitem(LEVELS, "hard", replace(LEVELS["hard"], noise=11.0))
    assert people.fingerprint("train", pictures=10, difficulty="hard") != before


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"split": "val"}, "no split 'val' of people; choose train or test"),
        ({"pictures": 0}, "cannot draw 0 pictures"),
        ({"seed": -1}, "with seed -1"),
        ({"size": (80, 240)}, "in 80×240 px; width and height must be from 96 to 1024"),
        ({"size": (320, 2000)}, "in 320×2000 px"),
        ({"difficulty": "brutal"}, "no difficulty 'brutal'; choose one of easy, medium, hard"),
    ],
)
def test_bad_arguments_are_refused(change, message, data_dir):
    arguments = {"split": "train", "pictures": 3, **change}
    split = arguments.pop("split")
    for function in (people.load, people.fingerprint):
        with pytest.raises(UserError, match=message) as error:
            function(split, **arguments)
        assert "\n" not in str(error.value)
    assert not data_dir.exists()


def test_odd_sizes_are_drawn_too(data_dir):
    poses = people.load("test", pictures=4, difficulty="hard", size=(131, 97))
    assert poses.images.read(3).shape == (97, 131, 3)
    assert len(poses) > 0


@pytest.mark.faults
def test_a_folder_that_cannot_be_written_is_said(frozen_disk, monkeypatch):
    folder, freeze = frozen_disk
    freeze()
    monkeypatch.setenv("REPLAB_DATA", str(folder))
    with pytest.raises(UserError, match="make the folder writable") as error:
        people.load("train", pictures=2, size=SMALL)
    assert "\n" not in str(error.value)


@pytest.mark.faults
def test_a_full_disk_leaves_nothing_behind(tiny_disk, monkeypatch):
    monkeypatch.setenv("REPLAB_DATA", str(tiny_disk))
    with pytest.raises(UserError, match="free some space"):
        people.load("train", pictures=20, size=SMALL)
    assert not list((tiny_disk / "generated").glob("people-*"))


def test_importing_asks_for_no_heavy_package():
    """Not even for torch: every drawing process imports this."""
    code = (
        "import sys, replab.datasets.people, replab.datasets.people.worker;"
        "print([m for m in ('cv2', 'scipy', 'pandas', 'torch') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(LIB)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "[]"
