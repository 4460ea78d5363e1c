"""A pose network made ready for evaluation: crops in, heatmaps out, mirror images included."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn

from replab import models
from replab.errors import UserError
from replab.files import sha256_file
from replab.keypoints.affine import normalise
from replab.keypoints.flips import flip_average
from replab.keypoints.label_sets import CENTRE_SIGMA, centre_map
from replab.keypoints.skeletons import COCO, LSP, MPII, Skeleton
from replab.models import registry
from replab.models.folding import fold_batch_norm
from replab.models.identification import Identity, identify
from replab.models.loading import load, read_checkpoint
from replab.models.pose_machine import PoseMachine
from replab.models.registry import Model

# The sets that the papers' networks are made for have different numbers of joints.
SKELETONS: Mapping[int, Skeleton] = MappingProxyType({len(s): s for s in (COCO, MPII, LSP)})
PRECISIONS = ("fp32", "bf16")
COLOURS = ("RGB", "BGR")
# Px of the input that the released width of the centre map belongs to.
CENTRE_SIDE = 368


@dataclass(frozen=True)
class Preprocessing:
    """What a network expects of a crop.

    Attributes:
        colour: order of the channels, `RGB` or `BGR`.
        mean: of each channel of 0–1 values, in that order.
        std: of each channel of 0–1 values, in that order.
    """

    colour: str
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> "Preprocessing":
        """From what stands beside a network's weights.

        Raises:
            UserError: the colour order is unknown, or mean and deviation are not three numbers.
        """
        colour = values.get("colour", "RGB")
        if colour not in COLOURS:
            raise UserError(f"unknown colour order {colour!r} in the preprocessing; RGB or BGR")
        numbers = {}
        for name in ("mean", "std"):
            try:
                found = tuple(float(number) for number in values[name])
            except (KeyError, TypeError, ValueError):
                found = ()
            low = 0.0 if name == "std" else -float("inf")
            if len(found) != 3 or not all(low < number < float("inf") for number in found):
                raise UserError(f"{name} of the preprocessing is not three usable numbers")
            numbers[name] = found
        return cls(colour, numbers["mean"], numbers["std"])

    def as_dict(self) -> dict[str, Any]:
        """Plain values, as they stand beside weights."""
        return {"colour": self.colour, "mean": list(self.mean), "std": list(self.std)}

    def apply(self, crops: Tensor) -> Tensor:
        """Crops N×H×W×3 (uint8, RGB) as the network sees them, N×3×H×W float32, channels last."""
        channels = crops.permute(0, 3, 1, 2)
        ordered = channels.flip(1) if self.colour == "BGR" else channels
        prepared = normalise(ordered, self.mean, self.std)
        return prepared.contiguous(memory_format=torch.channels_last)


class PoseNetwork:
    """A pose network on a device, folded and laid out for speed.

    Attributes:
        model: name for `replab.models.create`.
        options: its options.
        skeleton: its joints.
        size: width and height of its input in px.
        preprocessing: what it expects of a crop.
        precision: `fp32`, the reference, or `bf16`: all but the last layer, whose differences
            between neighbouring pixels decide about quarters of a pixel.
        device: a torch device.
        head: number of the head that counts: a pose machine's last, else the first.
        weights: first 16 digits of the SHA-256 of the file of weights, or empty.
        warnings: what a reader of the results should know about how it was made ready.
    """

    def __init__(
        self,
        net: nn.Module,
        *,
        model: str,
        options: Mapping[str, Any],
        skeleton: Skeleton,
        size: tuple[int, int],
        preprocessing: Preprocessing,
        precision: str = "fp32",
        device: str = "cpu",
        compiled: bool = False,
        weights: str = "",
        warnings: tuple[str, ...] = (),
    ) -> None:
        if precision not in PRECISIONS:
            raise UserError(f"unknown precision {precision!r}; there are {', '.join(PRECISIONS)}")
        self.model, self.options, self.skeleton = model, dict(options), skeleton
        self.size, self.preprocessing = size, preprocessing
        self.precision, self.device, self.compiled = precision, device, compiled
        self.weights, self.warnings = weights, warnings
        self._dtype = torch.bfloat16 if precision == "bf16" else torch.float32
        machine = _pose_machine(net)
        self._marked = machine is not None and machine[1].centre_map
        # A pose machine's last stage is the one that it is known for.
        self.head = net.stages - 1 if isinstance(net, PoseMachine) else 0
        self._net = self._ready(net)

    def _ready(self, net: nn.Module) -> nn.Module:
        folded = fold_batch_norm(net).to(self.device).requires_grad_(False)
        folded = folded.to(memory_format=torch.channels_last)
        if self.precision == "bf16":
            folded = folded.bfloat16()
            for name in _last_layers(folded):
                parent, _, own = name.rpartition(".")
                head = _InFloat(folded.get_submodule(name).float())
                setattr(folded.get_submodule(parent), own, head)
        if self.compiled:
            folded = torch.compile(folded, dynamic=False)  # type: ignore[assignment]
        return folded

    @property
    def joints(self) -> int:
        """Number of heatmaps."""
        return len(self.skeleton)

    def heatmaps(self, crops: Tensor, shift: int | None = 1) -> Tensor:
        """Heatmaps N×K×h×w of the head that counts, float32, on the device.

        Args:
            crops: N×H×W×3, uint8, RGB.
            shift: px by which the heatmaps of the mirror image are moved, as of
                `keypoints.flips.flip_back`; None leaves the mirror image out.

        Raises:
            UserError: the crops are not of the network's size.
        """
        straight, mirrored = self.answers(crops, mirrored=shift is not None)[self.head]
        if mirrored is None or shift is None:
            return straight
        return flip_average(straight, mirrored, self.skeleton.mirror, shift=shift)

    @torch.inference_mode()
    def answers(self, crops: Tensor, *, mirrored: bool) -> list[tuple[Tensor, Tensor | None]]:
        """Heatmaps N×K×h×w of crops and of their mirror images, of each head, float32.

        Image and mirror image pass the network in one batch, and what comes out stays on the
        device. A network that asks for a centre map is given one; maps beyond the joints', such
        as the background's, are left out.

        Args:
            crops: N×H×W×3, uint8, RGB.
            mirrored: whether the mirror images are wanted.

        Raises:
            UserError: the crops are not of the network's size.
        """
        width, height = self.size
        if tuple(crops.shape[1:]) != (height, width, 3):
            shape = "×".join(str(side) for side in crops.shape[1:])
            raise UserError(f"{self.model} takes crops of {height}×{width}×3 px, not {shape}")
        images = self.preprocessing.apply(crops.to(self.device, non_blocking=True)).to(self._dtype)
        if self._marked:
            images = with_centre_map(images, cut=False)
        if mirrored:
            images = torch.cat((images, images.flip(-1)))
            images = images.contiguous(memory_format=torch.channels_last)
        found = self._net(images)
        heads = [
            maps[:, : self.joints] for maps in (found if isinstance(found, list) else [found])
        ]
        if not mirrored:
            return [(maps.float(), None) for maps in heads]
        return [tuple(maps.float().chunk(2)) for maps in heads]  # type: ignore[misc]


def with_centre_map(images: Tensor, *, cut: bool) -> Tensor:
    """Images N×C×H×W with one more channel, a Gaussian in the middle, where the person is.

    Its width is the released one, 21 px of 368, of the geometric mean of the sides. Source: Wei et
    al. 2016 section 4.2; shihenw/caffe@d154e89, data_transformer.cpp.

    Args:
        images: of crops, whose person is in the middle.
        cut: as of `label_sets.centre_map`: as in training.
    """
    height, width = images.shape[-2:]
    middle = torch.tensor([[width / 2, height / 2]], device=images.device)
    sigma = CENTRE_SIGMA * math.sqrt(width * height) / CENTRE_SIDE
    marked = centre_map(middle, (width, height), sigma=sigma, cut=cut).to(images.dtype)
    joined = torch.cat((images, marked.expand(len(images), -1, -1, -1)), dim=1)
    return joined.contiguous(memory_format=torch.channels_last)


def _pose_machine(net: nn.Module) -> tuple[str, PoseMachine] | None:
    """The pose machine that a network is or holds, and its name in it."""
    found = ((n, m) for n, m in net.named_modules() if isinstance(m, PoseMachine))
    return next(found, None)


def _last_layers(net: nn.Module) -> list[str]:
    """Names of the convolutions that give heatmaps."""
    machine = _pose_machine(net)
    if machine is not None:
        name, inner = machine
        return [f"{name}.{layer}".removeprefix(".") for layer in inner.last_layers]
    final = net.final_layer
    if isinstance(final, nn.ModuleList):
        return [f"final_layer.{i}" for i in range(len(final))]
    return ["final_layer"]


class _InFloat(nn.Module):
    """A head in float32, whatever comes before."""

    def __init__(self, head: nn.Module) -> None:
        super().__init__()
        self.head = head

    def forward(self, x: Tensor) -> Tensor:
        """Heatmaps of features."""
        return self.head(x.float())


def open_network(
    path: str | Path,
    *,
    size: tuple[int, int] | None = None,
    colour: str | None = None,
    precision: str = "fp32",
    device: str = "cpu",
    compiled: bool = False,
) -> PoseNetwork:
    """The pose network of a file of weights, released, mmpose's or our own, loaded strictly.

    Args:
        size: width and height of its input in px; None for what stands beside the weights, else
            192×256 (COCO) or 256×256 (MPII, LSP). Released files do not tell it.
        colour: another order of the channels than the weights are known to expect; it is used,
            and noted in `warnings`.
        precision: as of `PoseNetwork`.
        device: a torch device.
        compiled: compile the network at the first batch, which takes about a minute.

    Raises:
        UserError: the file is no weights of a pose network, or does not fit strictly; its number
            of joints is of no known skeleton; size or colour order are impossible.
    """
    path = Path(path)
    checkpoint = read_checkpoint(path)
    found = identify(checkpoint, path)
    known = registry.get(found.model)
    if known is None or known.output != "heatmaps":
        raise UserError(f"{path} is of {found.model}, no pose network; give weights of such a one")
    try:
        net = load(models.create(found.model, **found.options), checkpoint)
        preprocessing = Preprocessing.of(found.preprocessing)
        skeleton = _skeleton(net, found.options)
    except UserError as error:
        message = str(error)
        raise UserError(message if str(path) in message else f"{path}: {message}") from error
    preprocessing, warnings = _coloured(preprocessing, colour, found, path)
    return PoseNetwork(
        net,
        model=found.model,
        options=found.options,
        skeleton=skeleton,
        size=_size(size, found, known, skeleton, path),
        preprocessing=preprocessing,
        precision=precision,
        device=device,
        compiled=compiled,
        weights=sha256_file(path)[:16],
        warnings=warnings,
    )


def _skeleton(net: nn.Module, options: Mapping[str, Any]) -> Skeleton:
    last = net.get_submodule(_last_layers(net)[0])
    assert isinstance(last, nn.Conv2d)
    joints = last.out_channels
    if isinstance(net, PoseMachine):
        joints -= int(options.get("background", True))
    if joints not in SKELETONS:
        known = ", ".join(f"{count} ({s.name})" for count, s in SKELETONS.items())
        raise UserError(f"no skeleton has {joints} joints; known are {known}")
    return SKELETONS[joints]


def _coloured(
    preprocessing: Preprocessing, colour: str | None, found: Identity, path: Path
) -> tuple[Preprocessing, tuple[str, ...]]:
    if colour is None or colour == preprocessing.colour:
        return preprocessing, ()
    if colour not in COLOURS:
        raise UserError(f"unknown colour order {colour!r}; choose RGB or BGR")
    source = "say themselves" if found.told else "were published so"
    warning = (
        f"{path.name}: these weights expect {preprocessing.colour} ({source}); {colour} was asked "
        "for, which costs several points of AP"
    )
    return Preprocessing(colour, preprocessing.mean, preprocessing.std), (warning,)


def _size(
    size: tuple[int, int] | None, found: Identity, known: Model, skeleton: Skeleton, path: Path
) -> tuple[int, int]:
    told = found.preprocessing.get("size")
    # Published networks take upright crops for COCO, for other sets square ones of that height.
    _, height, width = known.input_shape
    chosen = size or told or (width if skeleton is COCO else height, height)
    try:
        width, height = (int(side) for side in chosen)
    except (TypeError, ValueError) as error:
        raise UserError(f"{path}: the input size {chosen!r} is not width and height") from error
    step = known.size_divisor
    if width <= 0 or height <= 0 or width % step or height % step:
        raise UserError(
            f"{path}: an input of {height}×{width} px is impossible; give sides that are "
            f"multiples of {step}, such as 256×192"
        )
    return width, height
