"""What is drawn is what is annotated: painted over, counted pixel by pixel, compared by level."""

import numpy as np
import pytest

from replab.datasets.people import annotations, drawing, pictures, scenes
from replab.datasets.people.annotations import OWN_PARTS, describe, silhouette, visibility
from replab.datasets.people.body import INDEX
from replab.datasets.people.difficulty import LEVELS
from replab.datasets.people.outlines import PART, PARTS
from replab.datasets.people.pictures import Recipe
from replab.datasets.people.raster import BACKGROUND, fill_hull
from replab.errors import UserError
from replab.keypoints.skeletons import COCO

SIZE = 320, 240
PAINT = 255, 0, 255
COUNT = 32


@pytest.fixture(scope="module")
def drawn():
    """Some scenes of every level."""
    return {
        name: [pictures.scene(Recipe("train", name, SIZE, 0), index) for index in range(COUNT)]
        for name in LEVELS
    }


@pytest.fixture(scope="module")
def flags(drawn):
    return {name: np.concatenate([visibility(s) for s in some]) for name, some in drawn.items()}


def test_pictures_are_pictures(drawn):
    for some in drawn.values():
        for one in some[:10]:
            assert one.picture.shape == (240, 320, 3)
            assert one.picture.dtype == np.uint8
            assert one.marks.shape == (480, 640)
            assert one.picture.std() > 8
        means = np.array([one.picture.mean() for one in some])
        assert means.std() > 10  # dark rooms and light ones


@pytest.mark.parametrize("kind", ["elbow", "wrist", "knee", "ankle"])
def test_a_joint_is_seen_where_paint_on_its_limbs_shows(kind, drawn, flags, monkeypatch):
    """The flags come from marks; here limbs are painted and the picture itself is looked at."""
    joint = COCO.index(f"left_{kind}")
    limbs = {number for number in range(len(PARTS)) if OWN_PARTS[joint, number]}
    original = drawing.Figures._paint_tube

    def painted(self, canvas, person, part, look, mark, simple):
        original(self, canvas, person, part, look, mark, simple)
        if part in limbs and not simple:
            fill_hull(canvas, self._tubes[person, part], PAINT, mark)

    monkeypatch.setattr(drawing.Figures, "_paint_tube", painted)
    agree = []
    for index, plain in enumerate(drawn["medium"][:12]):
        other = pictures.scene(Recipe("train", "medium", SIZE, 0), index)
        np.testing.assert_array_equal(other.joints, plain.joints)
        given = visibility(plain)[:, joint]
        changed = (other.picture.astype(int) - plain.picture).astype(float)
        for person in np.flatnonzero(given):
            x, y = np.rint(plain.joints[person, joint]).astype(int)
            to_paint = np.array(PAINT) - plain.picture[y, x]
            share = (changed[y, x] * to_paint).sum() / (to_paint * to_paint).sum()
            agree.append((share > 0.4) == (given[person] == 2))
    assert len(agree) > 25
    assert np.mean(agree) > 0.92


def test_hidden_and_cut_joints_grow_with_the_level(flags, drawn):
    hidden = {name: float((some == 1).mean()) for name, some in flags.items()}
    assert 0.08 < hidden["easy"] < hidden["medium"] < hidden["hard"] < 0.4
    outside = {}
    for name, some in drawn.items():
        joints = np.concatenate([one.joints for one in some])
        inside = ((joints > -0.5) & (joints < np.array(SIZE) - 0.5)).all(-1)
        outside[name] = float((~inside).mean())
        values = flags[name]
        assert (values[~inside] == 0).all()
        # Below the neck everything that lies in the picture is annotated.
        assert (values[:, 5:][inside[:, 5:]] > 0).all()
        assert 0.5 < (values == 2).mean() < 0.85
    assert 0.005 < outside["easy"] < outside["hard"] < 0.2


def test_faces_are_annotated_where_they_are_turned_to_the_viewer(drawn, flags):
    for name, some in drawn.items():
        facing = np.concatenate([one.bodies.head[:, 2, 2] for one in some])
        inside = np.concatenate(
            [((o.joints > 0) & (o.joints < np.array(SIZE) - 1)).all(-1)[:, 0] for o in some]
        )
        nose = flags[name][:, 0]
        assert (nose[(facing > 0.4) & inside] > 0).all()
        assert (nose[facing < -0.6] == 0).all()
        assert 0.1 < (flags[name][:, 1:5] == 0).mean() < 0.6
    # From the side the far ear is not seen, the near one is.
    sides = np.concatenate([one.bodies.head[:, 0, 2] for one in drawn["easy"]])
    left, right = flags["easy"][:, 3], flags["easy"][:, 4]
    assert (right[sides > 0.7] == 0).all()
    assert (left[sides < -0.7] == 0).all()
    assert (left[sides > 0.7] > 0).mean() > 0.9


def test_left_and_right_are_flagged_alike(flags):
    together = np.concatenate(list(flags.values()))
    for left, right in COCO.pairs:
        for flag in (0, 1, 2):
            one, other = (together[:, joint] == flag for joint in (left, right))
            spread = np.sqrt((one.var() + other.var()) / len(together)) + 1e-3
            assert abs(one.mean() - other.mean()) < 4 * spread


