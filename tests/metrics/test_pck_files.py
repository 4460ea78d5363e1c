"""Scores of made-up files whose numbers are known, and what cannot be scored."""

from itertools import permutations

import numpy as np
import pytest

import pck_made as made
from replab.errors import UserError
from replab.keypoints.skeletons import FLIC, LSP, MPII
from replab.metrics import pck, pck_files
from replab.metrics.pck_files import score_flic, score_lsp, score_mpii

PARTS = ("head", "shoulder", "elbow", "wrist", "hip", "knee")


def torso(truth, shoulder, hip):
    return np.linalg.norm(truth[:, shoulder] - truth[:, hip], axis=1)


def moved(truth, lengths, shares):
    """Joints moved to the right by these shares (K) of each person's length."""
    guess = truth.copy()
    guess[..., 0] += lengths[:, None] * np.asarray(shares)
    return guess


@pytest.fixture
def lsp(tmp_path):
    """Truth and predictions of LSP: ankles beside by 0.3 torsos, wrists by 0.15, else by 0.01."""
    truth = made.lsp_truth()
    shares = np.full(14, 0.01)
    shares[[0, 5]], shares[[6, 11]] = 0.3, 0.15
    guess = moved(truth, torso(truth, 9, 2), shares)
    gt = made.write_mat(tmp_path / "lsp" / "gt.mat", joints=made.stored_lsp(truth))
    pred = made.write_mat(tmp_path / "lsp" / "pred.mat", prediction_all=guess.transpose(1, 2, 0))
    return truth, guess, gt, pred


class TestLsp:
    def test_numbers(self, lsp):
        score = score_lsp(lsp[3], lsp[2])
        assert score.people == 1000
        assert score.notes == ()
        found = score.as_dict()
        assert list(found) == ["pck", "joints"]
        share = {"0.05": 10 / 14, "0.1": 10 / 14, "0.2": 12 / 14}
        assert found["pck"] == pytest.approx({name: 100 * s for name, s in share.items()})
        assert found["joints"] == {
            name: {"0.2": 0.0 if name == "ankle" else 100.0} for name in pck.LSP_ROWS
        }
        assert list(found["joints"]) == [
            "head",
            "shoulder",
            "elbow",
            "wrist",
            "hip",
            "knee",
            "ankle",
        ]
        assert score.interval["0.2"] == pytest.approx((1200 / 14, 1200 / 14))

    def test_head_is_neck_and_head_top(self, lsp, tmp_path):
        _, guess, gt, _ = lsp
        guess[:250, LSP.index("neck")] += 9999
        pred = made.write_npz(tmp_path / "p.npz", preds=guess)
        assert score_lsp(pred, gt).as_dict()["joints"]["head"] == {"0.2": 87.5}

    @pytest.mark.parametrize(
        ("suffix", "order"), list(zip(made.WRITERS, permutations(range(3)), strict=False))
    )
    def test_any_file_and_any_order_of_axes(self, lsp, tmp_path, suffix, order):
        path = tmp_path / f"p{suffix}"
        pred = made.WRITERS[suffix](path, preds=lsp[1].transpose(order))
        assert score_lsp(pred, lsp[2]).pck == score_lsp(lsp[3], lsp[2]).pck

    def test_the_test_half_alone(self, lsp, tmp_path):
        half = made.write_h5(tmp_path / "half.h5", joints=made.stored_lsp(lsp[0])[..., 1000:])
        assert score_lsp(lsp[3], half) == score_lsp(lsp[3], lsp[2])

    def test_people_without_a_torso_are_noted(self, lsp, tmp_path):
        truth, guess, *_ = lsp
        truth[:10, 2] = truth[:10, 9]
        gt = made.write_mat(tmp_path / "g.mat", joints=made.stored_lsp(truth))
        pred = made.write_npz(tmp_path / "p.npz", preds=guess)
        score = score_lsp(pred, gt)
        assert score.pck["0.2"] == pytest.approx(99 * 12 / 14)
        assert "10 of 1000 people have no reference length" in score.notes[0]

    def test_observer_centric_truth_is_noted(self, tmp_path):
        truth = made.lsp_truth(observer=True)
        gt = made.write_mat(tmp_path / "g.mat", joints=made.stored_lsp(truth))
        pred = made.write_npz(tmp_path / "p.npz", preds=truth)
        (note,) = score_lsp(pred, gt).notes
        assert note.startswith("the truth looks observer-centric")
        assert "in 100 % of the people" in note

    def test_exchanged_sides_are_noted(self, lsp, tmp_path):
        mirrored = lsp[0][:, list(LSP.mirror)]
        pred = made.write_npz(tmp_path / "p.npz", preds=mirrored)
        (note,) = score_lsp(pred, lsp[2]).notes
        assert note.startswith("100 % of the people fit far better with left and right exchanged")

    def test_bad_predictions_are_not_taken_for_exchanged_sides(self, lsp, tmp_path):
        random = np.random.default_rng(0)
        pred = made.write_npz(tmp_path / "p.npz", preds=random.permutation(lsp[1]))
        assert score_lsp(pred, lsp[2]).notes == ()


