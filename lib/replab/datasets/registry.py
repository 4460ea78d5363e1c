"""Data sets and weights by name: each is registered beside its own code.

A module of this package that calls `register` is all that a new data set takes: every module is
imported when a name is looked up.
"""

import difflib
import functools
import importlib
import pkgutil
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from replab.errors import UserError


def _not_opened() -> Any:
    raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """A data set, or predictions or weights: whatever has a name, can be missing, or is cited.

    Attributes:
        name: what the user types and records hold.
        title: its short name on axes and labels; `name` if empty.
        kind: `images` (opens as an ImageSet), `poses` (as a PoseSet), `files` (too large for
            arrays: opened by its own module), or empty for what is not opened by its name.
        load: opens it; raises MissingData if it has to be fetched first.
        fingerprint: 16 hexadecimal digits that stand for its content, known without it.
        require: raises MissingData if it has to be fetched first, UserError if it is damaged;
            None for what is generated on first use.
        part_of: name of the set that it is fetched, licensed and cited with, if not by itself.
        what: one phrase that says what it is.
        licence: under which it may be used.
        citation: whom to cite.
        page: address of a page about it.
        hub: its identifier and name on the Hugging Face Hub.
        fetch: brings it here. Called with the `--from` path or None and the keywords `force` and
            `quiet`, returns where it lies; None for what cannot be fetched by this name.
        size: bytes to download, None where they are not published or nothing is downloaded.
        manual_size: bytes of what only the user can download, None where they are not published.
    """

    name: str
    title: str = ""
    kind: Literal["images", "poses", "files", ""] = ""
    load: Callable[[], Any] = _not_opened
    fingerprint: Callable[[], str] = _not_opened
    require: Callable[[], object] | None = None
    part_of: str = ""
    what: str = ""
    licence: str = ""
    citation: str = ""
    page: str = ""
    hub: tuple[str, str] | None = None
    fetch: Callable[..., Path] | None = None
    size: int | None = None
    manual_size: int | None = None

    def __post_init__(self) -> None:
        if self.kind and _not_opened in (self.load, self.fingerprint):
            raise ValueError(f"{self.name}: a set of {self.kind} takes load and fingerprint")


_groups: list[tuple[int, tuple[Dataset, ...]]] = []


def register(*datasets: Dataset, order: int = 70) -> None:
    """Make data sets known by their names.

    Args:
        order: where they stand in lists; groups of equal order stand by their names.

    Raises:
        ValueError: a name is taken.
    """
    if not datasets:
        raise ValueError("no data set is given")
    names = [known.name for known in (*datasets, *(d for _, group in _groups for d in group))]
    for dataset in datasets:
        if names.count(dataset.name) > 1:
            raise ValueError(f"a data set {dataset.name} is registered already")
    _groups.append((order, datasets))


@functools.cache
def registered() -> Mapping[str, Dataset]:
    """All data sets and weights by name."""
    package = sys.modules[__package__]
    for module in pkgutil.iter_modules(package.__path__, f"{__package__}."):
        importlib.import_module(module.name)
    groups = sorted(_groups, key=lambda group: (group[0], group[1][0].name))
    found = {known.name: known for _, group in groups for known in group}
    for known in found.values():
        if known.part_of and known.part_of not in found:
            raise ValueError(f"{known.name} is part of {known.part_of}, which is not registered")
    return MappingProxyType(found)


def names(*kinds: str) -> list[str]:
    """Names of all sets that can be opened, or of those of some kinds."""
    sets = {name: known for name, known in registered().items() if known.kind}
    return [name for name, known in sets.items() if not kinds or known.kind in kinds]


def is_generated(name: str) -> bool:
    """Whether this suite draws a set on first use, so that nobody else has rights in it."""
    known = registered().get(name)
    return known is not None and bool(known.kind) and known.require is None


def whole(name: str) -> str:
    """The name that a part of a set is fetched by: `lspet` of `lspet-train`, else `name`."""
    known = registered().get(name)
    return known.part_of or name if known else name


def title(name: str) -> str:
    """What a set is called on axes and labels; `name` where no other is registered."""
    known = registered().get(name)
    return known.title or name if known else name


def find(name: str) -> Dataset:
    """The set that is opened by a name.

    Raises:
        UserError: there is none.
    """
    known = registered().get(name)
    if known is None or not known.kind:
        raise unknown(name, names())
    return known


def unknown(name: str, among: Iterable[str], *, to: str = "") -> UserError:
    """The error that there is no such name, with the nearest ones.

    Args:
        among: the names that exist.
        to: what was to be done, after the name.
    """
    near = difflib.get_close_matches(name, list(among), n=3, cutoff=0.0)
    return UserError(f"there is no data set {name!r}{to}; the nearest names are {', '.join(near)}")
