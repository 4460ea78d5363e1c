"""Skeletons: names, mirror pairs, limbs and weights of the joints of each data set."""

from dataclasses import dataclass
from itertools import chain

from replab.errors import UserError


@dataclass(frozen=True)
class Skeleton:
    """The joints of a data set, in the order of its annotations; indices count from 0.

    Attributes:
        name: as in `SKELETONS`.
        joints: K names.
        pairs: left and right joints that a mirror exchanges, in either order.
        limbs: joints joined by a line in drawings.
        upper: joints of the upper body, for half-body crops; empty where none are published.
        weights: K, of the joints in the loss where it weighs them; empty where none are published.
        sigmas: K, fall-off of object keypoint similarity; empty where none are published.
    """

    name: str
    joints: tuple[str, ...]
    pairs: tuple[tuple[int, int], ...]
    limbs: tuple[tuple[int, int], ...]
    upper: tuple[int, ...] = ()
    weights: tuple[float, ...] = ()
    sigmas: tuple[float, ...] = ()

    def __len__(self) -> int:
        return len(self.joints)

    @property
    def mirror(self) -> tuple[int, ...]:
        """K indices: where each joint's values come from when an image is mirrored."""
        source = list(range(len(self)))
        for one, other in self.pairs:
            source[one], source[other] = other, one
        return tuple(source)

    def index(self, joint: str) -> int:
        """Index of a joint by its name.

        Raises:
            UserError: the skeleton has no such joint.
        """
        if joint not in self.joints:
            known = ", ".join(self.joints)
            raise UserError(f"{self.name} has no joint {joint!r}; choose one of {known}")
        return self.joints.index(joint)


def _both_sides(*parts: str) -> tuple[str, ...]:
    return tuple(chain.from_iterable((f"left_{part}", f"right_{part}") for part in parts))


# Order and limbs: the `categories` of COCO's keypoint annotations (there counted from 1). Sigmas:
# pycocotools 2.0.11, cocoeval.py. Weights and upper body: leoxiaobin/
# deep-high-resolution-net.pytorch@6f69e46, lib/dataset/coco.py.
COCO = Skeleton(
    "coco",
    (
        "nose",
        *_both_sides("eye", "ear", "shoulder", "elbow", "wrist", "hip", "knee", "ankle"),
    ),
    pairs=tuple((left, left + 1) for left in range(1, 17, 2)),
    limbs=(
        *((15, 13), (13, 11), (16, 14), (14, 12), (11, 12), (5, 11), (6, 12), (5, 6), (5, 7)),
        *((6, 8), (7, 9), (8, 10), (1, 2), (0, 1), (0, 2), (1, 3), (2, 4), (3, 5), (4, 6)),
    ),
    upper=tuple(range(11)),
    weights=(*(1.0,) * 7, 1.2, 1.2, 1.5, 1.5, 1.0, 1.0, 1.2, 1.2, 1.5, 1.5),
    sigmas=(
        *(0.026, 0.025, 0.025, 0.035, 0.035, 0.079, 0.079, 0.072, 0.072),
        *(0.062, 0.062, 0.107, 0.107, 0.087, 0.087, 0.089, 0.089),
    ),
)

# Order: `dataset_joints` of bearpaw/pytorch-pose@edc7aec, evaluation/data/
# detections_our_format.mat. Upper body: lib/dataset/mpii.py, as above.
MPII = Skeleton(
    "mpii",
    (
        *("right_ankle", "right_knee", "right_hip", "left_hip", "left_knee", "left_ankle"),
        *("pelvis", "thorax", "upper_neck", "head_top"),
        *("right_wrist", "right_elbow", "right_shoulder"),
        *("left_shoulder", "left_elbow", "left_wrist"),
    ),
    pairs=((0, 5), (1, 4), (2, 3), (10, 15), (11, 14), (12, 13)),
    limbs=(
        *((0, 1), (1, 2), (2, 6), (6, 3), (3, 4), (4, 5), (6, 7), (7, 8), (8, 9)),
        *((10, 11), (11, 12), (12, 7), (7, 13), (13, 14), (14, 15)),
    ),
    upper=tuple(range(7, 16)),
)

# Order: Johnson and Everingham 2010, README of the Leeds Sports Pose data set. Left is the
# person's left (person-centric).
LSP = Skeleton(
    "lsp",
    (
        *("right_ankle", "right_knee", "right_hip", "left_hip", "left_knee", "left_ankle"),
        *("right_wrist", "right_elbow", "right_shoulder"),
        *("left_shoulder", "left_elbow", "left_wrist", "neck", "head_top"),
    ),
    pairs=((0, 5), (1, 4), (2, 3), (6, 11), (7, 10), (8, 9)),
    limbs=(
        *((0, 1), (1, 2), (2, 3), (3, 4), (4, 5), (2, 8), (3, 9)),
        *((6, 7), (7, 8), (8, 12), (12, 9), (9, 10), (10, 11), (12, 13)),
    ),
)

# Order: that of the predictions in shihenw/convolutional-pose-machines-release@a345bc5. FLIC
# labels sides as the observer sees them.
FLIC = Skeleton(
    "flic",
    (
        *("left_shoulder", "left_elbow", "left_wrist"),
        *("right_shoulder", "right_elbow", "right_wrist", "left_hip", "right_hip", "head"),
    ),
    pairs=((0, 3), (1, 4), (2, 5), (6, 7)),
    limbs=((0, 1), (1, 2), (3, 4), (4, 5), (0, 3), (0, 6), (3, 7), (6, 7), (0, 8), (3, 8)),
)

SKELETONS = {skeleton.name: skeleton for skeleton in (COCO, MPII, LSP, FLIC)}


def skeleton(name: str) -> Skeleton:
    """The skeleton of a data set: `coco`, `mpii`, `lsp` or `flic`.

    Raises:
        UserError: the name is unknown.
    """
    if name not in SKELETONS:
        known = ", ".join(SKELETONS)
        raise UserError(f"there is no skeleton {name!r}; choose one of {known}")
    return SKELETONS[name]
