"""Whether what a run needs is on this machine."""

from replab.errors import UserError

# Keypoints and boxes of a part of COCO, for what looks at no picture. It cannot be fetched alone.
ANNOTATIONS_ONLY = "coco-val2017-annotations"


def require(name: str) -> None:
    """See that a data set, `weights:NAME`, or what else `fetch` brings is here and whole.

    `coco-val2017-annotations` are those of `coco-val2017` without its pictures. That they are not
    here is no `MissingData`: nobody wants a gigabyte of pictures fetched for their sake.

    Raises:
        MissingData: it has to be fetched first.
        UserError: it is damaged, or the name is unknown.
    """
    from replab.datasets import (
        FILE_SETS,
        NAMES,
        PEOPLE,
        POSE_SETS,
        cifar10,
        coco,
        coco_detections,
        coco_estimated,
        cpm_predictions,
        imagenet,
        lspet,
        mpii_annotations,
        mpii_predictions,
        pose_weights,
        weights,
    )

    if name.startswith("weights:"):
        own = name.removeprefix("weights:")
        (pose_weights if own in pose_weights.CHECKPOINTS else weights).find(own)
    elif name == "cifar10":
        cifar10.load()
    elif name == "imagenet":
        imagenet.require()
    elif name == ANNOTATIONS_ONLY:
        _require_annotations("val2017")
    elif name == coco_estimated.NAME:
        coco_estimated.find()
    elif name.startswith("coco-") and name in POSE_SETS:
        coco.load(name.removeprefix("coco-"), require_images=True)
    elif name.startswith("lspet-") and name in POSE_SETS:
        lspet.open_source()
    elif name == "coco-detections":
        coco_detections.find()
    elif name == "mpii-annotations":
        mpii_annotations.find_truth()
    elif name == mpii_predictions.NAME:
        mpii_predictions.find()
    elif name == "cpm-predictions":
        cpm_predictions.require()
    elif name not in (*NAMES, *PEOPLE):
        known = ", ".join(NAMES + FILE_SETS + POSE_SETS)
        raise UserError(f"there is no data set {name!r}; choose one of {known}")
    # What is left is generated on first use: it needs nothing.


def _require_annotations(part: str) -> None:
    from replab.datasets import coco

    folder = coco.default_folder() / "annotations"
    places = [folder / f"person_keypoints_{part}{suffix}" for suffix in coco.SUFFIXES]
    path = next((place for place in places if place.is_file()), None)
    if path is None:
        raise UserError(
            f"the keypoints of COCO {part} are not on this machine; run `python -m replab fetch "
            f"coco-{part}`, or put {places[0].name} into {folder}"
        )
    _, digest = coco.read_annotations(path)
    if digest != coco.ANNOTATIONS[part]:
        raise UserError(f"{path} is not COCO's; {coco.UNPACK}")
