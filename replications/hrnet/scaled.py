"""Trainings on generated people: the paper's ablations at a size that a laptop trains in minutes.

Small nets of the paper's kinds, trained from scratch by one recipe, compared seed by seed. Their
numbers can be set beside each other, not beside the paper's.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from replab.runs.experiment import Cost, Experiment, Plan, RunContext, RunResult, Variant

if TYPE_CHECKING:
    from replab.training.poses import PoseTraining

# The names of the paper's Table 6: (a) the final exchange alone, (b) one at the end of each stage,
# (c) all.
EXCHANGES = ("end", "across", "all")
SHIFTS = (0, 1, 2)
METRICS = {"ap": "AP", "ap50": "AP50", "ap75": "AP75", "ar": "AR"}
HEADS = ("1x", "2x", "4x", "8x")


def make_training(context: RunContext) -> "PoseTraining":
    """The training that a variant and its recipe describe."""
    from replab.keypoints.augmentation import Augmentation
    from replab.keypoints.codecs import codec
    from replab.training.poses import PoseTraining

    recipe = context.recipe
    net = dict(recipe["nets"][context.variant["net"]])
    several = bool(recipe.get("heads"))
    if several:
        net["head"] = "each"
    if "exchange" in context.variant:
        net["exchange"] = context.variant["exchange"]
    return PoseTraining(
        model=net.pop("model"),
        options=net,
        size=tuple(recipe["input"]),
        strides=(4, 8, 16, 32) if several else (4,),
        codec=codec("released", sigma=float(recipe["sigma"])),
        augmentation=Augmentation(**recipe["augmentation"]),
        margin=float(recipe["margin"]),
        recipe=recipe,
    )


def train(context: RunContext) -> RunResult:
    """Train one net on generated people and score its last iterate on other ones."""
    from replab import datasets
    from replab.models.counting import count_macs, count_parameters
    from replab.training.poses import train_on

    training = make_training(context)
    people = datasets.open_poses(context.data)
    net, trained = train_on(
        training,
        people,
        seed=context.seed,
        device=context.device,
        precision=context.precision,
        checkpoint=context.workspace / "checkpoint.pt",
        progress=context.progress,
        compiled=context.compiled,
    )
    metrics, series = trained.history.report(
        tail=context.recipe["tail"], points=context.recipe["curve_points"]
    )
    metrics |= scores(context, training, net)
    width, height = training.size
    metrics["params"] = count_parameters(net)
    metrics["macs"] = count_macs(net, (3, height, width)).total
    metrics["gmacs"] = metrics["macs"] / 1e9
    return RunResult(
        metrics,
        series,
        model=training.model,
        iterations=len(trained.history.loss),
        throughput=trained.throughput or None,
        engine=trained.engine,
    )


def scores(context: RunContext, training: "PoseTraining", net: Any) -> dict[str, float]:
    """AP and AR on the test people, percent, of each head; and what the mirror image's shift does.

    Annotated boxes, so no one is missed: AP here is that of the joints alone. One pass of the
    network answers all questions.
    """
    from replab import datasets
    from replab.metrics.coco import evaluate
    from replab.metrics.coco_files import read_truth
    from replab.topdown.evaluate import detections
    from replab.topdown.predict import Reading, predict_each

    codec = training.codec
    if context.recipe.get("heads"):
        readings = {f"_{head}": Reading(codec, head=i) for i, head in enumerate(HEADS)}
    else:
        readings = {"": Reading(codec)}
    if context.recipe.get("shifts") and context.variant.get("exchange") == EXCHANGES[-1]:
        readings["_noflip"] = Reading(codec, flip=False)
        readings |= {f"_shift{i}": Reading(replace(codec, shift=i)) for i in SHIFTS}
    test = datasets.open_poses(context.recipe["test_data"])
    network = training.ready(
        net, test.skeleton, precision=context.precision, device=context.device
    )
    truth = read_truth(test.truth or {})
    metrics: dict[str, float] = {}
    for suffix, found in predict_each(network, test, readings).items():
        score = evaluate(truth, detections(test, found))
        metrics |= {f"{name}{suffix}": 100 * getattr(score, key) for name, key in METRICS.items()}
    return metrics


def probe(context: RunContext) -> Cost:
    """Cost of one training from its first ten steps."""
    from replab import datasets
    from replab.training import probing
    from replab.training.objectives import heatmap_regression
    from replab.training.poses import make_batches

    training = make_training(context)
    people = datasets.open_poses(context.data)
    pace = probing.probe(
        training.create(people.skeleton, context.seed, context.device),
        make_batches(training, people, seed=context.seed, device=context.device),
        context.recipe,
        device=context.device,
        precision=context.precision,
        compiled=context.compiled,
        workspace=context.workspace,
        objective=heatmap_regression,
    )
    return Cost(pace.seconds(int(context.recipe["iterations"])), pace.checkpoint_bytes)


def training_cost(variant: Variant, recipe: Mapping[str, Any]) -> float:
    """Seconds on one core, about, for the estimate of the time left."""
    slower = {"end": 1.0, "across": 1.05, "all": 1.3}
    net = (
        0.5 if variant["net"] == "simplebaseline" else slower[str(variant.get("exchange", "all"))]
    )
    return net * float(recipe["iterations"]) / 25


RECIPE: dict[str, Any] = {
    "nets": {
        "hrnet": {
            "model": "pose_hrnet_w16",
            "stem": 16,
            "bottlenecks": 1,
            "modules": [1, 2, 2],
            "blocks": 1,
        },
        "simplebaseline": {"model": "pose_resnet10", "width": 24, "deconv_channels": 112},
    },
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
    "shifts": True,
}
SEEDS = (0, 1, 2)
SPLIT = "people-train to train, people-test to score"

SCALED = Experiment(
    name="scaled",
    version=2,
    changelog={
        1: "first version",
        2: "scored in the precision of the training, which takes half the time",
    },
    function=train,
    probe=probe,
    cost=training_cost,
    plans={
        "quick": Plan(
            (
                *({"net": "hrnet", "exchange": exchange} for exchange in ("end", "all")),
                {"net": "simplebaseline"},
            ),
            seeds=SEEDS,
            recipe=RECIPE,
            data=("people-train",),
            split=SPLIT,
            precision="native",
        )
    },
)

# The same training with heads on all branches.
RESOLUTION = replace(
    SCALED,
    name="resolution",
    plans={
        "quick": replace(
            SCALED.plans["quick"],
            variants=({"net": "hrnet"},),
            recipe={**RECIPE, "heads": True, "shifts": False},
        )
    },
)
