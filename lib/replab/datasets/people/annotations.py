"""What a drawn picture shows, as COCO's annotations: keypoints, flags, boxes and areas."""

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from replab.datasets.people.body import JOINTS
from replab.datasets.people.outlines import FINE, PART, SEEN_FROM
from replab.datasets.people.scenes import BYSTANDERS, CROWD, STEP, Scene
from replab.keypoints.skeletons import COCO

PERSON = 1
# Of whom fewer joints are seen nobody would annotate keypoints.
LEAST_SEEN = 3
# More flesh of the own trunk in front of a joint than this share of half the shoulders' distance
# hides it: the far shoulder from the side, not the shoulders seen from behind.
_HIDDEN_BY = 0.75
# People of whom less is left are not annotated at all, px².
_LEAST_AREA = 12


def _own_parts() -> NDArray[np.bool_]:
    """Whether a joint is seen where a part is on top: 17×16."""
    own = np.zeros((JOINTS, STEP), bool)
    own[:5, PART["head"]] = True
    around = {
        "shoulder": ("upper_arm", "trunk"),
        "elbow": ("upper_arm", "forearm"),
        "wrist": ("forearm", "hand"),
        "hip": ("thigh", "seat", "trunk"),
        "knee": ("thigh", "shin"),
        "ankle": ("shin", "foot"),
    }
    for joint, name in enumerate(COCO.joints[5:], start=5):
        side, _, kind = name.partition("_")
        for part in around[kind]:
            own[joint, PART[part] if part in PART else PART[f"{side}_{part}"]] = True
    return own


OWN_PARTS = _own_parts()


def visibility(scene: Scene) -> NDArray[np.uint8]:
    """COCO's flag of every joint of the people with keypoints: N×17.

    0: outside the picture, or a point of the face that is turned away. 1: hidden by another part,
    person or thing, or by the own trunk. 2: seen, that is: a part that ends or begins at the joint
    is on top there.
    """
    height, width = scene.picture.shape[:2]
    nearest = np.rint(scene.joints)
    inside = ((nearest >= 0) & (nearest < (width, height))).all(-1)
    canvas = np.rint(scene.joints * FINE + (FINE - 1) / 2).astype(np.int64)
    canvas = np.clip(canvas, 0, (width * FINE - 1, height * FINE - 1))
    people = np.arange(len(scene.joints))[:, None]
    top = scene.marks[canvas[..., 1], canvas[..., 0]].astype(np.int64) - STEP * people
    mine = (top >= 0) & (top < STEP)
    seen = mine & OWN_PARTS[np.arange(JOINTS), np.where(mine, top, 0)]
    seen &= scene.flesh <= _HIDDEN_BY * scene.reach[:, None]
    flags = np.where(seen, 2, 1).astype(np.uint8)
    turned = np.zeros_like(inside)
    turned[:, :5] = scene.features_shown[:, :5] <= SEEN_FROM[:5]
    flags[~inside | turned] = 0
    return flags


def silhouette(marks: NDArray[np.uint8], first: int, last: int) -> NDArray[np.bool_]:
    """Pixels of the picture (H×W) of which at least half carries marks from first to last.

    Args:
        marks: 2H×2W, as in `Scene`.
        first: the least mark.
        last: the greatest.
    """
    import cv2

    inside = cv2.inRange(marks, first, last)
    height, width = marks.shape
    size = width // FINE, height // FINE
    covered: NDArray[np.bool_] = cv2.resize(inside, size, interpolation=cv2.INTER_AREA) >= 127
    return covered


def describe(scene: Scene, image_id: int) -> list[dict[str, Any]]:
    """COCO's annotations of one picture, the farthest person first, a crowd last.

    Ids are a hundred times the picture's and up.
    """
    flags = visibility(scene)
    flags[(flags == 2).sum(1) < LEAST_SEEN] = 0
    places = np.where(flags[..., None] > 0, np.round(scene.joints, 2), 0.0)
    numbers = np.concatenate((places, flags[..., None]), -1).reshape(len(flags), -1).tolist()
    people = len(flags)
    parts = [(STEP * n, STEP * n + STEP - 1, numbers[n], 0) for n in range(people)]
    nothing = [0.0] * (3 * JOINTS)
    parts += [(BYSTANDERS + n,) * 2 + (nothing, 0) for n in range(scene.bystanders)]
    if (scene.marks == CROWD).any():
        parts.append((CROWD, CROWD, nothing, 1))
    found: list[dict[str, Any]] = []
    for first, last, keypoints, crowd in parts:
        shape = _extent(silhouette(scene.marks, first, last))
        if shape is None:
            continue
        area, box = shape
        flat = [round(v) if i % 3 == 2 else v for i, v in enumerate(keypoints)]
        found.append(
            {
                "id": image_id * 100 + len(found),
                "image_id": image_id,
                "category_id": PERSON,
                "iscrowd": crowd,
                "area": area,
                "bbox": box,
                "num_keypoints": sum(flag > 0 for flag in flat[2::3]),
                "keypoints": flat,
            }
        )
    return found


def _extent(covered: NDArray[np.bool_]) -> tuple[float, list[float]] | None:
    """Area in px² and box (x, y, width, height) of a silhouette; None where too little is left."""
    import cv2

    plane = covered.view(np.uint8)
    area = cv2.countNonZero(plane)
    if area < _LEAST_AREA:
        return None
    return float(area), [float(value) for value in cv2.boundingRect(plane)]


def dictionary(
    image_ids: Iterable[int],
    names: Iterable[str],
    size: tuple[int, int],
    annotations: list[dict[str, Any]],
) -> dict[str, Any]:
    """COCO's ground truth: images, the category of people, annotations; no segments.

    Args:
        image_ids: of all pictures.
        names: what their files would be called.
        size: width and height of every picture, px.
        annotations: of all pictures, as `describe` gives them.
    """
    width, height = size
    images = [
        {"id": number, "file_name": name, "width": width, "height": height}
        for number, name in zip(image_ids, names, strict=True)
    ]
    person = {
        "id": PERSON,
        "name": "person",
        "supercategory": "person",
        "keypoints": list(COCO.joints),
        "skeleton": [[first + 1, second + 1] for first, second in COCO.limbs],
    }
    return {"images": images, "categories": [person], "annotations": annotations}
