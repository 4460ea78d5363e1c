"""`replicate`: what it renders, what it reuses, and how it says what the user did wrong."""

import json
import shutil
from pathlib import Path

import nbformat
import pytest

from replab.cli import main

pytestmark = pytest.mark.faults


class TestReplicate:
    def test_renders_what_it_measured_and_leaves_no_trace_of_the_machine(self, accepted):
        rendered = nbformat.read(accepted.rendered, as_version=4)
        checked = [c for c in rendered.cells if "nbval-check-output" in c.metadata.get("tags", [])]
        assert checked[0].outputs[0]["text"].splitlines() == [
            "table1.sum | 5 | reproduced",
            "table1.wrong | 6 | not reproduced",
            "table9.cost | 7 | not attempted",
            "quick.order | low < high | reproduced",
        ]
        assert rendered.metadata.get("papermill") is None
        assert rendered.metadata.get("widgets") is None
        assert not any(
            "papermill" in c.metadata or "execution" in c.metadata for c in rendered.cells
        )
        for path in (accepted.root / "results").rglob("*"):
            if path.is_file():
                content = path.read_bytes()
                assert str(accepted.root).encode() not in content, path
                assert str(Path.home()).encode() + b"/" not in content, path

    def test_html_asks_nothing_of_the_network(self, accepted):
        page = accepted.rendered.with_suffix(".html").read_text()
        assert "On Sums" in page
        assert "<script src=" not in page
        assert '<link rel="stylesheet" href="http' not in page

    def test_figures_are_kept_as_svg_and_png(self, accepted):
        folder = accepted.rendered.parent / "figures"
        assert {p.name for p in folder.iterdir()} == {"ledger.svg", "ledger.png"}
        assert (folder / "ledger.png").read_bytes().startswith(b"\x89PNG")

    def test_again_reuses_the_records_and_renders_the_same_bytes(self, accepted, tmp_path):
        twin = accepted.copy(tmp_path)
        before = {p: p.read_bytes() for p in twin.rendered.parent.rglob("*") if p.is_file()}
        done = twin.replab("accept", "mini")
        assert done.returncode == 0, done.stderr
        assert {
            p: p.read_bytes() for p in twin.rendered.parent.rglob("*") if p.is_file()
        } == before
        done = twin.replab("replicate", "mini", "--only", "*", MINI_FAIL="0")
        assert done.returncode == 0, done.stderr
        assert "runs to do" not in done.stderr

    def test_render_needs_no_store_and_gives_the_same_bytes(self, accepted, tmp_path):
        twin = accepted.copy(tmp_path)
        folder = twin.rendered.parent
        before = {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}
        shutil.rmtree(twin.root / ".replab")
        shutil.rmtree(folder / "figures")
        twin.rendered.write_text("lost")
        done = twin.replab("render", "--profile", "quick")
        assert done.returncode == 0, done.stderr
        assert done.stdout.strip() == "results/mini/quick/mini.ipynb"
        assert {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()} == before
        assert not list((twin.root / ".replab").rglob("*.json"))
        done = twin.replab("render", "mini", "--profile", "paper")
        assert done.returncode == 2
        assert "nothing was accepted of mini paper" in twin.one_line(done.stderr)

    def test_strict_turns_a_claim_that_fails_into_exit_code_one(self, accepted, tmp_path):
        twin = accepted.copy(tmp_path)
        done = twin.replab("replicate", "mini", "--strict", "--only", "table1.*")
        assert done.returncode == 1
        assert "table1.wrong" in twin.one_line(done.stderr)

    def test_only_does_no_more_than_asked(self, checkout):
        done = checkout.replab("replicate", "mini", "--only", "table1.sum", "--json")
        assert done.returncode == 0, done.stderr
        claims = json.loads(done.stdout)["claims"]
        assert [c["id"] for c in claims] == ["table1.sum", "table1.wrong"]
        assert len(list((checkout.root / ".replab/runs/mini").glob("*.json"))) == 1
        assert not checkout.rendered.exists()


