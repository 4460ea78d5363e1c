"""Learning rates at the corners of §4.2, and as pure functions of the iteration."""

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replab.training import schedules
from replab.training.history import History, WarmUp
from replab.training.recipe import TrainingRecipe

PAPER = TrainingRecipe(
    schedule="steps",
    lr=0.1,
    drops=(32_000, 48_000),
    iterations=64_000,
    batch_size=128,
    momentum=0.9,
    weight_decay=1e-4,
)


@pytest.mark.parametrize(
    ("iteration", "rate"),
    [
        (0, 0.1),
        (31_999, 0.1),
        (32_000, 0.01),
        (47_999, 0.01),
        (48_000, 0.001),
        (63_999, 0.001),
    ],
)
def test_steps_of_the_paper(iteration, rate):
    assert schedules.from_recipe(PAPER, History())(iteration) == pytest.approx(rate, rel=1e-12)


def test_cosine():
    rate = schedules.from_recipe(
        replace(PAPER, schedule="cosine", lr=0.05, iterations=800), History()
    )
    assert rate(0) == 0.05
    assert rate(400) == pytest.approx(0.025)
    assert rate(200) == pytest.approx(0.05 * (1 + math.sqrt(0.5)) / 2)
    assert rate(799) == pytest.approx(0.05 * math.sin(math.pi / 1600) ** 2)
    assert rate(799) > 0
    assert rate(800) == pytest.approx(0, abs=1e-15)
    assert all(rate(i) > rate(i + 1) for i in range(800))


def test_linear_warm_up():
    rate = schedules.warm_up(schedules.steps(0.4, [6]), 4)
    assert [rate(i) for i in range(7)] == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.4, 0.4, 0.04])


def test_an_unknown_schedule():
    with pytest.raises(ValueError, match="'linear'; it must be 'steps' or 'cosine' or 'plateau'"):
        replace(PAPER, schedule="linear")


@given(order=st.permutations(range(0, 64_000, 4_000)))
def test_a_rate_depends_on_the_iteration_alone(order):
    rate = schedules.from_recipe(PAPER, History())
    expected = {i: schedules.from_recipe(PAPER, History())(i) for i in sorted(order)}
    assert {i: rate(i) for i in order} == expected


class CountedList(list):
    """A list that counts the elements it gave in slices."""

    read = 0

    def __getitem__(self, index):
        found = super().__getitem__(index)
        self.read += len(found) if isinstance(index, slice) else 1
        return found


def rates(errors, small=0.01, usual=0.1):
    """The rate of every iteration of a training that makes these errors."""
    history = History()
    warm_up = WarmUp(small, history)
    seen = []
    for error in errors:
        seen.append(warm_up.rate(usual))
        history.error.append(error)
    return [*seen, warm_up.rate(usual)]


def test_warm_up_ends_with_the_training_error_under_80_percent():
    # Whole stretches of 50 count: the one from 100 is the first whose mean is under 0.8.
    seen = rates([0.9] * 100 + [0.81] * 10 + [0.75] * 100)
    begin = seen.index(0.1)
    assert begin == 150
    assert set(seen[:begin]) == {0.01}
    assert set(seen[begin:]) == {0.1}


def test_warm_up_waits_for_a_whole_window():
    seen = rates([0.0] * 60)
    assert seen == [0.01] * 50 + [0.1] * 11


def test_warm_up_does_not_come_back():
    assert set(rates([0.5] * 50 + [1.0] * 100)[50:]) == {0.1}


def test_exactly_80_percent_is_not_under_it():
    assert set(rates([0.8] * 120)) == {0.01}


def test_no_warm_up():
    assert rates([0.9] * 60, small=None) == [0.1] * 61


@given(errors=st.lists(st.floats(0.6, 1.0), min_size=40, max_size=130), cut=st.floats(0, 1))
def test_warm_up_resumed_anywhere_decides_alike(errors, cut):
    undisturbed = rates(errors)
    where = round(cut * len(errors))
    history = History(error=list(errors[:where]))
    resumed = WarmUp(0.01, history)
    seen = []
    for error in errors[where:]:
        seen.append(resumed.rate(0.1))
        history.error.append(error)
    assert [*seen, resumed.rate(0.1)] == undisturbed[where:]


def test_warm_up_looks_at_each_stretch_once():
    """It once read the whole history at each iteration: 64,000 times."""
    history = History(error=CountedList())
    warm_up = WarmUp(0.01, history)
    for _ in range(2000):
        history.error.append(0.9)
        warm_up.rate(0.1)
    assert history.error.read <= 2000


PLATEAU = TrainingRecipe(
    schedule="plateau",
    lr=0.1,
    plateau_window=100,
    plateau_patience=2,
    plateau_least=0.01,
    plateau_drops=2,
    iterations=2000,
    batch_size=128,
    momentum=0.9,
    weight_decay=1e-4,
)


def plateau_rates(errors, **changes):
    """The rate of every stretch of 100 iterations of a training with these mean errors."""
    history = History()
    rate = schedules.from_recipe(replace(PLATEAU, **changes), history)
    seen = []
    for error in errors:
        seen.append(rate(len(history.error)))
        history.error += [error] * 100
    return [*seen, rate(len(history.error))]


def test_plateau_drops_where_the_error_stops_falling():
    # 0.495 is no improvement on 0.5 by 0.01; two such stretches in a row make a drop.
    seen = plateau_rates([0.9, 0.7, 0.5, 0.495, 0.492, 0.4, 0.3, 0.3, 0.3, 0.3])
    assert seen == pytest.approx([0.1] * 5 + [0.01] * 4 + [0.001] * 2)


def test_plateau_forgives_one_stretch():
    assert plateau_rates([0.9, 0.9, 0.8, 0.8, 0.7]) == [0.1] * 6


def test_plateau_has_a_last_drop():
    assert plateau_rates([0.5] * 20)[-1] == pytest.approx(0.001)
    assert plateau_rates([0.5] * 20, plateau_drops=3)[-1] == pytest.approx(0.0001)


def test_plateau_resumed_anywhere_decides_alike():
    errors = [0.9, 0.7, 0.5, 0.495, 0.492, 0.4, 0.3, 0.3, 0.3, 0.3]
    undisturbed = plateau_rates(errors)
    for cut in range(len(errors)):
        history = History(error=[e for e in errors[:cut] for _ in range(100)])
        rate = schedules.from_recipe(PLATEAU, history)
        # A rate is asked for at every iteration, but the history alone decides.
        assert rate(len(history.error)) == pytest.approx(undisturbed[cut])


def test_plateau_windows_fit_losses_that_are_read_in_lots():
    with pytest.raises(ValueError, match="plateau_window=70 is no multiple of 50"):
        schedules.from_recipe(replace(PLATEAU, plateau_window=70), History())
