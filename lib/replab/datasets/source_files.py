"""Files that a user already has: found in a folder by name, and read with clear errors."""

from pathlib import Path

from replab.errors import UserError

# An unpacked repository has its files in the third folder, or so.
PATTERNS = ("{}", "*/{}", "*/*/{}", "*/*/*/{}")


def find_below(folder: Path, name: str) -> Path | None:
    """The first file of this name in a folder or up to three folders deep, nearest first."""
    found = (path for pattern in PATTERNS for path in sorted(folder.glob(pattern.format(name))))
    return next((path for path in found if path.is_file()), None)


def read_bytes(path: Path, most: int = -1) -> bytes:
    """The bytes of a file, or its first ones.

    Args:
        most: how many, -1 for all.

    Raises:
        UserError: it cannot be read.
    """
    try:
        with path.open("rb") as stream:
            return stream.read(most)
    except OSError as error:
        reason = error.strerror or error
        raise UserError(f"cannot read {path}: {reason}; name a readable file or folder") from error
