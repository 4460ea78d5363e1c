"""Data sets: what they hold, where to get them, and how they are checked."""

from replab.datasets.image_set import ImageSet
from replab.errors import UserError

NAMES = ("cifar10", "generated-shapes")
# Too large for arrays in memory: sets of files, each opened by its own module.
FILE_SETS = ("imagenet",)
# People in pictures: each opened by its own module as a `PoseSet`.
POSE_SETS = ("coco-val2017", "coco-train2017", "lspet-train", "lspet-test")

__all__ = ["FILE_SETS", "NAMES", "POSE_SETS", "ImageSet", "fingerprint", "open_set"]


def open_set(name: str) -> ImageSet:
    """Open a set of labelled images by name: `cifar10` or `generated-shapes`.

    Images are N×32×32×3 (uint8, RGB); the generated set is drawn on first use (seconds).

    Raises:
        MissingData: the set has to be fetched first.
        UserError: the name is unknown or that of a set of files, or the data are damaged.
    """
    if name == "cifar10":
        from replab.datasets import cifar10

        return cifar10.load()
    if name == "generated-shapes":
        from replab.datasets import generated

        return generated.load()
    if name in FILE_SETS + POSE_SETS:
        module = name.split("-")[0]
        raise UserError(
            f"{name} is a set of files, not of arrays; open it by replab.datasets.{module}.load()"
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
        from replab.datasets import coco, lspet

        kind, part = name.split("-")
        if kind == "coco":
            return coco.fingerprint(coco.ANNOTATIONS[part])
        return lspet.fingerprint(part)
    raise _unknown(name)


def _unknown(name: str) -> UserError:
    known = ", ".join(NAMES + FILE_SETS + POSE_SETS)
    return UserError(f"there is no image set {name!r}; choose one of {known}")
