"""The notebooks before any run, and with the committed ones: no figure is empty or lost."""

import json
from pathlib import Path

import matplotlib as mpl
import pytest

from replab.claims import evidence
from replab.claims.ledger import build
from replab.claims.schema import load
from replab.report import session, style

mpl.use("Agg")
ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    import matplotlib.pyplot as plt

    plt.close("all")


def code(path):
    """The code cells, and whether they hold the parameters."""
    cells = [c for c in json.loads(path.read_text())["cells"] if c["cell_type"] == "code"]
    return [("".join(c["source"]), "parameters" in c["metadata"].get("tags", [])) for c in cells]


def run(path, profile, records, monkeypatch):
    """Execute a notebook's cells on some records: name → figure of all that it keeps."""
    figures = {}
    monkeypatch.setenv("REPLAB_ROOT", str(ROOT))
    monkeypatch.setattr(style, "save", lambda figure, name: figures.update({name: figure}))

    def opened(name, *_):
        paper = load(name)
        return session.Session(paper, build(paper, profile, records), records)

    monkeypatch.setattr(session, "open_paper", opened)
    scope = {"__name__": "notebook"}
    for source, parameters in code(path):
        exec(compile(source, path.name, "exec"), scope)
        if parameters:
            scope["profile"] = profile
    return figures


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_without_records_holds_what_the_paper_says(path, monkeypatch, capsys):
    figures = run(path, "paper", [], monkeypatch)
    assert "ledger" in figures
    for name, figure in figures.items():
        shown = [a for a in figure.axes if a.get_visible()]
        drawn = [a.lines or a.patches or a.collections or a.images for a in shown]
        assert any(drawn), f"{name} is empty"
    printed = capsys.readouterr().out
    assert "| not attempted" in printed
    assert "| reproduced" not in printed


ACCEPTED = sorted((ROOT / "results").glob("*/*/accepted.json"))


@pytest.mark.parametrize("ledger", ACCEPTED, ids=lambda path: "-".join(path.parts[-3:-1]))
def test_a_notebook_draws_the_figures_that_are_committed(ledger, monkeypatch):
    monkeypatch.setenv("REPLAB_ROOT", str(ROOT))
    paper, profile = ledger.parts[-3:-1]
    records = evidence.committed(load(paper), profile)[1]
    figures = run(ROOT / "notebooks" / f"{paper}.ipynb", profile, records, monkeypatch)
    kept = {path.stem for path in (ledger.parent / "figures").iterdir()}
    assert set(figures) == kept
