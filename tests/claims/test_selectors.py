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
