"""Labelled images in memory-mapped arrays: what a classifier trains on, and its files."""

import contextlib
import errno
import io
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from replab import files
from replab.errors import MissingData, UserError

ARRAYS = ("train_images", "train_labels", "test_images", "test_labels")
INDEX = "index.json"


@dataclass(frozen=True)
class ImageSet:
    """A set of labelled RGB images of 32×32 pixels, split into training and test images.

    Attributes:
        name: the name under which `replab.datasets.open_set` opens it.
        fingerprint: 16 hexadecimal digits that stand for the content, known without the data.
        train_images: N×32×32×3, uint8, RGB, 0–255.
        train_labels: N, uint8, indices into `classes`.
        test_images: M×32×32×3, uint8, RGB, 0–255.
        test_labels: M, uint8, indices into `classes`.
        classes: the names of the classes, in the order of their labels.
    """

    name: str
    fingerprint: str
    train_images: NDArray[np.uint8]
    train_labels: NDArray[np.uint8]
    test_images: NDArray[np.uint8]
    test_labels: NDArray[np.uint8]
    classes: tuple[str, ...]


def digest(array: NDArray[np.uint8]) -> str:
    """SHA-256 of the bytes of an array in C order, as 64 hexadecimal digits."""
    return files.sha256_bytes(np.ascontiguousarray(array).data.cast("B"))


def write_folder(folder: Path, name: str, fingerprint: str, arrays: Mapping[str, Any]) -> None:
    """Write the four arrays and their index into an existing, still nameless folder.

    Raises:
        UserError: the disk is full or the folder cannot be written.
    """
    index: dict[str, Any] = {"name": name, "fingerprint": fingerprint, "arrays": {}}
    for key in ARRAYS:
        array = np.ascontiguousarray(arrays[key])
        header = io.BytesIO()
        np.lib.format.write_array_header_1_0(
            header, np.lib.format.header_data_from_array_1_0(array)
        )
        with files.atomic_writer(folder / f"{key}.npy") as stream:
            stream.write(header.getvalue())
            stream.write(array.data.cast("B"))
        index["arrays"][key] = {
            "shape": list(array.shape),
            "bytes": len(header.getvalue()) + array.nbytes,
            "sha256": digest(array),
        }
    files.write_json(folder / INDEX, index)


def open_folder(
    folder: Path, name: str, fingerprint: str, classes: tuple[str, ...], *, mend: str
) -> ImageSet:
    """Open a folder of `write_folder` as memory-mapped arrays; only sizes are checked.

    The arrays are mapped copy-on-write: writing into them changes neither the file nor what other
    processes see, and `torch.from_numpy` takes them without a warning.

    Args:
        folder: where the arrays lie.
        name: the name of the set.
        fingerprint: what the index must carry.
        classes: the names of the classes.
        mend: what the user can do if the data are missing or broken, for the error's last part.

    Raises:
        MissingData: there is no such folder.
        UserError: something in it is missing, truncated or of another version.
    """
    if not folder.is_dir():
        raise MissingData(f"{name} is not on this machine (no {folder}); {mend}")
    index = files.read_json(folder / INDEX, mend=mend)
    try:
        found, sizes = index["fingerprint"], {key: index["arrays"][key]["bytes"] for key in ARRAYS}
    except (KeyError, TypeError) as error:
        raise UserError(f"{folder / INDEX} is not an index of {name}; {mend}") from error
    if found != fingerprint:
        raise UserError(f"{folder} has fingerprint {found}, expected {fingerprint}; {mend}")
    opened = {}
    for key in ARRAYS:
        path = folder / f"{key}.npy"
        try:
            size = path.stat().st_size
            if size != sizes[key]:
                raise UserError(f"{path} has {size:,} bytes, expected {sizes[key]:,}; {mend}")
            opened[key] = np.load(path, mmap_mode="c", allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            reason = getattr(error, "strerror", None) or error
            raise UserError(f"cannot read {path}: {reason}; {mend}") from error
        array = opened[key]
        tail = (32, 32, 3) if key.endswith("images") else ()
        if array.dtype != np.uint8 or array.shape[1:] != tail or array.ndim != 1 + len(tail):
            raise UserError(f"{path} holds {array.dtype} of shape {array.shape}; {mend}")
    for split in ("train", "test"):
        if len(opened[f"{split}_images"]) != len(opened[f"{split}_labels"]):
            raise UserError(f"{folder} has unequal numbers of {split} images and labels; {mend}")
    return ImageSet(name, fingerprint, classes=classes, **opened)


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the lock under which a data folder is made, one process at a time.

    Raises:
        UserError: the folder's parent cannot be written.
    """
    from filelock import FileLock

    with disk_errors(folder.parent):
        folder.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder.parent / f".{folder.name}.lock")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


@contextlib.contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """Give a temporary sibling that becomes `folder` only when the block ends well.

    Must be called under `locked(folder)`: what killed runs left beside it is removed first.

    Raises:
        UserError: the disk is full or the parent cannot be written.
    """
    for leftover in folder.parent.glob(f".{folder.name}.*.tmp"):
        shutil.rmtree(leftover)
    with disk_errors(folder.parent):
        temporary = Path(
            tempfile.mkdtemp(prefix=f".{folder.name}.", suffix=".tmp", dir=folder.parent)
        )
        try:
            yield temporary
            temporary.chmod(0o755)
            if folder.exists():
                # A folder cannot be renamed onto a full one: the old one steps aside under a name
                # that the next run would remove.
                old = Path(
                    tempfile.mkdtemp(prefix=f".{folder.name}.", suffix=".tmp", dir=folder.parent)
                )
                folder.rename(old / folder.name)
                temporary.rename(folder)
                shutil.rmtree(old)
            else:
                temporary.rename(folder)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


@contextlib.contextmanager
def disk_errors(folder: Path) -> Iterator[None]:
    """Turn an operating system's error about writing below `folder` into one clear line.

    Raises:
        UserError: what was wrong, with the mend.
    """
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            mend = "free some space on that disk and run the command again"
        else:
            mend = "make the folder writable or set REPLAB_DATA to another one"
        reason = error.strerror or error
        raise UserError(f"cannot write in {os.fspath(folder)}: {reason}; {mend}") from error
