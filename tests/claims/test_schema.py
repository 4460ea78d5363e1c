"""A paper's files: what they hold when they are right, and one line for each way to be wrong."""

import pytest

from replab.claims import schema
from replab.claims.claim import claim_selectors
from replab.claims.ledger import build
from replab.claims.paper_file import Gap, Ordering
from replab.errors import UserError

YAML, CSV = "replications/demo/paper.yaml", "replications/demo/claims.csv"


def failure(demo):
    """The one line that loading ends in."""
    with pytest.raises(UserError) as caught:
        demo.load()
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 400
    return message


def test_a_sound_paper_loads(demo):
    paper = demo.load()
    assert list(paper.claims)[:2] == ["table1.a.params", "table1.b.count"]
    assert len(paper.claims) == 18
    row = paper.claims["table1.b.count"]
    assert (row.kind, row.reported, row.tolerance, row.gate) == ("exact", "464154", "T0", True)
    assert str(row.selector) == "counts[net=b].params"
    assert row.line == demo.line("claims.csv", "table1.b.count")
    context = paper.claims["table1.rival.error"]
    assert (context.gate, context.tolerance) == (False, "")
    assert isinstance(paper.claims["order.depth"].test, Ordering)
    scaled = paper.claims["quick.unpowered"]
    assert (scaled.supports, scaled.kind, scaled.powered) == ("trend.depth", "gap", False)
    assert isinstance(scaled.test, Gap)
    assert (scaled.profile, scaled.gate) == ("quick", True)
    assert paper.tolerances["Ttrain"].min_seeds == 5
    assert schema.needs("text.anything", paper.needs) == "a computer that nobody has"
    assert schema.needs("other", paper.needs) == ""


def test_the_numbers_a_claim_rests_on(demo):
    claims = demo.load().claims

    def texts(claim):
        return [str(s) for s in schema.claim_selectors(claims[claim])]

    assert texts("table1.a.params") == ["counts[net=a].params"]
    assert texts("column.params") == [f"counts[net={n}].params" for n in "abc"]
    assert texts("equal.params") == [f"counts[net={n}].params" for n in "abab"]
    assert texts("order.depth") == [f"full[depth={d}].test_error" for d in (56, 44, 20)]
    assert len(texts("quick.unpowered")) == 4
    assert texts("text.impossible") == []


