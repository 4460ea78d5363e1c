"""People that a small net learns in seconds: dark pictures with a coloured dot at each joint.

No test module; its folder is on the path.
"""

import numpy as np

from replab.datasets.pose_set import PoseSet
from replab.keypoints.skeletons import COCO, Skeleton

WIDTH, HEIGHT = 120, 100


class Dots:
    """Dark pictures with a bright dot at each joint, its colour telling which joint it is."""

    def __init__(self, joints, names):
        self.joints, self.names = joints, names

    def __len__(self):
        return len(self.joints)

    def read(self, index):
        picture = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
        for number, (x, y) in enumerate(self.joints[index].round().astype(int)):
            picture[y - 1 : y + 2, x - 1 : x + 2] = (15 * number, 255 - 15 * number, 200)
        return picture


def people(count: int, skeleton: Skeleton = COCO, *, seed: int = 5, truth: bool = False):
    """One person a picture; with `truth`, also COCO's ground truth of them."""
    generator = np.random.default_rng(seed)
    joints = generator.uniform((30, 20), (90, 80), (count, len(skeleton), 2)).round()
    visible = np.where(generator.random((count, len(skeleton))) < 0.9, 2, 0).astype(np.uint8)
    visible[:, 0] = 2
    boxes = np.tile((20.0, 10.0, 80.0, 80.0), (count, 1))
    ids = np.arange(count) + 100
    return PoseSet(
        name=f"dots-{skeleton.name}",
        fingerprint="0" * 16,
        skeleton=skeleton,
        images=Dots(joints, skeleton.joints),
        image_ids=ids,
        image_sizes=np.tile((WIDTH, HEIGHT), (count, 1)),
        image_of=np.arange(count),
        person_ids=ids,
        boxes=boxes,
        box_scores=np.ones(count),
        joints=joints,
        visible=visible,
        areas=np.full(count, 3000.0),
        truth=_truth(ids, joints, visible, boxes, skeleton) if truth else None,
    )


def _truth(ids, joints, visible, boxes, skeleton):
    return {
        "images": [{"id": int(i), "width": WIDTH, "height": HEIGHT} for i in ids],
        "annotations": [
            {
                "id": int(i),
                "image_id": int(i),
                "category_id": 1,
                "iscrowd": 0,
                "area": 3000.0,
                "bbox": box.tolist(),
                "num_keypoints": int((v > 0).sum()),
                "keypoints": np.column_stack((xy * (v > 0)[:, None], v)).ravel().tolist(),
            }
            for i, xy, v, box in zip(ids, joints, visible, boxes, strict=True)
        ],
        "categories": [{"id": 1, "name": "person", "keypoints": list(skeleton.joints)}],
    }
