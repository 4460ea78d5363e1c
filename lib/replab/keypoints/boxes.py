"""From the box around a person to the centre and scale of its crop, as released and as meant.

Source: leoxiaobin/deep-high-resolution-net.pytorch@6f69e46, lib/dataset/coco.py and mpii.py. A
scale is the crop's width and height in units of 200 px.
"""

from typing import Literal

import torch

PIXEL_STD = 200.0
PADDING = 1.25
# A centre x of -1 stands for a missing centre; the released code leaves such people unenlarged.
MISSING = -1.0


def clip_boxes(
    boxes: torch.Tensor,
    images: torch.Tensor,
    *,
    clip: Literal["released", "cut"] = "released",
) -> tuple[torch.Tensor, torch.Tensor]:
    """Boxes within their images, for the route of annotated boxes; detected ones are not clipped.

    Args:
        boxes: N×4, x, y, width, height in px.
        images: N×2, width and height of each box's image in px.
        clip: `released` places the right and lower edge at the *clipped* left and upper edge plus
            the width less 1, so that a box which begins outside is moved, not cut; `cut` is the
            intersection with the image, its edges on the pixels' centres likewise.

    Returns:
        N×4 boxes, one pixel narrower and lower than given, and N booleans: whether anything of
        the box is left.
    """
    corner, extent = boxes[..., :2], (boxes[..., 2:] - 1).clamp(min=0)
    begin = corner.clamp(min=0)
    end = (begin if clip == "released" else corner) + extent
    end = torch.minimum(end, images.to(boxes) - 1)
    return torch.cat((begin, end - begin), dim=-1), (end >= begin).all(dim=-1)


def usable(area: torch.Tensor, crowd: torch.Tensor, keypoints: torch.Tensor) -> torch.Tensor:
    """Whether an annotation is one of a single person with keypoints: N booleans.

    Args:
        area: N, of the segment in px².
        crowd: N, true or 1 for crowds.
        keypoints: N×K×3, x, y, visibility; of people without keypoints no number is above 0.
    """
    return (area > 0) & ~crowd.bool() & (keypoints.flatten(1).amax(dim=1) != 0)


def centre_scale(
    boxes: torch.Tensor,
    aspect: float,
    *,
    padding: float = PADDING,
    skip_missing: bool = True,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Centre and scale of the crops around boxes, widened or heightened to the input's aspect.

    Args:
        boxes: N×4, x, y, width, height in px; given in float64 they give the released numbers to
            the last bit.
        aspect: width through height of the network's input.
        padding: factor on width and height.
        skip_missing: leave out the padding where the centre's x is exactly -1, as released; the
            papers name no such exception.

    Returns:
        centre N×2 in px and scale N×2 in units of 200 px, both float32.

    Raises:
        ValueError: the aspect is not positive.
    """
    if not aspect > 0:
        raise ValueError(f"aspect is width through height, above 0, and not {aspect}")
    corner, width, height = boxes[..., :2], boxes[..., 2], boxes[..., 3]
    centre = (corner + boxes[..., 2:] * 0.5).float()
    wide = width > aspect * height
    extent = torch.stack(
        (
            torch.where(wide, width, height * aspect),
            torch.where(wide, width / aspect, height),
        ),
        dim=-1,
    )
    scale = (extent / PIXEL_STD).float()
    return centre, _padded(centre, scale, padding, skip_missing)


def mpii_centre_scale(
    centre: torch.Tensor,
    scale: torch.Tensor,
    *,
    padding: float = PADDING,
    shift: float = 15.0,
    skip_missing: bool = True,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Centre and scale of the crops around people of MPII, from the annotation's.

    Args:
        centre: N×2, counted from 1 as annotated.
        scale: N, height of the person in units of 200 px.
        padding: factor on the scale.
        shift: px by which the centre is lowered, times the scale, so that legs are not cut off.
        skip_missing: neither lower nor pad where the centre's x is exactly -1, as released.

    Returns:
        centre N×2 in px, counted from 0, and scale N×2 (the same twice), of the dtype given.
    """
    lowered = centre.clone()
    lowered[..., 1] += shift * scale
    if skip_missing:
        lowered = torch.where(centre[..., :1] == MISSING, centre, lowered)
    both = scale[..., None].expand(*scale.shape, 2)
    return from_one(lowered), _padded(centre, both, padding, skip_missing)


def from_one(points: torch.Tensor) -> torch.Tensor:
    """Points counted from 0, of points counted from 1 as in MPII's and LSP's annotations."""
    return points - 1


def _padded(
    centre: torch.Tensor, scale: torch.Tensor, padding: float, skip_missing: bool
) -> torch.Tensor:
    padded = scale * padding
    return torch.where(centre[..., :1] == MISSING, scale, padded) if skip_missing else padded
