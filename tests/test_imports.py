"""What a bare machine with torch has must be enough to execute runs."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
# Not on a GPU machine that was given torch, or too heavy for a run.
BLOCKED = (
    "accelerate cv2 h5py hotcoco jupyterlab matplotlib nbconvert nbformat pandas papermill pooch "
    "pycocotools pydantic requests safetensors scipy seaborn tqdm"
)
REFUSE = """
import sys
from importlib.machinery import PathFinder
class Without(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name.partition(".")[0] in BLOCKED else super().find_spec(name, path, target)
sys.meta_path = [Without if finder is PathFinder else finder for finder in sys.meta_path]
""".strip()

EXECUTE = """
import pkgutil, sys
from pathlib import Path
import replab.models, replab.training, replab.runs
for package in (replab.models, replab.training, replab.runs):
    for module in pkgutil.iter_modules(package.__path__, package.__name__ + "."):
        __import__(module.name)
from replab.options import RunOptions
from replab.planning import run_plan
from replab.planning.request import Request
from replab.runs import executors
from replab.runs.experiment import load_replication
from replab.runs.store import Store

store = Store(Path(sys.argv[1]))
def wanted(experiment, variant):
    return experiment.name == "counts" and variant["model"] == "cifar_resnet20"
request = Request(paper="resnet", workers=1)
found = run_plan.plan(load_replication("resnet"), request, wanted=wanted)
records, errors = run_plan.complete(found, store)
assert not errors, errors
print(sorted(r.metrics["params"] for r in records))

import torch
from replab import models
from replab.training import batches
from replab.training.loop import train
from replab.training.recipe import ImageRecipe
data = batches.DeviceImages(torch.randn(20, 3, 8, 8), torch.arange(20) % 10)
recipe = ImageRecipe(iterations=2, batch_size=4, lr=0.1, schedule="steps", drops=(1,),
                     momentum=0.9, weight_decay=1e-4, augment=True)
source = batches.shuffled(data, recipe, seed=0)
trained = train(models.create("cifar_resnet8"), source, recipe, seed=0, options=RunOptions())
print(len(trained.history.loss))
"""

WITHOUT_TORCH = """
import pkgutil, sys
import replab.runs
for module in pkgutil.iter_modules(replab.runs.__path__, "replab.runs."):
    __import__(module.name)
print(sorted({"torch", "scipy", "pandas"} & set(sys.modules)))
"""


def run(code, *words, blocked=""):
    """Output of code in a process of its own that lacks some packages."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "lib"), "REPLAB_ROOT": str(ROOT)}
    start = REFUSE.replace("BLOCKED", repr(set(blocked.split())))
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", f"{start}\n{code}", *words],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_a_bare_machine_executes_runs_and_trains(tmp_path):
    printed = run(EXECUTE, str(tmp_path), blocked=BLOCKED).splitlines()
    assert printed == ["[269722, 272474]", "2"]
    assert len(list((tmp_path / "runs" / "resnet").glob("*.json"))) == 2


def test_runs_need_no_torch():
    assert run(WITHOUT_TORCH) == "[]"
    assert run(WITHOUT_TORCH, blocked=f"{BLOCKED} torch numpy") == "[]"


def test_data_sets_are_found_without_torch():
    code = "from replab import datasets; print(datasets.fingerprint('coco-val2017'))"
    assert run(code, blocked=f"{BLOCKED} torch PIL filelock") == "0f4654ec603355fe"


def test_the_block_blocks():
    with pytest.raises(AssertionError, match="No module named 'scipy'"):
        run("import scipy", blocked=BLOCKED)
