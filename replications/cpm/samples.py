"""Samples: how many people the data sets of §4.2 hold, counted in their annotations."""

from dataclasses import dataclass, field

from replications.cpm import predictions

from replab.recipe import KEY, Recipe
from replab.runs.experiment import PROFILES, Experiment, Plan, RunContext, RunResult, Variant


# What §4.2 states, by data set and part.
@dataclass(frozen=True, kw_only=True)
class SampleRecipe(Recipe):
    """People that the paper states, by data set and part."""

    lsp_train: int = field(metadata={KEY: "lsp-train"})
    lsp_test: int = field(metadata={KEY: "lsp-test"})
    flic_test: int = field(metadata={KEY: "flic-test"})


RECIPE = SampleRecipe(lsp_train=11_000, lsp_test=1_000, flic_test=1_016)
LSP_TRAIN: Variant = {"set": "lsp-train"}
TESTS: tuple[Variant, ...] = ({"set": "lsp-test"}, {"set": "flic-test"})


def count(context: RunContext) -> RunResult:
    """People of one part of a data set, and how many the paper states.

    A test set counts where a person has both a truth and a prediction of the authors. LSP's
    training set is the half of its truth that is not tested, and Leeds Sports Pose Extended.
    """
    from replab.metrics.pck_files import LSP_TEST

    part = str(context.variant["set"])
    if part == "flic-test":
        tested = (predictions.flic_truth(), predictions.predicted_joints("flic-4s"))
        people = min(map(len, tested))
    else:
        truth = predictions.lsp_truth("person")
        if part == "lsp-test":
            tested = (truth[-LSP_TEST:], predictions.predicted_joints("lsp-6s"))
            people = min(map(len, tested))
        else:
            people = len(truth) - LSP_TEST + _extended()
    return RunResult({"people": float(people), "stated": float(context.recipe.as_json()[part])})


def _extended() -> int:
    from replab.datasets import lspet

    joints, _ = lspet.open_source().joints(lspet.WHOLE)
    return len(joints)


def fetches(variant: Variant) -> tuple[str, ...]:
    """The annotations that a part is counted in."""
    extended = ("lspet-train",) if variant == LSP_TRAIN else ()
    return ("cpm-predictions", *extended)


def fingerprint(variant: Variant) -> str:
    """Fingerprint of these, known without them."""
    from replab import datasets
    from replab.datasets import cpm_predictions

    own = cpm_predictions.fingerprint()
    return f"{own}+{datasets.fingerprint('lspet-train')}" if variant == LSP_TRAIN else own


NEEDS = "the truth of LSP and FLIC (`python -m replab fetch cpm-predictions`)"
EXTENDED = "Leeds Sports Pose Extended (`python -m replab fetch lspet`)"

SAMPLES = Experiment(
    name="samples",
    metrics=("people", "stated"),
    version=1,
    changelog={1: "first version"},
    function=count,
    deterministic=True,
    # Profile `quick` fetches nothing for the sake of one count that takes 120 MB of pictures.
    plans={
        profile: Plan(TESTS if profile == "quick" else (*TESTS, LSP_TRAIN), recipe=RECIPE)
        for profile in PROFILES
    },
    needs={
        profile: NEEDS if profile == "quick" else f"{NEEDS}, and {EXTENDED}"
        for profile in PROFILES
    },
    fetches=fetches,
    fingerprint=fingerprint,
)
