"""OKS and suppression: equal to a plain reading of the evaluator and of the authors' code."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coco_made import cases, made
from replab.keypoints import oks, suppression
from replab.keypoints.skeletons import COCO

SIGMAS = np.array(COCO.sigmas)


class TestTruthOks:
    @settings(max_examples=20, deadline=None)
    @given(cases())
    def test_equals_the_referee(self, case):
        from pycocotools.coco import COCO as Coco
        from pycocotools.cocoeval import COCOeval

        truth, results = case
        people, found = Coco(), Coco()
        people.dataset = {**truth}
        found.dataset = {**truth, "annotations": [{**r, "id": i} for i, r in enumerate(results)]}
        people.createIndex(), found.createIndex()
        evaluator = COCOeval(people, found, "keypoints")
        evaluator._prepare()
        for image in people.getImgIds():
            expected = evaluator.computeOks(image, 1)
            annotated = people.imgToAnns[image]
            poses = sorted(found.imgToAnns[image], key=lambda r: -r["score"])[:20]
            if not annotated or not poses:
                assert len(expected) == 0
                continue
            wanted = np.array([a["keypoints"] for a in annotated]).reshape(-1, 17, 3)
            spots = np.array([r["keypoints"] for r in poses]).reshape(-1, 17, 3)[..., :2]
            boxes = np.array([a["bbox"] for a in annotated])
            areas = np.array([a["area"] for a in annotated])
            got = oks.truth_oks(spots, wanted[..., :2], wanted[..., 2], boxes, areas, SIGMAS)
            np.testing.assert_allclose(got, expected, rtol=0, atol=1e-12)

    def test_people_without_keypoints_take_up_what_lies_near_their_box(self):
        spots = np.zeros((3, 17, 2))
        spots[1] += (29.9, 59.9)  # the box doubled to each side reaches from −10 to 20 and so on
        spots[2] += (45.0, 60.0)
        boxes = np.array([[0.0, 0.0, 15.0, 30.0]])
        nothing = np.zeros((1, 17))
        given = (spots, np.zeros((1, 17, 2)), nothing, boxes, np.array([450.0]))
        got = oks.truth_oks(*given, SIGMAS)[:, 0]
        assert got[:2].tolist() == [1, 1]
        by_hand = np.exp(-(15.0**2) / (2 * 450 * (2 * SIGMAS) ** 2)).mean()
        assert got[2] == pytest.approx(by_hand)

    def test_leading_axes_broadcast(self):
        rng = np.random.default_rng(0)
        spots, wanted = rng.normal(0, 9, (4, 5, 17, 2)), rng.normal(0, 9, (4, 3, 17, 2))
        visible, boxes = rng.integers(0, 3, (4, 3, 17)), rng.uniform(0, 9, (4, 3, 4))
        visible[2, 1] = 0
        areas = rng.uniform(50, 90, (4, 3))
        together = oks.truth_oks(spots, wanted, visible, boxes, areas, SIGMAS)
        for i in range(4):
            alone = oks.truth_oks(spots[i], wanted[i], visible[i], boxes[i], areas[i], SIGMAS)
            assert np.array_equal(together[i], alone)


def plain_oks(one, other, area_one, area_other):
    squared = ((one - other) ** 2).sum(axis=-1)
    wide = (area_one + area_other) / 2 + np.spacing(1)
    return np.exp(-squared / (2 * SIGMAS) ** 2 / wide / 2).mean()


def plain_suppression(images, joints, areas, scores, threshold, soft=False):
    """Picture by picture and pose by pose, as the authors' code goes."""
    kept = []
    for image in dict.fromkeys(images.tolist()):
        (inside,) = np.nonzero(images == image)
        order = inside[scores[inside].argsort(kind="stable")[::-1]]
        left, chosen = scores[order], []
        while len(order) and not (soft and len(chosen) == 20):
            best, order, left = order[0], order[1:], left[1:]
            chosen.append(best)
            alike = [plain_oks(joints[best], joints[i], areas[best], areas[i]) for i in order]
            alike = np.array(alike)
            if soft:
                left = left * np.exp(-(alike**2) / threshold)
                again = left.argsort(kind="stable")[::-1]
                order, left = order[again], left[again]
            else:
                order, left = order[alike <= threshold], left[alike <= threshold]
        kept += chosen
    return kept


