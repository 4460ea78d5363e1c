"""Recipes of pose networks that several replications share, so that their nets can be compared.

Each is what `runs.pose_runs.job` takes. A replication adds its networks.
"""

from collections.abc import Mapping
from typing import Any

from replab.datasets.lspet import WHOLE

# Small nets on generated people, minutes on a laptop: bodies without face, hands or clothes, no
# augmentation but the mirror, since nobody sees a person twice.
PEOPLE: Mapping[str, Any] = {
    "input": [96, 128],
    "sigma": 1.0,
    "margin": 1.0,
    "augmentation": {"scale": 0.0, "rotation": 0.0, "flip": 0.5},
    "iterations": 400,
    "batch_size": 8,
    "optimiser": "adam",
    "lr": 0.003,
    "schedule": "cosine",
    "warm_up_iterations": 30,
    "tail": 0.1,
    "curve_points": 20,
    "test_data": "people-test",
    "shown_people": 8,
}

EPOCHS, DROPS, BATCH = 210, (170, 200), 32


def _iterations(epochs: int) -> int:
    return round(epochs * WHOLE.train / BATCH)


# The papers' nets on real photographs that anyone can get: the recipe of Sun et al. (2019), §4.1,
# with LSP Extended in place of COCO and one GPU's batch of 32.
LSPET: Mapping[str, Any] = {
    "input": [192, 256],
    "sigma": 2.0,
    # Wider crops and turned ones show black where they leave this.
    "margin": 1.5,
    # Without half bodies: nobody has said which joints of LSP are the upper half.
    "augmentation": {"scale": 0.35, "rotation": 45.0, "flip": 0.5},
    "iterations": _iterations(EPOCHS),
    "batch_size": BATCH,
    "optimiser": "adam",
    "lr": 0.001,
    "schedule": "steps",
    "drops": [_iterations(epoch) for epoch in DROPS],
    "tail": 0.01,
    "curve_points": 100,
    "evaluate_every": _iterations(10),
    "glance_people": 1000,
    "test_data": "lspet-test",
    "shown_people": 8,
}

# The same photographs for small nets: ten minutes of one core, four passes over the people.
LSPET_REDUCED: Mapping[str, Any] = {
    **LSPET,
    "input": [96, 128],
    "sigma": 1.0,
    "margin": 1.3,
    "augmentation": {"scale": 0.25, "rotation": 30.0, "flip": 0.5},
    "iterations": 2400,
    "batch_size": 16,
    "lr": 0.002,
    "schedule": "cosine",
    "drops": [],
    "warm_up_iterations": 100,
    "tail": 0.05,
    "curve_points": 48,
    "evaluate_every": 400,
    "glance_people": 300,
}

# People of COCO train2017 with keypoints, and how many a step takes: 32 on each of four GPUs.
COCO_PEOPLE, COCO_BATCH = 149_813, 128


def _coco_schedule(epochs: int, drops: tuple[int, ...]) -> dict[str, Any]:
    """Iterations of so many epochs, and where the rate is divided by ten."""
    steps = [round(epoch * COCO_PEOPLE / COCO_BATCH) for epoch in (epochs, *drops)]
    return {"iterations": steps[0], "drops": steps[1:]}


# What the released trainings on COCO share, whatever the network; see `runs.coco_trainings`.
COCO: Mapping[str, Any] = {
    # Of the map of 256×192 and 384×288 as released; 128×96 was not released.
    "sigmas": {"128x96": 1.0, "256x192": 2.0, "384x288": 3.0},
    "streamed": True,
    "batch_size": COCO_BATCH,
    "optimiser": "adam",
    "lr": 0.001,
    "schedule": "steps",
    "test_data": "coco-val2017",
    "evaluate_every": round(10 * COCO_PEOPLE / COCO_BATCH),
    "glance_people": 2000,
    "tail": 0.01,
    "curve_points": 200,
}
# What each kind of network has of its own: leoxiaobin/deep-high-resolution-net.pytorch@6f69e46 and
# microsoft/human-pose-estimation.pytorch@49f3f44.
COCO_HRNET: Mapping[str, Any] = {
    "options": {},
    "colour": "RGB",
    "augmentation": {"scale": 0.35, "rotation": 45.0, "flip": 0.5, "half_body": 0.3},
    "schedule": _coco_schedule(210, (170, 200)),
}
COCO_POSE_RESNET: Mapping[str, Any] = {
    "options": {},
    "colour": "BGR",
    "augmentation": {"scale": 0.3, "rotation": 40.0, "flip": 0.5},
    "schedule": _coco_schedule(140, (90, 120)),
}
