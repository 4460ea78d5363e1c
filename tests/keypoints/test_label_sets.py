"""Label sets of pose machines, against the same written out pixel by pixel; and their losses."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from replab.keypoints.label_sets import (
    belief_targets,
    centre_map,
    label_sets,
    people_of_pictures,
)
from replab.keypoints.stage_losses import euclidean_loss, stage_losses, supervised


def slow_targets(joints, visible, size, stride, sigma):
    """One crop, P×K×2: joint by joint, person by person and pixel by pixel."""
    people, count, _ = joints.shape
    width, height = size
    maps = np.zeros((count + 1, height, width))
    start = stride / 2 - 0.5
    for k in range(count):
        for p in range(people):
            if visible[p, k] <= 0.5:
                continue
            for y in range(height):
                for x in range(width):
                    square = (start + x * stride - joints[p, k, 0]) ** 2
                    square += (start + y * stride - joints[p, k, 1]) ** 2
                    exponent = square / 2 / sigma**2
                    if exponent > 4.6052:
                        continue
                    maps[k, y, x] = min(maps[k, y, x] + math.exp(-exponent), 1)
    for y in range(height):
        for x in range(width):
            maps[count, y, x] = max(1 - max(maps[:count, y, x]), 0)
    return maps


def crops(seed, batch, people, joints, size, stride):
    generator = np.random.default_rng(seed)
    span = np.array(size) * stride
    places = generator.uniform(-0.3, 1.3, (batch, people, joints, 2)) * span
    seen = (generator.random((batch, people, joints)) < 0.7).astype(np.float32)
    return places, seen


SETTINGS = st.tuples(
    st.integers(0, 2**32 - 1),
    st.integers(1, 3),
    st.integers(1, 4),
    st.integers(1, 4),
    st.tuples(st.integers(1, 9), st.integers(1, 9)),
    st.sampled_from([1, 2, 4, 8]),
)


class TestTargets:
    @given(made=SETTINGS, sigma=st.floats(1.0, 30.0))
    @settings(max_examples=25, deadline=None)
    def test_as_written_out(self, made, sigma):
        seed, batch, people, joints, size, stride = made
        places, seen = crops(seed, batch, people, joints, size, stride)
        given_to = torch.from_numpy(places), torch.from_numpy(seen)
        found = label_sets(*given_to, size, stride=stride, sigma=sigma)
        for number in range(batch):
            place, drawn = places[number], seen[number]
            everyone = slow_targets(place, drawn, size, stride, sigma)
            middle = slow_targets(place[:1], drawn[:1], size, stride, sigma)
            np.testing.assert_allclose(found.everyone[number], everyone, atol=1e-6)
            np.testing.assert_allclose(found.middle[number], middle, atol=1e-6)

    @given(made=SETTINGS)
    @settings(max_examples=25, deadline=None)
    def test_properties(self, made):
        seed, batch, people, joints, size, stride = made
        places, seen = map(torch.from_numpy, crops(seed, batch, people, joints, size, stride))
        everyone, middle = label_sets(places, seen, size, stride=stride)
        assert everyone.dtype == torch.float32
        assert everyone.shape == middle.shape == (batch, joints + 1, size[1], size[0])
        assert everyone.min() >= 0
        assert everyone.max() <= 1
        # More people only add, and leave less background.
        assert (everyone[:, :-1] >= middle[:, :-1]).all()
        assert (everyone[:, -1] <= middle[:, -1]).all()
        for maps in (everyone, middle):
            # Below 1 % there is nothing.
            drawn = maps[:, :-1][maps[:, :-1] > 0]
            assert (drawn >= math.exp(-4.6053)).all()
            torch.testing.assert_close(maps[:, -1], 1 - maps[:, :-1].amax(1))
        # The order of the others is nobody's business, nor is what is not seen.
        turned = [0, *range(people - 1, 0, -1)]
        lost = torch.where(seen[..., None] > 0.5, places, torch.nan)
        again = label_sets(lost[:, turned], seen[:, turned], size, stride=stride)
        torch.testing.assert_close(again.everyone, everyone)
        assert torch.equal(again.middle, middle)

    @given(shift=st.tuples(st.integers(-2, 2), st.integers(-2, 2)))
    def test_a_stride_s_shift_is_a_pixel_s(self, shift):
        across, down = shift
        joints = torch.tensor([[[[67.0, 52.0]]]], dtype=torch.float64)
        moved = joints + 8 * torch.tensor(shift)
        seen = torch.ones(1, 1, 1)
        before = belief_targets(joints, seen, (16, 16))
        after = belief_targets(moved, seen, (16, 16))
        torch.testing.assert_close(after, before.roll((down, across), (2, 3)))

    def test_the_grid_s_origin(self):
        """A joint at 3.5 px of a stride of 8 is the middle of the first pixel."""
        joints = torch.tensor([[[[3.5, 3.5 + 8 * 2]]]])
        maps = belief_targets(joints, torch.ones(1, 1, 1), (5, 5))
        assert maps[0, 0, 2, 0] == 1
        assert maps[0, 1, 2, 0] == 0
        assert maps[0, 0, 2, 1] == pytest.approx(math.exp(-64 / 98))
        # σ √(2 · 4.6052) is 21.24 px: two pixels away are 16 px, three are 24.
        assert maps[0, 0, 2, 2] > 0
        assert maps[0, 0, 2, 3] == 0

    def test_people_are_added_and_limited(self):
        joints = torch.tensor([[[[3.5, 3.5]], [[19.5, 3.5]], [[19.5, 3.5]]]])
        everyone, middle = label_sets(joints, torch.ones(1, 3, 1), (4, 1))
        side = math.exp(-64 / 98)
        far = math.exp(-256 / 98)
        row = [min(1, 1 + 2 * far), min(1, 3 * side), 1, 2 * side]
        np.testing.assert_allclose(everyone[0, 0, 0], np.minimum(row, 1), atol=1e-6)
        np.testing.assert_allclose(middle[0, 0, 0], [1, side, far, 0], atol=1e-6)

    def test_nobody_is_background_alone(self):
        maps = belief_targets(torch.full((2, 3, 4, 2), torch.nan), torch.zeros(2, 3, 4), (5, 6))
        assert not maps[:, :-1].any()
        assert (maps[:, -1] == 1).all()

    @pytest.mark.parametrize(
        ("joints", "visible", "options"),
        [
            ((1, 2, 3, 2), (1, 2, 4), {}),
            ((2, 3, 2), (2, 3), {}),
            ((1, 1, 0, 2), (1, 1, 0), {}),
            ((1, 1, 1, 2), (1, 1, 1), {"sigma": 0.0}),
            ((1, 1, 1, 2), (1, 1, 1), {"stride": -1.0}),
        ],
    )
    def test_what_cannot_be_drawn(self, joints, visible, options):
        with pytest.raises(ValueError):
            belief_targets(torch.zeros(joints), torch.zeros(visible), (4, 4), **options)


class TestCentreMap:
    def test_as_written_out(self):
        centre = torch.tensor([[30.25, 11.5], [3.0, 40.0]], dtype=torch.float64)
        cut, whole = (centre_map(centre, (64, 48), sigma=9, cut=c) for c in (True, False))
        assert cut.shape == (2, 1, 48, 64)
        for number, (x, y) in enumerate(centre.tolist()):
            expected = slow_targets(np.array([[[x, y]]]), np.ones((1, 1)), (64, 48), 1, 9)[0]
            np.testing.assert_allclose(cut[number, 0], expected, atol=1e-6)
            square = (np.arange(64) - x)[None] ** 2 + (np.arange(48) - y)[:, None] ** 2
            np.testing.assert_allclose(whole[number, 0], np.exp(-square / 162), atol=1e-6)

    def test_released_size(self):
        middle = centre_map(torch.tensor([[184.0, 184.0]]), (368, 368))[0, 0]
        assert middle[184, 184] == 1
        # σ √(2 · 4.6052) is 63.7 px.
        assert middle[184, 184 + 63] > 0
        assert middle[184, 184 + 64] == 0


class TestPeopleOfPictures:
    @given(pictures=st.lists(st.integers(0, 4), min_size=1, max_size=12))
    def test_everyone_first_and_the_others_of_the_picture(self, pictures):
        count = len(pictures)
        joints = torch.arange(count * 6.0).view(count, 3, 2) + 1
        visible = torch.arange(count)[:, None] + torch.tensor([1, 2, 3])
        together, seen = people_of_pictures(torch.tensor(pictures), joints, visible)
        most = max(pictures.count(picture) for picture in pictures)
        assert together.shape == (count, most, 3, 2)
        assert seen.shape == (count, most, 3)
        for n, picture in enumerate(pictures):
            mates = {m for m in range(count) if pictures[m] == picture}
            assert torch.equal(together[n, 0], joints[n])
            assert torch.equal(seen[n, 0], visible[n])
            found = {int(value) - 1 for value in seen[n, : len(mates), 0]}
            assert found == mates
            for place, value in enumerate(seen[n, : len(mates), 0]):
                assert torch.equal(together[n, place], joints[int(value) - 1])
            assert not seen[n, len(mates) :].any()
            assert not together[n, len(mates) :].any()

    def test_joints_that_are_no_numbers_stay_with_their_person(self):
        joints = torch.tensor([[[torch.nan, 1.0]], [[2.0, 3.0]]])
        together, seen = people_of_pictures(torch.tensor([0, 1]), joints, torch.ones(2, 1))
        assert together.shape == (2, 1, 1, 2)
        assert torch.equal(together[1, 0], joints[1])
        assert seen.all()

    def test_nobody(self):
        nobody = torch.zeros(0, dtype=torch.long), torch.zeros(0, 5, 2), torch.zeros(0, 5)
        together, seen = people_of_pictures(*nobody)
        assert (len(together), len(seen)) == (0, 0)


class TestLosses:
    def test_by_hand(self):
        maps = torch.tensor([[[[1.0, 2.0]], [[0.0, 0.0]]], [[[0.0, 0.0]], [[3.0, 0.0]]]])
        targets = torch.zeros_like(maps)
        # ½ (1 + 4 + 9) over a batch of two.
        assert euclidean_loss(maps, targets) == 3.5
        weights = torch.tensor([[1.0, 1.0], [1.0, 0.0]])
        assert euclidean_loss(maps, targets, weights) == 1.25

    @given(seed=st.integers(0, 999), copies=st.integers(2, 4))
    @settings(deadline=None)
    def test_a_batch_twice_as_large_weighs_the_same_and_a_map_does_not(self, seed, copies):
        generator = torch.Generator().manual_seed(seed)
        maps, targets = (torch.rand(2, 3, 4, 5, generator=generator) for _ in range(2))
        once = euclidean_loss(maps, targets)
        people = (copies, 1, 1, 1)
        torch.testing.assert_close(
            euclidean_loss(maps.repeat(people), targets.repeat(people)), once
        )
        pixels = (1, 1, copies, 1)
        wide = euclidean_loss(maps.repeat(pixels), targets.repeat(pixels))
        torch.testing.assert_close(wide, once * copies)

    def test_the_gradient_is_the_error_over_the_batch(self):
        maps = torch.rand(4, 2, 3, 3, requires_grad=True)
        targets = torch.rand(4, 2, 3, 3)
        euclidean_loss(maps, targets).backward()
        torch.testing.assert_close(maps.grad, (maps.detach() - targets) / 4)

    def test_stages_have_targets_of_their_own(self):
        everyone, middle = torch.rand(2, 1, 3, 4, 4)
        beliefs = [
            everyone.clone().requires_grad_(),
            *(middle.clone().requires_grad_() for _ in "ab"),
        ]
        assert stage_losses(beliefs, everyone, middle).tolist() == [0, 0, 0]
        losses = stage_losses(beliefs[::-1], everyone, middle)
        assert [value > 0 for value in losses.tolist()] == [True, False, True]
        torch.testing.assert_close(supervised(losses), losses[0] + losses[2])
        supervised(losses, "last").backward()
        assert [bool(maps.grad is not None and maps.grad.any()) for maps in beliefs] == [
            True,
            False,
            False,
        ]

    def test_what_cannot_be(self):
        with pytest.raises(ValueError, match="no beliefs"):
            stage_losses([], torch.zeros(1), torch.zeros(1))
        with pytest.raises(ValueError, match="'first'"):
            supervised(torch.ones(3), "first")
