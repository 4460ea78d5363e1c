"""docs/fifth-paper.md, done as it says: its files are written, its commands given, in its order.

Three things are otherwise than on the page, so that this takes seconds and needs no data:
trainings are short and see a small generated set (`SHORTENED`, `GENERATED`), runs are done in this
process, one after the other, and `replicate` does not render, since `accept` renders the
same notebook by the same function. Counts are never touched.
"""

import ast
import contextlib
import importlib.util
import io
import json
import math
import os
import re
import shlex
import shutil
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import nbformat
import pytest
import torch

from replab import hardware
from replab.claims import acceptance, printed
from replab.claims.accepted import load_accepted
from replab.claims.schema import load
from replab.cli import main
from replab.datasets import generated
from replab.models.counting import count_parameters
from replab.report import notebook
from replab.runs import executors
from replab.runs import record as records

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOK = "notebooks/wrn.ipynb"
ITERATIONS = 12
# What the test replaces in the page's experiments.py; each must stand there once.
SHORTENED = {
    "iterations=400": f"iterations={ITERATIONS}",
    'data=("cifar10", "generated-shapes")': 'data=("generated-shapes",)',
}
# Images drawn in place of 20,000 and 2,000, and the seed.
GENERATED = (600, 200, 0)

_FENCED = re.compile(
    r"^(?:(?P<lead>[^\n]+):\n\n)?```(?P<language>\w+)\n(?P<body>.*?)^```$",
    re.DOTALL | re.MULTILINE,
)
_CELL = re.compile(r"Cell \d+, (?P<kind>text|code)(?:, tag `(?P<tag>[\w-]+)`)?")
# Lines whose numbers hang on a training; a verdict on so short a one may be any.
_TRAINED = re.compile(r"  (?:train_loss|train_error|test_error) = |quick\.|scaled claims:")


@dataclass(frozen=True)
class Block:
    """A fenced block of the page.

    Attributes:
        kind: file, cell, change or commands.
        name: a file's path, or a cell's kind.
        tag: of a cell.
    """

    kind: str
    name: str
    body: str
    tag: str = ""


@dataclass(frozen=True)
class Command:
    """A command of the page and what it shows; `…` stands for anything."""

    line: str
    shown: str

    @property
    def fails(self) -> bool:
        return re.search("^failed: ", self.shown, re.MULTILINE) is not None


def blocks(page: str) -> Iterator[Block]:
    for match in _FENCED.finditer(page):
        lead, language, body = match["lead"] or "", match["language"], match["body"]
        path = re.fullmatch(r"`([\w./-]+)`", lead)
        cell = _CELL.fullmatch(lead)
        if language == "console":
            yield Block("commands", "", body)
        elif cell:
            yield Block("cell", cell["kind"], body.rstrip("\n"), cell["tag"] or "")
        else:
            assert path, f"a block without a name: {body[:60]!r}"
            yield Block("change" if language == "diff" else "file", path[1], body)


def commands(body: str) -> list[Command]:
    parts = re.split(r"^\$ ", body, flags=re.MULTILINE)
    assert parts[0] == "", "a block of commands begins with one"
    pairs = (part.partition("\n") for part in parts[1:])
    return [Command(line, shown) for line, _, shown in pairs]


PAGE = list(blocks((ROOT / "docs/fifth-paper.md").read_text(encoding="utf-8")))
COMMANDS = [c for block in PAGE if block.kind == "commands" for c in commands(block.body)]


@dataclass
class Reader:
    """Somebody who does what the page says, in a checkout of its own."""

    root: Path
    cells: list[Block]
    said: list[tuple[int, str]]

    def read(self, block: Block) -> None:
        path = self.root / block.name
        if block.kind == "file":
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(shortened(block), encoding="utf-8")
        elif block.kind == "cell":
            self.cells.append(block)
            self.save_notebook()
        elif block.kind == "change":
            before, after = (line[1:] for line in block.body.splitlines())
            text = path.read_text(encoding="utf-8")
            assert text.count(before) == 1
            path.write_text(text.replace(before, after), encoding="utf-8")
        else:
            self.said += [self.give(command) for command in commands(block.body)]

    def save_notebook(self) -> None:
        new = {"text": nbformat.v4.new_markdown_cell, "code": nbformat.v4.new_code_cell}
        cells = [
            new[c.name](c.body, metadata={"tags": [c.tag]} if c.tag else {}) for c in self.cells
        ]
        (self.root / NOTEBOOK).parent.mkdir(exist_ok=True)
        nbformat.write(nbformat.v4.new_notebook(cells=cells), self.root / NOTEBOOK)

    def give(self, command: Command) -> tuple[int, str]:
        """Exit code and output of a command, in this process."""
        assigned, _, rest = command.line.partition("python -m replab ")
        variables = dict(word.split("=") for word in assigned.split())
        words = shlex.split(rest)
        out = io.StringIO()
        with pytest.MonkeyPatch.context() as patch:
            forget_replications(patch)
            for variable, value in variables.items():
                patch.setenv(variable, value)
            if words[0] == "replicate":
                words += ["--workers", "1"]
                patch.setattr(notebook, "render_and_check", not_rendered)
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
                code = main(words)
        return code, out.getvalue()


