"""Released: published CIFAR-10 checkpoints on the 10,000 test images. About 10–60 s each."""

from collections.abc import Mapping
from typing import Any

from replab.runs.experiment import Experiment, Plan, RunContext, RunResult, Variant


def released_weights(variant: Variant) -> tuple[str, ...]:
    """What `replab fetch` has to bring for a variant."""
    return (f"weights:{variant['weights']}",)


def released_fingerprint(variant: Variant) -> str:
    """Fingerprint of a published checkpoint, known without it."""
    from replab.datasets import weights

    return weights.fingerprint(str(variant["weights"]))


def score_released(context: RunContext) -> RunResult:
    """Test error of a published checkpoint, one view, the checkpoint's own preprocessing."""
    from replab import datasets
    from replab.datasets import weights
    from replab.metrics.cifar import score_checkpoint

    images = datasets.open_set(context.data)
    score = score_checkpoint(
        weights.find(str(context.variant["weights"])),
        images.test_images,
        images.test_labels,
        device=context.options.device,
        progress=context.progress,
    )
    return RunResult({"test_error": score.error}, model=score.model)


def scored_cost(variant: Variant, recipe: Mapping[str, Any]) -> float:
    """Seconds on one core, about, for the estimate of the time left."""
    return 0.7 * float(str(variant["weights"]).removeprefix("cifar_resnet"))


RELEASED = Experiment(
    name="released",
    metrics=("test_error",),
    version=1,
    changelog={1: "first version"},
    function=score_released,
    deterministic=True,
    plans={
        profile: Plan(
            tuple({"weights": f"cifar_resnet{d}"} for d in depths),
            data=("cifar10",),
            split="test",
        )
        for profile, depths in {
            "quick": (20, 32),
            "standin": (20, 32, 44, 56, 110),
            "paper": (20, 32, 44, 56, 110, 1202),
        }.items()
    },
    needs={
        "quick": "CIFAR-10 and the published checkpoint (`python -m replab fetch`, 1–2 MB)",
        "standin": "CIFAR-10 and the published checkpoint (`python -m replab fetch`, 3–7 MB)",
        "paper": "CIFAR-10, the published checkpoint (78 MB) and a GPU or an hour",
    },
    cost=scored_cost,
    fetches=released_weights,
    fingerprint=released_fingerprint,
)
