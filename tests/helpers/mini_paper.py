"""A whole checkout in miniature: one paper, two experiments that take no time, one notebook."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from filelock import FileLock

LIB = Path(__file__).resolve().parents[2] / "lib"

PAPER_YAML = """\
citation: {authors: A. Uthor, title: On Sums, venue: Mini, year: 2026}
tolerances:
  T0: {rule: equal, why: counting has no noise at all}
  Tshape: {rule: order, deviations: 2, min_seeds: 3, why: a figure gives a direction only}
scaled:
  quick.order:
    supports: table1.sum
    locus: Table 1, scaled down
    statement: low < high
    metric: loss
    unit: nats
    profile: quick
    tolerance: Tshape
    powered: true
    ordering: {measures: ["noisy[level={}].loss"], ascending: [low, high]}
needs:
  table9.*: a machine that nobody has
"""

CLAIMS_CSV = """\
id,locus,kind,metric,reported,unit,source,protocol,selector,tolerance,gate,note
table1.sum,Table 1,exact,sum,5,none,P,arithmetic,"add[a=2,b=3].sum",T0,yes,
table1.wrong,Table 1,exact,sum,6,none,P,arithmetic,"add[a=2,b=3].sum",T0,yes,the paper is wrong here
table9.cost,Table 9,value,cost,7,none,P,server,,T0,yes,
table1.other,Table 1,value,sum,4,none,P,somebody else,"add[a=2,b=3].sum",none,no,context
"""  # noqa: E501

EXPERIMENTS = """
import os, time
from replab.runs.experiment import Experiment, Plan, RunResult


def add(context):
    return RunResult({"sum": context.variant["a"] + context.variant["b"]}, model="sum")


def noisy(context):
    time.sleep(float(os.environ.get("MINI_SLEEP", "0")))
    if os.environ.get("MINI_FAIL") == str(context.seed):
        raise ValueError("as asked")
    base = {"low": 1.0, "high": 2.0}[context.variant["level"]]
    loss = base + 0.01 * context.seed
    return RunResult({"loss": loss}, {"loss": {"x": [0, 1, 2], "y": [3, 2, loss]}}, iterations=3)


EXPERIMENTS = (
    Experiment("add", 1, add, {"quick": Plan(({"a": 2, "b": 3},))}, {1: "first"},
               deterministic=True),
    Experiment("noisy", 1, noisy,
               {"quick": Plan(({"level": "low"}, {"level": "high"}), seeds=(0, 1, 2))},
               {1: "first"}),
    Experiment("large", 1, noisy, {"paper": Plan(({"level": "low"},), seeds=(0, 1, 2))},
               {1: "first"}, needs={"paper": "a cluster"}),
)
"""


def notebook() -> nbformat.NotebookNode:
    cells = [
        nbformat.v4.new_markdown_cell("# On Sums"),
        nbformat.v4.new_code_cell(
            'profile = "quick"\nseeds = ""\nrecords = "compute"\nshift = 0',
            metadata={"tags": ["parameters"]},
        ),
        nbformat.v4.new_code_cell(
            "from replab.report import figures, style\n"
            "from replab.report.session import open_paper\n\n"
            'mini = open_paper("mini", profile, seeds, records)\n'
            "assert shift >= 0, 'shift is negative'"
        ),
        nbformat.v4.new_code_cell(
            'picture = figures.ledger_picture(mini.ledger)\nstyle.save(picture, "ledger")'
        ),
        nbformat.v4.new_code_cell(
            "mini.print_verdicts()", metadata={"tags": ["nbval-check-output"]}
        ),
    ]
    return nbformat.v4.new_notebook(cells=cells)


def environment(root: Path) -> dict[str, str]:
    """Variables for a user of the checkout in a folder."""
    return {
        **{k: v for k, v in os.environ.items() if not k.startswith(("REPLAB_", "PYTEST_"))},
        "PYTHONPATH": str(LIB),
        "REPLAB_ROOT": str(root),
        "REPLAB_DATA": str(root / "data"),
        "REPLAB_OFFLINE": "1",
    }


class Checkout:
    """A checkout in a temporary folder, and the command line run in it as a user would."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "replications" / "mini").mkdir(parents=True)
        (root / "notebooks").mkdir()
        (root / "replications/mini/paper.yaml").write_text(PAPER_YAML)
        (root / "replications/mini/claims.csv").write_text(CLAIMS_CSV)
        (root / "replications/mini/experiments.py").write_text(EXPERIMENTS)
        nbformat.write(notebook(), root / "notebooks/mini.ipynb")
        self.environment = environment(root)

    def copy(self, folder: Path) -> "Checkout":
        """A twin of this checkout that may be changed."""
        shutil.copytree(self.root, folder / "copy")
        return Checkout.at(folder / "copy")

    @classmethod
    def at(cls, root: Path) -> "Checkout":
        """The checkout that is in a folder already."""
        found = cls.__new__(cls)
        found.root = root
        found.environment = environment(root)
        return found

    def start(self, *words: str, **environment: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "replab", *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=self.root,
            env={**self.environment, **environment},
            start_new_session=True,
        )

    def replab(self, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        process = self.start(*words, **environment)
        out, err = process.communicate(timeout=240)
        return subprocess.CompletedProcess(words, process.returncode, out, err)

    @staticmethod
    def one_line(text: str) -> str:
        """The only line of an error message; fails if there are more, or a traceback."""
        lines = text.strip().splitlines()
        assert len(lines) == 1, text
        assert "Traceback" not in text
        return lines[0]

    @property
    def rendered(self) -> Path:
        return self.root / "results/mini/quick/mini.ipynb"


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path / "checkout")


@pytest.fixture(scope="session")
def accepted(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Checkout:
    """A checkout whose paper was replicated and accepted, made once; copy it to change it."""
    shared = tmp_path_factory.getbasetemp()
    if worker_id != "master":
        shared = shared.parent  # where all workers of this test run meet
    with FileLock(shared / "accepted.lock"):
        root = shared / "accepted"
        if (root / "done").is_file():
            return Checkout.at(root)
        made = Checkout(root)
        for words in (("replicate", "mini", "--workers", "1"), ("accept", "mini")):
            done = made.replab(*words)
            assert done.returncode == 0, done.stderr
        (root / "done").touch()
        return made