def forget_replications(patch: pytest.MonkeyPatch) -> None:
    """Have the replications' files read anew, as a new process would."""
    for module in [m for m in sys.modules if m.split(".")[0] == "replications"]:
        patch.delitem(sys.modules, module)


def not_rendered(
    paper: str, profile: str, values: Mapping[str, notebook.Value], *, records: str
) -> tuple[Path, str]:
    """What `replicate` is told in place of a notebook: where it would stand, and no complaint."""
    assert (values, records) == ({}, "machine")
    return notebook.rendered_path(paper, profile), ""


def shortened(block: Block) -> str:
    text = block.body
    if block.name.endswith("experiments.py"):
        for before, after in SHORTENED.items():
            assert text.count(before) == 1, before
            text = text.replace(before, after)
    return text


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    """The page, read to its end once; its trial changes are taken back as it asks."""
    root = tmp_path_factory.mktemp("fifth-paper")
    (root / "replications").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        for name in [n for n in os.environ if n.startswith("REPLAB_")]:
            patch.delenv(name)
        patch.setenv("REPLAB_ROOT", str(root))
        patch.setenv("REPLAB_DATA", str(root / "data"))
        patch.setenv("REPLAB_OFFLINE", "1")
        patch.setenv("PYTHONPATH", str(ROOT / "lib"))
        patch.chdir(root)
        # Two threads on a machine that others use wait longer than they work.
        for module in (hardware, executors):
            patch.setattr(module, "available_cores", lambda: 1)
        for function in (generated.load, generated.fingerprint):
            patch.setattr(function, "__defaults__", GENERATED)
        found = Reader(root, [], [])
        undone: tuple[Path, str] | None = None
        for block in PAGE:
            if block.kind == "change":
                path = root / block.name
                undone = path, path.read_text(encoding="utf-8")
            found.read(block)
            if block.kind == "commands" and undone:
                undone[0].write_text(undone[1], encoding="utf-8")
                undone = None
        yield found


def pattern(shown: str) -> str:
    """A regular expression for what a command is to print."""
    lines = []
    for line in shown.splitlines():
        if line == "…":
            lines.append(r"(?:[^\n]*\n)*?")
            continue
        if _TRAINED.match(line):
            line = re.sub(r"\d[\d.]*", "…", line.partition(" measured ")[0])
            line += "…" * line.startswith("quick.")
        lines.append(re.escape(line).replace("…", r"[^\n]*") + r"\n")
    return "".join(lines)


@pytest.mark.parametrize("number", range(len(COMMANDS)), ids=lambda n: COMMANDS[n].line[:60])
def test_every_command_does_what_the_page_shows(reader, number):
    code, said = reader.said[number]
    assert code == int(COMMANDS[number].fails), said
    assert re.fullmatch(pattern(COMMANDS[number].shown), said), said


def test_the_page_shows_all_files_and_goes_all_the_way():
    names = {Path(b.name).name for b in PAGE if b.kind == "file"}
    assert names == {
        *("claims.csv", "paper.yaml", "network.py", "experiments.py"),
        *("deviations.yaml", "README.md"),
    }
    asked = [re.search(r"replab (\w+)", c.line)[1] for c in COMMANDS]
    assert asked == ["claims", "run", "run", "run", "docs", "replicate", "accept", *["check"] * 3]


@pytest.fixture(scope="module")
def ledger(reader):
    content = json.loads((reader.root / "results/wrn/quick/accepted.json").read_text())
    return {claim["id"]: claim for claim in content["claims"]}


def test_every_count_of_table_4_is_reproduced_and_no_error_is_attempted(ledger):
    counts = {c for c in ledger if c.endswith(".params")}
    own = {c for c in ledger if c.startswith("table4.")}
    assert (len(counts), len(own), len(ledger)) == (10, 30, 31)
    assert {ledger[c]["verdict"] for c in counts} == {"reproduced"}
    assert {ledger[c]["verdict"] for c in own - counts} == {"not attempted"}
    assert all("Nesterov" in ledger[c]["why"] for c in own - counts)
    measured = {c: ledger[c]["measured"] for c in counts}
    # WRN-40-2 by hand: the first convolution, three groups of six blocks, the end.
    groups = ((16, 32), (32, 64), (64, 128))
    convolutions = sum(9 * a * b + 11 * 9 * b * b + a * b for a, b in groups)
    norms = sum(2 * a + 11 * 2 * b for a, b in groups) + 2 * 128
    assert measured["table4.40-2.params"] == 9 * 3 * 16 + convolutions + norms + 128 * 10 + 10


