"""Batches of people for pose networks: augmented crops and target heatmaps, made on the device.

What surrounds each person is cut out of its picture once, at the network's own resolution, and
lies on the device. Augmentation is one batched warp of these cut-outs: pictures are sampled twice
where the released code samples them once, a deviation that costs some sharpness.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from replab.datasets.pose_set import PoseSet
from replab.keypoints import augmentation
from replab.keypoints.affine import normalise, transform, warp
from replab.keypoints.augmentation import Augmentation
from replab.keypoints.boxes import centre_scale
from replab.keypoints.codecs import Codec, Size
from replab.keypoints.skeletons import Skeleton
from replab.models.identification import IMAGENET_MEAN, IMAGENET_STD
from replab.topdown.crops import crop_batches
from replab.topdown.network import with_centre_map
from replab.training.batches import EpochOrder

CUT_AT_ONCE = 256
Channels = tuple[float, float, float]


@dataclass(frozen=True)
class Surroundings:
    """N people, each cut out of its picture with a margin; all places are px of the cut-outs.

    Attributes:
        skeleton: of the K joints.
        pictures: N×H×W×3, uint8, RGB.
        joints: N×K×2, float64.
        visible: N×K, float32, 1 where a joint is annotated.
        centre: N×2, float32, of the crop without augmentation.
        scale: N×2, float32, in units of 200 px.
        size: width and height of the crops in px.
    """

    skeleton: Skeleton
    pictures: Tensor
    joints: Tensor
    visible: Tensor
    centre: Tensor
    scale: Tensor
    size: Size

    def __len__(self) -> int:
        return len(self.joints)


def cut_out(
    poses: PoseSet,
    size: Size,
    codec: Codec,
    *,
    margin: float,
    device: str = "cpu",
    progress: Callable[[float, str], None] = lambda share, text: None,
) -> Surroundings:
    """Cut all people of a set out of their pictures, each picture decoded once.

    Args:
        size: width and height of the crops in px.
        codec: how crops are cut.
        margin: sides of the cut-outs through those of the crops: the larger, the more a crop may
            grow or turn before it shows black.
        device: where the cut-outs are kept.
        progress: called with the share done (0–1) and a text.

    Raises:
        UserError: a picture is missing or damaged.
        ValueError: the margin is below 1.
    """
    if margin < 1:
        raise ValueError(f"a margin of {margin} cuts into the crops; give 1 or more")
    wide = (round(size[0] * margin), round(size[1] * margin))
    centre, scale = centre_scale(torch.from_numpy(poses.boxes), size[0] / size[1])
    grown = torch.tensor(wide) / torch.tensor(size)
    matrices = codec.matrix(centre, scale * grown, wide)
    pictures = torch.empty(len(poses), wide[1], wide[0], 3, dtype=torch.uint8, device=device)
    for found in crop_batches(poses, matrices, wide, batch=CUT_AT_ONCE):
        pictures[found.first : found.first + len(found.crops)].copy_(found.crops)
        progress((found.first + len(found.crops)) / len(poses), "cutting people out")
    zoom = matrices[:, 0, 0].float()[:, None]
    joints = transform(torch.from_numpy(poses.joints), matrices)
    return Surroundings(
        skeleton=poses.skeleton,
        pictures=pictures,
        joints=joints.to(device),
        visible=torch.from_numpy((poses.visible > 0).astype(np.float32)).to(device),
        centre=transform(centre[:, None], matrices)[:, 0].to(device),
        scale=(scale * zoom).to(device),
        size=size,
    )


class PoseBatches:
    """Batches of augmented people, a function of seed and iteration; see `loop.Batches`.

    Args:
        people: whom to draw.
        codec: how crops are cut and joints drawn.
        recipe: how people are augmented.
        heatmaps: width and height of each head's heatmaps.
        batch_size: people in a batch.
        seed: of order and augmentation.
        colour: order of the channels, `RGB` or `BGR`.
        mean: of each channel of 0–1 values.
        std: of each channel of 0–1 values.
        centre_map: whether images have a fourth channel that marks the person in the middle.
    """

    def __init__(
        self,
        people: Surroundings,
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
    ) -> None:
        self.people, self.codec, self.recipe = people, codec, recipe
        self.heatmaps, self.batch_size, self.seed = tuple(heatmaps), batch_size, seed
        self.colour, self.mean, self.std, self.centre_map = colour, mean, std, centre_map
        self._device = people.pictures.device
        self._order = EpochOrder(len(people), batch_size, seed, augment=False)
        self._draws: dict[int, augmentation.Draws] = {}
        self._mirror = torch.tensor(people.skeleton.mirror, device=self._device)

    def batch(self, iteration: int) -> tuple[Tensor, ...]:
        """Images B×3×H×W, or 4 with a centre map, then targets and weights of each head.

        Targets are B×K×h×w, weights B×K.
        """
        people, size = self.people, self.people.size
        index = self._order.batch(iteration)[0]
        draws = self._drawn(iteration, index).to(self._device)
        index = index.to(self._device)
        pictures = people.pictures[index]
        found = augmentation.augment(
            self.recipe,
            draws,
            people.centre[index],
            people.scale[index],
            people.joints[index],
            people.visible[index],
            torch.full((len(index),), pictures.shape[2], device=self._device),
            size,
            mirror=self._mirror,
            upper=people.skeleton.upper,
            rule=self.codec.rule,
        )
        channels = pictures.permute(0, 3, 1, 2)
        channels = channels.flip(1) if self.colour == "BGR" else channels
        crops = warp(channels.float(), found.matrix, size)
        return self._finished(crops, found.joints, found.visible)

    def _finished(self, crops: Tensor, joints: Tensor, visible: Tensor) -> tuple[Tensor, ...]:
        """A batch of crops B×3×H×W, 0–255, whose joints B×K×2 are in px of the crops."""
        images = normalise(crops, self.mean, self.std)
        if self.centre_map:
            images = with_centre_map(images, cut=True)
        targets: list[Tensor] = []
        for heatmap in self.heatmaps:
            targets += self.codec.encode(joints, visible, self.people.size, heatmap)
        return images.contiguous(memory_format=torch.channels_last), *targets

    def _drawn(self, iteration: int, index: Tensor) -> augmentation.Draws:
        """The draws of a batch's people, each in its own epoch."""
        count = len(self.people)
        position = iteration * self.batch_size + torch.arange(self.batch_size)
        epochs = position // count
        first, last = int(epochs[0]), int(epochs[-1])
        self._draws = {k: v for k, v in self._draws.items() if k >= first}
        parts = []
        for epoch in range(first, last + 1):
            if epoch not in self._draws:
                self._draws[epoch] = augmentation.draw(self.seed, epoch, count)
            parts.append(self._draws[epoch][index[epochs == epoch]])
        return augmentation.Draws.joined(parts)
