"""Data sets: what they hold, where to get them, and how they are checked."""

from replab.datasets.image_set import ImageSet
from replab.errors import UserError

NAMES = ("cifar10", "generated-shapes")
# Too large for arrays in memory: sets of files, each opened by its own module.
FILE_SETS = ("imagenet",)

__all__ = ["FILE_SETS", "NAMES", "ImageSet", "fingerprint", "open_set"]


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
    if name in FILE_SETS:
        raise UserError(
            f"{name} is a set of files, not of arrays; open it by replab.datasets.{name}.load()"
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
    raise _unknown(name)


def _unknown(name: str) -> UserError:
    known = ", ".join(NAMES + FILE_SETS)
    return UserError(f"there is no image set {name!r}; choose one of {known}")
