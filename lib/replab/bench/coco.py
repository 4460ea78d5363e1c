"""From poses in detected boxes to AP, beside the way of the authors' code."""

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from replab.bench import usual_pose
from replab.bench.comparing import Benchmark, Step

# The detections file that the papers' tables rest on holds so many boxes of val2017.
IMAGES, PEOPLE, BOXES = 5000, 11_000, 104_125
# One call of the peer takes tens of seconds.
ROUNDS = 1
SCALE_UNIT = 200.0


def benchmarks() -> list[Benchmark]:
    """Rescoring, suppression and AP at the size of COCO val2017 with a detector's boxes."""
    return [
        Benchmark(
            "evaluate-coco-poses",
            "poses",
            "the authors' loops per picture, a JSON file written and read, pycocotools",
            BOXES,
            _prepare,
            rounds=ROUNDS,
        )
    ]


@dataclass(frozen=True)
class Poses:
    """What a top-down network leaves for N boxes, and the ground truth of their pictures.

    Attributes:
        truth: as `json.load` gives it.
        images: N, ids.
        keypoints: N×17×3, float32, x, y in px and score.
        scale: N×2, float32, of the crops, in units of 200 px.
        box_scores: N, float64.
    """

    truth: dict[str, Any]
    images: NDArray[np.int64]
    keypoints: NDArray[np.float32]
    scale: NDArray[np.float32]
    box_scores: NDArray[np.float64]


def made_poses(
    images: int = IMAGES, people: int = PEOPLE, boxes: int = BOXES, *, seed: int = 0
) -> Poses:
    """Poses and people without meaning, spread as in val2017 with a detector's boxes.

    Half the pictures hold people, few of them many; four of ten people have no keypoints. Of three
    boxes one is of a person, the first of each scored high and most further ones low; the others
    score low and hold no one.
    """
    rng = np.random.default_rng(seed)
    ids = np.sort(rng.choice(600_000, images, replace=False)).astype(np.int64)
    crowded = rng.pareto(1.2, images) * (rng.random(images) < 0.54)
    shares = crowded.clip(max=8)
    home = np.sort(rng.choice(images, people, p=shares / shares.sum()))
    body = np.array([(0, -9), *_pairs((1, -10), (2, -9), (4, -6), (6, -2), (6, 2))])
    body = np.concatenate((body, np.array(_pairs((2, 2), (3, 6), (3, 10))))) / 20
    height = np.exp(rng.normal(4.6, 0.8, people)).clip(12, 480)
    centre = np.stack((rng.uniform(0, 640, people), rng.uniform(0, 480, people)), axis=1)
    stance = body + rng.normal(0, 0.04, (people, 17, 2))
    joints = np.round(centre[:, None] + height[:, None, None] * stance)
    visible = np.where(rng.random((people, 17)) < 0.65, 2, 0)
    visible[rng.random(people) < 0.42] = 0
    truth = _truth(ids, home, joints, visible, height, centre)

    owner = rng.integers(0, people, boxes)
    owner[:people] = np.arange(people)
    repeated = np.arange(boxes) >= people
    stray = repeated & (rng.random(boxes) < 0.72)
    size = np.where(stray, np.exp(rng.normal(4.4, 0.9, boxes)).clip(12, 480), height[owner])
    places = np.stack((rng.uniform(0, 640, boxes), rng.uniform(0, 480, boxes)), axis=1)
    pose = np.where(
        stray[:, None, None],
        places[:, None] + size[:, None, None] * (body + rng.normal(0, 0.15, (boxes, 17, 2))),
        joints[owner] + size[:, None, None] * rng.normal(0, 0.012, (boxes, 17, 2)),
    )
    heights = np.where(stray[:, None], 0.25, 0.75) + rng.normal(0, 0.18, (boxes, 17))
    scores = np.where(repeated, rng.beta(0.4, 6, boxes), rng.beta(6, 1.5, boxes))
    picture = np.where(stray, rng.integers(0, images, boxes), home[owner])
    # A detector writes its boxes picture by picture, the best first.
    order = np.lexsort((-scores, picture))
    enlarged = 1.25 * size[:, None] * rng.uniform(0.9, 1.2, (boxes, 1)) * (0.75, 1) / SCALE_UNIT
    return Poses(
        truth,
        ids[picture[order]],
        np.concatenate((pose, heights[..., None]), axis=2)[order].astype(np.float32),
        enlarged[order].astype(np.float32),
        scores[order],
    )


