"""The command `fetch`: what can be brought to this machine, from where, and at which cost."""

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from replab.datasets import cifar10_sources, imagenet, weights
from replab.errors import UserError


@dataclass(frozen=True)
class Entry:
    """Something that `fetch` brings to this machine.

    Attributes:
        name: what the user types.
        what: one phrase that says what it is.
        size: bytes to download, None where they are not published.
        licence: under which it may be used.
        citation: whom to cite.
        obtain: called with the `--from` path or None, and the keywords `force` and `quiet`;
            returns where the data lie.
    """

    name: str
    what: str
    size: int | None
    licence: str
    citation: str
    obtain: Callable[..., Path]


def entries() -> Mapping[str, Entry]:
    """All that can be fetched, by name."""
    table = [
        Entry(
            name="cifar10",
            what="CIFAR-10: 60,000 colour images of 32×32 pixels in 10 classes",
            size=cifar10_sources.OFFICIAL.size,
            licence="none stated; citation asked",
            citation="Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009",
            obtain=cifar10_sources.fetch,
        ),
        Entry(
            name="imagenet",
            what=(
                "ImageNet (ILSVRC2012): 1,281,167 training and 50,000 validation images in 1,000 "
                "classes; from its authors on request, then with --from DIR"
            ),
            size=None,
            licence="non-commercial research and education, by agreement with its authors",
            citation="Russakovsky et al., ImageNet Large Scale Visual Recognition Challenge, 2015",
            obtain=imagenet.fetch,
        ),
    ]
    table += [
        Entry(
            name=f"weights:{checkpoint.name}",
            what=f"checkpoint of {checkpoint.name} trained on CIFAR-10",
            size=checkpoint.remote.size,
            licence=checkpoint.licence,
            citation=f"Idelbayev, {checkpoint.source}",
            obtain=functools.partial(weights.fetch, checkpoint.name),
        )
        for checkpoint in weights.CHECKPOINTS.values()
    ]
    return {entry.name: entry for entry in table}


def fetch(
    name: str, source: Path | None = None, *, force: bool = False, quiet: bool = False
) -> Path:
    """Bring a data set or a checkpoint to this machine, checked, all of it or nothing.

    Args:
        name: a key of `entries()`.
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
    table = entries()
    if name not in table:
        raise UserError(f"there is nothing called {name!r} to fetch; known: {', '.join(table)}")
    return table[name].obtain(source, force=force, quiet=quiet)