FLIC_STORED_AT = {"left_shoulder": 6, "left_wrist": 8, "right_elbow": 3, "right_hip": 5}


@pytest.fixture
def flic(tmp_path):
    """Truth and predictions of FLIC: one of four wrists and elbows is missed, in all pictures."""
    stored = made.people(1016, 10)
    stored[:, 5] = stored[:, 6] + (30, 40)
    columns = list(pck_files.FLIC_COLUMNS)
    guess = moved(stored[:, columns], np.full(1016, 50.0), np.full(9, 0.15))
    guess[:, FLIC.index("right_elbow")] += 9999
    gt = made.write_mat(tmp_path / "flic" / "gt.mat", joints=stored.transpose(2, 1, 0))
    pred = made.write_mat(tmp_path / "flic" / "pred.mat", prediction_all=guess.transpose(1, 2, 0))
    return stored, guess, gt, pred


class TestFlic:
    def test_columns(self):
        for joint, column in FLIC_STORED_AT.items():
            assert pck_files.FLIC_COLUMNS[FLIC.index(joint)] == column

    def test_numbers(self, flic):
        score = score_flic(flic[3], flic[2])
        assert score.as_dict() == {
            "pck": {"0.05": 0.0, "0.1": 0.0, "0.2": 75.0},
            "joints": {"elbow": {"0.2": 50.0}, "wrist": {"0.2": 100.0}},
        }
        assert score.people == 1016

    def test_the_torso_is_the_true_one(self, flic, tmp_path):
        far = flic[1].copy()
        far[:, FLIC.index("left_shoulder")] -= 5000
        pred = made.write_npz(tmp_path / "p.npz", preds=far)
        assert score_flic(pred, flic[2]).pck == score_flic(flic[3], flic[2]).pck


@pytest.fixture
def mpii(tmp_path):
    """Truth of 30 people, and predictions beside by 0.105 heads, of the left wrist by 0.7."""
    fields = made.mpii_truth()
    corners = fields["headboxes_src"]
    heads = 0.6 * np.linalg.norm(corners[1] - corners[0], axis=0)
    shares = np.full(16, 0.105)
    shares[MPII.index("left_wrist")] = 0.7
    # Pelvis and thorax must not matter.
    shares[[6, 7]] = 99
    guess = moved(fields["pos_gt_src"].transpose(2, 0, 1), heads, shares)
    gt = made.write_mat(tmp_path / "mpii" / "gt.mat", **fields)
    return fields, guess, gt, made.write_mat(tmp_path / "mpii" / "pred.mat", preds=guess)


