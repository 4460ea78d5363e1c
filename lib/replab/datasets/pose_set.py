"""People in pictures: what every pose data set gives, whatever its files look like."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from replab.keypoints.skeletons import Skeleton

# How a set of boxes that the annotations give is called in every result that rests on it.
ANNOTATED = "gt"


class Images(Protocol):
    """Pictures that are decoded, or drawn, when they are asked for."""

    def __len__(self) -> int:
        """How many there are."""
        ...

    def read(self, index: int) -> NDArray[np.uint8]:
        """One picture, H×W×3, RGB, as stored: a camera's orientation tag turns nothing.

        May be called from several threads at once.

        Raises:
            UserError: the file is missing, damaged or no image.
        """
        ...


@dataclass(frozen=True)
class PoseSet:
    """Pictures (I) and the people in them (N), one box and K joints each.

    Attributes:
        name: of the data set and its part, as `coco-val2017`.
        fingerprint: 16 hexadecimal digits that stand for annotations, boxes and pictures.
        skeleton: names and pairs of the K joints.
        images: the pictures.
        image_ids: I, int64, ids in the annotations.
        image_sizes: I×2, int64, width and height in px.
        image_of: N, int64, index into `images` of each person's picture, never falling.
        person_ids: N, int64, ids of the annotations; 0 and up for detected boxes.
        boxes: N×4, float64, x, y, width, height in px, as `centre_scale` takes them: annotated
            ones are clipped to their pictures, detected ones are not.
        box_scores: N, float64, the detector's; 1 for annotated boxes.
        joints: N×K×2, float64, px, 0 at the centre of the top left pixel; NaN for detected boxes.
        visible: N×K, uint8: 0 not annotated, 1 annotated but hidden, 2 annotated. Sets that do
            not tell hidden joints use 0 and 2.
        areas: N, float64, of the segment in px², or of the box where there is no segment.
        box_source: `gt`, or the name and digest of a detections file: results of different
            sources are different claims and are never compared.
        left_out: how many annotations or boxes were left out, by the reason.
        truth: the COCO ground truth as `json.load` gives it, crowds and people without keypoints
            included, segments left out; None for sets that are not scored by COCO's rules.
    """

    name: str
    fingerprint: str
    skeleton: Skeleton
    images: Images
    image_ids: NDArray[np.int64]
    image_sizes: NDArray[np.int64]
    image_of: NDArray[np.int64]
    person_ids: NDArray[np.int64]
    boxes: NDArray[np.float64]
    box_scores: NDArray[np.float64]
    joints: NDArray[np.float64]
    visible: NDArray[np.uint8]
    areas: NDArray[np.float64]
    box_source: str = ANNOTATED
    left_out: Mapping[str, int] = field(default_factory=dict)
    truth: Mapping[str, Any] | None = None

    def __len__(self) -> int:
        return len(self.image_of)

    def select(self, people: NDArray[np.int64] | NDArray[np.bool_] | slice) -> "PoseSet":
        """The same pictures with some of the people, in the order of their pictures.

        The ground truth stays whole: people who are not looked for count as missed.

        Args:
            people: indices (rising), booleans or a slice.
        """
        names = ("image_of", "person_ids", "boxes", "box_scores", "joints", "visible", "areas")
        return replace(self, **{name: getattr(self, name)[people] for name in names})

    def first(self, count: int) -> "PoseSet":
        """The people of the first pictures, as few of these as hold so many; truth and all.

        Args:
            count: of people; all are given where there are fewer.
        """
        people = slice(0, int((self.image_of <= self.image_of[:count][-1]).sum()))
        few = self.select(people)
        if self.truth is None:
            return few
        kept = set(self.image_ids[few.image_of].tolist())
        truth = dict(self.truth)
        truth["images"] = [image for image in truth["images"] if image["id"] in kept]
        truth["annotations"] = [a for a in truth["annotations"] if a["image_id"] in kept]
        return replace(few, truth=truth)