# Each: the text that is replaced in paper.yaml, what comes instead, the text on the line that the
# message must name, and a part of the message.
WRONG_YAML = {
    "malformed": ("  year: 2016", "  year: [2016", "tolerances:", "not valid YAML"),
    "duplicate key": (
        "  year: 2016",
        "  year: 2016\n  title: Again",
        "title: Again",
        "key 'title' stands here a second time",
    ),
    "unknown key": ("  year: 2016", "  year: 2016\n  pages: 9", "pages: 9", "extra inputs"),
    "unknown section": ("needs:\n", "wants: {}\nneeds:\n", "wants:", "extra inputs"),
    "missing key": ("  title: A Title\n", "", "citation:", "citation.title: field required"),
    "wrong type": ("year: 2016", "year: soon", "year: soon", "citation.year: "),
    "missing why": (
        "T0: {rule: equal, why: Counting has no noise.}",
        "T0: {rule: equal}",
        "T0:",
        "tolerances.T0.why: field required",
    ),
    "short why": ("why: Counting has no noise.", "why: So.", "T0:", "at least 10 characters"),
    "blank why": ("why: Counting has no noise.", "why: '            '", "T0:", "at least 10"),
    "unknown rule": ("rule: equal,", "rule: same,", "T0:", "tolerances.T0.rule: "),
    "number too many": (
        "Tprint: {rule: printed,",
        "Tprint: {rule: printed, margin: 1,",
        "Tprint:",
        "rule 'printed' takes no numbers",
    ),
    "number missing": (
        "Torder: {rule: order, deviations: 2,",
        "Torder: {rule: order,",
        "Torder:",
        "rule 'order' takes deviations, min_seeds",
    ),
    "negative margin": ("margin: 0.1,", "margin: -0.1,", "Teval:", "greater than 0"),
    "infinite margin": ("margin: 0.1,", "margin: .inf,", "Teval:", "finite number"),
    "one seed": (
        "threshold, min_seeds: 3",
        "threshold, min_seeds: 1",
        "Tthreshold:",
        "greater than or equal to 2",
    ),
    "test for an unknown id": (
        "  gap.released:",
        "  gap.none:",
        "gap.none:",
        "gaps.gap.none: no such id in claims.csv",
    ),
    "two tests": (
        "trends:\n",
        'trends:\n  order.depth: {measures: ["a[].b{}"], along: [1, 2, 3], direction: falls}\n',
        "trends.order.depth: also stands under orderings",
        "",
    ),
    "selector and test": (
        "gaps:\n",
        "gaps:\n  released.w1.error: {plus: ['released[weights=w1].test_error']}\n",
        None,
        "has the selector released[weights=w1].test_error and a test under gaps",
    ),
    "scaled without prefix": (
        "  quick.degrades:",
        "  degrades:",
        "  degrades:",
        "the id must begin with its profile, 'quick.'",
    ),
    "scaled supports nothing": (
        "  quick.degrades:\n    supports: trend.depth",
        "  quick.degrades:\n    supports: trend.none",
        "supports: trend.none",
        "trend.none is no claim of the paper",
    ),
    "scaled supports scaled": (
        "  quick.unpowered:\n    supports: trend.depth",
        "  quick.unpowered:\n    supports: quick.degrades",
        "supports: quick.degrades",
        "quick.degrades is no claim of the paper",
    ),
    "scaled with two tests": (
        "    gap:\n",
        "    trend: {measures: ['a[].b{}'], along: [1, 2, 3], direction: falls}\n    gap:\n",
        "quick.unpowered:",
        "give exactly one of ordering, gap, trend",
    ),
    "scaled with unknown class": (
        "    tolerance: Tshape\n    powered: true",
        "    tolerance: Tnone\n    powered: true",
        "tolerance: Tnone",
        "no tolerance class 'Tnone'",
    ),
    "selector that fits no variant": (
        "train[net=plain,depth={}].train_loss",
        "train[net=plane,depth={}].train_loss",
        "quick.degrades:",
        "no variant of train has net=plane; did you mean plain?",
    ),
    "selector that fits two variants": (
        "train[net=plain,depth={}].train_loss",
        "train[depth={}].train_loss",
        "quick.degrades:",
        "must fit one variant of train, it fits 2",
    ),
    "selector of no experiment": (
        "train[net=plain,depth={}].train_loss",
        "run[net=plain,depth={}].train_loss",
        "quick.degrades:",
        "no experiment 'run' in experiments.py",
    ),
    "no selector": (
        "train[net=plain,depth={}].train_loss",
        "train net=plain depth={}",
        "quick.degrades:",
        "is no selector such as",
    ),
    "no place for the term": (
        "train[net=plain,depth={}].train_loss",
        "train[net=plain,depth=20].train_loss",
        'train[net=plain,depth=20].train_loss"]',
        "must hold one {}",
    ),
    "brace left open": (
        "train[net=plain,depth={}].train_loss",
        "train[net=plain,depth={].train_loss",
        "depth={]",
        "is no template",
    ),
    "term twice": ("ascending: [56, 44, 20]", "ascending: [56, 44, 56]", "[56, 44, 56]", "twice"),
    "truth value as a term": (
        "ascending: [56, 44, 20]",
        "ascending: [56, no, 20]",
        "[56, no, 20]",
        "orderings.order.depth.ascending.1: ",
    ),
    "profile does not run it": (
        '    ordering:\n      measures: ["train[net=plain,depth={}].train_loss"]',
        '    ordering:\n      measures: ["full[depth={}].train_loss"]',
        "quick.degrades:",
        "profile quick does not run all that the claim rests on",
    ),
    "no profile runs it": (
        'minus: ["released[weights=w2].test_error"]',
        'minus: ["full[depth=20].test_error"]',
        "  gap.released:",
        "no profile runs all that the claim rests on",
    ),
    "prints of an unknown id": (
        "printed: full.r{}.error",
        "printed: full.{}.error",
        "  order.depth:",
        "printed: no such id as full.56.error",
    ),
    "prints that contradict": (
        "ascending: [56, 44, 20]",
        "ascending: [44, 56, 20]",
        "  order.depth:",
        "the printed values (7.17, 6.97, 8.75) do not ascend",
    ),
    "terms and prints": (
        "    measure: counts[net={}].params\n    terms: [a, b, c]",
        "    measure: counts[net={}].params\n    terms: [a, b]",
        "  column.params:",
        "3 printed numbers for 2 terms",
    ),
    "trend less itself": (
        "    along: [20, 32, 44, 56]\n",
        '    along: [20, 32, 44, 56]\n    minus: "full[depth={}].train_error"\n',
        "  trend.depth:",
        "'full[depth={}].train_error' is subtracted from itself, which is always 0",
    ),
    "trend less one number": (
        "    along: [20, 32, 44, 56]\n",
        '    along: [20, 32, 44, 56]\n    minus: "full[depth=20].test_error"\n',
        '    minus: "full[depth=20].test_error"',
        "must hold one {}, which stands for the term",
    ),
    "trend less an unknown number": (
        "    along: [20, 32, 44, 56]\n",
        '    along: [20, 32, 44, 56]\n    minus: "nets[depth={}].test_error"\n',
        "  trend.depth:",
        "nets[depth=20].test_error: no experiment 'nets'",
    ),
    "column of what varies": (
        "    measure: counts[net={}].params\n    terms: [a, b, c]",
        "    measure: full[depth={}].test_error\n    terms: [20, 44, 56]",
        "  column.params:",
        "these vary with seeds",
    ),
}


