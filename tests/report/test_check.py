"""`check`: green on what was accepted, red after any one change."""

import json
from pathlib import Path

import pytest

from replab.claims.accepted import load_all
from replab.report import docs_pages

pytestmark = pytest.mark.faults


def change_record(root: Path) -> None:
    for path in (root / "results/mini/runs").glob("*.json"):
        record = json.loads(path.read_text())
        if record["experiment"] == "add":
            record["metrics"]["sum"] = 6
            path.write_text(json.dumps(record))


def change_reported(root: Path) -> None:
    path = root / "replications/mini/claims.csv"
    path.write_text(path.read_text().replace("exact,sum,5", "exact,sum,8"))


def change_tolerance(root: Path) -> None:
    path = root / "replications/mini/paper.yaml"
    path.write_text(path.read_text().replace("min_seeds: 3", "min_seeds: 4"))


def change_verdict(root: Path) -> None:
    path = root / "results/mini/quick/accepted.json"
    path.write_text(path.read_text().replace('"not reproduced"', '"reproduced"'))


def change_rendered(root: Path) -> None:
    path = root / "results/mini/quick/mini.ipynb"
    path.write_text(path.read_text().replace("6 | not reproduced", "6 | reproduced"))


def change_table(root: Path) -> None:
    path = root / "results/README.md"
    path.write_text(path.read_text().replace("not reproduced", "reproduced"))


class TestCheck:
    def test_is_green_on_what_was_accepted(self, accepted):
        done = accepted.replab("check")
        assert done.returncode == 0, done.stderr
        assert "follow from the committed records" in done.stdout

    @pytest.mark.parametrize(
        ("mutate", "names"),
        [
            (change_record, "record"),
            (change_reported, "table1.sum"),
            (change_tolerance, "quick.order"),
            (change_verdict, "table1.wrong"),
            (change_rendered, "nbval"),
        ],
        ids=["record", "reported", "tolerance", "verdict", "rendered"],
    )
    def test_turns_red(self, accepted, tmp_path, mutate, names):
        twin = accepted.copy(tmp_path)
        mutate(twin.root)
        done = twin.replab("check")
        assert done.returncode == 1, done.stdout
        assert names in done.stderr
        assert "Traceback" not in done.stderr.splitlines()[0]

    def test_table_that_was_edited(self, accepted, tmp_path, monkeypatch):
        twin = accepted.copy(tmp_path)
        monkeypatch.setenv("REPLAB_ROOT", str(twin.root))
        assert docs_pages.problem(load_all()) == ""
        change_table(twin.root)
        assert "results/README.md" in docs_pages.problem(load_all())

    def test_under_nbval_a_missing_record_is_an_error_and_no_run_starts(self, accepted, tmp_path):
        twin = accepted.copy(tmp_path)
        # As `replicate` leaves it: a notebook that shows this machine's records.
        text = twin.rendered.read_text()
        twin.rendered.write_text(
            text.replace('records = \\"committed\\"', 'records = \\"machine\\"')
        )
        for path in (twin.root / ".replab/runs/mini").glob("*.json"):
            path.unlink()
        done = twin.replab("check")
        assert done.returncode == 1
        assert "is missing" in done.stderr
        assert not any((twin.root / ".replab/runs/mini").iterdir())
