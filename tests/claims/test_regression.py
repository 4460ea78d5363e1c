"""A fresh ledger beside the accepted one: what is worse, what is not compared, and why."""

import pytest

from replab.claims import evidence
from replab.claims.acceptance import accept
from replab.claims.accepted import load_accepted
from replab.claims.ledger import build
from replab.claims.regression import REGRESSION_LEVEL, regress
from replab.claims.statistics import prediction_interval
from replab.errors import UserError
from replab.files import write_json


@pytest.fixture
def accepted(demo):
    demo.keep(demo.quick())
    accept(demo.load(), "quick", demo.store)
    return demo


def compare(demo, fresh, profile="quick", reasons=()):
    paper = demo.load()
    found = regress(load_accepted(paper), build(paper, profile, fresh), fresh, reasons)
    assert all("\n" not in c.why for c in found)
    return {c.claim: c for c in found}


def states(found):
    return {claim: c.state for claim, c in found.items()}


def test_equal_numbers_are_well(accepted):
    found = compare(accepted, accepted.quick())
    assert set(states(found).values()) == {"ok"}
    assert set(found) == {
        "table1.a.params",
        "table1.b.count",
        "table1.a.flops",
        "released.w1.error",
        "released.w2.error",
        "equal.params",
        "column.params",
        "gap.released",
        "quick.degrades",
        "quick.unpowered",
    }


def test_what_is_not_run_here_is_not_compared_and_says_why(accepted):
    fresh = [*accepted.counts(), *accepted.trained()]
    found = compare(accepted, fresh, reasons=["no weights here"])
    assert found["released.w1.error"].state == "not compared"
    assert found["released.w1.error"].why == "not run here (no weights here)"
    assert found["table1.a.params"].state == found["quick.degrades"].state == "ok"
    assert compare(accepted, [])["quick.degrades"].why == "not run here"
    assert set(states(compare(accepted, [])).values()) == {"not compared"}


def test_counts_must_be_equal(accepted):
    found = compare(accepted, accepted.counts(params=269723))
    worse = {claim for claim, state in states(found).items() if state == "worse"}
    assert worse == {"table1.a.params", "table1.b.count", "equal.params", "column.params"}
    assert found["table1.a.params"].why == ("counts[net=a].params: 269,723, accepted as 269,722")
    assert found["table1.a.flops"].state == "ok"
    found = compare(accepted, accepted.counts(gflops=3.6201))
    assert found["table1.a.flops"].state == "worse"


@pytest.mark.parametrize(
    ("w1", "state"),
    [(8.27, "ok"), (8.28, "ok"), (8.26, "ok"), (8.29, "worse"), (8.25, "worse"), (9.0, "worse")],
)
def test_fixed_weights_may_move_by_a_unit_of_the_last_digit(accepted, w1, state):
    found = compare(accepted, accepted.released(w1=w1))
    assert found["released.w1.error"].state == state
    assert found["released.w2.error"].state == "ok"
    # The gap is printed with one digit, so its parts may move by 0.1.
    assert found["gap.released"].state == ("worse" if w1 == 9.0 else "ok")


def interval(demo, new):
    accepted = [r for r in demo.trained() if r.variant == {"net": "plain", "depth": 56}]
    losses = [r.metrics["train_loss"] for r in accepted]
    return prediction_interval(losses, REGRESSION_LEVEL, new=new)


@pytest.mark.parametrize("new", [1, 3])
@pytest.mark.parametrize(("beyond", "state"), [(-0.01, "ok"), (0.01, "worse")])
@pytest.mark.parametrize("side", [-1, 1])
def test_trained_numbers_stay_inside_the_prediction_interval(accepted, new, beyond, state, side):
    low, high = interval(accepted, new)
    edge = (high + beyond * (high - low)) if side > 0 else (low - beyond * (high - low))
    fresh = []
    for record in accepted.trained(seeds=tuple(range(new))):
        value = record.metrics["train_loss"]
        if record.variant == {"net": "plain", "depth": 56}:
            value = edge
        fresh.append(type(record)(**record.as_dict() | {"metrics": {"train_loss": value}}))
    found = compare(accepted, fresh)["quick.unpowered"]
    expected = "ok" if state == "ok" else "worse"
    assert found.state == expected
    if state == "worse":
        assert "train[net=plain,depth=56].train_loss: mean" in found.why
        assert "lies outside [" in found.why


