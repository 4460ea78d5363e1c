"""Weights from files, strictly."""

import json
import re
import warnings
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from replab.errors import UserError
from replab.files import sha256_bytes
from replab.models.cpm_weights import released_names
from replab.models.registry import infer
from replab.models.saving import tensor_bytes

# More names than this of a kind are listed by the part of the network that they belong to.
_LISTED = 8
# mmpose puts the parts of a network under these names (open-mmlab/mmpose@759b39c; `keypoint_head`
# before its version 1).
_MMPOSE = re.compile(r"(backbone|head|keypoint_head)\.")


@dataclass(frozen=True)
class Checkpoint:
    """Tensors by name, as a model's `state_dict` has them, and what else the file said.

    Attributes:
        state_dict: names as released, without a `module.` prefix, tensors on the CPU.
        metadata: plain values that stood beside the tensors (`best_prec1`; in our own files
            `model`, `options`, `preprocessing` and `record`).
        source: the file, for messages.
        layout: `released`, or `mmpose` where the names were that library's, `caffe` where they
            were Caffe's layers and places of blobs.
    """

    state_dict: dict[str, Tensor]
    metadata: dict[str, Any] = field(default_factory=dict)
    source: Path | None = None
    layout: Literal["released", "mmpose", "caffe"] = "released"


def read_checkpoint(path: str | Path) -> Checkpoint:
    """Read the tensors of a .safetensors file or of one that `torch.save` wrote (.th, .pth, .pt).

    `{state_dict: …}` and `{model: …}` are unwrapped, `module.` prefixes that all names share are
    stripped, and mmpose's names and Caffe's blobs become the released ones. No code from the file
    is run.

    Raises:
        UserError: the file is missing, empty, damaged, holds code or holds no tensors.
    """
    path = _readable(path)
    if path.suffix == ".safetensors":
        tensors, metadata = _read_safetensors(path)
    else:
        tensors, metadata = _read_torch(path)
    if not tensors:
        raise UserError(f"no tensors in {path}; give a file that holds a state_dict")
    tensors = _without_prefix(tensors)
    if all(_MMPOSE.match(name) for name in tensors):
        inner = {_MMPOSE.sub("", name, count=1): tensor for name, tensor in tensors.items()}
        return Checkpoint(inner, metadata, path, "mmpose")
    if (blobs := released_names(tensors)) is not None:
        return Checkpoint(blobs, metadata, path, "caffe")
    return Checkpoint(tensors, metadata, path)


def read_metadata(path: str | Path) -> dict[str, Any]:
    """Plain values that stand beside the tensors of a file, as of `Checkpoint.metadata`.

    Raises:
        UserError: as `read_checkpoint`; the tensors of a .safetensors file are not looked at.
    """
    path = _readable(path)
    if path.suffix != ".safetensors":
        return read_checkpoint(path).metadata
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            return _plain_values(file.metadata())
    except (SafetensorError, OSError) as error:
        raise _damaged(path, error) from error


def _readable(path: str | Path) -> Path:
    path = Path(path)
    if not path.exists():
        raise UserError(f"no weights at {path}; check the path or fetch the file")
    if not path.is_file():
        raise UserError(f"{path} is no file; name the weights file itself")
    try:
        with path.open("rb") as stream:
            empty = not stream.read(1)
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}; mend its permissions") from error
    if empty:
        raise UserError(f"{path} is empty; fetch or write it again")
    return path


def _read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            metadata = _plain_values(file.metadata())
        # Only files of our own carry it; the format itself does not notice a changed number.
        sound = "tensors_sha256" not in metadata or (
            metadata["tensors_sha256"] == sha256_bytes(tensor_bytes(path.read_bytes()))
        )
    except (SafetensorError, OSError) as error:
        raise _damaged(path, error) from error
    if not sound:
        raise UserError(
            f"{path} is damaged: its numbers are not those that were written; fetch or write it "
            "again"
        )
    return tensors, metadata


def _plain_values(texts: Mapping[str, str] | None) -> dict[str, Any]:
    """Metadata of a .safetensors file, whose values are texts."""
    metadata: dict[str, Any] = {}
    for key, text in (texts or {}).items():
        try:
            metadata[key] = json.loads(text)
        except ValueError:  # other people's metadata need not be JSON
            metadata[key] = text
    return metadata


