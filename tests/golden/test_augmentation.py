"""Augmented crops are those of the published code, part by part, and those of real pictures."""

import dataclasses
import json

import cv2
import numpy as np
import pytest
import torch

from replab.keypoints import affine, boxes
from replab.keypoints.augmentation import Augmentation, augment, draw
from replab.keypoints.skeletons import COCO, MPII

from .conftest import golden_dir, need
from .test_keypoints import arrays, assert_close, image_of

NOTHING = Augmentation(scale=0.0, rotation=0.0, flip=0.0)


@pytest.mark.parametrize(("skeleton", "size"), [(COCO, (192, 256)), (MPII, (256, 256))])
@pytest.mark.parametrize("upper", [True, False])
def test_half_bodies(skeleton, size, upper):
    gold = arrays("half_body.npz")
    name, branch = skeleton.name, "below" if upper else "above"
    joints, visible = gold[f"{name}_joints"][..., :2], gold[f"{name}_vis"]
    count = len(joints)
    recipe = dataclasses.replace(NOTHING, half_body=1.0, half_body_joints=0)
    # The draws on either side of the one in which a normal number is ½.
    draws = dataclasses.replace(
        draw(0, 0, count), upper=torch.full((count,), 0.69 if upper else 0.70).double()
    )
    centre, scale = torch.full((count, 2), 77.0), torch.full((count, 2), 1.5)
    done = augment(
        recipe,
        draws,
        centre,
        scale,
        joints,
        visible,
        torch.full((count,), 640),
        size,
        mirror=skeleton.mirror,
        upper=skeleton.upper,
    )
    wanted = gold[f"{name}_center_draw_{branch}_half"]
    there = wanted.isfinite().all(dim=1)
    assert torch.equal(done.halved, there)
    assert_close(done.centre[there], wanted[there], 1e-5 * wanted[there].abs().max())
    assert_close(done.scale[there], gold[f"{name}_scale_draw_{branch}_half"][there], 1e-5)
    assert torch.equal(done.centre[~there], centre[~there])
    assert torch.equal(done.scale[~there], scale[~there])


@pytest.mark.parametrize("size", [(192, 256), (48, 64)])
def test_turned_crops(size):
    """Drawn uniformly in ±180°, each angle has a draw."""
    gold = arrays("affine_matrices.npz")
    angles = gold["rotation_deg"].double()
    recipe = Augmentation(0.0, 180.0, flip=0.0, rotation_draw="uniform", rotation_probability=1.0)
    count = len(angles)
    draws = dataclasses.replace(draw(0, 0, count), rotation=angles / 360 + 0.5)
    joints = gold["center"][:, None] + torch.tensor([[0.0, 0.0], [40.0, -30.0]])
    done = augment(
        recipe,
        draws,
        gold["center"],
        gold["scale"],
        joints.double(),
        torch.ones(count, 2),
        torch.full((count,), 640),
        size,
        mirror=(0, 1),
    )
    expected = gold[f"fwd_rot_{size[0]}x{size[1]}"]
    assert_close(done.joints, affine.transform(joints.double(), expected), 2e-3)
    assert_close(done.rotation, angles, 1e-9)


@pytest.mark.parametrize("number", range(6))
def test_pictures_mirrored_first_and_then_cut(number):
    """The golden crops' pictures and matrices, mirrored: one map instead of two steps."""
    gold = arrays("crops.npz")
    about = json.loads(need(golden_dir() / "crops.json").read_text())
    image = image_of(about["images"][number])
    chosen = gold["image_index"] == number
    centre, scale = boxes.centre_scale(gold["bbox_xywh"][chosen], 192 / 256)
    count, (height, width) = len(centre), image.shape[:2]
    angles = gold["rotation_deg"][chosen].double()
    recipe = Augmentation(0.0, 180.0, flip=1.0, rotation_draw="uniform", rotation_probability=1.0)
    draws = dataclasses.replace(draw(0, 0, count), rotation=angles / 360 + 0.5)
    corners = torch.tensor([[0.0, 0.0], [width - 1.0, 0.0], [0.0, height - 1.0]])
    done = augment(
        recipe,
        draws,
        centre,
        scale,
        corners.double().expand(count, 3, 2),
        torch.ones(count, 3),
        torch.full((count,), width),
        (192, 256),
        mirror=(0, 1, 2),
    )
    mirrored = np.ascontiguousarray(image[:, ::-1])
    there = centre.clone()
    there[:, 0] = width - 1 - there[:, 0]
    plain = affine.crop_matrix(there, scale, (192, 256), angles)
    first_corner = torch.tensor([[width - 1.0, 0.0]]).double().expand(count, 1, 2)
    assert_close(done.joints[:, :1], affine.transform(first_corner, plain), 1e-6)
    for index in range(count):
        crop = cv2.warpAffine(mirrored, plain[index].numpy(), (192, 256), flags=cv2.INTER_LINEAR)
        one = done.matrix[index : index + 1]
        planes = torch.from_numpy(image).permute(2, 0, 1).double()
        exact = affine.warp(planes, one, (192, 256))[0].permute(1, 2, 0)
        theirs = torch.from_numpy(crop).double()
        # OpenCV 5 rounds exact values; OpenCV 4 rounds places to 1/32 px.
        limit = 0.51 if cv2.__version__.startswith("5") else 8.0
        assert (exact - theirs).abs().max() <= limit
        ours = affine.warp_opencv(image, one, (192, 256))[0].astype(int)
        assert np.abs(ours - crop).max() <= (1 if limit < 1 else 16)
