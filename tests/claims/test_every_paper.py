"""What holds for the claims of every paper of this checkout."""

import csv
from pathlib import Path

import pytest

from replab.claims.claim import needs
from replab.claims.ledger import build, cheapest_profile
from replab.runs.experiment import PROFILES

ROOT = Path(__file__).resolve().parents[2]
# Paper claims of each, those beside the facts' among them: differences of printed rows, which the
# facts leave to arithmetic, and a comparison of colour orders.
BESIDE_THE_FACTS = {
    "simplebaseline": {
        "effects.384x288",
        "effects.256x192",
        "effects.layers",
        "effects.r101",
        "effects.r152",
        "effects.kernel-2",
        "effects.kernel-3",
        "effects.size-over-layers",
        "effects.layers-over-depth",
        "effects.depth-over-kernel",
        "gtbox.colour.r50",
    },
}


@pytest.fixture(scope="module", params=["cpm", "hrnet", "resnet", "simplebaseline"])
def paper(request, load_paper):
    return load_paper(request.param)


@pytest.fixture
def facts(shared, paper):
    with (shared / "facts" / "claims.csv").open(encoding="utf-8", newline="") as stream:
        return [r for r in csv.DictReader(stream) if r["paper"] == paper.name]


def expected_class(paper, row):
    """The tolerance class of a fact, where ours are finer than the facts'."""
    own = row["tolerance_class"]
    if paper == "resnet" and own == "Teval" and row["id"].startswith(("table2.", "table3.")):
        # The facts think of released weights; here these nets are trained, over seeds.
        return "Ttrain-imagenet"
    if own == "Teval" and row["unit"] == "ratio":
        return "Teval-ratio"
    if paper == "hrnet" and own == "Tgflops":
        if row["metric"] == "gflops_ratio":
            return "Tgflops-quotient"
        return "Tgflops-sb" if ".sb-r" in row["id"] else "Tgflops"
    if paper == "hrnet" and own == "Ttrain-pose" and row["id"].startswith("fig5."):
        return "Ttrain-pose-pretrained"
    return own


def test_every_claim_of_the_facts_is_stated(paper, facts):
    own = {claim.id for claim in paper.claims.values() if claim.supports is None}
    asked = {row["id"] for row in facts} | BESIDE_THE_FACTS.get(paper.name, set())
    # ResNet's counts of its own beside the print are claims that the facts do not list.
    assert asked <= own if paper.name == "resnet" else own == asked
    for row in facts:
        claim = paper.claims[row["id"]]
        stated = (claim.kind, claim.metric, claim.reported, claim.unit, claim.source)
        wanted = ("kind", "metric", "reported", "unit", "source")
        assert stated == tuple(row[field] for field in wanted), row["id"]
        assert (claim.locus, claim.protocol) == (row["locus"], row["protocol"]), row["id"]
        assert claim.gate == (row["gate"] == "yes"), row["id"]
        if claim.gate:
            assert claim.tolerance == expected_class(paper.name, row), row["id"]


@pytest.mark.parametrize("profile", PROFILES)
def test_every_claim_can_be_computed_or_says_what_it_needs(paper, profile):
    experiments = paper.replication.experiments
    entries = build(paper, profile, []).select()
    assert entries
    for entry in entries:
        assert entry.verdict == "not attempted"
        cheapest = cheapest_profile(paper, paper.claims[entry.id])
        assert bool(entry.command) == (cheapest is not None)
        # What needs nothing has simply not been run yet.
        free = cheapest is not None and not any(
            experiment.needs.get(cheapest) for experiment in experiments.values()
        )
        assert free or (entry.why.startswith("needs ") and len(entry.why) > 15), entry.id


def test_what_nobody_here_decides_says_so(paper):
    for claim in paper.claims.values():
        if not claim.gate and "not attempted" in claim.note:
            assert needs(claim.id, paper.needs), claim.id


def test_scaled_claims_support_claims_of_the_paper(paper):
    scaled = [c for c in paper.claims.values() if c.supports]
    for claim in scaled:
        assert paper.claims[claim.supports].supports is None
        assert claim.profile is not None
        assert claim.id.startswith(f"{claim.profile}.")
    assert any(claim.powered for claim in scaled)
