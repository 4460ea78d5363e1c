"""The claims of the ResNet paper that are really there."""

import csv
from pathlib import Path

import pytest

from replab.claims import schema
from replab.claims.ledger import build, cheapest_profile
from replab.runs.experiment import PROFILES

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def paper(monkeypatch):
    monkeypatch.setenv("REPLAB_ROOT", str(ROOT))
    return schema.load("resnet")


def test_every_claim_of_the_facts_is_stated(paper, shared):
    with (shared / "facts" / "claims.csv").open(encoding="utf-8", newline="") as stream:
        facts = [
            r for r in csv.DictReader(stream) if r["paper"] == "resnet" and r["gate"] == "yes"
        ]
    assert len(facts) > 100
    for row in facts:
        claim = paper.claims[row["id"]]
        assert claim.gate, row["id"]
        stated = (claim.kind, claim.reported, claim.unit, claim.source)
        wanted = ("kind", "reported", "unit", "source")
        assert stated == tuple(row[field] for field in wanted), row["id"]
        tolerance = row["tolerance_class"]
        # The facts think of released weights; here these nets are trained, over seeds.
        if tolerance == "Teval" and row["id"].startswith(("table2.", "table3.")):
            tolerance = "Ttrain-imagenet"
        assert claim.tolerance == tolerance, row["id"]


def test_every_claim_can_be_computed_or_says_what_it_needs(paper):
    for profile in PROFILES:
        made = build(paper, profile, [])
        assert len(made.select()) > 100
        for entry in made.select():
            assert entry.verdict == "not attempted"
            assert entry.why.startswith("needs ")
            assert len(entry.why) > 15
            assert bool(entry.command) == (
                cheapest_profile(paper, paper.claims[entry.id]) is not None
            )


def test_scaled_claims_support_claims_of_the_paper(paper):
    scaled = [c for c in paper.claims.values() if c.supports]
    assert scaled
    for claim in scaled:
        assert paper.claims[claim.supports].gate
        assert paper.claims[claim.supports].supports is None
        assert claim.profile is not None
        assert claim.id.startswith(f"{claim.profile}.")
    assert any(claim.powered for claim in scaled)


def test_counts_that_the_suite_makes_itself_are_reproduced(paper):
    """The shallow networks of the quick profile, counted here: no claim on a count may fail."""
    from replab.runs import record as records
    from replab.runs.experiment import RunContext
    from replab.runs.identity import plan_runs

    experiment = paper.replication.experiments["counts"]
    made = []
    for spec in plan_runs("resnet", experiment, "quick", data=("", ""), device="cpu"):
        if not str(spec.variant["model"]).endswith(("net20", "plain20", "net18", "net34")):
            continue  # to build the deeper nets takes longer than all the other tests here
        context = RunContext(
            variant=spec.variant,
            seed=spec.seed,
            recipe=spec.recipe,
            data="",
            device="cpu",
            precision="fp32",
            threads=1,
            workspace=Path(),
            progress=lambda share, text: None,
        )
        result = experiment.function(context)
        made.append(records.make(spec, result, threads=1, provenance={}))
    found = build(paper, "quick", made).select(attempted=True)
    assert len(found) >= 12
    assert {e.id: e.why for e in found if e.verdict != "reproduced"} == {}
