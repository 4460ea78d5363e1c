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
from replab.keypoints.augmentation import Augmentation, Augmented
from replab.keypoints.boxes import centre_scale
from replab.keypoints.codecs import Codec, Size
from replab.keypoints.label_sets import people_of_pictures
from replab.keypoints.skeletons import Skeleton
from replab.models.preprocessing import IMAGENET_MEAN, IMAGENET_STD
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
        others: N×O×K×2, float64, joints of the other people of the picture; None if nobody asks.
        others_visible: N×O×K, float32, 0 for places where nobody is; None likewise.
    """

    skeleton: Skeleton
    pictures: Tensor
    joints: Tensor
    visible: Tensor
    centre: Tensor
    scale: Tensor
    size: Size
    others: Tensor | None = None
    others_visible: Tensor | None = None

    def __len__(self) -> int:
        return len(self.joints)


def cut_out(
    poses: PoseSet,
    size: Size,
    codec: Codec,
    *,
    margin: float,
    everyone: bool = False,
    device: str = "cpu",
    progress: Callable[[float, str], None] = lambda share, text: None,
) -> Surroundings:
    """Cut all people of a set out of their pictures, each picture decoded once.

    Args:
        size: width and height of the crops in px.
        codec: how crops are cut.
        margin: sides of the cut-outs through those of the crops: the larger, the more a crop may
            grow or turn before it shows black.
        everyone: keep the joints of the other people of each picture too.
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
    others, others_visible = others_of(poses) if everyone else (None, None)
    if others is not None:
        others = transform(others, matrices[:, None]).to(device)
    return Surroundings(
        skeleton=poses.skeleton,
        pictures=pictures,
        joints=joints.to(device),
        visible=annotated(poses).to(device),
        centre=transform(centre[:, None], matrices)[:, 0].to(device),
        scale=(scale * zoom).to(device),
        size=size,
        others=others,
        others_visible=others_visible.to(device) if others_visible is not None else None,
    )


def annotated(poses: PoseSet) -> Tensor:
    """Which joints of N people are annotated, N×K, float32, 0 or 1."""
    return torch.from_numpy((poses.visible > 0).astype(np.float32))


def others_of(poses: PoseSet) -> tuple[Tensor, Tensor]:
    """Joints N×O×K×2 of the other people of each person's picture, px, and which are annotated.

    O is one less than the most people in a picture; where nobody is, nothing is annotated.
    """
    pictures, joints = torch.from_numpy(poses.image_of), torch.from_numpy(poses.joints)
    together, seen = people_of_pictures(pictures, joints, annotated(poses))
    return together[:, 1:], seen[:, 1:]


class PoseBatches:
    """Batches of augmented people, a function of seed and iteration; see `loop.Batches`.

    Where the people know of the others in their pictures, the first head's targets show everybody
    in the crop, as the first stage's of a pose machine (Wei et al. 2016, section 4.2; see
    `label_sets`); the others' show the person in the middle, as do all without.

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

        Targets are B×K×h×w, weights B×K. Of several ranks each has its own rows of the batch.
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
        return self._finished(crops, found, self._others(found, index))

    def _others(self, found: Augmented, index: Tensor) -> tuple[Tensor, Tensor] | None:
        """Joints B×O×K×2 of the others in px of the crops, and which are annotated; None if
        nobody asks for them."""
        people = self.people
        if people.others is None or people.others_visible is None:
            return None
        visible, swapped = people.others_visible[index], found.mirrored[:, None, None]
        joints = torch.where(visible[..., None] > 0, people.others[index], 0.0)
        joints = transform(joints, found.matrix[:, None])
        visible = torch.where(swapped, visible[:, :, self._mirror], visible)
        return torch.where(swapped[..., None], joints[:, :, self._mirror], joints), visible

    def _finished(
        self, crops: Tensor, found: Augmented, others: tuple[Tensor, Tensor] | None
    ) -> tuple[Tensor, ...]:
        """A batch of crops B×3×H×W, 0–255; places are px of the crops, on any device."""
        images = normalise(crops, self.mean, self.std)
        if self.centre_map:
            images = with_centre_map(images, cut=True)
        joints, visible = found.joints.to(self._device), found.visible.to(self._device)
        targets: list[Tensor] = []
        for heatmap in self.heatmaps:
            targets += self.codec.encode(joints, visible, self.people.size, heatmap)
        if others is not None and others[0].shape[1]:
            around, seen = (part.flatten(0, 1).to(self._device) for part in others)
            maps, _ = self.codec.encode(around, seen, self.people.size, self.heatmaps[0])
            # As released: Gaussians are added, and end at 1.
            maps = maps.unflatten(0, others[0].shape[:2]).sum(1)
            targets[0] = (targets[0] + maps).clamp(max=1)
        return images.contiguous(memory_format=torch.channels_last), *targets

    def _drawn(self, iteration: int, index: Tensor) -> augmentation.Draws:
        """The draws of a batch's people, each in its own epoch."""
        count = len(self.people)
        own = self._order.positions(iteration)
        epochs = torch.arange(own.start, own.stop) // count
        first, last = int(epochs[0]), int(epochs[-1])
        self._draws = {k: v for k, v in self._draws.items() if k >= first}
        parts = []
        for epoch in range(first, last + 1):
            if epoch not in self._draws:
                self._draws[epoch] = augmentation.draw(self.seed, epoch, count)
            parts.append(self._draws[epoch][index[epochs == epoch]])
        return augmentation.Draws.joined(parts)
