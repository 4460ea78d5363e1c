"""What holds for the claims of every paper of this checkout."""

import csv
import json
import shutil
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

from replab.claims.attempts import cheapest_profile
from replab.claims.claim import needs
from replab.claims.ledger import build
from replab.claims.schema import load
from replab.errors import UserError
from replab.runs.experiment import PROFILES

ROOT = Path(__file__).resolve().parents[2]
# Of each paper: claims in the facts, how many of them are decided here, and how many of the others
# say that nobody attempts them.
COUNTS = {
    "cpm": (87, 64, 15),
    "hrnet": (463, 233, 78),
    "resnet": (184, 133, 7),
    "simplebaseline": (309, 200, 62),
}
# Claims beside the facts: differences of printed rows, which the facts leave to arithmetic, and a
# comparison of colour orders.
BESIDE_THE_FACTS = {"simplebaseline": ("effects.*", "gtbox.colour.r50")}
# Scaled claims on an order whose gaps the paper's own noise hides: reported, not decided.
ON_UNDECIDED = {"table1.order.kernel"}


@pytest.fixture(scope="module", params=COUNTS)
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
    assert (len(facts), sum(row["gate"] == "yes" for row in facts)) == COUNTS[paper.name][:2]
    own = {claim.id for claim in paper.claims.values() if claim.supports is None}
    stated = {row["id"] for row in facts}
    assert stated <= own
    beside = BESIDE_THE_FACTS.get(paper.name, ())
    assert all(any(fnmatchcase(claim, glob) for glob in beside) for claim in own - stated)
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
    made = build(paper, profile, [])
    assert len(made.select(scaled=False)) >= COUNTS[paper.name][1]
    for entry in made.select():
        assert entry.verdict == "not attempted"
        cheapest = cheapest_profile(paper, paper.claims[entry.id])
        assert bool(entry.command) == (cheapest is not None)
        if entry.why.startswith("needs "):
            assert len(entry.why) > 15
        else:
            # What needs nothing has simply not been run yet: some of CPM's.
            assert paper.name == "cpm", entry.id


def test_what_nobody_here_decides_says_so(paper):
    own = [c for c in paper.claims.values() if not c.gate and "not attempted" in c.note]
    assert len(own) == COUNTS[paper.name][2]
    for claim in own:
        assert needs(claim.id, paper.needs), claim.id


def test_scaled_claims_support_claims_of_the_paper(paper):
    scaled = [c for c in paper.claims.values() if c.supports]
    for claim in scaled:
        assert paper.claims[claim.supports].gate or claim.supports in ON_UNDECIDED
        assert paper.claims[claim.supports].supports is None
        assert claim.profile is not None
        assert claim.id.startswith(f"{claim.profile}.")
    assert any(claim.powered for claim in scaled)


# One selector of each kind of experiment, and one letter wrong in each of its parts.
MISSPELT = {
    "cuonts[model=cifar_resnet20,shortcut=A].params": "no experiment 'cuonts' in",
    "counts[modle=cifar_resnet20,shortcut=A].params": "no variant of counts has 'modle'; did",
    "counts[model=cifar_resent20,shortcut=A].params": "has model=cifar_resent20; did you mean",
    "counts[model=cifar_resnet20,shortcut=C].params": "no variant of counts has shortcut=C",
    "counts[model=cifar_resnet20,shortcut=A].parms": "has no metric 'parms'; did you mean params?",
    "counts[model=cifar_resnet20].params": "must fit one variant of counts, it fits 2",
    "released[weights=cifar_resnet21].test_error": "has weights=cifar_resnet21; did you mean",
    "released[weights=cifar_resnet20].test_eror": "has no metric 'test_eror'; did you mean",
    "cifar[net=plan,depth=20].test_error": "no variant of cifar has net=plan; did you mean plain?",
    "cifar[net=plain,depth=21].test_error": "no variant of cifar has depth=21",
    "cifar[net=plain;depth=20].test_error": "has net=plain;depth=20",
    "imagenet[net=resnet34-a].top1_10corp": "has no metric 'top1_10corp'; did you mean",
    "counts[model=vgg16,model=vgg16].params": "model stands twice",
    "counts.params": "'counts.params' is no selector",
    "counts[model].params": "'model' is not key=value",
}


@pytest.mark.parametrize("selector", MISSPELT)
def test_a_misspelt_selector_is_refused_by_name(selector, tmp_path, monkeypatch):
    """In the row of a claim of the real paper; the line names file, row and part."""
    for folder in ("replications/resnet", "notebooks"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    path = tmp_path / "replications/resnet/claims.csv"
    right = '"counts[model=cifar_resnet20,shortcut=A].params",Tprint'
    text = path.read_text()
    assert text.count(right) == 1
    path.write_text(text.replace(right, f'"{selector}",Tprint'))
    monkeypatch.setenv("REPLAB_ROOT", str(tmp_path))
    with pytest.raises(UserError) as error:
        load("resnet")
    assert str(error.value).startswith("replications/resnet/claims.csv:2: ")
    assert MISSPELT[selector] in str(error.value)
    assert "\n" not in str(error.value)


def test_declared_metrics_are_those_that_runs_give(paper):
    """Of each experiment that has committed records: a claim may select what some run gives."""
    given = {}
    for path in (ROOT / "results" / paper.name / "runs").glob("*.json"):
        record = json.loads(path.read_text())
        given.setdefault(record["experiment"], set()).update(record["metrics"])
    assert given
    for name, experiment in paper.replication.experiments.items():
        assert set(experiment.metrics) <= given.get(name, set(experiment.metrics)), name
