"""All people with keypoints of COCO val2017 with estimated areas, for a machine without COCO.

Boxes and keypoints are the official ones, rebuilt from public YOLO labels; areas are 0.5369 times
the box, while COCO's are those of the segments. Crowds, people without keypoints and pictures
without people are absent. On the same detections AP differs by up to 1.3 points from COCO's, so an
AP of this set is to be compared with others of this set and never with a paper's.
"""

from dataclasses import replace
from pathlib import Path

from replab import files
from replab.datasets import coco
from replab.datasets.download import say
from replab.datasets.pose_set import PoseSet
from replab.datasets.registry import Dataset, register
from replab.datasets.source_files import find_below, read_bytes
from replab.errors import MissingData, UserError

NAME = "coco-val2017-estimated"
FILE = "person_keypoints_val2017_estimated_area"
FILES = tuple(FILE + suffix for suffix in coco.SUFFIXES)
# SHA-256 of the unpacked JSON, however it is packed.
DIGEST = "f93e273ad2870f368edf4223a2de33c541df698811101399958c3a20f489f9b3"
PEOPLE, PICTURES = 6_352, 2_346
MEND = (
    f"no address gives it: run `python -m replab fetch {NAME} --from FILE` with {FILE}.json, as "
    "it is or packed (.json.xz, .json.gz)"
)


def folder() -> Path:
    """Where the file lies on this machine: beside COCO's own annotations."""
    return coco.default_folder() / "annotations"


def fingerprint(digest: str = DIGEST) -> str:
    """16 hexadecimal digits that stand for the set, known without it.

    Args:
        digest: SHA-256 of the unpacked JSON.
    """
    return coco.fingerprint(digest)


def find(digest: str = DIGEST) -> Path:
    """The file on this machine, its content checked.

    Args:
        digest: SHA-256 of the unpacked JSON.

    Raises:
        MissingData: it has not been fetched.
        UserError: it is damaged.
    """
    path = next((folder() / name for name in FILES if (folder() / name).is_file()), None)
    if path is None:
        raise MissingData(f"{NAME} is not on this machine (no {folder() / FILES[0]}); {MEND}")
    _check(path, digest)
    return path


def fetch(
    source: Path | None = None,
    *,
    force: bool = False,
    quiet: bool = False,
    digest: str = DIGEST,
) -> Path:
    """Bring the file to this machine, checked by its content; it is never downloaded.

    Args:
        source: the file, or a folder that holds it, up to three folders deep.
        force: take it even if it is here.
        quiet: nothing on stderr.
        digest: SHA-256 of the unpacked JSON.

    Returns:
        The file.

    Raises:
        MissingData: it is not here, and no source is named.
        UserError: the source lacks it or holds other content, or the disk is full.
    """
    if source is None or not force:
        try:
            path = find(digest)
        except UserError:
            if source is None:
                raise
        else:
            say(f"{NAME} is already here: {path}", quiet=quiet)
            return path
    found = _source_file(source)
    _check(found, digest)
    suffix = next((s for s in coco.SUFFIXES if found.name.endswith(s)), coco.SUFFIXES[0])
    path = folder() / (FILE + suffix)
    if not (path.is_file() and path.samefile(found)):
        files.write_bytes(path, read_bytes(found))
    for name in FILES:
        # Another packing of the same, perhaps a damaged one, would be found before this.
        if folder() / name != path:
            (folder() / name).unlink(missing_ok=True)
    say(f"{NAME} is at {path}", quiet=quiet)
    return path


def load(*, digest: str = DIGEST) -> PoseSet:
    """The 6,352 people of 2,346 pictures, as of `coco.load`, under the name of this set.

    Pictures are those of `coco-val2017`: they are needed only when one is read. The ground truth
    carries `area_estimated`, by which `coco.areas_estimated` knows the set.

    Args:
        digest: SHA-256 of the unpacked JSON.

    Raises:
        MissingData: the file has not been fetched.
        UserError: it is damaged.
    """
    return replace(coco.load("val2017", annotations=find(digest)), name=NAME)


def _check(path: Path, digest: str) -> None:
    _, got = coco.read_annotations(path)
    if got != digest:
        raise UserError(
            f"{path} holds other content than {NAME} (sha256 {got[:16]}…, unpacked; expected "
            f"{digest[:16]}…); {MEND}"
        )


def _source_file(source: Path) -> Path:
    if source.is_file():
        return source
    if not source.exists():
        raise UserError(f"there is no {source}; name {FILES[0]} or a folder that holds it")
    found = next(filter(None, (find_below(source, name) for name in FILES)), None)
    if found is None:
        raise UserError(f"{source} holds no {' or '.join(FILES)}; name the folder that does")
    return found


register(
    Dataset(
        name=NAME,
        title="COCO val2017, areas estimated",
        kind="poses",
        load=load,
        fingerprint=fingerprint,
        require=find,
        what=(
            "COCO val2017: keypoints of its 6,352 people with estimated areas, without "
            "pictures; with --from FILE"
        ),
        licence="annotations CC BY 4.0; labels they are rebuilt from: MIT or GPL-3.0",
        fetch=fetch,
        **coco.ABOUT,
    ),
    order=32,
)
