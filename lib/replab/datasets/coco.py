"""COCO's people with keypoints: pictures, annotations and boxes in the official layout.

A folder holds `annotations/person_keypoints_PART.json` (or `.json.xz`, `.json.gz`) and the
pictures in `PART/` or, as they are downloaded, in `PART.zip`.
"""

from collections.abc import Iterable, Mapping
from itertools import chain
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from replab import files
from replab.datasets import coco_detections
from replab.datasets.coco_detections import PERSON, integers, numbers, read_json, sort_out
from replab.datasets.picture_files import PictureFiles, open_pictures
from replab.datasets.pose_set import ANNOTATED, PoseSet
from replab.errors import MissingData, UserError
from replab.keypoints.skeletons import COCO
from replab.paths import data_dir

NAME = "coco"
SUFFIXES = (".json", ".json.xz", ".json.gz")
# SHA-256 of the official annotations, person_keypoints_PART.json. COCO publishes none. The first
# stands alike in three public repositories, the second in one of them; both are members of an
# archive whose own SHA-256 is better known (coco_sources).
ANNOTATIONS: Mapping[str, str] = MappingProxyType(
    {
        "val2017": "788e2dae83c86bd547be7fab269d6399df5671063d29a61360cdb2cc370d2b14",
        "train2017": "7fc1549d934547c470384d8a207c38707ca33fc016d00e33b795e408603af83e",
    }
)
# The detector's boxes behind the tables of both papers (person AP 56.4 on val2017).
PUBLISHED_BOXES = coco_detections.source_name(
    Path(coco_detections.PUBLISHED.file), coco_detections.PUBLISHED.sha256
)
UNPACK = "get the annotations again from cocodataset.org, or mend them"
# What the registrations of COCO's parts share.
ABOUT: Mapping[str, Any] = MappingProxyType(
    {
        "citation": "Lin et al., Microsoft COCO: Common Objects in Context, ECCV 2014",
        "page": "https://cocodataset.org/",
        "hub": ("coco", "COCO keypoints"),
    }
)


def default_folder() -> Path:
    """Where COCO lies on this machine."""
    return data_dir() / NAME


def fingerprint(annotations: str, boxes: str = ANNOTATED) -> str:
    """16 hexadecimal digits that stand for a set: `fingerprint(ANNOTATIONS["val2017"])`.

    The annotations name each picture and its size, so their digest stands for the pictures too;
    nobody publishes digests of the pictures themselves.

    Args:
        annotations: SHA-256 of the annotations' JSON, unpacked.
        boxes: the box source, as `PoseSet.box_source`.
    """
    identity = {"set": NAME, "annotations": annotations, "boxes": boxes}
    return files.sha256_bytes(files.canonical_json(identity).encode())[:16]


def areas_estimated(poses: PoseSet) -> bool:
    """Whether the annotations say of themselves that areas are no areas of segments.

    AP of such a set rests on estimates and must not be set beside a paper's.
    """
    return bool(poses.truth and poses.truth.get("area_estimated"))


