"""Batches of people straight from their pictures, for sets too large to lie on the device.

Each person's picture is decoded when the person is due, and the augmented crop is sampled from it
once, by OpenCV, as in leoxiaobin/deep-high-resolution-net.pytorch@6f69e46
(lib/dataset/JointsDataset.py). Threads read ahead of the training: decoding and warping let go of
Python's lock. Order and draws are those of `pose_batches.PoseBatches`, so that the two sources
differ by the second sampling of the latter alone.
"""

from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import torch
from torch import Tensor

from replab.datasets.pose_set import PoseSet
from replab.errors import UserError
from replab.keypoints import augmentation
from replab.keypoints.affine import warp_opencv
from replab.keypoints.augmentation import Augmentation, Augmented
from replab.keypoints.codecs import Codec, Size
from replab.models.preprocessing import IMAGENET_MEAN, IMAGENET_STD
from replab.topdown.crops import crop_places
from replab.training.pose_batches import (
    Channels,
    PoseBatches,
    Surroundings,
    annotated,
    others_of,
)

# Batches that are made ahead of the one that is due: as many crops, never as many pictures.
AHEAD = 2


@dataclass(frozen=True)
class _Work:
    """A batch under way: where its people's crops come to lie, and who makes them."""

    found: Augmented
    others: tuple[Tensor, Tensor] | None
    crops: Tensor
    done: Sequence[Future[None]]


class PictureBatches(PoseBatches):
    """Batches of augmented people, a function of seed and iteration; see `loop.Batches`.

    Never more pictures are in memory than there are threads. Asking for another batch than the
    next one begins to read anew from there; the number of threads changes no bit.

    Args:
        poses: whom to draw.
        size: width and height of the crops in px.
        codec: how crops are cut and joints drawn.
        recipe: how people are augmented.
        heatmaps: width and height of each head's heatmaps.
        batch_size: people in a batch.
        seed: of order and augmentation.
        colour: order of the channels, `RGB` or `BGR`.
        mean: of each channel of 0–1 values.
        std: of each channel of 0–1 values.
        centre_map: whether images have a fourth channel that marks the person in the middle.
        everyone: whether the first head's targets show everybody in the crop.
        device: where batches go, and where targets are drawn.
        threads: that decode and warp; None for as many as torch computes with.

    Raises:
        UserError: there is nobody to train on, or a box has no area.
        ValueError: there is no thread.
    """

    def __init__(
        self,
        poses: PoseSet,
        size: Size,
        codec: Codec,
        recipe: Augmentation,
        heatmaps: Sequence[Size],
        *,
        batch_size: int,
        seed: int,
        colour: str = "RGB",
        mean: Channels = IMAGENET_MEAN,
        std: Channels = IMAGENET_STD,
        centre_map: bool = False,
        everyone: bool = False,
        device: str = "cpu",
        threads: int | None = None,
    ) -> None:
        self._threads = torch.get_num_threads() if threads is None else threads
        if self._threads < 1:
            raise ValueError(f"{self._threads} threads read no picture; give 1 or more")
        super().__init__(
            _places(poses, size, device, everyone),
            codec,
            recipe,
            heatmaps,
            batch_size=batch_size,
            seed=seed,
            colour=colour,
            mean=mean,
            std=std,
            centre_map=centre_map,
        )
        self._poses = poses
        self._widths = torch.from_numpy(poses.image_sizes[poses.image_of, 0])
        self._mirror = self._mirror.cpu()
        self._next = 0
        self._under_way: deque[_Work] = deque()
        self._pool: ThreadPoolExecutor | None = None

    def batch(self, iteration: int) -> tuple[Tensor, ...]:
        """As of `PoseBatches`, on the device.

        Raises:
            UserError: a picture is missing or damaged.
        """
        if iteration != self._next:
            self.close()
            self._next = iteration
        try:
            while len(self._under_way) <= AHEAD:
                self._under_way.append(self._begin(self._next + len(self._under_way)))
            work = self._under_way.popleft()
            for done in work.done:
                done.result()
        except BaseException:
            self.close()
            raise
        self._next += 1
        crops = work.crops.to(self._device, non_blocking=True).permute(0, 3, 1, 2)
        crops = crops.flip(1) if self.colour == "BGR" else crops
        return self._finished(crops, work.found, work.others)

    def close(self) -> None:
        """Stop reading ahead and let the threads go; `batch` starts others."""
        self._under_way.clear()
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)
            self._pool = None

    def _begin(self, iteration: int) -> _Work:
        """Draw a batch's people and set the threads to their crops."""
        people, size = self.people, self.people.size
        index = self._order.batch(iteration)[0]
        found = augmentation.augment(
            self.recipe,
            self._drawn(iteration, index),
            people.centre[index],
            people.scale[index],
            people.joints[index],
            people.visible[index],
            self._widths[index],
            size,
            mirror=self._mirror,
            upper=people.skeleton.upper,
            rule=self.codec.rule,
        )
        pinned = self._device.type == "cuda"
        crops = torch.empty(len(index), size[1], size[0], 3, dtype=torch.uint8, pin_memory=pinned)
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self._threads, thread_name_prefix="pictures")
        done = [
            self._pool.submit(_cut, self._poses, person, found.matrix[row : row + 1], crops[row])
            for row, person in enumerate(index.tolist())
        ]
        return _Work(found, self._others(found, index), crops, done)


def _places(poses: PoseSet, size: Size, device: str, everyone: bool) -> Surroundings:
    """Where people and joints are in their own pictures: surroundings without any pixel.

    Raises:
        UserError: there is nobody, or a box has no area.
    """
    if not len(poses):
        raise UserError(f"{poses.name} holds nobody to train on; give a set with people in it")
    centre, scale = crop_places(poses, size)
    others, others_visible = others_of(poses) if everyone else (None, None)
    return Surroundings(
        skeleton=poses.skeleton,
        pictures=torch.empty(len(poses), 0, 0, 3, dtype=torch.uint8, device=device),
        joints=torch.from_numpy(poses.joints),
        visible=annotated(poses),
        centre=centre,
        scale=scale,
        size=size,
        others=others,
        others_visible=others_visible,
    )


def _cut(poses: PoseSet, person: int, matrix: Tensor, crop: Tensor) -> None:
    """Put a person's crop, H×W×3, into its place; the work of a thread.

    Raises:
        UserError: the picture is missing or damaged.
    """
    picture = poses.images.read(int(poses.image_of[person]))
    cut = warp_opencv(picture, matrix, (crop.shape[1], crop.shape[0]))
    crop.copy_(torch.from_numpy(cut[0]))