class TestMpii:
    def test_numbers(self, mpii):
        score = score_mpii(mpii[3], mpii[2])
        counts = (1 - mpii[0]["jnt_missing"]).sum(axis=1).astype(float)
        counts[[6, 7]] = 0
        found = score.as_dict()
        assert list(found) == ["pckh", "pckh_weighted", "pckh@0.1", "joints"]
        assert found["pckh"] == pytest.approx(1300 / 14)
        assert found["pckh_weighted"] == pytest.approx(100 * (1 - counts[15] / counts.sum()))
        assert found["pckh@0.1"] == 0
        # Between the threshold that the name says and the one that the released code takes.
        assert score.weighted_at == pytest.approx({"0.1": 0, "0.11": found["pckh_weighted"]})
        assert score.unweighted_at == pytest.approx({"0.1": 0, "0.11": found["pckh"]})
        rows = dict.fromkeys(("head", "shoulder", "elbow", "hip", "knee", "ankle"), 100.0)
        assert found["joints"] == {**rows, "wrist": 50.0}
        low, high = score.interval["pckh_weighted"]
        assert low < found["pckh_weighted"] < high

    @pytest.mark.parametrize("suffix", ["-73.mat", ".h5", ".npz"])
    def test_other_files(self, mpii, tmp_path, suffix):
        fields, guess, gt, pred = mpii
        named = {
            name: array
            for name, array in fields.items()
            if suffix == "-73.mat" or (name != "dataset_joints")
        }
        other_gt = made.WRITERS[suffix](tmp_path / f"g{suffix}", **named)
        other_pred = made.WRITERS[suffix](tmp_path / f"p{suffix}", preds=guess.transpose(2, 0, 1))
        assert score_mpii(other_pred, other_gt) == score_mpii(pred, gt)

    def test_predictions_counted_from_0(self, mpii, tmp_path):
        _, guess, gt, pred = mpii
        shifted = made.write_npz(tmp_path / "p.npz", preds=guess - 1)
        assert score_mpii(shifted, gt, zero_based=True).as_dict() == score_mpii(pred, gt).as_dict()
        assert score_mpii(shifted, gt).as_dict() != score_mpii(pred, gt).as_dict()

    def test_missing_joints_do_not_count(self, mpii, tmp_path):
        fields, guess, gt, pred = mpii
        guess[fields["jnt_missing"].T == 1] += 9999
        other = made.write_npz(tmp_path / "p.npz", preds=guess)
        assert score_mpii(other, gt) == score_mpii(pred, gt)

    def test_a_joint_that_nobody_has(self, mpii, tmp_path):
        fields, _, _, pred = mpii
        fields["jnt_missing"][2] = 1
        gt = made.write_mat(tmp_path / "g.mat", **fields)
        with pytest.raises(UserError, match="annotates no right_hip; give the truth of more"):
            score_mpii(pred, gt)

    def test_people_without_a_head_are_noted(self, mpii, tmp_path):
        fields, _, gt, pred = mpii
        fields["headboxes_src"][1, :, 3] = fields["headboxes_src"][0, :, 3]
        other = made.write_mat(tmp_path / "g.mat", **fields)
        score = score_mpii(pred, other)
        assert score.pckh < score_mpii(pred, gt).pckh
        assert score.notes == (
            "1 of 30 people have no reference length; their joints count as missed",
        )

    @pytest.mark.parametrize(
        ("name", "change", "message"),
        [
            ("pos_gt_src", lambda a: a[:14], "pos_gt_src of .* has shape 14×2×30, expected 16×2"),
            (
                "jnt_missing",
                lambda a: a.T,
                "jnt_missing of .* has shape 30×16, expected 16×people",
            ),
            ("headboxes_src", lambda a: a[..., :9], "headboxes_src of .* has shape 2×2×9"),
            ("jnt_missing", lambda a: a + 1, "other numbers than 0 and 1"),
            ("pos_gt_src", lambda a: a * np.nan, "holds NaN or infinity"),
            ("dataset_joints", lambda a: a[:, ::-1], "not MPII's 16 joints in their order"),
        ],
    )
    def test_truth_that_is_not_mpii_s(self, mpii, tmp_path, name, change, message):
        fields, _, _, pred = mpii
        gt = made.write_mat(tmp_path / "g.mat", **{**fields, name: change(fields[name])})
        with pytest.raises(UserError, match=message):
            score_mpii(pred, gt)


SCORES = {"lsp": score_lsp, "flic": score_flic, "mpii": score_mpii}


