"""Leeds Sports Pose Extended: 10,000 pictures of one athlete each, with 14 joints by hand.

Read from a zip without unpacking it, or from a folder: `joints.mat`, `images/im00001.jpg` …, and
in the cropped form `crops.csv`. The cropped form cuts 3,130 large pictures, without encoding them
anew, to 1.2 times the longer side of the joints' box on each side of its centre; joints are moved
along. The boxes here lie within these windows, so they are the same people's in both forms.

Joints are those flagged 1 in the annotations. Unflagged ones are placeholders there (at or beyond
the upper left corner) and NaN here. The set has no official split: pictures 1–9000 are `train`
here, 9001–10000 `test`. Where pixels are counted from is not stated; 0 is the likelier
(placeholders lie at exactly 0, and so does the smallest flagged x), and at most 1 px is at stake.

Source: Johnson and Everingham 2011 and the README of their archive; what the numbers say of flags
and origin was measured on the files themselves.
"""

import csv
import io
import posixpath
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from replab import files
from replab.datasets.picture_files import PictureFiles, open_pictures, picture_sizes, zip_members
from replab.datasets.pose_set import PoseSet
from replab.errors import MissingData, UserError
from replab.keypoints.skeletons import LSP
from replab.paths import data_dir

NAME = "lspet"
SPLITS: tuple[Literal["train", "test"], ...] = ("train", "test")
ARCHIVE = "lspet_dataset.zip"
JOINTS, CROPS = "joints.mat", "crops.csv"
FETCH = "run `python -m replab fetch lspet` (or with `--from FILE_OR_DIR`)"
AGAIN = "get the archive again"
# SHA-256 of joints.mat in the official archive (alike in six public repositories), and of both
# tables in the cropped form.
OFFICIAL_JOINTS = "cc66465117888d9f43aac78c15c4548e37df5022640a193f2002fd084cba13ef"
CROPPED_JOINTS = "a05717a40ce8b3db125ce6f98374393428099ff9ebc0871875ec923c7767b151"
CROPPED_CROPS = "3ded2f035e1659ebfacb86d3e270ac3de5559707b8346bf9ebd3d7f3453906be"
# What the box around the joints is widened by on each side, in parts of its longer side, so that
# hands, feet and hair are inside. Of 1,288 people of COCO val2017 with all joints of the limbs
# annotated, 90 % have their annotated box less than 0.14 (left), 0.15 (right) and 0.16 (below)
# beyond their joints. Above, the joints of this set end at the top of the head themselves.
PADDING = 0.15
# A torso shorter than this, in px, measures nothing.
SHORTEST_TORSO = 5.0


@dataclass(frozen=True)
class Extent:
    """How many pictures a whole set has, and how many, from the first, are for training."""

    pictures: int = 10_000
    train: int = 9_000

    def numbers(self, split: str) -> range:
        """Numbers of a split's pictures, counted from 1 as in their names."""
        if split == "train":
            return range(1, self.train + 1)
        return range(self.train + 1, self.pictures + 1)


WHOLE = Extent()


def default_source() -> Path:
    """The zip that `fetch` makes on this machine."""
    return data_dir() / NAME / ARCHIVE


def picture_name(number: int) -> str:
    """Where a picture lies in the archive, by its number from 1."""
    return f"images/im{number:05d}.jpg"


def fingerprint(
    split: str, joints: str = CROPPED_JOINTS, crops: str | None = CROPPED_CROPS
) -> str:
    """16 hexadecimal digits that stand for a split of one form of the set.

    Args:
        split: `train` or `test`.
        joints: SHA-256 of joints.mat.
        crops: SHA-256 of crops.csv; None for the official form.
    """
    identity = {"set": NAME, "split": split, "joints": joints, "crops": crops, "box": PADDING}
    return files.sha256_bytes(files.canonical_json(identity).encode())[:16]


