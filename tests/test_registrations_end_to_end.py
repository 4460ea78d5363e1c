"""A model and a data set, each added by one file, are known to every command and report."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[1]
TOY = ROOT / "tests" / "helpers" / "toy"

# One process for all commands, since each would import torch again.
COMMANDS = """
import contextlib, io, json, sys
import replab
from replab.cli import main

def give(*words):
    with contextlib.redirect_stdout(io.StringIO()) as shown:
        assert main(words) == 0, words
    return json.loads(shown.getvalue())

folder = sys.argv[1]
fetched = [give("fetch", "--json")]
assert main(["fetch", "toy-squares"]) == 2
fetched.append(give("fetch", "toy-squares", "--from", f"{folder}/toy.npz", "--json"))
here = ("--device", "cpu", "--json")
record = give("run", "toy", "score", "--profile", "quick", "--keep-weights", *here)
file = f"{folder}/toy.safetensors"
main(["export", record["id"], "--out", file])
scored = give("score", file, *here)
from replab.models.counting import catalogue
from replab.report import measures
from replab.report.handed_in import data_sets
from replab.runs import record as records
from replab.runs.store import Store
found = records.read(Store().path("toy", record["id"]))
reports = {
    "axis": measures.axis_label([found], "test_error"),
    "data": vars(data_sets.describe(found.data["name"])),
}
rows = give("models", "--json")
print(json.dumps([replab.__file__, fetched, record, scored, reports, rows]), file=sys.stderr)
"""


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """What the commands say in a copy of the library with two more files."""
    folder = tmp_path_factory.mktemp("toy")
    lib = folder / "lib" / "replab"
    shutil.copytree(ROOT / "lib" / "replab", lib, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(TOY / "toy_net.py", lib / "models")
    shutil.copy(TOY / "toy_squares.py", lib / "datasets")
    paper = folder / "replications" / "toy"
    paper.mkdir(parents=True)
    shutil.copy(TOY / "experiments.py", paper)
    labels = np.arange(8, dtype=np.uint8) % 2
    images = np.broadcast_to(40 + 150 * labels[:, None, None, None], (8, 32, 32, 3))
    arrays = {f"{split}_images": images.astype(np.uint8) for split in ("train", "test")}
    arrays |= {f"{split}_labels": labels for split in ("train", "test")}
    np.savez(folder / "toy.npz", **arrays)
    places = {"PYTHONPATH": lib.parent, "REPLAB_ROOT": folder}
    places |= {"REPLAB_DATA": folder / "data", "REPLAB_STORE": folder / "store"}
    done = subprocess.run(
        [sys.executable, "-c", COMMANDS, str(folder)],
        capture_output=True,
        text=True,
        env={**os.environ, **{name: str(place) for name, place in places.items()}},
    )
    assert done.returncode == 0, done.stderr
    file, *found = json.loads(done.stderr.splitlines()[-1])
    assert Path(file).parent == lib
    return dict(zip(("fetched", "record", "scored", "reports", "models"), found, strict=True))


def test_models_lists_the_model(told):
    (row,) = [row for row in told["models"] if row["name"] == "toy_net"]
    assert (row["params"], row["macs"], row["input"]) == (30_730, 30_720, [3, 32, 32])


def test_fetch_lists_and_brings_the_data_set(told):
    listed, brought = told["fetched"]
    (row,) = [row for row in listed if row["name"] == "toy-squares"]
    assert (row["licence"], row["bytes"]) == ("CC0-1.0", None)
    assert brought["path"].endswith("toy-squares")


def test_a_run_records_and_scores_both(told):
    record, scored = told["record"], told["scored"]
    assert record["model"] == scored["model"] == "toy_net"
    assert (record["data"]["name"], record["data"]["fingerprint"]) == ("toy-squares", "70f0" * 4)
    assert scored["scores"] == scored["recorded"] == record["metrics"]
    assert scored["n"] == 8


def test_reports_name_the_data_set(told):
    assert told["reports"]["axis"] == "test_error on toy squares (%)"
    data = told["reports"]["data"]
    assert (data["licence"], data["url"]) == ("CC0-1.0", "https://example.org/toy-squares")


@pytest.mark.parametrize("package", ["models", "datasets"])
def test_no_toy_is_shipped(package):
    assert not list((ROOT / "lib" / "replab" / package).rglob("*toy*"))
