"""Convolutional Pose Machines (Wei et al., CVPR 2016), as released or scaled down."""

from collections.abc import Sequence

from torch import Tensor, nn

from replab.errors import UserError
from replab.models.cpm_weights import infer_cpm
from replab.models.pose_machine import PoseMachine, check_options
from replab.models.preprocessing import BGR_CPM
from replab.models.registry import Form, Model, register
from replab.models.resnet_blocks import check_choice, check_count

SHARED = ("tower", "features", "none")
POOLS = (2, 3)


class CPM(PoseMachine):
    """The network of the paper, with a tower of convolutions for stage 1 and one for the others.

    Args and source: as of `cpm`; genProto.py of the released code for the layers.
    """

    def __init__(
        self,
        stages: int,
        maps: int,
        tower: Sequence[int],
        stride: int,
        kernels: tuple[int, int, int, int],
        widths: tuple[int, int, int],
        stage_layers: int,
        pool: int,
        shared: str,
        centre_map: bool,
        dropout: float,
    ) -> None:
        super().__init__(stages, stride, maps, centre_map)
        tower_kernel, image_kernel, head_kernel, stage_kernel = kernels
        image_width, head_width, stage_width = widths
        self._form = (tuple(tower), tower_kernel, image_kernel, image_width, pool)
        self._towers: dict[int, list[str]] = {}
        self._images: dict[int, list[str]] = {}
        width = self._tower(self._first, 1)
        width = self._conv(
            self._first, f"conv{len(tower) + 1}_stage1", width, image_width, image_kernel
        )
        for number, kernel in ((len(tower) + 2, head_kernel), (len(tower) + 3, 1)):
            width = self._conv(self._first, f"conv{number}_stage1", width, head_width, kernel)
            drop = f"drop{number - len(tower) - 1}_stage1"
            self.add_module(drop, nn.Dropout(dropout))
            self._first.append(drop)
        self._conv(self._first, f"conv{len(tower) + 4}_stage1", width, maps, 1)
        inputs = image_width + maps + int(centre_map)
        layers = [(stage_kernel, stage_width)] * stage_layers + [(1, stage_width), (1, maps)]
        for stage in range(2, stages + 1):
            self._own_features(stage, shared)
            self._later_stage(stage, inputs, layers)

    def _tower(self, path: list[str], stage: int) -> int:
        widths, kernel, _, _, pool = self._form
        inputs = 3
        halvings = self.stride.bit_length() - 1
        for number, outputs in enumerate(widths, 1):
            inputs = self._conv(path, f"conv{number}_stage{stage}", inputs, outputs, kernel)
            if number <= halvings:
                name = f"pool{number}_stage{stage}"
                self.add_module(name, nn.MaxPool2d(pool, 2, ceil_mode=True))
                path.append(name)
        return inputs

    def _own_features(self, stage: int, shared: str) -> None:
        """Add what a later stage sees of the image, as far as it is not an earlier stage's."""
        widths, _, kernel, outputs, _ = self._form
        own_tower = stage == 2 or shared == "none"
        self._towers[stage] = [] if own_tower else self._towers[2]
        if own_tower:
            self._tower(self._towers[stage], stage)
        if stage > 2 and shared == "features":
            self._images[stage] = self._images[2]
            return
        # As released: a stage without a tower of its own counts its layers from 1.
        name = f"conv{len(widths) + 1 if own_tower else 1}_stage{stage}"
        self._images[stage] = []
        self._conv(self._images[stage], name, widths[-1], outputs, kernel)

    def begin(self, images: Tensor) -> tuple[Tensor, list[Tensor]]:
        """First beliefs and the image features of each later stage, shared ones computed once."""
        done: dict[tuple[str, ...], Tensor] = {}
        features: list[Tensor] = []
        for stage in range(2, self.stages + 1):
            tower, path = tuple(self._towers[stage]), tuple(self._features(stage))
            if tower not in done:
                done[tower] = self._run(tower, images)
            if path not in done:
                done[path] = self._run(self._images[stage], done[tower])
            features.append(done[path])
        return self._run(self._first, images), features

    def _features(self, stage: int) -> list[str]:
        return [*self._towers[stage], *self._images[stage]]