def load(
    part: str = "val2017",
    *,
    folder: Path | None = None,
    boxes: Literal["gt"] | Path = "gt",
    annotations: Path | None = None,
    require_images: bool = False,
) -> PoseSet:
    """People of one part of COCO, with annotated boxes or with those of a detections file.

    Annotated boxes are taken as released: people with keypoints who are no crowd and whose area
    is above 0; boxes are clipped to their pictures as by `clip_boxes`; each has score 1. Boxes of
    a file: see `replab.datasets.coco_detections.read`. Joints that are not annotated lie at
    (0, 0), as in the annotations.

    Args:
        part: `val2017`, `train2017` or another part in the same layout.
        folder: holds annotations/ and the pictures; `default_folder()` if not given.
        boxes: `gt`, or a detections file in COCO's format of results.
        annotations: another file of annotations for the same pictures; its name becomes part of
            the set's.
        require_images: see that every annotated picture is there; else one that is missing is an
            error when it is read.

    Raises:
        MissingData: the part is not on this machine.
        UserError: a file is damaged, or annotations, boxes and pictures do not fit together.

    Source: leoxiaobin/deep-high-resolution-net.pytorch@6f69e46, lib/dataset/coco.py.
    """
    place = default_folder() if folder is None else folder
    mend = f"run `python -m replab fetch coco-{part}`"
    if part not in ANNOTATIONS or folder is not None:
        mend = f"name a folder that holds annotations/person_keypoints_{part}.json and {part}/"
    path = annotations or _find(place, part, mend)
    truth, digest = read_annotations(path)
    image_ids, sizes, names = _images(path, truth)
    pictures = _pictures(place, part, names, _certain(truth, sizes), mend)
    if require_images:
        _require(pictures, path, mend)
    people = _People(path, truth, image_ids, sizes)
    box_source: str = ANNOTATED
    if boxes == ANNOTATED:
        chosen = people.annotated()
    else:
        found = coco_detections.read(Path(boxes))
        box_source = found.source
        chosen = _detected(Path(boxes), found, image_ids, path)
    return PoseSet(
        name=_name(part, annotations, truth),
        fingerprint=fingerprint(digest, box_source),
        skeleton=COCO,
        images=pictures,
        image_ids=image_ids,
        image_sizes=sizes,
        box_source=box_source,
        truth=truth,
        **chosen,
    )


def load_detected(part: str = "val2017", *, folder: Path | None = None) -> PoseSet:
    """A part of COCO with the boxes of the detector behind the papers' tables, and no others.

    Args:
        part: as of `load`.
        folder: as of `load`.

    Raises:
        MissingData: the part or the boxes are not on this machine.
        UserError: the boxes here are others than the published ones; else as `load`.
    """
    path = coco_detections.find()
    poses = load(part, folder=folder, boxes=path)
    if poses.box_source != PUBLISHED_BOXES:
        raise UserError(
            f"{path} holds boxes in other bytes ({poses.box_source}) than the published ones "
            f"({PUBLISHED_BOXES}), which the run's name stands for; score the others by `python "
            "-m replab score coco --weights FILE`"
        )
    return poses


def _find(folder: Path, part: str, mend: str) -> Path:
    stem = folder / "annotations" / f"person_keypoints_{part}"
    for suffix in SUFFIXES:
        path = stem.with_name(stem.name + suffix)
        if path.is_file():
            return path
    raise MissingData(f"coco-{part} is not on this machine (no {stem}.json); {mend}")


def read_annotations(path: Path) -> tuple[dict[str, Any], str]:
    """Annotations as `json.load` gives them but without segments, and the SHA-256 of all of it.

    Segments take most of the room, and no score of keypoints looks at them.

    Raises:
        UserError: the file is missing, no JSON, or not of people with COCO's 17 keypoints.
    """

    def strip(entry: dict[str, Any]) -> dict[str, Any]:
        entry.pop("segmentation", None)
        return entry

    truth, digest = read_json(path, mend=UNPACK, hook=strip)
    lists = ("images", "annotations", "categories")
    if not isinstance(truth, dict) or any(not _is_table(truth.get(key)) for key in lists):
        raise UserError(f"{path} lacks lists of images, annotations or categories; {UNPACK}")
    persons = [entry for entry in truth["categories"] if entry.get("id") == PERSON]
    person: dict[str, Any] = persons[0] if persons else {}
    if tuple(person.get("keypoints", COCO.joints)) != COCO.joints:
        raise UserError(f"{path}: category {PERSON} has other keypoints than COCO's 17; {UNPACK}")
    return truth, digest


def _is_table(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(entry, dict) for entry in value)


def _column(path: Path, table: list[dict[str, Any]], kind: str, key: str) -> list[Any]:
    try:
        return [entry[key] for entry in table]
    except KeyError:
        lacking = next(n for n, entry in enumerate(table) if key not in entry)
        raise UserError(f"{path}: {kind} {lacking} has no {key}; {UNPACK}") from None


