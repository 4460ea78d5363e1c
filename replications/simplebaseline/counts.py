"""Counts: parameters and multiply-adds of Table 1, of the README's sizes and of MPII's."""

from replications.simplebaseline.rows import ROWS, Row

from replab.runs import counted_poses
from replab.runs.counted_poses import answers, selector
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

# The form that was released, at any depth and size.
FORM: Variant = {
    "model": "pose_resnet{depth}",
    "input": "{size}",
    "deconv_layers": 3,
    "deconv_kernel": 4,
}
SMALLER: Variant = {**FORM, "input": "256x192"}
LARGER: Variant = {**FORM, "input": "384x288"}
OF_MPII: Variant = {"model": "pose_resnet{depth}", "input": MPII["input"]}

ANSWERS = {
    **{
        claim: answer
        for letter, row in ROWS.items()
        for claim, answer in answers(
            f"table1.{letter}", row.counted, "params", "gflops", "gmacs"
        ).items()
    },
    **answers("counts.r{depth}.384x288", LARGER, "gflops", "gmacs"),
    **answers("counts.r{depth}.mpii256", OF_MPII, "gflops", "gmacs"),
    **answers("readme.r{depth}.{size}", FORM, "gflops"),
    "counts.gflops.r{depth}.{size}": selector(FORM, "gflops"),
    "counts.params.r{depth}": selector(SMALLER, "params"),
    "counts.params16.r{depth}": selector(OF_MPII, "params"),
}
