"""What a notebook holds: figures and tables, or a line that says what they need."""

import shutil
from pathlib import Path

import pytest

from replab.claims.ledger import build
from replab.claims.schema import load
from replab.errors import UserError
from replab.report.session import Session
from replab.runs.experiment import RunResult, load_replication
from replab.runs.identity import plan_runs
from replab.runs.record import make

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def session(checkout, monkeypatch):
    """The miniature paper under profile quick, with records of its noisy experiment alone."""
    for name in ("REPLAB_ROOT", "REPLAB_DATA", "REPLAB_OFFLINE"):
        monkeypatch.setenv(name, checkout.environment[name])
    replication = load_replication("mini")
    noisy = replication.experiments["noisy"]
    records = []
    for spec in plan_runs("mini", noisy, "quick", data=("", ""), device="cpu"):
        value = {"low": 1.0, "high": 2.0}[spec.variant["level"]] + 0.01 * spec.seed
        result = RunResult({"loss": value}, iterations=3)
        records.append(make(spec, result, threads=1, provenance={}))
    paper = load("mini")
    return Session(paper, build(paper, "quick", records), records)


def test_draw_takes_the_first_experiment_that_was_run(session, tmp_path, monkeypatch):
    monkeypatch.setenv("REPLAB_FIGURES", str(tmp_path / "figures"))
    seen = []

    def figure(records, **options):
        import matplotlib.pyplot as plt

        seen.append((len(records), options))
        return plt.figure()

    assert session.draw("picture", figure, "large", "noisy", colour="blue") is None
    assert seen == [(6, {"colour": "blue"})]
    assert sorted(p.name for p in (tmp_path / "figures").iterdir()) == [
        "picture.png",
        "picture.svg",
    ]


def test_draw_says_what_is_missing(session, tmp_path, monkeypatch):
    monkeypatch.setenv("REPLAB_FIGURES", str(tmp_path / "figures"))
    shown = []
    monkeypatch.setattr("IPython.display.display", shown.append)

    def figure(records):
        raise AssertionError("there is nothing to draw")

    session.draw("picture", figure, "large")
    (line,) = shown
    assert line.data == (
        "*picture: not run in profile `quick`. It takes a cluster: "
        "`nox -s replicate -- mini --profile paper`*"
    )
    assert not (tmp_path / "figures").exists()


def test_spread(session):
    table = session.spread("loss", "noisy", label="{level}", claim="table1.{level}").data
    assert "| low | – | 1.01 ± 0.01 | 3 | 1.00, 1.01, 1.02 |" in table
    assert "It takes a cluster" in session.spread("loss", "large", label="{level}").data


def test_a_figure_with_prints_is_drawn_without_records_too(session, tmp_path, monkeypatch):
    monkeypatch.setenv("REPLAB_FIGURES", str(tmp_path / "figures"))
    seen = []

    def figure(records, **options):
        import matplotlib.pyplot as plt

        seen.append((len(records), options))
        return plt.figure()

    session.draw_printed("alone", figure, "large", colour="blue")
    session.draw_printed("both", figure, "large", "noisy")
    assert seen == [(0, {"colour": "blue"}), (6, {})]
    assert (tmp_path / "figures" / "alone.svg").is_file()


def test_points_of_a_figure(session, checkout):
    folder = checkout.root / "replications/mini/curves"
    folder.mkdir()
    (folder / "fig5.csv").write_text("# Fig. 5\nmodel,ap\na,70.5\n")
    assert session.points("fig5").rows == ({"model": "a", "ap": "70.5"},)
    with pytest.raises(UserError, match=r"replications/mini/curves/fig6\.csv"):
        session.points("fig6")


def test_reported_numbers_by_label(session):
    assert session.reported({"sum": "table1.sum", "cost": "table9.cost"}) == {"sum": 5, "cost": 7}
    for claim in ("table1.none", "quick.order"):
        with pytest.raises(UserError, match=f"no number is printed in {claim}"):
            session.reported({"sum": claim})


def test_records_of_another_paper_are_cited_by_id(session, checkout):
    committed = next((ROOT / "results/resnet/runs").glob("*.json"))
    folder = checkout.root / "results" / "other" / "runs"
    folder.mkdir(parents=True)
    shutil.copy(committed, folder)
    (record,) = session.cite(committed.stem)
    assert (record.id, record.paper) == (committed.stem, "resnet")
    with pytest.raises(UserError, match="no paper has a committed record 0000"):
        session.cite("0" * 16)
    shutil.copy(committed, folder / f"{'0' * 16}.json")
    with pytest.raises(UserError, match="holds another record"):
        session.cite("0" * 16)
