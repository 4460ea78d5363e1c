"""Counts: parameters and multiply-adds of Table 1, of the README's sizes and of MPII's."""

from replications.simplebaseline.rows import ROWS, Row

from replab.runs import counted_poses
from replab.runs.experiment import Variant

# The README tabulates every depth at both sizes; Table 1 has 384×288 for ResNet-50 alone.
README = tuple(Row(depth=depth, size="384x288") for depth in (101, 152))
DEPTHS = (50, 101, 152)
MPII: Variant = {"input": "256x256", "num_joints": 16}
COUNTED: tuple[Variant, ...] = (
    *(row.counted for row in (*ROWS.values(), *README)),
    *({"model": f"pose_resnet{depth}", **MPII} for depth in DEPTHS),
)

COUNTS = counted_poses.counts(COUNTED)
