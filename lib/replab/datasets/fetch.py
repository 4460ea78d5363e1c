"""The command `fetch`: what can be brought to this machine."""

from collections.abc import Mapping
from pathlib import Path

from replab.datasets import registry
from replab.datasets.download import say
from replab.datasets.registry import Dataset
from replab.errors import DownloadFailed


def entries() -> Mapping[str, Dataset]:
    """All that can be fetched, by name."""
    return {name: d for name, d in registry.registered().items() if d.fetch is not None}


def fetch(
    name: str, source: Path | None = None, *, force: bool = False, quiet: bool = False
) -> Path:
    """Bring a data set or a checkpoint to this machine, checked, all of it or nothing.

    Args:
        name: a key of `entries()`, or a split of a set among them (`lspet-train`).
        source: a file or a folder to take it from instead of the network.
        force: fetch even if it is here.
        quiet: nothing on stderr.

    Returns:
        Where it lies.

    Raises:
        DownloadFailed: no source gave it.
        MissingData: it can only be taken from `source`, and none is named.
        UserError: the name is unknown, the source is damaged, or the disk is full.
    """
    entry = registry.registered().get(registry.whole(name))
    if entry is None or entry.fetch is None:
        raise registry.unknown(name, entries(), to=" to fetch")
    if entry.size is not None and source is None:
        say(f"fetching {entry.name} …", quiet=quiet)
    try:
        return entry.fetch(source, force=force, quiet=quiet)
    except DownloadFailed as error:
        # A set of several files fails by the address of one of them.
        if entry.name in str(error):
            raise
        raise DownloadFailed(f"{entry.name}: {error}") from error
