"""Small image sets on the device: batches drawn and augmented there, without worker processes."""

from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional

from replab.training.distributed import Ranks, current
from replab.training.recipe import ImageRecipe

PAD = 4
# Images turned into floats at a time: the whole of CIFAR-10 at once would take a gigabyte more.
CHUNK = 2000


@dataclass(frozen=True)
class DeviceImages:
    """Images ready for a network.

    Attributes:
        images: N×C×H×W, float32, the per-pixel mean of the training images subtracted.
        labels: N, int64.
    """

    images: torch.Tensor
    labels: torch.Tensor


def per_pixel_mean(images: np.ndarray, size: int) -> torch.Tensor:
    """Mean image of a set, 1×C×H×W in 0–1 (He et al. 2016, §4.2).

    Args:
        images: N×H×W×C, uint8.
        size: height and width to which the images are averaged down.
    """
    return to_tensor(images, size).mean(dim=0, keepdim=True)


def to_tensor(images: np.ndarray, size: int) -> torch.Tensor:
    """N×H×W×C uint8 as N×C×size×size float32 in 0–1, averaged over equal squares.

    Raises:
        ValueError: the height is no multiple of `size`.
    """
    if images.shape[1] % size:
        raise ValueError(f"images of {images.shape[1]} px cannot be averaged down to {size} px")
    factor = images.shape[1] // size
    tensor = torch.empty(len(images), images.shape[3], size, images.shape[2] // factor)
    for begin in range(0, len(images), CHUNK):
        part = slice(begin, begin + CHUNK)
        # A copy: memory-mapped files are read-only, which torch warns about.
        floats = torch.from_numpy(np.array(images[part], order="C")).permute(0, 3, 1, 2) / 255
        tensor[part] = functional.avg_pool2d(floats, factor) if factor > 1 else floats
    return tensor


def to_device(
    images: np.ndarray, labels: np.ndarray, *, size: int, mean: torch.Tensor, device: str
) -> DeviceImages:
    """Put a set on the device, its mean image subtracted.

    Args:
        images: N×H×W×C, uint8.
        labels: N.
        mean: 1×C×size×size, of the training images.
    """
    tensor = to_tensor(images, size).sub_(mean).to(device)
    return DeviceImages(tensor, torch.from_numpy(labels.astype(np.int64)).to(device))


class EpochOrder:
    """Which image goes into which batch, and how it is augmented, by seed and iteration.

    Nothing is carried from batch to batch, so a training resumes anywhere without stored state.
    Every image is drawn once per epoch; the last batch of an epoch takes its rest from the next
    one, so that all batches are full.

    Args:
        count: images in the set.
        augment: pad by 4 px, crop at random, mirror half of the images (He et al. 2016, §4.2).
        device: where the drawn numbers are put, once an epoch; they are drawn on the CPU, so that
            they are the same everywhere.
        ranks: the process's place among those that share the batches; None for torchrun's.

    Raises:
        UserError: batches cannot be shared out evenly among the ranks.
    """

    def __init__(
        self,
        count: int,
        batch_size: int,
        seed: int,
        *,
        augment: bool,
        device: str = "cpu",
        ranks: Ranks | None = None,
    ) -> None:
        self.count = count
        self.batch_size = batch_size
        self.seed = seed
        self.augment = augment
        self.device = device
        self._rows = (ranks or current()).rows(batch_size)
        self._epochs: dict[int, tuple[torch.Tensor, ...]] = {}

    def _epoch(self, epoch: int) -> tuple[torch.Tensor, ...]:
        if epoch not in self._epochs:
            # torch's generator looks at 32 bits of its seed only: mixed, not shifted together.
            mixed = np.random.SeedSequence((self.seed, epoch)).generate_state(1)[0]
            generator = torch.Generator().manual_seed(int(mixed))
            order = torch.randperm(self.count, generator=generator)
            shifts = torch.randint(0, 2 * PAD + 1, (self.count, 2), generator=generator)
            mirror = torch.randint(0, 2, (self.count,), generator=generator, dtype=torch.bool)
            # Neighbouring epochs at most meet in one batch, unless a batch holds several.
            self._epochs = {k: v for k, v in self._epochs.items() if k == epoch - 1}
            self._epochs[epoch] = tuple(t.to(self.device) for t in (order, shifts, mirror))
        return self._epochs[epoch]

    def positions(self, iteration: int) -> range:
        """Where this rank's rows of a batch are among all that are ever drawn, epoch by epoch."""
        first = iteration * self.batch_size
        return range(first + self._rows.start, first + self._rows.stop)

    def batch(self, iteration: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Indices (B), shifts (B×2, 0–8 px) and mirror flags (B) of an iteration's images.

        Of several ranks each has its own rows of the batch.
        """
        own = self.positions(iteration)
        begin, end = own.start, own.stop
        parts = []
        for epoch in range(begin // self.count, (end - 1) // self.count + 1):
            first = epoch * self.count
            here = slice(max(begin, first) - first, min(end, first + self.count) - first)
            parts.append(tuple(drawn[here] for drawn in self._epoch(epoch)))
        order, shifts, mirror = (torch.cat(column) for column in zip(*parts, strict=True))
        return order, shifts, mirror


@dataclass(frozen=True)
class DeviceBatches:
    """Batches of a set that lies on the device, drawn and augmented there."""

    data: DeviceImages
    order: EpochOrder

    def batch(self, iteration: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Images B×C×H×W, augmented if the order says so, and labels B of an iteration."""
        index, shifts, mirror = self.order.batch(iteration)
        images, labels = self.data.images[index], self.data.labels[index]
        if self.order.augment:
            images = crop_and_mirror(images, shifts, mirror)
        return images, labels


def shuffled(data: DeviceImages, recipe: ImageRecipe, seed: int) -> DeviceBatches:
    """Batches of a set in random order, as a recipe says."""
    order = EpochOrder(
        len(data.labels),
        recipe.batch_size,
        seed,
        augment=recipe.augment,
        device=str(data.labels.device),
    )
    return DeviceBatches(data, order)


def crop_and_mirror(
    images: torch.Tensor, shifts: torch.Tensor, mirror: torch.Tensor
) -> torch.Tensor:
    """Pad by 4 px of zeros, crop each image at its own place, mirror those marked.

    The mean image is subtracted before, so padding zeros are the mean grey, as in the reference.

    Args:
        images: B×C×H×W.
        shifts: B×2, the crop's top and left corner in the padded image, 0–8 px.
        mirror: B, bool.
    """
    batch, channels, height, width = images.shape
    padded = functional.pad(images, (PAD, PAD, PAD, PAD))
    rows = shifts[:, :1] + torch.arange(height, device=images.device)
    columns = shifts[:, 1:] + torch.arange(width, device=images.device)
    columns = torch.where(mirror[:, None], columns.flip(1), columns)
    stride = width + 2 * PAD
    flat = rows[:, :, None] * stride + columns[:, None, :]
    index = flat.reshape(batch, 1, -1).expand(-1, channels, -1)
    return padded.reshape(batch, channels, -1).gather(2, index).reshape(images.shape)
