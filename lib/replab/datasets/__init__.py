"""Data sets: what they hold, where to get them, and how they are checked."""

from replab.datasets.image_set import ImageSet
from replab.datasets.pose_set import PoseSet
from replab.datasets.registry import find, names
from replab.errors import UserError

__all__ = ["ImageSet", "PoseSet", "fingerprint", "names", "open_poses", "open_set"]


def open_set(name: str) -> ImageSet:
    """Open a set of labelled images, one of `names("images")`.

    Images are N×32×32×3 (uint8, RGB); the generated set is drawn on first use (seconds).

    Raises:
        MissingData: the set has to be fetched first.
        UserError: the name is unknown or that of another kind of set, or the data are damaged.
    """
    dataset = find(name)
    if dataset.kind == "images":
        return dataset.load()
    if dataset.kind == "files":
        raise UserError(
            f"{name} is a set of files, not of arrays; open it by {dataset.load.__module__}.load()"
        )
    raise UserError(
        f"{name} is a set of people in pictures, not of labelled images; open it by "
        f"replab.datasets.open_poses({name!r})"
    )


def open_poses(name: str) -> PoseSet:
    """Open a set of people in pictures, one of `names("poses")`.

    Boxes are the annotated ones. Pictures are looked for when they are read; generated people are
    drawn on first use (the 700 test pictures in some seconds).

    Raises:
        MissingData: the set has to be fetched first.
        UserError: the name is unknown or that of another kind of set, or the data are damaged.
    """
    dataset = find(name)
    if dataset.kind != "poses":
        raise UserError(
            f"{name} is a set of labelled images, not of people in pictures; choose one of "
            + ", ".join(names("poses"))
        )
    return dataset.load()


def fingerprint(name: str) -> str:
    """The 16 hexadecimal digits that stand for a set's content, known without the data.

    Raises:
        UserError: the name is unknown.
    """
    return find(name).fingerprint()