def test_no_colour_tells_left_from_right(drawn):
    """Colours at left and at right wrists, elbows, knees and ankles, seen ones only."""
    for kind in ("elbow", "wrist", "knee", "ankle"):
        colours = {}
        for side in ("left", "right"):
            joint, found = COCO.index(f"{side}_{kind}"), []
            for one in drawn["easy"] + drawn["medium"]:
                for person in np.flatnonzero(visibility(one)[:, joint] == 2):
                    x, y = np.rint(one.joints[person, joint]).astype(int)
                    found.append(one.picture[y, x])
            colours[side] = np.array(found, float)
        left, right = colours["left"], colours["right"]
        assert min(len(left), len(right)) > 80
        spread = np.sqrt(left.var(0) / len(left) + right.var(0) / len(right))
        assert (np.abs(left.mean(0) - right.mean(0)) < 4 * spread).all(), kind


def test_areas_and_boxes_are_those_of_the_silhouettes(drawn):
    for name, some in drawn.items():
        for number, one in enumerate(some[:12]):
            found = describe(one, 7)
            people = [entry for entry in found if entry["iscrowd"] == 0]
            shapes = {}
            for person in range(len(one.joints)):
                first = scenes.STEP * person
                inside = (one.marks >= first) & (one.marks < first + scenes.STEP)
                # A pixel is four of the canvas's; half of it is enough.
                covered = inside.reshape(240, 2, 320, 2).sum((1, 3)) >= 2
                np.testing.assert_array_equal(
                    covered, silhouette(one.marks, first, first + scenes.STEP - 1)
                )
                if covered.sum() >= 12:
                    shapes[person] = covered
            described = people[: len(shapes)]
            assert len(described) == len(shapes), (name, number)
            for entry, covered in zip(described, shapes.values(), strict=True):
                assert entry["area"] == covered.sum()
                x, y, width, height = entry["bbox"]
                rows, columns = np.flatnonzero(covered.any(1)), np.flatnonzero(covered.any(0))
                assert (x, y) == (columns[0], rows[0])
                assert (x + width - 1, y + height - 1) == (columns[-1], rows[-1])


def test_seen_joints_lie_in_their_boxes(drawn):
    for some in drawn.values():
        for one in some:
            for entry in describe(one, 1):
                x, y, width, height = entry["bbox"]
                keypoints = np.array(entry["keypoints"]).reshape(17, 3)
                seen = keypoints[keypoints[:, 2] == 2]
                assert (seen[:, 0] >= x - 1).all()
                assert (seen[:, 0] <= x + width).all()
                assert (seen[:, 1] >= y - 1).all()
                assert (seen[:, 1] <= y + height).all()
                assert (keypoints[keypoints[:, 2] == 0] == 0).all()
                assert entry["num_keypoints"] == (keypoints[:, 2] > 0).sum()


def test_bystanders_and_crowds_have_no_keypoints(drawn):
    bystanders = crowds = 0
    for one in drawn["hard"]:
        found = describe(one, 1)
        crowd = [entry for entry in found if entry["iscrowd"]]
        assert len(crowd) == (silhouette(one.marks, scenes.CROWD, scenes.CROWD).sum() >= 12)
        assert all(entry["num_keypoints"] == 0 for entry in crowd)
        crowds += len(crowd)
        bystanders += sum(e["num_keypoints"] == 0 and not e["iscrowd"] for e in found)
        assert found[-1:] == crowd[-1:] or not crowd
    assert crowds > 0
    assert bystanders > 3


def test_who_is_hardly_seen_gets_no_keypoints(drawn):
    one = drawn["easy"][0]
    hidden = np.full_like(one.marks, BACKGROUND)
    first = one.marks < scenes.STEP
    hidden[first] = one.marks[first]
    alone = scenes.Scene(**{**vars(one), "marks": hidden})
    found = describe(alone, 1)
    assert [entry["num_keypoints"] > 0 for entry in found] == [True]
    legs = np.isin(hidden, [PART["left_shin"], PART["left_foot"]])
    rest = scenes.Scene(**{**vars(one), "marks": np.where(legs, hidden, BACKGROUND)})
    (entry,) = describe(rest, 1)
    assert entry["num_keypoints"] == 0
    assert entry["keypoints"] == [0.0] * 51
    assert entry["area"] > 0


def test_far_shoulders_are_hidden_by_the_own_trunk_and_those_of_a_back_are_not(drawn):
    values, side, back = [], [], []
    for one in drawn["easy"]:
        values.append(visibility(one)[:, INDEX["left_shoulder"]])
        side.append(one.bodies.chest[:, 0, 2])
        back.append(one.bodies.chest[:, 2, 2])
    values, side, back = map(np.concatenate, (values, side, back))
    # The left shoulder points away from the viewer.
    assert (values[side < -0.9] < 2).all()
    assert (values[(back < -0.85) & (values > 0)] == 2).mean() > 0.7


def test_garments_stand_out_as_far_as_the_level_says(drawn):
    assert LEVELS["easy"].contrast > LEVELS["medium"].contrast > LEVELS["hard"].contrast
    apart = {}
    for name, some in drawn.items():
        found = []
        for one in some:
            small = one.marks[::2, ::2]
            trunk = one.picture[(small < scenes.BYSTANDERS) & (small % scenes.STEP == 0)]
            away = one.picture[small == BACKGROUND]
            if len(trunk) > 50:
                found.append(np.abs(trunk.mean(0) - away.mean(0)).max())
        apart[name] = float(np.mean(found))
    assert apart["easy"] > apart["hard"]


def test_unknown_levels_are_refused():
    with pytest.raises(UserError, match="no difficulty 'brutal'; choose one of easy, medium"):
        annotations.describe(pictures.scene(Recipe("train", "brutal", SIZE, 0), 0), 1)
