"""Ground truth and results of COCO keypoints: read with every fault named, and written.

The rules are those of pycocotools 2.0.11, coco.py (`loadRes`) and cocoeval.py. Where that code has
a rule for odd input, the rule holds and what it leaves out is counted; where it would stop with a
traceback or score nonsense, the input is refused.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from replab import files
from replab.errors import UserError
from replab.keypoints.skeletons import COCO
from replab.metrics.coco_entries import Entries, kind, many_objects

JOINTS = len(COCO)
# Entries turned into text at once.
CHUNK = 4096


@dataclass(frozen=True)
class Truth:
    """Annotated people as COCO's evaluator needs them.

    Attributes:
        source: what messages call it.
        image_ids: I, rising; pictures without people included.
        category_ids: C, rising.
        annotations: G, in the order of the file: id, image_id, category_id, iscrowd, area, bbox,
            keypoints, num_keypoints.
        left_out: how many annotations the evaluator does not look at, by the reason.
    """

    source: str
    image_ids: NDArray[np.int64]
    category_ids: NDArray[np.int64]
    annotations: tuple[Mapping[str, Any], ...]
    left_out: Mapping[str, int] = field(default_factory=dict)

    def as_coco(self) -> dict[str, Any]:
        """A new dictionary in COCO's form, for an evaluator to write into."""
        return {
            "images": [{"id": i} for i in self.image_ids.tolist()],
            "categories": [{"id": i, "name": str(i)} for i in self.category_ids.tolist()],
            "annotations": [dict(annotation) for annotation in self.annotations],
        }


@dataclass(frozen=True)
class Detections:
    """Poses found, N, in any order; of equal scores in a picture the earlier counts first.

    Attributes:
        image_ids: N.
        keypoints: N×17×3, x, y in px and score; AP does not look at these scores.
        scores: N, of the poses: their order is what AP looks at.
        category_ids: N; 1 is COCO's person.
        boxes: N×4, x, y, width, height in px, or None. Where a result file gives boxes, COCO's
            evaluator takes the areas of detections from them, else from the poses' extent; that
            decides which unmatched ones count in APM, APL, ARM and ARL.
    """

    image_ids: NDArray[np.int64]
    keypoints: NDArray[np.float64]
    scores: NDArray[np.float64]
    category_ids: NDArray[np.int64]
    boxes: NDArray[np.float64] | None = None

    def __len__(self) -> int:
        return len(self.scores)

    def select(self, chosen: NDArray[Any]) -> "Detections":
        """Some of them, by indices or booleans."""
        return Detections(
            self.image_ids[chosen],
            self.keypoints[chosen],
            self.scores[chosen],
            self.category_ids[chosen],
            None if self.boxes is None else self.boxes[chosen],
        )

    def as_coco(self) -> list[dict[str, Any]]:
        """A new list of entries in COCO's form of results, for an evaluator to write into."""
        entries = [
            {"image_id": image, "category_id": category, "keypoints": spots, "score": score}
            for image, category, spots, score in zip(
                self.image_ids.tolist(),
                self.category_ids.tolist(),
                self.keypoints.reshape(len(self), 3 * JOINTS).tolist(),
                self.scores.tolist(),
                strict=True,
            )
        ]
        if self.boxes is not None:
            for entry, box in zip(entries, self.boxes.tolist(), strict=True):
                entry["bbox"] = box
        return entries


