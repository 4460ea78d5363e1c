"""A published file of predictions on MPII's validation people: an hourglass of eight stacks.

It lies beside MPII's truth, which it is scored by.
"""

import hashlib
from pathlib import Path

from replab import files
from replab.datasets import download, mpii_annotations
from replab.datasets.download import Remote
from replab.datasets.registry import Dataset, register
from replab.datasets.source_files import find_below, read_bytes
from replab.errors import MissingData, UserError

NAME = "mpii-predictions"
REPOSITORY = "anibali/eval-mpii-pose"
COMMIT = "938ef9a57fde14fdd1754fa668ec13ec4c00adab"
REMOTE = Remote(
    f"https://raw.githubusercontent.com/{REPOSITORY}/{COMMIT}/preds/reference/"
    "bearpaw-hg_s8_b1.mat",
    "bearpaw-hg_s8_b1.mat",
    "5cd3ff9e5a3461d253ebf417daf4bcab8ae6a7f8522d3b04488bc8ab1ec42cc7",
    378_824,
)
MEND = f"run `python -m replab fetch {NAME}` (or with `--from FILE_OR_DIR`)"


def fingerprint(remote: Remote = REMOTE) -> str:
    """16 hexadecimal digits that stand for the file, known without it."""
    return remote.sha256[:16]


def find(remote: Remote = REMOTE) -> Path:
    """The fetched file, its checksum checked: `preds` 2958×16×2, px counted from 1 as the truth's.

    Raises:
        MissingData: it has not been fetched.
        UserError: it is damaged.
    """
    path = mpii_annotations.folder() / remote.file
    if not path.is_file():
        raise MissingData(f"{NAME} are not on this machine (no {path}); {MEND}")
    got = download.check(path, remote.sha256)
    if got is not None:
        raise UserError(f"{path} has sha256 {got}, expected {remote.sha256}; {MEND}")
    return path


def fetch(
    source: Path | None = None,
    *,
    force: bool = False,
    quiet: bool = False,
    remote: Remote = REMOTE,
) -> Path:
    """Bring the file to this machine, from its repository, a folder or a file.

    Args:
        source: the file under any name, or a folder that holds it, up to three folders deep.
        force: fetch it even if it is here.
        quiet: nothing on stderr.
        remote: where it is published.

    Returns:
        The checked file.

    Raises:
        DownloadFailed: the repository cannot be reached or gives something else.
        UserError: the source lacks the file or holds another one, or the disk is full.
    """
    path = mpii_annotations.folder() / remote.file
    if source is None:
        download.get(remote, path.parent, force=force, quiet=quiet)
    else:
        found = find_below(source, remote.file) if source.is_dir() else source
        if found is None:
            raise UserError(f"{source} does not hold {remote.file}; name the file itself")
        # Of a longer file a byte more is enough to tell that it is another one.
        data = read_bytes(found, (remote.size or 0) + 1)
        if hashlib.sha256(data).hexdigest() != remote.sha256:
            raise UserError(
                f"{found} is not the {remote.file} that was published (its sha256 is not "
                f"{remote.sha256}); get the file from its repository"
            )
        files.write_bytes(path, data)
    download.say(f"{NAME} are at {path}", quiet=quiet)
    return path


register(
    Dataset(
        name=NAME,
        require=find,
        what="predictions of an eight-stack hourglass for MPII's 2,958 validation people",
        licence="none stated",
        citation=f"bearpaw/pytorch-pose, by {REPOSITORY}",
        page="https://github.com/bearpaw/pytorch-pose",
        fetch=fetch,
        size=REMOTE.size,
    ),
    order=51,
)
