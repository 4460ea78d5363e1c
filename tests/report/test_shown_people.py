"""Predicted people: whose joints stand where, on which ground, and what is said of them."""

from dataclasses import replace

import matplotlib as mpl
import numpy as np
import pytest

from made_records import made_record
from replab import datasets
from replab.datasets.pose_set import PoseSet
from replab.errors import MissingData
from replab.keypoints.skeletons import COCO, LSP
from replab.report import shown_people

mpl.use("Agg")
SIDE = 100
NETS = {"HRNet": {"net": "hrnet", "exchange": ("all",)}, "SimpleBaseline": {"net": "sb"}}
rng = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    import matplotlib.pyplot as plt

    plt.close("all")


class _Pictures:
    """Pictures of which every pixel is the number of the picture, counted from 1."""

    def __len__(self):
        return 3

    def read(self, index):
        return np.full((SIDE, SIDE, 3), index + 1, np.uint8)


def people(skeleton, name, count=3):
    joints = 30 + 40 * rng.random((count, len(skeleton), 2))
    visible = np.full(joints.shape[:2], 2, np.uint8)
    joints[0, 0], visible[0, 0] = np.nan, 0
    boxes = np.tile([30.0, 20.0, 30.0, 60.0], (count, 1))
    boxes[1, 0] = 75.0
    return PoseSet(
        name=name,
        fingerprint=datasets.fingerprint(name),
        skeleton=skeleton,
        images=_Pictures(),
        image_ids=np.arange(count),
        image_sizes=np.full((count, 2), SIDE),
        image_of=np.arange(count),
        person_ids=np.arange(count),
        boxes=boxes,
        box_scores=np.ones(count),
        joints=joints,
        visible=visible,
        areas=np.full(count, 1800.0),
        truth={} if skeleton is COCO else None,
    )


def kept(poses, name, off, numbers=(0, 1, 2), seed=0, **variant):
    """A record that keeps the annotated joints of some people, moved to the right."""
    joints = np.where(poses.visible[..., None] > 0, poses.joints, 50.0)
    series = {
        f"person_{i}": {"x": (joints[i, :, 0] + off).tolist(), "y": joints[i, :, 1].tolist()}
        for i in numbers
    }
    record = made_record(variant, seed, metrics={"ap": 1.0}, series=series)
    return replace(record, recipe={"test_data": name})


def opened(monkeypatch, poses):
    monkeypatch.setattr(datasets, "open_poses", lambda name: poses)


def both(poses, name, **options):
    return [
        kept(poses, name, 0.0, net="hrnet", exchange="all", **options),
        kept(poses, name, 6.0, net="sb", **options),
    ]


def limbs(axis, label):
    return np.array(next(c for c in axis.collections if c.get_label() == label).get_segments())


def test_a_row_is_a_network_and_a_column_a_person(monkeypatch):
    poses = people(COCO, "people-test")
    opened(monkeypatch, poses)
    figure = shown_people.sheet(both(poses, "people-test"), NETS, title="Ours")
    figure.canvas.draw()
    upper, lower = figure.axes[:3], figure.axes[3:]
    assert (len(upper), len(lower)) == (3, 3)
    assert figure.get_suptitle() == "Ours"
    assert upper[0].texts[0].get_text() == "HRNet, seed 0"
    assert lower[0].texts[0].get_text() == "SimpleBaseline, seed 0"
    # The truth stands at the same place beneath both, and the second network's 6 px off.
    for one, other in zip(upper, lower, strict=True):
        np.testing.assert_allclose(limbs(one, "annotated"), limbs(other, "annotated"))
        moved = limbs(other, "found") - limbs(one, "found")
        np.testing.assert_allclose(moved, np.broadcast_to([6.0, 0.0], moved.shape))
    assert {axis.get_title() for axis in upper} == {"OKS 1.00"}
    for i, axis in enumerate(lower):
        sigmas = np.array(COCO.sigmas)[poses.visible[i] > 0]
        oks = np.exp(-36 / (2 * 1800 * (2 * sigmas) ** 2)).mean()
        assert axis.get_title() == f"OKS {oks:.2f}"
        assert oks < 0.99
    # A joint that is not annotated ends no annotated limb.
    assert len(limbs(upper[0], "annotated")) == sum(0 not in limb for limb in COCO.limbs)


