"""What the trainings have in common: variants of a pose machine to a training, and its scoring."""

from dataclasses import dataclass, fields, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from replab.runs import pose_runs
from replab.runs.experiment import RunContext, Variant
from replab.training.pose_recipes import PeopleRecipe, PoseNet

if TYPE_CHECKING:
    from torch import nn

    from replab.datasets.pose_set import PoseSet
    from replab.topdown.scores import Scores
    from replab.training.stage_wise import Phase

# How the stages learn, in the words of Fig. 6b: (i) from scratch with a loss after every stage,
# (ii) one stage after the other, (iii) so for half of the iterations, then all together, and (iv)
# from scratch with one loss at the end.
ALL, IN_TURN, THEN_ALL, LAST = "all", "in-turn", "in-turn-then-all", "last"
SCHEMES = (ALL, IN_TURN, THEN_ALL, LAST)
BEFORE_ALL = 0.5
# Of LSP's joints, those that Fig. 4 is drawn of.
FAR_JOINTS = ("elbow", "wrist")


@dataclass(frozen=True, kw_only=True)
class CpmNet(PoseNet):
    """A pose machine; options as of `models.cpm`."""

    stages: int | None = None
    stride: int
    tower: tuple[int, ...] | None = None
    tower_kernel: int | None = None
    image_kernel: int | None = None
    image_width: int | None = None
    head_kernel: int | None = None
    head_width: int | None = None
    stage_kernel: int | None = None
    stage_width: int | None = None
    pool: int | None = None
    shared: str | None = None
    centre_map: bool
    background: bool
    dropout: float | None = None
    init: str | None = None
    last_std: float | None = None


@dataclass(frozen=True, kw_only=True)
class CpmRecipe(PeopleRecipe):
    """A training of pose machines, and what is measured on the way and at the end.

    Attributes:
        loss: `mean` or `sum` over a map's px, as of `StageRegression`.
        colour: order of the channels as the networks see them.
        mean, std: of each channel of 0–1 values, in that order.
        moments: iterations after which gradients are looked at.
        gradient_batches: batches of a look.
        context_people: the first test people, scored with and without the other joints' beliefs.
        belief_joint: whose belief maps the record keeps.
        belief_people: of how many people.
    """

    loss: Literal["mean", "sum"]
    colour: Literal["RGB", "BGR"]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    moments: tuple[int, ...]
    gradient_batches: int
    context_people: int
    belief_joint: str
    belief_people: int


def recipe(base: PeopleRecipe, **changes: object) -> CpmRecipe:
    """A shared recipe with this paper's fields."""
    shared = {field.name: getattr(base, field.name) for field in fields(base)}
    return CpmRecipe(**{**shared, **changes})


def net_of(variant: Variant, recipe: CpmRecipe) -> CpmNet:
    """A variant's network."""
    net = recipe.nets[str(variant["net"])]
    assert isinstance(net, CpmNet)
    return replace(net, stages=int(variant["stages"])) if "stages" in variant else net


def phases(scheme: str, stages: int) -> "tuple[Phase, ...]":
    """The stretches of a training by a scheme; none where all stages learn from the beginning."""
    from replab.training.stage_wise import Phase, one_by_one

    if scheme == IN_TURN:
        return one_by_one(stages)
    if scheme == THEN_ALL:
        together = Phase(stages, alone=False, share=1 - BEFORE_ALL)
        return (*one_by_one(stages, BEFORE_ALL), together)
    return ()


def make_job(context: RunContext) -> pose_runs.PoseJob:
    """The training that a variant and its recipe describe, and how it is scored.

    One pass over the test people scores every stage (`_stage1` and up; no suffix for the last).
    """
    from replab.topdown.predict import Reading
    from replab.training import gradients
    from replab.training.objectives import StageRegression

    variant, net = context.variant, net_of(context.variant, context.recipe)
    recipe: CpmRecipe = context.recipe.with_net(net)
    assert net.stages is not None
    stages, stride = net.stages, net.stride
    scheme = str(variant["supervision"])
    objective = StageRegression(
        supervision="last" if scheme == LAST else "all",
        loss=recipe.loss,
        background=net.background,
    )
    own = pose_runs.recipe_codec(recipe)
    readings = {"": Reading(own, head=stages - 1)}
    readings |= {f"_stage{i + 1}": Reading(own, head=i) for i in range(stages)}
    job = pose_runs.job(
        recipe, net.model, net.options(), strides=(stride,) * stages, readings=readings
    )
    training = replace(
        job.training,
        objective=objective,
        phases=phases(scheme, stages),
        centre_map=net.centre_map,
        everyone=True,
        colour=recipe.colour,
        mean=recipe.mean,
        std=recipe.std,
    )
    watched = not training.phases
    watch = gradients.watch(
        context.workspace,
        recipe.moments,
        objective,
        batches_each=recipe.gradient_batches,
        precision=context.options.precision,
    )
    job = replace(job, training=training, watch=watch if watched else None)
    return replace(job, further=partial(further, context, job))


def further(
    context: RunContext,
    job: pose_runs.PoseJob,
    net: "nn.Module",
    test: "PoseSet",
    scores: "Scores",
) -> pose_runs.Further:
    """What a run gives beyond its scores.

    Metrics: gradients as of `gradients.report`; `ap_together_stage<t>` and `ap_alone_stage<t>` (or
    `pck_…`), of the recipe's first people without mirror images, with all beliefs in sight and
    with each joint's own alone; `pck_far`, of elbows and wrists, where LSP's joints are scored.
    Series: gradients, and a hard joint's belief maps of the first people.
    """
    from replab.topdown import beliefs
    from replab.topdown.scores import score
    from replab.training import gradients

    recipe: CpmRecipe = context.recipe
    training = job.training
    metrics: dict[str, float] = {}
    series: dict[str, Any] = {}
    if job.watch is not None:
        metrics, series = gradients.report(gradients.collect(context.workspace, recipe.moments))
    stages = int(training.options["stages"])
    if stages > 1 and recipe.context_people:
        in_turn = training.ready(beliefs.InTurn(net), test.skeleton, context.options)
        few = test.first(recipe.context_people)
        metrics |= score(in_turn, few, beliefs.in_turn(training.codec, stages)).metrics
    if test.truth is None:
        metrics["pck_far"] = _far(test.select(scores.people), scores)
    joint = test.skeleton.joints.index(recipe.belief_joint)
    shown = beliefs.first_with(test, joint, recipe.belief_people)
    ready = training.ready(net, test.skeleton, context.options)
    series |= beliefs.belief_series(ready, test, shown, joint, training.codec)
    return metrics, series


def _far(people: "PoseSet", scores: "Scores") -> float:
    """PCK@0.2 of elbows and wrists, percent, the plain mean of the four."""
    from replab.datasets.lspet import torso_lengths
    from replab.metrics.pck import distances

    apart = distances(
        scores.predictions[""].keypoints, people.joints, torso_lengths(people), people.visible > 0
    )
    names = people.skeleton.joints
    joints = [i for i, name in enumerate(names) if name.split("_")[-1] in FAR_JOINTS]
    return float(apart.pck([0.2]).mean(joints)[0])


TRAININGS = pose_runs.PoseTrainings(make_job)
