"""Accepting, and checking: whatever is changed behind the accepted ledger's back is reported."""

import json

import pytest

from replab.claims import acceptance, evidence
from replab.claims.acceptance import accept, other_seeds
from replab.claims.accepted import accepted_profiles, load_accepted
from replab.errors import UserError
from replab.files import write_json
from replab.runs import record as records


@pytest.fixture
def accepted(demo):
    """The made-up paper with an accepted quick ledger."""
    demo.keep(demo.quick())
    accept(demo.load(), "quick", demo.store)
    assert check(demo.load(), "quick") == []
    return demo


def check(paper, profile):
    return acceptance.check(load_accepted(paper), profile)


def committed(demo):
    paper = demo.load()
    return paper, evidence.committed(paper, "quick")[1]


def problems(demo, profile="quick"):
    """What `check` reports: its lines, or the line of the error it ends in."""
    try:
        found = check(demo.load(), profile)
    except UserError as error:
        found = [str(error)]
    assert all("\n" not in line for line in found)
    return found


def committed_file(demo, experiment, **variant):
    for path in sorted(evidence.runs_dir("demo").glob("*.json")):
        record = records.read(path)
        if record.experiment == experiment and variant.items() <= dict(record.variant).items():
            return path
    raise AssertionError(experiment)


def change_json(path, change):
    content = json.loads(path.read_text(encoding="utf-8"))
    change(content)
    write_json(path, content)


def entry(content, claim):
    return next(c for c in content["claims"] if c["id"] == claim)


def test_accepting_commits_ledger_and_records(demo):
    demo.keep(demo.quick())
    accepted = accept(demo.load(), "quick", demo.store)
    made = accepted.ledger
    assert (accepted.changed, accepted.left_out) == ([], [])
    content, found = evidence.committed(demo.load(), "quick")
    assert content == made.as_dict()
    assert {r.id for r in found} == {r.id for r in demo.quick()} == set(made.runs)
    assert made["quick.degrades"].verdict == "reproduced"
    assert accepted_profiles("demo") == ["quick"]
    assert check(demo.load(), "quick") == []
    # Once more, nothing changes.
    before = {p: p.read_bytes() for p in evidence.results_dir("demo").rglob("*.json")}
    accept(demo.load(), "quick", demo.store)
    assert {p: p.read_bytes() for p in evidence.results_dir("demo").rglob("*.json")} == before


def test_an_incomplete_ledger_is_accepted_as_it_is(demo):
    demo.keep(demo.counts())
    made = accept(demo.load(), "quick", demo.store).ledger
    assert made.counts(scaled=True)["not attempted"] == 2
    assert check(demo.load(), "quick") == []


def change_metric(demo):
    path = committed_file(demo, "train", net="plain", depth=56)
    change_json(path, lambda c: c["metrics"].update(train_loss=c["metrics"]["train_loss"] - 0.001))
    return [path.stem, "quick.degrades", "quick.unpowered"]


def change_series(demo):
    path = committed_file(demo, "train")
    change_json(path, lambda c: c["series"]["train_loss"]["y"].__setitem__(1, 2.0001))
    return [path.stem, "was changed after it was accepted"]


def change_provenance(demo):
    path = committed_file(demo, "counts")
    change_json(path, lambda c: c["provenance"].update(commit="1" * 40))
    return [path.stem, "was changed after it was accepted"]


def delete_record(demo):
    path = committed_file(demo, "released")
    path.unlink()
    return [path.stem, "is missing"]


def add_record(demo):
    extra = demo.trained(seeds=(7,))[0]
    write_json(evidence.runs_dir("demo") / f"{extra.id}.json", extra.as_dict())
    return [extra.id, "belongs to no accepted ledger"]


def change_reported(demo):
    demo.edit("claims.csv", "test_error,7.37,", "test_error,7.38,")
    return ["released.w2.error: reported", '"7.37"', '"7.38"']


def change_reported_so_that_the_verdict_flips(demo):
    demo.edit("claims.csv", "params,0.27M,params", "params,0.28M,params")
    return ["table1.a.params: reported", "table1.a.params: verdict"]


def change_margin(demo):
    demo.edit("paper.yaml", "margin: 0.1,", "margin: 0.2,")
    return ["released.w2.error: tolerance", "released.w2.error: why"]


def change_reason(demo):
    demo.edit("paper.yaml", "why: Decoders and kernels differ.", "why: Decoders may differ.")
    return ["released.w2.error: tolerance"]


