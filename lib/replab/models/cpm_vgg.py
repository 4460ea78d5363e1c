"""The Convolutional Pose Machine on VGG-19's first layers, which its authors released later."""

from torch import Tensor, nn

from replab.models.cpm_weights import infer_cpm
from replab.models.pose_machine import PoseMachine, check_options
from replab.models.preprocessing import BGR_CPM
from replab.models.registry import Model, register

# VGG-19 up to conv4_2: convolutions of each block and their channels.
BLOCKS = ((2, 64), (2, 128), (4, 256), (2, 512))


class VGGPoseMachine(PoseMachine):
    """The released network on VGG-19's first ten layers, whose features all stages share.

    Source: the network of `pose_iter_320000`, shihenw/
    convolutional-pose-machines-release@a345bc5.
    """

    def __init__(self, stages: int, maps: int, centre_map: bool) -> None:
        super().__init__(stages, 8, maps, centre_map)
        width = 3
        for block, (count, channels) in enumerate(BLOCKS, 1):
            for number in range(1, count + 1):
                width = self._conv(self._first, f"conv{block}_{number}", width, channels, 3)
            if block < len(BLOCKS):
                name = f"pool{block}_stage1"
                self.add_module(name, nn.MaxPool2d(2, 2, ceil_mode=True))
                self._first.append(name)
        for number, channels in ((3, 256), (4, 256), (5, 256), (6, 256), (7, 128)):
            width = self._conv(self._first, f"conv4_{number}_CPM", width, channels, 3)
        self._shared = len(self._first)
        seen = width + maps + int(centre_map)
        width = self._conv(self._first, "conv5_1_CPM", width, 512, 1)
        self._conv(self._first, "conv5_2_CPM", width, maps, 1)
        for stage in range(2, stages + 1):
            self._later_stage(stage, seen, [(7, 128)] * 5 + [(1, 128), (1, maps)])

    def begin(self, images: Tensor) -> tuple[Tensor, list[Tensor]]:
        """First beliefs and the features, the same for each later stage."""
        features = self._run(self._first[: self._shared], images)
        beliefs = self._run(self._first[self._shared :], features)
        return beliefs, [features] * (self.stages - 1)

    def _joined(self, features: Tensor, beliefs: Tensor) -> list[Tensor]:
        return [beliefs, features]


def cpm_vgg(
    *,
    num_joints: int = 14,
    stages: int = 6,
    centre_map: bool = True,
    background: bool = True,
    init: str = "he",
    last_std: float | None = None,
) -> VGGPoseMachine:
    """The released variant on VGG-19, whose weights that net started from; options as of `cpm`.

    Raises:
        UserError: an option has a value that does not exist.
    """
    check_options("cpm_vgg", num_joints, stages, centre_map, background, init, last_std)
    net = VGGPoseMachine(stages, num_joints + int(background), centre_map)
    net.initialise(init, last_std)
    return net


register(
    Model(
        name="cpm_vgg",
        build=cpm_vgg,
        output="heatmaps",
        input_shape=(4, 368, 368),
        size_divisor=8,
        preprocessing=BGR_CPM,
        tensor_prefix="conv4_7_CPM.weight",
        infer=infer_cpm,
    )
)
