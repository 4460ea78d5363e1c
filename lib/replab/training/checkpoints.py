"""Checkpoints: everything a training needs to go on as if nothing had happened."""

import sys
from pathlib import Path
from typing import Any

import torch

from replab.errors import UserError
from replab.files import atomic_writer

FORMAT = 1


def save(path: Path, state: dict[str, Any]) -> None:
    """Write a training's state atomically.

    Args:
        state: tensors, numbers, strings and containers of them, as `torch.load` accepts with
            `weights_only=True`.

    Raises:
        UserError: the disk is full or cannot be written.
    """
    with atomic_writer(path) as stream:
        torch.save({"format": FORMAT, **state}, stream)


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
        state = torch.load(path, map_location=device, weights_only=True)
    except Exception as error:
        print(f"checkpoint {path} is broken ({error}); starting anew", file=sys.stderr)
        return None
    if state.get("format") != FORMAT:
        raise UserError(
            f"checkpoint {path} has format {state.get('format')}, this replab reads {FORMAT}; "
            "remove it to start anew"
        )
    loaded: dict[str, Any] = state
    return loaded
