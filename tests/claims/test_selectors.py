"""Selectors: reading them, finding their numbers, and which of them answers a claim."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replab.claims import selectors

WORD = st.from_regex(r"[a-z0-9_]{1,6}", fullmatch=True)


def test_a_selector_is_read_and_written():
    found = selectors.parse(" train[net=plain, depth=20].test_error ")
    assert found.experiment == "train"
    assert found.variant == (("net", "plain"), ("depth", "20"))
    assert found.metric == "test_error"
    assert str(found) == "train[net=plain,depth=20].test_error"
    assert selectors.parse("a[].pck@0.2").metric == "pck@0.2"


@given(WORD, st.dictionaries(WORD, WORD, max_size=4), WORD)
def test_what_is_written_reads_back(experiment, variant, metric):
    made = selectors.Selector(experiment, tuple(variant.items()), metric)
    assert selectors.parse(str(made)) == made


@pytest.mark.parametrize("text", ["", "train.test_error", "train[net=a]", "[a=b].c", "t[a=b].c d"])
def test_what_is_no_selector_is_refused(text):
    with pytest.raises(ValueError, match="is no selector such as"):
        selectors.parse(text)


def test_a_word_without_a_value_is_refused():
    with pytest.raises(ValueError, match="'depth' is not key=value"):
        selectors.parse("train[depth].error")


def test_fitting_compares_as_text_and_never_by_a_missing_key():
    found = selectors.parse("t[depth=20].e")
    assert found.fits({"depth": 20, "net": "plain"})
    assert found.fits({"depth": "20"})
    assert not found.fits({"depth": 200})
    assert not selectors.parse("t[net=None].e").fits({"depth": 20})


def test_a_claim_is_answered_by_the_pattern_that_fits():
    answers = {
        "table6.resnet{depth}.{what}": "counts[model=resnet{depth}].{what}",
        "counts.resnet{depth}-a.params": "counts[model=resnet{depth},shortcut=A].params",
        "plain.id": "counts[model=x].params",
    }
    found = selectors.answer("table6.resnet20.params", answers)
    assert str(found) == "counts[model=resnet20].params"
    found = selectors.answer("counts.resnet18-a.params", answers)
    assert str(found) == "counts[model=resnet18,shortcut=A].params"
    assert selectors.answer("plain.id", answers) is not None
    # A word stands for no dot and no hyphen, and a dot of a pattern for a dot only.
    assert selectors.answer("table6.resnet20.a.b", answers) is None
    assert selectors.answer("table6.resnet20-b.params", answers) is None
    assert selectors.answer("plainxid", answers) is None


def test_two_answers_are_refused():
    answers = {"a.{x}": "e[n={x}].m", "{y}.b": "e[k={y}].m"}
    assert selectors.answer("a.c", answers) is not None
    with pytest.raises(ValueError, match=r"claim a\.b has 2 answers: e\[n=b\]\.m, e\[k=a\]\.m"):
        selectors.answer("a.b", answers)


@pytest.mark.parametrize(
    ("pattern", "template"),
    [("a.{x}", "e[n={y}].m"), ("a.{x}", "e[n={}].m"), ("{x}.{x}", "e[n={x}].m")],
)
def test_answers_that_do_not_fit_together_are_refused_in_words(pattern, template):
    with pytest.raises(ValueError, match=r"ANSWERS: .* do not fit together"):
        selectors.answer("a.a", {pattern: template})


def test_numbers_come_by_seed_in_order(demo):
    made = demo.trained()
    found = selectors.values(selectors.parse("train[net=plain,depth=56].train_loss"), made[::-1])
    assert list(found) == [0, 1, 2]
    assert found[0] == pytest.approx(1.49)
    assert selectors.values(selectors.parse("train[net=none].train_loss"), made) == {}


def test_two_runs_of_a_seed_are_refused_by_their_ids(demo):
    made = demo.trained()
    fits = [r for r in made if r.variant["net"] == "plain" and r.seed == 0]
    with pytest.raises(ValueError, match="fits two runs of seed 0") as caught:
        selectors.values(selectors.parse("train[net=plain].train_loss"), made)
    assert all(r.id in str(caught.value) for r in fits)


def test_a_missing_metric_names_those_there_are(demo):
    with pytest.raises(ValueError, match="has no metric loss; it has train_loss"):
        selectors.values(selectors.parse("train[net=plain,depth=56].loss"), demo.trained())


def test_the_variants_of_a_profile(demo):
    experiment = demo.load().replication.experiments["train"]
    assert len(selectors.parse("train[net=plain].x").variants(experiment, "quick")) == 2
    assert selectors.parse("train[net=plain].x").variants(experiment, "paper") == []
