"""Object keypoint similarity (OKS): of COCO's evaluator, and of the authors' suppression.

NumPy, since both follow a network whose joints have left the device. Sources: pycocotools 2.0.11,
cocoeval.py; leoxiaobin/deep-high-resolution-net.pytorch@6f69e46, lib/nms/nms.py.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from replab.keypoints.boxes import PIXEL_STD

# What the evaluator adds to areas, so that an area of 0 divides.
EPSILON = np.spacing(1.0)


def falloff(sigmas: Sequence[float]) -> NDArray[np.float64]:
    """The evaluator's `vars` of K joints, (2σ)²."""
    return (np.asarray(sigmas, dtype=np.float64) * 2) ** 2


def similarity_terms(
    found: NDArray[Any], wanted: NDArray[Any], area: NDArray[Any], sigmas: Sequence[float]
) -> NDArray[np.float64]:
    """What each joint adds to OKS before the mean, exp(−d² / (2 · area · (2σ)²)), …×K.

    Leading axes broadcast. Distances are squared in the dtype of the joints, as released, and
    divided in float64.

    Args:
        found: …×K×2, px.
        wanted: …×K×2, px.
        area: …, px².
        sigmas: K.
    """
    away = found - wanted
    squared = away[..., 0] ** 2 + away[..., 1] ** 2
    wide = np.asarray(area, dtype=np.float64)[..., None] + EPSILON
    return np.exp(-(squared / falloff(sigmas) / wide / 2))


def truth_oks(
    found: NDArray[Any],
    wanted: NDArray[Any],
    visible: NDArray[Any],
    boxes: NDArray[Any],
    areas: NDArray[Any],
    sigmas: Sequence[float],
) -> NDArray[np.float64]:
    """OKS of detections and annotated people as COCO's evaluator counts it, …×D×G.

    The mean goes over a person's annotated joints. A person without any is compared by how far
    the detected joints lie outside the box doubled to each side, over all K joints: one inside
    counts as found, so such a person takes up detections near it.

    Args:
        found: …×D×K×2, px.
        wanted: …×G×K×2, px.
        visible: …×G×K, above 0 where a joint is annotated.
        boxes: …×G×4, x, y, width, height in px.
        areas: …×G, of the segment in px².
        sigmas: K.
    """
    annotated = visible > 0
    counts = annotated.sum(axis=-1)
    none = counts == 0
    near = similarity_terms(
        found[..., :, None, :, :], wanted[..., None, :, :, :], areas[..., None, :], sigmas
    )
    near = np.where(annotated[..., None, :, :], near, 0)
    oks = near.sum(axis=-1) / np.maximum(counts, 1)[..., None, :]
    corner, extent = boxes[..., :2], boxes[..., 2:]
    low, high = corner - extent, corner + extent * 2
    spots = found[..., :, None, :, :]
    beyond = np.maximum(low[..., None, :, None, :] - spots, 0)
    beyond = beyond + np.maximum(spots - high[..., None, :, None, :], 0)
    outside = similarity_terms(beyond, np.zeros(2), areas[..., None, :], sigmas).mean(axis=-1)
    return np.where(none[..., None, :], outside, oks)


def pose_oks(
    one: NDArray[Any],
    other: NDArray[Any],
    area_one: NDArray[Any],
    area_other: NDArray[Any],
    sigmas: Sequence[float],
) -> NDArray[np.float64]:
    """OKS of two detected poses as the authors' suppression counts it.

    All K joints count, whatever their scores, and the area is the mean of the two. Leading axes
    broadcast.

    Args:
        one: …×K×2, px.
        other: …×K×2, px.
        area_one: …, px², of `crop_areas`.
        area_other: …, px², of `crop_areas`.
        sigmas: K.
    """
    return similarity_terms(one, other, (area_one + area_other) / 2, sigmas).mean(axis=-1)


def crop_areas(scale: NDArray[Any]) -> NDArray[Any]:
    """Areas of crops in px², N: what the authors' suppression takes for a person's area.

    The scale is that of the crop, padding included: 1.25² times the box at the input's aspect.

    Args:
        scale: N×2, in units of 200 px.
    """
    return np.prod(scale * PIXEL_STD, axis=1)
