"""The half-body crop of training: the box around the joints of one half of a person.

Source: leoxiaobin/deep-high-resolution-net.pytorch@6f69e46, lib/dataset/JointsDataset.py; Sun et
al. 2019, §4.1, after Wang et al. 2018 (MSCOCO keypoint challenge).
"""

from collections.abc import Sequence

import torch

from replab.keypoints.boxes import PIXEL_STD

PADDING = 1.5
# Fewer joints of a half than this are not preferred, and of neither half make a crop.
ENOUGH, FEWEST = 3, 2


def half_body(
    joints: torch.Tensor,
    visible: torch.Tensor,
    upper: Sequence[int],
    aspect: float,
    prefer_upper: torch.Tensor,
    *,
    padding: float = PADDING,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Centre and scale of the crops around one half of each person.

    The half asked for is taken if at least 3 of its joints are visible, else the other; of the
    lower half's failing, the upper half is taken in any case. Where the chosen half has fewer than
    2 visible joints there is no crop, and the person keeps its own.

    Args:
        joints: N×K×2 in px of the image.
        visible: N×K, above 0 for visible.
        upper: indices of the upper half, `Skeleton.upper`; all others are the lower one.
        aspect: width through height of the network's input.
        prefer_upper: N booleans; the released code draws a *normal* number below 0.5, so that 69 %
            of people get the upper half, where a uniform one was probably meant.
        padding: factor on width and height.

    Returns:
        centre N×2 in px and scale N×2 in units of 200 px, both float32, and N booleans: whether
        there is a crop. Where there is none, the numbers mean nothing, but are finite.
    """
    seen = visible > 0
    above = torch.zeros(seen.shape[1], dtype=torch.bool, device=seen.device)
    above[torch.tensor(tuple(upper), device=seen.device)] = True
    uppers, lowers = seen & above, seen & ~above
    enough_above = uppers.sum(dim=1) >= ENOUGH
    enough_below = lowers.sum(dim=1) >= ENOUGH
    take_upper = (prefer_upper & enough_above) | ~enough_below
    chosen = torch.where(take_upper[:, None], uppers, lowers)
    count = chosen.sum(dim=1)
    there = count >= FEWEST
    points = joints[..., :2].float()
    inside = chosen[..., None]
    centre = torch.where(inside, points, 0.0).sum(dim=1) / count.clamp(min=1)[:, None]
    begin = torch.where(inside, points, torch.inf).amin(dim=1)
    end = torch.where(inside, points, -torch.inf).amax(dim=1)
    width, height = torch.where(there[:, None], end - begin, 0.0).unbind(dim=1)
    wide = width > aspect * height
    extent = torch.stack(
        (
            torch.where(wide, width, height * aspect),
            torch.where(wide, width / aspect, height),
        ),
        dim=1,
    )
    return centre, extent / PIXEL_STD * padding, there
