"""Counts: parameters and multiply-adds of every network that the tables name. CPU, seconds."""

from dataclasses import dataclass, replace

from replab.runs import counted_poses
from replab.runs.experiment import RunContext, RunResult, Variant

# The sizes of Fig. 6, height first.
SIZES = ("128x96", "192x128", "256x192", "320x224", "352x256", "384x288")
TABLED = ("256x192", "384x288")
MPII: Variant = {"input": "256x256", "num_joints": 16}
SB152 = "pose_resnet152"

COUNTED: tuple[Variant, ...] = (
    *({"model": "pose_hrnet_w32", "input": size} for size in SIZES),
    *({"model": "pose_hrnet_w48", "input": size} for size in TABLED),
    *({"model": "pose_resnet50", "input": size} for size in SIZES),
    {"model": "pose_resnet101", "input": "256x192"},
    *({"model": SB152, "input": size} for size in TABLED),
    *({"model": f"pose_hrnet_w{width}", **MPII} for width in (32, 48)),
    {"model": SB152, **MPII},
)


@dataclass(frozen=True, kw_only=True)
class Recipe(counted_poses.CountRecipe):
    """What counting is told.

    Attributes:
        hourglass8_gflops: as printed in Table 1; an hourglass is not ours to count.
    """

    hourglass8_gflops: float = 14.3


def count(context: RunContext) -> RunResult:
    """Parameters and multiply-adds of one image, and the comparisons of cost that §4.1 draws.

    `gflops_percent_of_sb152`: of SimpleBaseline-152 at the same input. `half_of_hourglass8`: half
    of what Table 1 prints for the hourglass.
    """
    name, size = str(context.variant["model"]), str(context.variant["input"])
    result = counted_poses.count(context)
    metrics = dict(result.metrics)
    if name.startswith("pose_hrnet") and size in TABLED:
        _, beside = counted_poses.measure(SB152, size, **counted_poses.options_of(context))
        metrics["gflops_percent_of_sb152"] = 100 * metrics["gflops"] / beside.gflops_paper
    if name.startswith("pose_hrnet") and size == "256x192":
        metrics["half_of_hourglass8"] = context.recipe.hourglass8_gflops / 2
    return replace(result, metrics=metrics)


COUNTS = counted_poses.counts(
    COUNTED,
    recipe=Recipe(),
    function=count,
    metrics=(*counted_poses.METRICS, "gflops_percent_of_sb152", "half_of_hourglass8"),
)
