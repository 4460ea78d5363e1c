"""Predictions: what the authors' own predictions score on LSP and FLIC. No network; seconds.

The numbers of §4.2 come out exactly, so the metric, the truth and the reference length are those
of the paper. Two traps are scored beside them: the observer-centric truth of LSP, which means
another left, and FLIC in units of the predicted torso, as the released script has it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from replab.recipe import Recipe
from replab.runs.experiment import PROFILES, Experiment, Plan, RunContext, RunResult, Variant

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from replab.metrics.pck import Distances

    Joints = NDArray[np.float64]

# Model → the file of its predictions; FLIC's has four stages, the others six.
PREDICTED = {
    "lsp-6s": "LSP_prediction_model_LSP_6s.mat",
    "mpii-lsp-6s": "LSP_prediction_model_MPII_LSP_6s.mat",
    "flic-4s": "FLIC_prediction_model_FLIC_4s.mat",
}
# Whose left is meant → the file of LSP's truth.
LSP_TRUTH = {"person": "lsp-joints-PC.mat", "observer": "lsp-joints-OC.mat"}
FLIC_TRUTH = "flic-joints-test-oc.mat"
LSP_MODELS = ("lsp-6s", "mpii-lsp-6s")

VARIANTS: tuple[Variant, ...] = (
    *({"model": model, "centric": who} for who in LSP_TRUTH for model in LSP_MODELS),
    *({"model": "flic-4s", "torso": whose} for whose in ("true", "predicted")),
)


@dataclass(frozen=True, kw_only=True)
class CurveRecipe(Recipe):
    """How curves of PCK over thresholds are taken.

    Attributes:
        thresholds: how many, from 0 on.
        step: between them, in reference lengths.
        resamples: sets of people drawn for an interval.
    """

    thresholds: int
    step: float
    resamples: int


# Lengths of the torso.
RECIPE = CurveRecipe(thresholds=41, step=0.005, resamples=2000)
# The thresholds that text and facts name, with the suffix of their metrics.
NAMED = {"": 0.2, "_0.1": 0.1, "_0.05": 0.05}


def stored(file: str, array: str, axes: tuple[int, int, int]) -> "Joints":
    """An array of one of the published files, its axes in the order people, joints, x and y."""
    from replab.datasets import cpm_predictions
    from replab.datasets.mat_files import open_arrays

    return open_arrays(cpm_predictions.find(file)).numbers(array).transpose(axes)


def predicted_joints(model: str) -> "Joints":
    """What a model of the authors predicts: N×14×2 (LSP) or N×9×2 (FLIC), px."""
    return stored(PREDICTED[model], "prediction_all", (2, 0, 1))


def lsp_truth(who: str) -> "Joints":
    """Joints of all 2,000 people of LSP, 2000×14×2, px: the first half is for training."""
    return stored(LSP_TRUTH[who], "joints", (2, 1, 0))[..., :2]


def flic_truth() -> "Joints":
    """Joints of FLIC's test people in the order of the predictions, N×9×2, px."""
    from replab.metrics.pck_files import FLIC_COLUMNS

    return stored(FLIC_TRUTH, "joints", (2, 1, 0))[:, list(FLIC_COLUMNS)]


def curves(
    measured: "Distances",
    rows: Mapping[str, tuple[int, ...]],
    recipe: CurveRecipe,
    named: Mapping[str, float],
) -> "tuple[dict[str, float], dict[str, dict[str, list[float]]]]":
    """Metrics and series of some rows of joints, each with the ends of its 95 % interval, percent.

    Args:
        measured: distances of N people.
        rows: name → joints, of whose percents the plain mean is taken.
        named: suffix of a metric → its threshold, one of the series'.
    """
    from replab.metrics import pck

    # Rounded, since products miss the thresholds by a bit, and a joint that lies on one counts.
    limits = [round(recipe.step * i, 6) for i in range(recipe.thresholds)]
    found = measured.pck(limits)
    metrics, series = {"people": float(found.people)}, {}
    for row, joints in rows.items():
        spread = pck.bootstrap(
            measured, limits, joints=joints, weighted=False, resamples=recipe.resamples
        )
        values = {"": found.mean(joints), "_low": spread[:, 0], "_high": spread[:, 1]}
        for end, numbers in values.items():
            series[f"{row}{end}"] = {"x": limits, "y": numbers.tolist()}
            for suffix, limit in named.items():
                metrics[f"{row}{suffix}{end}"] = float(numbers[limits.index(limit)])
    return metrics, series


