"""Places finer than the heatmap's pixels: Newton's step to the top of the Gaussian around a peak.

Source: Zhang et al. 2020 (DARK), §3.1, and ilovepose/DarkPose@101e98d, lib/core/inference.py;
Huang et al. 2020 (UDP); open-mmlab/mmpose@759b39c, mmpose/codecs/utils/refinement.py (both).
"""

import torch

# Of heatmaps with sigma 2.
KERNEL = 11
# Levels beyond which a logarithm says nothing; UDP's upper one no map of peak 1 reaches.
DARK_RANGE = (1e-10, torch.inf)
UDP_RANGE = (1e-3, 50.0)
# Added to UDP's second derivatives along the axes, so that flat maps can be solved.
UDP_RIDGE = torch.finfo(torch.float32).eps


def blur_kernel(sigma: float) -> int:
    """Width in px of the blur that fits heatmaps of this sigma: 11 for 2, 17 for 3.

    OpenCV takes sigma = 0.3 ((k − 1) / 2 − 1) + 0.8 for a kernel of k px; this is the widest odd k
    whose sigma is no larger.

    Raises:
        ValueError: sigma is below 0.8 px, where no kernel fits.
    """
    if sigma < 0.8:
        raise ValueError(f"no blur fits heatmaps of sigma {sigma}; it must be 0.8 px or more")
    # Not quite 4 spaces of 0.3 lie between 0.8 and 2 in floating point.
    return 2 * int((sigma - 0.8) / 0.3 + 1 + 1e-6) + 1


def blur(heatmaps: torch.Tensor, kernel: int = KERNEL) -> torch.Tensor:
    """Maps N×K×H×W blurred by a Gaussian, zero beyond the border, float32 or float64.

    Equal to OpenCV's `GaussianBlur` for kernels of 11 px and more; for smaller ones OpenCV has
    tables of rounded weights.

    Args:
        heatmaps: N×K×H×W.
        kernel: px that the Gaussian spans; its sigma follows as of `blur_kernel`.

    Raises:
        ValueError: the kernel is not an odd number above 1.
    """
    maps = heatmaps if heatmaps.dtype == torch.float64 else heatmaps.float()
    # Two products with band matrices: a fraction of the time that convolutions take on a CPU, and
    # of full precision on a GPU, where convolutions round to TF32.
    down, across = (_band(length, 0, kernel).to(maps) for length in maps.shape[-2:])
    return torch.matmul(down, torch.matmul(maps, across))


def refine_dark(
    heatmaps: torch.Tensor, place: torch.Tensor, *, kernel: int = KERNEL
) -> torch.Tensor:
    """Places N×K×2 moved to the top of a Gaussian, as DARK does.

    One step of Newton's method on the logarithm of the blurred map, with differences over ±1 and
    ±2 px, where 1 < x < W − 2 and 1 < y < H − 2; elsewhere, and where the second derivatives are
    singular, the place stays. The step is not bounded, as published: a map without a clear peak
    may send a joint far away.

    Args:
        heatmaps: N×K×H×W.
        place: N×K×2, the highest pixels, whole numbers.
        kernel: px that the blur spans.

    Raises:
        ValueError: the kernel is not an odd number above 1.
    """
    v = _log_around(heatmaps, place, 2, kernel, DARK_RANGE)
    step = _newton(
        dx=(v[..., 2, 3] - v[..., 2, 1]) / 2,
        dy=(v[..., 3, 2] - v[..., 1, 2]) / 2,
        dxx=(v[..., 2, 4] - 2 * v[..., 2, 2] + v[..., 2, 0]) / 4,
        dyy=(v[..., 4, 2] - 2 * v[..., 2, 2] + v[..., 0, 2]) / 4,
        dxy=(v[..., 3, 3] - v[..., 1, 3] - v[..., 3, 1] + v[..., 1, 1]) / 4,
    )
    limits = torch.tensor(heatmaps.shape[:-3:-1], device=place.device) - 2
    inside = ((place > 1) & (place < limits)).all(dim=-1, keepdim=True)
    return place + torch.where(inside, step, 0.0).to(place.dtype)


def refine_udp(
    heatmaps: torch.Tensor, place: torch.Tensor, *, kernel: int = KERNEL
) -> torch.Tensor:
    """Places N×K×2 moved to the top of a Gaussian, as UDP does.

    One step of Newton's method on the logarithm of the blurred map, clipped to 1e-3–50, with
    differences over ±1 px; pixels beyond the border are those at it. The step is not bounded, as
    published. Maps without a value above 0 keep their place, where the published code divides by
    zero.

    Args:
        heatmaps: N×K×H×W.
        place: N×K×2, the highest pixels, whole numbers.
        kernel: px that the blur spans; mmpose has 11 for every sigma, UDP's own code 7 and
            another scaling of the blurred map.

    Raises:
        ValueError: the kernel is not an odd number above 1.
    """
    v = _log_around(heatmaps, place, 1, kernel, UDP_RANGE)
    here, right, left = v[..., 1, 1], v[..., 1, 2], v[..., 1, 0]
    below, above = v[..., 2, 1], v[..., 0, 1]
    step = _newton(
        dx=(right - left) / 2,
        dy=(below - above) / 2,
        dxx=right - 2 * here + left + UDP_RIDGE,
        dyy=below - 2 * here + above + UDP_RIDGE,
        dxy=(v[..., 2, 2] - right - below + 2 * here - left - above + v[..., 0, 0]) / 2,
    )
    peaked = heatmaps.flatten(2).amax(dim=2, keepdim=True) > 0
    return place + torch.where(peaked, step, 0.0).to(place.dtype)


