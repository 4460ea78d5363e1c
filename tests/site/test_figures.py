import json

import pytest

from replab import paths
from replab.claims.accepted import accepted_profiles
from replab.errors import UserError
from replab.runs.experiment import papers
from replab.site.figures import of_claim, of_notebook


def shown(demo, claim):
    statement = next(s for s in demo.statements if s.id == claim)
    found = of_claim(demo, statement, of_notebook("demo", "quick"))
    return [f.name for f in found.own], [f.name for f in found.same_runs]


def test_a_claim_has_the_figure_whose_call_names_it(demo):
    assert shown(demo, "table1.a.params") == (["counts"], [])


def test_a_scaled_claim_has_the_figure_of_its_runs_that_cites_its_place(demo):
    assert shown(demo, "quick.order") == (["figure-3"], ["losses"])


def test_a_claim_that_no_figure_draws_has_none(demo):
    assert shown(demo, "table2.server.ap") == ([], [])


def test_experiments_are_followed_through_variables(demo):
    figures = {f.name: f for f in of_notebook("demo", "quick")}
    assert figures["losses"].words.experiments == {"train", "other"}
    assert figures["counts"].words.experiments == frozenset()


def test_a_figure_that_was_not_drawn_is_left_out_and_the_smaller_file_is_taken(demo):
    found = of_notebook("demo", "quick")
    assert [f.name for f in found] == ["counts", "losses", "figure-3"]
    assert all(f.file.suffix == ".svg" for f in found)
    assert [f.section for f in found] == ["What counting settles", *["Trainings: Fig. 3"] * 2]


def test_a_word_that_only_looks_like_an_experiment_is_none(demo, checkout):
    path = checkout / "results/demo/quick/demo.ipynb"
    before = path.read_text()
    notebook = json.loads(before)
    notebook["cells"][3]["source"] = 'style.save(bars(rows={"train": "x"}), "counts")'
    try:
        path.write_text(json.dumps(notebook))
        assert shown(demo, "quick.order") == (["figure-3"], ["losses"])
        assert shown(demo, "table1.a.params") == ([], [])
    finally:
        path.write_text(before)


def test_places_are_not_mistaken_for_longer_ones(demo):
    figure = next(f for f in of_notebook("demo", "quick") if f.name == "figure-3")
    assert figure.cites("Fig. 3")
    assert not figure.cites("Fig. 33")
    assert not figure.cites("Table 3")


def test_a_missing_notebook_is_said_in_one_line(demo):
    with pytest.raises(UserError, match=r"results/demo/paper/demo\.ipynb is no readable"):
        of_notebook("demo", "paper")


@pytest.mark.parametrize("paper", papers())
def test_every_committed_figure_is_known_by_its_notebook(paper):
    for profile in accepted_profiles(paper):
        folder = paths.root() / "results" / paper / profile / "figures"
        kept = {path.stem for path in folder.iterdir()}
        assert {f.name for f in of_notebook(paper, profile)} == kept


def test_scaled_claims_that_were_measured_have_a_figure_of_their_own_runs(committed):
    found = committed
    figures = [f for profile in found.profiles for f in of_notebook(found.name, profile)]
    measured = [s for s in found.statements if s.claim.supports and s.telling.measured is not None]
    assert measured
    for statement in measured:
        own = of_claim(found, statement, figures).own
        assert own, statement.id
        for figure in own:
            assert figure.profile == statement.claim.profile
            assert figure.names(statement.id) or any(
                figure.draws(found.records[run]) for run in statement.telling.runs
            )
