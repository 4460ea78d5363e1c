"""Weights that runs leave: when they are kept, what the records say, how they are taken out."""

import json
from dataclasses import replace

import pytest

import small_nets
from replab.errors import UserError
from replab.models import create, own_weights
from replab.options import RunOptions
from replab.runs import execution, kept_weights
from replab.runs import record as records
from replab.runs.execution import execute
from replab.runs.experiment import RunResult
from replab.runs.store import Store, import_records


def about(score=2.0):
    return small_nets.own(scores={"test_error": score})


@pytest.fixture
def training(tiny, monkeypatch):
    """A run whose function gives weights, and how its plan and its number are changed."""
    import torch

    (spec,) = tiny.specs("fixed")
    known = tiny.replication.experiments["fixed"]
    calls = []

    def function(context):
        calls.append(context.seed)
        torch.manual_seed(5)
        return RunResult(
            {"test_error": 2.0}, weights=lambda: (create("cifar_resnet8"), about()), iterations=3
        )

    def planned(*, keeps, function=function):
        plan = replace(known.plans["quick"], keeps_weights=keeps)
        changed = replace(known, function=function, plans={"quick": plan})
        monkeypatch.setattr(execution, "require_experiment", lambda replication, name: changed)
        return spec

    planned.calls, planned.store = calls, tiny.store
    return planned


def done(training, spec, **options):
    store = training.store
    execute(spec, str(store.folder), RunOptions(**options))
    return store.find(spec)


def test_a_plan_that_keeps_weights(training):
    spec = training(keeps=True)
    record = done(training, spec)
    path = training.store.weights(spec.id)
    assert path == training.store.folder / "weights" / f"{spec.id}.safetensors"
    assert record.weights == {
        "sha256": kept_weights.sha256_file(path),
        "bytes": path.stat().st_size,
    }
    assert records.read(training.store.path(spec.paper, spec.id)) == record
    found = own_weights.read_description(path)
    assert (found.run, found.paper) == (spec.id, spec.paper)
    assert found.scores == {"test_error": record.metrics["test_error"]}
    assert list(path.parent.iterdir()) == [path]


def test_keeping_changes_neither_id_nor_numbers(training):
    spec = training(keeps=False)
    without = done(training, spec)
    assert without.weights is None
    assert not training.store.weights(spec.id).exists()
    assert "weights" not in json.loads(training.store.path(spec.paper, spec.id).read_text())
    training.store.path(spec.paper, spec.id).unlink()
    kept = done(training, training(keeps=True))
    assert kept.id == without.id
    assert replace(kept, weights=None, provenance={}) == replace(without, provenance={})


def test_a_run_that_was_done_without_is_done_again_only_when_asked(training, capsys):
    spec = training(keeps=False)
    done(training, spec)
    spec = training(keeps=True)
    assert done(training, spec).weights is None
    assert len(training.calls) == 1
    record = done(training, spec, keep_weights=True)
    assert record.weights is not None
    assert len(training.calls) == 2
    done(training, spec, keep_weights=True)
    assert len(training.calls) == 2
    assert "note:" not in capsys.readouterr().err
    # The record tells of weights that somebody removed: asked for, they are made anew.
    training.store.weights(spec.id).unlink()
    assert done(training, spec, keep_weights=True) is not None
    assert training.store.weights(spec.id).is_file()
    assert len(training.calls) == 3


def test_other_numbers_are_told(training, capsys):
    spec = training(keeps=False, function=lambda context: RunResult({"test_error": 3.0}))
    done(training, spec)
    assert done(training, training(keeps=True), keep_weights=True).metrics == {"test_error": 2.0}
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"note: run {spec.id}, done again, gave other numbers (test_error)")


def test_nothing_is_recorded_where_the_weights_cannot_be_written(training, monkeypatch):
    spec = training(keeps=True)
    training.store.folder.mkdir()
    (training.store.folder / "weights").write_text("a file where a folder should be")
    with pytest.raises(UserError, match="cannot write"):
        done(training, spec)
    assert training.store.find(spec) is None


def test_an_experiment_without_a_network_keeps_none(training):
    spec = training(keeps=True, function=lambda context: RunResult({"test_error": 3.0}))
    assert done(training, spec).weights is None


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"sha256": "ab"}, "weights.bytes is missing"),
        ({"sha256": 3, "bytes": 1}, "weights.sha256 is not text"),
        ("ab", "field weights is not a JSON object or null"),
    ],
)
def test_records_with_malformed_weights(training, value, expected):
    record = done(training, training(keeps=False))
    with pytest.raises(UserError, match=expected):
        records.parse({**record.as_dict(), "weights": value}, where="there")


class TestExport:
    def test_the_file_and_its_record(self, training, tmp_path):
        spec = training(keeps=True)
        record = done(training, spec)
        target = tmp_path / "out" / "net.safetensors"
        found = kept_weights.export(training.store, spec.id, target)
        assert found == {
            "weights": str(target),
            "record": str(target.with_suffix(".json")),
            **record.weights,
        }
        assert target.read_bytes() == training.store.weights(spec.id).read_bytes()
        assert records.read(target.with_suffix(".json")) == record

    def test_what_cannot_be_exported(self, training, tmp_path):
        spec = training(keeps=False)
        target = tmp_path / "net.safetensors"

        def refusal(run=spec.id, target=target):
            with pytest.raises(UserError) as caught:
                kept_weights.export(training.store, run, target)
            assert "\n" not in str(caught.value)
            return str(caught.value)

        assert "is no id of a run" in refusal("../../x")
        assert f"no record {spec.id}" in refusal()
        done(training, spec)
        text = refusal()
        assert "were not kept" in text
        assert "run tiny fixed --profile quick --seed 0 --variant a=5 --keep-weights" in text
        done(training, spec, keep_weights=True)
        assert "ends in .safetensors" in refusal(target=tmp_path / "net.pth")
        path = training.store.weights(spec.id)
        path.write_bytes(path.read_bytes() + b" ")
        assert "is not what its record says" in refusal()
        assert not target.exists()


def test_import_brings_weights_with_their_records(training, tmp_path):
    spec = training(keeps=True)
    done(training, spec)
    other = Store(tmp_path / "other")
    assert import_records(training.store.folder, other) == (1, 0)
    assert other.weights(spec.id).read_bytes() == training.store.weights(spec.id).read_bytes()
    assert kept_weights.has(other, other.find(spec))
    training.store.weights(spec.id).write_bytes(b"changed")
    third = Store(tmp_path / "third")
    assert import_records(training.store.folder, third) == (1, 0)
    assert not kept_weights.has(third, third.find(spec))


def test_licence_notes_name_the_data():
    note = kept_weights.licence_note("lspet-train")
    assert "licence of that data: none stated; citation asked" in note
    assert "Johnson and Everingham" in note
    assert "CC BY 4.0" in kept_weights.licence_note("coco-train2017")
    assert "replab generates" in kept_weights.licence_note("people-train")
