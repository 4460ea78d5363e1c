"""Where things are: the checkout, this machine's data, this machine's store of runs."""

import os
from pathlib import Path

from replab.errors import UserError


def root() -> Path:
    """The checkout that holds `replications/` and `results/`.

    `$REPLAB_ROOT` if set, else the nearest folder at or above the current one, else the checkout
    that this library was installed from in editable mode.

    Raises:
        UserError: there is no such folder.
    """
    named = os.environ.get("REPLAB_ROOT")
    if named:
        folder = Path(named).expanduser()
        if (folder / "replications").is_dir():
            return folder.resolve()
        raise UserError(f"REPLAB_ROOT={named} has no replications/ folder; point it at a checkout")
    here = Path.cwd()
    for folder in (here, *here.parents, Path(__file__).resolve().parents[2]):
        if (folder / "replications").is_dir() and (folder / "notebooks").is_dir():
            return folder
    raise UserError(
        f"no replications/ at or above {here}; run inside a checkout or set REPLAB_ROOT"
    )


def data_dir() -> Path:
    """Where fetched data live: `$REPLAB_DATA`, else `replab` in the user's cache directory."""
    named = os.environ.get("REPLAB_DATA")
    if named:
        return Path(named).expanduser()
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(cache).expanduser() / "replab"


def store_dir() -> Path:
    """This machine's runs and checkpoints: `$REPLAB_STORE`, else `.replab/` in the checkout."""
    named = os.environ.get("REPLAB_STORE")
    return Path(named).expanduser() if named else root() / ".replab"
