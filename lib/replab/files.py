"""Files that matter: written aside and renamed, checked by digest, read with clear errors."""

import contextlib
import errno
import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from replab.errors import UserError


@contextlib.contextmanager
def atomic_writer(path: Path) -> Iterator[IO[bytes]]:
    """Open a temporary file beside `path` that takes its name only when the block ends well.

    The data reach the disk before the rename, so a crash leaves the old file or the new one.

    Raises:
        UserError: the folder cannot be written or the disk is full.
    """
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
        temporary = Path(name)
        with os.fdopen(handle, "wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        temporary.chmod(0o644)
        temporary.replace(path)
        temporary = None
    except OSError as error:
        raise UserError(
            f"cannot write {path}: {error.strerror or error}; {_mend(error)}"
        ) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def _mend(error: OSError) -> str:
    if error.errno == errno.ENOSPC:
        return "free some space on that disk and run the command again"
    if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
        return "make the folder writable or choose another one"
    return "mend the cause and run the command again"


def make_folder(path: Path) -> Path:
    """Make a folder and those above it unless they are there, and return it.

    Raises:
        UserError: it cannot be made, or the disk is full.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"cannot make {path}: {error.strerror or error}; {_mend(error)}"
        ) from error
    return path


def write_bytes(path: Path, data: bytes) -> None:
    """Write `data` to `path` atomically."""
    with atomic_writer(path) as stream:
        stream.write(data)


def write_text(path: Path, text: str) -> None:
    """Write `text` as UTF-8 to `path` atomically."""
    write_bytes(path, text.encode())


def canonical_json(value: Any) -> str:
    """JSON with sorted keys and no spaces: equal values give equal text."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def write_json(path: Path, value: Any) -> None:
    """Write `value` as readable JSON to `path` atomically; NaN and infinity are refused."""
    write_text(path, json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def read_text(path: Path, *, shown_as: str) -> str:
    """Read a file that a person wrote, UTF-8 with or without a byte order mark.

    Args:
        shown_as: the file's name in messages.

    Raises:
        UserError: the file cannot be read or is not UTF-8; then the message names the line.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UserError(f"cannot read {shown_as}: {error.strerror or error}") from error
    try:
        # Spreadsheets put a byte order mark in front.
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise UserError(f"{shown_as}:{line}: not UTF-8; save the file as UTF-8") from error


def read_json(path: Path, *, mend: str) -> Any:
    """Read JSON from `path`.

    Args:
        mend: what the user can do if the file is missing or broken, for the error's last part.

    Raises:
        UserError: the file is missing or is no JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}; {mend}") from error
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} is not valid JSON ({error}); {mend}") from error


def sha256_file(path: Path) -> str:
    """SHA-256 of a file's bytes, as 64 hexadecimal digits."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def sha256_bytes(data: bytes | memoryview) -> str:
    """SHA-256 of some bytes, as 64 hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()