@pytest.mark.parametrize("case", WRONG_YAML)
def test_a_wrong_paper_yaml_is_named_by_line(demo, case):
    old, new, on_line, part = WRONG_YAML[case]
    demo.edit("paper.yaml", old, new)
    message = failure(demo)
    assert part in message
    if case == "two tests":
        assert message.startswith(f"{YAML}:{demo.line('paper.yaml', 'trends:') + 1}: ")
        assert on_line in message
    elif on_line is None:
        assert message.startswith(f"{CSV}:{demo.line('claims.csv', 'released.w1.error')}: ")
    else:
        assert message.startswith(f"{YAML}:{demo.line('paper.yaml', on_line)}: ")


ROW = (
    "released.w2.error,README,value,test_error,7.37,percent,R,,"
    "released[weights=w2].test_error,Teval,yes,\n"
)
WRONG_ROWS = {
    "cells": (ROW[:-2] + "\n", "11 cells instead of 12"),
    "blank line": ("\n", "0 cells instead of 12"),
    "duplicate id": (ROW.replace(".w2.", ".w1."), "id released.w1.error already stands in line"),
    "no id": (ROW.replace("released.w2.error", "Released W2"), "'Released W2' is no claim id"),
    "kind": (ROW.replace("value", "number"), "kind 'number' is none of exact, value"),
    "source": (ROW.replace(",R,", ",X,"), "source 'X' is none of P, R"),
    "gate": (ROW.replace(",yes,", ",maybe,"), "gate is 'maybe', it must be yes or no"),
    "memory": (ROW.replace(",R,", ",M,"), "a claim from memory cannot have gate yes"),
    "reported": (ROW.replace("7.37", ""), "locus and reported must not be empty"),
    "blank locus": (ROW.replace("README", "  "), "locus and reported must not be empty"),
    "class": (ROW.replace("Teval", "Tnone"), "tolerance class 'Tnone' is none of T0, Tprint"),
    "no class": (ROW.replace("Teval", "none"), "tolerance class 'none' is none of"),
    "no number": (ROW.replace("7.37", "about 7"), "'about 7' is no printed number"),
    "bound": (ROW.replace("7.37", "> 7"), "'> 7' does not go with class Teval"),
    "no bound": (ROW.replace("Teval", "Tthreshold"), "'7.37' does not go with class Tthreshold"),
    "rule for seeds": (ROW.replace("Teval", "Ttrain"), "a number that one run settles"),
    "rule for tests": (ROW.replace("Teval", "Torder"), "cannot judge a number"),
    "no selector": (
        ROW.replace("released[weights=w2].test_error", ""),
        "nothing decides released.w2.error",
    ),
    "no variant": (
        ROW.replace("=w2", "=w3"),
        "no variant of released has weights=w3",
    ),
    "selector": (ROW.replace("[weights=w2]", ""), "'released.test_error' is no selector"),
    "quotes": (ROW.replace("README", '"READ"ME'), "not valid CSV"),
    "encoding": (ROW.encode().replace(b"README", b"\xff"), "not UTF-8"),
}


@pytest.mark.parametrize("case", WRONG_ROWS)
def test_a_wrong_row_is_named_by_line(demo, case):
    new, part = WRONG_ROWS[case]
    line = demo.line("claims.csv", "released.w2.error")
    path = demo.path("claims.csv")
    new = new if isinstance(new, bytes) else new.encode()
    path.write_bytes(path.read_bytes().replace(ROW.encode(), new))
    demo.edit("paper.yaml", "released[weights=w2]", "released[weights=w1]")
    message = failure(demo)
    assert message.startswith(f"{CSV}:{line}: ")
    assert part in message


def test_wrong_columns_are_named(demo):
    demo.edit("claims.csv", "id,locus,kind", "id,kind,locus")
    message = failure(demo)
    assert message.startswith(f"{CSV}:1: the columns must be id,locus,kind,")
    demo.path("claims.csv").write_text("", encoding="utf-8")
    assert failure(demo).startswith(f"{CSV}:1: the columns must be")


def test_a_byte_order_mark_is_no_mistake(demo):
    path = demo.path("claims.csv")
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert "table1.a.params" in demo.load().claims


