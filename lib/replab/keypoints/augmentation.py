"""Training augmentation of people: half body, scale, rotation and mirror, as one crop matrix each.

Source: leoxiaobin/deep-high-resolution-net.pytorch@6f69e46, lib/dataset/JointsDataset.py, and
microsoft/human-pose-estimation.pytorch@49f3f44; Sun et al. 2019, §4.1; Xiao et al. 2018.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Literal

import numpy as np
import torch

from replab.keypoints.affine import CropRule, compose, crop_matrix, transform
from replab.keypoints.flips import flip_joints, flip_points
from replab.keypoints.half_body import half_body as half_body_crop

Draw = Literal["clipped-normal", "uniform"]
# Normal draws of the rotation end at this many deviations, those of the scale at one.
ROTATION_LIMIT = 2.0
# The released code prefers the upper body where a normal draw is below this.
UPPER_BELOW = 0.5
# Keeps these draws apart from others that are seeded with the same seed and epoch.
STREAM = 0x706F7365


@dataclass(frozen=True)
class Augmentation:
    """How people are augmented; the rules default to the released code's.

    Attributes:
        scale: s, share by which a crop is widened or narrowed.
        rotation: r, in degrees.
        flip: probability of the mirror image.
        half_body: probability of a crop of half the body.
        scale_draw: `clipped-normal`: 1 + s·N(0, 1), clipped to [1 − s, 1 + s], as released, so
            that a third of all crops lie at the ends; `uniform` in [1 − s, 1 + s], as the papers
            may be read.
        rotation_draw: `clipped-normal`: r·N(0, 1), clipped to [−2r, 2r], as released; `uniform`
            in [−r, r], the range that the papers give.
        rotation_probability: of turning a crop at all: 0.6 as released; the papers name none.
        upper_draw: how the upper half is preferred: `normal`, a normal draw below ½, as released,
            69 %; `uniform`, 50 %, as was probably meant.
        half_body_joints: visible joints that a person must have more of for a half-body crop.

    Raises:
        ValueError: a number is out of its range or a rule is unknown.
    """

    scale: float
    rotation: float
    flip: float = 0.5
    half_body: float = 0.0
    scale_draw: Draw = "clipped-normal"
    rotation_draw: Draw = "clipped-normal"
    rotation_probability: float = 0.6
    upper_draw: Literal["normal", "uniform"] = "normal"
    half_body_joints: int = 8

    def __post_init__(self) -> None:
        for name in ("flip", "half_body", "rotation_probability"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} is a probability, 0–1, not {getattr(self, name)}")
        if not (0 <= self.scale < 1 and self.rotation >= 0):
            raise ValueError("the scale must lie in 0–1, below 1, the rotation at 0° or above")
        for name, known in (
            ("scale_draw", ("clipped-normal", "uniform")),
            ("rotation_draw", ("clipped-normal", "uniform")),
            ("upper_draw", ("normal", "uniform")),
        ):
            if getattr(self, name) not in known:
                raise ValueError(f"{name} is one of {', '.join(known)}, not {getattr(self, name)}")


@dataclass(frozen=True)
class Draws:
    """What chance decides for each person: N numbers each, uniform in [0, 1), float64."""

    half: torch.Tensor
    upper: torch.Tensor
    scale: torch.Tensor
    turned: torch.Tensor
    rotation: torch.Tensor
    mirrored: torch.Tensor

    def __getitem__(self, people: torch.Tensor | slice) -> "Draws":
        """The draws of some of the people, by indices, booleans or a slice."""
        return Draws(*(getattr(self, field.name)[people] for field in fields(self)))

    @classmethod
    def joined(cls, parts: Sequence["Draws"]) -> "Draws":
        """The draws of several groups of people, one after the other."""
        names = [field.name for field in fields(cls)]
        return cls(*(torch.cat([getattr(part, name) for part in parts]) for name in names))

    def to(self, device: torch.device | str) -> "Draws":
        """The same on a device."""
        return Draws(*(getattr(self, field.name).to(device) for field in fields(self)))


def draw(seed: int, epoch: int, count: int) -> Draws:
    """The draws of all people of a set in an epoch, a function of seed, epoch and person alone.

    They are drawn on the CPU at once, 6·8 bytes a person, so that no generator's state is needed
    to resume a training, and neither batches nor workers change anything.

    Args:
        seed: of the training, 0 or above.
        epoch: from 0.
        count: people in the set; fewer give the first of the same draws.
    """
    source = np.random.SeedSequence((seed, epoch), spawn_key=(STREAM,))
    table = np.random.Generator(np.random.PCG64(source)).random((count, len(fields(Draws))))
    return Draws(*torch.from_numpy(np.ascontiguousarray(table.T)))


@dataclass(frozen=True)
class Augmented:
    """Crops of N people with K joints.

    Attributes:
        matrix: N×2×3, float64, from the image as it is stored to the crop, the mirror included.
        joints: N×K×2 in px of the crop, in the dtype given, sides swapped in mirror images; (0, 0)
            for hidden ones. Joints may lie outside: which of them count is for the target's
            windows to decide, as released.
        visible: N×K, float32, 0 or 1, sides swapped likewise.
        centre: N×2 in px of the image, mirrored where the person is.
        scale: N×2 in units of 200 px.
        rotation: N, degrees, as of `crop_matrix`.
        mirrored: N booleans.
        halved: N booleans, whether the crop is of half a body.
    """

    matrix: torch.Tensor
    joints: torch.Tensor
    visible: torch.Tensor
    centre: torch.Tensor
    scale: torch.Tensor
    rotation: torch.Tensor
    mirrored: torch.Tensor
    halved: torch.Tensor


def augment(
    recipe: Augmentation,
    draws: Draws,
    centre: torch.Tensor,
    scale: torch.Tensor,
    joints: torch.Tensor,
    visible: torch.Tensor,
    widths: torch.Tensor,
    size: tuple[int, int],
    *,
    mirror: Sequence[int] | torch.Tensor,
    upper: Sequence[int] = (),
    rule: CropRule = "released",
) -> Augmented:
    """Augmented crops of people, in the released order: half body, scale, rotation, mirror.

    No picture is mirrored: each matrix maps the picture as it is stored.

    Args:
        recipe: what is drawn how.
        draws: of these N people, `draw(…)[people]`.
        centre: N×2 of their own crops, in px of the image.
        scale: N×2 of their own crops, in units of 200 px.
        joints: N×K×2 in px of the image; hidden ones may be no numbers.
        visible: N×K, above 0 for joints that are annotated, hidden in the picture or not.
        widths: N, of their images in px.
        size: width and height of the crop.
        mirror: K, `Skeleton.mirror`.
        upper: indices of the upper half, `Skeleton.upper`.
        rule: of the crops, as of `crop_matrix`.

    Raises:
        ValueError: half-body crops are asked for of a skeleton without an upper half.
    """
    if recipe.half_body > 0 and not upper:
        raise ValueError("half-body crops need a skeleton that says which joints are upper ones")
    seen = visible > 0
    places = joints[..., :2]
    halved = torch.zeros(len(centre), dtype=torch.bool, device=centre.device)
    if recipe.half_body > 0:
        eligible = seen.sum(dim=1) > recipe.half_body_joints
        found = half_body_crop(places, seen, upper, size[0] / size[1], prefer_upper(recipe, draws))
        halved = found[2] & eligible & (draws.half < recipe.half_body)
        centre = torch.where(halved[:, None], found[0].to(centre), centre)
        scale = torch.where(halved[:, None], found[1].to(scale), scale)
    scale = scale * scale_factors(recipe, draws)[:, None].to(scale)
    rotation = rotations(recipe, draws)
    mirrored = draws.mirrored < recipe.flip
    centre = torch.where(mirrored[:, None], flip_points(centre, widths[:, None]), centre)
    crop = crop_matrix(centre, scale, size, rotation, rule=rule)
    turned, turned_seen = flip_joints(places, seen, widths[:, None, None], mirror, hide=False)
    swapped = torch.where(mirrored[:, None, None], turned, places)
    shown = torch.where(mirrored[:, None], turned_seen, seen)
    return Augmented(
        matrix=compose(crop, _mirror_matrix(mirrored, widths)),
        joints=torch.where(shown[..., None], transform(swapped, crop), 0.0),
        visible=shown.float(),
        centre=centre,
        scale=scale,
        rotation=rotation,
        mirrored=mirrored,
        halved=halved,
    )


def scale_factors(recipe: Augmentation, draws: Draws) -> torch.Tensor:
    """Factors on the crops' sides, N, float64."""
    if recipe.scale_draw == "uniform":
        return 1 + recipe.scale * (2 * draws.scale - 1)
    # Clipped before it is multiplied: a draw of 0 is infinitely many deviations away.
    return 1 + recipe.scale * torch.special.ndtri(draws.scale).clamp(-1, 1)