def load(
    split: Literal["train", "test"] = "train",
    *,
    source: Path | None = None,
    extent: Extent = WHOLE,
) -> PoseSet:
    """The people of one split, one a picture.

    Boxes are those around the annotated joints, widened by 0.15 of the longer side on each side
    and cut at the centres of the picture's outermost pixels; areas are theirs. Visibilities are 2
    and 0: the annotations do not tell hidden joints. Joints that lie outside their picture (eight
    in all) are kept as annotated: `joints_outside`.

    Args:
        split: `train` or `test`.
        source: the zip, or the folder that holds joints.mat; `default_source()` if not given.
        extent: how many pictures there must be.

    Raises:
        MissingData: the set is not on this machine.
        UserError: no such split, or something in the source is missing or damaged.
    """
    if split not in SPLITS:
        raise UserError(f"{NAME} has no split {split!r}; choose train or test")
    opened = open_source(source)
    points, flagged = opened.joints(extent)
    chosen = extent.numbers(split)
    numbers = np.array(chosen, dtype=np.int64)
    points, flagged = points[numbers - 1], flagged[numbers - 1]
    pictures = opened.pictures(numbers)
    sizes = picture_sizes(pictures, range(len(pictures)))
    opened.check_sizes(numbers, sizes, extent)
    boxes = _boxes(points, sizes)
    annotated, inside = flagged.any(axis=1), (boxes[:, 2:] > 0).all(axis=1)
    kept = annotated & inside
    reasons = {
        "no joint annotated": int((~annotated).sum()),
        "box outside its picture": int((annotated & ~inside).sum()),
    }
    return PoseSet(
        name=f"{NAME}-{split}",
        fingerprint=fingerprint(split, *opened.digests()),
        skeleton=LSP,
        images=opened.pictures(numbers, sizes),
        image_ids=numbers,
        image_sizes=sizes,
        image_of=np.flatnonzero(kept),
        person_ids=numbers[kept],
        boxes=boxes[kept],
        box_scores=np.ones(int(kept.sum())),
        joints=points[kept],
        visible=np.where(flagged[kept], 2, 0).astype(np.uint8),
        areas=boxes[kept, 2] * boxes[kept, 3],
        left_out={reason: number for reason, number in reasons.items() if number},
    )


def _boxes(points: NDArray[np.float64], sizes: NDArray[np.int64]) -> NDArray[np.float64]:
    """Boxes N×4 around the joints that are not NaN, padded and cut; without extent for none."""
    there = ~np.isnan(points)
    begin = np.where(there, points, np.inf).min(axis=1)
    end = np.where(there, points, -np.inf).max(axis=1)
    with np.errstate(invalid="ignore"):
        margin = PADDING * (end - begin).max(axis=1, keepdims=True)
        begin = np.clip(begin - margin, 0, sizes - 1)
        end = np.clip(end + margin, 0, sizes - 1)
        extent = np.maximum(end - begin, 0)
    return np.nan_to_num(np.concatenate((begin, extent), axis=1), nan=0.0)


def torso_lengths(poses: PoseSet) -> NDArray[np.float64]:
    """From left shoulder to right hip, which PCK measures in: N, px; NaN where there is none.

    There is none where one of the two is not annotated or they lie less than 5 px apart. Such
    people serve for training, not for PCK.
    """
    left, right = LSP.index("left_shoulder"), LSP.index("right_hip")
    apart = poses.joints[:, left] - poses.joints[:, right]
    length = np.hypot(apart[:, 0], apart[:, 1])
    both = (poses.visible[:, (left, right)] > 0).all(axis=1)
    return np.where(both & (length >= SHORTEST_TORSO), length, np.nan)


def unmeasurable(poses: PoseSet) -> dict[str, int]:
    """How many people PCK leaves out, by the reason."""
    ends = [LSP.index("left_shoulder"), LSP.index("right_hip")]
    both = (poses.visible[:, ends] > 0).all(axis=1)
    none = np.isnan(torso_lengths(poses))
    return {
        "torso not annotated": int((~both).sum()),
        f"torso shorter than {SHORTEST_TORSO:.0f} px": int((both & none).sum()),
    }


def joints_outside(poses: PoseSet) -> NDArray[np.bool_]:
    """Which annotated joints lie beyond the outermost pixels' centres of their picture: N×K."""
    last = poses.image_sizes[poses.image_of][:, None] - 1
    beyond = ((poses.joints < 0) | (poses.joints > last)).any(axis=2)
    return beyond & (poses.visible > 0)


def official_joints(
    poses: PoseSet, *, source: Path | None = None, extent: Extent = WHOLE
) -> NDArray[np.float64]:
    """Joints in px of the official, uncropped pictures: N×K×2, NaN where not annotated.

    Args:
        poses: of `load`.
        source: whence they were loaded.
        extent: as of `load`.

    Raises:
        UserError: the source cannot be read.
    """
    origins = open_source(source).windows(extent)[:, :2]
    return poses.joints + origins[poses.image_ids[poses.image_of] - 1][:, None]


def open_source(source: Path | None = None) -> "Source":
    """Find joints.mat in a zip or a folder, perhaps one folder further down.

    Raises:
        MissingData: no source is named and the set is not on this machine.
        UserError: there is no such file, or it holds no joints.mat.
    """
    path = default_source() if source is None else source
    if source is None and not path.is_file():
        raise MissingData(f"{NAME} is not on this machine (no {path}); {FETCH}")
    if path.is_dir() and (path / ARCHIVE).is_file():
        path = path / ARCHIVE
    if path.is_dir():
        for folder in (path, path / "lspet_dataset"):
            if (folder / JOINTS).is_file():
                return Source(folder, "")
        raise UserError(f"{path} holds no {JOINTS}; name the folder that does, or the zip")
    names = [entry.filename for entry in zip_members(path, mend=AGAIN)]
    held = [name for name in names if posixpath.basename(name) == JOINTS]
    if len(held) != 1:
        raise UserError(f"{path} holds {JOINTS} {len(held)} times instead of once; {AGAIN}")
    return Source(path, posixpath.dirname(held[0]))


