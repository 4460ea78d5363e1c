"""From heatmaps to joints: the highest pixel, refined, and back to the image.

Source: leoxiaobin/deep-high-resolution-net.pytorch@6f69e46, lib/core/inference.py and evaluate.py;
Sun et al. 2019, §4.1, and Xiao et al. 2018 (what the papers say of the quarter offset).
"""

from typing import Literal

import torch

from replab.keypoints.affine import CropRule, crop_matrix, transform
from replab.keypoints.unbiased import KERNEL, refine_dark, refine_udp

QUARTER = 0.25

Refinement = Literal["sign", "sign-by-axis", "second-highest", "none", "dark", "udp"]


def highest(heatmaps: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The highest pixel of each map, N×K×2 float32, and its value, N×K.

    Of equal pixels the first counts, row by row. Where nothing is above 0 the place is (0, 0); the
    value is kept as it is.

    Args:
        heatmaps: N×K×H×W.
    """
    flat = heatmaps.flatten(2)
    index = _first_highest(flat)
    value = flat.gather(2, index[..., None])[..., 0]
    width = heatmaps.shape[-1]
    place = torch.stack((index % width, index // width), dim=-1).float()
    return place * (value > 0)[..., None], value


def refine(
    heatmaps: torch.Tensor,
    place: torch.Tensor,
    refinement: Refinement = "sign",
    *,
    kernel: int = KERNEL,
) -> torch.Tensor:
    """Places N×K×2 moved from the highest pixels toward where the maps are higher.

    Args:
        heatmaps: N×K×H×W.
        place: N×K×2, the highest pixels, whole numbers.
        refinement: `sign`: on both axes by the sign of the difference of the two neighbours, if
            1 < x < W − 1 and 1 < y < H − 1, as released (so pixel 1 is not refined, and W − 2
            is). `sign-by-axis`: the same, each axis by itself and from 0 < x < W − 1 on, as
            open-mmlab/mmpose@759b39c does. `second-highest`: by a quarter in the direction of the
            second highest pixel of the map, as the papers say. `dark` and `udp`: to the top of
            the Gaussian there, by `refine_dark` and `refine_udp`. `none`: as they are.
        kernel: px that the blur of `dark` and `udp` spans.

    Raises:
        ValueError: the refinement is unknown, or the kernel is not an odd number.
    """
    if refinement == "dark":
        return refine_dark(heatmaps, place, kernel=kernel)
    if refinement == "udp":
        return refine_udp(heatmaps, place, kernel=kernel)
    if refinement == "none":
        return place
    if refinement == "second-highest":
        return _toward_second(heatmaps, place)
    if refinement not in ("sign", "sign-by-axis"):
        raise ValueError(f"no refinement {refinement!r}")
    height, width = heatmaps.shape[-2:]
    x, y = place[..., 0].long(), place[..., 1].long()
    left, right = (x - 1).clamp(min=0), (x + 1).clamp(max=width - 1)
    above, below = (y - 1).clamp(min=0), (y + 1).clamp(max=height - 1)
    # All four neighbours in one reading: right, left, below, above.
    index = torch.stack(
        (y * width + right, y * width + left, below * width + x, above * width + x), dim=-1
    )
    near = heatmaps.flatten(2).gather(2, index)
    slope = near[..., 0::2] - near[..., 1::2]
    first = 1 if refinement == "sign" else 0
    inside = torch.stack(
        ((x > first) & (x < width - 1), (y > first) & (y < height - 1)),
        dim=-1,
    )
    if refinement == "sign":
        inside = inside.all(dim=-1, keepdim=True)
    return place + QUARTER * slope.sign().to(place) * inside


def decode(
    heatmaps: torch.Tensor,
    centre: torch.Tensor,
    scale: torch.Tensor,
    *,
    refinement: Refinement = "sign",
    kernel: int = KERNEL,
    rule: CropRule = "released",
) -> tuple[torch.Tensor, torch.Tensor]:
    """Joints in px of the image, N×K×2 float32, and their scores, N×K.

    The device of the heatmaps does the work; only the joints need to leave it.

    Args:
        heatmaps: N×K×H×W.
        centre: N×2 of the crops, in px of the image.
        scale: N×2 of the crops, in units of 200 px.
        refinement: as of `refine`.
        kernel: as of `refine`.
        rule: by which the crops were cut, as of `crop_matrix`.
    """
    place, score = highest(heatmaps)
    place = refine(heatmaps, place, refinement, kernel=kernel)
    size = (heatmaps.shape[-1], heatmaps.shape[-2])
    return to_image(place, centre, scale, size, rule=rule), score


def to_image(
    place: torch.Tensor,
    centre: torch.Tensor,
    scale: torch.Tensor,
    size: tuple[int, int],
    *,
    rule: CropRule = "released",
) -> torch.Tensor:
    """Places N×K×2 on heatmaps as places in the image.

    Neither map has a half-pixel shift between heatmap and input: pixel 0 of the one is pixel 0 of
    the other. By the rule of UDP their last pixels are the same too.

    Args:
        place: in px of the heatmap.
        centre: N×2 of the crops, in px of the image.
        scale: N×2 of the crops, in units of 200 px.
        size: width and height of the heatmap.
        rule: by which the crops were cut, as of `crop_matrix`.
    """
    matrix = crop_matrix(centre, scale, size, inverse=True, rule=rule)
    return transform(place, matrix.to(place.device))


def heatmap_accuracy(
    heatmaps: torch.Tensor, targets: torch.Tensor, *, threshold: float = 0.5
) -> tuple[torch.Tensor, torch.Tensor]:
    """Share of joints whose highest pixel lies near the target's, as logged during training.

    Distances are measured in tenths of the map's sides, as released: x in those of the *height*
    and y in those of the width. A target at x ≤ 1 or y ≤ 1 does not count.

    Args:
        heatmaps: N×K×H×W.
        targets: N×K×H×W.
        threshold: below which a distance is a hit.

    Returns:
        The mean over the joints that have a target (0 if none has), and K shares, −1 where a
        joint has none; float64.
    """
    found, _ = highest(heatmaps)
    wanted, _ = highest(targets)
    sides = torch.tensor(heatmaps.shape[-2:], dtype=torch.float64, device=heatmaps.device) / 10
    distance = ((found.double() - wanted.double()) / sides).norm(dim=-1)
    counts = (wanted > 1).all(dim=-1)
    total = counts.sum(dim=0)
    hits = ((distance < threshold) & counts).sum(dim=0)
    shares = torch.where(total > 0, hits.double() / total.clamp(min=1), -1.0)
    some = total > 0
    mean = torch.where(some, shares, 0.0).sum() / some.sum().clamp(min=1)
    return mean, shares


def _first_highest(flat: torch.Tensor) -> torch.Tensor:
    """Index N×K of the highest value of N×K×P, the first of equals."""
    # Both argmax promise the first of equals, which max along an axis does not. On a CPU NumPy's
    # takes a tenth of the time.
    if flat.device.type == "cpu" and flat.dtype in (torch.float32, torch.float64):
        return torch.from_numpy(flat.detach().numpy().argmax(axis=2))
    return flat.argmax(dim=2)


def _toward_second(heatmaps: torch.Tensor, place: torch.Tensor) -> torch.Tensor:
    width = heatmaps.shape[-1]
    flat = heatmaps.flatten(2)
    first = flat.argmax(dim=2, keepdim=True)
    second = flat.scatter(2, first, -torch.inf).argmax(dim=2, keepdim=True)
    step = torch.cat((second % width - first % width, second // width - first // width), dim=2).to(
        place
    )
    step = step / step.norm(dim=-1, keepdim=True)
    return place + QUARTER * step * (flat.gather(2, first) > 0)
