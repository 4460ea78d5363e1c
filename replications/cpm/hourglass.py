"""Hourglass: a published file of predictions on MPII's validation people, for scale. Seconds.

CPM's numbers on MPII come from its evaluation server. A later network's predictions on people
whose truth is public, scored as published, say what such numbers look like joint by joint.
"""

from replications.cpm.predictions import CurveRecipe, curves

from replab.runs.experiment import PROFILES, Experiment, Plan, RunContext, RunResult, Variant

VARIANTS: tuple[Variant, ...] = ({"model": "hg-s8-b1"},)
# Head sizes.
RECIPE = CurveRecipe(thresholds=51, step=0.01, resamples=2000)
# PCKh@0.5; what HRNet's code prints as `Mean@0.1` is the one at 0.11.
NAMED = {"": 0.5, "_0.1": 0.1, "_0.11": 0.11}


def score(context: RunContext) -> RunResult:
    """PCKh of the predictions, in percent: `pckh`, the plain mean of 14 joints, and each row.

    At 0.5 a metric has no suffix, at 0.1 and 0.11 it has `_0.1` and `_0.11`; `pckh_weighted`
    weighs joints by how often they are annotated. `_low` and `_high` are the ends of 95 %
    intervals over people drawn anew. Series run over the thresholds.
    """
    from replab.datasets import mpii_annotations, mpii_predictions
    from replab.datasets.mat_files import open_arrays
    from replab.datasets.mpii_files import read_truth
    from replab.metrics import pck

    truth = read_truth(mpii_annotations.find_truth())
    # Both count pixels from 1.
    predicted = open_arrays(mpii_predictions.find()).numbers("preds")
    measured = pck.distances(
        predicted, truth.joints, pck.head_size(truth.headboxes), truth.annotated
    )
    rows = {"pckh": pck.MPII_TOTAL, **pck.MPII_ROWS}
    metrics, series = curves(measured, rows, context.recipe, NAMED)
    for suffix, limit in NAMED.items():
        (weighted,) = measured.pck((limit,)).pooled(pck.MPII_TOTAL).tolist()
        metrics[f"pckh_weighted{suffix}"] = weighted
    return RunResult(metrics, series, model=str(context.variant["model"]))


def fingerprint(variant: Variant) -> str:
    """Fingerprint of truth and predictions, known without them."""
    from replab.datasets import mpii_annotations, mpii_predictions

    return f"{mpii_annotations.CONTENT[:16]}+{mpii_predictions.fingerprint()}"


NEEDS = (
    "MPII's validation truth (`python -m replab fetch mpii-annotations`) and the hourglass's "
    "predictions (`python -m replab fetch mpii-predictions`)"
)

HOURGLASS = Experiment(
    name="hourglass",
    version=1,
    changelog={1: "first version"},
    function=score,
    deterministic=True,
    plans={
        profile: Plan(VARIANTS, recipe=RECIPE, split="validation: 2,958 people of MPII")
        for profile in PROFILES
    },
    needs=dict.fromkeys(PROFILES, NEEDS),
    # The predictions first: without them nobody wants the truth downloaded.
    fetches=lambda variant: ("mpii-predictions", "mpii-annotations"),
    fingerprint=fingerprint,
)