def exchanged(predicted: "Joints", truth: "Joints", measured: "Distances") -> float:
    """Percent of LSP's people of whom far more joints are found with left and right exchanged."""
    from replab.keypoints.skeletons import LSP
    from replab.metrics import pck
    from replab.metrics.pck_files import SWAP_JOINTS

    mirrored = predicted[:, list(LSP.mirror)]
    swapped = pck.distances(mirrored, truth, pck.torso_length(truth, LSP))
    gain = swapped.found(NAMED[""]).sum(axis=1) - measured.found(NAMED[""]).sum(axis=1)
    return 100 * float((gain >= SWAP_JOINTS).mean())


def score(context: RunContext) -> RunResult:
    """PCK of a file of predictions, in percent: `pck` of all joints that count, and of each row.

    At 0.2 a metric has no suffix, at 0.1 and 0.05 it has `_0.1` and `_0.05`; `_low` and `_high`
    are the ends of its 95 % interval over people drawn anew. Series run over the thresholds.
    `exchanged` is the percent of people who fit far better with left and right exchanged,
    `relabelled` of those whose truth is not the person-centric one.
    """
    from replab.keypoints.skeletons import FLIC, LSP
    from replab.metrics import pck
    from replab.metrics.pck_files import LSP_TEST

    model = str(context.variant["model"])
    predicted = predicted_joints(model)
    if model in LSP_MODELS:
        truth = lsp_truth(str(context.variant["centric"]))[-LSP_TEST:]
        measured = pck.distances(predicted, truth, pck.torso_length(truth, LSP))
        rows = {"pck": pck.LSP_TOTAL, **pck.LSP_ROWS}
        moved = (truth != lsp_truth("person")[-LSP_TEST:]).any(axis=(1, 2))
        more = {
            "exchanged": exchanged(predicted, truth, measured),
            "relabelled": 100 * float(moved.mean()),
        }
    else:
        truth = flic_truth()
        whose = truth if context.variant["torso"] == "true" else predicted
        measured = pck.distances(predicted, truth, pck.torso_length(whose, FLIC))
        rows = {"pck": pck.FLIC_TOTAL, **pck.FLIC_ROWS}
        more = {}
    metrics, series = curves(measured, rows, context.recipe, NAMED)
    return RunResult(metrics | more, series, model=model)


def fingerprint(variant: Variant) -> str:
    """Fingerprint of the authors' files, known without them."""
    from replab.datasets import cpm_predictions

    return cpm_predictions.fingerprint()


NEEDS = (
    "the authors' predictions and the truth they are scored by (`python -m replab fetch "
    "cpm-predictions`, 1 MB; or with `--from DIR`)"
)

PREDICTIONS = Experiment(
    name="predictions",
    metrics=tuple(
        f"{row}{end}"
        for row in ("pck", "head", "shoulder", "elbow", "wrist", "hip", "knee", "ankle")
        for end in NAMED
    ),
    version=1,
    changelog={1: "first version"},
    function=score,
    deterministic=True,
    plans={
        profile: Plan(VARIANTS, recipe=RECIPE, split="test: LSP 1,000, FLIC 1,016 people")
        for profile in PROFILES
    },
    needs=dict.fromkeys(PROFILES, NEEDS),
    fetches=lambda variant: ("cpm-predictions",),
    fingerprint=fingerprint,
)
