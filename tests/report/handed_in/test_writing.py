"""The command `report`: files on a disk, what a person changed, errors of one line."""

import json
import shutil
from pathlib import Path

import pytest

from replab.cli import main
from replab.errors import CheckFailed, UserError
from replab.report import handed_in
from replab.report.handed_in import blanks, writing
from replab.report.handed_in.dossier import gather
from replab.report.handed_in.ro_crate import METADATA

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def composing(monkeypatch, made):
    """The command on the dossier that all tests share: reading it takes longer than writing."""
    monkeypatch.setattr(
        writing, "gather", lambda paper, profile, code_url="": made(paper, profile)[0]
    )


def test_reports_are_written_verified_and_told_of(composing, tmp_path, capsys):
    words = ["report", "resnet", "--format", "rescience", "--out", str(tmp_path)]
    assert main(words) == 0
    said = capsys.readouterr().out
    assert "rescience: 2 files" in said
    assert "5 places are yours to fill in:\n  rescience/metadata.yaml: your name" in said
    assert main([*words, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["formats"] == ["rescience"]
    for path, size in told["files"].items():
        assert (tmp_path / path).stat().st_size == size


def test_what_a_person_filled_in_is_kept(composing, tmp_path):
    done = writing.hand_in("resnet", "quick", "mlrc", tmp_path)
    report = tmp_path / "mlrc/report.md"
    filled = report.read_text().replace("[YOURS TO FILL IN: what was easy]", "Counting.")
    report.write_text(filled)
    with pytest.raises(UserError, match=r"report\.md was changed since it was written; choose"):
        writing.hand_in("resnet", "quick", "mlrc", tmp_path)
    assert report.read_text() == filled
    dossier = writing.gather("resnet", "quick")
    assert writing.problems(dossier, tmp_path, ["mlrc"]) == []
    # Another format beside it does not touch it.
    writing.hand_in("resnet", "quick", "rescience", tmp_path)
    assert report.read_text() == filled
    again = writing.hand_in("resnet", "quick", "mlrc", tmp_path, force=True)
    assert again == done
    assert report.read_text() != filled


def test_a_file_of_a_person_that_stands_in_the_way_is_kept(composing, tmp_path):
    (tmp_path / "mlrc").mkdir()
    (tmp_path / "mlrc/report.md").write_text("mine")
    with pytest.raises(UserError, match="was changed"):
        writing.hand_in("resnet", "quick", "mlrc", tmp_path)
    assert (tmp_path / "mlrc/report.md").read_text() == "mine"
    assert not (tmp_path / "mlrc/report.tex").exists()


def test_what_an_earlier_ledger_had_goes_and_an_interrupted_call_can_be_repeated(
    composing, tmp_path, monkeypatch
):
    full = handed_in.compose
    extra = {"model-index/gone.md": b"an older network"}
    monkeypatch.setattr(handed_in, "compose", lambda d, f: full(d, f) | extra)
    with pytest.raises(CheckFailed, match=r"gone\.md is about no network"):
        writing.hand_in("resnet", "quick", "model-index", tmp_path)
    assert (tmp_path / "model-index/gone.md").exists()
    monkeypatch.setattr(handed_in, "compose", lambda d, f: full(d, f) | {"model-index/x.md": b"y"})

    def stop(path, data):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(writing, "write_bytes", stop)
        with pytest.raises(KeyboardInterrupt):
            writing.hand_in("resnet", "quick", "model-index", tmp_path)
    monkeypatch.setattr(handed_in, "compose", full)
    writing.hand_in("resnet", "quick", "model-index", tmp_path)
    assert not (tmp_path / "model-index/gone.md").exists()
    dossier = writing.gather("resnet", "quick")
    assert writing.problems(dossier, tmp_path, ["model-index"]) == []


def test_a_broken_list_of_what_was_written_is_no_traceback(composing, tmp_path):
    (tmp_path / ".written.json").write_text("[]")
    with pytest.raises(UserError, match="remove it, or choose"):
        writing.hand_in("resnet", "quick", "mlrc", tmp_path)


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["nobody"], "no paper 'nobody'; there are: "),
        (["resnet", "--profile", "huge"], "no profile 'huge'; there are: quick, standin, paper"),
        (["resnet", "--format", "pdf"], "no report format 'pdf'; there are: mlrc, rescience"),
        (["resnet", "--code", "my/place"], "give an address that begins with https://"),
    ],
)
def test_a_mistake_ends_in_one_line(capsys, words, problem):
    assert main(["report", *words]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert problem in err


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """A copy of a replication with its evidence, which may be spoilt."""
    evidence = ("results/simplebaseline/quick", "results/simplebaseline/runs")
    without = shutil.ignore_patterns("__pycache__", "*.html", "figures")
    for part in ("replications/simplebaseline", "notebooks", *evidence):
        shutil.copytree(ROOT / part, tmp_path / part, ignore=without)
    monkeypatch.setenv("REPLAB_ROOT", str(tmp_path))
    return tmp_path


def one_line(capsys):
    assert main(["report", "simplebaseline"]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    return err


def test_without_an_accepted_ledger_there_is_nothing_to_report(elsewhere, capsys):
    (elsewhere / "results/simplebaseline/quick/accepted.json").unlink()
    err = one_line(capsys)
    assert "has no accepted ledger under profile quick (nothing is accepted)" in err
    assert not (elsewhere / "reports").exists()


def test_a_ledger_that_does_not_follow_from_its_records_is_not_reported(elsewhere, capsys):
    path = elsewhere / "results/simplebaseline/quick/accepted.json"
    path.write_text(
        path.read_text().replace('"verdict": "inconclusive"', '"verdict": "reproduced"')
    )
    assert "does not follow from its records; `python -m replab check" in one_line(capsys)


def test_committed_weights_go_into_the_crate_as_the_result_of_their_run(elsewhere):
    results = elsewhere / "results/simplebaseline"
    # Of this profile; the folder holds other profiles' runs as well.
    run = min(json.loads((results / "quick/accepted.json").read_text())["runs"])
    folder = results / "weights"
    folder.mkdir()
    (folder / "net.safetensors").write_bytes(b"eight by")
    shutil.copy(results / f"runs/{run}.json", folder / "net.json")
    (folder / "foreign.safetensors").write_bytes(b"x")
    (folder / "foreign.json").write_text('{"id": "of another profile"}')
    dossier = gather("simplebaseline", "quick")
    files = handed_in.compose(dossier, ["ro-crate"])
    assert handed_in.problems(dossier, ["ro-crate"], files) == []
    name = "results/simplebaseline/weights/net.safetensors"
    assert files[f"ro-crate/{name}"] == b"eight by"
    assert not any("foreign" in path for path in files)
    graph = json.loads(files[f"ro-crate/{METADATA}"])["@graph"]
    (action,) = [e for e in graph if e["@id"] == f"#run-{run}"]
    assert {"@id": name} in action["result"]


def test_a_blank_is_found_again_or_refused():
    assert blanks.is_blank(blanks.blank("your name"))
    assert not blanks.is_blank("Ada")
    with pytest.raises(ValueError, match="cannot be marked"):
        blanks.blank('what "they" said')
