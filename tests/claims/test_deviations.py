"""Deviations: what their files may say, which claims they come to, and what is refused."""

import functools
import textwrap

import pytest

from replab.claims import deviations
from replab.claims.claim import claim_selectors
from replab.claims.schema import load
from replab.errors import UserError
from replab.runs.experiment import papers

FILE = """\
deviations:
  - id: small-images
    topic: data
    where: "`quick` trainings"
    paper: large images
    here: small ones
    why: Minutes instead of hours on a laptop.
    experiments: [train]
  - id: rounding
    topic: evaluation
    where: rounding
    paper: not said
    here: to the nearest
    why: It is how numbers are printed elsewhere.
    claims: ["full.r*.error", "table1.a.*"]
  - id: pictures
    topic: evaluation
    where: figures
    paper: none
    here: a few
    why: A reader is to see what was measured.
"""


@pytest.fixture
def stated(demo):
    demo.path(deviations.FILE).write_text(FILE, encoding="utf-8")
    return demo


def test_patterns_and_experiments_come_to_claims_in_the_paper_s_order(stated):
    images, rounding, pictures = deviations.load(stated.load())
    assert images.touches == ("quick.degrades", "quick.unpowered")
    assert images.scaled
    assert rounding.touches == (
        *("table1.a.params", "table1.a.flops"),
        *("full.r20.error", "full.r44.error", "full.r56.error"),
    )
    assert not rounding.scaled
    assert pictures.touches == ()
    assert rounding.stated.here == "to the nearest"


def test_a_claim_knows_its_deviations(stated):
    paper = stated.load()
    assert [d.stated.id for d in deviations.of_claim(paper, "full.r44.error")] == ["rounding"]
    assert deviations.of_claim(paper, "text.impossible") == []
    with pytest.raises(UserError, match="demo has no claim 'table1'"):
        deviations.of_claim(paper, "table1")


def test_a_paper_without_the_file_has_none(demo):
    assert deviations.load(demo.load()) == ()


@pytest.mark.parametrize(
    ("old", "new", "line", "says"),
    [
        ("    why: It is how numbers are printed elsewhere.\n", "", 9, "why: field required"),
        ("    where: rounding\n", "    where: rounding\n    reason: no\n", 12, "extra inputs"),
        ("table1.a.*", "table9.*", 15, r"'table9.\*' fits no claim of demo"),
        # A row of context is shown, never decided, so nothing can touch its verdict.
        ("table1.a.*", "table1.rival.*", 15, r"'table1.rival.\*' fits no claim of demo"),
        ("[train]", "[trian]", 8, "no claim of demo rests on an experiment 'trian'"),
        ("id: rounding", "id: small-images", 9, "'small-images' stands here a second time"),
        ("id: rounding", "id: Rounding up", 9, "string should match pattern"),
        ("topic: data", "topic: weather", 3, "'weather' is none of data, network"),
        ("here: small ones", "here: [small]", 6, "should be a valid string"),
        ("why: Minutes instead of hours on a laptop.", "why: Time.", 7, "at least 20 characters"),
        ("deviations:", "deviation:", 1, "field required"),
        ("here: small ones", "here: small: ones", 6, "not valid YAML"),
    ],
)
def test_a_mistake_is_one_line_with_file_and_line(stated, old, new, line, says):
    stated.edit(deviations.FILE, old, new)
    with pytest.raises(UserError, match=says) as raised:
        deviations.load(stated.load())
    text = str(raised.value)
    assert "\n" not in text
    assert text.startswith(f"replications/demo/deviations.yaml:{line}: "), text


@functools.cache
def of_paper(name):
    """A paper of the suite and its deviations."""
    paper = load(name)
    return paper, deviations.load(paper)


@pytest.mark.parametrize("name", papers())
class TestPapers:
    def test_every_claim_that_rests_on_trainings_has_deviations(self, name):
        """No training here is the paper's to the last detail, so one without would be a lapse."""
        paper, found = of_paper(name)
        touched = {claim for d in found for claim in d.touches}
        experiments = paper.replication.experiments
        trained = {
            claim.id
            for claim in paper.claims.values()
            if claim.gate
            and not all(experiments[s.experiment].deterministic for s in claim_selectors(claim))
        }
        assert trained - touched == set()

    def test_scaled_claims_touch_nothing_but_what_is_scaled(self, name):
        paper, found = of_paper(name)
        for deviation in found:
            own = [c for c in deviation.touches if paper.claims[c].supports is None]
            assert deviation.scaled == (not own), deviation.stated.id

    def test_words_say_something(self, name):
        for deviation in of_paper(name)[1]:
            stated = deviation.stated
            assert stated.paper != stated.here, stated.id
            assert stated.why.endswith("."), stated.id
            # Folded text keeps its line breaks where it is indented further, which is a slip.
            words = (stated.where, stated.paper, stated.here, stated.why)
            assert all(textwrap.dedent(text).count("\n") == 0 for text in words), stated.id
