"""Weights to files, with what has to be known to use them.

The safetensors format is a few lines to write, and a bare machine that trains need not have its
package: eight bytes of the header's length, the header in JSON, the numbers, little-endian.
Source: huggingface/safetensors, README, "Format".
"""

import json
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn

from replab.errors import UserError
from replab.files import sha256_bytes, write_bytes

# What the format calls the kinds of numbers that networks are made of.
KINDS: Mapping[torch.dtype, str] = MappingProxyType(
    {
        torch.float64: "F64",
        torch.float32: "F32",
        torch.float16: "F16",
        torch.bfloat16: "BF16",
        torch.int64: "I64",
        torch.int32: "I32",
        torch.uint8: "U8",
        torch.bool: "BOOL",
    }
)


def save(
    model_or_state: nn.Module | Mapping[str, Tensor],
    path: str | Path,
    *,
    model: str,
    options: Mapping[str, Any],
    preprocessing: Mapping[str, Any],
    record: str | None,
    further: Mapping[str, Any] = MappingProxyType({}),
) -> None:
    """Write weights and their origin to a .safetensors file, atomically.

    Equal input gives equal bytes. The metadata hold a digest of the tensors, so that reading them
    notices a damaged number.

    Args:
        model: the name for `replab.models.create`.
        options: its options.
        preprocessing: what the net expects of an image: colour order, normalisation.
        record: id of the run that made the weights.
        further: plain values for the metadata beyond these; see `models.own_weights`.

    Raises:
        UserError: the name does not end in .safetensors, or the file cannot be written.
    """
    path = Path(path)
    if path.suffix != ".safetensors":
        raise UserError(f"cannot save weights as {path}; choose a name that ends in .safetensors")
    state = (
        model_or_state.state_dict() if isinstance(model_or_state, nn.Module) else model_or_state
    )
    about = {"model": model, "options": options, "preprocessing": preprocessing, "record": record}
    header, data = _laid_out(state)
    about |= {**further, "tensors_sha256": sha256_bytes(data)}
    header["__metadata__"] = {key: json.dumps(about[key], sort_keys=True) for key in sorted(about)}
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    # The format pads its header with spaces so that the tensors start at a multiple of eight.
    text += b" " * (-len(text) % 8)
    write_bytes(path, b"".join((len(text).to_bytes(8, "little"), text, data)))


def tensor_bytes(data: bytes) -> memoryview:
    """What follows the header of a .safetensors file."""
    return memoryview(data)[8 + int.from_bytes(data[:8], "little") :]


def _laid_out(state: Mapping[str, Tensor]) -> tuple[dict[str, Any], bytes]:
    """The header's entries and the bytes of tensors, the widest numbers first, then by name."""
    header: dict[str, Any] = {}
    parts: list[bytes] = []
    at = 0
    for name in sorted(state, key=lambda key: (-state[key].element_size(), key)):
        tensor = state[name].detach().cpu().contiguous()
        part = tensor.reshape(-1).view(torch.uint8).numpy().tobytes()
        header[name] = {
            "dtype": KINDS[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [at, at + len(part)],
        }
        parts.append(part)
        at += len(part)
    return header, b"".join(parts)
