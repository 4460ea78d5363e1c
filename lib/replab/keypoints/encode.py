"""Target heatmaps: a Gaussian of peak 1 at each joint, and the weight of each joint.

Source: leoxiaobin/deep-high-resolution-net.pytorch@6f69e46, lib/dataset/JointsDataset.py; Zhang et
al. 2020 (DARK), §3.2, and Huang et al. 2020 (UDP) (targets that are not rounded).
"""

from typing import Literal

import torch

# The window of a Gaussian ends at three standard deviations.
REACH = 3
# A joint is drawn if its weight, at first its visibility, is above this.
DRAWN = 0.5
# Exponents below which a line of a Gaussian counts as 0: products of two such lines are too small
# for float32's normal numbers, and the others take a processor ten times as long.
LEAST = -43.0


def target_heatmaps(
    joints: torch.Tensor,
    visible: torch.Tensor,
    size: tuple[int, int],
    *,
    stride: float | tuple[float, float] = 4.0,
    sigma: float = 2.0,
    centre: Literal["rounded", "exact"] = "rounded",
    cut: bool = True,
    joint_weights: torch.Tensor | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Targets N×K×H×W and weights N×K, both float32, as released unless told otherwise.

    A joint whose window misses the map gets weight 0; one whose window lies just beyond the left
    or upper edge keeps its weight with an empty target, as released.

    Args:
        joints: N×K×2 (or more, ignored) in px of the network's input.
        visible: N×K, 0–1.
        size: width and height of the heatmap.
        stride: px of the input in a pixel of the heatmap.
        sigma: in px of the heatmap; the HRNet paper prints 1, the released configurations hold 2
            (heatmaps 64×48 and 64×64) and 3 (96×72).
        centre: `rounded` to the pixel int(x / stride + ½), truncated toward zero, as released;
            `exact` where the joint is, the unbiased target of DARK and UDP.
        cut: end the Gaussian 3 sigma away from the rounded pixel along each axis, as released and
            as in UDP; DARK's targets do not end but where float32 does, 9 sigma away.
        joint_weights: K, multiplied into the weights; they do not change what is drawn.

    Raises:
        ValueError: sigma or stride is not positive, or 3 sigma is not a whole number of pixels,
            in which case the released window is lopsided.
    """
    radius = round(REACH * sigma)
    strides = stride if isinstance(stride, tuple) else (stride, stride)
    if sigma <= 0 or min(strides) <= 0 or abs(radius - REACH * sigma) > 1e-9:
        raise ValueError(
            f"sigma {sigma} and stride {stride} must be above 0, 3 sigma a whole number"
        )
    # In float64: which pixel a joint falls to must not depend on float32's last bit.
    place = joints[..., :2].double()
    place = place / torch.tensor(strides, dtype=place.dtype, device=place.device)
    pixel = (place + 0.5).trunc()
    if centre == "rounded":
        place = pixel
    middle = pixel if cut else place
    limits = torch.tensor(size, dtype=place.dtype, device=place.device)
    misses = ((middle - radius >= limits) | (middle + radius + 1 < 0)).any(dim=-1)
    weights = torch.where(misses, 0.0, visible.float())
    profiles = []
    for axis, length in enumerate(size):
        pixels = torch.arange(length, dtype=place.dtype, device=place.device)
        distance = (pixels - place[..., axis, None]).float()
        exponent = -(distance**2) / (2 * sigma**2)
        inside = exponent > LEAST
        if cut:
            inside &= (pixels - middle[..., axis, None]).abs() <= radius
        profiles.append(torch.where(inside, exponent.clamp(min=LEAST).exp(), 0.0))
    across, down = profiles
    # Joints that are not drawn may lie at places that are no numbers.
    drawn = (weights > DRAWN)[..., None]
    across, down = (torch.where(drawn, side, 0.0) for side in (across, down))
    targets = down[..., :, None] * across[..., None, :]
    if joint_weights is not None:
        weights = weights * joint_weights.to(weights)
    return targets, weights
