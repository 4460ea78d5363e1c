"""Training batches from image files: augmented by seed and iteration, made ahead by workers.

He et al. 2016, §3.4: an image's shorter side is drawn from [256, 480] px, a crop of 224×224 px is
taken at random, half of the images are mirrored, the mean is subtracted, and the colours are
shifted as in Krizhevsky et al. 2012. Deviation: the paper subtracts a mean image (one value a
pixel); this subtracts a mean colour (one value a channel), as is usual: crops out of images scaled
to many sizes share no grid of pixels.
"""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from replab.datasets.image_files import (
    ImageFiles,
    deliver,
    read_image,
    scale_crop,
    scaled_size,
)
from replab.models.preprocessing import IMAGENET_MEAN
from replab.training.distributed import current

if TYPE_CHECKING:
    from PIL.Image import Image

# Mean colour, and principal components of the colours of the pixels of ImageNet (0–1 values): the
# scale of each and, as columns, the directions. From facebookarchive/fb.resnet.torch@ffa85430,
# datasets/imagenet.lua ("computed from random subset of ImageNet training images"); Krizhevsky et
# al. 2012, §4.1, give the method and no numbers.
IMAGENET_EIGENVALUES = (0.2175, 0.0188, 0.0045)
IMAGENET_EIGENVECTORS = (
    (-0.5675, 0.7192, 0.4009),
    (-0.5808, -0.0045, -0.8140),
    (-0.5836, -0.6948, 0.4203),
)


@dataclass(frozen=True)
class Augmentation:
    """How a training image is changed at each use.

    Attributes:
        short_sides: least and greatest length of the scaled image's shorter side, in px.
        px: side of the crop.
        mirror: mirror half of the images.
        lighting: standard deviation of the factors of the principal components of colour
            (Krizhevsky et al. 2012, §4.1: 0.1); 0 leaves the colours alone.
    """

    short_sides: tuple[int, int] = (256, 480)
    px: int = 224
    mirror: bool = True
    lighting: float = 0.1

    def __post_init__(self) -> None:
        low, high = self.short_sides
        if not 1 <= self.px <= low <= high:
            raise ValueError(f"no crop of {self.px} px out of shorter sides from {low} to {high}")

    def draw(
        self, image: "Image", random: np.random.Generator
    ) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        """An augmented crop px×px×3 (uint8) and the shift of its colours, 3 (0–1 values)."""
        low, high = self.short_sides
        side = int(random.integers(low, high, endpoint=True))
        width, height = scaled_size(image.width, image.height, side)
        left = int(random.integers(0, width - self.px, endpoint=True))
        top = int(random.integers(0, height - self.px, endpoint=True))
        # Drawn in any case, so that what is switched off does not move the rest.
        mirrored = bool(random.integers(2)) and self.mirror
        factors = random.normal(0.0, 1.0, 3) * self.lighting
        crop = scale_crop(image, side, left, top, self.px)
        shift = np.asarray(IMAGENET_EIGENVECTORS) @ (factors * IMAGENET_EIGENVALUES)
        return (crop[:, ::-1] if mirrored else crop), shift.astype(np.float32)


@dataclass
class _Batches:
    """Makes the batches; a copy of it works in each worker process."""

    images: ImageFiles
    batch_size: int
    seed: int
    augmentation: Augmentation
    rows: slice
    _orders: dict[int, NDArray[np.int64]] = field(default_factory=dict)

    def order(self, epoch: int) -> NDArray[np.int64]:
        """The images in the order of an epoch."""
        if epoch not in self._orders:
            # The length tells this stream from those of the images, whose numbers are smaller.
            mixed = np.random.SeedSequence((self.seed, epoch, len(self.images)))
            # Two epochs at most meet in one batch.
            self._orders = {k: v for k, v in self._orders.items() if k == epoch - 1}
            self._orders[epoch] = np.random.default_rng(mixed).permutation(len(self.images))
        return self._orders[epoch]

    def __call__(self, iteration: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Crops B×3×px×px (uint8), shifts of their colours B×3 and labels B."""
        begin = iteration * self.batch_size
        crops, shifts, labels = [], [], []
        for position in range(begin + self.rows.start, begin + self.rows.stop):
            epoch, place = divmod(position, len(self.images))
            index = int(self.order(epoch)[place])
            random = np.random.default_rng(np.random.SeedSequence((self.seed, epoch, index)))
            crop, shift = self.augmentation.draw(read_image(self.images.path(index)), random)
            crops.append(crop)
            shifts.append(shift)
            labels.append(int(self.images.labels[index]))
        return (
            torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2),
            torch.from_numpy(np.stack(shifts)),
            torch.tensor(labels),
        )


class FolderBatches:
    """Batches of image files, a function of seed and iteration alone.

    Every image is used once an epoch; the last batch of an epoch takes its rest from the next one,
    so that all batches are full. Workers read ahead from the iteration that was asked for last;
    asking for another than the next one starts them anew. However many there are, the same seed
    gives the same bits.

    Args:
        images: the training images.
        batch_size: images a batch.
        seed: of order and augmentation.
        augmentation: how an image is changed at each use.
        mean: of each channel, of 0–1 values; subtracted.
        device: where the batches go.
        workers: processes that read images; 0 for this one.

    Raises:
        ValueError: there are no images.
        UserError: there are several ranks, and batches cannot be shared out evenly among them.
    """

    def __init__(
        self,
        images: ImageFiles,
        *,
        batch_size: int,
        seed: int,
        augmentation: Augmentation,
        mean: Sequence[float] = IMAGENET_MEAN,
        device: str = "cpu",
        workers: int = 0,
    ) -> None:
        if not len(images):
            raise ValueError("there are no images to train on")
        rows = current().rows(batch_size)
        self._prepare = _Batches(images, batch_size, seed, augmentation, rows)
        self._mean = torch.tensor(mean, dtype=torch.float32, device=device)
        self._device = device
        self._workers = workers
        self._next = 0
        self._stream: Iterator[tuple[Any, ...]] | None = None

    def batch(self, iteration: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Images B×3×px×px (float32, 0–1 values less the mean) and labels B, on the device.

        Of several ranks each has its own rows of the batch.

        Raises:
            UserError: an image cannot be read.
        """
        if self._stream is None or iteration != self._next:
            self.close()
            self._stream = deliver(
                self._prepare,
                range(iteration, sys.maxsize),
                workers=self._workers,
                pin=self._device.startswith("cuda"),
            )
        # Whatever ends the stream: the next call starts another.
        stream, self._stream = self._stream, None
        crops, shifts, labels = (t.to(self._device, non_blocking=True) for t in next(stream))
        self._stream, self._next = stream, iteration + 1
        images = crops.float().div_(255).add_((shifts - self._mean)[:, :, None, None])
        return images, labels

    def alone(self) -> "FolderBatches":
        """The same batches, made in this process."""
        return FolderBatches(
            self._prepare.images,
            batch_size=self._prepare.batch_size,
            seed=self._prepare.seed,
            augmentation=self._prepare.augmentation,
            mean=self._mean.tolist(),
            device=self._device,
        )

    def close(self) -> None:
        """End the workers; `batch` starts others."""
        self._stream = None
