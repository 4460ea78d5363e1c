"""What is committed holds together: ledgers, records, tables, notebooks."""

import json
from pathlib import Path

import pytest

from replab.claims import acceptance, evidence
from replab.claims.ledger import build
from replab.claims.schema import load
from replab.report import tables
from replab.runs.experiment import papers

ROOT = Path(__file__).resolve().parents[1]
ACCEPTED = [(p, profile) for p in papers() for profile in acceptance.accepted_profiles(p)]


def test_something_was_accepted():
    assert ("resnet", "quick") in ACCEPTED


@pytest.mark.parametrize(("name", "profile"), ACCEPTED)
def test_ledger_follows_from_the_records(name, profile):
    assert acceptance.check(load(name), profile) == []


@pytest.mark.parametrize(("name", "profile"), ACCEPTED)
def test_records_say_where_they_come_from(name, profile):
    paper = load(name)
    for record in evidence.committed(paper, profile)[1]:
        experiment = paper.replication.experiments[record.experiment]
        assert record.provenance["commit"] != "unknown"
        assert record.provenance["dirty"] is False, f"{record.id} was made from changed files"
        if not experiment.deterministic:
            assert len({r.seed for r in evidence.committed(paper, profile)[1]}) >= 3


def test_results_readme_is_generated_from_the_ledgers():
    assert tables.readme_problem() == ""


@pytest.mark.parametrize(("name", "profile"), ACCEPTED)
def test_rendered_notebook_holds_the_same_tables(name, profile):
    paper = load(name)
    ledger = build(paper, profile, evidence.committed(paper, profile)[1])
    notebook = json.loads((ROOT / f"results/{name}/{profile}/{name}.ipynb").read_text())
    shown = [
        "".join(output["data"]["text/markdown"])
        for cell in notebook["cells"]
        for output in cell.get("outputs", [])
        if "text/markdown" in output.get("data", {})
    ]
    assert tables.board(ledger.select(scaled=False)) in shown
    assert tables.not_attempted(ledger.select(scaled=False)) in shown
    rows = {line for table in shown for line in table.splitlines()}
    for entry in ledger.select(scaled=True, attempted=True):
        assert tables.claims_table([entry]).splitlines()[-1] in rows
    readme = (ROOT / "results/README.md").read_text()
    for entry in ledger.select(attempted=True):
        assert tables.claims_table([entry]).splitlines()[-1] in readme
