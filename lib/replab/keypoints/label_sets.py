"""Label sets of Convolutional Pose Machines: whom the first stage is to see, and whom the others.

The first stage sees everybody in the crop, the later ones only the person in the middle, whom a
centre map marks. Source: Wei et al. 2016 section 4.2; shihenw/caffe@d154e89,
data_transformer.cpp (generateLabelMap, putGaussianMaps).
"""

from typing import NamedTuple

import torch

# In px of a network input of 368 px.
SIGMA = 7.0
CENTRE_SIGMA = 21.0
# A Gaussian ends where this is exceeded in its exponent: just below 1 %.
CUT = 4.6052
# A joint is drawn if its visibility is above this.
DRAWN = 0.5


class LabelSets(NamedTuple):
    """Target maps B×(K + 1)×h×w, float32, 0–1; the last map is the background.

    Attributes:
        everyone: of all people in the crop, for the first stage.
        middle: of the person in its middle, for the later stages.
    """

    everyone: torch.Tensor
    middle: torch.Tensor


def label_sets(
    joints: torch.Tensor,
    visible: torch.Tensor,
    size: tuple[int, int],
    *,
    stride: float = 8.0,
    sigma: float = SIGMA,
) -> LabelSets:
    """Both label sets of B crops, the first of whose P people is the one in the middle.

    Args:
        joints: B×P×K×2 (or more, ignored) in px of the network's input; those that are not drawn
            may be no numbers.
        visible: B×P×K, 0–1; places of people who are not there hold zeros.
        size: width and height of the maps in px.
        stride: px of the input in a pixel of the maps.
        sigma: of the Gaussians, in px of the input.

    Raises:
        ValueError: as of `belief_targets`.
    """
    everyone = belief_targets(joints, visible, size, stride=stride, sigma=sigma)
    middle = belief_targets(joints[:, :1], visible[:, :1], size, stride=stride, sigma=sigma)
    return LabelSets(everyone, middle)


def belief_targets(
    joints: torch.Tensor,
    visible: torch.Tensor,
    size: tuple[int, int],
    *,
    stride: float = 8.0,
    sigma: float = SIGMA,
) -> torch.Tensor:
    """Target maps B×(K + 1)×h×w, float32, of all people given: joints, then the background.

    Pixel (0, 0) of the maps stands for the place stride / 2 − 0.5 px into the input along each
    axis. Several people's Gaussians are added, then limited to 1; the background is 1 less the
    highest of the joints. Args as of `label_sets`.

    Raises:
        ValueError: sigma or stride is not positive, there are no joints, or the shapes of joints
            and visibilities differ.
    """
    if joints.dim() != 4 or not joints.shape[2] or joints.shape[:3] != visible.shape:
        raise ValueError(
            f"joints {tuple(joints.shape)} and visibilities {tuple(visible.shape)} are not "
            "B×P×K×2 and B×P×K with K of 1 or more"
        )
    drawn = visible > DRAWN
    gaussians = _gaussians(joints[..., :2], drawn, size, stride, sigma)
    parts = gaussians.sum(1).clamp(max=1.0)
    background = 1.0 - parts.amax(1, keepdim=True)
    return torch.cat((parts, background), dim=1).float()


def centre_map(
    centre: torch.Tensor, size: tuple[int, int], *, sigma: float = CENTRE_SIGMA, cut: bool = True
) -> torch.Tensor:
    """The network's fourth channel, B×1×H×W, float32: a Gaussian at the person in the middle.

    Args:
        centre: B×2 in px of the input.
        size: width and height of the input in px.
        sigma: in px of the input.
        cut: end the Gaussian at 1 %, as released in training; in testing the released code lets
            it run on.

    Raises:
        ValueError: sigma is not positive.
    """
    there = torch.ones(len(centre), 1, 1, dtype=torch.bool, device=centre.device)
    places = centre[:, None, None, :2]
    return _gaussians(places, there, size, 1.0, sigma, cut=cut)[:, 0].float()


def people_of_pictures(
    pictures: torch.Tensor, joints: torch.Tensor, visible: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """For each of N people, all people of the same picture, that person first.

    Args:
        pictures: N, a number that is the same for people of the same picture.
        joints: N×K×2 (or more) in px of the picture.
        visible: N×K.

    Returns:
        N×P×K×2 joints and N×P×K visibilities, P being the most people in a picture; places that
        remain hold zeros.
    """
    count = len(pictures)
    _, group = torch.unique(pictures, return_inverse=True)
    order = torch.argsort(group, stable=True)
    sizes = torch.bincount(group) if count else group
    starts = sizes.cumsum(0) - sizes
    rank = torch.empty_like(order)
    rank[order] = torch.arange(count, device=order.device) - starts[group[order]]
    most = int(sizes.max()) if count else 1
    places = torch.arange(most, device=order.device)
    mates = sizes[group][:, None]
    # Round the picture's people from each person on, so that everyone comes first in their own.
    turn = starts[group][:, None] + (rank[:, None] + places) % mates.clamp(min=1)
    chosen = order[turn]
    here = (places < mates)[..., None]
    together = torch.where(here[..., None], joints[chosen], 0)
    return together, torch.where(here, visible[chosen], 0)


def _gaussians(
    places: torch.Tensor,
    drawn: torch.Tensor,
    size: tuple[int, int],
    stride: float,
    sigma: float,
    *,
    cut: bool = True,
) -> torch.Tensor:
    """Gaussians B×P×K×h×w, float64, at places B×P×K×2; of those not drawn, zeros."""
    if sigma <= 0 or stride <= 0:
        raise ValueError(f"sigma {sigma} and stride {stride} must be above 0")
    # In float64, so that where a Gaussian ends does not depend on float32's last bit.
    places = torch.where(drawn[..., None], places.double(), 0.0)
    exponents = []
    for axis, length in enumerate(size):
        pixels = torch.arange(length, dtype=torch.float64, device=places.device)
        distance = stride / 2 - 0.5 + pixels * stride - places[..., axis, None]
        exponents.append(distance**2 / (2 * sigma**2))
    across, down = exponents
    exponent = down[..., :, None] + across[..., None, :]
    inside = drawn[..., None, None]
    if cut:
        inside = inside & (exponent <= CUT)
    return torch.where(inside, (-exponent).exp(), 0.0)
