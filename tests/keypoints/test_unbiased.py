"""DARK and UDP: equal to slow references, and exact where they should be."""

import math

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from replab.errors import UserError
from replab.keypoints import affine, decode, flips, unbiased
from replab.keypoints.codecs import CODECS, codec
from replab.keypoints.encode import target_heatmaps
from replab.keypoints.skeletons import COCO

INPUT, HEATMAP = (96, 128), (24, 32)


def maps_of_all_kinds():
    """Maps 1×K×20×16, float64: peaks anywhere, low, high, negative and without a peak."""
    generator = np.random.default_rng(3)
    y, x = np.mgrid[:20, :16]
    maps = []
    for px in range(16):
        for py in range(0, 20, 3):
            place = (px + generator.uniform(-0.5, 0.5), py + generator.uniform(-0.5, 0.5))
            maps.append(np.exp(-((x - place[0]) ** 2 + (y - place[1]) ** 2) / 8))
    maps = [m * generator.uniform(0.2, 1.5) + generator.normal(0, 0.02, m.shape) for m in maps]
    maps += [1e-4 * maps[40], 5e-3 * maps[50], 60 * maps[45], 300 * maps[60]]  # UDP clips these
    maps += [generator.random((20, 16)), generator.normal(size=(20, 16))]
    spike = np.full((20, 16), -0.3)
    spike[9, 7] = 0.8
    maps += [spike, np.zeros((20, 16)), -np.ones((20, 16)), np.ones((20, 16))]
    return torch.from_numpy(np.stack(maps))[None]


def modulated(level, kernel):
    """One map as OpenCV blurs it within a border of zeros, its highest value restored."""
    border = kernel // 2
    wide = cv2.GaussianBlur(np.pad(level, border), (kernel, kernel), 0)
    blurred = wide[border:-border, border:-border]
    return blurred * (level.max() / blurred.max())


def dark_reference(level, kernel):
    """One map's place by DARK, number by number."""
    height, width = level.shape
    y, x = np.unravel_index(level.argmax(), level.shape)
    if level[y, x] <= 0:
        return 0.0, 0.0
    v = np.log(np.maximum(modulated(level, kernel), 1e-10))
    if not (1 < x < width - 2 and 1 < y < height - 2):
        return float(x), float(y)
    gradient = np.array([v[y, x + 1] - v[y, x - 1], v[y + 1, x] - v[y - 1, x]]) / 2
    mixed = v[y + 1, x + 1] - v[y - 1, x + 1] - v[y + 1, x - 1] + v[y - 1, x - 1]
    hessian = np.array(
        [
            [v[y, x + 2] - 2 * v[y, x] + v[y, x - 2], mixed],
            [mixed, v[y + 2, x] - 2 * v[y, x] + v[y - 2, x]],
        ]
    )
    step = np.linalg.solve(hessian / 4, gradient) if np.linalg.det(hessian) != 0 else 0 * gradient
    return x - step[0], y - step[1]


def udp_reference(level, kernel):
    """One map's place by UDP, number by number."""
    y, x = np.unravel_index(level.argmax(), level.shape)
    if level[y, x] <= 0:
        return 0.0, 0.0
    clipped = np.clip(modulated(level, kernel), 1e-3, 50)
    v = np.pad(np.log(clipped), 1, mode="edge")[y : y + 3, x : x + 3]
    gradient = np.array([v[1, 2] - v[1, 0], v[2, 1] - v[0, 1]]) / 2
    mixed = v[2, 2] - v[1, 2] - v[2, 1] + 2 * v[1, 1] - v[1, 0] - v[0, 1] + v[0, 0]
    ridge = np.finfo(np.float32).eps
    hessian = np.array(
        [
            [v[1, 2] - 2 * v[1, 1] + v[1, 0] + ridge, mixed / 2],
            [mixed / 2, v[2, 1] - 2 * v[1, 1] + v[0, 1] + ridge],
        ]
    )
    step = np.linalg.solve(hessian, gradient)
    return x - step[0], y - step[1]


@pytest.mark.parametrize("kernel", [11, 17])
@pytest.mark.parametrize(
    ("refined", "reference"),
    [(unbiased.refine_dark, dark_reference), (unbiased.refine_udp, udp_reference)],
    ids=["dark", "udp"],
)
def test_places_are_those_of_the_slow_reference(refined, reference, kernel):
    maps = maps_of_all_kinds()
    place, _ = decode.highest(maps)
    found = refined(maps, place.double(), kernel=kernel)[0].numpy()
    expected = np.array([reference(level, kernel) for level in maps[0].numpy()])
    assert np.isfinite(found).all()
    # Steps of maps that are nearly flat are long, and alike in their leading digits only.
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    moved = np.abs(expected - place[0].numpy()).max(axis=1) > 1e-3
    assert 60 < moved.sum() < len(moved)
    # And of single precision, where the logarithms are far from any noise.
    alone = refined(maps[:, :100].float(), place[:, :100], kernel=kernel)[0].numpy()
    near = np.abs(expected[:100] - place[0, :100].numpy()).max(axis=1) < 1
    assert near.sum() > 80
    np.testing.assert_allclose(alone[near], expected[:100][near], atol=2e-4)


