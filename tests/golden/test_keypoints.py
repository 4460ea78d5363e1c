"""Geometry, heatmaps and losses of keypoints give the numbers that the published code gives."""

import json
import zlib

import numpy as np
import pytest
import torch

from replab.keypoints import affine, boxes, decode, flips, losses
from replab.keypoints.codecs import codec
from replab.keypoints.encode import target_heatmaps
from replab.keypoints.half_body import half_body
from replab.keypoints.skeletons import COCO, MPII

from .conftest import golden_dir, need, shared_dir


def arrays(name):
    """The arrays of a golden as tensors; the test that asks is skipped where it is absent."""
    with np.load(need(golden_dir() / name)) as file:
        return {key: torch.from_numpy(value) for key, value in file.items()}


def assert_close(got, expected, tolerance):
    assert got.shape == expected.shape
    assert got.isfinite().all()
    assert (got.double() - expected.double()).abs().max() <= tolerance


class TestBoxes:
    def test_annotated(self):
        gold = arrays("boxes_center_scale.npz")
        clipped, inside = boxes.clip_boxes(gold["bbox_xywh"], gold["image_wh"])
        kept = inside & boxes.usable(gold["area"], gold["iscrowd"], gold["keypoints"])
        assert torch.equal(kept, gold["kept"].bool())
        assert 0 < kept.sum() < len(kept)
        assert torch.equal(clipped[kept], gold["clean_bbox"][kept])
        centre, scale = boxes.centre_scale(clipped[kept], 192 / 256)
        assert torch.equal(centre, gold["center"][kept])
        assert torch.equal(scale, gold["scale"][kept])

    def test_cut_boxes_differ_from_released_ones_left_of_the_image_only(self):
        gold = arrays("boxes_center_scale.npz")
        given = gold["bbox_xywh"]
        released, _ = boxes.clip_boxes(given, gold["image_wh"])
        cut, _ = boxes.clip_boxes(given, gold["image_wh"], clip="cut")
        differ = (released != cut).any(dim=1)
        assert differ.any()
        assert (given[differ, :2] < 0).any(dim=1).all()

    @pytest.mark.parametrize(("aspect", "suffix"), [(192 / 256, ""), (1.0, "_square_input")])
    def test_detected(self, aspect, suffix):
        gold = arrays("boxes_center_scale.npz")
        centre, scale = boxes.centre_scale(gold["bbox_xywh"], aspect)
        assert torch.equal(centre, gold["det_center"])
        assert torch.equal(scale, gold["det_scale" + suffix])

    def test_centre_of_minus_one(self):
        gold = arrays("boxes_center_scale.npz")
        box = gold["minus1_box"][None]
        centre, scale = boxes.centre_scale(box, 192 / 256)
        assert torch.equal(centre[0], gold["minus1_center"])
        assert torch.equal(scale[0], gold["minus1_scale"])
        _, padded = boxes.centre_scale(box, 192 / 256, skip_missing=False)
        assert torch.equal(padded, scale * 1.25)

    def test_mpii(self):
        gold = arrays("mpii_center_scale.npz")
        centre, scale = boxes.mpii_centre_scale(gold["ann_center"], gold["ann_scale"])
        assert_close(centre, gold["center"], 1e-9)
        assert_close(scale, gold["scale"], 1e-9)
        assert_close(boxes.from_one(gold["ann_joints"]), gold["joints"], 1e-9)


# Sizes, and whether the crops are turned.
CASES = [((192, 256), False), ((192, 256), True), ((48, 64), False), ((48, 64), True)]
CASES += [((288, 384), False), ((256, 256), False)]


class TestAffine:
    @pytest.mark.parametrize(("size", "turned"), CASES)
    @pytest.mark.parametrize("rounded", [True, False])
    def test_matrices(self, size, turned, rounded):
        gold = arrays("affine_matrices.npz")
        name = f"{'rot' if turned else 'rot0'}_{size[0]}x{size[1]}"
        rotation = gold["rotation_deg"] if turned else 0.0
        given = (gold["center"], gold["scale"], size, rotation)
        forward = affine.crop_matrix(*given, rounded=rounded)
        inverse = affine.crop_matrix(*given, rounded=rounded, inverse=True)
        w, h = size
        corners = torch.tensor([(0, 0), (w - 1, 0), (0, h - 1), (w - 1, h - 1)]).double()
        corners = corners.expand(len(forward), 4, 2)
        in_image = affine.transform(corners, gold[f"inv_{name}"])
        assert_close(affine.transform(corners, inverse), in_image, 1e-4)
        # With the points rounded alike, agreement is that of two ways to solve the equations.
        assert_close(
            affine.transform(in_image, forward),
            affine.transform(in_image, gold[f"fwd_{name}"]),
            1e-8 if rounded else 2e-3,
        )


