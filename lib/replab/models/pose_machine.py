"""What Convolutional Pose Machines have in common: stages that refine each other's belief maps.

Source: Wei et al., CVPR 2016, section 3. The layers carry the names of the released Caffe networks
(shihenw/convolutional-pose-machines-release@a345bc5); `cpm_weights` reads those.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from replab.errors import UserError
from replab.models.initialisation import INITIALISATIONS
from replab.models.resnet_blocks import check_choice, check_count

INITS = tuple(INITIALISATIONS)


class PoseMachine(nn.Module):
    """Beliefs of every stage, N×M×H/s×W/s each, from images N×C×H×W whose sides s divides.

    M are the joints and, last, the background where the network has one; C is 4 with the centre
    map and 3 without; s is the stride. Source: Wei et al. 2016 section 3 and Fig. 2.

    Attributes:
        stages: number of stages, 1 or more.
        stride: px of the input in one of the belief maps.
        maps: belief maps of a stage.
        centre_map: whether the input has a fourth channel that marks the person.
        last_layers: name of each stage's last convolution, which gives its beliefs.
    """

    def __init__(self, stages: int, stride: int, maps: int, centre_map: bool) -> None:
        super().__init__()
        self.stages, self.stride, self.maps, self.centre_map = stages, stride, maps, centre_map
        # Names of the layers from the image to the first beliefs, and from a later stage's input
        # to its beliefs, in order.
        self._first: list[str] = []
        self._later: dict[int, list[str]] = {}
        if centre_map:
            # Caffe rounds the number of windows up and takes the mean of what is there.
            self.pool_center_lower = nn.AvgPool2d(stride + 1, stride, ceil_mode=True)

    @property
    def last_layers(self) -> list[str]:
        """Name of each stage's last convolution."""
        return [self._first[-1], *(self._later[stage][-1] for stage in range(2, self.stages + 1))]

    def _conv(self, path: list[str], name: str, inputs: int, outputs: int, kernel: int) -> int:
        """Add a convolution to a path, and give its number of outputs."""
        self.add_module(name, nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2))
        path.append(name)
        return outputs

    def _run(self, path: Sequence[str], x: Tensor) -> Tensor:
        for name in path:
            layer = getattr(self, name)
            x = layer(x)
            if isinstance(layer, nn.Conv2d) and name not in self.last_layers:
                x = F.relu(x)
        return x

    def split(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        """Images N×3×H×W and, where the network has one, the centre map N×1×H/s×W/s.

        Raises:
            UserError: the input has other channels, or the stride does not divide its sides.
        """
        expected = 4 if self.centre_map else 3
        height, width = x.shape[-2:]
        if x.shape[1] != expected or height % self.stride or width % self.stride:
            raise UserError(
                f"this CPM takes {expected} channels ({'with' if expected == 4 else 'without'} "
                f"centre map) and sides that are multiples of {self.stride}, not "
                f"{x.shape[1]}×{height}×{width}"
            )
        if not self.centre_map:
            return x, None
        return x[:, :3], self.pool_center_lower(x[:, 3:])

    def begin(self, images: Tensor) -> tuple[Tensor, list[Tensor]]:
        """First beliefs N×M×h×w and the image features of each later stage, N×D×h×w."""
        raise NotImplementedError

    def refine(
        self, stage: int, features: Tensor, beliefs: Tensor, centre: Tensor | None
    ) -> Tensor:
        """Beliefs of a stage, N×M×h×w, from those of the stage before.

        Args:
            stage: 2 or more.
            features: N×D×h×w, as `begin` gives them.
            beliefs: N×M×h×w.
            centre: N×1×h×w, as `split` gives it.
        """
        # The layers that give beliefs may work in another precision than the others.
        parts = self._joined(features, beliefs.to(features.dtype))
        seen = torch.cat(parts if centre is None else [*parts, centre], dim=1)
        return self._run(self._later[stage], seen)

    def _joined(self, features: Tensor, beliefs: Tensor) -> list[Tensor]:
        """What a later stage sees, in the order of its first convolution's channels."""
        return [features, beliefs]

    def forward(self, x: Tensor) -> list[Tensor]:
        """Beliefs of every stage, the last one's last."""
        images, centre = self.split(x)
        beliefs, features = self.begin(images)
        found = [beliefs]
        for stage, seen in enumerate(features, 2):
            found.append(self.refine(stage, seen, found[-1], centre))
        return found

    def convolutions(self, stage: int) -> list[str]:
        """Names of a stage's convolutions from image to beliefs, as Fig. 5 counts layers."""
        path = self._first if stage == 1 else [*self._features(stage), *self._later[stage]]
        return [name for name in path if isinstance(getattr(self, name), nn.Conv2d)]

    def _features(self, stage: int) -> list[str]:
        """Names of the layers from the image to a later stage's features, if it has its own."""
        return []

    def longest_path(self, layer: str) -> list[str]:
        """Names of the modules on the longest path to a layer, as of `receptive_fields`.

        It runs through all beliefs, whose field holds that of the features beside them.

        Raises:
            ValueError: there is no such layer.
        """
        stages = range(2, self.stages + 1)
        through_beliefs = [*self._first, *(name for s in stages for name in self._later[s])]
        for path in (through_beliefs, *(self._features(stage) for stage in stages)):
            if layer in path:
                return path[: path.index(layer) + 1]
        raise ValueError(f"this CPM has no layer {layer!r}")

    def _later_stage(self, stage: int, inputs: int, outputs: Sequence[tuple[int, int]]) -> None:
        """Add a later stage's convolutions: kernel and outputs of each."""
        path = self._later[stage] = []
        for number, (kernel, width) in enumerate(outputs, 1):
            inputs = self._conv(path, f"Mconv{number}_stage{stage}", inputs, width, kernel)

    @torch.no_grad()
    def initialise(self, init: str, last_std: float | None) -> None:
        """Draw all weights by an initialisation of `INITS`, then the last layers' anew.

        Args:
            init: its name.
            last_std: standard deviation of each stage's last layer; None leaves it alone.
        """
        INITIALISATIONS[init](self)
        for name in self.last_layers if last_std is not None else []:
            weight = self.get_submodule(name).weight
            assert isinstance(weight, Tensor)
            if not weight.is_meta:
                weight.normal_(0.0, last_std)


def check_options(
    net: str,
    num_joints: int,
    stages: int,
    centre_map: bool,
    background: bool,
    init: str,
    last_std: float | None,
    **counts: int,
) -> None:
    """Refuse values that the options of these networks do not know.

    Args:
        net: its name in messages.
        counts: further options that are positive integers.

    Raises:
        UserError: a value does not exist.
    """
    for option, value in {"num_joints": num_joints, "stages": stages, **counts}.items():
        check_count(net, option, value)
    for option, value in {"centre_map": centre_map, "background": background}.items():
        if not isinstance(value, bool):
            raise UserError(f"{net}: {option}={value!r} is neither True nor False; give one")
    check_choice(net, "init", init, INITS)
    known = last_std is None or isinstance(last_std, int | float)
    if not known or isinstance(last_std, bool) or (last_std is not None and last_std < 0):
        raise UserError(f"{net}: last_std={last_std!r} is no deviation; give 0 or more, or None")
