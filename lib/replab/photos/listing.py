"""Which pictures a user names: files and folders, each with a number and a name of its own."""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from replab.errors import UserError

# Of what is looked for in folders. The last row cannot be read here; left out in silence, a
# telephone's folder would seem to be empty.
SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".png", ".webp", ".tif", ".tiff", ".bmp", ".gif"),
    *(".heic", ".heif", ".avif"),
)


@dataclass(frozen=True)
class Entry:
    """A picture that is asked for.

    Attributes:
        path: where it is.
        name: relative to the folder that holds all pictures, with `/`, and so of this one only.
        id: the number by which it goes in result files.
    """

    path: Path
    name: str
    id: int


def entries(places: Sequence[str | Path], *, without: Path | None = None) -> list[Entry]:
    """The pictures of some files and folders, in the order named, folders with all below, sorted.

    Ids: where all names are different numbers, as in COCO (`000000000139.jpg`), these; else 1, 2,
    3, … in the order of the list.

    Args:
        places: files of any ending, and folders, of which the pictures by their endings are
            taken, hidden ones left out.
        without: a folder whose pictures are left out, such as that of earlier overlays.

    Raises:
        UserError: a place is missing or cannot be read, or there are no pictures.
    """
    beyond = None if without is None else without.resolve()
    found: dict[Path, Path] = {}
    tops: list[Path] = []
    for place in map(Path, places):
        if place.is_dir():
            tops.append(_absolute(place))
            inside = _below(place, beyond)
        elif place.is_file():
            tops.append(_absolute(place).parent)
            inside = [place]
        else:
            raise UserError(f"there is no picture or folder {place}; check the path")
        # Keys by what a file really is: a picture named twice is looked at once.
        for path in inside:
            found.setdefault(path.resolve(), path)
    if not found:
        named = ", ".join(map(str, places)) or "nothing"
        endings = " ".join(SUFFIXES)
        raise UserError(f"there are no pictures in {named}; they are told by {endings}")
    common = _common(tops)
    names = [_absolute(path).relative_to(common).as_posix() for path in found.values()]
    numbers = _numbers(names)
    return [
        Entry(path, name, number)
        for path, name, number in zip(found.values(), names, numbers, strict=True)
    ]


def overlay_names(names: Sequence[str], suffix: str) -> list[str]:
    """For each picture a file name of its overlay, unlike all others, in the same folder.

    `x.jpg` gives `x.overlay.jpg`; where `x.png` lies beside it, the second gives
    `x.png.overlay.jpg`. Capitals do not make names different: some file systems ignore them.

    Args:
        names: of pictures, all different.
        suffix: of the overlays, as `.jpg`.
    """
    taken: set[str] = set()
    chosen = []
    for name in names:
        stem = name[: len(name) - len(PurePosixPath(name).suffix)]
        turn, candidate = 2, f"{stem}.overlay{suffix}"
        while candidate.casefold() in taken:
            candidate = (
                f"{name}.overlay{suffix}" if turn == 2 else f"{name}-{turn}.overlay{suffix}"
            )
            turn += 1
        taken.add(candidate.casefold())
        chosen.append(candidate)
    return chosen


def _below(folder: Path, without: Path | None) -> list[Path]:
    def refuse(error: OSError) -> None:
        raise UserError(
            f"cannot read {error.filename or folder}: {error.strerror or error}; make it readable"
        ) from error

    found = []
    for here, folders, names in os.walk(folder, onerror=refuse):
        folders[:] = sorted(
            name
            for name in folders
            if not name.startswith(".") and (Path(here) / name).resolve() != without
        )
        found += [
            Path(here) / name
            for name in sorted(names)
            if not name.startswith(".") and name.lower().endswith(SUFFIXES)
        ]
    return found


def _absolute(path: Path) -> Path:
    """From the root on, links as they are: a name should be the one that the user sees."""
    return Path(os.path.abspath(path))


def _common(folders: Iterable[Path]) -> Path:
    try:
        return Path(os.path.commonpath(list(folders)))
    except ValueError as error:  # of different drives
        raise UserError("these pictures lie on different drives; name those of one") from error


def _numbers(names: Sequence[str]) -> list[int]:
    stems = [PurePosixPath(name).stem for name in names]
    if all(stem.isascii() and stem.isdigit() and len(stem) < 18 for stem in stems):
        numbers = [int(stem) for stem in stems]
        if len(set(numbers)) == len(numbers) and min(numbers) > 0:
            return numbers
    return list(range(1, len(names) + 1))
