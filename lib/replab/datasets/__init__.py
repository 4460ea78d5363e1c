"""Data sets: what they hold, where to get them, and how they are checked."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal

from replab.datasets.image_set import ImageSet
from replab.datasets.pose_set import PoseSet
from replab.errors import UserError

NAMES = ("cifar10", "generated-shapes")
# Too large for arrays in memory: sets of files, each opened by its own module.
FILE_SETS = ("imagenet",)
# How many pictures of generated people, easy and of the default size, the plain names stand for.
PEOPLE: Mapping[str, int] = MappingProxyType({"people-train": 2_000, "people-test": 700})
# People in pictures: each opens as a `PoseSet`.
POSE_SETS = (
    *("coco-val2017", "coco-train2017", "coco-val2017-estimated"),
    *("lspet-train", "lspet-test"),
    *PEOPLE,
)

__all__ = [
    "FILE_SETS",
    "NAMES",
    "PEOPLE",
    "POSE_SETS",
    "ImageSet",
    "PoseSet",
    "fingerprint",
    "open_poses",
    "open_set",
]


def open_set(name: str) -> ImageSet:
    """Open a set of labelled images by name: `cifar10` or `generated-shapes`.

    Images are N×32×32×3 (uint8, RGB); the generated set is drawn on first use (seconds).

    Raises:
        MissingData: the set has to be fetched first.
        UserError: the name is unknown or that of another kind of set, or the data are damaged.
    """
    if name == "cifar10":
        from replab.datasets import cifar10

        return cifar10.load()
    if name == "generated-shapes":
        from replab.datasets import generated

        return generated.load()
    if name in FILE_SETS:
        raise UserError(
            f"{name} is a set of files, not of arrays; open it by replab.datasets.{name}.load()"
        )
    if name in POSE_SETS:
        raise UserError(
            f"{name} is a set of people in pictures, not of labelled images; open it by "
            f"replab.datasets.open_poses({name!r})"
        )
    raise _unknown(name)


def open_poses(name: str) -> PoseSet:
    """Open a set of people in pictures by one of the names in `POSE_SETS`.

    Boxes are the annotated ones. Pictures are looked for when they are read; generated people are
    drawn on first use (the 700 test pictures in some seconds).

    Raises:
        MissingData: the set has to be fetched first.
        UserError: the name is unknown or that of another kind of set, or the data are damaged.
    """
    if name in PEOPLE:
        from replab.datasets import people

        return people.load(_split(name), pictures=PEOPLE[name])
    if name == "coco-val2017-estimated":
        from replab.datasets import coco_estimated

        return coco_estimated.load()
    if name.startswith("coco-") and name in POSE_SETS:
        from replab.datasets import coco

        return coco.load(name.removeprefix("coco-"))
    if name.startswith("lspet-") and name in POSE_SETS:
        from replab.datasets import lspet

        return lspet.load(_split(name))
    if name in NAMES + FILE_SETS:
        raise UserError(
            f"{name} is a set of labelled images, not of people in pictures; choose one of "
            + ", ".join(POSE_SETS)
        )
    raise _unknown(name)


def fingerprint(name: str) -> str:
    """The 16 hexadecimal digits that stand for a set's content, known without the data.

    Raises:
        UserError: the name is unknown.
    """
    if name == "cifar10":
        from replab.datasets import cifar10

        return cifar10.FINGERPRINT
    if name == "generated-shapes":
        from replab.datasets import generated

        return generated.fingerprint()
    if name == "imagenet":
        from replab.datasets import imagenet

        return imagenet.FINGERPRINT
    if name in POSE_SETS:
        return _pose_fingerprint(name)
    raise _unknown(name)


def _pose_fingerprint(name: str) -> str:
    from replab.datasets import coco, coco_estimated, lspet, people

    if name in PEOPLE:
        return people.fingerprint(name.removeprefix("people-"), pictures=PEOPLE[name])
    if name == coco_estimated.NAME:
        return coco_estimated.fingerprint()
    kind, part = name.split("-")
    return coco.fingerprint(coco.ANNOTATIONS[part]) if kind == "coco" else lspet.fingerprint(part)


def _split(name: str) -> Literal["train", "test"]:
    return "train" if name.endswith("-train") else "test"


def _unknown(name: str) -> UserError:
    known = ", ".join(NAMES + FILE_SETS + POSE_SETS)
    return UserError(f"there is no image set {name!r}; choose one of {known}")
