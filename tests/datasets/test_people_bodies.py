import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from replab.datasets.people import body
from replab.datasets.people.body import GROUPS, INDEX, MEASURES, SIDE_LIMITS, TRUNK_LIMITS
from replab.datasets.people.outlines import trace


@pytest.fixture(scope="module")
def bodies():
    return body.sample(np.random.Generator(np.random.PCG64([5])), 6000)


def at(bodies, name):
    return bodies.points[:, INDEX[name]]


def length(vectors):
    return np.linalg.norm(vectors, axis=-1)


def angle(one, other):
    cosine = (one * other).sum(-1) / length(one) / length(other)
    return np.degrees(np.arccos(np.clip(cosine, -1, 1)))


def test_sines_are_a_table_in_tenths_of_a_degree():
    degrees = np.arange(-400, 800, 0.1)
    np.testing.assert_allclose(body.sine(degrees), np.sin(np.radians(degrees)), atol=1e-8)
    np.testing.assert_allclose(body.cosine(degrees), np.cos(np.radians(degrees)), atol=1e-8)


def test_bell_has_unit_spread_and_ends():
    draws = body.bell(np.random.Generator(np.random.PCG64([1])), (40000,))
    assert draws.mean() == pytest.approx(0, abs=0.02)
    assert draws.std() == pytest.approx(1, abs=0.02)
    assert np.abs(draws).max() < 2 * math.sqrt(3)


def test_bones_have_the_lengths_of_their_group(bodies):
    """Measured on the points, not taken from the measures that made them."""
    stature = bodies.measure("stature")
    for number, ranges in enumerate(GROUPS.values()):
        chosen = bodies.group == number
        limits = dict(zip(MEASURES, ranges, strict=True))
        assert stature[chosen].min() >= limits["stature"][0]
        assert stature[chosen].max() <= limits["stature"][1]
        for side in body.SIDES:
            bones = {
                "thigh": ("hip", "knee"),
                "shin": ("knee", "ankle"),
                "upper_arm": ("shoulder", "elbow"),
                "forearm": ("elbow", "wrist"),
            }
            for name, (first, second) in bones.items():
                bone = at(bodies, f"{side}_{first}") - at(bodies, f"{side}_{second}")
                share = (length(bone) / stature)[chosen]
                assert share.min() >= limits[name][0] - 1e-6, name
                assert share.max() <= limits[name][1] + 1e-6, name
        hips = length(at(bodies, "left_hip") - at(bodies, "right_hip"))
        assert (hips / stature)[chosen].max() <= 2 * limits["hips"][1] + 1e-6


def test_a_person_who_stands_is_as_tall_as_the_stature_says():
    count = 200
    random = np.random.Generator(np.random.PCG64([3]))
    one = body.sample(random, count)
    still = body.stand(
        one.measures,
        one.group,
        one.pose,
        np.zeros((count, len(TRUNK_LIMITS))),
        np.zeros((count, 2, len(SIDE_LIMITS))),
        np.zeros((count, 3)),
    )
    crown = at(still, "head")[:, 1] + 0.5 * still.measure("head")
    soles = still.points[:, INDEX["left_heel"], 1] - 0.02 * still.measure("stature")
    share = (crown - soles) / still.measure("stature")
    assert share.min() > 0.93
    assert share.max() < 1.09
    assert share.mean() == pytest.approx(1.0, abs=0.03)
    # Facing the viewer, the left side is at the right of the picture and the nose is nearest.
    assert (at(still, "left_shoulder")[:, 0] > at(still, "right_shoulder")[:, 0]).all()
    assert (at(still, "nose")[:, 2] > at(still, "left_ear")[:, 2]).all()
    assert (at(still, "left_toe")[:, 2] > at(still, "left_heel")[:, 2]).all()


