"""Where the people are: the whole picture, a file of boxes, or (in `detector`) a network."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from replab.datasets.coco_detections import (
    PERSON,
    integers,
    numbers,
    outside,
    read_json,
    sort_out,
    source_name,
)
from replab.errors import UserError
from replab.keypoints.boxes import PADDING
from replab.photos.listing import Entry

MEND = (
    "a boxes file is a JSON list of objects with file_name (or image_id), bbox [x, y, width, "
    "height] in px of the upright picture and, if known, score"
)
WHOLE = "whole"


@dataclass(frozen=True)
class Boxes:
    """Boxes of a picture's people.

    Attributes:
        places: N×4, x, y, width, height in px of the upright picture.
        scores: N, 0–1, how sure it is that this is a person.
    """

    places: NDArray[np.float64]
    scores: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.scores)


class BoxSource(Protocol):
    """What tells where people are in pictures."""

    @property
    def source(self) -> str:
        """What results are said to rest on."""
        ...

    def find(self, entries: Sequence[Entry], pictures: Sequence[NDArray[np.uint8]]) -> list[Boxes]:
        """The boxes of each of some pictures, H×W×3, RGB."""
        ...


class WholePicture:
    """One person a picture, who fills it."""

    source = WHOLE

    def find(self, entries: Sequence[Entry], pictures: Sequence[NDArray[np.uint8]]) -> list[Boxes]:
        """One box for each picture: the network's crop is the picture, no more and no less.

        A box is widened to its crop, so this one is the picture's middle: without a detector,
        nobody stands so near to the edges that the margin would gain anything, and most are
        smaller than the picture already.
        """
        found = []
        for picture in pictures:
            height, width = picture.shape[:2]
            inner = np.array([width, height]) / PADDING
            corner = (np.array([width, height]) - 1 - inner) / 2
            found.append(Boxes(np.array([[*corner, *inner]]), np.ones(1)))
        return found


class GivenBoxes:
    """Boxes of one picture that the caller has."""

    source = "given"

    def __init__(self, boxes: ArrayLike) -> None:
        places = np.asarray(boxes, dtype=np.float64)
        if places.ndim != 2 or places.shape[1] != 4:
            raise UserError(
                f"boxes of shape {places.shape} are not N×4; give x, y, width, height in px"
            )
        if not (np.isfinite(places).all() and (places[:, 2:] > 0).all()):
            raise UserError("a box has no area or is no numbers; give x, y, width, height in px")
        self._boxes = Boxes(places, np.ones(len(places)))

    def find(self, entries: Sequence[Entry], pictures: Sequence[NDArray[np.uint8]]) -> list[Boxes]:
        """These boxes for each picture."""
        return [self._boxes] * len(pictures)


class BoxFile:
    """Person boxes of a JSON file, as a detector or a person wrote it.

    An entry names its picture by `file_name`, relative to the folder that holds all pictures, or
    by `image_id`, as in the result file. Its `bbox` is in px of the upright picture, `score` is 1
    and `category_id` that of people where they are absent.

    Attributes:
        source: name of the file and 16 digits of its SHA-256, as `NAME@DIGITS`.
        left_out: how many entries were left out, by the reason.
    """

    def __init__(
        self, path: Path, pictures: Sequence[Entry], *, least: float = -float("inf")
    ) -> None:
        """Read a file, packed or not (`.gz`, `.xz`).

        Args:
            pictures: that are looked at.
            least: boxes with a lower score are left out.

        Raises:
            UserError: the file is missing, no JSON or no list of boxes, a picture of an entry has
                no such box, or no entry is of these pictures.
        """
        content, digest = read_json(path, mend=MEND)
        if not isinstance(content, list) or not all(isinstance(entry, dict) for entry in content):
            raise UserError(f"{path} is no list of boxes; {MEND}")
        self.source = source_name(path, digest)
        ids, boxes, scores, categories = _columns(path, content, pictures)
        known = np.array([picture.id for picture in pictures])
        finite = np.isfinite(boxes).all(axis=1) & np.isfinite(scores)
        with np.errstate(invalid="ignore"):
            reasons = {
                "boxes of other categories": categories != PERSON,
                "boxes of other pictures": ~np.isin(ids, known),
                "boxes with numbers that are not finite": ~finite,
                "boxes without an area": (boxes[:, 2:] <= 0).any(axis=1),
                f"boxes scored below {least}": scores < least,
            }
        kept, left_out = sort_out(reasons, len(boxes))
        if len(boxes) and left_out.get("boxes of other pictures", 0) == len(boxes):
            example = f"{pictures[0].name} is image {pictures[0].id}"
            raise UserError(f"{path}: no box is of these pictures ({example}); {MEND}")
        self.left_out: Mapping[str, int] = left_out
        order = np.argsort(ids[kept], kind="stable")
        self._ids = ids[kept][order]
        self._boxes, self._scores = boxes[kept][order], scores[kept][order]
        self._path = path

    def find(self, entries: Sequence[Entry], pictures: Sequence[NDArray[np.uint8]]) -> list[Boxes]:
        """The boxes of each picture, in the order of the file.

        Raises:
            UserError: a box shares nothing with its picture.
        """
        found = []
        for entry, picture in zip(entries, pictures, strict=True):
            begin, end = np.searchsorted(self._ids, [entry.id, entry.id + 1])
            places = self._boxes[begin:end]
            height, width = picture.shape[:2]
            beyond = outside(places, np.tile([width, height], (len(places), 1)))
            if beyond.any():
                raise UserError(
                    f"{self._path}: box {places[beyond][0].tolist()} lies outside {entry.name}, "
                    f"which has {width}×{height} px when upright; {MEND}"
                )
            found.append(Boxes(places, self._scores[begin:end]))
        return found


def _columns(
    path: Path, content: list[dict[str, Any]], pictures: Sequence[Entry]
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
    """Ids of pictures, boxes, scores and categories of all entries."""
    by_name = {picture.name: picture.id for picture in pictures}
    rows = []
    for number, entry in enumerate(content):
        if "file_name" in entry:
            # No picture has the id −1.
            image = by_name.get(str(entry["file_name"]), -1)
        elif "image_id" in entry:
            image = entry["image_id"]
        else:
            raise UserError(f"{path}: entry {number} names no picture; {MEND}")
        try:
            integers([image])
            integers([entry.get("category_id", PERSON)])
            numbers([entry.get("score", 1.0)])
            numbers([entry["bbox"]], 4)
        except KeyError as error:
            raise UserError(f"{path}: entry {number} has no {error}; {MEND}") from error
        except (TypeError, ValueError, OverflowError) as error:
            raise UserError(f"{path}: entry {number} is not as it should be; {MEND}") from error
        rows.append((image, entry["bbox"], entry.get("score", 1), entry.get("category_id", 1)))
    images, boxes, scores, categories = zip(*rows, strict=True) if rows else ((), (), (), ())
    return (
        integers(list(images)),
        numbers(list(boxes), 4),
        numbers(list(scores)),
        integers(list(categories)),
    )
