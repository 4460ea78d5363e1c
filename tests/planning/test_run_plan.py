"""A plan of runs: what a profile needs, what of it can be had, what is left to do."""

from dataclasses import replace
from types import MappingProxyType

import pytest

from planned import made_plan
from replab.datasets import availability, fetch, fingerprint
from replab.errors import DownloadFailed, MissingData, UserError
from replab.options import RunOptions
from replab.planning import run_plan
from replab.runs import executors
from replab.runs.execution import RunFailed
from replab.runs.experiment import Experiment, Plan, Replication, RunResult


def never(context):
    raise AssertionError("planning must not run anything")


def give(context):
    return RunResult({"seed": context.seed})


VARIANTS = ({"a": 1}, {"a": 2})


def replication(*experiments):
    return Replication("tiny", MappingProxyType({e.name: e for e in experiments}))


def make(name="e", *, data=(), function=never, seeds=(0, 1), **options):
    plan = Plan(VARIANTS, seeds=seeds, data=data)
    return Experiment(name, 1, function, {"quick": plan}, {1: "first"}, **options)


class Shelf:
    """What is on this machine, and what a download would bring."""

    def __init__(self, monkeypatch):
        self.here, self.remote, self.fetched, self.looked = set(), set(), [], []
        monkeypatch.setattr(availability, "require", self.require)
        monkeypatch.setattr(fetch, "fetch", self.fetch)

    def require(self, name):
        self.looked.append(name)
        if name not in self.here:
            raise MissingData(f"{name} is not on this machine; fetch {name}")

    def fetch(self, name):
        self.fetched.append(name)
        if name not in self.remote:
            raise DownloadFailed(f"{name} cannot be reached; use --from FILE")
        self.here.add(name)


@pytest.fixture
def shelf(monkeypatch):
    return Shelf(monkeypatch)


def plan(*experiments, **options):
    return made_plan(replication(*experiments), "quick", device="cpu", **options)


def test_no_data_needed(shelf):
    found = plan(make())
    assert [(s.variant["a"], s.seed) for s in found.specs] == [(1, 0), (2, 0), (1, 1), (2, 1)]
    assert (found.skipped, found.notices, shelf.looked) == ({}, [], [])
    assert {(s.data, s.fingerprint) for s in found.specs} == {("", "")}


def test_data_that_are_here(shelf):
    shelf.here = {"cifar10"}
    found = plan(make(data=("cifar10", "generated-shapes")))
    assert {(s.data, s.fingerprint) for s in found.specs} == {("cifar10", fingerprint("cifar10"))}
    assert (found.skipped, found.notices, shelf.fetched) == ({}, [], [])


def test_data_that_are_fetched(shelf):
    shelf.remote = {"cifar10"}
    found = plan(make(data=("cifar10", "generated-shapes")))
    assert {s.data for s in found.specs} == {"cifar10"}
    assert shelf.fetched == ["cifar10"]


def test_missing_data_are_a_reason(shelf):
    found = plan(make("one", data=("cifar10",)), make("two"), may_fetch=False)
    assert found.skipped == {"one": "cifar10 is not on this machine; fetch cifar10"}
    assert {s.experiment for s in found.specs} == {"two"}
    assert shelf.fetched == []


def test_a_download_that_fails_is_tried_once(shelf):
    """Each try may take a minute of waiting for a network."""
    found = plan(make("one", data=("cifar10",)), make("two", data=("cifar10",)))
    reason = "cifar10 cannot be reached; use --from FILE"
    assert found.skipped == {"one": reason, "two": reason}
    assert shelf.fetched == ["cifar10"]


def test_data_in_anothers_place(shelf):
    shelf.here = {"generated-shapes"}
    both = ("cifar10", "generated-shapes")
    found = plan(make("one", data=both), make("two", data=both), may_fetch=False)
    name = ("generated-shapes", fingerprint("generated-shapes"))
    assert {(s.data, s.fingerprint) for s in found.specs} == {name}
    assert len(found.specs) == 8
    assert found.notices == [
        "generated-shapes stands in for cifar10: cifar10 is not on this machine; fetch cifar10"
    ]


def test_damaged_data_are_a_reason_too(shelf, monkeypatch):
    def damaged(name):
        raise UserError(f"{name} is damaged; fetch it again")

    monkeypatch.setattr(availability, "require", damaged)
    assert plan(make(data=("cifar10",))).skipped == {"e": "cifar10 is damaged; fetch it again"}


def test_weights_of_a_variant(shelf):
    shelf.here = {"weights:1"}
    needs = make(
        fetches=lambda variant: (f"weights:{variant['a']}",),
        fingerprint=lambda variant: f"w{variant['a']}",
    )
    found = plan(needs, may_fetch=False)
    assert {(s.variant["a"], s.fingerprint) for s in found.specs} == {(1, "w1")}
    assert found.skipped == {"e[a=2]": "weights:2 is not on this machine; fetch weights:2"}