def poses(seed, count, pictures, spread):
    """Poses around few places, some twice, with scores that often tie."""
    rng = np.random.default_rng(seed)
    bodies = rng.uniform(0, 300, (max(1, count // 3), 17, 2))
    joints = bodies[rng.integers(0, len(bodies), count)]
    joints = joints + rng.normal(0, spread, joints.shape) * rng.integers(0, 2, (count, 1, 1))
    images = rng.permutation(1000)[rng.integers(0, pictures, count)]
    scores = rng.choice([0.2, 0.5, 0.5, rng.random(), 0.0], count)
    return images, joints, rng.uniform(10, 9000, count), scores


class TestSuppression:
    @settings(max_examples=80, deadline=None)
    @given(
        st.integers(0, 2**31),
        st.integers(0, 60),
        st.integers(1, 6),
        st.sampled_from([0.5, 3.0, 10.0]),
        st.sampled_from([0.9, 0.5, 0.1, 0.99]),
        st.sampled_from([np.float32, np.float64]),
    )
    def test_equals_the_plain_loops(self, seed, count, pictures, spread, threshold, dtype):
        images, joints, areas, scores = poses(seed, count, pictures, spread)
        given = (images, joints.astype(dtype), areas, scores)
        hard = suppression.oks_nms(*given, COCO.sigmas, threshold=threshold)
        assert hard.tolist() == plain_suppression(*given, threshold)
        soft = suppression.soft_oks_nms(*given, COCO.sigmas, threshold=threshold)
        assert soft.tolist() == plain_suppression(*given, threshold, soft=True)

    @pytest.mark.parametrize("many", [suppression.PAIRS, 64, 3])
    def test_parts_change_nothing(self, many, monkeypatch):
        given = poses(3, 150, 4, 3.0)
        monkeypatch.setattr(suppression, "PAIRS", many)
        assert suppression.oks_nms(*given, COCO.sigmas).tolist() == plain_suppression(*given, 0.9)
        soft = suppression.soft_oks_nms(*given, COCO.sigmas)
        assert soft.tolist() == plain_suppression(*given, 0.9, soft=True)

    def test_equal_scores_come_in_reversed_order(self):
        joints = np.arange(4.0)[:, None, None] * np.full((4, 17, 2), 1000.0)
        images, areas, scores = np.array([8, 3, 8, 8]), np.ones(4), np.array([0.5, 0.1, 0.5, 0.9])
        kept = suppression.oks_nms(images, joints, areas, scores, COCO.sigmas)
        assert kept.tolist() == [3, 2, 0, 1]

    def test_of_equal_poses_one_stays_and_the_limit_is_kept(self):
        joints, areas, scores = np.zeros((30, 17, 2)), np.full(30, 900.0), np.linspace(0, 1, 30)
        images = np.zeros(30, dtype=int)
        assert suppression.oks_nms(images, joints, areas, scores, COCO.sigmas).tolist() == [29]
        given = (images, joints, areas, scores, COCO.sigmas)
        assert len(suppression.soft_oks_nms(*given)) == 20
        assert len(suppression.soft_oks_nms(*given, limit=3)) == 3

    def test_an_overlap_of_just_the_threshold_stays(self):
        joints = np.zeros((2, 17, 2))
        given = (np.zeros(2, dtype=int), joints, np.ones(2), np.array([0.9, 0.8]), COCO.sigmas)
        assert suppression.oks_nms(*given, threshold=1.0).tolist() == [0, 1]
        assert suppression.oks_nms(*given, threshold=1 - 1e-9).tolist() == [0]

    @pytest.mark.parametrize("area", [1e-3, 1.0, 15.0, 40.0])
    def test_crops_of_few_pixels_far_from_the_corner(self, area):
        """Where single precision could no longer tell poses apart."""
        rng = np.random.default_rng(0)
        joints = 9000 + rng.normal(0, 0.05 * np.sqrt(area), (40, 17, 2))
        given = (np.zeros(40, dtype=int), joints, np.full(40, area), rng.random(40))
        for threshold in (0.9, 0.6, 0.3):
            kept = suppression.oks_nms(*given, COCO.sigmas, threshold=threshold)
            assert kept.tolist() == plain_suppression(*given, threshold)

    def test_nothing_stays_of_nothing(self):
        given = (np.zeros(0, dtype=int), np.zeros((0, 17, 2)), np.zeros(0), np.zeros(0))
        for suppress in (suppression.oks_nms, suppression.soft_oks_nms):
            assert suppress(*given, COCO.sigmas).shape == (0,)


class TestRescore:
    def test_mean_of_joints_above_the_threshold(self):
        heights = np.array([[0.2, 0.3, 0.5], [0.1, -3.0, 0.2], [1.4, 1.0, 0.0]])
        got = suppression.rescore(np.array([0.5, 0.9, 1.0]), heights)
        assert got == pytest.approx([0.2, 0.0, 1.2])
        got = suppression.rescore(np.ones(3), heights, threshold=0.0)
        assert got == pytest.approx([1 / 3, 0.15, 1.2])

    def test_sums_go_joint_by_joint_in_single_precision(self):
        heights = np.random.default_rng(0).random((200, 17)).astype(np.float32)
        got = suppression.rescore(np.ones(200), heights)
        for row, score in zip(heights, got, strict=True):
            passed = [h for h in row if h > 0.2]
            assert score == sum(passed, np.float32(0)) / np.float32(len(passed))


def test_crop_areas_are_of_the_padded_crop():
    scale = np.array([[0.5, 0.25]], dtype=np.float32)
    assert oks.crop_areas(scale).tolist() == [5000.0]


def test_made_cases_hold_what_they_are_named_for():
    """The corner cases above are worth nothing if the maker does not make them."""
    truth, results = made(0, [([("twin", 4000.0)] * 2 + [("none", 4000.0)], [("exact", 1, 0.5)])])
    spots = [a["keypoints"] for a in sorted(truth["annotations"], key=lambda a: a["bbox"])]
    counts = sorted(a["num_keypoints"] for a in truth["annotations"])
    assert counts[0] == 0 < counts[1]
    assert len(results) == 1
    assert len(spots) == 3