def formula_image(kind, width, height):
    """The synthetic images of the goldens' README, H×W×3."""
    y, x = np.mgrid[:height, :width].astype(np.int64)
    if kind == "ramp":
        channels = (255 * x // (width - 1), 255 * y // (height - 1))
        channels += (255 * (x + y) // (width + height - 2),)
    elif kind == "xor":
        channels = ((x ^ y) & 255, (3 * x + 5 * y) & 255, (x * y // 7) & 255)
    elif kind == "grid":
        channels = (
            np.where((x // 8 + y // 8) % 2 == 0, 255, 0),
            np.where(x % 16 < 2, 255, 30),
            np.where(y % 16 < 2, 255, 60),
        )
    elif kind == "quad":
        channels = ((x * x + 3 * y) % 251, (y * y + 7 * x) % 241)
        channels += ((x * x + y * y) // 3 % 256,)
    else:
        raise ValueError(f"no formula for {kind}")
    return np.stack(channels, axis=-1).astype(np.uint8)


def image_of(about):
    """An image of the crops' goldens, checked; skipped by name where its file is absent."""
    if "file" not in about:
        image = formula_image(about["kind"], about["width"], about["height"])
        assert zlib.crc32(image.tobytes()) == about["crc32"]
        return image
    import cv2

    beside = golden_dir() / about["file"]
    fetched = shared_dir() / "data" / "coco" / "val2017" / about["file"]
    file = need(beside if beside.is_file() else fetched)
    image = cv2.imread(str(file), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    image = cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
    if zlib.crc32(image.tobytes()) != about["decoded_rgb_crc32"]:
        pytest.skip(f"this machine's JPEG decoder reads {about['file']} differently")
    return image


MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class TestCrops:
    @staticmethod
    def case(number):
        gold = arrays("crops.npz")
        about = json.loads(need(golden_dir() / "crops.json").read_text())
        return image_of(about["images"][number]), about, gold, gold["image_index"] == number

    @pytest.mark.parametrize("number", range(6))
    def test_matrices(self, number):
        _, _, gold, chosen = self.case(number)
        found_centre, found_scale = boxes.centre_scale(gold["bbox_xywh"][chosen], 192 / 256)
        assert torch.equal(found_centre, gold["center"][chosen])
        assert torch.equal(found_scale, gold["scale"][chosen])
        rotation = gold["rotation_deg"][chosen]
        matrix = affine.crop_matrix(found_centre, found_scale, (192, 256), rotation)
        assert_close(matrix, gold["matrix"][chosen], 1e-8)

    @pytest.mark.parametrize("number", range(6))
    def test_opencv(self, number):
        import cv2

        image, about, gold, chosen = self.case(number)
        crops = affine.warp_opencv(image, gold["matrix"][chosen], (192, 256))
        generation = cv2.__version__.split(".")[0]
        same = {"5": "crops_rgb", "4": "crops_rgb_opencv4"}.get(generation)
        if same is None:
            pytest.skip(f"no golden of OpenCV {cv2.__version__}")
        assert about["opencv"].startswith("5")
        assert np.array_equal(crops, gold[same][chosen].numpy())

    @pytest.mark.parametrize("number", range(6))
    def test_batched(self, number):
        image, _, gold, chosen = self.case(number)
        planes = torch.from_numpy(image).permute(2, 0, 1).float()
        crops = affine.warp(planes, gold["matrix"][chosen], (192, 256))
        levels = crops.round().permute(0, 2, 3, 1)
        difference = (levels - gold["crops_rgb"][chosen].float()).abs()
        assert difference.max() <= 1
        assert (difference > 0).float().mean() < 1e-3

    def test_normalised(self):
        gold = arrays("crops.npz")
        crops = affine.normalise(gold["crops_rgb"].permute(0, 3, 1, 2), MEAN, STD)
        assert_close(crops.double().mean(dim=(2, 3)), gold["normalised_mean"], 1e-5)
        assert_close(crops.double().std(dim=(2, 3)), gold["normalised_std"], 1e-5)
        for crop in (0, 8):
            assert_close(crops[crop, :, 128], gold[f"normalised_crop{crop}_row128"], 1e-5)


class TestTargets:
    @pytest.mark.parametrize(("sigma", "size"), [(2, (48, 64)), (3, (72, 96))])
    def test_targets(self, sigma, size):
        gold = arrays(f"target_heatmaps_sigma{sigma}_{size[1]}x{size[0]}.npz")
        given = (gold["joints"], gold["joints_vis"], size)
        targets, weights = target_heatmaps(*given, sigma=sigma)
        assert targets.dtype == weights.dtype == torch.float32
        assert_close(targets, gold["target"], 1e-6)
        assert torch.equal(weights[..., None], gold["target_weight"])
        assert torch.equal(targets == 0, gold["target"] == 0)
        by_joint = torch.tensor(COCO.weights)
        same, weights = target_heatmaps(*given, sigma=sigma, joint_weights=by_joint)
        assert torch.equal(same, targets)
        assert_close(weights[..., None], gold["target_weight_joint_weighted"], 1e-6)


class TestFlips:
    @pytest.mark.parametrize("skeleton", [COCO, MPII], ids=lambda s: s.name)
    @pytest.mark.parametrize("shift", [0, 1])
    def test_heatmaps(self, skeleton, shift):
        gold = arrays("flip.npz")
        name = skeleton.name
        output, mirrored = gold[f"{name}_output"], gold[f"{name}_output_of_flipped_input"]
        back = flips.flip_back(mirrored, skeleton.mirror, shift=shift)
        assert torch.equal(back, gold[f"{name}_flip_back" + ("_shifted" if shift else "")])
        average = flips.flip_average(output, mirrored, skeleton.mirror, shift=shift)
        assert torch.equal(average, gold[f"{name}_average_{'shift' if shift else 'noshift'}"])

    def test_joints(self):
        gold = arrays("flip.npz")
        width = int(gold["joints_image_width"])
        joints, visible = flips.flip_joints(gold["joints"], gold["joints_vis"], width, COCO.mirror)
        assert_close(joints, gold["joints_flipped"], 1e-9)
        assert torch.equal(visible, gold["joints_vis_flipped"])


class TestDecode:
    @staticmethod
    def case(size):
        gold = arrays("decode.npz")
        return {key.removesuffix("_" + size): v for key, v in gold.items() if key.endswith(size)}

    @pytest.mark.parametrize("size", ["64x48", "96x72"])
    def test_highest(self, size):
        gold = self.case(size)
        place, value = decode.highest(gold["heatmaps"].float())
        assert torch.equal(place, gold["max_preds"])
        assert torch.equal(value[..., None], gold["maxvals"])

    @pytest.mark.parametrize("size", ["64x48", "96x72"])
    def test_joints(self, size):
        gold = self.case(size)
        heatmaps = gold["heatmaps"].float()
        given = (heatmaps, gold["center"], gold["scale"])
        joints, score = decode.decode(*given)
        assert joints.dtype == torch.float32
        assert_close(joints, gold["final_preds"], 1e-3)
        assert torch.equal(score[..., None], gold["maxvals"])
        plain, _ = decode.decode(*given, refinement="none")
        assert_close(plain, gold["final_preds_no_post_process"], 1e-3)

    @pytest.mark.parametrize("size", ["64x48", "96x72"])
    def test_special_maps(self, size):
        """By label, so that a failure names the case."""
        labels = json.loads(need(golden_dir() / "decode_special_labels.json").read_text())
        gold = self.case(size)
        heatmaps = gold["heatmaps"].float()
        place = decode.refine(heatmaps, decode.highest(heatmaps)[0])
        difference = (place - gold["heatmap_coords_after_quarter_offset"]).abs().amax(dim=-1)
        off = dict(zip(labels, difference[-1].tolist(), strict=True))
        assert {label: d for label, d in off.items() if d > 1e-4} == {}
        assert difference.max() <= 1e-4

    @pytest.mark.parametrize("size", ["64x48", "96x72"])
    def test_accuracy(self, size):
        gold = self.case(size)
        heatmaps = gold["heatmaps"].float()
        rolls = gold["accuracy_roll_yx"].tolist()
        targets = torch.stack(
            [
                torch.stack([m.roll(by, dims=(0, 1)) for m, by in zip(maps, row, strict=True)])
                for maps, row in zip(heatmaps, rolls, strict=True)
            ]
        )
        mean, shares = decode.heatmap_accuracy(heatmaps, targets)
        found = torch.cat((mean[None], shares))
        assert_close(found, gold["accuracy_vs_rolled"], 1e-12)
        average, count = gold["accuracy_avg_cnt"].tolist()
        assert mean.item() == pytest.approx(average, abs=1e-12)
        assert (shares >= 0).sum() == count


class TestCodecs:
    """The codecs `released` and `plain` bundle what the published code does."""

    @pytest.mark.parametrize(("sigma", "size"), [(2, (48, 64)), (3, (72, 96))])
    def test_targets(self, sigma, size):
        gold = arrays(f"target_heatmaps_sigma{sigma}_{size[1]}x{size[0]}.npz")
        given = (gold["joints"], gold["joints_vis"], (4 * size[0], 4 * size[1]), size)
        for name in ("released", "plain"):
            targets, weights = codec(name, sigma=sigma).encode(*given)
            assert_close(targets, gold["target"], 1e-6)
            assert torch.equal(weights[..., None], gold["target_weight"])

    @pytest.mark.parametrize("size", ["64x48", "96x72"])
    def test_joints(self, size):
        gold = TestDecode.case(size)
        given = (gold["heatmaps"].float(), gold["center"], gold["scale"])
        for name, key in (("released", ""), ("plain", "_no_post_process")):
            joints, score = codec(name).decode(*given)
            assert_close(joints, gold["final_preds" + key], 1e-3)
            assert torch.equal(score[..., None], gold["maxvals"])

    @pytest.mark.parametrize("size", ["64x48", "96x72"])
    @pytest.mark.parametrize("name", ["dark", "udp"])
    def test_special_maps_of_other_codecs(self, name, size):
        """No golden numbers, but no map, however odd, may give a joint that is no number."""
        gold = TestDecode.case(size)
        maps = gold["heatmaps"].float()
        place, score = codec(name).locate(maps)
        highest, value = decode.highest(maps)
        assert place.isfinite().all()
        assert torch.equal(score, value)
        assert torch.equal(place[value <= 0], highest[value <= 0])
        # Away from the special maps the step stays within the peak's own pixel and its neighbours.
        step = (place - highest)[:-1].abs().amax(dim=-1)
        assert (step > 0).float().mean() > 0.5
        assert step.quantile(0.9) < 1.5

    def test_flip_average(self):
        gold = arrays("flip.npz")
        given = (gold["coco_output"], gold["coco_output_of_flipped_input"], COCO.mirror)
        shifted, plain = (codec(n).flip_average(*given) for n in ("released", "udp"))
        assert torch.equal(shifted, gold["coco_average_shift"])
        assert torch.equal(plain, gold["coco_average_noshift"])


WEIGHTS = {
    "weighted": "target_weight",
    "unweighted": None,
    "fractional_weights": "target_weight_fractional",
}


class TestLosses:
    @staticmethod
    def loss(kind, given, weights):
        if kind == "mse":
            return losses.joint_mse(*given, weights)
        hardest = int(kind.removeprefix("ohkm"))
        return losses.joint_ohkm(*given, weights, hardest=hardest)

    @pytest.mark.parametrize(
        ("kind", "weighting"),
        [*((k, w) for k in ("mse", "ohkm8") for w in WEIGHTS), ("ohkm5", "weighted")],
    )
    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
    def test_values_and_gradients(self, kind, weighting, dtype):
        gold = arrays("losses.npz")
        key = WEIGHTS[weighting]
        weights = gold[key][..., 0].to(dtype) if key else None
        output = gold["output"].to(dtype).requires_grad_()
        loss = self.loss(kind, (output, gold["target"].to(dtype)), weights)
        prefix = "loss_float64_" if dtype == torch.float64 else "loss_"
        expected = gold[f"{prefix}{kind}_{weighting}"].item()
        assert loss.item() == pytest.approx(expected, rel=1e-6)
        if f"grad_{kind}_{weighting}" in gold:
            (gradient,) = torch.autograd.grad(loss, output)
            wanted = gold[f"grad_{kind}_{weighting}"]
            assert_close(gradient, wanted, 1e-6 * wanted.abs().max())

    def test_a_batch_of_one(self):
        gold = arrays("losses.npz")
        one = [gold[key][:1] for key in ("output", "target")]
        loss = losses.joint_mse(*one, gold["target_weight"][:1, :, 0])
        assert loss.item() == pytest.approx(gold["loss_mse_weighted_batch1"].item(), rel=1e-6)


class TestHalfBody:
    @pytest.mark.parametrize(("skeleton", "aspect"), [(COCO, 192 / 256), (MPII, 1.0)])
    @pytest.mark.parametrize("upper", [True, False])
    def test_crops(self, skeleton, aspect, upper):
        gold = arrays("half_body.npz")
        name, branch = skeleton.name, "below" if upper else "above"
        joints, visible = gold[f"{name}_joints"], gold[f"{name}_vis"]
        prefer = torch.full((len(joints),), upper)
        centre, scale, there = half_body(joints, visible, skeleton.upper, aspect, prefer)
        wanted = gold[f"{name}_center_draw_{branch}_half"]
        assert torch.equal(there, wanted.isfinite().all(dim=1))
        assert centre.isfinite().all()
        assert scale.isfinite().all()
        assert 0 < there.sum() < len(there)
        # float32 holds places of some hundred pixels to 3e-5.
        limit = 1e-5 * wanted[there].abs().max()
        assert_close(centre[there], wanted[there], limit)
        assert_close(scale[there], gold[f"{name}_scale_draw_{branch}_half"][there], 1e-5)