def test_generated_people_stand_in_their_pictures(monkeypatch):
    poses = people(COCO, "people-test")
    opened(monkeypatch, poses)
    figure = shown_people.sheet(both(poses, "people-test"), NETS)
    for column in range(3):
        cut = np.asarray(figure.axes[column].images[0].get_array())
        assert cut.shape[0] / cut.shape[1] == pytest.approx(4 / 3, abs=0.03)
        assert set(np.unique(cut)) <= {column + 1, shown_people.GROUND}
        assert (cut == column + 1).mean() > 0.3
    # The second person's window reaches over the picture's right edge: ground stands there.
    edge = np.asarray(figure.axes[1].images[0].get_array())
    assert (edge[:, -1] == shown_people.GROUND).all()
    # Joints move along with the window: back in the picture they are the annotated ones.
    low, extent = poses.boxes[0, :2], poses.boxes[0, 2:]
    size = shown_people.MARGIN * extent[1] * np.array([3 / 4, 1])
    corner = np.floor(low + extent / 2 - size / 2)
    truth = poses.joints[0][np.array([limb for limb in COCO.limbs if 0 not in limb])]
    np.testing.assert_allclose(limbs(figure.axes[0], "annotated") + corner, truth)


def test_people_of_photographs_stand_on_empty_ground(monkeypatch):
    poses = people(LSP, "lspet-test")
    # The one in the middle has no torso: nobody scored it, and the last one's number is 1.
    poses.joints[1, LSP.index("right_hip")] = poses.joints[1, LSP.index("left_shoulder")]
    opened(monkeypatch, poses)
    scored = poses.select(np.array([0, 2]))
    figure = shown_people.sheet(both(scored, "lspet-test", numbers=(0, 1)), NETS)
    assert len(figure.axes) == 4
    for axis in figure.axes:
        assert (np.asarray(axis.images[0].get_array()) == shown_people.GROUND).all()
        assert len(limbs(axis, "annotated")) >= len(LSP.limbs) - 1
    assert [a.get_title() for a in figure.axes[:2]] == ["off by 0.00 torsos"] * 2
    for i, axis in enumerate(figure.axes[2:]):
        shoulder, hip = scored.joints[i, [LSP.index("left_shoulder"), LSP.index("right_hip")]]
        assert axis.get_title() == f"off by {6 / np.linalg.norm(shoulder - hip):.2f} torsos"


@pytest.mark.parametrize("why", ["absent", "another form"])
def test_without_the_set_the_predicted_stand_alone(monkeypatch, why):
    poses = people(LSP, "lspet-test")

    def open_poses(name):
        if why == "absent":
            raise MissingData("run fetch")
        return replace(poses, fingerprint="0" * 16)

    monkeypatch.setattr(datasets, "open_poses", open_poses)
    figure = shown_people.sheet(both(poses, "lspet-test"), NETS)
    figure.canvas.draw()
    assert len(figure.axes) == 6
    assert {axis.get_title() for axis in figure.axes} == {""}
    assert [t.get_text() for t in figure.legends[0].get_texts()] == ["left", "right", "centre"]
    for axis in figure.axes:
        found = limbs(axis, "found")
        assert len(found) == len(LSP.limbs)
        wide, high = axis.get_xlim()[1] + 0.5, axis.get_ylim()[0] + 0.5
        assert (found > 0).all()
        assert (found < [wide, high]).all()


def test_the_lowest_common_seed_and_the_common_people(monkeypatch):
    poses = people(COCO, "people-test")
    opened(monkeypatch, poses)
    records = [
        *(kept(poses, "people-test", 0.0, net="hrnet", exchange="all", seed=s) for s in (2, 0, 1)),
        *(kept(poses, "people-test", 6.0, (2, 1), net="sb", seed=s) for s in (2, 1)),
        kept(poses, "people-test", 9.0, net="hrnet", exchange="end", seed=1),
    ]
    figure = shown_people.sheet(records, NETS)
    assert len(figure.axes) == 4
    labels = [text.get_text() for axis in figure.axes for text in axis.texts]
    assert labels == ["HRNet, seed 1", "SimpleBaseline, seed 1"]
    one = shown_people.sheet(records[:3], NETS)
    assert [t.get_text() for a in one.axes for t in a.texts] == ["HRNet, seed 0"]


def test_nothing_kept_is_said():
    (axis,) = shown_people.sheet([], NETS).axes
    assert [t.get_text() for t in axis.texts] == ["not run in this profile"]
    record = made_record({"net": "sb"}, 0, metrics={"ap": 1.0})
    (axis,) = shown_people.sheet([record], NETS).axes
    assert [t.get_text() for t in axis.texts] == [shown_people.NOT_KEPT]


def test_rows_of_different_sets_are_a_mistake(monkeypatch):
    poses = people(COCO, "people-test")
    opened(monkeypatch, poses)
    one, other = both(poses, "people-test")
    with pytest.raises(ValueError, match="different sets: lspet-test, people-test"):
        shown_people.sheet([one, replace(other, recipe={"test_data": "lspet-test"})], NETS)
