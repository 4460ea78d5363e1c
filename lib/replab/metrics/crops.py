"""Classification error on crops of scaled images: one view and ten, streamed from files.

He et al. 2016, Tables 2 and 3: ten views as in Krizhevsky et al. 2012, §4.1 (the patches in the
four corners and the centre, and their mirror images), whose softmax outputs are averaged. The
paper does not say what the corners are corners of; here, of the whole image, its shorter side
scaled to 256 px, as in facebookarchive/fb.resnet.torch@6f9402dc and torchvision's TenCrop.
Krizhevsky et al. cut a square of 256 px out of its centre first.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from replab.datasets.image_files import ImageFiles, deliver, read_image, scale
from replab.metrics.classification import top_k_wrong
from replab.models.precision import autocast

CENTRE = 4  # place of the centre among the five crops
BATCH = 32  # images, not views: ten times as many go through the network


def five_crops(image: NDArray[np.uint8], px: int) -> NDArray[np.uint8]:
    """The crops of the four corners, row by row, and of the centre: 5×px×px×3 from H×W×3.

    Raises:
        ValueError: the image is smaller than a crop.
    """
    down, across = image.shape[0] - px, image.shape[1] - px
    if min(down, across) < 0:
        raise ValueError(f"no crops of {px} px in an image of {image.shape[1]}×{image.shape[0]}")
    # Halves are rounded to even numbers, as torchvision does.
    centre = (round(down / 2), round(across / 2))
    places = ((0, 0), (0, across), (down, 0), (down, across), centre)
    return np.stack([image[y : y + px, x : x + px] for y, x in places])


@dataclass(frozen=True)
class _Views:
    """Makes the batches; a copy of it works in each worker process."""

    images: ImageFiles
    batch_size: int
    short_side: int
    px: int
    only_centre: bool

    def __call__(self, number: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Views B×V×3×px×px (uint8) and labels B of a batch."""
        begin = number * self.batch_size
        chosen = range(begin, min(begin + self.batch_size, len(self.images)))
        first = CENTRE if self.only_centre else 0
        views = [
            five_crops(scale(read_image(self.images.path(i)), self.short_side), self.px)[first:]
            for i in chosen
        ]
        labels = torch.from_numpy(self.images.labels[chosen.start : chosen.stop].copy())
        return torch.from_numpy(np.stack(views)).permute(0, 1, 4, 2, 3), labels


@torch.inference_mode()
def crop_errors(
    model: nn.Module,
    images: ImageFiles,
    *,
    mean: Sequence[float],
    short_side: int = 256,
    px: int = 224,
    ten: bool = True,
    batch_size: int = BATCH,
    workers: int = 0,
    device: str = "cpu",
    precision: str = "fp32",
    progress: Callable[[float, str], None] = lambda share, text: None,
) -> dict[str, float]:
    """Top-1 and top-5 error in percent, of the centre crop and of the mean over ten crops.

    The network sees 0–1 values less the mean and is left in the mode in which it came.

    Args:
        images: files; images of any size and colour space.
        mean: of each channel, of 0–1 values.
        short_side: to which the shorter side is scaled, in px.
        px: side of a crop.
        ten: False for the centre crop alone.
        batch_size: images at a time.
        workers: processes that read images.
        progress: called with the share done (0–1) and a text.

    Returns:
        `top1_1crop` and `top5_1crop`; with `ten` also `top1_10crop` and `top5_10crop`. Of fewer
        than five classes, the error among all of them, which is 0, stands for the top-5 error.

    Raises:
        UserError: an image cannot be read.
        ValueError: there are no images, or the network gives no finite numbers.
    """
    if not len(images):
        raise ValueError("there are no images to score")
    was_training = model.training
    model.eval()
    shift = torch.tensor(mean, dtype=torch.float32, device=device)[:, None, None]
    prepare = _Views(images, batch_size, short_side, px, only_centre=not ten)
    batches = range(-(-len(images) // batch_size))
    wrong: dict[str, int] = {}
    done = 0
    for views, labels in deliver(prepare, batches, workers=workers, pin=device.startswith("cuda")):
        truth = labels.to(device)
        sides = views.to(device, non_blocking=True).float().div_(255).sub_(shift)
        if ten:
            sides = torch.cat((sides, sides.flip(-1)), dim=1)
        with autocast(device, precision):
            logits = model(_channels_last(sides.flatten(0, 1)))
        scores = logits.float().softmax(1).unflatten(0, sides.shape[:2])
        found = {"1crop": scores[:, CENTRE if ten else 0]}
        if ten:
            found["10crop"] = scores.mean(1)
        for view, probabilities in found.items():
            for k in (1, 5):
                key = f"top{k}_{view}"
                hardest = min(k, probabilities.shape[1])
                wrong[key] = wrong.get(key, 0) + top_k_wrong(probabilities, truth, hardest)
        done += len(labels)
        progress(done / len(images), f"{done} images")
    model.train(was_training)
    return {key: 100.0 * count / len(images) for key, count in wrong.items()}


def _channels_last(views: torch.Tensor) -> torch.Tensor:
    return views.contiguous(memory_format=torch.channels_last)
