"""What `predict` leaves behind: the result file, what is to be known of it, and overlays."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from replab import __version__, paths
from replab.errors import UserError
from replab.files import write_bytes, write_json, write_text
from replab.keypoints.suppression import OVERLAP, VISIBLE
from replab.photos.estimate import Photo, Unread
from replab.photos.listing import Entry, overlay_names
from replab.photos.networks import Opened
from replab.photos.overlay import encode

KEYPOINTS, ABOUT = "keypoints.json", "keypoints.about.json"
SUFFIXES: Mapping[str, str] = {"jpg": ".jpg", "png": ".png", "none": ""}
# COCO's number of the category `person`.
PERSON = 1
# A thousandth of a pixel and of a confidence is beyond what any network means.
DECIMALS = 3
COORDINATES = (
    "px of the upright picture, as it is seen once the camera's orientation tag has been obeyed; "
    "0, 0 is the centre of its top left pixel, y points down"
)


@dataclass
class Results:
    """Collects photographs as they come, writes overlays at once and the rest at the end.

    Attributes:
        folder: that all is written to.
        entries: the pictures that are asked for.
        threshold: of the overlays.
        overlays: `jpg`, `png` or `none`.
    """

    folder: Path
    entries: Sequence[Entry]
    threshold: float
    overlays: str = "jpg"
    people: list[dict[str, Any]] = field(default_factory=list)
    pictures: list[dict[str, Any]] = field(default_factory=list)
    unread: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.overlays not in SUFFIXES:
            raise UserError(f"there are no {self.overlays!r} overlays; choose jpg, png or none")
        names = [entry.name for entry in self.entries]
        chosen = overlay_names(names, SUFFIXES[self.overlays])
        self._overlay_of = dict(zip(names, chosen, strict=True))

    def add(self, found: Photo | Unread) -> None:
        """Note what was found in a picture, and write its overlay.

        Raises:
            UserError: the overlay cannot be written.
        """
        if isinstance(found, Unread):
            self.unread.append({"id": found.id, "file_name": found.name})
            return
        height, width = found.picture.shape[:2]
        about = {"id": found.id, "file_name": found.name, "width": width, "height": height}
        about |= {"orientation": found.orientation, "people": len(found)}
        if found.notes:
            about["notes"] = list(found.notes)
        if self.overlays != "none":
            about["overlay"] = self._overlay_of[found.name]
            path = self.folder / about["overlay"]
            write_bytes(path, encode(found.overlay(self.threshold), path.suffix))
        self.pictures.append(about)
        self.people += entries_of(found)

    @property
    def complete(self) -> bool:
        """Whether all pictures were looked at, or found unreadable."""
        return len(self.pictures) + len(self.unread) == len(self.entries)

    def write(self, opened: Opened, boxes: Mapping[str, Any], *, flip: bool) -> None:
        """Write the result file and what is to be known of it.

        Args:
            boxes: where they are from: `source`, and whatever else is known.
            flip: whether mirror images were averaged.

        Raises:
            UserError: a file cannot be written.
        """
        # An entry a line: short enough, and readable by eye.
        lines = ",\n".join(json.dumps(person, ensure_ascii=False) for person in self.people)
        write_text(self.folder / KEYPOINTS, f"[\n{lines}\n]\n" if lines else "[]\n")
        write_json(
            self.folder / ABOUT,
            {
                "what": opened.label or f"poses by {opened.network.model} ({opened.file})",
                **_network(opened),
                **_skeleton(opened),
                "coordinates": COORDINATES,
                "boxes": dict(boxes),
                "protocol": {
                    "codec": opened.codec.name,
                    "flip_shift": opened.codec.shift if flip else None,
                    "joint_score": VISIBLE,
                    "oks_nms": OVERLAP,
                },
                "drawn_from_confidence": self.threshold,
                "replab": _replab(),
                "complete": self.complete,
                "pictures": self.pictures,
                "unread": self.unread,
            },
        )


def entries_of(photo: Photo) -> list[dict[str, Any]]:
    """A photograph's people as entries of a COCO result file.

    Besides COCO's fields each has `file_name`, and the `box` that it was looked for in, under a
    name of its own: a `bbox` would change the areas that COCO's evaluator takes.
    """
    keypoints = photo.keypoints.round(DECIMALS).reshape(len(photo), 3 * len(photo.skeleton))
    rows = zip(
        keypoints.tolist(),
        photo.scores.tolist(),
        photo.boxes.round(DECIMALS).tolist(),
        photo.box_scores.tolist(),
        strict=True,
    )
    return [
        {
            "image_id": photo.id,
            "category_id": PERSON,
            "keypoints": row,
            "score": score,
            "file_name": photo.name,
            "box": box,
            "box_score": box_score,
        }
        for row, score, box, box_score in rows
    ]


def _network(opened: Opened) -> dict[str, Any]:
    network = opened.network
    width, height = network.size
    return {
        "model": network.model,
        "options": network.options,
        "weights": {"file": opened.file, "sha256": opened.sha256},
        "input": f"{height}x{width}",
        "preprocessing": network.preprocessing.as_dict(),
        "precision": network.precision,
        "warnings": list(network.warnings),
    }


def _skeleton(opened: Opened) -> dict[str, Any]:
    skeleton = opened.network.skeleton
    return {
        "skeleton": {
            "name": skeleton.name,
            "joints": list(skeleton.joints),
            "limbs": [list(limb) for limb in skeleton.limbs],
        },
        "keypoints": f"{len(skeleton)} × (x, y, confidence) in the order of the joints",
    }


def _replab() -> dict[str, Any]:
    from replab.runs.provenance import checkout_state, versions

    try:
        commit, dirty = checkout_state(paths.root())
    except UserError:  # installed without a checkout
        commit, dirty = "unknown", False
    return {"version": __version__, "commit": commit, "dirty": dirty, "versions": versions()}