def change_ordering(demo):
    demo.edit("paper.yaml", "      ascending: [20, 56]", "      ascending: [56, 20]")
    return ["quick.degrades: verdict"]


def change_gate(demo):
    demo.edit("claims.csv", "test_error,Tprint,yes,", "test_error,Tprint,no,")
    return ["released.w1.error: gate", "released.w1.error: verdict"]


def change_selector(demo):
    demo.edit("claims.csv", "P,,counts[net=a].params", "P,,counts[net=b].params")
    return ["table1.a.params: measured"]


def drop_row(demo):
    row = demo.path("claims.csv").read_text(encoding="utf-8").splitlines()[5]
    assert row.startswith("released.w1.error")
    demo.edit("claims.csv", row + "\n", "")
    return ["released.w1.error is no longer stated"]


def accepted_file(demo, change):
    change_json(evidence.accepted_path("demo", "quick"), change)


def edit_verdict(demo):
    accepted_file(demo, lambda c: entry(c, "quick.degrades").update(verdict="inconclusive"))
    return ['quick.degrades: verdict is accepted as "inconclusive"']


def edit_interval(demo):
    def change(content):
        interval = entry(content, "quick.degrades")["interval"]
        interval[0] = float(f"{interval[0]:.12f}") + 1e-9

    accepted_file(demo, change)
    return ["quick.degrades: interval"]


def edit_why(demo):
    accepted_file(demo, lambda c: entry(c, "quick.degrades").update(why="because"))
    return ["quick.degrades: why"]


def edit_digest(demo):
    path = committed_file(demo, "counts")
    accepted_file(demo, lambda c: c["runs"].update({path.stem: "0" * 64}))
    return [path.stem, "runs of the accepted ledger"]


def add_field(demo):
    accepted_file(demo, lambda c: entry(c, "quick.degrades").update(note="trust me"))
    return ["quick.degrades: note"]


def drop_claim(demo):
    accepted_file(demo, lambda c: c["claims"].remove(entry(c, "quick.degrades")))
    return ["quick.degrades is not in the accepted ledger"]


def double_claim(demo):
    accepted_file(demo, lambda c: c["claims"].append(entry(c, "quick.degrades")))
    return ["lists its claims otherwise"]


def reorder_claims(demo):
    accepted_file(demo, lambda c: c["claims"].reverse())
    return ["lists its claims otherwise"]


def invent_claim(demo):
    def change(content):
        content["claims"].append(entry(content, "quick.degrades") | {"id": "quick.more"})

    accepted_file(demo, change)
    return ["quick.more is no longer stated"]


def drop_run(demo):
    path = committed_file(demo, "train", net="plain")
    accepted_file(demo, lambda c: c["runs"].pop(path.stem))
    return [path.stem, "belongs to no accepted ledger", "quick.degrades"]


def change_profile(demo):
    accepted_file(demo, lambda c: c.update(profile="paper"))
    return ["profile of the accepted ledger"]


def bump_version(demo):
    old = 'name="train",\n        version=1'
    demo.edit("experiments.py", old, old.replace("version=1", "version=2"))
    run = committed_file(demo, "train").stem
    return [run, "made by version 1 of train, which is now version 2", "quick.degrades: verdict"]


def change_recipe(demo):
    demo.edit("experiments.py", "iterations: int = 10", "iterations: int = 20")
    run = committed_file(demo, "train").stem
    return [run, "made with another recipe (iterations); bump the version of train"]


def remove_variant(demo):
    demo.edit("experiments.py", '{"net": n} for n in "abc"', '{"net": n} for n in "abd"')
    demo.edit("paper.yaml", "terms: [a, b, c]", "terms: [a, b, d]")
    return ["counts has no such variant in profile quick any more", "column.params"]


MUTATIONS = [
    change_metric,
    change_series,
    change_provenance,
    delete_record,
    add_record,
    change_reported,
    change_reported_so_that_the_verdict_flips,
    change_margin,
    change_reason,
    change_ordering,
    change_gate,
    change_selector,
    drop_row,
    edit_verdict,
    edit_interval,
    edit_why,
    edit_digest,
    add_field,
    drop_claim,
    double_claim,
    reorder_claims,
    invent_claim,
    drop_run,
    change_profile,
    bump_version,
    change_recipe,
    remove_variant,
]


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.__name__)
def test_a_mutation_turns_check_red_and_is_named(accepted, mutation):
    expected = mutation(accepted)
    found = problems(accepted)
    assert found
    for part in expected:
        assert any(part in line for line in found), (part, found)


