"""What is committed holds together: ledgers, records, tables, notebooks."""

import json
from pathlib import Path

import pytest

from replab.claims import acceptance, evidence
from replab.claims.accepted import accepted_profiles, load_accepted, load_all
from replab.claims.ledger import build
from replab.claims.schema import load
from replab.claims.verdicts import INCONCLUSIVE
from replab.report import docs_pages, tables
from replab.runs.experiment import papers

ROOT = Path(__file__).resolve().parents[1]
ACCEPTED = [(p, profile) for p in papers() for profile in accepted_profiles(p)]


def test_something_was_accepted():
    assert ("resnet", "quick") in ACCEPTED


@pytest.mark.parametrize(("name", "profile"), ACCEPTED)
def test_ledger_follows_from_the_records(name, profile):
    assert acceptance.check(load_accepted(load(name)), profile) == []


@pytest.mark.parametrize(("name", "profile"), ACCEPTED)
def test_records_say_where_they_come_from(name, profile):
    for record in evidence.committed(load(name), profile)[1]:
        assert record.provenance["commit"] != "unknown"
        assert record.provenance["dirty"] is False, f"{record.id} was made from changed files"


@pytest.mark.parametrize(("name", "profile"), ACCEPTED)
def test_fewer_than_three_seeds_decide_nothing(name, profile):
    paper = load(name)
    records = {record.id: record for record in evidence.committed(paper, profile)[1]}
    ledger = build(paper, profile, list(records.values()))
    for entry in ledger.select(attempted=True):
        seeds: dict[str, set[int]] = {}
        for record in (records[run] for run in entry.runs):
            if not paper.replication.experiments[record.experiment].deterministic:
                seeds.setdefault(str(record.variant), set()).add(record.seed)
        if any(len(found) < 3 for found in seeds.values()):
            assert entry.verdict == INCONCLUSIVE, entry.id


def test_pages_and_badges_are_generated_from_the_papers_files_and_records():
    assert docs_pages.problem(load_all()) == ""


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
