"""Receptive field: which px of the image a belief rests on, by stage and size of the poolings.

The text counts poolings of 2×2 px, by which stage 1 sees 160×160 px and stage 2 400×400; the
released network pools 3×3 and sees 7 px more. CPU, seconds; no data.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from replab.recipe import Recipe
from replab.runs.experiment import PROFILES, Experiment, Plan, RunContext, RunResult, Variant

STAGES = (1, 2, 3, 4, 5, 6)
POOLS = (2, 3)
PAPER_POOL = 2
VARIANTS: tuple[Variant, ...] = tuple(
    {"pool": pool, "stage": stage} for pool in POOLS for stage in STAGES
)


@dataclass(frozen=True, kw_only=True)
class NarrowNet(Recipe):
    """Options of `models.create("cpm")`: so narrow a net is differentiated in no time."""

    tower: tuple[int, ...] = (1, 1, 1)
    image_width: int = 1
    head_width: int = 1
    stage_width: int = 1
    num_joints: int = 1


@dataclass(frozen=True, kw_only=True)
class FieldRecipe(Recipe):
    """How receptive fields are measured.

    Attributes:
        stated: of the paper's network by stage, px of the image.
        stated_on_maps: px of the belief maps before.
        narrow: the network; kernels and strides decide a field, not widths.
        margin: px around the field in the differentiated image, so that two units side by side
            fit.
        differentiated: stages that a gradient is taken of; one more doubles the time, and adds
            nothing but another 240 px.
    """

    stated: Mapping[str, int]
    stated_on_maps: Mapping[str, int]
    narrow: NarrowNet
    margin: int
    differentiated: int


RECIPE = FieldRecipe(
    stated={"1": 160, "2": 400},
    stated_on_maps={"2": 31},
    narrow=NarrowNet(),
    margin=24,
    differentiated=2,
)


def measure(context: RunContext) -> RunResult:
    """Side of a field in px, by `arithmetic` and by `gradient`, and in belief maps (`on_maps`).

    The gradient is taken of the first stages alone. `on_maps` is what a stage sees of the beliefs
    before it, from stage 2 on. `stated` and `stated_on_maps` are the paper's, where it has some.
    """
    from replab import models
    from replab.models.receptive_fields import by_arithmetic, by_gradient, of_chain, windows

    recipe: FieldRecipe = context.recipe
    stage, narrow = int(context.variant["stage"]), recipe.narrow.as_json()
    net = models.create("cpm", stages=stage, pool=int(context.variant["pool"]), **narrow)
    last = net.last_layers
    field = by_arithmetic(net, last[-1])
    metrics = {"arithmetic": float(field.size)}
    if stage <= recipe.differentiated:
        side = net.stride * ((field.size + recipe.margin) // net.stride)
        metrics["gradient"] = float(by_gradient(net, last[-1], (4, side, side)).size)
    if stage > 1:
        before = len(windows(net, last[-2]))
        metrics["on_maps"] = float(of_chain(windows(net, last[-1])[before:]).size)
    if context.variant["pool"] == PAPER_POOL:
        stated = {"stated": recipe.stated, "stated_on_maps": recipe.stated_on_maps}
        for name, by_stage in stated.items():
            if str(stage) in by_stage:
                metrics[name] = float(by_stage[str(stage)])
    return RunResult(metrics, model="cpm")


RECEPTIVE_FIELD = Experiment(
    name="receptive_field",
    metrics=("arithmetic", "gradient", "on_maps", "stated", "stated_on_maps"),
    version=1,
    changelog={1: "first version"},
    function=measure,
    deterministic=True,
    plans={profile: Plan(VARIANTS, recipe=RECIPE) for profile in PROFILES},
)
