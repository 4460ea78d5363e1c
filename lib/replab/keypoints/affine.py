"""Affine maps between an image and the crop of a person, and the crops themselves.

Source: leoxiaobin/deep-high-resolution-net.pytorch@6f69e46, lib/utils/transforms.py. The centre of
the box comes to (width / 2, height / 2) of the crop, half a pixel from its true centre; only the
scale's width enters, so the crop's height follows from its aspect. Huang et al. 2020 (UDP) count
lengths in spaces between pixels, so that the box's edges come to the first and the last pixel.
"""

import math
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from replab.keypoints.boxes import PIXEL_STD

CropRule = Literal["released", "udp"]


def crop_matrix(
    centre: torch.Tensor,
    scale: torch.Tensor,
    size: tuple[int, int],
    rotation: torch.Tensor | float = 0.0,
    *,
    inverse: bool = False,
    rounded: bool = True,
    rule: CropRule = "released",
) -> torch.Tensor:
    """Matrices that take the pixels of an image to those of a crop: N×2×3, float64.

    Args:
        centre: N×2 in px of the image.
        scale: N×2 in units of 200 px.
        size: width and height of the crop, or of the heatmap.
        rotation: degrees, N or one for all; a positive one turns the image anticlockwise in the
            crop, as the eye sees it.
        inverse: from the crop to the image.
        rounded: round the three pairs of points that define the map to float32, as released;
            without, the map is exact (up to 1e-4 px of the image away).
        rule: `released`, or `udp` of Huang et al. 2020: edges of the box to the centres of the
            crop's outermost pixels, each side by its own scale, always exact. UDP's own code
            (HuangJunJie2017/UDP-Pose@9cc7e4b) counts degrees the other way round.

    Raises:
        ValueError: the rule is unknown; a width is not positive; by UDP's rule, a height is not
            either, or a side of the crop has fewer than 2 px.
    """
    if rule == "udp":
        return _udp_matrix(centre, scale, size, rotation, inverse=inverse)
    if rule != "released":
        raise ValueError(f"no rule {rule!r} for crops")
    # The released code doubles as float32 what the data sets give as float32.
    source_width = (scale[..., 0] * PIXEL_STD).double()
    if not bool((source_width > 0).all()):
        raise ValueError("the width of every crop must be above 0 px")
    degrees = torch.as_tensor(rotation, dtype=torch.float64, device=centre.device)
    radians = (degrees * (math.pi / 180)).expand(source_width.shape)
    width, height = size
    up = torch.stack((radians.sin(), -radians.cos()), dim=-1) * (0.5 * source_width)[..., None]
    first = centre.double()
    second = first + up
    if rounded:
        first, second = first.float().double(), second.float().double()
    arm = second - first
    if rounded:
        # The third point of the released code lies beside the second, rounded once more.
        third = (second.float() + _left_of(arm).float()).double()
        side = third - first
    else:
        side = arm + _left_of(arm)
    source = torch.stack((arm, side), dim=-1)
    target_arm = torch.tensor([0.0, -0.5 * width], dtype=torch.float64, device=centre.device)
    target = torch.stack((target_arm, target_arm + _left_of(target_arm)), dim=-1)
    middle = torch.tensor([0.5 * width, 0.5 * height], dtype=torch.float64, device=centre.device)
    if inverse:
        linear = source @ _inverse2(target)
        offset = first - linear @ middle
    else:
        linear = target @ _inverse2(source)
        offset = middle - (linear @ first[..., None])[..., 0]
    return torch.cat((linear, offset[..., None]), dim=-1)


def _udp_matrix(
    centre: torch.Tensor,
    scale: torch.Tensor,
    size: tuple[int, int],
    rotation: torch.Tensor | float,
    *,
    inverse: bool,
) -> torch.Tensor:
    box = (scale * PIXEL_STD).double()
    if not bool((box > 0).all()) or min(size) < 2:
        raise ValueError(f"boxes must be above 0 px, crops of 2 px or more, not {size}")
    degrees = torch.as_tensor(rotation, dtype=torch.float64, device=centre.device)
    radians = (degrees * (math.pi / 180)).expand(box.shape[:-1])
    cos, sin = radians.cos(), radians.sin()
    spaces = torch.tensor(size, dtype=torch.float64, device=centre.device) - 1
    turn = torch.stack((torch.stack((cos, sin), dim=-1), torch.stack((-sin, cos), dim=-1)), dim=-2)
    linear = (spaces / box)[..., None] * turn
    offset = spaces / 2 - (linear @ centre.double()[..., None])[..., 0]
    forward = torch.cat((linear, offset[..., None]), dim=-1)
    return invert(forward) if inverse else forward


def invert(matrix: torch.Tensor) -> torch.Tensor:
    """Inverses of affine maps, …×2×3."""
    linear = _inverse2(matrix[..., :2])
    return torch.cat((linear, -linear @ matrix[..., 2:]), dim=-1)


