"""The command `score`: the numbers it prints, and what it says of files that cannot be scored."""

import json

import numpy as np
import pytest
import torch

from coco_made import made
from pck_made import lsp_truth, mpii_truth, people, stored_lsp, write_mat
from replab.cli import main
from replab.metrics.coco import METRICS
from replab.models import create
from tiny_pose_sets import coco_annotations, detections, write_coco

SMALL = {"stem": 16, "bottlenecks": 1, "modules": (1, 1, 1), "blocks": 1}


def scored(capsys, *words):
    """Exit code, the JSON object, and the lines on stderr."""
    code = main(["score", *map(str, words), "--json"])
    printed = capsys.readouterr()
    return code, json.loads(printed.out) if code == 0 else None, printed.err.splitlines()


def said(capsys, *words):
    """What a person reads."""
    assert main(["score", *map(str, words)]) == 0
    return capsys.readouterr().out


@pytest.fixture
def result_files(tmp_path):
    people = [("plain", 4000.0), ("crowd", 2e4), ("none", 400.0), ("plain", 2e4)]
    poses = [("exact", 0, 0.9), ("near", 3, 0.5), ("far", 0, 0.5), ("stray", 0, 0.1)]
    truth, results = made(3, [(people, poses)] * 4)
    gt, dt = tmp_path / "gt.json", tmp_path / "dt.json"
    gt.write_text(json.dumps(truth))
    dt.write_text(json.dumps(results))
    return gt, dt


class TestResultFiles:
    def test_ten_numbers_and_equal_engines(self, capsys, result_files):
        gt, dt = result_files
        code, fast, _ = scored(capsys, "coco", "--gt", gt, "--dt", dt)
        assert code == 0
        assert tuple(fast) == METRICS
        _, referee, _ = scored(capsys, "coco", "--gt", gt, "--dt", dt, "--engine", "pycocotools")
        assert referee == pytest.approx(fast, abs=1e-12)
        assert f"AP {fast['AP']:.4f}" in said(capsys, "coco", "--gt", gt, "--dt", dt)

    def test_what_is_missing_is_asked_for(self, capsys, result_files):
        gt, _ = result_files
        assert scored(capsys, "coco", "--gt", gt) == (
            2,
            None,
            ["error: score coco: give --gt FILE and --dt FILE, or --weights FILE"],
        )
        code, _, (line,) = scored(capsys, "coco", "--gt", gt, "--weights", gt)
        assert (code, line) == (2, "error: score coco: give either --weights, or --gt and --dt")

    @pytest.mark.parametrize(
        ("change", "words"),
        [
            (lambda entries: entries[0].update(score=float("nan")), "entry 1 has nan in 'score'"),
            (lambda entries: entries[1]["keypoints"].pop(), "entry 2 has 50 numbers in 'keypoint"),
            (lambda entries: entries[2].update(image_id=999_999), "image 999999 is not in"),
        ],
    )
    def test_bad_entries_are_one_line(self, capsys, result_files, change, words):
        gt, dt = result_files
        entries = json.loads(dt.read_text())
        change(entries)
        dt.write_text(json.dumps(entries))
        code, _, lines = scored(capsys, "coco", "--gt", gt, "--dt", dt)
        assert code == 2
        (line,) = lines
        assert str(dt) in line
        assert words in line


class TestWeights:
    @pytest.fixture
    def tiny(self, tmp_path):
        folder = tmp_path / "coco"
        write_coco(folder)
        torch.manual_seed(0)
        weights = tmp_path / "net.pth"
        torch.save(create("pose_hrnet_w8", **SMALL).state_dict(), weights)
        return folder, weights

    def words(self, tiny):
        folder, weights = tiny
        return ["coco", "--weights", weights, "--folder", folder, "--part", "tiny"]

    def test_the_whole_way(self, capsys, tiny, tmp_path):
        results = tmp_path / "results.json"
        options = ["--input", "128x96", "--results", results, "--draws", "20", "--codec", "udp"]
        code, found, lines = scored(capsys, *self.words(tiny), *options)
        assert code == 0
        assert [found["box_source"], found["network"]["input"]] == ["gt", "128x96"]
        assert set(found["intervals"]) == set(METRICS)
        assert found["protocol"]["flip_shift"] == 0
        assert len(json.loads(results.read_text())) == found["kept"] > 0
        # People who were not looked at are counted aloud.
        assert sum(found["left_out"].values()) > 0
        assert all(line.startswith("note: ") for line in lines)
        _, alone, _ = scored(capsys, "coco", "--gt", annotations(tiny), "--dt", results)
        assert alone == {name: found[name] for name in METRICS}

    def test_boxes_of_a_file_are_named(self, capsys, tiny, tmp_path):
        file = tmp_path / "boxes.json"
        file.write_text(json.dumps(detections()))
        code, found, _ = scored(
            capsys, *self.words(tiny), "--input", "64x64", "--boxes", file, "--no-flip"
        )
        assert code == 0
        assert found["box_source"].startswith("boxes.json@")
        assert found["protocol"]["flip_shift"] is None

    def test_another_colour_order_is_noted(self, capsys, tiny):
        words = [*self.words(tiny), "--input", "64x64", "--colour", "BGR"]
        code, found, lines = scored(capsys, *words)
        assert code == 0
        assert any("expect RGB" in line for line in lines)
        assert found["network"]["preprocessing"]["colour"] == "BGR"

    def test_sizes_are_height_by_width(self, capsys, tiny):
        for text in ("256", "axb", "100x100"):
            code, _, lines = scored(capsys, *self.words(tiny), "--input", text)
            assert code == 2
            assert lines[-1].startswith("error: ")


