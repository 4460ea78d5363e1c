"""The benchmark's two ways give the same numbers; no speed is asserted."""

from contextlib import ExitStack

import numpy as np
import pytest

from replab.bench import coco, usual_pose
from replab.metrics.coco import METRICS


def test_both_ways_give_the_same_numbers(tmp_path):
    poses = coco.made_poses(60, 120, 900)
    ours, peer = coco.steps(poses, tmp_path)
    assert peer() == {}  # nothing to compare with yet
    found = ours()
    assert tuple(found) == METRICS
    assert peer() == pytest.approx(found, abs=1e-12)
    assert 0.2 < found["AP"] < 1


def test_the_peer_notices_other_numbers(tmp_path, monkeypatch):
    ours, peer = coco.steps(coco.made_poses(60, 120, 900), tmp_path)
    ours()
    plain = usual_pose.suppressed
    monkeypatch.setattr(usual_pose, "suppressed", lambda *given: plain(*given)[:1])
    with pytest.raises(RuntimeError, match="ours gives"):
        peer()


def test_the_benchmark_is_of_val2017_s_size(monkeypatch):
    (benchmark,) = coco.benchmarks()
    assert (benchmark.items, benchmark.rounds) == (104_125, 1)
    poses = coco.made_poses()
    assert poses.keypoints.shape == (104_125, 17, 3)
    assert len(poses.truth["images"]) == 5000
    assert len(poses.truth["annotations"]) == 11_000
    annotated = sum(a["num_keypoints"] > 0 for a in poses.truth["annotations"])
    assert 6000 < annotated < 6700
    assert (np.diff(poses.images) >= 0).all()
    monkeypatch.setattr(coco, "made_poses", lambda: coco.Poses(*vars(poses).values()))
    with ExitStack() as stack:
        assert len(benchmark.prepare(stack)) == 2