def test_a_hundred_classes_would_be_printed_otherwise_in_six_rows(reader, ledger):
    spec = importlib.util.spec_from_file_location(
        "wrn", reader.root / "replications/wrn/network.py"
    )
    network = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(network)
    otherwise = {}
    for claim in (c for c in ledger if c.endswith(".params")):
        depth, k = map(int, claim.split(".")[1].split("-"))
        with torch.device("meta"):
            count = count_parameters(network.WideResNet(depth, k, classes=100))
        if not printed.parse(ledger[claim]["reported"]).matches(count):
            otherwise[depth, k] = count
    assert len(otherwise) == 6
    assert otherwise[40, 2] == 2_255_156
    with pytest.raises(ValueError, match="a depth of 20"):
        network.WideResNet(20, 1)


def test_the_scaled_claim_rests_on_finite_errors_of_the_plan_s_seeds(reader, ledger):
    runs = [records.read(p) for p in (reader.root / "results/wrn/runs").glob("*.json")]
    trained = [r for r in runs if r.experiment == "widening"]
    assert {(r.variant["k"], r.seed) for r in trained} == {
        (k, s) for k in (1, 2) for s in range(3)
    }
    for record in trained:
        assert 0 < record.metrics["test_error"] <= 100
        assert math.isfinite(record.metrics["train_loss"])
        assert record.iterations == ITERATIONS
        assert record.data["name"] == "generated-shapes"
        assert len(record.series["train_loss"]["y"]) > 1
    entry = ledger["quick.wider-errs-less"]
    assert entry["supports"] == "table4.order.width"
    assert entry["n"] == 3
    assert entry["verdict"] in {"reproduced", "not reproduced", "inconclusive"}
    assert len(list((reader.root / ".replab/trial/runs/wrn").glob("*.json"))) == 2


def test_the_notebook_keeps_the_house_s_rules_and_leaves_its_figures(reader):
    source = nbformat.read(reader.root / NOTEBOOK, as_version=4)
    assert 5 < len(source.cells) <= 25
    code = [cell for cell in source.cells if cell.cell_type == "code"]
    assert all(cell.outputs == [] for cell in code)
    nodes = [node for cell in code for node in ast.walk(ast.parse(cell.source))]
    assert not any(isinstance(n, ast.FunctionDef | ast.Lambda | ast.ClassDef) for n in nodes)
    folder = reader.root / "results/wrn/quick"
    assert {p.name for p in (folder / "figures").glob("*.png")} == {
        *("ledger.png", "learning-curves.png", "gap.png"),
    }
    rendered = nbformat.read(folder / "wrn.ipynb", as_version=4)
    (checked,) = [c for c in rendered.cells if "nbval-check-output" in c.metadata.get("tags", [])]
    assert "table4.40-2.params | 2.2M | reproduced" in checked.outputs[0]["text"].splitlines()


def test_what_was_changed_on_trial_is_green_again(reader, monkeypatch):
    monkeypatch.setenv("REPLAB_ROOT", str(reader.root))
    forget_replications(monkeypatch)
    assert acceptance.check(load_accepted(load("wrn")), "quick") == []


def test_a_network_of_another_width_turns_all_counts_red(reader, tmp_path, monkeypatch, capsys):
    for folder in ("replications", "notebooks"):
        shutil.copytree(reader.root / folder, tmp_path / folder)
    path = tmp_path / "replications/wrn/network.py"
    text = path.read_text(encoding="utf-8")
    assert text.count("GROUPS = (16, 32, 64)") == 1
    path.write_text(text.replace("GROUPS = (16, 32, 64)", "GROUPS = (16, 32, 72)"))
    monkeypatch.setenv("REPLAB_ROOT", str(tmp_path))
    forget_replications(monkeypatch)
    words = ["replicate", "wrn", "--only", "table4.*.params", "--strict", "--workers", "1"]
    assert main(words) == 1
    shown = capsys.readouterr()
    assert "failed: 10 claims not reproduced: table4.40-1.params, " in shown.err
    assert shown.out.count("✘ not reproduced") == 10


def test_lines_of_files_fit_the_house_s_width():
    for block in PAGE:
        if block.kind in ("file", "cell") and not block.name.endswith(".csv"):
            assert max(map(len, block.body.splitlines())) <= 99, block.name
