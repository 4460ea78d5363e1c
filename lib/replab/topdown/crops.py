"""Crops of people, in batches: each picture is decoded once, however many people stand in it."""

import itertools
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from replab.datasets.pose_set import PoseSet
from replab.errors import UserError
from replab.keypoints.affine import warp, warp_opencv
from replab.keypoints.boxes import centre_scale

Warp = Literal["opencv", "exact"]
# Pictures that are decoded ahead of the network. Decoding lets go of Python's lock, so threads do.
AHEAD = 16
THREADS = 2


@dataclass(frozen=True)
class CropBatch:
    """Crops of people who follow each other.

    Attributes:
        first: index of the first of them in the set.
        crops: n×H×W×3, uint8, RGB.
    """

    first: int
    crops: Tensor


def crop_places(poses: PoseSet, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Centres N×2 (px) and scales N×2 (units of 200 px) of all people's crops.

    Args:
        size: width and height of the crops in px.

    Raises:
        UserError: a box has no area or holds no numbers.
    """
    centre, scale = centre_scale(torch.from_numpy(poses.boxes), size[0] / size[1])
    flat = ~(torch.isfinite(centre) & (scale > 0) & torch.isfinite(scale)).all(dim=1).numpy()
    if flat.any():
        raise UserError(
            f"{poses.name}: {flat.sum()} boxes have no area or are no numbers, first that of "
            f"person {poses.person_ids[flat][0]}; leave them out"
        )
    return centre, scale


def crop_batches(
    poses: PoseSet,
    matrices: Tensor,
    size: tuple[int, int],
    *,
    batch: int,
    warping: Warp = "opencv",
    device: str = "cpu",
    threads: int = THREADS,
) -> Iterator[CropBatch]:
    """All people's crops in the order of the set; the last batch may be smaller.

    Args:
        matrices: N×2×3, from the picture to the crop.
        size: width and height of the crops in px.
        batch: people at a time.
        warping: `opencv` on the CPU, as released; `exact` bilinear values by one batched warp a
            picture on the device (a level of 255 from OpenCV 5, up to seven from OpenCV 4).
        device: where `exact` crops are made.
        threads: that read pictures ahead.

    Raises:
        UserError: a picture is missing or damaged.
    """
    rest: list[Tensor] = []
    waiting = first = 0
    for crops in _by_picture(poses, matrices, size, warping, device, threads):
        rest.append(crops)
        waiting += len(crops)
        while waiting >= batch:
            joined = torch.cat(rest)
            yield CropBatch(first, joined[:batch])
            first += batch
            waiting -= batch
            rest = [joined[batch:]]
    if waiting:
        yield CropBatch(first, torch.cat(rest))


def _by_picture(
    poses: PoseSet,
    matrices: Tensor,
    size: tuple[int, int],
    warping: Warp,
    device: str,
    threads: int,
) -> Iterator[Tensor]:
    """Crops of each picture's people, n×H×W×3, uint8."""
    edges = np.flatnonzero(np.diff(poses.image_of)) + 1
    bounds = [0, *edges.tolist(), len(poses)] if len(poses) else [0]

    def prepare(begin: int, end: int) -> NDArray[np.uint8]:
        picture = poses.images.read(int(poses.image_of[begin]))
        if warping == "exact":
            return picture
        return warp_opencv(picture, matrices[begin:end], size)

    with ThreadPoolExecutor(threads) as pool:
        pending: deque[tuple[Future[NDArray[np.uint8]], Tensor]] = deque()
        try:
            for begin, end in itertools.pairwise(bounds):
                pending.append((pool.submit(prepare, begin, end), matrices[begin:end]))
                if len(pending) > AHEAD:
                    yield _crops(*pending.popleft(), size, warping, device)
            while pending:
                yield _crops(*pending.popleft(), size, warping, device)
        finally:
            # Else an error, or a reader who stops, would wait for pictures that nobody wants.
            for future, _ in pending:
                future.cancel()


def _crops(
    future: Future[NDArray[np.uint8]],
    matrices: Tensor,
    size: tuple[int, int],
    warping: Warp,
    device: str,
) -> Tensor:
    found = torch.from_numpy(future.result())
    if warping == "opencv":
        return found
    picture = found.to(device).permute(2, 0, 1).float()
    crops = warp(picture, matrices, size)
    return crops.round_().clamp_(0, 255).to(torch.uint8).permute(0, 2, 3, 1)
