"""Heatmaps: encoding and decoding are inverse up to what they round, flips undo themselves."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from replab.keypoints import decode, flips, losses
from replab.keypoints.encode import target_heatmaps
from replab.keypoints.skeletons import SKELETONS

SIZE = (24, 32)
IN_MAP = st.tuples(st.floats(0, 4 * 23.49), st.floats(0, 4 * 31.49))


def joint(x, y):
    return torch.tensor([[[x, y]]], dtype=torch.float64), torch.ones(1, 1)


@settings(deadline=None)
@given(IN_MAP)
def test_encoded_and_decoded_within_half_a_pixel(place):
    joints, visible = joint(*place)
    maps, weights = target_heatmaps(joints, visible, SIZE)
    found, peak = decode.highest(maps)
    assert weights.item() == peak.item() == 1
    assert (found.double() - joints / 4).abs().max() <= 0.5
    # The map is symmetric wherever it is refined, so a quarter is added at its cut edges only.
    refined = decode.refine(maps, found)
    assert torch.equal(refined, found)


@settings(deadline=None)
@given(st.floats(8, 4 * 21), st.floats(8, 4 * 29))
def test_exact_targets_tell_quarters(x, y):
    joints, visible = joint(x, y)
    maps, _ = target_heatmaps(joints, visible, SIZE, centre="exact", cut=False)
    found = decode.refine(maps, decode.highest(maps)[0], "sign-by-axis")
    assert (found.double() - joints / 4).abs().max() <= 0.25 + 1e-3


def test_exact_target_is_the_formula():
    joints, visible = joint(41.0, 60.6)
    maps, _ = target_heatmaps(joints, visible, SIZE, sigma=3, centre="exact", cut=False)
    y, x = 20, 7
    expected = math.exp(-((x - 10.25) ** 2 + (y - 15.15) ** 2) / 18)
    assert maps[0, 0, y, x].item() == pytest.approx(expected, rel=1e-5)
    assert (maps > 0).all()
    cut, _ = target_heatmaps(joints, visible, SIZE, sigma=3, centre="exact")
    assert cut[0, 0, 30, 10] == 0
    assert torch.equal(cut[cut > 0], maps[cut > 0])


def test_joints_that_are_not_seen_or_no_numbers_leave_no_trace():
    joints = torch.tensor([[[40.0, 40], [40, 40], [torch.nan, 0], [4000, 40]]])
    visible = torch.tensor([[1.0, 0, 0, 1]])
    maps, weights = target_heatmaps(joints, visible, SIZE)
    assert weights.tolist() == [[1, 0, 0, 0]]
    assert maps.isfinite().all()
    assert maps[0, 1:].abs().max() == 0
    assert maps[0, 0].max() == 1


@pytest.mark.parametrize("wrong", [{"sigma": 0.0}, {"sigma": 1.5}, {"stride": 0.0}])
def test_impossible_windows_are_refused(wrong):
    with pytest.raises(ValueError, match="sigma"):
        target_heatmaps(*joint(1.0, 1.0), SIZE, **wrong)


def peak_at(x, y, beside=()):
    """A map with its peak at (x, y) and lower values at other places."""
    maps = torch.zeros(1, 1, 8, 10)
    for (px, py), value in beside:
        maps[0, 0, py, px] = value
    maps[0, 0, y, x] = 1
    return maps


@pytest.mark.parametrize(
    ("refinement", "maps", "expected"),
    [
        ("sign", peak_at(4, 4, [((5, 4), 0.5)]), (4.25, 4)),
        ("sign", peak_at(4, 4, [((3, 4), 0.5), ((4, 5), 0.1)]), (3.75, 4.25)),
        # Pixel 1 does not count as inside, for both axes at once; in mmpose each is by itself.
        ("sign", peak_at(1, 4, [((2, 4), 0.5), ((1, 5), 0.1)]), (1, 4)),
        ("sign-by-axis", peak_at(1, 4, [((2, 4), 0.5), ((1, 5), 0.1)]), (1.25, 4.25)),
        ("sign-by-axis", peak_at(0, 4, [((1, 4), 0.5), ((0, 5), 0.1)]), (0, 4.25)),
        ("sign", peak_at(8, 4, [((9, 4), 0.5)]), (8.25, 4)),
        ("sign", peak_at(9, 4, [((8, 4), 0.5)]), (9, 4)),
        # As the papers say, also far away and at an edge: along the line, by a quarter in all.
        ("second-highest", peak_at(1, 1, [((4, 5), 0.5)]), (1.15, 1.2)),
        ("none", peak_at(4, 4, [((5, 4), 0.5)]), (4, 4)),
    ],
)
def test_refinements(refinement, maps, expected):
    place = decode.refine(maps, decode.highest(maps)[0], refinement)
    assert place[0, 0].tolist() == pytest.approx(expected, abs=1e-6)


ALL = ["sign", "sign-by-axis", "second-highest", "none", "dark", "udp"]


@pytest.mark.parametrize("refinement", ALL)
def test_maps_without_a_peak_stay_at_the_corner(refinement):
    for level in (0.0, -1.0):
        maps = torch.full((1, 1, 8, 10), level)
        maps[0, 0, 3, 3] = level / 2
        place = decode.refine(maps, decode.highest(maps)[0], refinement)
        assert place[0, 0].tolist() == [0, 0]


def test_unknown_refinement_is_refused():
    with pytest.raises(ValueError, match="quarter"):
        decode.refine(peak_at(1, 1), torch.ones(1, 1, 2), "quarter")


@settings(deadline=None, max_examples=30)
@given(
    st.floats(0.25, 4, width=32),
    st.floats(0, 600, width=32),
    st.floats(0, 600, width=32),
    st.tuples(st.integers(2, 20), st.integers(2, 28)),
)
def test_decoded_joints_lie_in_the_image_where_the_crop_took_them(width, x, y, place):
    from replab.keypoints.affine import crop_matrix, transform

    centre, scale = torch.tensor([[x, y]]), torch.tensor([[width, width * 4 / 3]])
    maps = torch.zeros(1, 1, 32, 24)
    maps[0, 0, place[1], place[0]] = 0.7
    joints, score = decode.decode(maps, centre, scale, refinement="none")
    assert score.item() == pytest.approx(0.7)
    inside = transform(joints.double(), crop_matrix(centre, scale, (96, 128)))
    assert (inside[0, 0] / 4).tolist() == pytest.approx(place, abs=1e-2)


@pytest.mark.parametrize("name", SKELETONS)
def test_flipping_twice_changes_nothing(name):
    mirror = SKELETONS[name].mirror
    maps = torch.randn(2, len(mirror), 8, 6)
    once = flips.flip_back(maps, mirror, shift=0)
    assert not torch.equal(once, maps)
    assert torch.equal(flips.flip_back(once, mirror, shift=0), maps)
    joints, visible = torch.rand(2, len(mirror), 2) * 99, torch.ones(2, len(mirror))
    there = flips.flip_joints(joints, visible, 100, mirror)
    back, seen = flips.flip_joints(*there, 100, mirror)
    torch.testing.assert_close(back, joints, rtol=0, atol=1e-4)
    assert torch.equal(seen, visible)


def test_invisible_joints_are_hidden_unless_told_otherwise():
    mirror = SKELETONS["coco"].mirror
    joints, visible = torch.rand(1, 17, 2) + 5, torch.ones(1, 17)
    visible[0, 9] = 0
    released, seen = flips.flip_joints(joints, visible, 100, mirror)
    assert released[0, 10].tolist() == [0, 0]
    assert seen[0, 10] == 0
    assert seen[0, 9] == 1
    kept, _ = flips.flip_joints(joints, visible, 100, mirror, hide=False)
    assert kept[0, 10].tolist() == flips.flip_points(joints[0, 9], 100).tolist()


def test_mirrored_input_and_mirrored_joints_meet():
    """Targets of the mirror image, brought back, are those of the image, up to the shift."""
    mirror = SKELETONS["coco"].mirror
    joints = torch.rand(1, 17, 2).double() * torch.tensor([80.0, 110.0]) + 8
    # Whole pixels of the heatmap, so that nothing is rounded: the mirror then is off by 3/4 px.
    joints = (joints / 4).round() * 4
    visible = torch.ones(1, 17)
    maps, _ = target_heatmaps(joints, visible, SIZE)
    turned, seen = flips.flip_joints(joints, visible, 4 * SIZE[0], mirror)
    of_mirror, _ = target_heatmaps(turned, seen, SIZE)
    assert torch.equal(flips.flip_back(of_mirror, mirror, shift=0)[..., :-1], maps[..., 1:])
    shifted = flips.flip_back(of_mirror, mirror, shift=1)
    assert torch.equal(shifted[..., 1:], maps[..., 1:])


@pytest.mark.parametrize("shift", flips.SHIFTS)
def test_shifted_maps_keep_their_first_columns(shift):
    maps = torch.rand(2, 3, 4, 6)
    back = flips.flip_back(maps, (0, 2, 1), shift=shift)
    plain = maps[:, [0, 2, 1]].flip(-1)
    assert torch.equal(back[..., shift:], plain[..., : 6 - shift])
    assert torch.equal(back[..., :shift], plain[..., :shift])
    average = flips.flip_average(maps, maps, (0, 2, 1), shift=shift)
    assert torch.equal(average, (maps + back) * 0.5)


@pytest.mark.parametrize("shift", [-1, 3])
def test_other_shifts_are_refused(shift):
    with pytest.raises(ValueError, match="shift"):
        flips.flip_back(torch.zeros(1, 1, 2, 8), (0,), shift=shift)


def test_highest_of_equals_is_the_first_in_every_number_format():
    maps = torch.zeros(1, 3, 5, 7)
    for joint, (x, y) in enumerate([(3, 2), (6, 0), (0, 4)]):
        maps[0, joint, y, x] = maps[0, joint, 4, 5] = 0.5
    for dtype in (torch.float32, torch.float64, torch.float16, torch.bfloat16):
        place, value = decode.highest(maps.to(dtype))
        assert place[0].tolist() == [[3, 2], [6, 0], [0, 4]]
        assert (value == 0.5).all()
    # Of maps that are views of others, and of those that carry gradients.
    turned = maps.transpose(2, 3).contiguous().transpose(2, 3).requires_grad_()
    assert decode.highest(turned)[0][0].tolist() == [[3, 2], [6, 0], [0, 4]]


def test_losses_by_hand():
    output, target = torch.zeros(1, 3, 1, 2), torch.zeros(1, 3, 1, 2)
    output[0, 0] = 2.0
    output[0, 1] = 1.0
    assert losses.joint_mse(output, target).item() == pytest.approx(0.5 * (4 + 1) / 3)
    weights = torch.tensor([[0.5, 0.0, 1.0]])
    assert losses.joint_mse(output, target, weights).item() == pytest.approx(0.5 * 1 / 3)
    once = losses.joint_mse(output, target, weights, squared=False)
    assert once.item() == pytest.approx(0.5 * 2 / 3)
    assert losses.joint_ohkm(output, target, hardest=2).item() == pytest.approx(0.5 * 5 / 2)
    everything = losses.joint_ohkm(output, target, weights, hardest=3)
    assert everything.item() == pytest.approx(losses.joint_mse(output, target, weights).item())
    with pytest.raises(ValueError, match="hardest"):
        losses.joint_ohkm(output, target, hardest=4)


def test_joints_of_no_weight_get_no_gradient():
    output = torch.randn(2, 17, 6, 5, requires_grad=True)
    weights = torch.ones(2, 17)
    weights[0, 3] = 0
    losses.joint_mse(output, torch.zeros(2, 17, 6, 5), weights).backward()
    assert (output.grad[0, 3] == 0).all()
    assert (output.grad[0, 4] != 0).all()


def test_accuracy_of_a_target_with_itself_counts_only_joints_off_the_edge():
    joints = torch.tensor([[[40.0, 40], [4, 40], [40, 4]]])
    maps, _ = target_heatmaps(joints, torch.ones(1, 3), SIZE)
    mean, shares = decode.heatmap_accuracy(maps, maps)
    assert shares.tolist() == [1, -1, -1]
    assert mean.item() == 1
    nothing, _ = decode.heatmap_accuracy(maps[:, 1:], maps[:, 1:])
    assert nothing.item() == 0
