"""Overlays mark the joints, in the colour of their side, as opaque as they are sure."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from replab.keypoints.skeletons import COCO, LSP, Skeleton
from replab.photos import captions
from replab.photos.overlay import FAINTEST, Poses, draw, line_widths
from replab.report.skeletons import RIM, SIDES, side

# A trunk and an arm on each side.
MADE = Skeleton(
    "made", ("neck", "hip", "left_hand", "right_hand"), ((2, 3),), ((0, 1), (0, 2), (0, 3))
)
GROUND = 100


def ground(height=120, width=160):
    return np.full((height, width, 3), GROUND, np.uint8)


def poses(confidence, places=((80, 20), (80, 100), (120, 60), (40, 60)), skeleton=MADE):
    keypoints = np.concatenate(
        (np.array(places, float), np.broadcast_to(confidence, len(places))[:, None]), axis=1
    )
    return Poses(keypoints[None], np.array([0.5]), skeleton)


@pytest.mark.parametrize("confidence", [1.0, 0.6, 0.3])
def test_joints_have_the_colour_of_their_side_mixed_by_confidence(confidence):
    found = draw(ground(), poses(confidence))
    for (x, y, _), joint in zip(poses(1).keypoints[0], MADE.joints, strict=True):
        colour = np.array(captions.rgb(SIDES[side(joint)]))
        mixed = GROUND + (colour - GROUND) * confidence
        # However many limbs meet in it.
        assert np.abs(found[int(y), int(x)] - mixed).max() <= 2, joint


def test_a_limb_is_as_opaque_as_the_less_sure_of_its_joints():
    found = draw(ground(), poses([1.0, 0.4, 1.0, 0.9]))
    trunk, left, right = found[70, 80], found[40, 100], found[40, 60]
    for pixel, own, opacity in (
        (trunk, "centre", 0.4),
        (left, "left", 1.0),
        (right, "right", 0.9),
    ):
        colour = np.array(captions.rgb(SIDES[own]))
        assert np.abs(pixel - (GROUND + (colour - GROUND) * opacity)).max() <= 2, own


def test_opacity_rises_with_confidence_and_never_vanishes():
    def change(confidence, threshold=0.0):
        return np.abs(draw(ground(), poses(confidence), threshold=threshold) - float(GROUND)).sum()

    values = [change(c) for c in (0.3, 0.5, 0.7, 0.9, 1.0)]
    assert values == sorted(values)
    assert values[0] < 0.6 * values[-1]
    assert change(0.01) == change(FAINTEST) > 0
    assert change(1.7) == change(1.0)


def test_unsure_joints_and_their_limbs_are_not_drawn():
    whole = draw(ground(), poses(1.0))
    found = draw(ground(), poses([1.0, 1.0, 0.19, 1.0]))
    assert (found[50:70, 100:] == GROUND).all()
    assert (whole[50:70, 100:] != GROUND).any()
    np.testing.assert_array_equal(found[50:70, :60], whole[50:70, :60])
    assert (draw(ground(), poses(0.1)) == GROUND).all()
    lost = poses(1.0)
    lost.keypoints[0, 2] = np.nan
    np.testing.assert_array_equal(draw(ground(), lost), found)


@pytest.mark.parametrize("level", [0, 100, 255])
def test_a_dark_rim_sets_lines_off_from_any_ground(level):
    picture = np.full((120, 160, 3), level, np.uint8)
    found = draw(picture, poses(1.0))
    row = found[70, 70:91].astype(int)
    colour = np.array(captions.rgb(SIDES["centre"]))
    assert np.abs(row[10] - colour).max() <= 2
    dark = np.array(captions.rgb(RIM))
    for part in (row[:10], row[11:]):
        assert (np.abs(part - dark).max(axis=1) < 60).any()


def test_the_picture_is_not_touched_and_equal_input_gives_equal_pixels():
    picture = ground()
    first = draw(picture, poses(0.7), label="ours")
    assert (picture == GROUND).all()
    assert first.dtype == np.uint8
    assert first.shape == picture.shape
    np.testing.assert_array_equal(first, draw(picture, poses(0.7), label="ours"))


def test_the_surest_person_lies_on_top():
    one, other = poses(1.0), poses(1.0)
    # The other's left is where the first one's right is: the colours tell who is on top.
    other.keypoints[0, [2, 3]] = other.keypoints[0, [3, 2]]
    both = np.concatenate((one.keypoints, other.keypoints))
    for scores, own in (((0.9, 0.5), "left"), ((0.5, 0.9), "right"), ((0.5, 0.5), "left")):
        found = draw(ground(), Poses(both, np.array(scores), MADE), numbered=False)
        assert np.abs(found[60, 120] - np.array(captions.rgb(SIDES[own]), float)).max() <= 2


def test_lines_are_as_wide_as_their_person_allows():
    widths = line_widths(np.array([10.0, 150.0, 9000.0, 0.0]), (600, 800))
    assert widths.tolist() == [1.5, 150 / 48, pytest.approx(800 / 150), 1.5]
    # Twice the picture, twice the width.
    np.testing.assert_allclose(line_widths(np.array([300.0]), (1200, 1600)), 2 * widths[1:2])
    # Only what is drawn counts.
    thin, wide = (
        draw(ground(600, 800), poses(c, places))
        for c, places in (
            ([1, 1, 1, 0.1], ((400, 300), (400, 340), (420, 320), (40, 20))),
            ([1, 1, 1, 1.0], ((400, 300), (400, 340), (420, 320), (40, 20))),
        )
    )
    across = [(picture[335, 380:421] != GROUND).any(axis=1).sum() for picture in (thin, wide)]
    assert across[0] < across[1]


def test_several_people_bear_their_numbers():
    shifts = np.array([[[-30, 0, 0]], [[0, 0, 0]], [[30, 0, 0]]])
    many = poses(1.0).keypoints + shifts
    crowd = Poses(many, np.array([0.9, 0.8, 0.7]), MADE)
    plain, numbered = (draw(ground(), crowd, numbered=value) for value in (False, None))
    above = numbered[:16] != plain[:16]
    assert above.any(axis=(0, 2)).sum() >= 3 * 6
    # Those who are hardly larger than a number bear none.
    small = Poses(many / np.array([5, 5, 1]), crowd.scores, MADE)
    np.testing.assert_array_equal(draw(ground(), small), draw(ground(), small, numbered=False))
    alone = draw(ground(), poses(1.0), numbered=False)
    np.testing.assert_array_equal(draw(ground(), poses(1.0)), alone)


def test_numbers_do_not_cover_each_other():
    canvas = np.zeros((200, 200, 3), np.float32)
    taken = []
    for number in range(8):
        captions.tag(canvas, str(number), (100, 60), size=12, taken=taken)
    assert len(taken) == 8
    for i, (left, top, right, bottom) in enumerate(taken):
        assert 0 <= left < right <= 200
        assert 0 <= top < bottom <= 200
        for other in taken[:i]:
            apart = left >= other[2] or right <= other[0] or top >= other[3] or bottom <= other[1]
            assert apart, (taken[i], other)


@settings(deadline=None, max_examples=25)
@given(width=st.integers(1, 90), height=st.integers(1, 60), seed=st.integers(0, 99))
def test_any_picture_takes_any_people_and_a_label(width, height, seed):
    generator = np.random.default_rng(seed)
    keypoints = generator.uniform(-50, 120, (3, len(COCO), 3))
    keypoints[..., 2] = generator.uniform(0, 1.2, keypoints.shape[:2])
    found = draw(
        np.full((height, width, 3), 7, np.uint8),
        Poses(keypoints, generator.uniform(0, 1, 3), COCO),
        label="a label of several words, longer than any such picture is wide",
    )
    assert found.shape == (height, width, 3)


def test_the_label_stands_in_the_lower_left_corner():
    found = draw(ground(300, 400), Poses(np.zeros((0, 14, 3)), np.zeros(0), LSP), label="ours")
    changed = np.argwhere((found != GROUND).any(axis=2))
    assert changed[:, 0].max() == 299
    assert changed[:, 1].min() == 0
    assert changed[:, 0].min() > 270
    assert changed[:, 1].max() < 80
    assert found.min() < 60 < 200 < found.max()


def test_shapes_must_fit():
    with pytest.raises(ValueError, match="are not N×17×3 and N"):
        draw(ground(), Poses(np.zeros((1, 14, 3)), np.zeros(1), COCO))
