"""A made-up paper, `toy`, with one registration, in a git checkout of its own."""

import os
import subprocess
from pathlib import Path

EXPERIMENTS = '''
import os
import time
from dataclasses import dataclass
from pathlib import Path

from replab.recipe import Recipe
from replab.runs import registration
from replab.runs.experiment import Experiment, Plan, RunResult

TOY = registration.read(Path(__file__).parent / "registered" / "toy.yaml")
NOTES = Path(os.environ.get("TOY_NOTES", "/dev/null"))


@dataclass(frozen=True, kw_only=True)
class Toy(Recipe):
    steps: int
    pause: float


def count(context):
    """Add up squares, a checkpoint every ten steps; each step leaves a line in the notes."""
    checkpoint = context.workspace / "checkpoint"
    done, total = map(int, checkpoint.read_text().split()) if checkpoint.exists() else (0, 0)
    while done < context.recipe.steps:
        time.sleep(context.recipe.pause)
        done += 1
        total += context.variant["a"] * done**2 + context.seed % 7
        if NOTES.is_dir():
            with (NOTES / f"{context.variant['a']}-{context.seed}").open("a") as stream:
                stream.write(f"{done}\\n")
        if done % 10 == 0:
            aside = checkpoint.with_suffix(".tmp")
            aside.write_text(f"{done} {total}")
            os.replace(aside, checkpoint)
        context.progress(done / context.recipe.steps, f"step {done}")
    return RunResult({"total": float(total)}, iterations=done)


EXPERIMENTS = (
    Experiment(
        name="toy",
        version=1,
        changelog={1: "first"},
        function=count,
        plans={
            "standin": Plan(
                tuple({"a": a} for a in (1, 2, 3)),
                seeds=TOY.seeds,
                recipe=Toy.from_json(TOY.recipe, where=TOY.place),
                registrations=(TOY,),
            )
        },
        needs={"standin": "a minute"},
    ),
)
'''

REGISTRATION = """\
title: Sums of squares
order: 1
experiment: toy
version: 1
profile: standin
data: ""
precision: fp32
devices: [cpu]
n: 2
variants:
  - {a: 1}
  - {a: 2}
  - {a: 3}
recipe: {steps: 40, pause: 0.01}
analysis:
  pairing: seed
  test: one-sided t
  alpha: 0.05
  correction: holm
  interval: 0.95
claims:
  standin.two-exceeds-one:
    role: primary
    comparator: greater
    contrasts:
      - plus: ["toy[a=2].total"]
        minus: ["toy[a=1].total"]
    margin: 0
    expected: {effect: 3, sd: 1, source: arithmetic}
    supports: table1.one
    locus: Table 1
    statement: Two exceeds one.
    metric: total
    unit: none
  table1.one:
    role: secondary
    comparator: equivalent
    contrasts:
      - plus: ["toy[a=3].total"]
    margin: 1
    target: 2.0
    expected: {effect: 0, sd: 1, source: arithmetic}
"""

PAPER = """\
citation: {authors: A. Author, title: A Title, venue: Venue, year: 2016}
tolerances:
  Ttrain: {rule: seeds, margin: 0.35, deviations: 2, min_seeds: 3, why: The spread it gives.}
"""

CLAIMS = """\
id,locus,kind,metric,reported,unit,source,protocol,selector,tolerance,gate,note
table1.one,Table 1,value,total,2.0,none,P,,toy[a=3].total,Ttrain,yes,
"""


def write(root: Path, *, registration: str = REGISTRATION) -> Path:
    """Write the paper's files under a folder; returns the registration's."""
    folder = root / "replications" / "toy"
    (folder / "registered").mkdir(parents=True, exist_ok=True)
    (root / "notebooks").mkdir(exist_ok=True)
    (root / "notebooks" / "README").write_text("none\n")
    (folder / "experiments.py").write_text(EXPERIMENTS)
    (folder / "paper.yaml").write_text(PAPER)
    (folder / "claims.csv").write_text(CLAIMS)
    file = folder / "registered" / "toy.yaml"
    file.write_text(registration)
    (root / ".gitignore").write_text(".replab/\n__pycache__/\nnotes/\n")
    return file


def git(root: Path, *words: str) -> str:
    """What a git command says."""
    who = ("-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false")
    command = ["git", *who, "-C", str(root), *words]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def commit(root: Path, message: str = "change") -> str:
    """Commit everything; the commit's digits."""
    if not (root / ".git").exists():
        git(root, "init", "-q", "-b", "main")
    git(root, "add", "-A")
    git(root, "commit", "-q", "--allow-empty", "-m", message)
    return git(root, "rev-parse", "HEAD")


def environment(root: Path) -> dict[str, str]:
    """Of processes that work in the checkout."""
    return {
        **os.environ,
        "REPLAB_ROOT": str(root),
        "REPLAB_STORE": str(root / ".replab"),
        "TOY_NOTES": str(root / "notes"),
    }
