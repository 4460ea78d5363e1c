"""Boxes of people that a detector found, in COCO's format of results: one file, one box source."""

import gc
import gzip
import json
import lzma
import os
import shutil
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from replab import files
from replab.datasets import download
from replab.datasets.download import Remote, say
from replab.datasets.registry import Dataset, register
from replab.errors import MissingData, UserError
from replab.paths import data_dir

PERSON = 1
MEND = (
    "a detections file is a JSON list of objects with image_id, category_id, bbox [x, y, width, "
    "height] and score"
)
# How many hexadecimal digits of a file's SHA-256 stand for it.
DIGITS = 16
URL = "REPLAB_COCO_DETECTIONS_URL"
# The folder of the released code.
BOXES = "person_detection_results"


@dataclass(frozen=True)
class PublishedBoxes:
    """The detector's boxes that the papers' tables rest on.

    Attributes:
        file: its name.
        sha256: in hexadecimal digits.
        size: in bytes.
        boxes: how many there are, all of people.
    """

    file: str
    sha256: str
    size: int
    boxes: int


# Given out by the authors through file hosts that no program can ask. Number of boxes: a log of
# microsoft/human-pose-estimation.pytorch; SHA-256 and size alike in three public repositories.
PUBLISHED = PublishedBoxes(
    "COCO_val2017_detections_AP_H_56_person.json",
    "53ba0ad8d0fd461c5a000cd90797fa8c39cd8c38cd125125c0412626ff592d59",
    16_383_781,
    104_125,
)


@dataclass(frozen=True)
class Detections:
    """The person boxes of one file, in its order.

    Attributes:
        source: name of the file and 16 digits of its SHA-256, as `NAME@DIGITS`; a compressed
            file counts as what is packed in it.
        image_ids: N, int64.
        boxes: N×4, float64, x, y, width, height in px, as they are in the file.
        scores: N, float64.
        left_out: how many entries were left out, by the reason.
    """

    source: str
    image_ids: NDArray[np.int64]
    boxes: NDArray[np.float64]
    scores: NDArray[np.float64]
    left_out: Mapping[str, int]

    def __len__(self) -> int:
        return len(self.scores)


def source_name(path: Path, digest: str) -> str:
    """How the boxes of a file are called in results: `NAME@DIGITS`.

    Args:
        path: the file; endings `.gz` and `.xz` do not count.
        digest: SHA-256 of its content.
    """
    name = path.name
    for ending in (".gz", ".xz"):
        name = name.removesuffix(ending)
    return f"{name}@{digest[:DIGITS]}"


def read(path: Path) -> Detections:
    """Every person box of a detections file (category 1), whatever its score, not clipped.

    Left out is only what no crop can be made of: boxes with numbers that are not finite, of
    negative width or height, or without any extent. Boxes beyond their picture, and those without
    width or height, stay, as released: `outside` tells which they are, `counts` how many.

    Raises:
        UserError: the file is missing, no JSON, or its entries are not detections.

    Source: leoxiaobin/deep-high-resolution-net.pytorch@6f69e46, lib/dataset/coco.py (IMAGE_THRE
    0.0, as in every published configuration).
    """
    content, digest = read_json(path, mend=MEND)
    if not isinstance(content, list) or not all(isinstance(entry, dict) for entry in content):
        raise UserError(f"{path} is no list of detections; {MEND}")
    try:
        categories = integers([entry["category_id"] for entry in content])
        image_ids = integers([entry["image_id"] for entry in content])
        scores = numbers([entry["score"] for entry in content])
        boxes = numbers([entry["bbox"] for entry in content], 4)
    except KeyError as error:
        lacking = next(n for n, entry in enumerate(content) if error.args[0] not in entry)
        raise UserError(f"{path}: entry {lacking} has no {error}; {MEND}") from error
    except (TypeError, ValueError, OverflowError) as error:
        odd = next((n for n, entry in enumerate(content) if not _sound(entry)), 0)
        raise UserError(f"{path}: entry {odd} is not as it should be; {MEND}") from error
    extent = boxes[:, 2:]
    finite = np.isfinite(boxes).all(axis=1) & np.isfinite(scores)
    with np.errstate(invalid="ignore"):
        reasons = {
            "other category": categories != PERSON,
            "numbers not finite": ~finite,
            "negative width or height": (extent < 0).any(axis=1),
            "no extent": (extent == 0).all(axis=1),
        }
    kept, left_out = sort_out(reasons, len(boxes))
    return Detections(
        source_name(path, digest), image_ids[kept], boxes[kept], scores[kept], left_out
    )