def _read_torch(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    try:
        with warnings.catch_warnings():
            # About pickle protocols and old storages: nothing that a user could act on.
            warnings.simplefilter("ignore")
            with torch.serialization.safe_globals(_numpy_values()):
                content = torch.load(path, map_location="cpu", weights_only=True)
    # Bytes that are no checkpoint make the unpickler raise nearly anything.
    except Exception as error:
        if re.search(r"unsupported (global|class)", str(error), re.IGNORECASE):
            raise UserError(
                f"{path} holds pickled code besides tensors, which is not run; where you trust "
                "it, save its state_dict() alone and give that file"
            ) from error
        raise _damaged(path, error) from error
    metadata: dict[str, Any] = {}
    while isinstance(content, Mapping):
        metadata |= {str(key): value for key, value in content.items() if _is_plain(value)}
        inner = next((key for key in ("state_dict", "model") if _is_mapping(content, key)), None)
        if inner is None:
            tensors = {str(k): v.detach() for k, v in content.items() if isinstance(v, Tensor)}
            return tensors, metadata
        content = content[inner]
    return {}, metadata


def _numpy_values() -> list[Any]:
    """What NumPy's numbers and arrays are pickled as, by NumPy 1 and 2.

    The training checkpoints of the HRNet code hold a score beside the tensors, those of mmpose the
    sigmas of the data set. Making them anew runs no code of the file's.
    """
    from numpy import _core, dtype, dtypes, ndarray

    makers = (_core.multiarray._reconstruct, _core.multiarray.scalar)  # type: ignore[attr-defined]
    old = [(maker, f"numpy.core.multiarray.{maker.__name__}") for maker in makers]
    kinds = [getattr(dtypes, name) for name in dtypes.__all__]
    return [ndarray, dtype, *makers, *old, *kinds]


def _is_mapping(content: Mapping[Any, Any], key: str) -> bool:
    return isinstance(content.get(key), Mapping)


def _is_plain(value: object) -> bool:
    return value is None or isinstance(value, str | int | float | bool)


def _damaged(path: Path, error: Exception) -> UserError:
    reason = " ".join(str(error).split())
    if not reason or reason.startswith("Weights only load failed"):
        # torch's advice would be to run whatever code the file holds.
        reason = type(error).__name__
    reason = f"{reason[:120]}…" if len(reason) > 120 else reason
    return UserError(f"{path} is damaged or no weights file ({reason}); fetch or write it again")


def _without_prefix(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    while all(name.startswith("module.") for name in tensors):
        tensors = {name.removeprefix("module."): tensor for name, tensor in tensors.items()}
    return tensors


def load(model: nn.Module, source: str | Path | Checkpoint) -> nn.Module:
    """Copy weights into `model` and return it; every name and shape must agree.

    Only `num_batches_tracked` may be absent, which checkpoints from before torch 0.4.1 do not
    have. A model on the meta device gets its memory here, on the CPU.

    Raises:
        UserError: names are missing or unexpected, or shapes differ; all of them are in the
            message, more than eight of a kind by the part of the network, and nothing was loaded.
    """
    checkpoint = source if isinstance(source, Checkpoint) else read_checkpoint(source)
    given, own = dict(checkpoint.state_dict), model.state_dict()
    missing = [name for name in own if name not in given]
    tolerated = [name for name in missing if name.endswith("num_batches_tracked")]
    missing = [name for name in missing if name not in tolerated]
    unexpected = [name for name in given if name not in own]
    misshapen = [
        f"{name} ({_form(given[name])}, not {_form(own[name])})"
        for name in own
        if name in given and not _fits(given[name], own[name])
    ]
    faults = [
        f"{len(found)} {kind}: {_listing(found)}"
        for kind, found in (
            ("missing", missing),
            ("unexpected", unexpected),
            ("of another shape", misshapen),
        )
        if found
    ]
    if faults:
        file = checkpoint.source or "the checkpoint"
        raise UserError(
            f"{file} does not fit this {type(model).__name__}: {'; '.join(faults)}; "
            f"nothing was loaded, create the model that the weights were made for{_named(given)}"
        )
    if any(tensor.is_meta for tensor in own.values()):
        # There is nothing to copy into, so the model takes tensors of its own.
        ready = {name: given[name].to(own[name].dtype, copy=True) for name in given}
        ready |= {name: torch.zeros(own[name].shape, dtype=own[name].dtype) for name in tolerated}
        model.load_state_dict(ready, strict=True, assign=True)
    else:
        model.load_state_dict(given | {name: own[name] for name in tolerated}, strict=True)
    return model


@dataclass(frozen=True)
class PartlyLoaded:
    """What became of each name when weights of another task were taken over.

    Attributes:
        taken: names in the model that got the file's values.
        fresh: names in the model that keep their start: its new layers.
        left: names in the file that the model has no use for, such as a classifier.
    """

    taken: tuple[str, ...]
    fresh: tuple[str, ...]
    left: tuple[str, ...]

    def __str__(self) -> str:
        """All of it in a line, by the parts of the network."""
        kinds = (("taken", self.taken), ("fresh", self.fresh), ("left", self.left))
        return "; ".join(f"{kind}: {_parts(names) or 'nothing'}" for kind, names in kinds)


def load_backbone(
    model: nn.Module, source: str | Path | Checkpoint, *, fresh: Collection[str]
) -> PartlyLoaded:
    """Copy the weights of another task into all of `model` but its new layers.

    What the released pose code does with ImageNet weights, but strictly: it takes whatever names
    agree and says nothing of the others.

    Args:
        source: as of `load`.
        fresh: parts of the model, first components of its names, that the file cannot know and
            that keep their start, such as `final_layer`.

    Returns:
        What was taken, kept and left.

    Raises:
        UserError: a name of the rest of the model is missing in the file or of another shape
            there; nothing was loaded.

    Source: leoxiaobin/deep-high-resolution-net.pytorch@6f69e46, lib/models/pose_hrnet.py
    (init_weights).
    """
    checkpoint = source if isinstance(source, Checkpoint) else read_checkpoint(source)
    given, own = checkpoint.state_dict, model.state_dict()
    wanted = [name for name in own if name.partition(".")[0] not in fresh]
    missing = [
        name for name in wanted if name not in given and not name.endswith("num_batches_tracked")
    ]
    misshapen = [
        f"{name} ({_form(given[name])}, not {_form(own[name])})"
        for name in wanted
        if name in given and not _fits(given[name], own[name])
    ]
    if missing or misshapen or not wanted:
        file = checkpoint.source or "the checkpoint"
        faults = [
            f"{len(found)} of {len(wanted)} {kind}: {_listing(found)}"
            for kind, found in (("missing", missing), ("of another shape", misshapen))
            if found
        ]
        raise UserError(
            f"{file} does not hold the backbone of this {type(model).__name__}: "
            f"{'; '.join(faults) or 'all of its parts are new'}; nothing was loaded, give the "
            "weights of the same backbone"
        )
    taken = tuple(name for name in wanted if name in given)
    with torch.no_grad():
        for name in taken:
            own[name].copy_(given[name])
    return PartlyLoaded(
        taken,
        tuple(name for name in own if name not in set(taken)),
        tuple(name for name in given if name not in set(taken)),
    )


def _fits(given: Tensor, own: Tensor) -> bool:
    return given.shape == own.shape and given.is_floating_point() == own.is_floating_point()


def _form(tensor: Tensor) -> str:
    kind = "" if tensor.is_floating_point() else f" {str(tensor.dtype).removeprefix('torch.')}"
    return ("×".join(str(size) for size in tensor.shape) or "scalar") + kind


def _listing(found: list[str]) -> str:
    if len(found) <= _LISTED:
        return ", ".join(found)
    return _parts(found)


def _parts(names: Iterable[str]) -> str:
    """Names by the part of the network that they belong to: `layer1.* (12), bn1.* (5)`."""
    parts = Counter(name.split(" ")[0].split(".")[0] for name in names)
    return ", ".join(f"{part}.* ({count})" for part, count in parts.items())


def _named(given: Mapping[str, Tensor]) -> str:
    """Which model that is, where the tensors tell."""
    try:
        name, _ = infer(given)
    except UserError:  # weights of somebody else's network: there is nothing to add
        return ""
    return f" ({name}, by its tensors)"
