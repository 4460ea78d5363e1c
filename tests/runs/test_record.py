"""A record reads back as it was written, and whatever is no record is refused in one line."""

import copy
import json
import os
import platform
import re
from dataclasses import asdict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import declared
from replab import __version__, files
from replab.errors import UserError
from replab.options import RunOptions
from replab.runs import provenance, record
from replab.runs.execution import execute
from replab.runs.experiment import RunResult
from replab.runs.identity import RunSpec

SPEC = RunSpec(
    paper="tiny",
    experiment="add",
    version=1,
    variant={"a": 1, "b": "x", "rate": 0.5},
    seed=3,
    profile="quick",
    data="cifar10",
    fingerprint="f00",
    split="all",
    precision="fp32",
    device="cpu",
    recipe=declared.recipe(drops=(1, 2), nested={"x": (1,)}),
)
RESULT = RunResult(
    {"error": 8.25, "count": 3}, {"loss": {"x": [0, 1], "y": [2, 0.5]}}, "net", 2, 10.0
)
ORIGIN = {
    "commit": "0" * 40,
    "dirty": False,
    "versions": {"python": "3.11"},
    "cpu": "a processor",
    "gpu": "",
    "started": "2025-01-01T00:00:00+00:00",
    "wall_s": 1.5,
    "peak_mem_bytes": 1000,
    "throughput": None,
}


def made(result=RESULT):
    return record.make(SPEC, result, threads=1, provenance=ORIGIN)


def test_there_and_back(tmp_path):
    path = tmp_path / "record.json"
    files.write_json(path, made().as_dict())
    assert record.read(path) == made()
    assert made().recipe == {"drops": [1, 2], "nested": {"x": [1]}}
    assert made().id == SPEC.id
    assert made().data == {"name": "cifar10", "fingerprint": "f00", "split": "all"}


NUMBER = st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)


@given(
    metrics=st.dictionaries(st.text(), NUMBER, max_size=4),
    points=st.lists(st.tuples(NUMBER, NUMBER), max_size=4),
)
def test_any_finite_numbers_survive(metrics, points):
    series = {"curve": {"x": [p[0] for p in points], "y": [p[1] for p in points]}}
    one = made(RunResult(metrics, series))
    again = record.parse(json.loads(files.canonical_json(one.as_dict())), where="here")
    assert again == one
    assert again.metrics == metrics


def test_numbers_of_numpy_become_plain():
    values = {"f": np.float32(0.5), "i": np.int64(4), "d": np.float64(0.25)}
    series = {"c": {"x": np.arange(2), "y": np.array([0.5, 1], np.float32)}}
    one = made(RunResult(values, series, iterations=np.int64(7)))
    assert one.metrics == {"f": 0.5, "i": 4, "d": 0.25}
    assert one.series == {"c": {"x": [0.0, 1.0], "y": [0.5, 1.0]}}
    assert {type(v) for v in one.metrics.values()} == {int, float}
    assert record.parse(json.loads(json.dumps(one.as_dict())), where="here") == one


@pytest.mark.parametrize(
    ("result", "message"),
    [
        (RunResult({"error": float("nan")}), "metric error is nan"),
        (RunResult({"error": float("-inf")}), "metric error is -inf"),
        (RunResult({"error": np.float32("nan")}), "metric error is nan"),
        (RunResult({"error": True}), "metric error is no number but bool"),
        (RunResult({"error": "8.2"}), "metric error is no number but str"),
        (RunResult({}, {"c": {"x": [0], "y": [float("inf")]}}), "series c is inf"),
        (RunResult({}, {"c": {"x": [0], "y": [1, 2]}}), "series c has 1 x and 2 y"),
    ],
)
def test_what_is_no_number_makes_no_record(result, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        made(result)


def refused(values):
    with pytest.raises(UserError) as error:
        record.parse(values, where="there/record.json")
    text = str(error.value)
    assert "\n" not in text
    assert text.startswith("there/record.json")
    assert "; " in text
    return text


@pytest.mark.parametrize("values", [None, [], "record", 5, True])
def test_no_object(values):
    assert "is no record (no JSON object)" in refused(values)


@pytest.mark.parametrize("name", sorted(made().as_dict()))
def test_a_missing_field(name):
    values = made().as_dict()
    del values[name]
    assert f"it lacks {name}; " in refused(values)


def test_an_unknown_field():
    assert "it has unknown extra, more; " in refused(made().as_dict() | {"more": 1, "extra": 2})


@pytest.mark.parametrize("wrong", [None, True, "text", 1.5, [], {}, ["x"], {"x": []}, 7])
@pytest.mark.parametrize("name", sorted(made().as_dict()))
def test_fields_of_the_wrong_kind(name, wrong):
    """Whatever stands in a field, it is a record of the right kinds or one line."""
    values = copy.deepcopy(made().as_dict()) | {name: wrong}
    try:
        found = record.parse(values, where="there/record.json")
    except UserError as error:
        text = str(error)
        assert "\n" not in text
        assert text.startswith("there/record.json")
    else:
        assert type(getattr(found, name)) is type(getattr(made(), name))
        assert name in ("model", "recipe", "iterations", "threads", "metrics", "series", "split")


@pytest.mark.parametrize("name", [f"data.{n}" for n in ("name", "fingerprint", "split")])
@pytest.mark.parametrize("wrong", [None, 5, []])
def test_data_of_the_wrong_kind(name, wrong):
    values = copy.deepcopy(made().as_dict())
    values["data"][name.removeprefix("data.")] = wrong
    assert f"{name} is not text" in refused(values)


@pytest.mark.parametrize("name", sorted(ORIGIN))
def test_provenance_is_whole(name):
    values = copy.deepcopy(made().as_dict())
    values["provenance"][name] = [1]
    assert f"provenance.{name} is not " in refused(values)
    del values["provenance"][name]
    assert f"provenance.{name} is missing" in refused(values)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("metrics", {"error": "8"}, "metric error is no number"),
        ("metrics", {"error": None}, "metric error is no number"),
        ("metrics", {"error": True}, "metric error is no number"),
        ("metrics", {"error": float("nan")}, "holds NaN or infinity"),
        ("recipe", {"lr": float("inf")}, "holds NaN or infinity"),
        ("series", {"c": {"x": [1]}}, "series c is not"),
        ("series", {"c": {"x": [1], "y": [1, 2]}}, "series c is not"),
        ("series", {"c": {"x": ["1"], "y": [1]}}, "series c is not"),
        ("series", {"c": [1]}, "series c is not"),
        ("variant", {"a": [1]}, "a of the variant is neither"),
        ("format", 2, "has record format 2, this replab reads 1"),
        ("id", "xyz", "the id is not 16 hexadecimal digits"),
        ("device", "tpu", "there is no device class 'tpu'"),
        ("paper", "../../tiny", "is no name"),
        ("paper", "", "is no name"),
        ("experiment", "a/b", "is no name"),
    ],
)
def test_wrong_values(field, value, message):
    assert message in refused(made().as_dict() | {field: value})


