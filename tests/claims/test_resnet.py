"""The counts of the ResNet paper that are really there."""

from replab.claims.ledger import build
from run_contexts import done_here

# To build the deeper nets takes longer than all the other tests here.
SHALLOW = ("net20", "plain20", "net18", "net34")


def test_counts_that_the_suite_makes_itself_are_reproduced(load_paper):
    """The shallow networks of the quick profile, counted here: no claim on a count may fail."""
    paper = load_paper("resnet")
    made = done_here(paper, "counts", wanted=lambda v: str(v["model"]).endswith(SHALLOW))
    found = build(paper, "quick", made).select(attempted=True)
    assert len(found) >= 12
    assert {e.id: e.why for e in found if e.verdict != "reproduced"} == {}