@pytest.mark.parametrize("kernel", [11, 17, 21])
def test_blur_is_that_of_opencv_with_nothing_beyond_the_border(kernel):
    maps = torch.randn(2, 3, 14, 9)
    blurred = unbiased.blur(maps, kernel)
    for level, ours in zip(maps.flatten(0, 1), blurred.flatten(0, 1), strict=True):
        border = kernel // 2
        wide = cv2.GaussianBlur(np.pad(level.numpy(), border), (kernel, kernel), 0)
        theirs = wide[border:-border, border:-border]
        np.testing.assert_allclose(ours.numpy(), theirs, atol=1e-6)
    assert unbiased.blur(maps.half(), kernel).dtype == torch.float32


@pytest.mark.parametrize(("sigma", "kernel"), [(1, 3), (1.5, 7), (2, 11), (3, 17)])
def test_kernels_that_fit_sigma(sigma, kernel):
    assert unbiased.blur_kernel(sigma) == kernel


@pytest.mark.parametrize("kernel", [0, 1, 10])
def test_impossible_kernels_are_refused(kernel):
    maps = torch.ones(1, 1, 8, 8)
    with pytest.raises(ValueError, match="odd"):
        unbiased.blur(maps, kernel)
    for refinement in ("dark", "udp"):
        with pytest.raises(ValueError, match="odd"):
            decode.decode(maps, *crop(), refinement=refinement, kernel=kernel)
    with pytest.raises(ValueError, match="sigma"):
        unbiased.blur_kernel(0.7)


def crop(x=50.0, y=60.0, width=0.5):
    return torch.tensor([[x, y]]), torch.tensor([[width, width * 4 / 3]])


# Px of the heatmap by which each codec may miss a joint away from the borders.
LIMITS = {"plain": 0.5, "released": 0.5, "dark": 1e-3, "udp": 1e-3}
PLACES = st.tuples(st.floats(40, 56), st.floats(40, 88))


@pytest.mark.parametrize("name", CODECS)
@settings(deadline=None, max_examples=40)
@given(place=PLACES)
def test_encoded_joints_are_found_again(name, place):
    chosen = codec(name)
    joints = torch.tensor([[place]], dtype=torch.float64)
    maps, weights = chosen.encode(joints, torch.ones(1, 1), INPUT, HEATMAP)
    found, score = chosen.locate(maps)
    stride = torch.tensor(chosen.stride(INPUT, HEATMAP), dtype=torch.float64)
    assert weights.item() == 1
    assert 0.9 < score.item() <= 1
    assert (found.double() - joints / stride).abs().max() <= LIMITS[name] + 1e-6


@pytest.mark.parametrize("sigma", [2, 3])
def test_mean_errors(sigma):
    """Over all parts of a pixel: a quarter where places are rounded, nearly nothing else."""
    parts = torch.arange(40, dtype=torch.float64) / 40
    joints = torch.stack(torch.meshgrid(parts, parts, indexing="ij"), dim=-1).reshape(1, -1, 2)
    joints = (joints + 11.5) * 4 + 0.05
    size = (25, 26)
    for name, limit in (("plain", 0.25), ("released", 0.25), ("dark", 4e-4), ("udp", 1e-4)):
        chosen = codec(name, sigma=sigma)
        maps, _ = chosen.encode(joints, torch.ones(joints.shape[:2]), (100, 104), size)
        stride = torch.tensor(chosen.stride((100, 104), size), dtype=torch.float64)
        error = (chosen.locate(maps)[0].double() - joints / stride).abs().mean()
        assert error <= limit + 1e-6, name
        if limit == 0.25:
            assert error > 0.245


@pytest.mark.parametrize("name", CODECS)
@settings(deadline=None, max_examples=25)
@given(
    place=PLACES,
    x=st.floats(-50, 800, width=32),
    y=st.floats(-50, 800, width=32),
    width=st.floats(0.25, 4, width=32),
)
def test_joints_come_back_to_the_image(name, place, x, y, width):
    chosen = codec(name)
    centre, scale = crop(x, y, width)
    forward = chosen.matrix(centre, scale, INPUT)
    inside = torch.tensor([[place]], dtype=torch.float64)
    joints = affine.transform(inside, chosen.matrix(centre, scale, INPUT, inverse=True))
    torch.testing.assert_close(affine.transform(joints, forward), inside, rtol=0, atol=2e-2)
    maps, _ = chosen.encode(inside, torch.ones(1, 1), INPUT, HEATMAP)
    found, _ = chosen.decode(maps, centre, scale)
    px = width * 200 / HEATMAP[0]
    assert (found.double() - joints).abs().max() <= 1.1 * LIMITS[name] * px + 5e-3