def test_joints_keep_their_limits(bodies):
    """Angles between the bones themselves; an elbow and a knee bend one way only."""
    for number, side in enumerate(body.SIDES):
        upper = at(bodies, f"{side}_elbow") - at(bodies, f"{side}_shoulder")
        fore = at(bodies, f"{side}_wrist") - at(bodies, f"{side}_elbow")
        thigh = at(bodies, f"{side}_knee") - at(bodies, f"{side}_hip")
        shin = at(bodies, f"{side}_ankle") - at(bodies, f"{side}_knee")
        foot = at(bodies, f"{side}_toe") - at(bodies, f"{side}_heel")
        elbow, knee = angle(upper, fore), angle(thigh, shin)
        assert elbow.min() >= SIDE_LIMITS["elbow"][0] - 0.1
        assert elbow.max() <= SIDE_LIMITS["elbow"][1] + 0.1
        assert knee.min() >= SIDE_LIMITS["knee"][0] - 0.1
        assert knee.max() <= SIDE_LIMITS["knee"][1] + 0.1
        # A knee bends backwards: toes point away from where the shin goes.
        bent = (knee > 30) & (knee < 60)
        along = thigh / length(thigh)[:, None]
        aside = shin - (shin * along).sum(-1)[:, None] * along
        assert bent.sum() > 500
        assert ((aside * foot).sum(-1)[bent] < 0).all()
        down, up = SIDE_LIMITS["ankle"]
        assert angle(shin, foot).min() >= 90 + down - 0.1
        assert angle(shin, foot).max() <= 90 + up + 0.1
        given_angles = bodies.side_angles[:, number]
        for column, (low, high) in enumerate(SIDE_LIMITS.values()):
            assert given_angles[:, column].min() >= low
            assert given_angles[:, column].max() <= high
    for column, (low, high) in enumerate(TRUNK_LIMITS.values()):
        assert bodies.trunk_angles[:, column].min() >= low
        assert bodies.trunk_angles[:, column].max() <= high
    assert angle(bodies.pelvis[:, 1], bodies.chest[:, 1]).max() < 85


def test_frames_stay_at_right_angles(bodies):
    for frame in (bodies.pelvis, bodies.chest, bodies.head):
        product = frame @ frame.transpose(0, 2, 1)
        np.testing.assert_allclose(product, np.broadcast_to(np.eye(3), product.shape), atol=1e-7)
        np.testing.assert_allclose(np.linalg.det(frame), 1, atol=1e-7)


def test_left_and_right_do_the_same_things(bodies):
    left, right = bodies.side_angles[:, 0], bodies.side_angles[:, 1]
    spread = np.concatenate((left, right)).std(0)
    assert (np.abs(left.mean(0) - right.mean(0)) < 4.5 * spread * math.sqrt(2 / len(left))).all()
    assert np.abs(left.std(0) / right.std(0) - 1).max() < 0.06
    # In the picture too: each joint is as often on one side of the pelvis as its partner.
    for name in ("wrist", "knee", "ankle", "shoulder"):
        one = (at(bodies, f"left_{name}")[:, 0] > 0).mean()
        other = (at(bodies, f"right_{name}")[:, 0] < 0).mean()
        assert one == pytest.approx(other, abs=0.03)
        near = (at(bodies, f"left_{name}")[:, 2] > at(bodies, f"right_{name}")[:, 2]).mean()
        assert near == pytest.approx(0.5, abs=0.03)


def test_people_are_turned_to_all_sides_in_every_pose(bodies):
    facing = bodies.pelvis[:, 2, 2]
    assert 0.6 < (facing > 0).mean() < 0.85
    assert (facing < -0.7).mean() > 0.1
    for number in range(len(body.POSES)):
        assert (bodies.pose == number).mean() > 0.06
    sitting = bodies.pose == body.POSES.index("sitting")
    thigh = at(bodies, "left_knee") - at(bodies, "left_hip")
    assert np.median(angle(thigh, -bodies.pelvis[:, 1])[sitting]) > 70
    raised = bodies.pose == body.POSES.index("arms raised")
    hands = np.maximum(at(bodies, "left_wrist")[:, 1], at(bodies, "right_wrist")[:, 1])
    assert (hands > at(bodies, "neck")[:, 1])[raised].mean() > 0.6


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32), count=st.integers(1, 9), unit=st.floats(10, 300))
def test_outlines_are_finite_and_in_proportion_to_their_scale(seed, count, unit):
    people = body.sample(np.random.Generator(np.random.PCG64([seed])), count)
    once = trace(people, np.full(count, unit))
    twice = trace(people, np.full(count, 2 * unit))
    for name in ("joints", "tubes", "surfaces", "rings", "trunk", "head", "hair", "features"):
        assert np.isfinite(getattr(once, name)).all(), name
        np.testing.assert_allclose(getattr(twice, name), 2 * getattr(once, name), atol=1e-9)
    # Eyes and ears lie within the head's outline, as the picture shows it.
    low, high = once.hair.min(1), once.hair.max(1)
    for joint in (1, 2, 3, 4):
        assert (once.joints[:, joint] > low - 1e-6).all()
        assert (once.joints[:, joint] < high + 1e-6).all()


def test_no_module_uses_numbers_that_differ_between_machines():
    """Matrix products, logarithms and library sines are rounded differently here and there."""
    folder = Path(body.__file__).parent
    for path in folder.glob("*.py"):
        text = path.read_text()
        for word in (
            " @ ",
            "np.sin",
            "np.cos",
            "np.exp",
            "np.log",
            ".normal(",
            "einsum",
            "np.dot",
        ):
            assert word not in text, (path.name, word)
