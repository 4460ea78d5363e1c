"""What published weights expect of an image: order of the channels, mean and deviation of each.

Mean and deviation are of 0–1 values, in the order of the channels as the network sees them.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
RGB_IMAGENET: Mapping[str, Any] = MappingProxyType(
    {"colour": "RGB", "mean": list(IMAGENET_MEAN), "std": list(IMAGENET_STD)}
)
# The released SimpleBaseline weights take OpenCV's order of channels, and the means and deviations
# of R, G, B in that very order for B, G, R (leoxiaobin/deep-high-resolution-net.pytorch#15).
BGR_IMAGENET: Mapping[str, Any] = MappingProxyType({**RGB_IMAGENET, "colour": "BGR"})
# The released CPM weights take OpenCV's order too, as (x − 128) / 256 of values 0–255 (shihenw/
# convolutional-pose-machines-release@a345bc5, testing/src/applyModel.m).
BGR_CPM: Mapping[str, Any] = MappingProxyType(
    {"colour": "BGR", "mean": [128 / 255] * 3, "std": [256 / 255] * 3}
)
