import pytest

from replab.claims.verdicts import INCONCLUSIVE, NOT_ATTEMPTED, NOT_REPRODUCED, REPRODUCED
from replab.errors import UserError
from replab.site.statements import CONTEXT, OWN, SCALED, by_seed, gather


def find(demo, claim):
    return next(s for s in demo.statements if s.id == claim)


def test_each_claim_stands_once_with_its_verdict(demo):
    assert {s.id: (s.stands, s.telling.verdict) for s in demo.statements} == {
        "table1.a.params": (OWN, REPRODUCED),
        "table1.b.params": (OWN, NOT_REPRODUCED),
        "table2.rival.ap": (CONTEXT, NOT_ATTEMPTED),
        "table2.server.ap": (OWN, NOT_ATTEMPTED),
        "fig3.order": (OWN, NOT_ATTEMPTED),
        "quick.order": (SCALED, REPRODUCED),
        "quick.close": (SCALED, INCONCLUSIVE),
    }


def test_counts_keep_the_papers_claims_and_ours_apart(demo):
    own = {REPRODUCED: 1, NOT_REPRODUCED: 1, INCONCLUSIVE: 0, NOT_ATTEMPTED: 2}
    scaled = {REPRODUCED: 1, NOT_REPRODUCED: 0, INCONCLUSIVE: 1, NOT_ATTEMPTED: 0}
    assert demo.counts(OWN) == own
    assert demo.counts(SCALED) == scaled


def test_deviations_reach_the_claims_that_they_touch(demo):
    assert [d.stated.id for d in find(demo, "table1.a.params").deviations] == ["padding"]
    assert find(demo, "quick.order").deviations == ()


def test_numbers_by_seed_name_the_run_that_gave_them(demo):
    rows = by_seed(demo, find(demo, "quick.order"), "quick")
    assert [row.selector for row in rows] == ["train[net=a].loss", "train[net=b].loss"]
    assert [rows[0].values[seed][0] for seed in range(3)] == [1.0, 1.1, 1.2]
    for row in rows:
        for seed, (number, run) in row.values.items():
            assert demo.records[run].seed == seed
            assert demo.records[run].metrics["loss"] == number


def test_a_claim_knows_the_runs_and_a_run_its_claims(demo):
    (run,) = find(demo, "table1.b.params").telling.runs
    assert [s.id for s in demo.resting_on(run)] == ["table1.b.params"]


def test_a_ledger_of_another_time_is_refused_in_one_line(demo, checkout):
    path = checkout / "results/demo/quick/accepted.json"
    before = path.read_text()
    try:
        path.write_text(before.replace("table1.a.params", "table1.gone.params"))
        with pytest.raises(UserError, match=r"table1\.gone\.params, which .* do not state; run"):
            gather("demo")
        path.write_text(before.replace('"powered": false', '"power": false'))
        with pytest.raises(UserError, match="has other fields than this replab writes"):
            gather("demo")
    finally:
        path.write_text(before)


def test_every_claim_of_the_committed_papers_has_a_line(committed):
    assert {s.id for s in committed.statements} == set(committed.paper.claims)
    assert all(s.entries for s in committed.statements)
    runs = {run for s in committed.statements for e in s.entries.values() for run in e.runs}
    assert runs
    assert runs <= set(committed.records)