def from_arrays(
    image_ids: NDArray[Any],
    joints: NDArray[Any],
    joint_scores: NDArray[Any],
    scores: NDArray[Any],
    *,
    category: int = 1,
) -> Detections:
    """Detections from a network's arrays, without any file.

    Args:
        image_ids: N.
        joints: N×17×2, px.
        joint_scores: N×17.
        scores: N.
        category: of all of them.

    Raises:
        UserError: a number is NaN or infinite.
        ValueError: the shapes do not fit.
    """
    count = len(scores)
    shapes = (np.shape(image_ids), np.shape(joints), np.shape(joint_scores), np.shape(scores))
    if shapes != ((count,), (count, JOINTS, 2), (count, JOINTS), (count,)):
        raise ValueError(f"N, N×{JOINTS}×2, N×{JOINTS} and N numbers are wanted, and not {shapes}")
    keypoints = np.concatenate((joints, joint_scores[..., None]), axis=2).astype(np.float64)
    found = Detections(
        np.asarray(image_ids).astype(np.int64),
        keypoints,
        np.asarray(scores, dtype=np.float64),
        np.full(count, category, dtype=np.int64),
    )
    finite = np.isfinite(keypoints).all(axis=(1, 2)) & np.isfinite(found.scores)
    if not finite.all():
        place = int(np.argmin(finite))
        raise UserError(
            f"detection {place + 1} (image {found.image_ids[place]}) holds NaN or infinity; "
            "the network's numbers are broken: look at its weights and its input"
        )
    return found


def read_truth(truth: Path | Mapping[str, Any]) -> Truth:
    """Ground truth from a file, or as `json.load` gives it; what is given is not changed.

    Annotations of pictures or categories that the file does not list are left out, as COCO's
    evaluator does, and counted.

    Raises:
        UserError: it cannot be read, is no ground truth of 17 keypoints, or an annotation lacks
            something, repeats an id or has the id 0.
    """
    if isinstance(truth, Path):
        source = str(truth)
        with many_objects():
            content = files.read_json(truth, mend="give a COCO file of person keypoints")
    else:
        source, content = "the ground truth", truth
    parts: dict[str, list[Any]] = {}
    for name in ("images", "annotations", "categories"):
        part = content.get(name) if isinstance(content, Mapping) else None
        if not isinstance(part, list):
            raise UserError(
                f"{source} has no list '{name}', so it is no COCO ground truth; give a file such "
                "as person_keypoints_val2017.json"
            )
        parts[name] = part
    images, categories = (
        np.unique(Entries(f"{source}, {name}", parts[name]).whole("id", 0))
        for name in ("images", "categories")
    )
    people = Entries(f"{source}, annotations", parts["annotations"])
    ids, home, category = (people.whole(name, 0) for name in ("id", "image_id", "category_id"))
    _check_ids(people, ids)
    columns = {
        "id": ids,
        "image_id": home,
        "category_id": category,
        "iscrowd": people.whole("iscrowd", 0),
        "area": people.numbers("area"),
        "bbox": people.numbers("bbox", 4),
        "keypoints": people.numbers("keypoints", 3 * JOINTS),
        "num_keypoints": people.whole("num_keypoints", 0),
    }
    if (columns["area"] < 0).any():
        people.refuse(int(np.argmax(columns["area"] < 0)), "has an area below 0; mend it")
    unlisted = ~np.isin(home, images)
    foreign = ~unlisted & ~np.isin(category, categories)
    kept = ~unlisted & ~foreign
    rows = zip(*(column[kept].tolist() for column in columns.values()), strict=True)
    return Truth(
        source,
        images,
        categories,
        tuple(dict(zip(columns, row, strict=True)) for row in rows),
        _counts(
            {
                "annotations of images that are not listed": unlisted,
                "annotations of categories that are not listed": foreign,
            }
        ),
    )


def read_detections(
    results: Path | Sequence[Mapping[str, Any]], truth: Truth
) -> tuple[Detections, Mapping[str, int]]:
    """Results from a file, or as `json.load` gives it, and how many were left out, by the reason.

    Entries of categories that the ground truth does not list are left out, as COCO's evaluator
    does, and counted. If the first entry has a `bbox`, all must: see `Detections.boxes`.

    Raises:
        UserError: it cannot be read, is no list of keypoint results, an entry lacks something or
            holds NaN, or is of an image that the ground truth does not list.
    """
    if isinstance(results, Path):
        source = str(results)
        with many_objects():
            content = files.read_json(results, mend="give a COCO result file of keypoints")
    else:
        source, content = "the detections", results
    if not isinstance(content, list):
        raise UserError(
            f"{source} is no list but {kind(content)}; a COCO result file is a list of objects "
            "with image_id, category_id, keypoints and score"
        )
    entries = Entries(source, content)
    boxed = _takes_boxes(entries)
    found = Detections(
        entries.whole("image_id"),
        entries.numbers("keypoints", 3 * JOINTS).reshape(-1, JOINTS, 3),
        entries.numbers("score"),
        entries.whole("category_id"),
        entries.numbers("bbox", 4) if boxed else None,
    )
    check_images(found, truth, source)
    foreign = ~np.isin(found.category_ids, truth.category_ids)
    counts = _counts({"detections of categories that the ground truth does not list": foreign})
    return (found.select(~foreign) if counts else found), counts


