"""Skeletons are whole: every joint has its mirror image, and names say the same as the pairs."""

import pytest

from replab.errors import UserError
from replab.keypoints.skeletons import COCO, FLIC, LSP, MPII, SKELETONS, skeleton

EVERY = pytest.mark.parametrize("name", SKELETONS)


@EVERY
def test_pairs_are_left_and_right_of_one_name(name):
    s = skeleton(name)
    sided = [j for j in s.joints if j.startswith(("left_", "right_"))]
    assert sorted(s.joints[i] for pair in s.pairs for i in pair) == sorted(sided)
    for pair in s.pairs:
        sides = {s.joints[i].split("_", 1)[0] for i in pair}
        assert sides == {"left", "right"}
        assert len({s.joints[i].split("_", 1)[1] for i in pair}) == 1


@EVERY
def test_mirror_is_its_own_inverse(name):
    s = skeleton(name)
    assert [s.mirror[s.mirror[i]] for i in range(len(s))] == list(range(len(s)))
    assert sum(i != j for i, j in enumerate(s.mirror)) == 2 * len(s.pairs)


@EVERY
def test_limbs_join_all_joints_and_are_symmetric(name):
    s = skeleton(name)
    reached = {0}
    for _ in s.joints:
        reached |= {j for limb in s.limbs if reached & set(limb) for j in limb}
    assert reached == set(range(len(s)))
    limbs = {frozenset(limb) for limb in s.limbs}
    assert len(limbs) == len(s.limbs)
    assert {frozenset(s.mirror[i] for i in limb) for limb in limbs} == limbs


@EVERY
def test_numbers_are_symmetric(name):
    s = skeleton(name)
    for numbers in (s.weights, s.sigmas):
        assert len(numbers) in (0, len(s))
        assert all(numbers[i] == numbers[s.mirror[i]] for i in range(len(numbers)))
    assert {s.mirror[i] for i in s.upper} == set(s.upper)


def test_counts_and_published_places():
    assert [len(s) for s in (COCO, MPII, LSP, FLIC)] == [17, 16, 14, 9]
    assert COCO.index("left_wrist") == 9
    assert MPII.index("left_wrist") == 15
    # The torso of PCK: joints 10 and 3 of LSP, counted from 1.
    assert (LSP.index("left_shoulder"), LSP.index("right_hip")) == (9, 2)
    assert (FLIC.index("left_shoulder"), FLIC.index("right_hip")) == (0, 7)


def test_sigmas_are_pycocotools():
    evaluator = pytest.importorskip("pycocotools.cocoeval")
    assert evaluator.Params("keypoints").kpt_oks_sigmas.tolist() == pytest.approx(COCO.sigmas)


@pytest.mark.parametrize(
    ("call", "words"),
    [(lambda: skeleton("body25"), "coco, mpii"), (lambda: COCO.index("tail"), "nose, left_eye")],
)
def test_unknown_names_are_told_in_one_line(call, words):
    with pytest.raises(UserError) as caught:
        call()
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