def test_wanted(shelf):
    found = plan(
        make("one"),
        make("two", data=("cifar10",)),
        wanted=lambda e, v: e.name + str(v["a"]) == "one2",
    )
    assert [(s.experiment, s.variant["a"], s.seed) for s in found.specs] == [
        ("one", 2, 0),
        ("one", 2, 1),
    ]
    # What was not asked for is not looked for either.
    assert (found.skipped, shelf.looked) == ({}, [])


def test_seeds(shelf):
    found = plan(make("one"), make("two", deterministic=True, seeds=(0,)), seeds=(7, 8, 9))
    seeds = {
        name: {s.seed for s in found.specs if s.experiment == name} for name in ("one", "two")
    }
    assert seeds == {"one": {7, 8, 9}, "two": {0}}


def test_a_profile_without_the_experiment(shelf):
    found = made_plan(replication(make()), "paper", device="cpu")
    assert (found.specs, found.skipped) == ([], {})


def test_an_unknown_device(shelf):
    with pytest.raises(UserError, match="no device 'tpu'"):
        made_plan(replication(make()), "quick", device="tpu")


def test_costs(shelf):
    found = plan(make(cost=lambda variant, recipe: 10.0 * variant["a"]))
    assert found.costs(found.specs[:2]) == [10.0, 20.0]


def test_offline(monkeypatch, tmp_path):
    """With the real sets: nothing is asked of a network, and what is generated still is there."""
    monkeypatch.setenv("REPLAB_OFFLINE", "1")
    monkeypatch.setenv("REPLAB_DATA", str(tmp_path))

    def no_network(*words, **options):
        raise AssertionError("a connection was tried")

    monkeypatch.setattr("socket.socket.connect", no_network)
    found = plan(
        make("released", data=("cifar10",), fetches=lambda variant: ("weights:cifar_resnet20",)),
        make("degradation", data=("cifar10", "generated-shapes")),
        make("other", fetches=lambda variant: ("weights:cifar_resnet20",)),
    )
    assert {s.experiment for s in found.specs} == {"degradation"}
    assert {s.data for s in found.specs} == {"generated-shapes"}
    assert set(found.skipped) == {"released", "other[a=1]", "other[a=2]"}
    assert all("REPLAB_OFFLINE" in r and "\n" not in r for r in found.skipped.values())
    assert len(found.notices) == 1


def test_complete(tiny, capsys, monkeypatch):
    monkeypatch.setattr(executors, "available_cores", lambda: 1)
    found = made_plan(tiny.replication, "quick", device="cpu", wanted=lambda e, v: e.name == "add")
    records, missing = run_plan.find(found, tiny.store)
    assert (records, len(missing)) == ([], 4)
    records, errors = run_plan.complete(found, tiny.store)
    assert (len(records), errors) == (4, [])
    assert [r.id for r in records] == [s.id for s in found.specs]
    text = capsys.readouterr().err
    assert text.startswith("4 runs to do; 1 worker on cpu, 1 thread each\n")
    # Again, with one more seed: only what is new.
    more = replace(tiny.specs("add")[0], seed=2)
    found.specs.append(more)
    assert len(run_plan.complete(found, tiny.store)[0]) == 5
    assert "1 run to do, 4 found in the store; 1 worker" in capsys.readouterr().err
    assert tiny.computed() == 5
    assert run_plan.complete(found, tiny.store)[1] == []
    assert capsys.readouterr().err == ""


def test_complete_with_failures(tiny, monkeypatch):
    monkeypatch.setattr(executors, "available_cores", lambda: 1)
    found = made_plan(
        tiny.replication, "quick", device="cpu", wanted=lambda e, v: e.name in ("fail", "lack")
    )
    records, errors = run_plan.complete(found, tiny.store)
    assert {r.variant["a"] for r in records} == {1, 3}
    assert {type(e) for e in errors} == {RunFailed, MissingData}


def test_threads_do_not_depend_on_what_is_left(tiny, monkeypatch):
    """Else a training's last bits would differ after an interruption."""
    monkeypatch.setattr(executors, "available_cores", lambda: 4)
    placements = []

    def note(specs, *, store, placement, costs):
        placements.append((len(specs), placement))
        return []

    found = made_plan(tiny.replication, "quick", device="cpu", wanted=lambda e, v: e.name == "add")
    monkeypatch.setattr(executors, "run_all", note)
    run_plan.complete(found, tiny.store)
    from replab.runs.execution import execute

    for spec in found.specs[:3]:
        execute(spec, str(tiny.store.folder), RunOptions())
    run_plan.complete(found, tiny.store)
    assert placements == [
        (4, executors.Placement(("cpu",) * 4, RunOptions())),
        (1, executors.Placement(("cpu",), RunOptions())),
    ]
