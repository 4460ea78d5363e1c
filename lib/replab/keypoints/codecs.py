"""Codecs: how crops are cut, joints drawn on heatmaps, and heatmaps read, as one named choice.

Of three published ways to do it (Sun et al. 2019; Zhang et al. 2020, DARK; Huang et al. 2020, UDP)
only parts of the same one fit together.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch

from replab.errors import UserError
from replab.keypoints import decode, encode, flips
from replab.keypoints.affine import CropRule, crop_matrix
from replab.keypoints.unbiased import KERNEL, blur_kernel

Size = tuple[int, int]


@dataclass(frozen=True)
class Codec:
    """One way from the image to heatmaps and back; `dataclasses.replace` makes another.

    Attributes:
        name: as in `CODECS`.
        rule: of the crops, and of the grids of heatmap and input, as of `crop_matrix`.
        centre: of the Gaussians, as of `target_heatmaps`.
        cut: whether the Gaussians end, as of `target_heatmaps`.
        refinement: of the highest pixel, as of `decode.refine`.
        shift: of the mirror image's heatmaps in px, as of `flip_back`.
        sigma: of the Gaussians in px of the heatmap.
        kernel: px that the blur of the refinements `dark` and `udp` spans.
    """

    name: str
    rule: CropRule
    centre: Literal["rounded", "exact"]
    cut: bool
    refinement: decode.Refinement
    shift: int
    sigma: float = 2.0
    kernel: int = KERNEL

    def matrix(
        self,
        centre: torch.Tensor,
        scale: torch.Tensor,
        size: Size,
        rotation: torch.Tensor | float = 0.0,
        *,
        inverse: bool = False,
    ) -> torch.Tensor:
        """Matrices N×2×3 from image to crop, as of `crop_matrix`."""
        return crop_matrix(centre, scale, size, rotation, inverse=inverse, rule=self.rule)

    def stride(self, input_size: Size, heatmap_size: Size) -> tuple[float, float]:
        """Px of the input in one px of the heatmap, along x and y.

        Raises:
            ValueError: a side has no px, or by UDP's rule the heatmap's has only one.
        """
        less = 1 if self.rule == "udp" else 0
        sides = [(a - less, b - less) for a, b in zip(input_size, heatmap_size, strict=True)]
        if min(min(side) for side in sides) <= 0:
            raise ValueError(f"no heatmap of {heatmap_size} px fits an input of {input_size} px")
        (across, of_across), (down, of_down) = sides
        return across / of_across, down / of_down

    def encode(
        self,
        joints: torch.Tensor,
        visible: torch.Tensor,
        input_size: Size,
        heatmap_size: Size,
        *,
        joint_weights: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Target heatmaps N×K×H×W and weights N×K, both float32, as of `target_heatmaps`.

        Args:
            joints: N×K×2 (or more, ignored) in px of the input.
            visible: N×K, 0–1.
            input_size: width and height.
            heatmap_size: width and height.
            joint_weights: K, multiplied into the weights.
        """
        return encode.target_heatmaps(
            joints,
            visible,
            heatmap_size,
            stride=self.stride(input_size, heatmap_size),
            sigma=self.sigma,
            centre=self.centre,
            cut=self.cut,
            joint_weights=joint_weights,
        )

    def locate(self, heatmaps: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Joints in px of the heatmap, N×K×2 float32, and their scores N×K."""
        place, score = decode.highest(heatmaps)
        return decode.refine(heatmaps, place, self.refinement, kernel=self.kernel), score

    def decode(
        self, heatmaps: torch.Tensor, centre: torch.Tensor, scale: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Joints in px of the image, N×K×2 float32, and their scores N×K.

        Args:
            heatmaps: N×K×H×W.
            centre: N×2 of the crops, in px of the image.
            scale: N×2 of the crops, in units of 200 px.
        """
        return decode.decode(
            heatmaps,
            centre,
            scale,
            refinement=self.refinement,
            kernel=self.kernel,
            rule=self.rule,
        )

    def flip_average(
        self,
        heatmaps: torch.Tensor,
        mirrored: torch.Tensor,
        mirror: Sequence[int] | torch.Tensor,
    ) -> torch.Tensor:
        """Mean of the heatmaps of inputs and of their mirror images, N×K×H×W."""
        return flips.flip_average(heatmaps, mirrored, mirror, shift=self.shift)


_RELEASED = Codec("released", "released", "rounded", cut=True, refinement="sign", shift=1)

# The authors of DARK do not shift the mirror image's heatmaps (ilovepose/DarkPose@101e98d,
# lib/core/function.py); open-mmlab/mmpose shifts them by 1 px. Their crops are the released ones.
CODECS = {
    codec.name: codec
    for codec in (
        _RELEASED,
        replace(_RELEASED, name="plain", refinement="none"),
        Codec("dark", "released", "exact", cut=False, refinement="dark", shift=0),
        Codec("udp", "udp", "exact", cut=True, refinement="udp", shift=0),
    )
}


def codec(name: str, *, sigma: float = 2.0) -> Codec:
    """The codec of a name, for Gaussians of a sigma in px of the heatmap.

    Args:
        name: `released`, as Sun et al. 2019 evaluate: rounded targets, a quarter of a pixel;
            `plain`, the same without the quarter; `dark`, of Zhang et al. 2020; `udp`, of Huang
            et al. 2020.
        sigma: 2 for heatmaps of 64×48, 3 for 96×72, as released.

    Raises:
        UserError: there is no such codec.
        ValueError: no blur fits sigma.
    """
    if name not in CODECS:
        known = ", ".join(CODECS)
        raise UserError(f"there is no codec {name!r}; choose one of {known}")
    found = replace(CODECS[name], sigma=sigma)
    return replace(found, kernel=blur_kernel(sigma)) if found.refinement == "dark" else found