def test_the_verdict_of_a_powered_claim_may_not_flip(accepted):
    # Inside the wide prediction interval of each net, but the nets no longer separate.
    fresh = accepted.trained(plain=0.0, noise=0.3)
    found = compare(accepted, fresh)
    assert found["quick.degrades"].state == "worse"
    assert found["quick.degrades"].why == "verdict inconclusive, accepted as reproduced"
    assert found["quick.unpowered"].state == "ok"


def test_fewer_seeds_than_accepted_are_no_regression(accepted):
    found = compare(accepted, accepted.trained(seeds=(0,)))["quick.degrades"]
    assert found.state == "not compared"
    assert found.why == (
        "verdict inconclusive, accepted as reproduced, but on 1 seeds instead of 3"
    )
    # A number that has moved is worse all the same.
    found = compare(accepted, accepted.trained(9.0, seeds=(0,)))["quick.degrades"]
    assert found.state == "worse"


def test_other_data_are_not_compared(accepted):
    fresh = accepted.trained(9.0, data=("generated-shapes", "9e2e"))
    found = compare(accepted, fresh)["quick.degrades"]
    assert (found.state, found.why) == (
        "not compared",
        "rests on generated-shapes, accepted on cifar10",
    )
    found = compare(accepted, accepted.trained(9.0, data=("cifar10", "0ld")))["quick.degrades"]
    assert (found.state, found.why) == ("not compared", "rests on another version of cifar10")


def test_another_device_is_compared(accepted):
    assert compare(accepted, accepted.trained(device="cuda"))["quick.degrades"].state == "ok"
    assert compare(accepted, accepted.trained(9, device="cuda"))["quick.degrades"].state == "worse"


def test_one_accepted_seed_gives_nothing_to_compare_with(demo):
    demo.keep(demo.trained(seeds=(0,)))
    accept(demo.load(), "quick", demo.store)
    found = compare(demo, demo.trained(9.0))["quick.unpowered"]
    assert found.state == "not compared"
    assert "one accepted seed gives no interval" in found.why


def test_seeds_without_spread_leave_room_for_rounding_only(demo):
    def level(value):
        return demo.records("train", metrics=lambda v, s: {"train_loss": value})

    demo.keep(level(0.1))
    accept(demo.load(), "quick", demo.store)
    assert compare(demo, level(0.1 + 1e-16))["quick.degrades"].state == "ok"
    assert compare(demo, level(0.1001))["quick.degrades"].state == "worse"


def test_orders_of_fixed_weights_go_by_the_verdict(demo):
    demo.edit(
        "paper.yaml",
        'gaps:\n  gap.released:\n    plus: ["released[weights=w1].test_error"]\n'
        '    minus: ["released[weights=w2].test_error"]\n',
        "",
    )
    demo.edit(
        "paper.yaml",
        "orderings:\n",
        'orderings:\n  gap.released: {measures: ["released[weights={}].test_error"], '
        "ascending: [w2, w1]}\n",
    )
    demo.edit(
        "claims.csv",
        "gap.released,README,gap,test_error,+0.9,percent,R,,,Tgap",
        "gap.released,README,ordering,test_error,w2 < w1,none,R,,,Torder",
    )
    demo.keep(demo.released())
    accept(demo.load(), "quick", demo.store)
    assert compare(demo, demo.released(w1=8.5))["gap.released"].state == "ok"
    found = compare(demo, demo.released(w1=7.0))["gap.released"]
    assert (found.state, found.why) == (
        "worse",
        "verdict not reproduced, accepted as reproduced",
    )


def test_fresh_records_of_other_profiles_or_versions_do_not_count(accepted):
    fresh = [*accepted.counts(), *accepted.counts("paper", params=1.0), *accepted.full()]
    assert compare(accepted, fresh)["table1.a.params"].state == "ok"
    text = 'name="released",\n        version='
    accepted.edit("experiments.py", text + "1", text + "2")
    # The accepted records are the old version's: nothing is left to compare with.
    assert "released.w1.error" not in compare(accepted, accepted.released())


def test_the_ledgers_are_those_of_the_records_not_of_the_file(accepted):
    path = evidence.accepted_path("demo", "quick")
    content = build(accepted.load(), "quick", accepted.quick()).as_dict()
    for claim in content["claims"]:
        claim["verdict"] = "not reproduced"
    write_json(path, content)
    assert set(states(compare(accepted, accepted.quick())).values()) == {"ok"}


def test_nothing_accepted_is_a_users_error(demo):
    with pytest.raises(UserError, match="replab accept demo --profile quick"):
        compare(demo, demo.quick())