def outside(boxes: NDArray[np.float64], sizes: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which boxes share nothing with their picture: N booleans.

    Args:
        boxes: N×4, x, y, width, height in px.
        sizes: N×2, width and height of each box's picture in px.
    """
    begin, end = boxes[:, :2], boxes[:, :2] + boxes[:, 2:]
    beyond = (end < 0) | (begin > sizes - 1)
    return beyond[:, 0] | beyond[:, 1]


def counts(boxes: NDArray[np.float64], sizes: NDArray[np.int64]) -> Mapping[str, int]:
    """How many boxes there are, and how many of them are odd but kept, as released.

    Args:
        boxes: as of `outside`.
        sizes: as of `outside`.
    """
    return {
        "boxes": len(boxes),
        "beyond their picture": int(outside(boxes, sizes).sum()),
        "without width or height": int((boxes[:, 2:].min(axis=1) == 0).sum()),
    }


def sort_out(
    reasons: Mapping[str, NDArray[np.bool_]], count: int
) -> tuple[NDArray[np.bool_], dict[str, int]]:
    """Which of N are kept, and how many were left out, each by the first reason that fits."""
    kept = np.ones(count, dtype=bool)
    left_out = {}
    for reason, holds in reasons.items():
        number = int((kept & holds).sum())
        if number:
            left_out[reason] = number
        kept &= ~holds
    return kept, left_out


def read_json(
    path: Path, *, mend: str, hook: Callable[[dict[str, Any]], Any] | None = None
) -> tuple[Any, str]:
    """Content of a JSON file, plain or packed (`.gz`, `.xz`), and the SHA-256 of what is in it.

    Args:
        path: the file.
        mend: what the user can do if it is missing or broken, for the error's last part.
        hook: called with each object as soon as it is read; what it returns takes its place.

    Raises:
        UserError: the file is missing, damaged or no JSON.
    """
    try:
        data = path.read_bytes()
        if path.suffix == ".xz":
            data = lzma.decompress(data)
        elif path.suffix == ".gz":
            data = gzip.decompress(data)
    except (OSError, EOFError, lzma.LZMAError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"cannot read {path}: {reason}; {mend}") from error
    digest = files.sha256_bytes(data)
    # Millions of small objects without a cycle: collecting meanwhile only takes time.
    collecting = gc.isenabled()
    gc.disable()
    try:
        text = data.decode("utf-8-sig")
        del data  # a quarter of a gigabyte, for the training annotations
        return json.loads(text, object_hook=hook), digest
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} is not valid JSON ({error}); {mend}") from error
    finally:
        if collecting:
            gc.enable()


def integers(values: list[Any]) -> NDArray[np.int64]:
    """Whole numbers as an array; a fraction or text raises ValueError."""
    array = np.array(values) if values else np.empty(0, dtype=np.int64)
    if array.ndim != 1 or array.dtype.kind not in "iu":
        raise ValueError("not whole numbers")
    return array.astype(np.int64)


def numbers(values: list[Any], width: int | None = None) -> NDArray[np.float64]:
    """Numbers as an array, or rows of `width` numbers; anything else raises ValueError."""
    array = np.array(values, dtype=None if values else np.float64)
    if not values and width is not None:
        array = array.reshape(0, width)
    right = array.ndim == 1 if width is None else array.shape[1:] == (width,)
    if not right or array.dtype.kind not in "iuf":
        raise ValueError("not numbers")
    return array.astype(np.float64)


def default_path(published: PublishedBoxes = PUBLISHED) -> Path:
    """Where the detector's boxes lie on this machine."""
    return data_dir() / "coco" / BOXES / published.file


def find(published: PublishedBoxes = PUBLISHED) -> Path:
    """The detector's boxes, fetched before.

    Raises:
        MissingData: they have not been fetched.
    """
    path = default_path(published)
    if not path.is_file():
        raise MissingData(
            f"the detector's boxes are not on this machine (no {path}); {_whence(published)}"
        )
    return path


def fetch(
    source: Path | None = None,
    *,
    force: bool = False,
    quiet: bool = False,
    published: PublishedBoxes = PUBLISHED,
) -> Path:
    """Bring the detector's boxes of val2017 to this machine: from a file, or a user's own address.

    A file with other bytes is taken if it holds as many person boxes: its digest is part of the
    box source of every result, so that the two are never compared in silence.

    Args:
        source: the file, or a folder that holds it.
        force: fetch even if they are here.
        quiet: nothing on stderr.
        published: what is looked for.

    Returns:
        The file.

    Raises:
        MissingData: neither a source nor `REPLAB_COCO_DETECTIONS_URL` is given.
        DownloadFailed: the address gives something else, or nothing.
        UserError: the source is something else.
    """
    path = default_path(published)
    if not force and path.is_file() and _wrong(path, published, quiet=True) is None:
        say(f"coco-detections are already here: {path}", quiet=quiet)
        return path
    if source is None:
        address = os.environ.get(URL, "")
        if not address:
            raise MissingData(f"coco-detections cannot be downloaded; {_whence(published)}")
        remote = Remote(address, published.file, published.sha256, published.size)
        return download.get(remote, path.parent, force=force, quiet=quiet)
    if source.is_dir():
        beside = (source / published.file, source / BOXES / published.file)
        source = next((p for p in beside if p.is_file()), beside[0])
    if not source.is_file():
        raise UserError(f"there is no {source}; name {published.file} or its folder")
    wrong = _wrong(source, published, quiet=quiet)
    if wrong is not None:
        raise UserError(f"{source} {wrong}; {_whence(published)}")
    if not (path.is_file() and path.samefile(source)):
        with source.open("rb") as stream, files.atomic_writer(path) as writer:
            shutil.copyfileobj(stream, writer)
    say(f"coco-detections are at {path}", quiet=quiet)
    return path


def _whence(published: PublishedBoxes) -> str:
    return (
        f"get {published.file} from the page of one of the papers' code (its README links it), "
        f"then run `python -m replab fetch coco-detections --from FILE`, or set {URL}"
    )


def _wrong(path: Path, published: PublishedBoxes, *, quiet: bool) -> str | None:
    """What is wrong with a file of detections, or None."""
    if download.check(path, published.sha256) is None:
        return None
    try:
        found = read(path)
    except UserError as error:
        return f"is no such file ({str(error).partition('; ')[0]})"
    if len(found) != published.boxes:
        return f"holds {len(found):,} person boxes instead of {published.boxes:,}"
    if found.left_out:
        return (
            f"holds {len(found):,} person boxes, but also {sum(found.left_out.values()):,} other"
        )
    say(
        f"{path} holds the {published.boxes:,} boxes that it should, but in other bytes than the "
        f"file known here (sha256 {published.sha256[:16]}…): its box source is {found.source}",
        quiet=quiet,
    )
    return None


def _sound(entry: Mapping[str, Any]) -> bool:
    try:
        integers([entry["category_id"]])
        integers([entry["image_id"]])
        numbers([entry["score"]])
        numbers([entry["bbox"]], 4)
    except (TypeError, ValueError, OverflowError):
        return False
    return True


register(
    Dataset(
        name="coco-detections",
        require=find,
        what=(
            "boxes of people of COCO val2017 by the detector that the papers use (person AP "
            "56.4); from the authors' drive, then with --from FILE"
        ),
        licence="none stated",
        citation="Xiao et al., Simple Baselines for Human Pose Estimation, ECCV 2018",
        page="https://cocodataset.org/",
        fetch=fetch,
        manual_size=PUBLISHED.size,
    ),
    order=31,
)
