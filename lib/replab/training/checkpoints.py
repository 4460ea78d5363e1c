"""Checkpoints: everything a training needs to go on as if nothing had happened."""

import io
import sys
import zipfile
from pathlib import Path
from typing import Any

import torch

from replab.errors import UserError
from replab.files import write_bytes

FORMAT = 1


def save(path: Path, state: dict[str, Any]) -> None:
    """Write a training's state atomically.

    Args:
        state: tensors, numbers, strings and containers of them, as `torch.load` accepts with
            `weights_only=True`.

    Raises:
        UserError: the disk is full or cannot be written.
    """
    # By way of memory: where the disk is full, torch hides the system's error behind its own.
    stream = io.BytesIO()
    torch.save({"format": FORMAT, **state}, stream)
    write_bytes(path, stream.getvalue())


def load(path: Path, device: str) -> dict[str, Any] | None:
    """Read a training's state.

    Returns:
        The state, or None where there is none or it is broken: then the training begins anew,
        which is said on stderr.

    Raises:
        UserError: the checkpoint was written by another version of replab.
    """
    if not path.is_file():
        return None
    try:
        # torch reads tensors without looking at the checksums that it wrote.
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
        if damaged is not None:
            raise zipfile.BadZipFile(f"bad checksum of {damaged}")
        state = torch.load(path, map_location=device, weights_only=True)
    # Bytes that are no checkpoint make the unpickler raise nearly anything.
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        print(f"checkpoint {path} is broken ({reason}); starting anew", file=sys.stderr)
        return None
    if not isinstance(state, dict):
        print(f"checkpoint {path} is broken (no state in it); starting anew", file=sys.stderr)
        return None
    if state.get("format") != FORMAT:
        raise UserError(
            f"checkpoint {path} has format {state.get('format')}, this replab reads {FORMAT}; "
            "remove it to start anew"
        )
    loaded: dict[str, Any] = state
    return loaded
