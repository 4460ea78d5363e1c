"""Which records of a profile a figure gathers, and how they are called."""

import pytest

from made_records import made_record
from replab.errors import UserError
from replab.report import gathering
from replab.report.layers import WORDS

RECORDS = [
    made_record({"net": net, "depth": depth, "norm": norm}, seed)
    for norm in ("batch", "none")
    for net, depth in (("resnet", 110), ("plain", 110), ("plain", 20))
    for seed in (2, 0, 1)
]


def seeds(records):
    return [r.seed for r in records]


def test_nets_come_in_the_order_of_their_comparison():
    found = gathering.nets(RECORDS, "{norm}: {net}-{depth}", WORDS)
    assert list(found) == [
        "no BN: plain-20",
        "no BN: plain-110",
        "no BN: ResNet-110",
        "BN: plain-20",
        "BN: plain-110",
        "BN: ResNet-110",
    ]
    assert all(seeds(records) == [0, 1, 2] for records in found.values())


def test_words_that_no_label_knows_stay_as_they_are():
    assert list(gathering.nets(RECORDS, "{norm}-{depth}")) == [
        "batch-20",
        "batch-110",
        "none-20",
        "none-110",
    ]
    assert list(gathering.nets([made_record({"pose": "sits"}, 0)], "{pose}", WORDS)) == ["sits"]


def test_panels_hold_their_own_lines_and_may_be_one_for_all():
    found = gathering.panels(RECORDS, "{net}", "{net}-{depth}")
    assert {title: list(lines) for title, lines in found.items()} == {
        "plain": ["plain-20", "plain-110"],
        "resnet": ["resnet-110"],
    }
    assert seeds(found["resnet"]["resnet-110"]) == [0, 0, 1, 1, 2, 2]
    assert list(gathering.panels(RECORDS, "all", "{net}")["all"]) == ["plain", "resnet"]


def test_pairs_along_one_key_are_named_by_the_others():
    pair = gathering.along("norm", plus="batch", minus="none", label="{net}-{depth}")
    gaps = pair(RECORDS)
    assert sorted(gaps) == ["plain-110", "plain-20", "resnet-110"]
    plus, minus = gaps["plain-20"]
    assert {r.variant["norm"] for r in plus} == {"batch"}
    assert {r.variant["norm"] for r in minus} == {"none"}
    assert seeds(plus) == seeds(minus) == [0, 1, 2]


def test_values_of_the_key_that_are_not_compared_are_left_out():
    other = made_record({"net": "plain", "depth": 20, "norm": "group"}, 0)
    pair = gathering.along("norm", plus="batch", minus="none", label="{net}-{depth}")
    assert pair([*RECORDS, other]) == pair(RECORDS)


def test_pairs_of_networks_are_named_by_both():
    pair = gathering.between("{net}-{depth}", ("plain-110", "plain-20"))
    gaps = pair([r for r in RECORDS if r.variant["norm"] == "batch"])
    assert list(gaps) == ["plain-110 − plain-20"]
    plus, minus = gaps["plain-110 − plain-20"]
    assert [r.variant["depth"] for r in (plus[0], minus[0])] == [110, 20]
    assert seeds(plus) == seeds(minus) == [0, 1, 2]


def test_a_network_without_runs_is_named_with_those_that_have_some():
    pair = gathering.between("{net}-{depth}", ("plain-110", "plain-56"))
    with pytest.raises(UserError, match="no run is called plain-56; the records have plain-20"):
        pair(RECORDS)


NETS = {
    "deep": {"net": "plain", "depth": 110},
    "shallow": {"net": ("plain", "other"), "depth": 20},
}


def test_one_seed_for_all_that_are_shown():
    some = [r for r in RECORDS if r.variant["norm"] == "batch" and r.seed != 0]
    found = gathering.of_one_seed(some, NETS)
    assert {label: (r.variant["depth"], r.seed) for label, r in found.items()} == {
        "deep": (110, 1),
        "shallow": (20, 1),
    }


def test_without_a_common_seed_each_shows_its_lowest_and_the_absent_are_left_out():
    deep, shallow = made_record({"net": "plain", "depth": 110}, 2), made_record({"depth": 20}, 0)
    assert gathering.of_one_seed([deep, shallow], NETS) == {"deep": deep}
    shallow = made_record({"net": "other", "depth": 20}, 0)
    found = gathering.of_one_seed([deep, shallow], NETS)
    assert [r.seed for r in found.values()] == [2, 0]
    assert gathering.of_one_seed([], NETS) == {}


def test_a_label_leaves_out_what_a_variant_lacks():
    record = made_record({"net": "plain", "depth": 20}, 0)
    assert gathering.labelled(record, "{net}, {norm}", {"plain": "plain net"}) == "plain net"
    assert gathering.labelled(record, "{net}-{depth}") == "plain-20"


def test_a_variant_fits_by_value_by_choice_and_by_absence():
    record = made_record({"net": "hr", "size": 2}, 0)
    assert gathering.fits(record, {})
    assert gathering.fits(record, {"net": "hr", "size": (1, 2)})
    assert gathering.fits(record, {"fusion": None})
    assert gathering.fits(record, {"fusion": ("all", None)})
    assert not gathering.fits(record, {"net": "sb"})
    assert not gathering.fits(record, {"net": "hr", "fusion": "all"})