def compose(second: torch.Tensor, first: torch.Tensor) -> torch.Tensor:
    """The maps, …×2×3, that do `first` and then `second`."""
    linear = second[..., :2] @ first[..., :2]
    return torch.cat((linear, second[..., :2] @ first[..., 2:] + second[..., 2:]), dim=-1)


def transform(points: torch.Tensor, matrix: torch.Tensor) -> torch.Tensor:
    """Points N×K×2 through the maps N×2×3, reckoned in float64 and returned in the points' dtype.

    Further numbers of a point, as N×K×3 with a visibility, are kept as they are.
    """
    linear, offset = matrix[..., :2].double(), matrix[..., 2].double()
    moved = points[..., :2].double() @ linear.mT + offset[..., None, :]
    return torch.cat((moved.to(points.dtype), points[..., 2:]), dim=-1)


def warp(images: torch.Tensor, matrix: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Crops of images by exact bilinear interpolation on any device, zero beyond the border.

    Samples lie where OpenCV's `warpAffine` puts them. OpenCV 5 rounds such values; OpenCV 4 first
    rounds positions to 1/32 px and is up to 7 grey levels away.

    Args:
        images: C×H×W, one image of which all crops are taken, or N×C×H×W, one for each; float.
        matrix: N×2×3, from the image to the crop.
        size: width and height of the crops.

    Returns:
        N×C×height×width, float.

    Raises:
        ValueError: the images are neither float32 nor float64: places would be rounded with them.
    """
    if images.dtype not in (torch.float32, torch.float64):
        raise ValueError(f"images to be warped must be float32 or float64, not {images.dtype}")
    shared = images.ndim == 3
    width, height = size
    across, down = images.shape[-1], images.shape[-2]
    back = invert(matrix.to(images.device, torch.float64))
    x = torch.arange(width, dtype=torch.float64, device=back.device)
    y = torch.arange(height, dtype=torch.float64, device=back.device)
    # In float64 as far as to the normalised grid: pixel numbers in float32 would lose 1e-4 px.
    sides = []
    for axis, extent in ((0, across), (1, down)):
        rows = back[:, axis]
        place = (
            rows[:, 0, None, None] * x
            + rows[:, 1, None, None] * y[:, None]
            + rows[:, 2, None, None]
        )
        sides.append(((2 * place + 1) / extent - 1).to(images.dtype))
    grid = torch.stack(sides, dim=-1)
    source = images.expand(len(grid), *images.shape) if shared else images
    return functional.grid_sample(
        source, grid, mode="bilinear", padding_mode="zeros", align_corners=False
    )


def warp_opencv(
    image: NDArray[np.uint8], matrix: torch.Tensor, size: tuple[int, int]
) -> NDArray[np.uint8]:
    """Crops of one image by OpenCV's `warpAffine` as released: linear, zero beyond the border.

    Args:
        image: H×W×C.
        matrix: N×2×3, from the image to the crop.
        size: width and height of the crops.

    Returns:
        N×height×width×C; the values are those of the OpenCV that is installed.
    """
    import cv2

    width, height = size
    crops = np.empty((len(matrix), height, width, image.shape[2]), dtype=np.uint8)
    for number, forward in enumerate(matrix.double().cpu().numpy()):
        crops[number] = cv2.warpAffine(
            image, forward, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT
        ).reshape(height, width, -1)
    return crops


def normalise(
    crops: torch.Tensor, mean: tuple[float, ...], std: tuple[float, ...]
) -> torch.Tensor:
    """Crops as the network sees them: N×C×H×W of 0–255 to float32, per channel (v/255 − m)/s.

    Args:
        crops: uint8 or float.
        mean: of each channel, of 0–1 values.
        std: of each channel, of 0–1 values.
    """
    shape = (len(mean), 1, 1)
    centre = torch.tensor(mean, dtype=torch.float32, device=crops.device).view(shape)
    spread = torch.tensor(std, dtype=torch.float32, device=crops.device).view(shape)
    return (crops.float() / 255 - centre) / spread


def _left_of(direction: torch.Tensor) -> torch.Tensor:
    """Directions …×2 turned by 90°: the released third point lies there, seen from the second."""
    # The released code turns first − second by (−y, x); of second − first that is (y, −x).
    return torch.stack((direction[..., 1], -direction[..., 0]), dim=-1)


def _inverse2(matrix: torch.Tensor) -> torch.Tensor:
    a, b = matrix[..., 0, 0], matrix[..., 0, 1]
    c, d = matrix[..., 1, 0], matrix[..., 1, 1]
    adjugate = torch.stack((torch.stack((d, -b), dim=-1), torch.stack((-c, a), dim=-1)), dim=-2)
    return adjugate / (a * d - b * c)[..., None, None]
