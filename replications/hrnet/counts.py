"""Counts: parameters and multiply-adds of every network that the tables name. CPU, seconds."""

from typing import TYPE_CHECKING

from replab.runs.experiment import Experiment, Plan, RunContext, RunResult, Variant

if TYPE_CHECKING:
    from replab.models.counting import Macs

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

RECIPE = {
    # Joints of COCO; a variant may name another number.
    "num_joints": 17,
    # Printed in Table 1; an hourglass is not ours to count.
    "hourglass8_gflops": 14.3,
}


def measure(name: str, joints: int, size: str) -> "tuple[int, Macs]":
    """Parameters of a pose network, and its multiply-adds at an input size such as `256x192`."""
    import torch

    from replab import models
    from replab.models.counting import count_macs, count_parameters

    height, width = (int(side) for side in size.split("x"))
    with torch.device("meta"):
        model = models.create(name, num_joints=joints)
    return count_parameters(model), count_macs(model, (3, height, width))


def count(context: RunContext) -> RunResult:
    """Parameters and multiply-adds of one image, and the comparisons of cost that §4.1 draws.

    `gmacs` are true multiply-adds in 10⁹; `gflops` follow the paper: in 2³⁰, a transposed
    convolution counted at its output's size. `gflops_percent_of_sb152`: of SimpleBaseline-152 at
    the same input. `half_of_hourglass8`: half of what Table 1 prints for the hourglass.
    """
    name, recipe = str(context.variant["model"]), context.recipe
    joints = int(context.variant.get("num_joints", recipe["num_joints"]))
    size = str(context.variant["input"])
    parameters, macs = measure(name, joints, size)
    metrics: dict[str, float] = {
        "params": parameters,
        "macs": macs.total,
        "gmacs": macs.total / 1e9,
        "gflops": macs.gflops_paper,
    }
    if name.startswith("pose_hrnet") and size in TABLED:
        _, beside = measure(SB152, joints, size)
        metrics["gflops_percent_of_sb152"] = 100 * macs.total_paper / beside.total_paper
    if name.startswith("pose_hrnet") and size == "256x192":
        metrics["half_of_hourglass8"] = recipe["hourglass8_gflops"] / 2
    return RunResult(metrics, model=name)


COUNTS = Experiment(
    name="counts",
    version=1,
    changelog={1: "first version"},
    function=count,
    deterministic=True,
    cost=lambda variant, recipe: 0.3,
    plans={profile: Plan(COUNTED, recipe=RECIPE) for profile in ("quick", "standin", "paper")},
)


def _row(stem: str, model: str, size: str, *numbers: str) -> dict[str, str]:
    """Answers of one row of a table: its numbers by the selectors of a counted network."""
    return {
        f"{stem}.{number}": f"counts[model={model},input={size}].{number}" for number in numbers
    }


# Rows of Table 1, and the networks that they are.
TABLE1 = {
    **{f"sb-r{depth}": f"pose_resnet{depth}" for depth in (50, 101, 152)},
    "hrnet-w32-scratch": "pose_hrnet_w32",
    "hrnet-w32": "pose_hrnet_w32",
    "hrnet-w48": "pose_hrnet_w48",
}

ANSWERS = {
    **{
        claim: answer
        for row, model in TABLE1.items()
        for size in TABLED
        for claim, answer in _row(f"table1.{row}.{size}", model, size, "params", "gflops").items()
    },
    **_row("table4.hrnet-w32", "pose_hrnet_w32", "256x256", "params", "gflops"),
    **_row("table4.sb-r152", SB152, "256x256", "params", "gflops"),
    "counts.w{width}.mpii256.{number}": (
        "counts[model=pose_hrnet_w{width},input=256x256].{number}"
    ),
    **{
        f"counts.w{{width}}.{size}.{{number}}": (
            f"counts[model=pose_hrnet_w{{width}},input={size}].{{number}}"
        )
        for size in ("128x96", *TABLED)
    },
    "fig6.hrnet-w32.{size}.gflops_computed": "counts[model=pose_hrnet_w32,input={size}].gflops",
    "fig6.simplebaseline-r50.{size}.gflops_computed": (
        "counts[model=pose_resnet50,input={size}].gflops"
    ),
    "gap.384.w{width}-sb152.cost": (
        "counts[model=pose_hrnet_w{width},input=384x288].gflops_percent_of_sb152"
    ),
}
