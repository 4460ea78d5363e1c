"""Published checkpoints that a test of the evaluation path needs, known by their checksums."""

import functools
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from replab import files
from replab.datasets import download
from replab.datasets.download import Remote
from replab.datasets.registry import Dataset, register
from replab.errors import MissingData, UserError
from replab.paths import data_dir

REPOSITORY = "akamaster/pytorch_resnet_cifar10"
COMMIT = "d5489e8995e81e91ce6b1d69dcc98ad579b0b153"
RGB_IMAGENET: Mapping[str, Any] = MappingProxyType(
    {"colour": "RGB", "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}
)


@dataclass(frozen=True)
class Checkpoint:
    """A published checkpoint.

    Attributes:
        name: the model that it is for, as `replab.models.create` calls it.
        remote: where it is and its checksum (the file's name carries the first 8 digits).
        source: repository@commit.
        licence: under which its authors publish it.
        preprocessing: colour order, and per-channel mean and standard deviation of 0–1 values.
    """

    name: str
    remote: Remote
    source: str = f"{REPOSITORY}@{COMMIT}"
    licence: str = "BSD-2-Clause"
    preprocessing: Mapping[str, Any] = field(default_factory=lambda: RGB_IMAGENET)


def _akamaster(depth: int, digits: str, size: int | None, sha256: str = "") -> Checkpoint:
    file = f"resnet{depth}-{digits}.th"
    url = f"https://raw.githubusercontent.com/{REPOSITORY}/{COMMIT}/pretrained_models/{file}"
    return Checkpoint(f"cifar_resnet{depth}", Remote(url, file, sha256 or digits, size))


CHECKPOINTS: Mapping[str, Checkpoint] = MappingProxyType(
    {
        checkpoint.name: checkpoint
        for checkpoint in (
            _akamaster(
                20,
                "12fca82f",
                1_099_231,
                "12fca82f0bebc4135bf1f32f6e3710e61d5108578464b84fd6d7f5c1b04036c8",
            ),
            _akamaster(
                32,
                "d509ac18",
                1_890_043,
                "d509ac1820d7f25398913559d7e81a13229b1e7adc5648e3bfa5e22dc137f850",
            ),
            _akamaster(44, "014dd654", 2_680_855),
            _akamaster(56, "4bfd9763", 3_471_733),
            _akamaster(110, "1d1ed7c2", None),
            _akamaster(1202, "f3b1deed", None),
        )
    }
)


def folder() -> Path:
    """Where fetched checkpoints live on this machine."""
    return data_dir() / "weights"


def describe(name: str) -> Checkpoint:
    """What is known about a published checkpoint, for example `cifar_resnet20`.

    Raises:
        UserError: there is no such checkpoint.
    """
    try:
        return CHECKPOINTS[name]
    except KeyError:
        raise UserError(
            f"there are no published weights {name!r}; choose one of {', '.join(CHECKPOINTS)}"
        ) from None


def fingerprint(name: str) -> str:
    """16 hexadecimal digits that stand for a checkpoint, known without it.

    They rest on the 8 published digits only, so that they stay when a full checksum gets known.

    Raises:
        UserError: there is no such checkpoint.
    """
    known = describe(name)
    identity = {"source": known.source, "file": known.remote.file}
    return files.sha256_bytes(files.canonical_json(identity).encode())[:16]


def find(name: str) -> Path:
    """The file of a fetched checkpoint, its checksum checked.

    Raises:
        MissingData: it has not been fetched.
        UserError: there is no such checkpoint, or the file is damaged.
    """
    remote = describe(name).remote
    path = folder() / remote.file
    mend = f"run `python -m replab fetch weights:{name}` (or with `--from FILE_OR_DIR`)"
    if not path.is_file():
        raise MissingData(f"the weights {name} are not on this machine (no {path}); {mend}")
    got = download.check(path, remote.sha256)
    if got is not None:
        raise UserError(f"{path} has sha256 {got}, expected {remote.sha256}; {mend}")
    return path


def fetch(
    name: str, source: Path | None = None, *, force: bool = False, quiet: bool = False
) -> Path:
    """Bring a published checkpoint to this machine, from a file, a folder or its repository.

    Args:
        name: for example `cifar_resnet20`.
        source: the checkpoint (under any name) or a folder that holds it under its own name.
        force: fetch even if it is there.
        quiet: nothing on stderr.

    Returns:
        The checked file in `folder()`.

    Raises:
        DownloadFailed: the repository cannot be reached or gives something else.
        UserError: no such checkpoint, a wrong checksum, or the disk is full.
    """
    known = describe(name)
    path = folder() / known.remote.file
    if not force and path.is_file() and download.check(path, known.remote.sha256) is None:
        download.say(f"weights:{name} are already here: {path}", quiet=quiet)
        return path
    if source is None:
        return download.get(known.remote, folder(), force=force, quiet=quiet)
    _copy(_pick(source, known.remote.file), path, known.remote.sha256)
    download.say(f"weights:{name} are at {path}", quiet=quiet)
    return path


def _pick(source: Path, file: str) -> Path:
    if source.is_dir():
        found = [p for p in (source / file, *sorted(source.glob(f"*/{file}"))) if p.is_file()]
        if not found:
            raise UserError(f"{source} does not hold {file}; name the file or its folder")
        return found[0]
    if not source.is_file():
        raise UserError(f"there is no {source}; name {file} or a folder that holds it")
    return source


def _copy(source: Path, path: Path, sha256: str) -> None:
    digest = hashlib.sha256()
    try:
        reader = source.open("rb")
    except OSError as error:
        raise UserError(f"cannot read {source}: {error.strerror}; name a readable file") from error
    with reader, files.atomic_writer(path) as writer:
        while data := reader.read(2**20):
            digest.update(data)
            writer.write(data)
        got = digest.hexdigest()
        if not got.startswith(sha256):
            raise UserError(
                f"{source} has sha256 {got}, expected {sha256}; get the file from its repository"
            )


register(
    *(
        Dataset(
            name=f"weights:{known.name}",
            require=functools.partial(find, known.name),
            what=f"checkpoint of {known.name} trained on CIFAR-10",
            licence=known.licence,
            citation=f"Idelbayev, {known.source}",
            fetch=functools.partial(fetch, known.name),
            size=known.remote.size,
        )
        for known in CHECKPOINTS.values()
    ),
    order=80,
)
