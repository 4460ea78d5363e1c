"""What a campaign will cost, before it starts."""

import os
from collections import namedtuple
from dataclasses import replace

import pytest

from planned import made_plan
from replab.errors import CheckFailed, UserError
from replab.options import RunOptions
from replab.planning import probe, run_plan
from replab.runs.executors import Placement

PROBED = '''

def probe(context):
    """Half a second a unit, on whatever worker."""
    note(context)
    (context.workspace / "checkpoint").write_text("x")
    if context.variant["a"] == 99:
        os.kill(os.getpid(), signal.SIGKILL)
    return Cost(0.5 * context.variant["a"], 1000)


plan = Plan(({"a": 1, "b": "x"}, {"a": 6, "b": "x"}), seeds=(0, 1), recipe=Toy(scale=1))
EXPERIMENTS += (
    Experiment(
        "slow", 1, add, {"standin": plan, "quick": plan}, {1: "first"}, probe=probe, per_gpu=3,
        cost=lambda variant, recipe: 10.0 * variant["a"],
    ),
)
'''


@pytest.fixture
def probed(tiny):
    file = tiny.root / "replications/tiny/experiments.py"
    text = file.read_text().replace("import Experiment,", "import Cost, Experiment,")
    file.write_text(text + PROBED)
    import sys

    from replab.runs.experiment import load_replication

    sys.modules.pop("replications.tiny.experiments")
    tiny.replication = load_replication("tiny")
    return tiny


def planned(tiny, profile="standin"):
    return made_plan(tiny.replication, profile, workers=1, wanted=lambda e, v: e.name == "slow")


@pytest.mark.parametrize("workers", [1, 2])
def test_estimate(probed, workers):
    found = planned(probed)
    placement = Placement(("cpu",) * workers, RunOptions())
    expected = probe.estimate(probed.replication, found.specs, placement, probed.store)
    # 2 seeds × (1 + 6) units of half a second; the largest variant is probed on every worker.
    assert expected.seconds == pytest.approx(2 * 7 * 0.5 / workers)
    assert expected.disk_bytes == 2 * 1000 * workers + 4 * probe.RECORD_BYTES
    assert expected.probed == ("slow[a=6,b=x] seed 0",)
    assert len(list(probed.notes.glob("6-x-s0.*"))) == workers
    assert probed.computed() == workers
    # Nothing of it stays.
    assert os.listdir(probed.store.folder / "work") == []


def test_it_is_said_before_the_runs_start(probed, capfd):
    found = planned(probed)
    records, errors = run_plan.complete(found, probed.store)
    assert (len(records), errors) == (4, [])
    said = capfd.readouterr().err
    assert (
        "about 7 s in all (from a few steps of slow[a=6,b=x] seed 0), 0 MB of disk meanwhile; "
        "finished runs are kept, and the same command goes on where it was stopped\n" in said
    )
    assert said.index("4 runs to do") < said.index("about 7 s in all") < said.index("[1/4]")
    run_plan.complete(found, probed.store)
    assert capfd.readouterr().err == ""


def test_quick_is_not_probed(probed, capsys):
    run_plan.complete(planned(probed, "quick"), probed.store)
    assert "in all" not in capsys.readouterr().err
    assert probed.computed() == 4


def test_nothing_to_probe(probed):
    found = made_plan(
        probed.replication, "quick", device="cpu", wanted=lambda e, v: e.name == "add"
    )
    placement = Placement(("cpu",), RunOptions())
    assert probe.estimate(probed.replication, found.specs, placement, probed.store) is None


def test_no_room_on_the_disk(probed, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(probe.shutil, "disk_usage", lambda path: usage(10, 9, 50_000))
    with pytest.raises(UserError) as error:
        run_plan.complete(planned(probed), probed.store)
    text = str(error.value)
    assert text.startswith("the runs need 0 MB of disk and ")
    assert text.endswith("free some, or set REPLAB_STORE to a folder on another disk")
    assert "\n" not in text


@pytest.mark.faults
def test_a_probe_that_kills_its_worker(probed):
    (spec, *_) = planned(probed).specs
    deadly = [replace(spec, variant={"a": 99, "b": "x"})]
    with pytest.raises(CheckFailed, match="died in its first steps"):
        probe.estimate(probed.replication, deadly, Placement(("cpu",), RunOptions()), probed.store)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (4, "4 s"),
        (89, "89 s"),
        (90, "2 min"),
        (3600, "60 min"),
        (5400, "1.5 h"),
        (36_000, "10.0 h"),
        (129_600, "1.5 days"),
    ],
)
def test_duration(seconds, text):
    assert probe.duration(seconds) == text


def test_runs_that_share_a_gpu(probed):
    found = planned(probed)
    assert found.per_gpu() == 3
    everything = made_plan(probed.replication, "quick", device="cpu")
    assert everything.per_gpu() == 3
    alone = made_plan(
        probed.replication, "quick", device="cpu", wanted=lambda e, v: e.name == "add"
    )
    assert alone.per_gpu() == 1
