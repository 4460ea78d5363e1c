"""Committed weights: `check` finds every way in which they are not their record's."""

import json
from dataclasses import asdict, replace

import pytest

import small_nets
from replab.claims import shipped_weights
from replab.cli import main
from replab.files import sha256_file
from replab.models import create, own_weights
from replab.recipe import Recipe
from replab.runs import record as records
from replab.runs.experiment import RunResult
from replab.runs.identity import RunSpec
from replab.runs.provenance import Stopwatch

SPEC = RunSpec(
    paper="demo",
    experiment="train",
    version=1,
    variant={"net": "a"},
    seed=0,
    profile="standin",
    data="cifar10",
    fingerprint="f" * 16,
    split="all",
    precision="fp32",
    device="cpu",
    recipe=Recipe(),
)
ABOUT = small_nets.own(scores={"test_error": 12.5}, run=SPEC.id, paper="demo")
ABOUT = own_weights.OwnWeights(
    model="cifar_resnet8",
    options={},
    size=(32, 32),
    colour="RGB",
    mean=(0.1, 0.2, 0.3),
    std=(1.0, 1.0, 1.0),
    classes=tuple("abcdefghij"),
    test_data="cifar10",
    scores={"test_error": 12.5},
    run=SPEC.id,
    paper="demo",
)


@pytest.fixture
def ship(tmp_path, monkeypatch):
    """Put a file of weights and its record under results/."""
    monkeypatch.setenv("REPLAB_ROOT", str(tmp_path))
    (tmp_path / "replications").mkdir()

    def put(about=ABOUT, folder="demo", name="net", metrics=None):
        path = tmp_path / "results" / folder / "weights" / f"{name}.safetensors"
        own_weights.write(path, create("cifar_resnet8"), about)
        provenance = asdict(Stopwatch().provenance(device="cpu", throughput=None, engine=""))
        record = records.make(
            SPEC,
            RunResult(metrics or {"test_error": 12.5}),
            threads=1,
            provenance=provenance,
            weights={"sha256": sha256_file(path), "bytes": path.stat().st_size},
        )
        path.with_suffix(".json").write_text(json.dumps(record.as_dict()))
        return path

    return put


def only(problem, *folders):
    (line,) = shipped_weights.problems(folders)
    assert problem in line
    assert line.startswith("results/demo/weights/")


def test_nothing_is_wrong(ship):
    path = ship()
    assert shipped_weights.shipped() == [path]
    assert shipped_weights.problems() == []
    assert shipped_weights.shipped(["other"]) == []


def test_a_changed_number(ship):
    path = ship()
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    only("not the file that the record beside it tells of")
    only("not the file", "demo")
    assert shipped_weights.problems(["other"]) == []


def test_no_record(ship):
    ship().with_suffix(".json").unlink()
    only("cannot read")


def test_no_weights(ship):
    ship().unlink()
    only("a record without its weights")


def test_a_record_that_tells_of_no_weights(ship):
    beside = ship().with_suffix(".json")
    values = json.loads(beside.read_text())
    del values["weights"]
    beside.write_text(json.dumps(values))
    only("says nothing of weights")


def test_another_run_s_record(ship):
    ship(replace(ABOUT, run="0" * 16))
    only(f"of run {'0' * 16} of demo, the record beside it is {SPEC.id}")


def test_another_paper_s_folder(ship, tmp_path):
    ship(folder="other")
    (line,) = shipped_weights.problems()
    assert "belongs under results/demo/weights" in line


def test_a_score_that_is_not_the_record_s(ship):
    ship(metrics={"test_error": 12.25})
    only("says test_error = 12.5, the record 12.25")


def test_weights_of_others(ship):
    path = ship()
    path.write_bytes(b"no weights")
    only("is damaged or no weights file")


def test_too_large(ship, monkeypatch):
    size = ship().stat().st_size
    monkeypatch.setattr(own_weights, "COMMITTED_BYTES", size)
    assert shipped_weights.problems() == []
    monkeypatch.setattr(own_weights, "COMMITTED_BYTES", size - 1)
    only(f"{size:,} bytes; weights of more than")


def test_the_command_check_says_so(ship, capsys):
    path = ship()
    path.with_suffix(".json").unlink()
    assert main(["check"]) == 1
    said = capsys.readouterr().err
    assert f"results/demo/weights/{path.name}: cannot read" in said
