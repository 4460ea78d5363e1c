"""The usual top-down path, person by person and joint by joint: what ours is compared with.

Written from the description of the published evaluation (Sun et al. 2019, §4.1) and the order of
work of leoxiaobin/deep-high-resolution-net.pytorch@6f69e46 and of microsoft/
human-pose-estimation.pytorch@49f3f44: a picture is decoded for each person, batches pass the
network twice in fp32, heatmaps travel between libraries, joints are decoded one by one. It shares
no code with `replab.keypoints` and `replab.topdown`; the tests use it as their reference.
"""

import contextlib
import io
import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

MEAN = np.array([0.485, 0.456, 0.406], dtype=np.float32)
STD = np.array([0.229, 0.224, 0.225], dtype=np.float32)
LEFT_RIGHT = [(joint, joint + 1) for joint in range(1, 17, 2)]
ARMS, LEGS = [0.79, 0.79, 0.72, 0.72, 0.62, 0.62], [1.07, 1.07, 0.87, 0.87, 0.89, 0.89]
SIGMAS = np.array([0.26, 0.25, 0.25, 0.35, 0.35, *ARMS, *LEGS]) / 10


def annotated_people(truth: Mapping[str, Any], folder: Path) -> list[dict[str, Any]]:
    """A record (picture, box, score) for each annotated person, its box clipped as released."""
    sizes = {image["id"]: (image["width"], image["height"]) for image in truth["images"]}
    names = {image["id"]: image["file_name"] for image in truth["images"]}
    people = []
    for image in truth["images"]:
        width, height = sizes[image["id"]]
        for note in truth["annotations"]:
            if note["image_id"] != image["id"] or note.get("iscrowd") or note["area"] <= 0:
                continue
            if max(note["keypoints"]) == 0:
                continue
            x, y, w, h = note["bbox"]
            left, top = max(0, x), max(0, y)
            right = min(width - 1, left + max(0, w - 1))
            bottom = min(height - 1, top + max(0, h - 1))
            if right < left or bottom < top:
                continue
            box = [left, top, right - left, bottom - top]
            picture = folder / names[image["id"]]
            people.append({"image": image["id"], "path": picture, "box": box, "score": 1.0})
    return people


def detected_people(
    boxes: Sequence[Mapping[str, Any]], truth: Mapping[str, Any], folder: Path
) -> list[dict[str, Any]]:
    """A record for each detected box of a person."""
    names = {image["id"]: image["file_name"] for image in truth["images"]}
    return [
        {
            "image": found["image_id"],
            "path": folder / names[found["image_id"]],
            "box": found["bbox"],
            "score": found["score"],
        }
        for found in boxes
        if found["category_id"] == 1
    ]


def centre_and_scale(box: Sequence[float], aspect: float) -> tuple[np.ndarray, np.ndarray]:
    """Centre in px and width and height in units of 200 px of the crop around a box."""
    x, y, w, h = box
    centre = np.array([x + w * 0.5, y + h * 0.5], dtype=np.float32)
    if w > aspect * h:
        h = w / aspect
    elif w < aspect * h:
        w = h * aspect
    scale = np.array([w / 200, h / 200], dtype=np.float32)
    return centre, scale * np.float32(1.25) if centre[0] != -1 else scale


def affine(
    centre: np.ndarray, scale: np.ndarray, size: tuple[int, int], *, inverse: bool = False
) -> np.ndarray:
    """OpenCV's matrix of three pairs of points: the centre, one above it, one to the side."""
    import cv2

    half = float(np.float32(scale[0] * np.float32(200))) * 0.5
    source, target = np.zeros((3, 2), np.float32), np.zeros((3, 2), np.float32)
    source[0], source[1] = centre, centre + np.array([0, -half], np.float32)
    target[0], target[1] = (size[0] / 2, size[1] / 2), (size[0] / 2, size[1] / 2 - size[0] / 2)
    for points in (source, target):
        edge = points[0] - points[1]
        points[2] = points[1] + np.array([-edge[1], edge[0]], np.float32)
    pair = (target, source) if inverse else (source, target)
    return cv2.getAffineTransform(*pair)


def prepared(person: Mapping[str, Any], size: tuple[int, int], colour: str) -> torch.Tensor:
    """The network's input for one person, 3×H×W float32; the picture is decoded anew."""
    import cv2

    flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    picture: Any = cv2.imread(str(person["path"]), flags)
    if colour == "RGB":
        picture = cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)
    centre, scale = centre_and_scale(person["box"], size[0] / size[1])
    crop = cv2.warpAffine(picture, affine(centre, scale, size), size, flags=cv2.INTER_LINEAR)
    values = (np.asarray(crop, dtype=np.float32) / 255 - MEAN) / STD
    return torch.from_numpy(np.ascontiguousarray(values.transpose(2, 0, 1)))


def both_ways(net: Callable[[torch.Tensor], torch.Tensor], images: torch.Tensor) -> np.ndarray:
    """Heatmaps of a batch and of its mirror image, shifted by a pixel, averaged in NumPy."""
    straight = net(images).numpy()
    mirrored = net(torch.from_numpy(images.numpy()[:, :, :, ::-1].copy())).numpy()
    back = mirrored[:, :, :, ::-1].copy()
    for one, other in LEFT_RIGHT:
        back[:, [one, other]] = back[:, [other, one]]
    back[:, :, :, 1:] = back.copy()[:, :, :, :-1]
    return (straight + back) * 0.5


