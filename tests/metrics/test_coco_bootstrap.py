"""The bootstrap: each draw gives what the referee gives on images that are really repeated."""

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from coco_made import cases, made, referee, repeated, result
from replab.errors import UserError
from replab.metrics import coco
from replab.metrics.coco_bootstrap import Matches, bootstrap, drawn, paired_bootstrap


def many(images=40, seed=0):
    """More pictures with few people."""
    rng = np.random.default_rng(seed)
    poses = ("near", "far", "far", "stray")
    described = [
        (
            [("plain", float(rng.choice([2000, 4000, 2e4]))) for _ in range(rng.integers(0, 4))],
            [(str(rng.choice(poses)), i, float(rng.random())) for i in range(rng.integers(0, 5))],
        )
        for _ in range(images)
    ]
    return made(seed, described)


def found_with(truth, deviation, seed=0):
    """A detection of each person, as far off as is said, in px."""
    rng = np.random.default_rng(seed)
    results = []
    for person in truth["annotations"]:
        spots = np.array(person["keypoints"]).reshape(17, 3)
        spots[:, :2] += rng.normal(0, deviation, (17, 2))
        results.append(result(person["image_id"], spots[:, :2], rng.random()))
    return results


@settings(max_examples=25, deadline=None)
@given(cases())
def test_the_sample_itself_gives_the_score(case):
    for engine in coco.ENGINES:
        expected = list(coco.evaluate(*case, engine=engine).as_dict().values())
        found = Matches.of(*case, engine=engine).score()
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.filter_too_much])
@given(cases(), st.lists(st.integers(0, 3), min_size=4, max_size=4))
def test_a_draw_gives_what_the_referee_gives_on_repeated_images(case, counts):
    truth, results = case
    weights = np.array(counts[: len(truth["images"])])
    copies, again = repeated(truth, results, weights)
    assume(again)
    found = Matches.of(truth, results).score(weights)
    np.testing.assert_allclose(found, referee(copies, again), rtol=0, atol=1e-12)


def test_draws_of_many_images_give_what_the_referee_gives():
    truth, results = many()
    matches = Matches.of(truth, results)
    for weights in drawn(len(matches.images), 3, seed=1):
        assert weights.sum() == len(weights) == 40
        expected = referee(*repeated(truth, results, weights))
        np.testing.assert_allclose(matches.score(weights), expected, rtol=0, atol=1e-12)


def test_intervals_hold_the_score_and_shrink_with_the_level():
    truth, results = many()
    score = coco.evaluate(truth, results).as_dict()
    wide = bootstrap(truth, results, draws=60)
    narrow = bootstrap(truth, results, draws=60, level=0.5)
    assert tuple(wide) == coco.METRICS
    for name, (low, high) in wide.items():
        assert low <= narrow[name][0] < narrow[name][1] <= high
        assert low < score[name] < high
    assert wide == bootstrap(truth, results, draws=60, engine="pycocotools")
    assert wide != bootstrap(truth, results, draws=60, seed=1)


def test_intervals_are_as_wide_as_theory_says():
    """One person a picture, found in half of them for sure: recall is a binomial share."""
    here, lost = ([("plain", 4000.0)], [("exact", 0, 0.9)]), ([("plain", 4000.0)], [])
    truth, results = made(0, [here, lost] * 24)
    low, high = bootstrap(truth, results, draws=400)["AR"]
    deviation = np.sqrt(0.25 / 48)
    assert low == pytest.approx(0.5 - 1.96 * deviation, abs=0.04)
    assert high == pytest.approx(0.5 + 1.96 * deviation, abs=0.04)


def test_metrics_without_anyone_stay_minus_one():
    truth, results = made(3, [([("plain", 4000.0)], [("near", 0, 0.9)]), ([], [])])
    found = bootstrap(truth, results, draws=50)
    assert found["APL"] == found["ARL"] == (-1.0, -1.0)
    # Draws of the empty picture alone have no one; they say nothing of AR.
    assert found["AR50"] == (1.0, 1.0)


def test_paired_differences():
    truth, _ = many(seed=4)
    strong, weak = found_with(truth, 2), found_with(truth, 6, seed=1)
    same = paired_bootstrap(truth, weak, weak, draws=50)
    assert all(interval == (0.0, 0.0) for interval in same.values())
    better = paired_bootstrap(truth, strong, weak, draws=60)
    worse = paired_bootstrap(truth, weak, strong, draws=60)
    assert better["AP"][0] > 0
    for name, (low, high) in better.items():
        assert worse[name] == pytest.approx((-high, -low))
    # Slightly worse poses in the same pictures: the pairs tell, two intervals would not.
    worn = [{**r, "keypoints": [k + 0.5 for k in r["keypoints"]]} for r in strong]
    low, high = paired_bootstrap(truth, strong, worn, draws=60)["AP"]
    alone = bootstrap(truth, strong, draws=60)["AP"]
    assert high - low < (alone[1] - alone[0]) / 2


def test_what_cannot_be_drawn():
    truth, results = many(images=3)
    with pytest.raises(ValueError, match="nothing to draw: 3 images, 0 draws"):
        bootstrap(truth, results, draws=0)
    with pytest.raises(ValueError, match="level is a share"):
        bootstrap(truth, results, draws=2, level=95)
    with pytest.raises(UserError, match="no engine"):
        bootstrap(truth, results, engine="none")
    with pytest.raises(ValueError, match="0 images"):
        bootstrap({**truth, "images": [], "annotations": []}, [])
