"""Files about MPII's people: the truth that they are scored by, and their annotations.

The fields of the truth in `detections_our_format.mat` (bearpaw/pytorch-pose@edc7aec,
evaluation/data) are those of `gt_valid.mat`, which HRNet's code reads. Annotations are
`valid.json` and `train.json` of HRNet's and SimpleBaseline's code (leoxiaobin/
deep-high-resolution-net.pytorch@6f69e46), or `mpii_annotations.json` of pytorch-pose, which tells
hidden joints, too. All coordinates are counted from 1, as annotated.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from replab import files
from replab.datasets.mat_files import ArrayFile, open_arrays, shown_shape
from replab.errors import UserError
from replab.keypoints.skeletons import MPII

JOINTS = "pos_gt_src"
FIELDS = ("jnt_missing", JOINTS, "headboxes_src")
# What the files call the joints, in the order of `MPII.joints`.
SHORT = (
    *("rank", "rkne", "rhip", "lhip", "lkne", "lank", "pelv", "thor", "neck", "head"),
    *("rwri", "relb", "rsho", "lsho", "lelb", "lwri"),
)

Part = Literal["val", "train"]
ANNOTATIONS_MEND = "give MPII's annotations as released"


@dataclass(frozen=True)
class MpiiTruth:
    """The truth of N people.

    Attributes:
        joints: N×16×2, float64, px counted from 1; of joints that are missing, nothing is meant.
        annotated: N×16, which joints are there; the others never count.
        headboxes: N×2×2, float64, two corners, each x and y in px counted from 1.
    """

    joints: NDArray[np.float64]
    annotated: NDArray[np.bool_]
    headboxes: NDArray[np.float64]

    def digest(self) -> str:
        """SHA-256 of the content, whatever kind of file it came from: 64 hexadecimal digits."""
        parts = (self.joints.astype("<f8"), self.annotated, self.headboxes.astype("<f8"))
        return files.sha256_bytes(b"".join(np.ascontiguousarray(part).tobytes() for part in parts))


@dataclass(frozen=True)
class MpiiAnnotations:
    """Annotated people in the order of their file; coordinates are counted from 1.

    Attributes:
        pictures: N, names of their pictures.
        sizes: N×2, width and height of these in px; 0 where the file does not say.
        centres: N×2, px.
        scales: N, height of the person in units of 200 px.
        joints: N×16×2, px.
        visible: N×16, 0 not annotated, 1 annotated but hidden, 2 annotated.
    """

    pictures: tuple[str, ...]
    sizes: NDArray[np.int64]
    centres: NDArray[np.float64]
    scales: NDArray[np.float64]
    joints: NDArray[np.float64]
    visible: NDArray[np.uint8]


def read_truth(path: Path) -> MpiiTruth:
    """Read the truth from a .mat file as released, or the same fields in .h5 or .npz.

    Args:
        path: holds `pos_gt_src` 16×2×N, `jnt_missing` 16×N and `headboxes_src` 2×2×N.

    Raises:
        UserError: it is no such file, or its numbers do not fit.
    """
    file = open_arrays(path)
    lacking = [name for name in FIELDS if name not in file.names]
    if lacking:
        raise UserError(
            f"{path} holds {file.shown()} but no {', '.join(lacking)}; "
            "give MPII's truth, detections_our_format.mat or gt_valid.mat"
        )
    _check_order(file)
    missing, joints, boxes = (file.numbers(name) for name in FIELDS)
    people = missing.shape[-1] if missing.ndim else 0
    expected = ((len(MPII), people), (len(MPII), 2, people), (2, 2, people))
    for name, array, shape in zip(FIELDS, (missing, joints, boxes), expected, strict=True):
        if array.shape != shape or not people:
            raise UserError(
                f"{name} of {path} has shape {shown_shape(array.shape)}, expected "
                f"{shown_shape(shape[:-1])}×people; give MPII's truth as released"
            )
        if not np.isfinite(array).all():
            raise UserError(f"{name} of {path} holds NaN or infinity; get the file again")
    if not np.isin(missing, (0, 1)).all():
        raise UserError(f"jnt_missing of {path} holds other numbers than 0 and 1; get it again")
    return MpiiTruth(
        joints=np.ascontiguousarray(joints.transpose(2, 0, 1)),
        annotated=np.ascontiguousarray(missing.T == 0),
        headboxes=np.ascontiguousarray(boxes.transpose(2, 0, 1)),
    )


def _check_order(file: ArrayFile) -> None:
    """Refuse a file that names its joints, if they are others or in another order."""
    if "dataset_joints" in file.names and file.words("dataset_joints") != SHORT:
        raise UserError(
            f"dataset_joints of {file.path} are not MPII's 16 joints in their order; give "
            "MPII's truth as released"
        )


def read_annotations(path: Path, part: Part) -> MpiiAnnotations:
    """Read the people of one part from either file of annotations.

    Args:
        path: `valid.json`, `train.json` or `mpii_annotations.json`, known by their content.
        part: of the latter's people, which; the others hold one part only.

    Raises:
        UserError: the file is missing, no such file, or damaged.
    """
    rows = files.read_json(path, mend=ANNOTATIONS_MEND)
    if not isinstance(rows, list) or not rows or not all(isinstance(row, dict) for row in rows):
        raise UserError(f"{path} is no list of people; {ANNOTATIONS_MEND}")
    try:
        if "joint_self" in rows[0]:
            wanted = 1 if part == "val" else 0
            chosen = [row for row in rows if row["isValidation"] == wanted]
            if not chosen:
                raise UserError(f"{path} has nobody of part {part}; {ANNOTATIONS_MEND}")
            return _of_all_people(chosen)
        return _of_one_part(rows)
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        reason = f"lacks {error}" if isinstance(error, KeyError) else str(error)
        shown = " ".join(reason.split())[:120]
        raise UserError(f"{path}: a person {shown}; {ANNOTATIONS_MEND}") from error


def _of_all_people(rows: list[dict[str, Any]]) -> MpiiAnnotations:
    """Annotations of pytorch-pose: flag 1 is visible; 0 is hidden, or not there and at (0, 0)."""
    joints = _numbers(rows, "joint_self", (len(MPII), 3))
    flag, there = joints[..., 2], (joints[..., :2] != 0).any(axis=2)
    visible = np.where(flag > 0, 2, np.where(there, 1, 0)).astype(np.uint8)
    sizes = np.stack([_numbers(rows, key, ()) for key in ("img_width", "img_height")], axis=1)
    return MpiiAnnotations(
        pictures=_pictures(rows, "img_paths"),
        sizes=sizes.astype(np.int64),
        centres=_numbers(rows, "objpos", (2,)),
        scales=_numbers(rows, "scale_provided", ()),
        joints=joints[..., :2],
        visible=visible,
    )


def _of_one_part(rows: list[dict[str, Any]]) -> MpiiAnnotations:
    """Annotations of HRNet's code: a joint is there or not, and sizes are not told."""
    flags = _numbers(rows, "joints_vis", (len(MPII),))
    return MpiiAnnotations(
        pictures=_pictures(rows, "image"),
        sizes=np.zeros((len(rows), 2), dtype=np.int64),
        centres=_numbers(rows, "center", (2,)),
        scales=_numbers(rows, "scale", ()),
        joints=_numbers(rows, "joints", (len(MPII), 2)),
        visible=np.where(flags > 0, 2, 0).astype(np.uint8),
    )


def _numbers(rows: list[dict[str, Any]], key: str, shape: tuple[int, ...]) -> NDArray[np.float64]:
    array = np.array([row[key] for row in rows], dtype=np.float64)
    if array.shape != (len(rows), *shape):
        raise ValueError(f"has a {key} of another shape than {shape or 'one number'}")
    if not np.isfinite(array).all():
        raise ValueError(f"has a {key} that is not finite")
    return array


def _pictures(rows: list[dict[str, Any]], key: str) -> tuple[str, ...]:
    names = tuple(row[key] for row in rows)
    if not all(isinstance(name, str) and name and ".." not in name for name in names):
        raise ValueError(f"has a {key} that is no file name")
    return names
