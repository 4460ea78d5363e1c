"""Whether what a run needs is on this machine."""

from replab.errors import UserError


def require(name: str) -> None:
    """See that a data set, `weights:NAME`, or what else `fetch` brings is here and whole.

    Raises:
        MissingData: it has to be fetched first.
        UserError: it is damaged, or the name is unknown.
    """
    from replab.datasets import (
        FILE_SETS,
        NAMES,
        POSE_SETS,
        cifar10,
        coco,
        coco_detections,
        cpm_predictions,
        imagenet,
        lspet,
        mpii_annotations,
        weights,
    )

    if name.startswith("weights:"):
        weights.find(name.removeprefix("weights:"))
    elif name == "cifar10":
        cifar10.load()
    elif name == "imagenet":
        imagenet.require()
    elif name.startswith("coco-") and name in POSE_SETS:
        coco.load(name.removeprefix("coco-"), require_images=True)
    elif name.startswith("lspet-") and name in POSE_SETS:
        lspet.open_source()
    elif name == "coco-detections":
        coco_detections.find()
    elif name == "mpii-annotations":
        mpii_annotations.find_truth()
    elif name == "cpm-predictions":
        cpm_predictions.require()
    elif name not in NAMES:
        known = ", ".join(NAMES + FILE_SETS + POSE_SETS)
        raise UserError(f"there is no data set {name!r}; choose one of {known}")
    # What is left is generated on first use: it needs nothing.