class TestUserErrors:
    @pytest.mark.parametrize(
        ("words", "parts"),
        [
            (["replicate", "nope"], ["no paper 'nope'", "mini"]),
            (["replicate", "mini", "--profile", "nope"], ["no profile 'nope'", "quick"]),
            (["replicate", "mini", "-p", "nope=1"], ["no parameter 'nope'", "shift"]),
            (["replicate", "mini", "-p", "shift=x"], ["parameter shift", "int"]),
            (["replicate", "mini", "-p", "shift"], ["-p shift", "name=value"]),
            (["replicate", "mini", "--seeds", "x"], ["--seeds x", "3-5"]),
            (["replicate", "mini", "--only", "zzz"], ["no runs that fit 'zzz'"]),
            (["replicate", "mini", "--profile", "standin"], ["has no runs"]),
            (["run", "mini", "nope"], ["no experiment 'nope'", "add, noisy"]),
            (["run", "mini", "noisy"], ["fits several variants", "level=low"]),
            (["run", "mini", "noisy", "--variant", "level=no"], ["fits no variant"]),
            (["replicate", "mini", "--device", "tpu"], ["no device 'tpu'", "cpu"]),
            (["claims", "mini", "--records", "committed"], ["accepted.json", "accept mini"]),
            (["accept", "mini"], ["nothing to accept"]),
            (["import", "nowhere.json"], ["nowhere.json"]),
            (["fetch", "nope"], ["'nope'", "nearest"]),
            (["score", "cifar10", "--weights", "no.th"], ["cifar10", "fetch"]),
        ],
        ids=lambda value: "-".join(value) if isinstance(value, list) else None,
    )
    def test_one_line_and_exit_code_two(self, checkout, words, parts, monkeypatch, capsys):
        for name, value in checkout.environment.items():
            monkeypatch.setenv(name, value)
        assert main(words) == 2
        message = checkout.one_line(capsys.readouterr().err)
        assert message.startswith("error: ")
        for part in parts:
            assert part in message
        assert not (checkout.root / "results").exists()

    def test_malformed_paper_yaml_names_file_and_line(self, checkout):
        path = checkout.root / "replications/mini/paper.yaml"
        path.write_text(path.read_text().replace("rule: equal", "rule: eqal"))
        done = checkout.replab("replicate", "mini")
        assert done.returncode == 2
        assert checkout.one_line(done.stderr).startswith("error: replications/mini/paper.yaml:3: ")

    def test_a_notebook_that_takes_no_records_is_refused_before_the_runs(self, checkout):
        path = checkout.root / "notebooks/mini.ipynb"
        path.write_text(path.read_text().replace('records = \\"compute\\"\\n', ""))
        done = checkout.replab("replicate", "mini")
        assert done.returncode == 2
        assert "lacks the parameter records" in checkout.one_line(done.stderr)
        assert not (checkout.root / ".replab/runs").exists()


class TestOtherCommands:
    @pytest.mark.parametrize(
        "words",
        [
            ["--variant", "a=2", "b=3"],
            ["--variant", "a=2", "--variant", "b=3"],
            ["--variant", "a=2,b=3"],
            [],
        ],
    )
    def test_run_takes_a_variant_in_any_spelling(self, checkout, words, monkeypatch, capsys):
        for name, value in checkout.environment.items():
            monkeypatch.setenv(name, value)
        assert main(["run", "mini", "add", *words, "--json"]) == 0
        record = json.loads(capsys.readouterr().out)
        assert record["metrics"] == {"sum": 5}
        assert record["variant"] == {"a": 2, "b": 3}

    def test_claims_json_has_the_contract_s_fields(self, accepted):
        done = accepted.replab("claims", "mini", "--json")
        assert done.returncode == 0, done.stderr
        fields = {
            *("id", "locus", "kind", "source", "reported", "unit", "measured", "interval", "n"),
            *("tolerance", "verdict", "why", "profile", "data", "supports", "runs", "command"),
        }
        entries = {c["id"]: c for c in json.loads(done.stdout)}
        assert all(fields <= set(entry) for entry in entries.values())
        assert set(entries) == {"table1.sum", "table1.wrong", "table9.cost", "quick.order"}
        assert entries["table9.cost"]["why"] == "needs a machine that nobody has"
        assert entries["quick.order"]["supports"] == "table1.sum"
        assert entries["quick.order"]["n"] == 3

    def test_import_brings_records_that_are_then_reused(self, accepted, tmp_path):
        twin = accepted.copy(tmp_path)
        shutil.rmtree(twin.root / ".replab")
        done = twin.replab("import", "results/mini")
        assert done.stdout.strip() == "7 records brought in, 0 were here already"
        done = twin.replab("replicate", "mini", "--only", "*", MINI_FAIL="0")
        assert done.returncode == 0, done.stderr
        assert "runs to do" not in done.stderr

    def test_list(self, accepted):
        done = accepted.replab("list", "--json")
        (paper,) = json.loads(done.stdout)
        assert paper["claims"] == 3
        assert paper["accepted"]["quick"]["reproduced"] == 1


class TestRegress:
    def test_is_green_when_the_code_computes_the_same(self, accepted, tmp_path):
        twin = accepted.copy(tmp_path)
        shutil.rmtree(twin.root / ".replab")
        done = twin.replab("regress", "--workers", "1")
        assert done.returncode == 0, done.stderr
        assert "3 ok, 0 worse, 0 not compared" in done.stdout

    def test_turns_red_when_a_number_moves(self, accepted, tmp_path):
        twin = accepted.copy(tmp_path)
        shutil.rmtree(twin.root / ".replab")
        path = twin.root / "replications/mini/experiments.py"
        path.write_text(path.read_text().replace('["a"] + context', '["a"] * context'))
        done = twin.replab("regress", "--workers", "1", "--json")
        assert done.returncode == 1
        states = {c["claim"]: c["state"] for c in json.loads(done.stdout)["mini"]}
        assert states == {"table1.sum": "worse", "table1.wrong": "worse", "quick.order": "ok"}
