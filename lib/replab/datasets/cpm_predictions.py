"""CPM's published predictions on LSP and FLIC, and the truth that they are scored by.

The authors' licence forbids passing the predictions on, so every machine fetches its own.
"""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from replab import files
from replab.datasets import download
from replab.datasets.download import Remote
from replab.datasets.registry import Dataset, register
from replab.datasets.source_files import find_below, read_bytes
from replab.errors import MissingData, UserError
from replab.paths import data_dir

NAME = "cpm-predictions"
PREDICTIONS = (
    "shihenw/convolutional-pose-machines-release",
    "a345bc5c760073792b6b5ec29d3bde01557a5a9b",
    "testing/predicts",
)
TRUTH = ("bearpaw/eval_pose", "f6c71b64c8183aa71f18577494fa32d3b0536396", "gt")


def _remote(place: tuple[str, str, str], file: str, size: int, sha256: str) -> Remote:
    repository, commit, folder = place
    url = f"https://raw.githubusercontent.com/{repository}/{commit}/{folder}/{file}"
    return Remote(url, file, sha256, size)


REMOTES: Mapping[str, Remote] = MappingProxyType(
    {
        remote.file: remote
        for remote in (
            _remote(
                PREDICTIONS,
                "LSP_prediction_model_LSP_6s.mat",
                25_262,
                "1c1c8f4d57797ef188f2be10ca075fb2bf44e10c27cf6dae868f7da90b6de4b7",
            ),
            _remote(
                PREDICTIONS,
                "LSP_prediction_model_MPII_LSP_6s.mat",
                25_228,
                "fd9f92f90064bc2d364ea91671c7b26c114b16153e841652c57be281b85c938f",
            ),
            _remote(
                PREDICTIONS,
                "FLIC_prediction_model_FLIC_4s.mat",
                26_288,
                "918a6ee24242698a77429506ebffcfe8c1c7d940e481efd741f0fec1e15379e7",
            ),
            _remote(
                TRUTH,
                "lsp-joints-PC.mat",
                440_523,
                "ddcfcbe904106bfbf26561c8d11720ca62a11c7a861548064b3bae84cb396b2a",
            ),
            _remote(
                TRUTH,
                "lsp-joints-OC.mat",
                440_600,
                "14e4f21084081275f064d68faa365280ce0aa28130ae54d564f6a626e9ef57bb",
            ),
            _remote(
                TRUTH,
                "flic-joints-test-oc.mat",
                75_701,
                "2f7d7eea102891d458f3421592c5d93af02e3aa92b619330c4a92c160859858e",
            ),
        )
    }
)
SIZE = sum(remote.size or 0 for remote in REMOTES.values())
# Of a longer file no more than a byte more is read: enough to tell that it is none of them.
LARGEST = max(remote.size or 0 for remote in REMOTES.values())


def folder() -> Path:
    """Where the fetched files live on this machine."""
    return data_dir() / NAME


def fingerprint() -> str:
    """16 hexadecimal digits that stand for the six files, known without them."""
    identity = {name: remote.sha256 for name, remote in REMOTES.items()}
    return files.sha256_bytes(files.canonical_json(identity).encode())[:16]


def find(name: str) -> Path:
    """A fetched file, its checksum checked.

    Args:
        name: a key of `REMOTES`.

    Raises:
        MissingData: it has not been fetched.
        UserError: it is damaged, or there is no such file.
    """
    if name not in REMOTES:
        raise UserError(f"{NAME} has no {name!r}; choose one of {', '.join(REMOTES)}")
    path, mend = folder() / name, f"run `python -m replab fetch {NAME}` (or with `--from DIR`)"
    if not path.is_file():
        raise MissingData(f"{NAME} are not on this machine (no {path}); {mend}")
    got = download.check(path, REMOTES[name].sha256)
    if got is not None:
        raise UserError(f"{path} has sha256 {got}, expected {REMOTES[name].sha256}; {mend}")
    return path


def require() -> None:
    """See that all six files are here and whole.

    Raises:
        MissingData: some have to be fetched first.
        UserError: one is damaged.
    """
    for name in REMOTES:
        find(name)


def fetch(source: Path | None = None, *, force: bool = False, quiet: bool = False) -> Path:
    """Bring the six files to this machine, from their repositories, a folder, or one by one.

    Args:
        source: a folder that holds all of them under their own names, up to three folders deep,
            or one of the files under any name.
        force: fetch even what is there.
        quiet: nothing on stderr.

    Returns:
        The folder with the checked files.

    Raises:
        DownloadFailed: a repository cannot be reached or gives something else; the files that
            came before stay, and the next call goes on from there.
        UserError: the source lacks a file or holds another one, or the disk is full.
    """
    wanted = [remote for remote in REMOTES.values() if force or not _here(remote)]
    if not wanted:
        download.say(f"{NAME} are already here: {folder()}", quiet=quiet)
    elif source is None:
        for remote in wanted:
            download.get(remote, folder(), force=force, quiet=quiet)
        download.say(f"{NAME} are at {folder()}", quiet=quiet)
    elif source.is_dir():
        # All are read and checked before the first is written.
        contents = {remote.file: _pick(source, remote) for remote in wanted}
        for file, data in contents.items():
            files.write_bytes(folder() / file, data)
        download.say(f"{NAME} are at {folder()}", quiet=quiet)
    else:
        _take_one(source, quiet=quiet)
    return folder()


def _here(remote: Remote) -> bool:
    path = folder() / remote.file
    return path.is_file() and download.check(path, remote.sha256) is None


def _pick(source: Path, remote: Remote) -> bytes:
    path = find_below(source, remote.file)
    if path is None:
        raise UserError(
            f"{source} does not hold {remote.file}; name the folder that has all of {NAME}"
        )
    data = read_bytes(path, LARGEST + 1)
    if hashlib.sha256(data).hexdigest() != remote.sha256:
        raise UserError(
            f"{path} is not the {remote.file} that was published (its sha256 is not "
            f"{remote.sha256}); get the file from its repository"
        )
    return data


def _take_one(source: Path, *, quiet: bool) -> None:
    data = read_bytes(source, LARGEST + 1)
    got = hashlib.sha256(data).hexdigest()
    file = next((remote.file for remote in REMOTES.values() if remote.sha256 == got), None)
    if file is None:
        raise UserError(
            f"{source} is none of the {len(REMOTES)} files of {NAME}, by its sha256; name one as "
            "published, or a folder that holds them"
        )
    files.write_bytes(folder() / file, data)
    lacking = [remote.file for remote in REMOTES.values() if not _here(remote)]
    still = f"; still missing: {', '.join(lacking)}" if lacking else ""
    download.say(f"{file} is in {folder()}{still}", quiet=quiet)


register(
    Dataset(
        name=NAME,
        require=require,
        what="predictions of Convolutional Pose Machines on LSP and FLIC, and their truth",
        licence="non-commercial research, no redistribution (predictions); GPL-2.0 (truth)",
        citation="Wei et al., Convolutional Pose Machines, CVPR 2016",
        page="https://github.com/shihenw/convolutional-pose-machines-release",
        fetch=fetch,
        size=SIZE,
    ),
    # Scores of predictions name them.
    Dataset(name="lsp", hub=("lsp", "Leeds Sports Pose")),
    Dataset(name="flic", hub=("flic", "Frames Labeled in Cinema (FLIC)")),
    order=60,
)