@pytest.mark.parametrize(
    "change",
    [
        {"id": "0123456789abcdef"},
        {"seed": 4},
        {"paper": "other"},
        {"experiment": "other"},
        {"version": 2},
        {"variant": {"a": 2, "b": "x", "rate": 0.5}},
        {"profile": "paper"},
        {"data": {"name": "cifar10", "fingerprint": "bad", "split": "all"}},
        {"precision": "bf16"},
        {"device": "cuda"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_an_edited_identity_is_noticed(change):
    assert "the file was edited" in refused(made().as_dict() | change)


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b'{"id": 1', b"null"])
def test_broken_files(tmp_path, content):
    path = tmp_path / "record.json"
    path.write_bytes(content)
    with pytest.raises(UserError) as error:
        record.read(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)
    assert "run the replication again" in str(error.value)


def test_every_truncation_is_refused(tmp_path):
    path = tmp_path / "record.json"
    files.write_json(path, made().as_dict())
    whole = path.read_bytes()
    for length in range(0, len(whole) - 2, 37):
        path.write_bytes(whole[:length])
        with pytest.raises(UserError):
            record.read(path)


def test_no_path_of_this_machine(tiny, monkeypatch):
    monkeypatch.setenv("HOME", str(tiny.root.parent))
    spec = tiny.specs("add")[0]
    execute(spec, str(tiny.store.folder), RunOptions())
    text = tiny.store.path("tiny", spec.id).read_text()
    for folder in (tiny.root, tiny.root.parent, tiny.store.folder, os.getcwd()):
        assert str(folder) not in text
    assert "/home" not in text
    assert "/tmp" not in text


def test_provenance(tiny):
    watch = provenance.Stopwatch(already_s=100)
    found = asdict(watch.provenance(device="cpu", throughput=3.14159))
    assert set(found) == {*ORIGIN, "engine", "ranks", "sessions", "finished"}
    assert (found["ranks"], found["sessions"]) == (1, 1)
    assert found["versions"]["python"] == platform.python_version()
    assert found["versions"]["replab"] == __version__
    assert "torch" in found["versions"]
    assert 100 <= found["wall_s"] < 160
    assert found["throughput"] == 3.1
    assert 2**20 < found["peak_mem_bytes"] < 2**40
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", found["started"])
    assert found["finished"] >= found["started"]
    assert "cores" in found["cpu"]
    assert found["gpu"] == ""


def test_the_state_of_the_checkout(tmp_path):
    assert provenance.checkout_state(tmp_path) == ("unknown", False)
    git = ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@b.c"]

    def run(*words):
        provenance.subprocess.run([*git, *words], check=True, capture_output=True)

    run("init")
    (tmp_path / "code.py").write_text("1\n")
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "ledger.json").write_text("1\n")
    run("add", ".")
    run("commit", "-m", "one")
    commit, dirty = provenance.checkout_state(tmp_path)
    assert re.fullmatch("[0-9a-f]{40}", commit)
    assert not dirty
    (tmp_path / "results" / "ledger.json").write_text("2\n")
    (tmp_path / "untracked").write_text("2\n")
    assert provenance.checkout_state(tmp_path) == (commit, False)
    (tmp_path / "code.py").write_text("2\n")
    assert provenance.checkout_state(tmp_path) == (commit, True)


def test_hardware(monkeypatch, tmp_path):
    from replab import hardware
    from replab.cores import available_cores

    assert available_cores() >= 1
    info = tmp_path / "cpuinfo"
    monkeypatch.setattr(hardware, "_CPUINFO", info)
    info.write_text("model name\t: A  Fine   Processor\nflags\t\t: avx512f avx512_bf16 sse\n")
    assert hardware.cpu_name().startswith("A Fine Processor, ")
    assert hardware.native_precision("cpu") == "bf16"
    info.write_text("model name\t: Another\nflags\t\t: avx512f sse\n")
    assert hardware.native_precision("cpu") == "fp32"
    info.unlink()
    assert hardware.native_precision("cpu") == "fp32"
    assert hardware.native_precision("mps") == "fp32"
    assert hardware.cpu_name().endswith(f"{available_cores()} cores")
