"""Runs that train a pose network and score its last iterate: what such experiments share.

A replication says what is trained (`PoseTraining`) and on whom it is scored; the numbers and
curves of a record come from here, whatever the paper.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from replab.runs.experiment import Cost, RunContext, RunResult

# Metrics and series.
Further = tuple[Mapping[str, float], Mapping[str, Mapping[str, Sequence[float]]]]

if TYPE_CHECKING:
    from torch import nn

    from replab.datasets.pose_set import PoseSet
    from replab.keypoints.codecs import Codec
    from replab.models.own_weights import OwnWeights
    from replab.topdown.predict import Predictions, Reading
    from replab.topdown.scores import Scores
    from replab.training.loop import Batches
    from replab.training.pose_recipes import PeopleRecipe, PoseRecipe
    from replab.training.poses import PoseTraining

# People that a probe scores, after a few that do not count.
PROBED, PROBED_FIRST = 64, 8


@dataclass(frozen=True)
class PoseJob:
    """A pose network's training and how its last iterate is scored.

    Attributes:
        training: what is trained, and how.
        test: opens the people to score on.
        readings: of the heatmaps, by suffix of the metrics' names; the one without a suffix is
            the score of the run.
        watch: what looks at the training on the way; as of `poses.train_on`.
        further: asked at the end for more metrics and series of the trained network, the people
            of the test set and their scores.
    """

    training: "PoseTraining"
    test: "Callable[[], PoseSet]"
    readings: "Mapping[str, Reading]"
    watch: "Callable[[Batches], Callable[[int, nn.Module], None]] | None" = None
    further: "Callable[[nn.Module, PoseSet, Scores], Further] | None" = None

    @property
    def recipe(self) -> "PoseRecipe":
        """The training's recipe, which also says what its record keeps."""
        from replab.training.pose_recipes import PoseRecipe

        assert isinstance(self.training.recipe, PoseRecipe)
        return self.training.recipe


@dataclass(frozen=True)
class PoseTrainings:
    """The runs of an experiment: each trains the network that its variant and recipe describe.

    Attributes:
        make_job: the training that a run is, and how it is scored.
    """

    make_job: Callable[[RunContext], PoseJob]

    def run(self, context: RunContext) -> RunResult:
        """Train one network and score its last iterate; see `run`."""
        return run(context, self.make_job(context))

    def probe(self, context: RunContext) -> Cost:
        """Cost of one training and its scoring from the first steps; see `probe`."""
        return probe(context, self.make_job(context))


def job(
    recipe: "PeopleRecipe",
    model: str,
    options: Mapping[str, Any],
    *,
    strides: tuple[int, ...] = (4,),
    readings: "Mapping[str, Reading] | None" = None,
) -> PoseJob:
    """The job of a network under a recipe (see `training.pose_recipes`).

    Args:
        model: name for `replab.models.create`.
        options: its options, without the number of joints.
        strides: px of the input in one of the heatmaps, for each head.
        readings: as of `PoseJob`; None for the recipe's own codec and the mirror image.
    """
    from replab import datasets
    from replab.topdown.predict import Reading
    from replab.training.poses import PoseTraining

    own = recipe_codec(recipe)
    return PoseJob(
        PoseTraining(
            model=model,
            options=options,
            size=recipe.input,
            strides=strides,
            codec=own,
            augmentation=recipe.augmentation.build(),
            margin=recipe.margin,
            recipe=recipe,
        ),
        test=partial(datasets.open_poses, recipe.test_data),
        readings=readings or {"": Reading(own)},
    )


def recipe_codec(recipe: "PeopleRecipe") -> "Codec":
    """How a recipe cuts crops, draws joints and reads heatmaps."""
    from replab.keypoints.codecs import codec

    return codec(recipe.codec or "released", sigma=recipe.sigma)


