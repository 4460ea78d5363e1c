"""The forecast: what is left of a profile, what it takes, and that much is not begun unasked."""

import json
import sys
from dataclasses import replace
from fnmatch import fnmatchcase

import pytest

from replab import commands
from replab.claims.schema import load
from replab.cli import main
from replab.errors import UserError
from replab.options import RunOptions
from replab.planning import replication
from replab.planning.downloads import Download
from replab.planning.forecast import Forecast, Row, forecast
from replab.planning.request import Request
from replab.runs.store import Store

SMALL = Forecast("p", "paper", (Row("e", 4, 2, 3600.0, "core"),), (Download("d", 10**9),), False)
COSTS = """\
experiments:
  large: {unit: 3.0e+9, device: gpu, rate: 2.0e+5, why: assumed for the sake of a test}
"""


@pytest.fixture
def mini(accepted, tmp_path, monkeypatch):
    """An accepted checkout that may be changed, with an empty store, this process's own."""
    made = accepted.copy(tmp_path)
    monkeypatch.setenv("REPLAB_ROOT", str(made.root))
    monkeypatch.setenv("REPLAB_STORE", str(tmp_path / "store"))
    monkeypatch.setenv("REPLAB_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("REPLAB_OFFLINE", "1")
    return made


def ahead(profile="quick", only=None, seeds=None):
    paper, options = load("mini"), RunOptions(device="cpu")
    request = Request(paper="mini", profile=profile, only=only, seeds=seeds, options=options)
    return forecast(paper, replication.plan(paper, request), Store())


class TestForecast:
    def test_counts_what_is_left_and_does_nothing(self, mini):
        first = {row.experiment: row for row in ahead().rows}
        assert (first["add"].runs, first["add"].left) == (1, 1)
        assert (first["noisy"].runs, first["noisy"].left) == (6, 6)
        assert first["noisy"].device == "core"
        assert first["noisy"].seconds > 0
        assert not Store().folder.exists()
        assert main(["run", "mini", "noisy", "--variant", "level=low", "--seed", "1"]) == 0
        then = {row.experiment: row for row in ahead().rows}
        assert (then["noisy"].runs, then["noisy"].left) == (6, 5)
        # Both levels cost the same in this paper.
        assert then["noisy"].seconds == pytest.approx(first["noisy"].seconds * 5 / 6)

    def test_takes_other_seeds_and_no_more_than_is_asked_for(self, mini):
        (row,) = ahead(only="noisy", seeds=(7, 8)).rows
        assert (row.experiment, row.runs, row.left) == ("noisy", 4, 4)

    def test_says_where_nobody_knows(self, mini):
        # `large` has never been run in its profile, but in none else either: nothing is known.
        (mini.root / "replications/mini/costs.yaml").unlink(missing_ok=True)
        (row,) = ahead("paper").rows
        assert (row.left, row.seconds, row.device) == (3, None, "")
        assert "nobody has measured how long" in ahead("paper").text()

    def test_command_prints_it(self, mini, capsys):
        assert main(["replicate", "mini", "--dry-run", "--json"]) == 0
        said = json.loads(capsys.readouterr().out)
        assert {row["experiment"]: row["left"] for row in said["rows"]} == {"add": 1, "noisy": 6}
        assert main(["replicate", "mini", "--dry-run", "--only", "noisy"]) == 0
        assert "noisy: 6 of 6 runs" in capsys.readouterr().out
        assert not Store().folder.exists()

    def test_names_what_has_to_be_fetched(self, monkeypatch, tmp_path, capsys):
        monkeypatch.setenv("REPLAB_DATA", str(tmp_path))
        monkeypatch.setenv("REPLAB_STORE", str(tmp_path / "store"))
        for only, expected in (("lspet_reduced", {"lspet"}), ("ceilings", None)):
            words = ["replicate", "hrnet", "--profile", "standin", "--only", only, "--dry-run"]
            assert main([*words, "--json"]) == 0
            said = json.loads(capsys.readouterr().out)
            assert all(fnmatchcase(row["experiment"], only) for row in said["rows"])
            names = {download["name"] for download in said["downloads"]}
            assert names == (expected or {"coco-val2017-estimated"})


class TestLarge:
    def test_is_a_day_of_a_device_much_to_fetch_or_a_gpu_s_work_without_one(self):
        day = Row("e", 4, 2, 25 * 3600.0, "core")
        hours = Row("e", 4, 2, 2 * 3600.0, "gpu")
        assert not SMALL.is_large
        assert replace(SMALL, rows=(day,)).is_large
        assert replace(SMALL, downloads=(Download("d", 6 * 10**9),)).is_large
        assert replace(SMALL, rows=(hours,)).is_large
        assert not replace(SMALL, rows=(hours,), has_gpu=True).is_large
        assert "no GPU here" in replace(SMALL, rows=(hours,)).summary

    def test_a_script_gets_one_line(self, monkeypatch, tmp_path, capsys):
        monkeypatch.setenv("REPLAB_DATA", str(tmp_path))
        monkeypatch.setenv("REPLAB_STORE", str(tmp_path / "store"))
        assert main(["replicate", "hrnet", "--profile", "paper"]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert "hrnet, profile paper: 99 of 99 runs to do" in line
        assert "--yes" in line
        assert not (tmp_path / "store").exists()

    def test_yes_begins_and_one_claim_is_not_asked_about(self, mini, monkeypatch, capsys):
        (mini.root / "replications/mini/costs.yaml").write_text(COSTS)
        assert ahead("paper").is_large
        begun = []
        monkeypatch.setattr(
            replication, "replicate", lambda *words: begun.append(1) or exit_early()
        )
        for words, times in ((["--yes"], 1), (["--only", "large"], 2), ([], 2)):
            assert main(["replicate", "mini", "--profile", "paper", *words]) == 2
            assert len(begun) == times, words
        assert "as asked" in capsys.readouterr().err

    @pytest.mark.parametrize(("answer", "begins"), [("y", True), ("no", False), ("", False)])
    def test_a_person_is_asked(self, answer, begins, monkeypatch, capsys):
        large = replace(SMALL, downloads=(Download("d", 6 * 10**9),))
        monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
        monkeypatch.setattr("builtins.input", lambda prompt: answer)
        if begins:
            commands.replication.consent(large)
        else:
            with pytest.raises(UserError, match="nothing was begun"):
                commands.replication.consent(large)
        assert "fetch d: 6.0 GB" in capsys.readouterr().err


def exit_early():
    raise UserError("as asked")