@dataclass(frozen=True)
class Source:
    """A zip or folder that holds joints.mat.

    Attributes:
        path: the zip or the folder.
        inside: the folder in the zip that holds it.
    """

    path: Path
    inside: str

    def file(self, name: str) -> bytes | None:
        """The bytes of a file in it, or None if it is not there.

        Raises:
            UserError: it is damaged or cannot be read.
        """
        try:
            if self.path.is_dir():
                path = self.path / name
                return path.read_bytes() if path.is_file() else None
            with zipfile.ZipFile(self.path) as archive:
                return archive.read(posixpath.join(self.inside, name))
        except KeyError:
            return None
        except (OSError, EOFError, zipfile.BadZipFile, zlib.error) as error:
            reason = getattr(error, "strerror", None) or error
            raise UserError(f"cannot read {name} of {self.path}: {reason}; {AGAIN}") from error

    def digests(self) -> tuple[str, str | None]:
        """SHA-256 of joints.mat, and of crops.csv or None: what `fingerprint` takes."""
        crops = self.file(CROPS)
        return (
            files.sha256_bytes(self.file(JOINTS) or b""),
            None if crops is None else files.sha256_bytes(crops),
        )

    def joints(self, extent: Extent) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Joints P×K×2 in px, NaN where not annotated, and P×K whether they are.

        Raises:
            UserError: joints.mat is no such array.
        """
        from scipy.io import loadmat

        shown = f"{JOINTS} of {self.path}"
        try:
            found = loadmat(io.BytesIO(self.file(JOINTS) or b""))["joints"]
            table = np.asarray(found, dtype=np.float64)
        # The parser raises nearly anything at damaged bytes.
        except Exception as error:
            raise UserError(f"{shown} cannot be read as joints of MATLAB; {AGAIN}") from error
        expected = (len(LSP), 3, extent.pictures)
        if table.shape != expected:
            raise UserError(f"{shown} has shape {table.shape} instead of {expected}; {AGAIN}")
        table = table.transpose(2, 0, 1)
        flags = table[..., 2]
        if not np.isin(flags, (0, 1)).all():
            raise UserError(f"{shown} has flags other than 0 and 1; {AGAIN}")
        flagged = flags == 1
        if not np.isfinite(table[flagged]).all():
            raise UserError(f"{shown} has annotated joints that are not finite; {AGAIN}")
        return np.where(flagged[..., None], table[..., :2], np.nan), flagged

    def pictures(
        self, numbers: NDArray[np.int64], sizes: NDArray[np.int64] | None = None
    ) -> PictureFiles:
        """The pictures of these numbers."""
        names = [picture_name(number) for number in numbers.tolist()]
        return open_pictures(self.path, names, sizes=sizes, mend=AGAIN, inside=self.inside)

    def windows(self, extent: Extent) -> NDArray[np.int64]:
        """What of each official picture there is, P×4: x, y of its corner, width and height, px.

        Width and height are 0 for pictures that are not cropped.

        Raises:
            UserError: crops.csv is damaged.
        """
        windows = np.zeros((extent.pictures, 4), dtype=np.int64)
        data = self.file(CROPS)
        if data is None:
            return windows
        try:
            for row in csv.DictReader(io.StringIO(data.decode())):
                number = int(row["image"])
                if not 1 <= number <= extent.pictures:
                    raise ValueError(f"there is no image {number}")
                windows[number - 1] = [int(row[key]) for key in ("x0", "y0", "width", "height")]
        except (KeyError, TypeError, ValueError) as error:
            raise UserError(f"{CROPS} of {self.path} is damaged ({error}); {AGAIN}") from error
        return windows

    def check_sizes(
        self, numbers: NDArray[np.int64], sizes: NDArray[np.int64], extent: Extent
    ) -> None:
        """See that cropped pictures have the sizes that crops.csv gives.

        Raises:
            UserError: one has another: its joints belong to another form of it.
        """
        expected = self.windows(extent)[numbers - 1, 2:]
        wrong = (expected > 0).any(axis=1) & (expected != sizes).any(axis=1)
        if wrong.any():
            first = int(np.flatnonzero(wrong)[0])
            raise UserError(
                f"{picture_name(int(numbers[first]))} of {self.path} has {sizes[first, 0]}×"
                f"{sizes[first, 1]} px, but {expected[first, 0]}×{expected[first, 1]} in {CROPS}; "
                f"{AGAIN}"
            )


def counts(poses: PoseSet) -> Mapping[str, int]:
    """What is worth knowing of a split before it is used, by name."""
    complete = (poses.visible > 0).all(axis=1)
    return {
        "people": len(poses),
        "with all joints": int(complete.sum()),
        "joints outside their picture": int(joints_outside(poses).sum()),
        **unmeasurable(poses),
    }