def test_a_trend_rests_on_what_is_subtracted_too(demo):
    along = "    along: [20, 32, 44, 56]\n"
    demo.edit("paper.yaml", along, f'{along}    minus: "full[depth={{}}].test_error"\n')
    paper = demo.load()
    wanted = {str(selector) for selector in claim_selectors(paper.claims["trend.depth"])}
    assert wanted == {
        f"full[depth={depth}].{metric}"
        for depth in (20, 32, 44, 56)
        for metric in ("train_error", "test_error")
    }
    # Train errors are half of the test errors of these records, so the difference falls with them.
    made = demo.full(errors={20: 8.8, 32: 7.5, 44: 7.2, 56: 6.9})
    rising = build(paper, "paper", made)["trend.depth"]
    assert rising.verdict == "not reproduced"
    demo.edit("paper.yaml", "    direction: falls", "    direction: rises")
    again = build(demo.load(), "paper", made)["trend.depth"]
    assert again.verdict == "reproduced"
    assert again.measured["20"] == pytest.approx(-4.4, abs=0.01)
    assert len(again.runs) == 20


def test_a_number_that_varies_needs_a_rule_for_seeds(demo):
    demo.edit("claims.csv", "[depth=20].test_error,Ttrain", "[depth=20].test_error,Teval")
    message = failure(demo)
    assert message.startswith(f"{CSV}:{demo.line('claims.csv', 'full.r20.error')}: ")
    assert "cannot judge a number that varies with seeds" in message


def test_a_gap_needs_a_print_above_zero_or_a_bound(demo):
    demo.edit("claims.csv", "+0.9,percent", "-0.9,percent")
    assert "'-0.9' is no gap above zero; swap plus and minus" in failure(demo)
    demo.edit("paper.yaml", "  gap.released:\n", "  gap.released:\n    at_least: 0.5\n")
    assert demo.load().claims["gap.released"].test.at_least == 0.5


def test_a_gap_may_take_its_bound_from_a_print(demo):
    printed = "  gap.released:\n    at_least_printed: table1.rival.error\n"
    demo.edit("paper.yaml", "  gap.released:\n", printed)
    assert demo.load().claims["gap.released"].test.at_least == 9.38
    demo.edit("paper.yaml", "at_least_printed: table1.rival", "at_least_printed: table1.rivals")
    assert failure(demo).startswith(f"{YAML}:{demo.line('paper.yaml', 'at_least_printed')}: ")
    demo.edit("paper.yaml", "table1.rivals.error", "table1.rival.error\n    at_least: 0.5")
    assert "not both" in failure(demo)


def test_a_scaled_gap_may_take_its_bound_from_a_print(demo):
    gap = "    gap:\n      plus:"
    printed = "    gap:\n      at_least_printed: table1.rival.error\n      plus:"
    demo.edit("paper.yaml", gap, printed)
    scaled = [c.test for c in demo.load().claims.values() if c.supports]
    assert [t.at_least for t in scaled if isinstance(t, Gap)] == [9.38]
    demo.edit("paper.yaml", "table1.rival.error", "table1.rivals.error")
    assert "no such id as table1.rivals.error" in failure(demo)


def test_a_relative_margin_around_zero_is_refused(demo):
    demo.edit("claims.csv", "gflops,3.6,GFLOPs", "gflops,0.0,GFLOPs")
    assert "a relative margin around a printed 0 means nothing" in failure(demo)


def test_a_claim_with_a_selector_and_a_test_is_refused(demo):
    demo.edit(
        "claims.csv",
        "params(a) = params(b),none,P,,,T0",
        "params(a) = params(b),none,P,,counts[net=a].params,T0",
    )
    message = failure(demo)
    assert message.startswith(f"{CSV}:{demo.line('claims.csv', 'equal.params')}: ")
    assert "equalities" in message


def test_a_scaled_claim_cannot_take_the_id_of_a_row(demo):
    row = "trend.depth,Fig. 6,trend,train_error"
    demo.edit("claims.csv", row, "quick.degrades,Fig. 1,value,x,1,none,P,,,none,no,\n" + row)
    message = failure(demo)
    assert message.startswith(f"{YAML}:{demo.line('paper.yaml', 'quick.degrades:')}: ")
    assert "the id already stands in claims.csv" in message


def test_what_one_run_settles_takes_one_seed(demo):
    demo.edit(
        "experiments.py",
        '{"net": n} for n in "abc"))',
        '{"net": n} for n in "abc"), seeds=(0, 1))',
    )
    message = failure(demo)
    assert message.startswith(f"{CSV}:2: table1.a.params: ")
    assert "one run settles counts, so each of its plans takes one seed" in message


@pytest.mark.parametrize("file", ["paper.yaml", "claims.csv", "experiments.py"])
def test_a_missing_file_is_named(demo, file):
    demo.path(file).unlink()
    message = failure(demo)
    assert f"demo/{file}" in message


def test_an_unknown_paper_is_answered_with_those_there_are(demo):
    for name in ("nope", "../demo", "Demo"):
        with pytest.raises(UserError, match="there are: demo") as caught:
            schema.load(name)
        assert "\n" not in str(caught.value)
