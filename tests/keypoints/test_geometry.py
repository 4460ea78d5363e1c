"""Boxes, matrices and crops: round trips, options, and what the released quirks do."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from replab.keypoints import affine, boxes
from replab.keypoints.half_body import half_body
from replab.keypoints.skeletons import COCO

PLACES = st.floats(-500, 1500, allow_nan=False, width=32)
SCALES = st.floats(0.0625, 8, allow_nan=False, width=32)
DEGREES = st.floats(-180, 180, allow_nan=False)
SIZES = st.sampled_from([(192, 256), (288, 384), (48, 64), (256, 256)])


@st.composite
def crops(draw):
    """Centre 1×2, scale 1×2, size and degrees of a crop."""
    size = draw(SIZES)
    width = draw(SCALES)
    centre = torch.tensor([[draw(PLACES), draw(PLACES)]])
    return centre, torch.tensor([[width, width * size[1] / size[0]]]), size, draw(DEGREES)


def corners(size):
    w, h = size
    return torch.tensor([[(0, 0), (w, 0), (0, h), (w, h)]], dtype=torch.float64)


@settings(deadline=None)
@given(crops(), st.booleans())
def test_matrix_and_inverse_are_a_round_trip(crop, rounded):
    forward = affine.crop_matrix(*crop, rounded=rounded)
    points = corners(crop[2])
    back = affine.transform(points, affine.invert(forward))
    torch.testing.assert_close(affine.transform(back, forward), points, rtol=0, atol=1e-6)
    identity = affine.compose(forward, affine.invert(forward))
    torch.testing.assert_close(identity[0], torch.eye(2, 3).double(), rtol=0, atol=1e-6)
    # Up to the rounding of three points, the inverse is the map from crop to image.
    inverse = affine.crop_matrix(*crop, rounded=rounded, inverse=True)
    limit = 2e-3 if rounded else 1e-8
    torch.testing.assert_close(affine.transform(points, inverse), back, rtol=0, atol=limit)


@settings(deadline=None)
@given(crops())
def test_matrix_puts_the_box_where_it_belongs(crop):
    centre, scale, size, degrees = crop
    forward = affine.crop_matrix(*crop, rounded=False)
    middle = affine.transform(centre[:, None].double(), forward)
    assert middle[0, 0].tolist() == pytest.approx([size[0] / 2, size[1] / 2], abs=1e-6)
    zoom = size[0] / (scale[0, 0].item() * 200)
    linear = forward[0, :, :2]
    assert linear.det().item() == pytest.approx(zoom**2, rel=1e-6)
    torch.testing.assert_close(linear @ linear.T, zoom**2 * torch.eye(2).double())
    # A positive rotation: what lies up and to the right of the image's centre comes on top.
    angle = math.radians(degrees)
    direction = torch.tensor([math.sin(angle), -math.cos(angle)], dtype=torch.float64)
    assert (linear @ direction).tolist() == pytest.approx([0, -zoom], abs=1e-9 + 1e-6 * zoom)


def test_one_matrix_for_each_of_a_batch():
    centre, scale = torch.rand(5, 2) * 300, torch.rand(5, 2) + 0.5
    degrees = torch.linspace(-90, 90, 5)
    together = affine.crop_matrix(centre, scale, (48, 64), degrees)
    for i in range(5):
        alone = affine.crop_matrix(
            centre[i : i + 1], scale[i : i + 1], (48, 64), degrees[i].item()
        )
        torch.testing.assert_close(together[i : i + 1], alone, rtol=1e-12, atol=1e-12)


def test_crops_of_no_width_are_refused():
    with pytest.raises(ValueError, match="above 0 px"):
        affine.crop_matrix(torch.zeros(1, 2), torch.zeros(1, 2), (48, 64))


def test_points_keep_what_follows_x_and_y():
    matrix = affine.crop_matrix(torch.tensor([[9.0, 9.0]]), torch.ones(1, 2), (48, 64))
    points = torch.rand(1, 6, 3)
    moved = affine.transform(points, matrix)
    assert torch.equal(moved[..., 2], points[..., 2])
    assert torch.equal(moved[..., :2], affine.transform(points[..., :2], matrix))
    assert moved.dtype == torch.float32


def test_warp_of_whole_pixels_cuts_out():
    image = torch.rand(3, 20, 30)
    matrix = torch.tensor([[[1.0, 0, -4], [0, 1, -7]]])
    crop = affine.warp(image, matrix, (10, 9))
    torch.testing.assert_close(crop[0], image[:, 7:16, 4:14], rtol=0, atol=1e-5)


def test_warp_is_zero_outside_and_fades_over_one_pixel():
    image = torch.ones(1, 8, 8)
    crop = affine.warp(image, torch.tensor([[[1.0, 0, 2.5], [0, 1, 0]]]), (12, 8))[0, 0]
    expected = torch.tensor([0, 0, 0.5, *[1.0] * 7, 0.5, 0])
    torch.testing.assert_close(crop, expected.expand(8, 12), rtol=0, atol=1e-5)


@settings(deadline=None, max_examples=20)
@given(crops())
def test_warp_of_a_ramp_gives_the_places_sampled(crop):
    """An image whose values are its pixels' places tells where each sample was taken."""
    ys, xs = torch.meshgrid(torch.arange(80.0), torch.arange(100.0), indexing="ij")
    size = (12, 16)
    centre = crop[0].remainder(torch.tensor([100.0, 80.0]))
    matrix = affine.crop_matrix(centre, crop[1].clamp(max=1), size, crop[3])
    sampled = affine.warp(torch.stack((xs, ys)), matrix, size)[0]
    gy, gx = torch.meshgrid(torch.arange(16.0), torch.arange(12.0), indexing="ij")
    pixels = torch.stack((gx, gy), dim=-1).reshape(1, -1, 2)
    places = affine.transform(pixels, affine.invert(matrix)).reshape(16, 12, 2)
    inside = ((places >= 0) & (places <= torch.tensor([99.0, 79.0]))).all(dim=-1)
    found = sampled.permute(1, 2, 0)
    torch.testing.assert_close(found[inside], places[inside], rtol=0, atol=1e-3)