class TestRefused:
    """One line that names the file and the mend."""

    @pytest.fixture
    def files(self, request):
        def get(name):
            _, guess, gt, pred = request.getfixturevalue(name)
            return SCORES[name], guess, gt, pred

        return get

    @pytest.mark.parametrize("name", SCORES)
    def test_swapped(self, files, name):
        score, _, gt, pred = files(name)
        with pytest.raises(UserError, match=r"pred.mat holds predictions, not truth; give it as"):
            score(gt, pred)
        with pytest.raises(UserError, match=r"gt.mat holds truth, not predictions; give it as"):
            score(gt, gt)

    @pytest.mark.parametrize("name", SCORES)
    @pytest.mark.parametrize("other", SCORES)
    def test_another_data_set(self, files, name, other):
        if name == other:
            return
        score, _, gt, pred = files(name)
        _, _, other_gt, other_pred = files(other)
        with pytest.raises(UserError, match=r"pred.mat has shape .*×.*needs \d+×\d+×2 in any"):
            score(other_pred, gt)
        with pytest.raises(UserError, match=r"gt.mat (has shape .*people|holds .* but no )"):
            score(pred, other_gt)

    def test_the_extended_set_is_not_lsp(self, files, tmp_path):
        score, _, _, pred = files("lsp")
        gt = made.write_mat(tmp_path / "g.mat", joints=np.zeros((14, 3, 10_000)))
        with pytest.raises(UserError, match=r"g.mat has shape 14×3×10000, LSP's has 14 joints of"):
            score(pred, gt)

    @pytest.mark.parametrize("name", SCORES)
    @pytest.mark.parametrize("change", [lambda a: a[:-1], lambda a: a[:, 1:], lambda a: a[0]])
    def test_shapes(self, files, tmp_path, name, change):
        score, guess, gt, _ = files(name)
        pred = made.write_npy(tmp_path / "p.npy", preds=change(guess))
        with pytest.raises(UserError, match=r"p.npy has shape .*; give predictions"):
            score(pred, gt)

    @pytest.mark.parametrize("name", SCORES)
    @pytest.mark.parametrize("number", [np.nan, np.inf])
    def test_numbers_that_are_not_finite(self, files, tmp_path, name, number):
        score, guess, gt, _ = files(name)
        guess[3, 2, 1] = guess[4, 0, 0] = number
        pred = made.write_h5(tmp_path / "p.h5", preds=guess)
        with pytest.raises(UserError, match=r"preds of .*p.h5 holds 2 numbers that are NaN"):
            score(pred, gt)

    @pytest.mark.parametrize("name", SCORES)
    def test_keys(self, files, tmp_path, name):
        score, guess, gt, _ = files(name)
        pred = made.write_npz(tmp_path / "p.npz", heatmaps=guess)
        with pytest.raises(
            UserError, match=r"p.npz holds heatmaps but no prediction_all or preds"
        ):
            score(pred, gt)
        pred = made.write_npz(tmp_path / "q.npz", preds=guess, prediction_all=guess)
        with pytest.raises(UserError, match=r"q.npz holds prediction_all and preds; keep"):
            score(pred, gt)

    @pytest.mark.parametrize("name", SCORES)
    def test_truth_without_a_name(self, files, tmp_path, name):
        """It might as well be predictions."""
        score, guess, _, pred = files(name)
        gt = made.write_npy(tmp_path / "g.npy", preds=guess)
        with pytest.raises(UserError, match=r"g.npy holds one array without a name but no"):
            score(pred, gt)

    @pytest.mark.parametrize("name", SCORES)
    def test_cut_off_and_missing(self, files, tmp_path, name):
        score, _, gt, pred = files(name)
        for position in (0, 1):
            given = [pred, gt]
            given[position] = tmp_path / "none.mat"
            with pytest.raises(UserError, match=r"^cannot read .*none.mat: .*; name a readable"):
                score(*given)
            data = (pred, gt)[position].read_bytes()
            given[position] = tmp_path / "cut.mat"
            given[position].write_bytes(data[: len(data) // 2])
            with pytest.raises(UserError, match=r"cut.mat") as caught:
                score(*given)
            assert "\n" not in str(caught.value)

    @pytest.mark.parametrize("name", ["lsp", "flic"])
    def test_truth_that_is_not_finite(self, files, tmp_path, name):
        score, _, gt, pred = files(name)
        from scipy.io import loadmat

        joints = loadmat(gt)["joints"]
        joints[0, 3, -1] = np.nan
        broken = made.write_mat(tmp_path / "g.mat", joints=joints)
        with pytest.raises(UserError, match=r"g.mat holds NaN or infinity; get the file again"):
            score(pred, broken)