def rotations(recipe: Augmentation, draws: Draws) -> torch.Tensor:
    """Angles by which the crops are turned, N, degrees, float64; 0 where a crop is not turned."""
    if recipe.rotation_draw == "uniform":
        angle = recipe.rotation * (2 * draws.rotation - 1)
    else:
        deviations = torch.special.ndtri(draws.rotation).clamp(-ROTATION_LIMIT, ROTATION_LIMIT)
        angle = recipe.rotation * deviations
    return torch.where(draws.turned < recipe.rotation_probability, angle, 0.0)


def prefer_upper(recipe: Augmentation, draws: Draws) -> torch.Tensor:
    """Whether the upper half is preferred where a half is taken, N booleans."""
    if recipe.upper_draw == "uniform":
        return draws.upper < UPPER_BELOW
    return torch.special.ndtri(draws.upper) < UPPER_BELOW


def _mirror_matrix(mirrored: torch.Tensor, widths: torch.Tensor) -> torch.Tensor:
    """Maps N×2×3 of images to their mirror images, x to width − 1 − x, or to themselves."""
    matrix = torch.zeros(len(mirrored), 2, 3, dtype=torch.float64, device=mirrored.device)
    matrix[:, 0, 0] = torch.where(mirrored, -1.0, 1.0)
    matrix[:, 0, 2] = torch.where(mirrored, widths.double() - 1, 0.0)
    matrix[:, 1, 1] = 1.0
    return matrix
