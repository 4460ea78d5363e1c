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
