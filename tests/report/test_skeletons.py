"""Overlays: which limbs are drawn, in which colour, how opaque, and what lies beneath what."""

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.colors import to_rgba

from replab.keypoints.skeletons import COCO, LSP, MPII, Skeleton
from replab.report import skeletons

mpl.use("Agg")
# A trunk and an arm on each side.
MADE = Skeleton(
    "made", ("neck", "hip", "left_hand", "right_hand"), ((2, 3),), ((0, 1), (0, 2), (0, 3))
)
PICTURE = np.zeros((40, 60, 3), np.uint8)
JOINTS = np.array([[[30, 5], [30, 35], [40, 20], [20, 20]]], float)
SCORES = np.array([[0.9, 0.5, 0.7, 0.01]])


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    import matplotlib.pyplot as plt

    plt.close("all")


def collection(axis, label):
    found = [c for c in axis.collections if c.get_label() == label]
    return sorted(found, key=lambda c: c.get_zorder())


def test_limbs_have_the_sides_of_their_joints():
    assert skeletons.sides(MADE) == ("centre", "left", "right")
    for skeleton in (COCO, MPII, LSP):
        found = dict(zip(skeleton.limbs, skeletons.sides(skeleton), strict=True))
        mirror = skeleton.mirror
        swap = {"left": "right", "right": "left", "centre": "centre"}
        for (one, other), own in found.items():
            pair = (mirror[one], mirror[other])
            assert (found.get(pair) or found[pair[::-1]]) == swap[own]
    between = {frozenset(COCO.joints[j] for j in limb) for limb in ((11, 12), (5, 6), (1, 2))}
    centres = {
        frozenset(COCO.joints[j] for j in limb)
        for limb, own in zip(COCO.limbs, skeletons.sides(COCO), strict=True)
        if own == "centre"
    }
    assert centres == between


def test_limbs_are_coloured_by_side_and_faint_where_unsure():
    axis = skeletons.contact_sheet([PICTURE], [JOINTS], [SCORES], MADE).axes[0]
    (limbs,) = collection(axis, "found")
    np.testing.assert_allclose(
        limbs.get_segments(), [[[30, 5], [30, 35]], [[30, 5], [40, 20]], [[30, 5], [20, 20]]]
    )
    colours = [to_rgba(skeletons.SIDES[side]) for side in ("centre", "left", "right")]
    np.testing.assert_allclose(limbs.get_colors()[:, :3], np.array(colours)[:, :3])
    # The less sure of a limb's joints counts, and no limb is invisible.
    np.testing.assert_allclose(limbs.get_colors()[:, 3], [0.5, 0.7, skeletons.FAINTEST])
    (rim,) = collection(axis, "rim")
    assert rim.get_zorder() < limbs.get_zorder()
    assert rim.get_linewidths()[0] > limbs.get_linewidths()[0]


def test_missing_and_unsure_joints_are_not_drawn():
    joints = JOINTS.copy()
    joints[0, 1] = np.nan
    axis = skeletons.contact_sheet([PICTURE], [joints], [SCORES], MADE, least=0.1).axes[0]
    (limbs,) = collection(axis, "found")
    np.testing.assert_allclose(limbs.get_segments(), [[[30, 5], [40, 20]]])
    (dots,) = [c for c in axis.collections if hasattr(c, "get_sizes")]
    np.testing.assert_allclose(dots.get_offsets(), [[30, 5], [40, 20]])


def test_the_annotation_lies_thin_beneath():
    truth = JOINTS + 1
    visible = np.array([[2, 1, 0, 2]])
    figure = skeletons.contact_sheet(
        [PICTURE], [JOINTS], [SCORES], MADE, truth=[truth], visible=[visible]
    )
    axis = figure.axes[0]
    rim, thin = collection(axis, "annotated")
    np.testing.assert_allclose(thin.get_segments(), [[[31, 6], [31, 36]], [[31, 6], [21, 21]]])
    (limbs,) = collection(axis, "found")
    assert rim.get_zorder() < thin.get_zorder() < collection(axis, "rim")[0].get_zorder()
    assert thin.get_linewidths()[0] <= min(limbs.get_linewidths())
    labels = [t.get_text() for t in figure.legends[0].get_texts()]
    assert labels == ["left", "right", "centre", "annotated"]


def test_in_a_crowd_the_surest_lies_on_top_and_small_people_have_thin_lines():
    far = 0.25 * JOINTS
    both, sure = np.concatenate([JOINTS, far]), np.array([[0.9] * 4, [0.4] * 4])
    axis = skeletons.contact_sheet([PICTURE], [both], [sure], MADE).axes[0]
    (limbs,) = collection(axis, "found")
    np.testing.assert_allclose(limbs.get_segments()[-1], [[30, 5], [20, 20]])
    np.testing.assert_allclose(limbs.get_colors()[:, 3], [0.4] * 3 + [0.9] * 3)
    wide = limbs.get_linewidths()
    assert wide[0] == 0.8 < wide[-1] <= 2.6


def test_the_sheet_keeps_pictures_whole_and_in_order():
    tall = np.full((60, 40, 3), 200, np.uint8)
    nobody = np.zeros((0, 4, 2)), np.zeros((0, 4))
    figure = skeletons.contact_sheet(
        [PICTURE, tall, PICTURE],
        [JOINTS, nobody[0], JOINTS],
        [SCORES, nobody[1], SCORES],
        MADE,
        titles=["a", "b", "c"],
        columns=2,
    )
    figure.canvas.draw()
    assert [axis.get_title() for axis in figure.axes] == ["a", "b", "c", ""]
    first, second, _, empty = figure.axes
    assert second.images[0].get_array().shape == (60, 40, 3)
    assert not second.collections
    assert not empty.images
    # Pixel 0 is centred on 0, and no limb outside widens the picture.
    assert first.get_xlim() == (-0.5, 59.5)
    assert first.get_ylim() == (39.5, -0.5)


def test_arrays_that_do_not_fit_are_a_mistake():
    with pytest.raises(ValueError, match="1 pictures, but 2 joints"):
        skeletons.contact_sheet([PICTURE], [JOINTS, JOINTS], [SCORES], MADE)
    with pytest.raises(ValueError, match=r"not P×4×2"):
        skeletons.contact_sheet([PICTURE], [JOINTS[:, :3]], [SCORES], MADE)
    with pytest.raises(ValueError, match="1 pictures, but 2 titles"):
        skeletons.contact_sheet([PICTURE], [JOINTS], [SCORES], MADE, titles=["a", "b"])
    with pytest.raises(ValueError, match="visibilities"):
        skeletons.contact_sheet(
            [PICTURE], [JOINTS], [SCORES], MADE, truth=[JOINTS], visible=[np.ones((2, 4))]
        )
