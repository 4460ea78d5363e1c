"""The two calls: poses in one photograph, and in many."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from replab.errors import UserError
from replab.photos.boxes import WHOLE, BoxFile, BoxSource, GivenBoxes, WholePicture
from replab.photos.detector import LEAST_SCORE, Detector
from replab.photos.estimate import Photo, Unread, estimate
from replab.photos.listing import Entry, entries
from replab.photos.networks import open_weights

DETECTOR = "detector"


def predict(
    picture: str | Path,
    weights: str | Path | None = None,
    *,
    boxes: str | Path | ArrayLike = WHOLE,
    detector_weights: str | Path | None = None,
    model: str | None = None,
    size: tuple[int, int] | None = None,
    flip: bool = True,
    device: str = "cpu",
) -> Photo:
    """The people in a photograph; a notebook shows the result as the picture with their poses.

    Args:
        picture: a file.
        weights: of a pose network: released, mmpose's or our own; None for our own small one.
        boxes: `whole` for one person who fills the picture; a boxes file; `detector`; or an array
            N×4 of x, y, width, height in px of the upright picture.
        detector_weights: for `detector`, a state dict of one of torchvision's.
        model: as of `networks.open_weights`.
        size: width and height of the network's input in px, where the file does not say.
        flip: average the heatmaps of each crop and its mirror image.
        device: a torch device.

    Returns:
        The photograph with `keypoints` (N×K×3), `scores`, `boxes`, `skeleton` and `overlay()`.

    Raises:
        UserError: the picture, boxes or weights are at fault, in one line.
    """
    if not Path(picture).is_file():
        raise UserError(f"there is no picture {picture}; for folders use predict_each")
    (found,) = predict_each(
        *([picture], weights),
        boxes=boxes,
        detector_weights=detector_weights,
        model=model,
        size=size,
        flip=flip,
        device=device,
    )
    if isinstance(found, Unread):
        raise UserError(found.why)
    return found


def predict_each(
    pictures: Sequence[str | Path],
    weights: str | Path | None = None,
    *,
    boxes: str | Path | ArrayLike = WHOLE,
    detector_weights: str | Path | None = None,
    model: str | None = None,
    size: tuple[int, int] | None = None,
    flip: bool = True,
    device: str = "cpu",
) -> Iterator[Photo | Unread]:
    """The people in each of many photographs, one after the other; few are in memory at a time.

    Args:
        pictures: files, and folders with all below.
        weights: as of `predict`, and all that follows.

    Yields:
        A photograph with its people, or why it could not be read.

    Raises:
        UserError: as of `predict`, but for pictures that cannot be read.
    """
    listed = entries(pictures)
    opened = open_weights(weights, model=model, size=size, device=device)
    source = box_source(boxes, listed, detector_weights=detector_weights, device=device)
    return estimate(listed, opened, source, flip=flip)


def box_source(
    boxes: str | Path | ArrayLike,
    pictures: Sequence[Entry],
    *,
    detector_weights: str | Path | None = None,
    detector: str | None = None,
    least: float | None = None,
    device: str = "cpu",
) -> BoxSource:
    """Where boxes come from, by the user's word for it.

    Args:
        boxes: as of `predict`.
        pictures: that are looked at.
        detector_weights: as of `predict`.
        detector: name of the detector's network; None to tell by its weights.
        least: score from which on boxes are taken; None for 0.5 of a detector, all of a file.
        device: a torch device, for a detector.

    Raises:
        UserError: boxes or weights are missing, or at fault.
    """
    if isinstance(boxes, str | Path) and str(boxes) == DETECTOR:
        if detector_weights is None:
            raise UserError(
                "boxes by a detector need its weights, which are not downloaded; give "
                "--detector-weights FILE, a state_dict of one of torchvision's detectors"
            )
        least = LEAST_SCORE if least is None else least
        return Detector(Path(detector_weights), name=detector, least=least, device=device)
    if detector_weights is not None or detector is not None:
        raise UserError("weights of a detector are given, but other boxes; say --boxes detector")
    if not isinstance(boxes, str | Path):
        return GivenBoxes(np.asarray(boxes))
    if str(boxes) == WHOLE:
        return WholePicture()
    if least is None:
        return BoxFile(Path(boxes), pictures)
    return BoxFile(Path(boxes), pictures, least=least)
