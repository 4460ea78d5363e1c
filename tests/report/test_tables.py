"""Tables and numbers as readers see them."""

import pytest

from made_records import made_record
from replab.claims.ledger import Entry
from replab.report import tables, text


def entry(**changes) -> Entry:
    fields = {
        "id": "table1.a",
        "locus": "Table 1, row A",
        "kind": "value",
        "metric": "error",
        "source": "P: the paper's full text",
        "reported": "8.75",
        "unit": "percent",
        "measured": 8.6,
        "interval": (8.5, 8.7),
        "n": 5,
        "tolerance": {
            "class": "T",
            "rule": "seeds",
            "margin": 0.35,
            "deviations": 2.0,
            "why": "w",
        },
        "verdict": "reproduced",
        "why": "because",
        "profile": "paper",
        "protocol": "",
        "data": "cifar10",
        "supports": None,
        "runs": [],
        "command": "nox",
        "gate": True,
        "powered": False,
    }
    return Entry(**{**fields, **changes})


@pytest.mark.parametrize(
    ("value", "unit", "shown"),
    [
        (269722, "params", "269,722"),
        (40551040.0, "none", "40,551,040"),
        (8.268, "percent", "8.27"),
        (1.7948, "GFLOPs", "1.795"),
        (0.4021, "nats", "0.402"),
        (-0.00716, "nats", "-0.00716"),
        (0.0, "nats", "0"),
        (1234.56, "nats", "1,234.6"),
    ],
)
def test_numbers(value, unit, shown):
    assert text.number(value, unit) == shown


def test_a_row_says_what_was_reported_measured_and_decided():
    header, rule, row = tables.claims_table([entry()]).splitlines()
    assert header.startswith("| claim | locus | reported |")
    assert set(rule) <= set("|- ")
    assert row == (
        "| `table1.a` | Table 1, row A | 8.75 % | 8.60 | [8.50, 8.70], n = 5 | "
        "±max(0.35, 2.0 s.d.) | ✔ reproduced |"
    )


def test_several_terms_and_nothing_measured():
    assert text.measured(entry(measured={"a": 1.0, "b": 2.0}, unit="nats")) == "a: 1, b: 2"
    assert text.measured(entry(measured=None)) == "–"
    assert text.interval(entry(interval=None)) == ""


def test_cells_cannot_break_the_table():
    assert tables.markdown([("a|b\nc",)], ("h",)).splitlines()[-1] == "| a\\|b c |"


@pytest.mark.parametrize(
    ("locus", "group"),
    [
        ("Table 6, row ResNet-20", "Table 6"),
        ("Fig. 6 left, caption", "Fig. 6"),
        ("section 4.2", "section 4.2"),
        ("README of somebody/project", "README of somebody"),
    ],
)
def test_groups_follow_the_paper_s_tables(locus, group):
    assert tables.group(entry(locus=locus)) == group


def test_board_counts_every_claim_once():
    entries = [
        entry(),
        entry(id="table1.b", verdict="not attempted"),
        entry(id="fig2.c", locus="Fig. 2", verdict="not reproduced"),
    ]
    lines = tables.board(entries).splitlines()
    assert lines[2] == "| Table 1 | 1 |  |  | 1 |"
    assert lines[3] == "| Fig. 2 |  | 1 |  |  |"
    assert lines[4] == "| **all** | **1** | **1** | **0** | **1** |"


def test_what_was_not_attempted_is_grouped_by_reason():
    entries = [
        entry(id=f"table1.{i}", verdict="not attempted", why="needs a GPU", command=f"nox {i}")
        for i in range(3)
    ]
    rows = tables.not_attempted(entries).splitlines()[2:]
    assert rows == ["| Table 1 | 3 | needs a GPU | `nox 0` |"]


def test_orderings_have_no_unit():
    shown = text.reported(entry(kind="ordering", reported="resnet < plain", unit="percent"))
    assert shown == "resnet < plain"
    assert text.reported(entry(reported="8.75", unit="percent")) == "8.75 %"
    assert text.reported(entry(kind="gap", reported="2.8", unit="percent")) == "2.8 %"


def measured(net, depth, seed, error):
    return made_record({"net": net, "depth": depth}, seed, metrics={"test_error": error})


def test_spread_over_seeds_beside_the_print():
    records = [
        measured("resnet", 20, 1, 9.0),
        measured("resnet", 20, 0, 8.0),
        measured("plain", 20, 0, 9.5),
    ]
    printed = {"table6.resnet20.error": "8.75"}
    table = tables.spread(
        records, "test_error", "{net}-{depth}", "table6.{net}{depth}.error", printed
    )
    header, _, plain, residual = table.splitlines()
    assert "ours, test error (%), mean ± s.d." in header
    assert plain == "| plain-20 | – | 9.50 | 1 | 9.50 |"
    assert residual == "| resnet-20 | 8.75 | 8.50 ± 0.71 | 2 | 8.00, 9.00 |"
