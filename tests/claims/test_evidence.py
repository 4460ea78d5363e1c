"""Which records a ledger rests on, and clear errors where they are missing or broken."""

import json

import pytest

from replab.claims import evidence
from replab.claims.acceptance import accept
from replab.claims.ledger import build
from replab.errors import UserError
from replab.files import write_json


def ids(found):
    return {record.id for record in found}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"device": "cpu"}, {"device": "cuda"}),
        ({"data": ("cifar10", "a")}, {"data": ("generated-shapes", "b")}),
        ({"data": ("cifar10", "a")}, {"data": ("cifar10", "b")}),
    ],
)
def test_cohorts_never_mix(demo, one, other):
    first, second = demo.trained(**one), demo.trained(**other)
    groups = evidence.cohorts([*first, *second])
    assert sorted(map(len, groups.values())) == [12, 12]
    for group in groups.values():
        assert ids(group) in (ids(first), ids(second))


def test_the_fingerprint_of_weights_is_no_other_data(demo):
    w1, w2 = demo.released(data=("cifar10", "c1fa+11")), demo.released(data=("cifar10", "c1fa+22"))
    assert len(evidence.cohorts([w1[0], w2[1]])) == 1


def test_the_preferred_data_win_over_more_records(demo):
    few = demo.trained(seeds=(0,))
    many = demo.trained(data=("generated-shapes", "9e2e"))
    assert ids(evidence.current(demo.load(), "quick", [*many, *few])) == ids(few)


def test_the_larger_cohort_wins_and_ties_do_not_hang_on_order(demo):
    paper = demo.load()
    cpu, cuda = demo.trained(), demo.trained(device="cuda")
    assert ids(evidence.current(paper, "quick", [*cpu[:4], *cuda])) == ids(cuda)
    assert ids(evidence.current(paper, "quick", [*cpu, *cuda])) == ids(cpu)
    assert ids(evidence.current(paper, "quick", [*cuda, *cpu])) == ids(cpu)


def test_each_experiment_has_its_own_cohort(demo):
    found = [*demo.counts(), *demo.trained(device="cuda"), *demo.trained(seeds=(0,))]
    chosen = evidence.current(demo.load(), "quick", found)
    assert {r.device for r in chosen if r.experiment == "train"} == {"cuda"}
    assert {r.device for r in chosen if r.experiment == "counts"} == {"cpu"}


def test_this_machines_records_come_before_committed_ones(demo):
    paper = demo.load()
    demo.keep([*demo.counts(), *demo.trained()])
    accept(paper, "quick", demo.store)
    own = type(demo.store)(demo.root / "other-store")
    rerun = demo.trained(0.25, seeds=(0,))
    for record in rerun:
        own.put(record)
    found = {r.id: r for r in evidence.gather(paper, "quick", own)}
    # The rerun seed is this machine's, the other seeds and experiments are the committed ones.
    assert all(found[r.id] == r for r in rerun)
    assert ids(found.values()) == ids([*demo.counts(), *demo.trained()])
    assert evidence.gather(paper, "paper", own) == []


def test_records_of_another_device_do_not_join_committed_ones(demo):
    paper = demo.load()
    demo.keep([*demo.counts(), *demo.trained()])
    accept(paper, "quick", demo.store)
    own = type(demo.store)(demo.root / "other-store")
    mine = demo.trained(device="cuda", seeds=(0,))
    for record in mine:
        own.put(record)
    found = evidence.gather(paper, "quick", own)
    assert ids(r for r in found if r.experiment == "train") == ids(mine)
    assert ids(r for r in found if r.experiment == "counts") == ids(demo.counts())


def test_the_machines_ledger_names_its_records(demo):
    paper, found = demo.load(), demo.trained()
    with pytest.raises(UserError, match="run `nox -s replicate -- demo --profile quick` first"):
        evidence.machine(paper, "quick", demo.store)
    demo.keep(found)
    path = evidence.save_machine_ledger(build(paper, "quick", found[:6]), demo.store)
    assert path == evidence.machine_path("demo", "quick", demo.store)
    assert ids(evidence.machine(paper, "quick", demo.store)) == ids(found[:6])
    demo.store.path("demo", found[0].id).unlink()
    with pytest.raises(UserError, match=f"record {found[0].id} of the ledger is missing"):
        evidence.machine(paper, "quick", demo.store)


@pytest.mark.parametrize(
    ("content", "part"),
    [
        ("", "is not valid JSON"),
        ("{", "is not valid JSON"),
        ("[]", "is no ledger"),
        ('{"format": 1, "claims": []}', "is no ledger"),
        ('{"format": 1, "claims": [], "runs": []}', "has no table of runs"),
        ('{"format": 1, "claims": [], "runs": {"a": 1}}', "has no table of runs"),
        ('{"format": 1, "claims": {}, "runs": {}}', "has no list of claims"),
        ('{"format": 1, "claims": [{"id": "a"}], "runs": {}}', "has no list of claims"),
        ('{"format": 1, "claims": ["a"], "runs": {}}', "has no list of claims"),
    ],
)
def test_a_broken_ledger_ends_in_one_line(demo, content, part):
    path = evidence.accepted_path("demo", "quick")
    path.parent.mkdir(parents=True)
    path.write_text(content, encoding="utf-8")
    with pytest.raises(UserError) as caught:
        evidence.committed(demo.load(), "quick")
    message = str(caught.value)
    assert part in message
    assert str(path) in message
    assert message.endswith("or restore it from git")
    assert "\n" not in message


def test_a_missing_ledger_says_how_to_make_one(demo):
    with pytest.raises(UserError, match=r"cannot read .*accepted\.json: No such file") as caught:
        evidence.committed(demo.load(), "quick")
    assert "run `python -m replab accept demo --profile quick`" in str(caught.value)


def test_a_record_under_anothers_name_is_refused(demo):
    paper = demo.load()
    demo.keep(demo.counts())
    accept(paper, "quick", demo.store)
    first, second, _ = sorted(evidence.runs_dir("demo").glob("*.json"))
    first.write_bytes(second.read_bytes())
    with pytest.raises(UserError, match=f"holds another record, {second.stem}"):
        evidence.committed(paper, "quick")


def test_a_broken_record_is_named(demo):
    paper = demo.load()
    demo.keep(demo.counts())
    accept(paper, "quick", demo.store)
    path = min(evidence.runs_dir("demo").glob("*.json"))
    content = json.loads(path.read_text(encoding="utf-8"))
    write_json(path, content | {"seed": 7})
    with pytest.raises(UserError, match=path.stem) as caught:
        evidence.committed(paper, "quick")
    assert "\n" not in str(caught.value)
    path.write_text("{", encoding="utf-8")
    with pytest.raises(UserError, match=r"is not valid JSON"):
        evidence.gather(paper, "quick", demo.store)