def test_warp_refuses_dtypes_that_would_round_places():
    matrix = torch.eye(2, 3)[None]
    for dtype in (torch.uint8, torch.bfloat16):
        with pytest.raises(ValueError, match="float32 or float64"):
            affine.warp(torch.zeros(1, 4, 4, dtype=dtype), matrix, (4, 4))


def test_one_image_for_all_or_one_for_each():
    images = torch.rand(4, 3, 20, 20)
    matrix = affine.crop_matrix(torch.full((4, 2), 9.0), torch.full((4, 2), 0.08), (8, 8), 30.0)
    each = affine.warp(images, matrix, (8, 8))
    for i in range(4):
        alone = affine.warp(images[i], matrix[i : i + 1], (8, 8))
        assert torch.equal(each[i : i + 1], alone)
    shared = affine.warp(images[0], matrix, (8, 8))
    assert torch.equal(shared, shared[:1].expand_as(shared))


def test_opencv_and_grid_sample_agree_on_grey_images():
    grey = (torch.rand(40, 50, 1) * 255).byte()
    centre, scale = torch.tensor([[20.0, 18.0]]), torch.full((1, 2), 0.16)
    matrix = affine.crop_matrix(centre, scale, (24, 32), -20.0)
    ours = affine.warp(grey.permute(2, 0, 1).float(), matrix, (24, 32))[0, 0]
    theirs = affine.warp_opencv(grey.numpy(), matrix, (24, 32))
    assert theirs.shape == (1, 32, 24, 1)
    # OpenCV 4 rounds places to 1/32 px: on noise of full contrast, up to 16 levels.
    assert (ours - torch.from_numpy(theirs[0, ..., 0]).float()).abs().max() <= 17


@settings(deadline=None)
@given(PLACES, PLACES, st.floats(2, 900), st.floats(2, 900), st.sampled_from([0.75, 1.0]))
def test_scale_contains_the_box_at_the_input_s_aspect(x, y, w, h, aspect):
    box = torch.tensor([[x, y, w, h]], dtype=torch.float64)
    centre, scale = boxes.centre_scale(box, aspect, padding=1.0, skip_missing=False)
    wide, high = (scale[0] * 200).tolist()
    assert wide == pytest.approx(high * aspect, rel=1e-5)
    assert wide >= w * (1 - 1e-5)
    assert high >= h * (1 - 1e-5)
    assert min(wide / w, high / h) == pytest.approx(1, rel=1e-5)
    assert centre[0].tolist() == pytest.approx([x + w / 2, y + h / 2], abs=1e-3)


@settings(deadline=None)
@given(PLACES, PLACES, st.floats(0, 900), st.floats(0, 900))
def test_clipped_boxes_lie_in_the_image(x, y, w, h):
    box = torch.tensor([[x, y, w, h]], dtype=torch.float64)
    image = torch.tensor([[640, 480]])
    for clip in ("released", "cut"):
        clipped, there = boxes.clip_boxes(box, image, clip=clip)
        if there.item():
            assert (clipped[0] >= 0).all()
            assert (clipped[0, :2] + clipped[0, 2:] <= torch.tensor([639.0, 479.0])).all()
    moved, _ = boxes.clip_boxes(torch.tensor([[-50.0, 10, 101, 21]]), image)
    cut, _ = boxes.clip_boxes(torch.tensor([[-50.0, 10, 101, 21]]), image, clip="cut")
    assert moved.tolist() == [[0, 10, 100, 20]]
    assert cut.tolist() == [[0, 10, 50, 20]]


def test_aspect_must_be_positive():
    with pytest.raises(ValueError, match="aspect"):
        boxes.centre_scale(torch.ones(1, 4), 0.0)


def test_half_body_follows_the_joints_it_chose():
    joints = torch.zeros(1, 17, 2)
    joints[0, :11] = torch.tensor([10.0, 10.0])
    joints[0, 5] = torch.tensor([30.0, 10.0])
    joints[0, 11:] = torch.tensor([200.0, 400.0])
    visible = torch.ones(1, 17)
    yes, no = torch.tensor([True]), torch.tensor([False])
    centre, scale, there = half_body(joints, visible, COCO.upper, 0.75, yes)
    assert there.item()
    assert centre[0].tolist() == pytest.approx([130 / 11, 10], rel=1e-6)
    assert scale[0].tolist() == pytest.approx([20 / 200 * 1.5, 20 / 0.75 / 200 * 1.5], rel=1e-6)
    centre, _, _ = half_body(joints, visible, COCO.upper, 0.75, no)
    assert centre[0].tolist() == [200, 400]
    visible[0, 13:] = 0  # two joints are left below, too few to be chosen
    centre, _, there = half_body(joints, visible, COCO.upper, 0.75, no)
    assert there.item()
    assert centre[0, 1].item() == pytest.approx(10)
    _, _, there = half_body(joints, torch.zeros(1, 17), COCO.upper, 0.75, yes)
    assert not there.item()