def check_images(found: Detections, truth: Truth, source: str = "the detections") -> None:
    """Refuse detections in pictures that the ground truth does not list.

    Raises:
        UserError: there is such a one.
    """
    unknown = ~np.isin(found.image_ids, truth.image_ids)
    if unknown.any():
        place = int(np.argmax(unknown))
        raise UserError(
            f"{source}, entry {place + 1}: image {found.image_ids[place]} is not in "
            f"{truth.source} ({int(unknown.sum())} of {len(found)} entries); results and ground "
            "truth must be of the same images"
        )


def write_results(path: Path, found: Detections, *, decimals: int | None = None) -> None:
    """Write detections as a COCO result file, atomically; boxes are not written.

    Args:
        decimals: round keypoints to so many; None writes every bit, so that reading the file
            gives the same AP to the last digit.

    Raises:
        UserError: the file cannot be written.
    """
    keypoints = found.keypoints.reshape(len(found), 3 * JOINTS)
    if decimals is not None:
        keypoints = np.round(keypoints, decimals)
    with files.atomic_writer(path) as stream:
        lead = b"[\n"
        for begin in range(0, len(found), CHUNK):
            part = slice(begin, begin + CHUNK)
            # The text of a list of finite floats is JSON, and shorter to make than by an encoder.
            lines = [
                f'{{"image_id":{image},"category_id":{category},"keypoints":{spots},'
                f'"score":{score}}}'
                for image, category, spots, score in zip(
                    found.image_ids[part].tolist(),
                    found.category_ids[part].tolist(),
                    keypoints[part].tolist(),
                    found.scores[part].tolist(),
                    strict=True,
                )
            ]
            stream.write(lead + ",\n".join(lines).encode())
            lead = b",\n"
        stream.write(b"\n]\n" if len(found) else b"[]\n")


def _check_ids(people: Entries, ids: NDArray[np.int64]) -> None:
    if (ids == 0).any():
        people.refuse(
            int(np.argmax(ids == 0)),
            "has the id 0, by which COCO's evaluator means 'no match'; number them from 1",
        )
    order = np.argsort(ids, kind="stable")
    again = order[1:][np.diff(ids[order]) == 0]
    if len(again):
        place = int(again.min())
        people.refuse(place, f"has the id {ids[place]} of an earlier one; make ids unique")


def _takes_boxes(entries: Entries) -> bool:
    """Whether the evaluator takes the areas of these results from boxes, by the first entry."""
    if not entries.entries:
        return False
    first = entries.entries[0]
    for name in ("caption", "segmentation"):
        if name in first and (name == "caption" or first.get("bbox", []) == []):
            entries.refuse(
                0,
                f"has a '{name}', by which COCO's evaluator takes the file for other than "
                "keypoints; leave that field out",
            )
    if first.get("bbox", []) == []:
        return False
    for place, entry in enumerate(entries.entries):
        if "bbox" not in entry:
            entries.refuse(
                place,
                "has no 'bbox' while the first entry has one, by which COCO's evaluator takes "
                "areas from boxes; give it in all entries or in none",
            )
    return True


def _counts(reasons: Mapping[str, NDArray[np.bool_]]) -> dict[str, int]:
    return {reason: int(which.sum()) for reason, which in reasons.items() if which.any()}