def joints_of(
    heatmaps: np.ndarray, centres: Sequence[np.ndarray], scales: Sequence[np.ndarray]
) -> np.ndarray:
    """Joints N×K×3 (x, y in px of the picture, score), one map at a time."""
    count, joints, height, width = heatmaps.shape
    found = np.zeros((count, joints, 3), np.float32)
    for person in range(count):
        back = affine(centres[person], scales[person], (width, height), inverse=True)
        for joint in range(joints):
            plane = heatmaps[person, joint]
            index = int(np.argmax(plane))
            x, y = float(index % width), float(index // width)
            peak = plane.flat[index]
            if peak <= 0:
                x = y = 0.0
            px, py = math.floor(x + 0.5), math.floor(y + 0.5)
            if 1 < px < width - 1 and 1 < py < height - 1:
                x += 0.25 * float(np.sign(plane[py, px + 1] - plane[py, px - 1]))
                y += 0.25 * float(np.sign(plane[py + 1, px] - plane[py - 1, px]))
            place = back @ np.array([np.float32(x), np.float32(y), 1.0])
            found[person, joint] = (*place, peak)
    return found


@torch.no_grad()
def estimate(
    net: Callable[[torch.Tensor], torch.Tensor],
    people: Sequence[Mapping[str, Any]],
    size: tuple[int, int],
    *,
    batch: int = 8,
    colour: str = "RGB",
) -> np.ndarray:
    """Joints N×17×3 of people (x, y in px of the picture, score)."""
    aspect = size[0] / size[1]
    results = []
    for begin in range(0, len(people), batch):
        part = people[begin : begin + batch]
        images = torch.stack([prepared(person, size, colour) for person in part])
        centres, scales = zip(
            *(centre_and_scale(person["box"], aspect) for person in part), strict=True
        )
        results.append(joints_of(both_ways(net, images), centres, scales))
    return np.concatenate(results)


def results(people: Sequence[Mapping[str, Any]], joints: np.ndarray, aspect: float) -> list[Any]:
    """Entries of COCO's result file for people whose joints (N×17×3) were estimated."""
    scales = np.array([centre_and_scale(person["box"], aspect)[1] for person in people])
    images, scores = ([person[key] for person in people] for key in ("image", "score"))
    return entries(images, joints, scales, scores)


def entries(
    images: Sequence[int], joints: np.ndarray, scales: np.ndarray, box_scores: Iterable[float]
) -> list[Any]:
    """Entries of COCO's result file: poses scored anew, those found twice in a picture dropped.

    At its best honest form: no array is copied that need not be.

    Args:
        images: N ids.
        joints: N×17×3, x, y in px and score.
        scales: N×2, of the crops, in units of 200 px.
        box_scores: N.
    """
    areas = np.prod(scales * scales.dtype.type(200), axis=1)
    by_image: dict[int, list[dict[str, Any]]] = {}
    for image, pose, area, score in zip(images, joints, areas, box_scores, strict=True):
        person = {"pose": pose, "area": area, "score": score}
        by_image.setdefault(image, []).append(person)
    found = []
    for image, people in by_image.items():
        for person in people:
            passed = [score for score in person["pose"][:, 2] if score > 0.2]
            person["score"] = (sum(passed) / len(passed) if passed else 0) * person["score"]
        for place in suppressed(people):
            person = people[place]
            found.append(
                {
                    "image_id": image,
                    "category_id": 1,
                    "keypoints": person["pose"].astype(np.float64).ravel().tolist(),
                    "score": float(person["score"]),
                }
            )
    return found


def suppressed(people: Sequence[Mapping[str, Any]]) -> list[int]:
    """Who stays in one picture: a loop over people, and one over those left."""
    spread = (2 * SIGMAS) ** 2
    spots = np.array([person["pose"][:, :2] for person in people])
    areas = np.array([person["area"] for person in people])
    order = np.array([person["score"] for person in people]).argsort(kind="stable")[::-1]
    kept = []
    while order.size:
        best, order = order[0], order[1:]
        kept.append(int(best))
        alike = np.zeros(len(order))
        for i, other in enumerate(order):
            away = spots[other] - spots[best]
            wide = (areas[best] + areas[other]) / 2 + np.spacing(1)
            alike[i] = np.exp(-((away**2).sum(axis=1) / spread / wide / 2)).mean()
        order = order[alike <= 0.9]
    return kept


def annotations(truth: Mapping[str, Any]) -> Any:
    """Ground truth as pycocotools has it."""
    from pycocotools.coco import COCO

    with contextlib.redirect_stdout(io.StringIO()):
        loaded = COCO()
        loaded.dataset = json.loads(json.dumps(truth))
        loaded.createIndex()
    return loaded


def average_precision(truth: Any, found: Sequence[Any], path: Path) -> list[float]:
    """COCO's ten statistics by pycocotools, through a result file that is written and read.

    Args:
        truth: of `annotations`.
        found: of `entries`.
        path: of the result file.
    """
    from pycocotools.cocoeval import COCOeval

    with path.open("w") as stream:
        json.dump(found, stream)
    with contextlib.redirect_stdout(io.StringIO()):
        evaluator = COCOeval(truth, truth.loadRes(str(path)), "keypoints")
        evaluator.evaluate()
        evaluator.accumulate()
        evaluator.summarize()
    return [float(number) for number in evaluator.stats]
