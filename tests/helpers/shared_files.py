"""Where goldens and shared data are: `$REPLAB_GOLDEN` and `$REPLAB_SHARED`, else ../shared."""

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def golden_dir() -> Path:
    """The folder of goldens, which need not exist."""
    named = os.environ.get("REPLAB_GOLDEN")
    return Path(named).expanduser() if named else shared_dir() / "golden"


def shared_dir() -> Path:
    """The folder of shared facts and data, which need not exist."""
    named = os.environ.get("REPLAB_SHARED")
    return Path(named).expanduser() if named else ROOT.parent / "shared"


def need(path: Path) -> Path:
    """`path` if it is a file; else the test that asks is skipped, by the file's name."""
    if not path.is_file():
        pytest.skip(f"{path.name} is not in {path.parent.name}/ (REPLAB_GOLDEN names the folder)")
    return path
