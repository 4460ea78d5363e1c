"""Where the goldens are: `$REPLAB_GOLDEN`, any folder in their layout, else shared/golden."""

from pathlib import Path

import pytest

from shared_files import golden_dir, need, shared_dir

__all__ = ["golden_dir", "need", "shared_dir"]


@pytest.fixture
def golden() -> Path:
    """The folder of goldens."""
    return golden_dir()