def _whole(path: Path, table: list[dict[str, Any]], kind: str, key: str) -> NDArray[np.int64]:
    try:
        return integers(_column(path, table, kind, key))
    except (TypeError, ValueError, OverflowError) as error:
        raise UserError(f"{path}: {key} of an {kind} is no whole number; {UNPACK}") from error


def _once(path: Path, ids: NDArray[np.int64], kind: str) -> None:
    """See that ids are not given twice: the evaluation would confuse the two."""
    values, counts = np.unique(ids, return_counts=True)
    if (counts > 1).any():
        raise UserError(f"{path}: {kind} {values[counts > 1][0]} is there twice; {UNPACK}")


def _images(
    path: Path, truth: Mapping[str, Any]
) -> tuple[NDArray[np.int64], NDArray[np.int64], list[str]]:
    table = truth["images"]
    ids, width, height = (_whole(path, table, "image", key) for key in ("id", "width", "height"))
    _once(path, ids, "image")
    sizes = np.stack((width, height), axis=1)
    if (sizes < 1).any():
        odd = ids[(sizes < 1).any(axis=1)][0]
        raise UserError(f"{path}: image {odd} has no size in px; {UNPACK}")
    return ids, sizes, [str(name) for name in _column(path, table, "image", "file_name")]


def _certain(truth: Mapping[str, Any], sizes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Sizes that a picture is held to: 0 where the annotations call theirs uncertain."""
    sure = np.array([image.get("size_certain", True) for image in truth["images"]], dtype=bool)
    return sizes * sure[:, None]


def _pictures(
    folder: Path, part: str, names: list[str], sizes: NDArray[np.int64], mend: str
) -> PictureFiles:
    archive = folder / f"{part}.zip"
    if archive.is_file() and not (folder / part).is_dir():
        return open_pictures(archive, names, sizes=sizes, mend=mend, inside=part)
    return open_pictures(folder / part, names, sizes=sizes, mend=mend)


def _require(pictures: PictureFiles, path: Path, mend: str) -> None:
    lacking = pictures.missing()
    if lacking:
        raise MissingData(
            f"{pictures.folder} lacks {len(lacking):,} of the {len(pictures):,} pictures of "
            f"{path.name} (the first is {lacking[0]}); {mend}"
        )


def _name(part: str, annotations: Path | None, truth: Mapping[str, Any]) -> str:
    name = part
    if annotations is not None:
        name = annotations.name.partition(".json")[0].removeprefix("person_keypoints_")
    # Numbers on estimated areas must never pass for COCO's.
    if truth.get("area_estimated") and "estimated_area" not in name:
        name += "-estimated_area"
    return f"{NAME}-{name}"


def _rows(
    path: Path, wanted: NDArray[np.int64], ids: NDArray[np.int64], what: str, mend: str
) -> NDArray[np.int64]:
    """Where each wanted image is among the annotated ones."""
    order = np.argsort(ids, kind="stable")
    rows = np.append(order, -1)[np.searchsorted(ids, wanted, sorter=order)]
    known = (rows >= 0) & (np.append(ids, 0)[rows] == wanted)
    if not known.all():
        number, odd = int((~known).sum()), wanted[~known][0]
        raise UserError(
            f"{path}: {number:,} {what} are of images that are not annotated (the first of image "
            f"{odd}); {mend}"
        )
    return rows


class _People:
    """The annotations as arrays, checked, and the released choice among them."""

    def __init__(
        self,
        path: Path,
        truth: Mapping[str, Any],
        image_ids: NDArray[np.int64],
        sizes: NDArray[np.int64],
    ) -> None:
        table = truth["annotations"]
        self.ids = _whole(path, table, "annotation", "id")
        _once(path, self.ids, "annotation")
        owners = _whole(path, table, "annotation", "image_id")
        self.image_of = _rows(path, owners, image_ids, "annotations", UNPACK)
        self.sizes = sizes[self.image_of]
        self.categories = _whole(path, table, "annotation", "category_id")
        self.crowd = _whole(path, table, "annotation", "iscrowd") != 0
        keypoints = _column(path, table, "annotation", "keypoints")
        self._check_lengths(path, keypoints)
        try:
            self.boxes = numbers(_column(path, table, "annotation", "bbox"), 4)
            self.areas = numbers(_column(path, table, "annotation", "area"))
            flat = list(chain.from_iterable(keypoints))
            self.keypoints = numbers(flat).reshape(len(table), len(COCO), 3)
        except (TypeError, ValueError, OverflowError) as error:
            raise UserError(
                f"{path}: keypoints, bbox or area of an annotation are no numbers, or not as many "
                f"as they should be; {UNPACK}"
            ) from error
        for what, array in (("keypoints", self.keypoints), ("bbox", self.boxes)):
            self._refuse(path, ~np.isfinite(array), f"{what} with numbers that are not finite")
        flags = self.keypoints[..., 2]
        self._refuse(path, ~np.isin(flags, (0, 1, 2)), "visibilities other than 0, 1 and 2")

    def _check_lengths(self, path: Path, keypoints: Iterable[Any]) -> None:
        expected = 3 * len(COCO)
        for number, values in zip(self.ids, keypoints, strict=True):
            if not isinstance(values, list) or len(values) != expected:
                found = len(values) if isinstance(values, list) else "no list of"
                raise UserError(
                    f"{path}: annotation {number} has {found} numbers in its keypoints instead of "
                    f"{expected}; {UNPACK}"
                )

    def _refuse(self, path: Path, odd: NDArray[np.bool_], what: str) -> None:
        if odd.any():
            first = self.ids[np.argwhere(odd)[0, 0]]
            raise UserError(f"{path}: annotation {first} has {what}; {UNPACK}")

    def annotated(self) -> dict[str, Any]:
        """The people of the released loader, in the order of their pictures."""
        # `fetch` uses this module too, and need not wait seconds for torch.
        import torch

        from replab.keypoints.boxes import clip_boxes, usable

        clipped, inside = clip_boxes(torch.from_numpy(self.boxes), torch.from_numpy(self.sizes))
        whole = usable(
            torch.from_numpy(self.areas),
            torch.from_numpy(self.crowd),
            torch.from_numpy(self.keypoints),
        ).numpy()
        reasons = {
            "other category": self.categories != PERSON,
            "crowd": self.crowd,
            "no keypoints": self.keypoints.max(axis=(1, 2), initial=0) == 0,
            "no area": ~whole,
            "box outside its picture": ~inside.numpy(),
        }
        kept, left_out = sort_out(reasons, len(self.ids))
        order = np.flatnonzero(kept)[np.argsort(self.image_of[kept], kind="stable")]
        return {
            "image_of": self.image_of[order],
            "person_ids": self.ids[order],
            "boxes": clipped.numpy()[order],
            "box_scores": np.ones(len(order)),
            "joints": self.keypoints[order, :, :2],
            "visible": self.keypoints[order, :, 2].astype(np.uint8),
            "areas": self.areas[order],
            "left_out": left_out,
        }


def _detected(
    path: Path,
    found: coco_detections.Detections,
    image_ids: NDArray[np.int64],
    annotations: Path,
) -> dict[str, Any]:
    """Detected boxes in the order of their pictures, and within one in that of their file."""
    mend = f"give the boxes that belong to {annotations.name}"
    rows = _rows(path, found.image_ids, image_ids, "boxes", mend)
    order = np.argsort(rows, kind="stable")
    count = len(order)
    boxes = found.boxes[order]
    return {
        "image_of": rows[order],
        "person_ids": np.arange(count, dtype=np.int64),
        "boxes": boxes,
        "box_scores": found.scores[order],
        "joints": np.full((count, len(COCO), 2), np.nan),
        "visible": np.zeros((count, len(COCO)), dtype=np.uint8),
        "areas": boxes[:, 2] * boxes[:, 3],
        "left_out": found.left_out,
    }
