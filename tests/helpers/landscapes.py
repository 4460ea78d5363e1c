"""Smooth pictures with several people in some of them, for tests of batches."""

import threading
import time
import weakref

import numpy as np

import tiny_pose_sets as tiny
from replab.datasets.pose_set import PoseSet
from replab.keypoints.skeletons import COCO


class Landscapes:
    """Smooth pictures, drawn when asked for; counts those that somebody still holds."""

    def __init__(self, sizes, pause=0.0):
        self.sizes, self.pause = sizes, pause
        self.reads, self.alive, self.most = [], 0, 0
        self._lock = threading.Lock()

    def __len__(self):
        return len(self.sizes)

    def read(self, index):
        width, height = (int(side) for side in self.sizes[index])
        picture = tiny.picture(width, height, seed=index)
        with self._lock:
            self.alive += 1
            self.most = max(self.most, self.alive)
            self.reads.append(index)
        weakref.finalize(picture, self._gone)
        time.sleep(self.pause)
        return picture

    def _gone(self):
        with self._lock:
            self.alive -= 1


def people():
    """Ten people in six pictures, up to three in one."""
    generator = np.random.default_rng(5)
    count = 10
    image_of = np.array([0, 0, 1, 2, 2, 2, 3, 4, 4, 5])
    sizes = generator.integers(90, 160, (6, 2))
    corner = generator.uniform(2, 20, (count, 2))
    extent = generator.uniform(40, 65, (count, 2))
    joints = corner[:, None] + generator.uniform(0, 1, (count, 17, 2)) * extent[:, None]
    return PoseSet(
        name="landscapes",
        fingerprint="0" * 16,
        skeleton=COCO,
        images=Landscapes(sizes),
        image_ids=np.arange(6) + 100,
        image_sizes=sizes,
        image_of=image_of,
        person_ids=np.arange(count),
        boxes=np.concatenate((corner, extent), axis=1),
        box_scores=np.ones(count),
        joints=joints,
        visible=np.where(generator.random((count, 17)) < 0.8, 2, 0).astype(np.uint8),
        areas=extent.prod(axis=1),
    )