def cpm(
    *,
    num_joints: int = 14,
    stages: int = 6,
    stride: int = 8,
    tower: Sequence[int] = (128, 128, 128),
    tower_kernel: int = 9,
    image_kernel: int = 5,
    image_width: int = 32,
    head_kernel: int = 9,
    head_width: int = 512,
    stage_kernel: int = 11,
    stage_width: int = 128,
    stage_layers: int = 3,
    pool: int = 3,
    shared: str = "tower",
    centre_map: bool = True,
    background: bool = True,
    dropout: float = 0.5,
    init: str = "constant",
    last_std: float | None = None,
) -> CPM:
    """Convolutional Pose Machine, as released unless told otherwise.

    Args:
        num_joints: belief maps beside the background's.
        stages: 1 or more (the paper: up to 6).
        stride: px of the input in one of the maps, a power of 2: the first log2(stride)
            convolutions of the tower are followed by a pooling that halves the map.
        tower: channels of each of the first convolutions on the image.
        tower_kernel: of these.
        image_kernel, image_width: of the convolution after the tower.
        head_kernel, head_width: of the two wide layers of stage 1, the second being 1×1.
        stage_kernel, stage_width, stage_layers: of the convolutions of a later stage, before its
            two 1×1 ones; `stage_layers` is the number of those of `stage_kernel`.
        pool: 3, as released, or 2, by which the paper counts its receptive fields.
        shared: what the later stages have in common: the "tower", as released; all image
            "features", as the paper's text has it; or "none".
        centre_map: whether a fourth input channel marks the person in the middle.
        background: whether the last map is the background's.
        dropout: share of the values after stage 1's wide layers that is dropped in training.
        init: "constant", N(0, 0.01²) as released, or "he" or "xavier"; biases are zero.
        last_std: standard deviation of each stage's last layer at the start; None for that of
            `init`.

    Raises:
        UserError: an option has a value that does not exist.
    """
    counts = {
        "image_width": image_width,
        "head_width": head_width,
        "stage_width": stage_width,
        "stage_layers": stage_layers,
    }
    check_options("cpm", num_joints, stages, centre_map, background, init, last_std, **counts)
    kernels = (tower_kernel, image_kernel, head_kernel, stage_kernel)
    for option, kernel in zip(
        ("tower_kernel", "image_kernel", "head_kernel", "stage_kernel"), kernels, strict=True
    ):
        check_count("cpm", option, kernel)
        if kernel % 2 == 0:
            raise UserError(f"cpm: {option}={kernel} would shift the maps; give an odd kernel")
    if not isinstance(tower, tuple | list) or not tower:
        raise UserError(f"cpm: tower={tower!r} is no channels; give some such as (128, 128, 128)")
    for channels in tower:
        check_count("cpm", "tower", channels)
    allowed = [2**halvings for halvings in range(1, len(tower) + 1)]
    if isinstance(stride, bool) or stride not in allowed:
        raise UserError(
            f"cpm: stride={stride!r} does not fit a tower of {len(tower)}; choose one of "
            f"{', '.join(map(str, allowed))}"
        )
    if isinstance(pool, bool) or pool not in POOLS:
        raise UserError(f"cpm: pool={pool!r} does not exist; choose 2 or 3")
    check_choice("cpm", "shared", shared, SHARED)
    if isinstance(dropout, bool) or not isinstance(dropout, int | float) or not 0 <= dropout < 1:
        raise UserError(f"cpm: dropout={dropout!r} is no share; give 0 or more, and less than 1")
    net = CPM(
        stages,
        num_joints + int(background),
        tower,
        stride,
        kernels,
        (image_width, head_width, stage_width),
        stage_layers,
        pool,
        shared,
        centre_map,
        dropout,
    )
    net.initialise(init, last_std)
    return net


register(
    Model(
        name="cpm",
        build=cpm,
        output="heatmaps",
        input_shape=(4, 368, 368),
        forms=(
            Form(name="cpm"),
            *(Form(name="cpm", options={"stages": stages}) for stages in range(1, 6)),
        ),
        size_divisor=8,
        preprocessing=BGR_CPM,
        tensor_prefix="conv1_stage1.weight",
        infer=infer_cpm,
    )
)
