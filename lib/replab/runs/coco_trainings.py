"""Trainings on COCO train2017 by the released recipes: what experiments of several papers share.

Where they differ from what was released (batch normalisation over the whole batch, the last
iterate, full batches) stands in each paper's `deviations.yaml`.
"""

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from replab.datasets.pose_set import PoseSet
    from replab.runs.pose_runs import PoseJob
    from replab.training.pose_recipes import CocoNet, CocoRecipe, CocoSchedule

SCORED = "coco-val2017"


def job(
    recipe: "CocoRecipe",
    net: "CocoNet",
    *,
    size: str,
    start: str = "",
    heads: Mapping[str, int] | None = None,
) -> "PoseJob":
    """The training of a network on COCO, and how it is scored: on the published detector's boxes.

    Args:
        size: of the input, height first: `256x192`.
        start: name of the ImageNet weights that it begins with, empty from scratch.
        heads: names of its heads and px of the input in one of their maps, where it has several.

    Raises:
        MissingData: the ImageNet weights are not on this machine.
        UserError: they are damaged.
    """
    from replab.datasets import pose_weights
    from replab.keypoints.codecs import codec
    from replab.runs.pose_runs import PoseJob
    from replab.topdown.predict import Reading
    from replab.training.poses import PoseTraining

    options = net.options.as_json()
    # A stride of 4 with the papers' three transposed convolutions, 8 with two.
    stride = 32 // 2 ** int(options.get("deconv_layers", 3))
    released = codec("released", sigma=recipe.sigmas[size])
    readings = {"": Reading(released)}
    readings |= {f"_{name}": Reading(released, head=i) for i, name in enumerate(heads or {})}
    return PoseJob(
        PoseTraining(
            model=net.model,
            options=options,
            size=pose_weights.sides(size),
            strides=tuple(heads.values()) if heads else (stride,),
            codec=released,
            augmentation=net.augmentation.build(),
            colour=net.colour,
            weights=pose_weights.find(start) if start else None,
            streamed=recipe.streamed,
            recipe=recipe.training(net.schedule),
        ),
        test=partial(detected, recipe.test_data),
        readings=readings,
    )


def detected(name: str) -> "PoseSet":
    """The people to score on, with the boxes of the detector behind the papers' tables.

    Raises:
        MissingData: photographs, annotations or boxes are not on this machine.
        UserError: the boxes are others.
    """
    from replab.datasets import coco

    return coco.load_detected(name.removeprefix("coco-"))


def work(gmacs: float, size: str, recipe: "CocoRecipe", schedule: "CocoSchedule") -> float:
    """Work of a training in 10¹⁸ multiply-adds, about: forward and twice as much backward.

    Args:
        gmacs: 10⁹ multiply-adds of a crop of 256×192; other sizes cost in proportion.
    """
    height, width = (int(side) for side in size.split("x"))
    people = float(schedule.iterations) * recipe.batch_size
    return 3e-9 * gmacs * (height * width) / (256 * 192) * people


def fetches(start: str) -> tuple[str, ...]:
    """What has to be on this machine beside the people to train on."""
    return (*((f"weights:{start}",) if start else ()), "coco-detections", SCORED)


def fingerprint(start: str) -> str:
    """Fingerprint of the people scored on and of the weights begun with, known without them."""
    from replab.datasets import coco, pose_weights

    part = SCORED.removeprefix("coco-")
    scored = coco.fingerprint(coco.ANNOTATIONS[part], coco.PUBLISHED_BOXES)
    return f"{scored}+{pose_weights.fingerprint(start)}" if start else scored


def needs(*starts: str) -> str:
    """What such trainings need, in words; what they cost is left to add.

    Args:
        starts: names of the ImageNet weights that nets begin with.
    """
    first, *others = starts
    likewise = f", likewise {' and '.join(others)}" if others else ""
    return (
        "COCO train2017 (`python -m replab fetch coco-train2017`, 19.6 GB) and val2017 (`python "
        "-m replab fetch coco-val2017`, 1.1 GB), the detector's boxes (`python -m replab fetch "
        "coco-detections --from FILE`), ImageNet weights where a net begins with them (`python "
        f"-m replab fetch weights:{first} --from FILE_OR_DIR`{likewise}), and GPU-days"
    )
