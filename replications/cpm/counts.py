"""Counts: parameters and multiply-adds by number of stages, as released. CPU, seconds."""

from replab.runs import counted_poses
from replab.runs.experiment import RunContext, RunResult, Variant

STAGES = (1, 2, 3, 4, 5, 6)
# Joints of LSP and MPII, and of FLIC; each net has a map for the background, too.
JOINTS, FLIC_JOINTS, FLIC_STAGES = 14, 9, 4


def _variant(stages: int, joints: int) -> Variant:
    return {"model": "cpm", "stages": stages, "num_joints": joints, "input": "368x368"}


FLIC = _variant(FLIC_STAGES, FLIC_JOINTS)
VARIANTS: tuple[Variant, ...] = (*(_variant(stages, JOINTS) for stages in STAGES), FLIC)


def count(context: RunContext) -> RunResult:
    """Parameters and multiply-adds of one crop and its centre map, the fourth channel.

    `params` and `macs` are to the unit, `gmacs` in 10⁹.
    """
    import torch

    from replab import models
    from replab.datasets.pose_weights import sides
    from replab.models.counting import count_macs, count_parameters

    name = str(context.variant["model"])
    width, height = sides(str(context.variant["input"]))
    with torch.device("meta"):
        net = models.create(name, **counted_poses.options_of(context))
    macs = count_macs(net, (4, height, width)).total
    metrics = {"params": count_parameters(net), "macs": macs, "gmacs": macs / 1e9}
    return RunResult(metrics, model=name)


COUNTS = counted_poses.counts(VARIANTS, function=count, metrics=("params", "macs", "gmacs"))