def _pairs(*spots: tuple[int, int]) -> list[tuple[int, int]]:
    return [(side * x, y) for x, y in spots for side in (1, -1)]


def _truth(
    ids: NDArray[np.int64],
    home: NDArray[np.int64],
    joints: NDArray[np.float64],
    visible: NDArray[np.int64],
    height: NDArray[np.float64],
    centre: NDArray[np.float64],
) -> dict[str, Any]:
    from replab.keypoints.skeletons import COCO

    keypoints = np.concatenate((joints * (visible > 0)[..., None], visible[..., None]), axis=2)
    wide = np.stack((0.5 * height, height), axis=1)
    boxes = np.concatenate((centre - wide / 2, wide), axis=1)
    columns = zip(
        ids[home].tolist(),
        keypoints.reshape(len(home), -1).tolist(),
        (visible > 0).sum(axis=1).tolist(),
        boxes.tolist(),
        (0.27 * height**2).tolist(),
        strict=True,
    )
    return {
        "images": [{"id": i, "width": 640, "height": 480} for i in ids.tolist()],
        "categories": [{"id": 1, "name": "person", "keypoints": list(COCO.joints)}],
        "annotations": [
            {
                "id": number,
                "image_id": image,
                "category_id": 1,
                "iscrowd": 0,
                "keypoints": spots,
                "num_keypoints": count,
                "bbox": box,
                "area": area,
            }
            for number, (image, spots, count, box, area) in enumerate(columns, 1)
        ],
    }


def _prepare(stack: ExitStack) -> tuple[Step, Step]:
    import tempfile

    folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
    return steps(made_poses(), folder)


def steps(poses: Poses, folder: Path) -> tuple[Step, Step]:
    """Ours and the authors' way from poses to COCO's ten numbers, which must be the same.

    Both begin with the network's arrays and a ground truth that is loaded. The peer raises if its
    numbers are others than ours.

    Args:
        folder: where the peer writes its results.
    """
    from replab.keypoints.oks import crop_areas
    from replab.keypoints.skeletons import COCO
    from replab.keypoints.suppression import oks_nms, rescore
    from replab.metrics.coco import evaluate
    from replab.metrics.coco_files import from_arrays, read_truth

    truth, loaded = read_truth(poses.truth), usual_pose.annotations(poses.truth)
    found: dict[str, float] = {}

    def ours() -> dict[str, float]:
        joints, heights = poses.keypoints[..., :2], poses.keypoints[..., 2]
        scores = rescore(poses.box_scores, heights)
        areas = crop_areas(poses.scale)
        kept = oks_nms(poses.images, joints, areas, scores, COCO.sigmas)
        detections = from_arrays(poses.images[kept], joints[kept], heights[kept], scores[kept])
        found.update(evaluate(truth, detections).as_dict())
        return dict(found)

    def peer() -> dict[str, float]:
        columns = (poses.images.tolist(), poses.keypoints, poses.scale, poses.box_scores)
        entries = usual_pose.entries(*columns)
        numbers = usual_pose.average_precision(loaded, entries, folder / "results.json")
        if found and not np.allclose(list(found.values()), numbers, rtol=0, atol=1e-9):
            raise RuntimeError(f"ours gives {list(found.values())}, the peer {numbers}")
        return dict(zip(found, numbers, strict=True)) if found else {}

    return ours, peer