def run(context: RunContext, job: PoseJob) -> RunResult:
    """Train one network on the people of `context.data` and score its last iterate.

    Metrics: the test set's scores in percent for each reading (see `topdown.scores`), `train_loss`
    and `train_error`, `params`, `macs` and `gmacs` (10⁹ multiply-adds of a crop). Series: the
    training's curves, the score on the way under its own name, and `person_0`, `person_1`, …: the
    joints found in the first people scored, px of their pictures.
    """
    from replab import datasets
    from replab.models.counting import count_macs, count_parameters
    from replab.topdown.scores import measure_of
    from replab.training.poses import train_on

    training, recipe = job.training, job.recipe
    people, test = datasets.open_poses(context.data), job.test()
    measure = measure_of(test)
    net, trained = train_on(
        training,
        people,
        seed=context.seed,
        options=context.options,
        checkpoint=context.workspace / "checkpoint.pt",
        progress=context.progress,
        evaluate=_glance(context, job, test) if recipe.evaluate_every else None,
        watch=job.watch,
    )
    metrics, series = trained.history.report(
        tail=recipe.tail, points=recipe.curve_points, looks=measure
    )
    found = _scores(context, job, test, net)
    metrics |= found.metrics
    width, height = training.size
    metrics["params"] = count_parameters(net)
    metrics["macs"] = count_macs(net, (training.channels, height, width)).total
    metrics["gmacs"] = metrics["macs"] / 1e9
    shown = recipe.shown_people or 0
    series |= _people(found.predictions[""], shown) if shown else {}
    more: Further = job.further(net, test, found) if job.further else ({}, {})
    return RunResult(
        {**metrics, **more[0]},
        {**series, **more[1]},
        model=training.model,
        iterations=len(trained.history.loss),
        throughput=trained.throughput or None,
        engine=trained.engine,
        weights=lambda: (net, _described(context, job, test, metrics[measure])),
    )


def _described(context: RunContext, job: PoseJob, test: "PoseSet", score: float) -> "OwnWeights":
    """What a file of the trained network's weights is to say.

    Raises:
        ValueError: the score was read by a codec that its name and sigma do not tell.
    """
    from replab.keypoints.codecs import codec
    from replab.models.own_weights import OwnWeights
    from replab.topdown.scores import measure_of

    training, reading = job.training, job.readings[""]
    own = reading.codec
    if codec(own.name, sigma=own.sigma) != own:
        raise ValueError(f"a changed codec {own.name!r} cannot be named beside weights")
    return OwnWeights(
        model=training.model,
        options={"num_joints": len(test.skeleton), **training.options},
        size=training.size,
        colour=training.colour,
        mean=training.mean,
        std=training.std,
        skeleton=test.skeleton.name,
        codec=own.name,
        sigma=own.sigma,
        head=reading.head,
        precision=context.options.precision,
        test_data=job.recipe.test_data,
        scores={measure_of(test): score},
    )


def probe(context: RunContext, job: PoseJob) -> Cost:
    """Cost of one run from the first ten steps of its training and a few scored people."""
    from replab import datasets
    from replab.topdown.predict import predict_each
    from replab.training import probing
    from replab.training.poses import make_batches

    training, recipe = job.training, job.recipe
    began = time.perf_counter()
    people, test = datasets.open_poses(context.data), job.test()
    device = context.options.device
    batches = make_batches(training, people, seed=context.seed, device=device)
    net = training.create(people.skeleton, context.seed, device)
    loaded = time.perf_counter() - began
    pace = probing.probe(
        net,
        batches,
        recipe,
        options=context.options,
        workspace=context.workspace,
        objective=training.objective,
    )
    network = training.ready(net, test.skeleton, context.options)
    predict_each(network, test.select(slice(0, PROBED_FIRST)), job.readings)
    few = test.select(slice(PROBED_FIRST, PROBED_FIRST + PROBED))
    began = time.perf_counter()
    predict_each(network, few, job.readings)
    per_person = (time.perf_counter() - began) / max(1, len(few))
    iterations = recipe.iterations
    looks = iterations // recipe.evaluate_every if recipe.evaluate_every else 0
    scored = looks * (recipe.glance_people or 0) + len(test)
    return Cost(loaded + pace.seconds(iterations) + scored * per_person, pace.checkpoint_bytes)


def _glance(context: RunContext, job: PoseJob, test: "PoseSet") -> "Callable[[nn.Module], float]":
    """What is asked of the network on the way: its score on the first test people, percent."""
    from replab.topdown.scores import measure_of

    few = test.first(job.recipe.glance_people or 0)

    def glance(net: "nn.Module") -> float:
        return _scores(context, job, few, net).metrics[measure_of(few)]

    return glance


def _scores(context: RunContext, job: PoseJob, test: "PoseSet", net: "nn.Module") -> "Scores":
    from replab.topdown.scores import score

    network = job.training.ready(net, test.skeleton, context.options)
    return score(network, test, job.readings)


def _people(found: "Predictions", count: int) -> dict[str, dict[str, list[float]]]:
    """Series of the first people's joints, in tenths of a px."""
    joints: Any = found.keypoints[:count].astype(float).round(1)
    return {
        f"person_{i}": {"x": person[:, 0].tolist(), "y": person[:, 1].tolist()}
        for i, person in enumerate(joints)
    }