def annotations(tiny):
    folder, _ = tiny
    path = folder / "annotations" / "person_keypoints_tiny.json"
    assert json.loads(path.read_text()) == coco_annotations()
    return path


class TestPredictions:
    def test_lsp(self, capsys, tmp_path):
        truth = lsp_truth()
        gt = write_mat(tmp_path / "gt.mat", joints=stored_lsp(truth))
        found = truth.copy()
        found[:500, 0, 0] += 1000  # half of the people miss their right ankle
        pred = write_mat(tmp_path / "pred.mat", prediction_all=found.transpose(1, 2, 0))
        code, numbers, _ = scored(capsys, "lsp", "--pred", pred, "--gt", gt)
        assert code == 0
        assert set(numbers) == {"pck", "joints"}
        assert numbers["pck"]["0.2"] == pytest.approx(100 * (1 - 0.5 / 14))
        assert numbers["joints"]["ankle"] == {"0.2": pytest.approx(75)}
        assert list(numbers["joints"]) == [
            "head",
            "shoulder",
            "elbow",
            "wrist",
            "hip",
            "knee",
            "ankle",
        ]
        assert "PCK@0.2: 96.429 %" in said(capsys, "lsp", "--pred", pred, "--gt", gt)

    def test_flic(self, capsys, tmp_path):
        truth = people(1016, 10)
        gt = write_mat(tmp_path / "gt.mat", joints=truth.transpose(2, 1, 0))
        columns = [6, 7, 8, 2, 3, 4, 9, 5, 0]
        found = truth[:, columns].transpose(1, 2, 0)
        pred = write_mat(tmp_path / "pred.mat", prediction_all=found)
        code, numbers, _ = scored(capsys, "flic", "--pred", pred, "--gt", gt)
        assert code == 0
        assert numbers["pck"] == {"0.05": 100, "0.1": 100, "0.2": 100}
        assert set(numbers["joints"]) == {"elbow", "wrist"}

    def test_mpii(self, capsys, tmp_path):
        truth = mpii_truth()
        gt = write_mat(tmp_path / "gt.mat", **truth)
        preds = truth["pos_gt_src"].transpose(2, 0, 1)
        pred = write_mat(tmp_path / "pred.mat", preds=preds)
        code, numbers, _ = scored(capsys, "mpii", "--pred", pred, "--gt", gt)
        assert code == 0
        assert [numbers[k] for k in ("pckh", "pckh_weighted", "pckh@0.1")] == [100, 100, 100]
        zero = write_mat(tmp_path / "zero.mat", preds=preds - 1)
        _, moved, _ = scored(capsys, "mpii", "--pred", zero, "--gt", gt, "--zero-based")
        assert moved == numbers
        assert "weighted by how often" in said(capsys, "mpii", "--pred", pred, "--gt", gt)

    def test_swapped_files(self, capsys, tmp_path):
        gt = write_mat(tmp_path / "gt.mat", joints=stored_lsp(lsp_truth()))
        pred = write_mat(tmp_path / "p.mat", prediction_all=np.zeros((14, 2, 1000)))
        code, _, (line,) = scored(capsys, "lsp", "--pred", gt, "--gt", pred)
        assert code == 2
        assert "give it as --pred" in line


def test_an_unknown_metric_names_the_known_ones(capsys):
    assert main(["score", "bleu"]) == 2
    assert "cifar10" in capsys.readouterr().err