def _band(length: int, offset: int, kernel: int) -> torch.Tensor:
    """Weights (length − 2·offset)×length, float64, of a blur along a line.

    The first row is that of the pixel `offset`; beyond the line there is nothing.
    """
    if kernel < 3 or kernel % 2 == 0:
        raise ValueError(f"a blur spans an odd number of px above 1, not {kernel}")
    sigma = 0.3 * ((kernel - 1) / 2 - 1) + 0.8
    distance = torch.arange(kernel, dtype=torch.float64) - kernel // 2
    weights = torch.exp(-(distance**2) / (2 * sigma**2))
    weights /= weights.sum()
    pixels = torch.arange(length)
    apart = pixels[offset : length - offset, None] - pixels + kernel // 2
    reached = (apart >= 0) & (apart < kernel)
    return torch.where(reached, weights[apart.clamp(0, kernel - 1)], 0.0)


def _log_around(
    heatmaps: torch.Tensor,
    place: torch.Tensor,
    reach: int,
    kernel: int,
    levels: tuple[float, float],
) -> torch.Tensor:
    """Logarithms of the blurred maps in squares around places, N×K×S×S, float64.

    The blurred maps are scaled to the highest value that each map had before, and clipped. Pixels
    beyond the border are those at it.

    Args:
        heatmaps: N×K×H×W.
        place: N×K×2, whole numbers.
        reach: px from a square's middle to its sides, S = 2·reach + 1.
        kernel: px that the blur spans.
        levels: at which the values are clipped.
    """
    near = _blurred_around(heatmaps, place, reach, kernel)
    least, most = levels
    before = heatmaps.flatten(2).amax(dim=2).double()
    # Derivatives of a logarithm do not feel a factor, and that of the scaling is never below 1
    # for maps that are above 0 somewhere: only clipping needs to know how high the blurred maps
    # are, and few maps need to be blurred as a whole.
    clipped = (near.flatten(2).amin(dim=2) < least) | (before > most)
    if bool(clipped.any()):
        after = blur(heatmaps[clipped][:, None], kernel).flatten(1).amax(dim=1).double()
        factor = torch.where(after == 0, 1.0, before[clipped] / after)
        near[clipped] *= factor[:, None, None]
    return near.clamp(least, most).log()


def _blurred_around(
    heatmaps: torch.Tensor, place: torch.Tensor, reach: int, kernel: int
) -> torch.Tensor:
    """The blurred maps in squares around places, as of `_log_around`."""
    height, width = heatmaps.shape[-2:]
    border = kernel // 2
    offsets = torch.arange(-reach - border, reach + border + 1, device=place.device)
    x, y = (place[..., axis, None].long() + offsets for axis in (0, 1))
    index = (y.clamp(0, height - 1) * width)[..., None] + x.clamp(0, width - 1)[..., None, :]
    squares = heatmaps.flatten(2).gather(2, index.flatten(2)).unflatten(2, index.shape[2:])
    squares = squares if squares.dtype == torch.float64 else squares.float()
    squares = squares * ((y >= 0) & (y < height))[..., None]
    squares = squares * ((x >= 0) & (x < width))[..., None, :]
    weights = _band(len(offsets), border, kernel).to(squares)
    blurred = torch.matmul(torch.matmul(squares, weights.mT).mT, weights.mT).mT.double()
    # Where a square reaches beyond the border, the pixels at it.
    size = 2 * reach + 1
    within = torch.arange(size, device=place.device) - reach
    column, row = (place[..., axis, None].long() for axis in (0, 1))
    columns = (column + within).clamp(0, width - 1) - column + reach
    rows = (row + within).clamp(0, height - 1) - row + reach
    index = (rows * size)[..., None] + columns[..., None, :]
    return blurred.flatten(2).gather(2, index.flatten(2)).unflatten(2, (size, size))


def _newton(
    *,
    dx: torch.Tensor,
    dy: torch.Tensor,
    dxx: torch.Tensor,
    dyy: torch.Tensor,
    dxy: torch.Tensor,
) -> torch.Tensor:
    """Steps N×K×2 to where the first derivatives vanish, 0 where the second are singular."""
    determinant = dxx * dyy - dxy**2
    step = torch.stack((dxy * dy - dyy * dx, dxy * dx - dxx * dy), dim=-1)
    solvable = (determinant != 0)[..., None]
    return torch.where(solvable, step / determinant[..., None], 0.0)
