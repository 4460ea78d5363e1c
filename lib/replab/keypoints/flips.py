"""The mirror image of a person: its heatmaps brought back, and its joints.

Source: leoxiaobin/deep-high-resolution-net.pytorch@6f69e46, lib/utils/transforms.py and
lib/core/function.py.
"""

from collections.abc import Sequence

import torch

SHIFTS = (0, 1, 2)


def flip_back(
    heatmaps: torch.Tensor, mirror: Sequence[int] | torch.Tensor, *, shift: int = 1
) -> torch.Tensor:
    """Heatmaps N×K×H×W of mirrored images as if of the images themselves.

    Args:
        heatmaps: of the mirrored images.
        mirror: K, whence each joint's map comes: `Skeleton.mirror`, or that as a tensor on the
            device, which saves copying it each time.
        shift: px of the heatmap by which the maps are moved to the right; the first columns keep
            their values. The released evaluation uses 1, since an input mirrored by the released
            crop's rule is off by ¾ px on the grid of the heatmap; the papers do not mention it, 0
            leaves it out, and 2 is too much.

    Raises:
        ValueError: the shift is not 0, 1 or 2.
    """
    if shift not in SHIFTS:
        raise ValueError(f"the shift is 0, 1 or 2 px, not {shift}")
    order = torch.as_tensor(mirror, device=heatmaps.device)
    back = heatmaps.index_select(1, order).flip(-1)
    return torch.cat((back[..., :shift], back[..., :-shift]), dim=-1) if shift else back


def flip_average(
    heatmaps: torch.Tensor,
    mirrored: torch.Tensor,
    mirror: Sequence[int] | torch.Tensor,
    *,
    shift: int = 1,
) -> torch.Tensor:
    """Mean of the heatmaps of images and of their mirror images, N×K×H×W.

    Args:
        heatmaps: of the images.
        mirrored: of the mirrored images.
        mirror: as of `flip_back`.
        shift: as of `flip_back`.
    """
    return (heatmaps + flip_back(mirrored, mirror, shift=shift)) * 0.5


def flip_points(points: torch.Tensor, width: torch.Tensor | int) -> torch.Tensor:
    """Points …×2 of an image in its mirror image: x becomes width − 1 − x.

    Args:
        points: in px; further numbers of a point are kept.
        width: of the image in px, one or any that fits the points' x.
    """
    return torch.cat(((width - points[..., :1] - 1), points[..., 1:]), dim=-1)


def flip_joints(
    joints: torch.Tensor,
    visible: torch.Tensor,
    width: torch.Tensor | int,
    mirror: Sequence[int] | torch.Tensor,
    *,
    hide: bool = True,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Joints and visibilities of images in their mirror images.

    Args:
        joints: N×K×2 in px, or more numbers that the mirror leaves alone.
        visible: N×K, or of the joints' shape.
        width: of the image in px, one or N×1×1.
        mirror: as of `flip_back`.
        hide: multiply the joints by their visibility, as released; then invisible ones come to
            (0, 0), and mirroring twice restores visible ones only.
    """
    order = torch.as_tensor(mirror, device=joints.device)
    flipped = flip_points(joints, width).index_select(1, order)
    seen = visible.index_select(1, order)
    if hide:
        flipped = flipped * (seen if seen.ndim == joints.ndim else seen[..., None])
    return flipped, seen
