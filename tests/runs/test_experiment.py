"""Finding papers and their experiments."""

import pytest

from replab.errors import UserError
from replab.runs import experiment
from replab.runs.experiment import load_replication, require_experiment, require_profile


def message(call, *words):
    with pytest.raises(UserError) as error:
        call(*words)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_papers(tiny):
    assert experiment.papers() == ["tiny"]
    assert experiment.require_paper("tiny") == tiny.root.resolve() / "replications" / "tiny"


@pytest.mark.parametrize("name", ["vgg", "", "../tiny", "Tiny", "tiny/"])
def test_no_such_paper(tiny, name):
    text = message(experiment.require_paper, name)
    assert text.startswith(f"no paper '{name}'")
    assert text.endswith("; there are: tiny")


def test_profiles():
    assert [require_profile(p) for p in ("quick", "standin", "paper")] == list(experiment.PROFILES)
    text = message(require_profile, "fast")
    assert text == "no profile 'fast'; there are: quick, standin, paper"


def test_load(tiny):
    loaded = load_replication("tiny")
    assert loaded.paper == "tiny"
    assert loaded.experiments["add"].name == "add"
    assert require_experiment(loaded, "add") is loaded.experiments["add"]
    assert load_replication("tiny").experiments["add"] is loaded.experiments["add"]
    text = message(require_experiment, loaded, "subtract")
    assert text.startswith("paper 'tiny' has no experiment 'subtract'; it has: add, fail, ")


def test_a_replication_without_experiments(tiny):
    (tiny.root / "replications" / "tiny" / "experiments.py").unlink()
    load = tiny.root / "replications" / "empty"
    load.mkdir()
    assert "experiments.py is missing" in message(load_replication, "empty")


def test_a_broken_module_is_not_kept(tiny):
    folder = tiny.root / "replications" / "broken"
    folder.mkdir()
    (folder / "experiments.py").write_text("raise KeyError('not today')\n")
    with pytest.raises(KeyError):
        load_replication("broken")
    (folder / "experiments.py").write_text("EXPERIMENTS = ()\n")
    assert load_replication("broken").experiments == {}