@settings(deadline=None)
@given(
    st.floats(-500, 1500, width=32),
    st.floats(-500, 1500, width=32),
    st.floats(0.0625, 8, width=32),
    st.floats(0.0625, 8, width=32),
    st.floats(-180, 180),
    st.sampled_from([(192, 256), (48, 64), (288, 384), (256, 256)]),
)
def test_udp_crops_reach_from_edge_to_edge_and_back(x, y, width, height, degrees, size):
    centre, scale = torch.tensor([[x, y]]), torch.tensor([[width, height]])
    forward = affine.crop_matrix(centre, scale, size, degrees, rule="udp")
    backward = affine.crop_matrix(centre, scale, size, degrees, rule="udp", inverse=True)
    identity = affine.compose(forward, backward)
    torch.testing.assert_close(identity[0], torch.eye(2, 3).double(), rtol=0, atol=1e-6)
    # The box's corners, turned about its middle, are the crop's outermost pixels.
    w, h = size[0] - 1, size[1] - 1
    corners = torch.tensor([[(0, 0), (w, 0), (0, h), (w, h)]], dtype=torch.float64)
    a = math.radians(degrees)
    turn = torch.tensor(
        [[math.cos(a), -math.sin(a)], [math.sin(a), math.cos(a)]], dtype=torch.float64
    )
    box = (corners / torch.tensor([w, h]) - 0.5) * (scale * 200).double()
    expected = box @ turn.T + centre.double()
    torch.testing.assert_close(affine.transform(corners, backward), expected, rtol=0, atol=1e-6)
    # The way through the heatmap is the way through the input.
    small = (size[0] // 4, size[1] // 4)
    stride = torch.tensor(codec("udp").stride(size, small), dtype=torch.float64)
    direct = affine.crop_matrix(centre, scale, small, degrees, rule="udp")
    through = affine.transform(box + centre.double(), forward) / stride
    torch.testing.assert_close(affine.transform(box + centre.double(), direct), through)


def test_udp_and_released_crops_turn_the_same_way():
    centre, scale = crop()
    point = torch.tensor([[[60.0, 30.0]]]).double()
    for degrees in (-70.0, 20.0, 135.0):
        found = [
            affine.transform(point, affine.crop_matrix(centre, scale, INPUT, degrees, rule=rule))
            for rule in ("released", "udp")
        ]
        assert (found[0] - found[1]).abs().max() < 2


@pytest.mark.parametrize(
    "given",
    [
        {"scale": torch.tensor([[0.5, 0.0]]), "rule": "udp"},
        {"size": (1, 64), "rule": "udp"},
        {"rule": "upd"},
    ],
)
def test_impossible_crops_are_refused(given):
    centre, scale = crop()
    with pytest.raises(ValueError, match=r"0 px|rule"):
        affine.crop_matrix(
            centre, given.get("scale", scale), given.get("size", HEATMAP), rule=given["rule"]
        )


def drawn_reference(joint, size, sigma, *, window):
    """One target as UDP (`window`) and DARK draw it, of a joint in px of the heatmap."""
    width, height = size
    level = np.zeros((height, width))
    pixel = [int(v + 0.5) for v in joint] if window else joint
    low, high = [v - 3 * sigma for v in pixel], [v + 3 * sigma + 1 for v in pixel]
    if low[0] >= width or low[1] >= height or min(high) < 0:
        return level, 0.0
    for y in range(height):
        for x in range(width):
            if not window or (low[0] <= x < high[0] and low[1] <= y < high[1]):
                square = (x - joint[0]) ** 2 + (y - joint[1]) ** 2
                level[y, x] = math.exp(-square / (2 * sigma**2))
    return level, 1.0


@pytest.mark.parametrize("name", ["dark", "udp"])
@pytest.mark.parametrize("sigma", [1, 2])
def test_targets_are_those_of_the_slow_reference(name, sigma):
    chosen = codec(name, sigma=sigma)
    size = (12, 14)
    generator = torch.Generator().manual_seed(1)
    joints = torch.rand(1, 90, 2, generator=generator, dtype=torch.float64) * 160 - 56
    maps, weights = chosen.encode(joints, torch.ones(1, 90), (48, 56), size)
    stride = torch.tensor(chosen.stride((48, 56), size), dtype=torch.float64)
    for number, joint in enumerate((joints / stride)[0].tolist()):
        level, weight = drawn_reference(joint, size, sigma, window=name == "udp")
        assert weights[0, number] == weight, joint
        np.testing.assert_allclose(maps[0, number].numpy(), level, atol=1e-6, err_msg=str(joint))
    assert 20 < weights.sum() < 85


def test_udp_windows_are_about_the_rounded_pixel():
    joints = torch.tensor([[[40.9, 60.0]]], dtype=torch.float64)  # 10.225, 15
    maps, _ = target_heatmaps(joints, torch.ones(1, 1), HEATMAP, centre="exact")
    columns = maps[0, 0].amax(dim=0).nonzero().ravel()
    assert (columns.min(), columns.max()) == (4, 16)
    # Strides may differ along the two axes.
    apart, _ = target_heatmaps(joints, torch.ones(1, 1), HEATMAP, stride=(8.0, 4.0), cut=False)
    y, x = divmod(int(apart.argmax()), HEATMAP[0])
    assert (x, y) == (5, 15)


@settings(deadline=None, max_examples=40)
@given(st.tuples(st.floats(0, 95), st.floats(0, 127)))
def test_udp_flips_are_exact(place):
    """The mirrored input's target, brought back, is the input's, wherever the joint is."""
    chosen = codec("udp")
    joints = torch.tensor([[place]], dtype=torch.float64).expand(1, 17, 2)
    visible = torch.ones(1, 17)
    maps, _ = chosen.encode(joints, visible, INPUT, HEATMAP)
    turned, seen = flips.flip_joints(joints, visible, INPUT[0], COCO.mirror)
    mirrored, _ = chosen.encode(turned, seen, INPUT, HEATMAP)
    average = chosen.flip_average(maps, mirrored, COCO.mirror)
    # Half pixels are rounded to the right in both: there, a window's last pixel is another one.
    x = place[0] / chosen.stride(INPUT, HEATMAP)[0]
    rounded = abs(x % 1 - 0.5) < 1e-9
    limit = 0.5 * math.exp(-(6.5**2) / 8) if rounded else 0
    assert (average - maps).abs().max() <= limit + 1e-6
    both = [
        target_heatmaps(
            j, visible, HEATMAP, stride=chosen.stride(INPUT, HEATMAP), centre="exact", cut=False
        )[0]
        for j in (joints, turned)
    ]
    back = flips.flip_back(both[1], COCO.mirror, shift=chosen.shift)
    torch.testing.assert_close(back, both[0], rtol=0, atol=1e-6)


def test_released_flips_need_the_shift():
    """A mirrored released input is ¾ px off; by a shift of 1 it is ¼, of 2 it is 1¼."""
    joints = torch.tensor([[[41.3, 60.0]]], dtype=torch.float64)
    turned = flips.flip_points(joints, INPUT[0])
    mirrored, _ = codec("dark").encode(turned, torch.ones(1, 1), INPUT, HEATMAP)
    off = []
    for shift in flips.SHIFTS:
        back = flips.flip_back(mirrored, (0,), shift=shift)
        off.append((codec("dark").locate(back)[0][0, 0, 0] - 41.3 / 4).item())
    assert off == pytest.approx([-0.75, 0.25, 1.25], abs=2e-3)


def test_codecs_by_name():
    assert (codec("released").shift, codec("udp").shift, codec("dark").shift) == (1, 0, 0)
    assert codec("dark", sigma=3).kernel == 17
    assert codec("udp", sigma=3).kernel == 11
    assert codec("udp").stride((192, 256), (48, 64)) == (191 / 47, 255 / 63)
    assert codec("released").stride((192, 256), (48, 64)) == (4, 4)
    with pytest.raises(
        UserError, match="no codec 'drak'; choose one of released, plain, dark, udp"
    ):
        codec("drak")
    with pytest.raises(ValueError, match="no heatmap"):
        codec("udp").stride((192, 256), (1, 64))


def test_codecs_give_what_their_parts_give():
    maps = torch.rand(3, 17, 32, 24)
    centre, scale = torch.rand(3, 2) * 300, torch.rand(3, 2) + 0.5
    released, score = codec("released").decode(maps, centre, scale)
    joints, same = decode.decode(maps, centre, scale)
    assert torch.equal(released, joints)
    assert torch.equal(score, same)
    plain, _ = codec("plain").decode(maps, centre, scale)
    assert torch.equal(plain, decode.decode(maps, centre, scale, refinement="none")[0])
    visible = torch.ones(3, 17)
    targets, weights = codec("released").encode(joints, visible, INPUT, HEATMAP)
    expected = target_heatmaps(joints, visible, HEATMAP)
    assert torch.equal(targets, expected[0])
    assert torch.equal(weights, expected[1])
