"""The claims of the SimpleBaseline paper that are really there, and the runs that answer them."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from replab.claims import printed
from replab.claims.claim import claim_selectors
from replab.claims.ledger import build
from replab.datasets import coco, pose_weights
from replab.runs import record as records
from replab.runs.experiment import RunResult
from replab.runs.identity import plan_runs
from replab.runs.released_poses import COCO_SCORES
from run_contexts import done_here

ROOT = Path(__file__).resolve().parents[2]
# Differences of printed rows of Table 1, and of one printed and one reported number: not in the
# facts, which leave them to arithmetic. Claim → the rows that are added and taken away.
EFFECTS = {
    "effects.384x288": ("h", "a"),
    "effects.256x192": ("a", "g"),
    "effects.layers": ("a", "b"),
    "effects.r101": ("e", "a"),
    "effects.r152": ("f", "a"),
    "effects.kernel-2": ("a", "c"),
    "effects.kernel-3": ("a", "d"),
    "effects.size-over-layers": ("b", "g"),
    "effects.layers-over-depth": ("aa", "bf"),
    "effects.depth-over-kernel": ("fc", "aa"),
}
COLOUR = "gtbox.colour.r50"
PARAMETERS = {
    "a": 33_999_697,
    "b": 32_950_609,
    "c": 26_135_377,
    "d": 29_412_177,
    "e": 52_991_825,
    "f": 68_635_473,
    "g": 33_999_697,
    "h": 33_999_697,
}


@pytest.fixture(scope="module")
def paper(load_paper):
    return load_paper("simplebaseline")


@pytest.fixture(scope="module")
def counted(paper):
    """Records of all counts."""
    return done_here(paper, "counts")


def test_margins_are_those_that_the_facts_give(paper):
    margins = {name: t.margin for name, t in paper.tolerances.items() if t.margin is not None}
    assert margins == {
        "Teval": 0.1,
        "Teval-ratio": 0.001,
        "Tgflops": 0.015,
        "Tgap": 0.2,
        "Ttrain-pose": 0.5,
    }


def test_effects_are_all_that_is_stated_beside_the_facts(paper):
    assert {claim for claim in paper.claims if claim.startswith("effects.")} == set(EFFECTS)


@pytest.mark.parametrize(("claim", "rows"), EFFECTS.items())
def test_effects_are_differences_of_printed_rows(paper, claim, rows):
    plus, minus = (
        [printed.parse(paper.claims[f"table1.{row}.ap"].reported).value for row in side]
        for side in rows
    )
    stated = printed.parse(paper.claims[claim].reported)
    assert stated.matches(round(sum(plus) - sum(minus), 6))
    assert stated.text.startswith("+")
    # A difference is known no better than what it is taken of.
    sources = {paper.claims[f"table1.{row}.ap"].source for row in "".join(rows)}
    assert paper.claims[claim].source == ("S" if "S" in sources else "R")


def test_counts_are_reproduced(paper, counted):
    entries = [e for e in build(paper, "quick", counted).select(attempted=True) if not e.supports]
    assert len(entries) == 50
    assert {e.id: e.why for e in entries if e.verdict != "reproduced"} == {}
    found = {e.id: e.measured for e in entries}
    assert {row: found[f"table1.{row}.params"] for row in PARAMETERS} == PARAMETERS
    # The convention of the print is told from true multiply-adds.
    assert found["table1.a.gflops"] > 1.5 * found["table1.a.gmacs"]


def test_a_count_that_is_off_by_one_fails(paper, counted):
    changed = [
        replace(r, metrics={**r.metrics, "params": r.metrics["params"] + 1})
        if r.variant.get("deconv_kernel") == 3
        else r
        for r in counted
    ]
    ledger = build(paper, "quick", changed)
    assert ledger["table1.d.params"].verdict == "not reproduced"
    assert ledger["table1.a.params"].verdict == "reproduced"


def test_detected_and_annotated_boxes_answer_different_claims(paper):
    """Each claim on released weights rests on the boxes, and the size, that its protocol names."""
    seen = {"detections": 0, "gt": 0}
    for claim in paper.claims.values():
        named = [s for s in claim_selectors(claim) if s.experiment in ("released", "colour")]
        chosen = [dict(s.variant) for s in named]
        boxes = {variant["boxes"] for variant in chosen}
        if not chosen or not claim.gate:
            continue
        if "boxes=gt minus det56" in claim.protocol:
            assert boxes == {"gt", "detections"}
            continue
        (kind,) = boxes
        assert (f"boxes={'gt' if kind == 'gt' else 'det56'};") in claim.protocol, claim.id
        seen[kind] += 1
        size = re.search(r"\.(\d+x\d+)\.", claim.id)
        if size and claim.kind == "value":
            assert [v["weights"].rpartition("-")[2] for v in chosen] == [size[1]], claim.id
    assert seen == {"detections": 71, "gt": 21}


def released_records(paper, numbers, experiment="released"):
    """Records with made numbers, percent: (weights, boxes) → AP and all else."""
    declared = paper.replication.experiments[experiment]
    data = ("coco-val2017", coco.fingerprint(coco.ANNOTATIONS["val2017"]))
    made = []
    for spec in plan_runs("simplebaseline", declared, "paper", data=data, device="cpu"):
        score = numbers.get((spec.variant["weights"], spec.variant["boxes"]))
        if score is None:
            continue
        metrics = {name: float(score) for name in COCO_SCORES}
        metrics |= {f"{name}_ratio": score / 100 for name in COCO_SCORES}
        if spec.variant["boxes"] == "detections":
            metrics |= spec.recipe.beside.get(spec.variant["weights"], {})
        made.append(records.make(spec, RunResult(metrics), threads=1, provenance={}))
    return made


PRINTED = {
    ("sb-r50-256x192", "detections"): 70.4,
    ("sb-r101-256x192", "detections"): 71.4,
    ("sb-r152-256x192", "detections"): 72.0,
    ("sb-r50-384x288", "detections"): 72.2,
    ("sb-r50-256x192", "gt"): 72.4,
}
RESTING = (
    "table1.a.ap",
    "table1.e.ap",
    "table1.f.ap",
    "table1.h.ap",
    "table1.trend.depth",
    "table2.ours.256x192.ap",
    "table2.ours.384x288.ap",
    "table2.order",
    "effects.384x288",
    "effects.r101",
    "effects.r152",
    "gtbox.gap.r50",
    "readme.r50.256x192.ap",
    "gtbox.r50.256x192.ap",
)


def test_the_paper_s_numbers_reproduce_the_paper_s_claims(paper):
    ledger = build(paper, "paper", released_records(paper, PRINTED))
    assert {claim: ledger[claim].verdict for claim in RESTING} == dict.fromkeys(
        RESTING, "reproduced"
    )
    # 70.4 is neither AP at 0.5 nor the number of a network that was not scored.
    assert ledger["readme.r50.256x192.ap50"].verdict == "not reproduced"
    assert ledger["readme.r101.384x288.ap"].verdict == "not attempted"


@pytest.mark.parametrize(
    ("weights", "score", "claim"),
    [
        ("sb-r152-256x192", 71.3, "table1.trend.depth"),
        ("sb-r152-256x192", 71.75, "effects.r152"),
        ("sb-r50-256x192", 69.3, "table2.order"),
        ("sb-r50-384x288", 71.5, "table2.order"),
        ("sb-r101-256x192", 71.55, "table1.e.ap"),
    ],
)
def test_other_numbers_do_not(paper, weights, score, claim):
    changed = PRINTED | {(weights, "detections"): score}
    ledger = build(paper, "paper", released_records(paper, changed))
    assert ledger[claim].verdict == "not reproduced"


@pytest.mark.parametrize(("wrong", "verdict"), [(65.3, "reproduced"), (72.5, "not reproduced")])
def test_the_wrong_colour_order_costs_points(paper, wrong, verdict):
    right = released_records(paper, {("sb-r50-256x192", "gt"): 72.4})
    made = released_records(paper, {("sb-r50-256x192", "gt"): wrong}, "colour")
    assert [dict(r.variant)["colour"] for r in made] == ["RGB"]
    assert pose_weights.describe("sb-r50-256x192").model == "pose_resnet50"
    assert build(paper, "paper", right + made)[COLOUR].verdict == verdict


def test_what_is_scored_is_what_the_readme_tabulates(paper):
    experiment = paper.replication.experiments["released"]
    data = ("coco-val2017", coco.fingerprint(coco.ANNOTATIONS["val2017"]))
    specs = plan_runs("simplebaseline", experiment, "paper", data=data, device="cpu")
    assert len({spec.fingerprint for spec in specs}) == len(specs) == 12
    for spec in specs:
        known = pose_weights.describe(str(spec.variant["weights"]))
        assert known.model.startswith("pose_resnet")
        assert experiment.cost(spec.variant, spec.recipe) > 0


def test_costs_of_scoring_are_the_counted_ones(paper, counted):
    """The table of multiply-adds that the estimate of time rests on is what counting gives."""
    experiment = paper.replication.experiments["released"]
    gmacs = {
        (r.variant["model"], r.variant["input"]): r.metrics["gmacs"]
        for r in counted
        if (r.variant.get("deconv_layers"), r.variant.get("deconv_kernel")) == (3, 4)
    }
    variants = [v for v in experiment.plans["paper"].variants if v["boxes"] == "gt"]
    for variant in variants:
        known = pose_weights.describe(str(variant["weights"]))
        size = f"{known.size[1]}x{known.size[0]}"
        work = experiment.cost(variant, {}) / (2e-3 * 6352)
        assert work == pytest.approx(gmacs[known.model, size], abs=5e-4)


def test_the_prints_that_a_recipe_holds_are_the_claims(paper):
    beside = paper.replication.experiments["released"].plans["paper"].recipe.beside
    for weights, prints in beside.items():
        size = weights.removeprefix("sb-r50-")
        for method, value in prints.items():
            claim = paper.claims[f"table2.{method.replace('_', '-')}.{size}.ap"]
            assert printed.parse(claim.reported).value == value