def test_only_the_changed_claims_are_named(accepted):
    change_reported(accepted)
    assert {line.split(":")[0] for line in problems(accepted)} == {"released.w2.error"}


def test_what_changes_nothing_that_counts_leaves_check_green(accepted):
    path = accepted.path("paper.yaml")
    path.write_text("# a comment\n" + path.read_text(encoding="utf-8"), encoding="utf-8")
    assert problems(accepted) == []


def test_nothing_to_accept(demo):
    with pytest.raises(UserError, match="nothing to accept: no records of demo, profile quick"):
        accept(demo.load(), "quick", demo.store)
    demo.keep(demo.quick())
    with pytest.raises(UserError, match="--profile paper` first"):
        accept(demo.load(), "paper", demo.store)
    assert not evidence.results_dir("demo").exists()


def test_data_that_stand_in_are_not_accepted(demo):
    demo.keep([*demo.counts(), *demo.trained(data=("generated-shapes", "9e2e"))])
    with pytest.raises(UserError) as caught:
        accept(demo.load(), "quick", demo.store)
    assert str(caught.value) == (
        "train was run on generated-shapes instead of cifar10; run `python -m replab fetch "
        "cifar10` and replicate again"
    )
    assert not evidence.results_dir("demo").exists()


def test_another_recipe_is_not_accepted(demo):
    demo.keep(demo.trained())
    change_recipe_only = ("iterations: int = 10", "iterations: int = 20")
    demo.edit("experiments.py", *change_recipe_only)
    with pytest.raises(UserError, match=r"made with another recipe \(iterations\); bump"):
        accept(demo.load(), "quick", demo.store)
    assert not evidence.results_dir("demo").exists()


def test_changed_verdicts_are_told(accepted):
    accepted.edit("claims.csv", "params,0.27M,params", "params,0.28M,params")
    changed = accept(accepted.load(), "quick", accepted.store).changed
    assert changed == ["table1.a.params: reproduced → not reproduced"]
    assert problems(accepted) == []
    accepted.edit("claims.csv", "table1.a.params", "table1.c.params")
    changed = accept(accepted.load(), "quick", accepted.store).changed
    assert changed == ["table1.a.params: not reproduced → gone"]


def test_seeds_that_no_plan_asks_for_are_told(accepted):
    assert other_seeds(*committed(accepted)) == {}
    accepted.keep(accepted.trained(seeds=(0, 11, 10)))
    accept(accepted.load(), "quick", accepted.store)
    assert other_seeds(*committed(accepted)) == {"train": [10, 11]}


def test_records_that_no_ledger_rests_on_go(accepted):
    old = {p.stem for p in evidence.runs_dir("demo").glob("*.json")}
    text = 'name="train",\n        version='
    accepted.edit("experiments.py", text + "1", text + "2")
    new = accepted.trained()
    accepted.keep(new)
    accept(accepted.load(), "quick", accepted.store)
    now = {p.stem for p in evidence.runs_dir("demo").glob("*.json")}
    assert {r.id for r in new} <= now
    kept = {r.id for r in [*accepted.counts(), *accepted.released()]}
    assert kept <= now
    assert now == kept | {r.id for r in new}
    assert len(old - now) == 12
    assert problems(accepted) == []


def test_records_of_another_profiles_ledger_stay(accepted):
    accepted.keep(accepted.full())
    accept(accepted.load(), "paper", accepted.store)
    assert accepted_profiles("demo") == ["quick", "paper"]
    accept(accepted.load(), "quick", accepted.store)
    assert problems(accepted) == problems(accepted, "paper") == []


def test_committed_records_of_what_was_not_rerun_here_stay(accepted):
    elsewhere = type(accepted.store)(accepted.root / "elsewhere")
    rerun = accepted.released(w1=8.3)
    for record in rerun:
        elsewhere.put(record)
    again = accept(accepted.load(), "quick", elsewhere)
    made, changed = again.ledger, again.changed
    assert changed == ["released.w1.error: reproduced → not reproduced"]
    assert made["quick.degrades"].verdict == "reproduced"
    assert len(made.runs) == len(accepted.quick())
    assert made["released.w1.error"].measured == 8.3
    assert problems(accepted) == []
