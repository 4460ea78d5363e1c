"""The score of a CIFAR-10 checkpoint on the 10,000 test images."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from replab import models
from replab.errors import UserError
from replab.metrics.classification import predict, top_k_error
from replab.models import identification, own_weights, registry
from replab.models.folding import fold_batch_norm
from replab.models.identification import Identity
from replab.models.loading import Checkpoint, read_checkpoint

BATCH = 250
# Images at once where a training scores its own net: with as many, its weights score the same.
OWN_BATCH = 1000


@dataclass(frozen=True)
class Score:
    """Top-1 error of a checkpoint.

    Attributes:
        error: percent of the `n` images classified wrongly.
        model: name and options of the network that the checkpoint's tensors describe.
        preprocessing: colour order, and mean and deviation per channel of 0–1 values.
    """

    error: float
    n: int
    model: str
    preprocessing: dict[str, Any]

    def as_dict(self) -> dict[str, Any]:
        """The score as plain values."""
        return asdict(self)


def identify(checkpoint: Checkpoint, path: Path) -> Identity:
    """The network of a checkpoint and its preprocessing, as `models.identification` tells them.

    Raises:
        UserError: it is no CIFAR network, or its metadata are malformed.
    """
    found = identification.identify(checkpoint, path)
    # Of a name that is unknown, `create` says so.
    known = registry.get(found.model)
    fits = known is None or (known.output, known.input_shape) == ("classes", (3, 32, 32))
    if not fits or found.options.get("in_channels", 3) != 3:
        raise UserError(
            f"{path} is of {found.model}, no net for colour images of CIFAR; give such a one"
        )
    return found


def prepare(images: np.ndarray, preprocessing: Mapping[str, Any]) -> torch.Tensor:
    """Images as a network wants them, N×3×32×32 float32, channels last in memory.

    Args:
        images: N×32×32×3, uint8, RGB.
        preprocessing: `colour` (`RGB` or `BGR`), and `mean` and `std` per channel, or one
            `mean` value per pixel (3×32×32).

    Raises:
        UserError: the colour order is unknown, or mean and deviation do not fit the images.
    """
    colour = preprocessing.get("colour", "RGB")
    if colour not in ("RGB", "BGR"):
        raise UserError(f"unknown colour order {colour!r} in the preprocessing; RGB or BGR")
    array = images[..., ::-1] if colour == "BGR" else images
    tensor = torch.from_numpy(np.array(array)).permute(0, 3, 1, 2).float().div_(255)
    for name, operation in (("mean", tensor.sub_), ("std", tensor.div_)):
        if name in preprocessing:
            try:
                values = torch.tensor(preprocessing[name], dtype=torch.float32)
            except (TypeError, ValueError, RuntimeError) as error:
                raise UserError(f"{name} of the preprocessing holds other than numbers") from error
            if not torch.isfinite(values).all() or (name == "std" and not values.all()):
                raise UserError(f"{name} of the preprocessing holds NaN, infinity or a zero")
            values = values.reshape(-1, 1, 1) if values.ndim == 1 else values
            try:
                operation(values)
            except RuntimeError as error:
                shape = tuple(values.shape)
                raise UserError(
                    f"{name} of the preprocessing has shape {shape}, the images have 3×32×32"
                ) from error
    return tensor.contiguous(memory_format=torch.channels_last)


def score_checkpoint(
    path: Path,
    images: np.ndarray,
    labels: np.ndarray,
    *,
    device: str = "cpu",
    progress: Callable[[float, str], None] = lambda share, text: None,
) -> Score:
    """Test error of a checkpoint: one view of every image, float32, batch norm folded.

    Our own weights (`models.own_weights`) are scored as their training was, so that the error is
    the record's to the last digit: in the precision that they name, nothing folded.

    Args:
        images: N×32×32×3, uint8, RGB.
        labels: N.

    Raises:
        UserError: the file is no readable CIFAR checkpoint, does not fit strictly, carries a
            preprocessing that does not fit the images, or its network gives no finite numbers.
    """
    checkpoint = read_checkpoint(path)
    found = identify(checkpoint, path)
    own = own_weights.is_own(checkpoint.metadata)
    precision = "fp32"
    if own:
        about = own_weights.describe(checkpoint.metadata, path)
        _require_size(about.size, images, path)
        precision = about.precision
    try:
        model = models.create(found.model, **found.options)
        prepared = prepare(images, found.preprocessing)
    except UserError as error:
        raise UserError(f"{path}: its metadata are at fault: {error}; save it anew") from error
    models.load(model, checkpoint)
    ready = model if own else fold_batch_norm(model)
    ready = ready.to(device).to(memory_format=torch.channels_last)
    logits = predict(
        ready,
        (prepared.contiguous() if own else prepared).to(device),
        batch_size=OWN_BATCH if own else BATCH,
        precision=precision,
        progress=progress,
    )
    truth = torch.from_numpy(np.asarray(labels).astype(np.int64))
    try:
        wrong = top_k_error(logits.cpu(), truth)
    except ValueError as reason:
        raise UserError(f"{path}: its network cannot be scored: {reason}; train anew") from reason
    shown = found.model if not found.options else f"{found.model} ({_words(found.options)})"
    return Score(wrong, len(labels), shown, dict(found.preprocessing))


def _require_size(size: tuple[int, int], images: np.ndarray, path: Path) -> None:
    width, height = size
    if images.shape[1:3] != (height, width):
        raise UserError(
            f"{path} is of a net for images of {height}×{width} px, those to score have "
            f"{images.shape[1]}×{images.shape[2]} px; give weights of such a net"
        )


def _words(options: Mapping[str, Any]) -> str:
    return ", ".join(f"{key}={value}" for key, value in options.items())
