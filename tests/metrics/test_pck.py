"""PCK on cases counted by hand, against counting one by one, and its bootstrap."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from replab.keypoints.skeletons import FLIC, LSP, MPII
from replab.metrics import pck as pck_
from replab.metrics.pck import bootstrap, distances, head_size, pck, torso_length

# Two people, three joints; the lengths are 10 and 20 px.
TRUTH = np.array([[[0, 0], [10, 0], [20, 0]], [[0, 0], [0, 50], [50, 50]]], float)
MOVED = np.array([[[0, 1], [10, 2], [23, 4]], [[0, 2], [4, 50], [80, 90]]], float)
LENGTHS = np.array([10.0, 20.0])


def test_by_hand():
    found = pck(MOVED, TRUTH, LENGTHS, thresholds=(0.05, 0.1, 0.2, 0.5))
    # Distances are 1 2 5 and 2 4 50 px: 0.1 0.2 0.5 and 0.1 0.2 2.5; on the threshold is a hit.
    assert found.hits.tolist() == [[0, 0, 0], [2, 0, 0], [2, 2, 0], [2, 2, 1]]
    assert found.counts.tolist() == [2, 2, 2]
    assert found.joints.tolist() == [[0, 0, 0], [100, 0, 0], [100, 100, 0], [100, 100, 50]]
    assert found.pooled() == pytest.approx([0, 100 / 3, 200 / 3, 500 / 6])
    assert found.pooled((1, 2)) == pytest.approx([0, 0, 50, 75])
    assert found.notes() == ()


def test_weighted_and_plain_means():
    counted = np.array([[True, True, False], [False, True, False]])
    found = pck(MOVED, TRUTH, LENGTHS, counted, thresholds=(0.1,))
    assert found.hits.tolist() == [[1, 0, 0]]
    assert found.counts.tolist() == [1, 2, 0]
    assert found.joints[0, :2].tolist() == [100, 0]
    assert np.isnan(found.joints[0, 2])
    assert found.pooled() == pytest.approx([100 / 3])
    # A joint that never counts is no part of the plain mean.
    assert found.mean() == pytest.approx([50])
    assert np.isnan(found.mean((2,)))
    assert np.isnan(found.pooled((2,)))


@pytest.mark.parametrize("length", [0.0, -3.0, np.nan, np.inf])
def test_people_without_a_length_count_as_missed(length):
    found = pck(TRUTH, TRUTH, [length, 20.0], thresholds=(0.1, 1e9))
    assert found.hits.tolist() == [[1, 1, 1]] * 2
    assert found.counts.tolist() == [2, 2, 2]
    assert (found.without_reference, found.without_prediction) == (1, 0)
    assert found.notes() == (
        "1 of 2 people have no reference length; their joints count as missed",
    )


@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf])
def test_joints_without_a_prediction_count_as_missed(number):
    guess = TRUTH.copy()
    guess[0, 1, 1] = guess[1, 2] = number
    counted = np.ones((2, 3), bool)
    counted[1, 2] = False
    found = pck(guess, TRUTH, LENGTHS, counted, thresholds=(1e9,))
    assert found.hits.tolist() == [[2, 1, 1]]
    assert found.counts.tolist() == [2, 2, 1]
    assert found.without_prediction == 1
    assert found.notes() == ("1 of 5 joints have no finite prediction and count as missed",)


def test_a_place_far_off_is_a_miss_without_a_warning():
    guess = TRUTH.copy()
    guess[0, 0] = 1e200
    found = pck(guess, TRUTH, LENGTHS, thresholds=(1e6,))
    assert found.hits.tolist() == [[1, 2, 2]]
    assert found.without_prediction == 0


def test_unsigned_integers_do_not_wrap_around():
    near = (TRUTH + 3).astype(np.uint8)
    signed = pck(near.astype(float), TRUTH.astype(float), LENGTHS, thresholds=(0.3, 0.5))
    unsigned = pck(near, TRUTH.astype(np.uint8), LENGTHS, thresholds=(0.3, 0.5))
    assert signed.hits.tolist() == unsigned.hits.tolist() == [[1, 1, 1], [2, 2, 2]]


def test_truth_that_does_not_count_may_be_anything():
    truth = TRUTH.copy()
    truth[0, 0] = np.nan
    counted = ~np.isnan(truth).any(axis=2)
    assert pck(MOVED, truth, LENGTHS, counted, thresholds=(0.1,)).hits.tolist() == [[1, 0, 0]]
    with pytest.raises(ValueError, match="the truth of a joint that counts is not finite"):
        distances(MOVED, truth, LENGTHS)


NUMBERS = st.floats(-300, 300) | st.sampled_from([np.nan, np.inf])


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_against_counting_one_by_one(data):
    people, joints = data.draw(st.integers(1, 5)), data.draw(st.integers(1, 4))
    shape = (people, joints, 2)
    guess = data.draw(arrays.arrays(float, shape, elements=NUMBERS))
    truth = data.draw(arrays.arrays(float, shape, elements=st.integers(-300, 300)))
    lengths = data.draw(arrays.arrays(float, people, elements=st.integers(0, 200)))
    counted = data.draw(arrays.arrays(bool, (people, joints)))
    limit = data.draw(st.sampled_from([0.0, 0.1, 0.2, 0.5, 3.0]))
    hits, looked = [0] * joints, [0] * joints
    for n in range(people):
        for k in range(joints):
            if counted[n, k]:
                looked[k] += 1
                away = float(np.linalg.norm(guess[n, k] - truth[n, k]))
                hits[k] += lengths[n] > 0 and bool(away / lengths[n] <= limit)
    found = pck(guess, truth, lengths, counted, thresholds=(limit,))
    assert found.hits[0].tolist() == hits
    assert found.counts.tolist() == looked
    if sum(looked):
        assert found.pooled()[0] == pytest.approx(100 * sum(hits) / sum(looked))


def test_curves_never_fall():
    random = np.random.default_rng(0)
    truth = random.normal(0, 50, (40, 5, 2))
    guess = truth + random.normal(0, 5, truth.shape)
    found = pck(guess, truth, np.full(40, 20.0), thresholds=np.linspace(0, 1, 21))
    assert found.joints.shape == (21, 5)
    assert (np.diff(found.joints, axis=0) >= 0).all()
    assert found.joints[0].max() == 0
    assert found.joints[-1].min() > 95


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"predicted": TRUTH[:1]}, r"predictions \(1, 3, 2\), truth \(2, 3, 2\).* do not fit"),
        ({"predicted": TRUTH[:, :2]}, "do not fit"),
        ({"reference": [1.0]}, "do not fit"),
        ({"counted": np.ones((2, 2))}, "do not fit"),
        ({"truth": TRUTH[0]}, "expected people × joints × 2"),
        ({"truth": TRUTH[:0]}, "expected people × joints × 2"),
        ({"truth": np.zeros((2, 3, 3))}, "expected people × joints × 2"),
    ],
)
def test_what_does_not_fit(changed, message):
    given = {"predicted": MOVED, "truth": TRUTH, "reference": LENGTHS, **changed}
    with pytest.raises(ValueError, match=message):
        distances(**given)


@pytest.mark.parametrize("thresholds", [(), (-0.1,), (np.nan,), (np.inf,), ((0.1,),)])
def test_thresholds_out_of_range(thresholds):
    measured = distances(MOVED, TRUTH, LENGTHS)
    for ask in (measured.pck, lambda limits: bootstrap(measured, limits)):
        with pytest.raises(ValueError, match="finite numbers, 0 or above"):
            ask(thresholds)


class TestBootstrap:
    @staticmethod
    def measured(people, share=0.8, seed=0):
        """One joint a person, found by chance."""
        random = np.random.default_rng(seed)
        guess = np.where(random.random((people, 1, 1)) < share, 0.0, 9.0) * np.ones(2)
        return distances(guess, np.zeros((people, 1, 2)), np.ones(people))

    @pytest.mark.parametrize("people", [100, 1600])
    def test_as_wide_as_the_binomial_says(self, people):
        measured = self.measured(people)
        share = measured.found(0.5).mean()
        ((low, high),) = bootstrap(measured, (0.5,))
        width = 2 * 1.96 * 100 * np.sqrt(share * (1 - share) / people)
        assert high - low == pytest.approx(width, rel=0.1)
        assert (low + high) / 2 == pytest.approx(100 * share, abs=0.1 * width)

    def test_people_are_drawn_whole(self):
        """Twelve joints that are found or missed together tell no more than one."""
        one = self.measured(200)
        twelve = pck_.Distances(
            *(np.repeat(a, 12, axis=1) for a in (one.values, one.counted)), 0, 0
        )
        assert bootstrap(one, (0.5,)) == pytest.approx(bootstrap(twelve, (0.5,)))

    @pytest.mark.parametrize("weighted", [True, False])
    def test_is_that_of_its_mean(self, weighted):
        """Against drawing people and counting again."""
        random = np.random.default_rng(1)
        truth = random.normal(0, 50, (60, 4, 2))
        guess = truth + random.normal(0, 1, truth.shape) * np.array([2, 4, 8, 16])[:, None]
        counted = random.random((60, 4)) < np.array([0.9, 0.7, 0.5, 0.3])
        measured = distances(guess, truth, np.full(60, 20.0), counted)
        means = []
        for _ in range(400):
            drawn = random.integers(0, 60, 60)
            again = distances(guess[drawn], truth[drawn], np.full(60, 20.0), counted[drawn])
            found = again.pck((0.2, 0.5))
            means.append(found.pooled((1, 2, 3)) if weighted else found.mean((1, 2, 3)))
        expected = np.quantile(means, (0.025, 0.975), axis=0).T
        got = bootstrap(measured, (0.2, 0.5), joints=(1, 2, 3), weighted=weighted)
        assert got.shape == (2, 2)
        assert np.abs(got - expected).max() < 2.5

    def test_the_same_seed_gives_the_same(self, monkeypatch):
        measured = self.measured(201)
        first = bootstrap(measured, (0.5,), resamples=99, seed=3)
        assert np.array_equal(first, bootstrap(measured, (0.5,), resamples=99, seed=3))
        assert not np.array_equal(first, bootstrap(measured, (0.5,), resamples=99, seed=4))
        # However many are in memory at once.
        monkeypatch.setattr(pck_, "CHUNK", 201 * 7)
        assert np.array_equal(first, bootstrap(measured, (0.5,), resamples=99, seed=3))

    @pytest.mark.parametrize("options", [{"resamples": 0}, {"confidence": 1.0}, {"confidence": 0}])
    def test_out_of_range(self, options):
        with pytest.raises(ValueError, match="resamples must be at least 1"):
            bootstrap(self.measured(5), (0.5,), **options)

    def test_nothing_that_counts(self):
        nothing = distances(MOVED, TRUTH, LENGTHS, np.zeros((2, 3)))
        with pytest.raises(ValueError, match="no resample has a joint that counts"):
            bootstrap(nothing, (0.5,))


class TestConventions:
    def test_torso(self):
        joints = np.zeros((2, len(LSP), 2))
        joints[:, 9], joints[:, 2] = (3, 4), (0, 0)
        assert torso_length(joints, LSP).tolist() == [5, 5]
        joints = np.zeros((1, len(FLIC), 2))
        joints[:, 0], joints[:, 7] = (6, 8), (0, 0)
        assert torso_length(joints, FLIC).tolist() == [10]

    def test_head(self):
        boxes = np.array([[[10, 10], [40, 50]], [[7, 7], [7, 7]]], float)
        assert head_size(boxes).tolist() == [30, 0]

    def test_rows(self):
        assert dict(pck_.LSP_ROWS) == {
            "head": (12, 13),
            "shoulder": (9, 8),
            "elbow": (10, 7),
            "wrist": (11, 6),
            "hip": (3, 2),
            "knee": (4, 1),
            "ankle": (5, 0),
        }
        assert dict(pck_.FLIC_ROWS) == {"elbow": (1, 4), "wrist": (2, 5)}
        assert pck_.MPII_ROWS["head"] == (9,)
        assert sorted(pck_.FLIC_TOTAL) == [1, 2, 4, 5]
        assert list(pck_.LSP_TOTAL) == list(range(14))
        assert [k for k in range(len(MPII)) if k not in pck_.MPII_TOTAL] == [6, 7]
