"""Many runs: in this process or in a pool, whatever becomes of one of them."""

import io
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import pytest

from replab.errors import MissingData, UserError
from replab.options import RunOptions
from replab.runs import executors, progress
from replab.runs.execution import RunFailed
from replab.runs.executors import Placement, ProgressLine, SerialExecutor, place, run_all
from replab.runs.progress import progress_path
from replab.runs.store import Store

SERIAL = Placement(("cpu",), RunOptions())
POOL = Placement(("cpu", "cpu"), RunOptions())


def numbers(records):
    """What a record says apart from when and where it was made."""
    return {r.id: replace(r, provenance={}).as_dict() for r in records}


def children_of(pid):
    listing = subprocess.run(
        ["ps", "-o", "pid=,args=", "--ppid", str(pid)], capture_output=True, text=True, check=False
    )
    lines = [line.split(maxsplit=1) for line in listing.stdout.splitlines()]
    return [int(words[0]) for words in lines if "multiprocessing.spawn" in words[1]]


def alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def until(condition, seconds=20):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def test_serial_and_pool_give_the_same_records(tiny, tmp_path):
    specs = [*tiny.specs("add"), *tiny.specs("fail"), *tiny.specs("lack")]
    stores = {SERIAL: Store(tmp_path / "serial"), POOL: Store(tmp_path / "pool")}
    found = {}
    for placement, store in stores.items():
        errors = run_all(specs, store=store, placement=placement)
        # The others went on.
        assert {type(e) for e in errors} == {RunFailed, MissingData}
        assert len(errors) == 2
        assert all("\n" not in str(e) for e in errors)
        found[placement] = numbers(filter(None, map(store.find, specs)))
    assert len(found[SERIAL]) == 6
    assert found[SERIAL] == found[POOL]


def test_a_serial_executor_keeps_errors_for_later():
    with SerialExecutor() as executor:
        good, bad = executor.submit(divmod, 7, 2), executor.submit(divmod, 7, 0)
    assert good.result() == (3, 1)
    assert isinstance(bad.exception(), ZeroDivisionError)


def test_a_serial_executor_is_interrupted_at_once():
    def interrupt():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        SerialExecutor().submit(interrupt)


def test_two_processes_compute_each_run_once(tiny):
    words = ("sleep", "0.5", 1)
    specs = tiny.specs("sleep", seconds=0.5)
    processes = [tiny.drive(*words), tiny.drive(*words)]
    for process in processes:
        out, err = process.communicate(timeout=60)
        assert out.strip() == "4 specs, 0 errors", err
    assert tiny.computed() == len(specs) == 4
    assert all(map(tiny.store.find, specs))


@pytest.mark.faults
def test_a_worker_that_is_killed_once(tiny, capfd):
    specs = [*tiny.specs("die", times=1)[:1], *tiny.specs("add")]
    assert run_all(specs, store=tiny.store, placement=POOL) == []
    assert all(map(tiny.store.find, specs))
    assert len(list(tiny.notes.glob("1-s0.*"))) == 2
    text = capfd.readouterr().err
    assert text.count("a worker process died") == 1
    assert "Traceback" not in text


@pytest.mark.faults
def test_a_worker_that_always_dies(tiny, capfd):
    deadly = tiny.specs("die", times=1000)[:1]
    # First in line, and yet it does not keep the others from being done.
    specs = [*deadly, *tiny.specs("die", times=0), *tiny.specs("add")]
    costs = [100.0, *[1.0] * (len(specs) - 1)]
    errors = run_all(specs, store=tiny.store, placement=POOL, costs=costs)
    assert len(errors) == 1
    assert isinstance(errors[0], RunFailed)
    assert "\n" not in str(errors[0])
    label = deadly[0].label
    assert str(errors[0]).startswith("tiny: the worker process died each time (killed, or ")
    assert f"over {label}; left to do: {label}; finished runs are kept" in str(errors[0])
    assert "--workers 1" in str(errors[0])
    assert [s.label for s in specs if tiny.store.find(s) is None] == [deadly[0].label]
    assert "Traceback" not in capfd.readouterr().err


@pytest.mark.faults
def test_when_it_is_not_the_runs(tiny, capfd):
    """All workers die: a handful of attempts, then one line."""
    specs = tiny.specs("die", times=1000)
    errors = run_all(specs, store=tiny.store, placement=POOL)
    assert len(errors) == 1
    labels = ", ".join(s.label for s in specs[:3])
    assert f"over {specs[0].label}; left to do: {labels} and 3 more; fin" in str(errors[0])
    assert tiny.computed() <= 2 + 3 * executors.ATTEMPTS_ALONE
    assert "Traceback" not in capfd.readouterr().err


@pytest.mark.faults
@pytest.mark.parametrize("workers", [1, 2])
def test_interrupted(tiny, workers):
    """Ctrl-C in a terminal reaches the whole process group."""
    process = tiny.drive("sleep", "0.001,60", workers, start_new_session=True)
    quick, slow = tiny.specs("sleep", seconds=0.001), tiny.specs("sleep", seconds=60)
    waits = slow[0] if workers == 2 else next(s for s in slow if s.seed == 0)
    until(lambda: progress_path(tiny.store.folder, waits).exists())
    done = {s.id for s in quick if tiny.store.find(s)}
    assert done
    workers_then = children_of(process.pid)
    assert len(workers_then) == (2 if workers == 2 else 0)
    began = time.monotonic()
    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert time.monotonic() - began < 5
    assert process.returncode != 0
    # One traceback, of the driver itself: the command line turns it into a line.
    assert err.count("Traceback (most recent call last)") <= 1
    assert err.rstrip().endswith("KeyboardInterrupt")
    until(lambda: not any(map(alive, workers_then)), 5)
    assert done <= {s.id for s in quick if tiny.store.find(s)}


@pytest.mark.faults
def test_interrupted_alone(tiny):
    """A signal that reaches only the parent ends its workers, too."""
    process = tiny.drive("sleep", "60", 2)
    until(lambda: len(children_of(process.pid)) == 2 and tiny.computed() == 2)
    workers = children_of(process.pid)
    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert time.monotonic() - began < 5
    until(lambda: not any(map(alive, workers)), 5)


@pytest.mark.faults
def test_workers_do_not_outlive_a_killed_parent(tiny):
    process = tiny.drive("sleep", "60", 2)
    until(lambda: len(children_of(process.pid)) == 2 and tiny.computed() == 2)
    workers = children_of(process.pid)
    process.kill()
    # Not communicate(): the workers hold the pipes open until they are gone, too.
    process.wait(timeout=10)
    until(lambda: not any(map(alive, workers)), 10)
    process.communicate(timeout=10)


def test_the_longest_come_first(tiny, capsys):
    specs = tiny.specs("add")
    run_all(specs, store=tiny.store, placement=SERIAL, costs=[1.0, 3.0, 2.0, 4.0])
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(" done")[0] for line in lines] == [
        f"[{i + 1}/4] {specs[k].label}" for i, k in enumerate([3, 1, 2, 0])
    ]


def test_lines_without_a_terminal(tiny, capsys, monkeypatch):
    specs = tiny.specs("add")
    now = [1000.0]
    monkeypatch.setattr(executors.time, "monotonic", lambda: now[0])
    progress = ProgressLine(specs, [1.0, 1.0, 2.0, 0.0], tiny.store)
    now[0] += 10
    progress.finish(specs[0])
    now[0] += 10
    progress.finish(specs[1], failed=True)
    progress.finish(specs[2])
    progress.finish(specs[3])
    progress.refresh()
    progress.close()
    assert capsys.readouterr().err.splitlines() == [
        f"[1/4] {specs[0].label} done, about 30 s left",
        f"[2/4] {specs[1].label} failed, about 20 s left",
        f"[3/4] {specs[2].label} done, about 0 s left",
        f"[4/4] {specs[3].label} done, about 0 s left",
    ]


def test_the_parts_of_running_runs_count(tiny, capsys, monkeypatch):
    specs = tiny.specs("add")
    now = [1000.0]
    monkeypatch.setattr(executors.time, "monotonic", lambda: now[0])
    progress = ProgressLine(specs, [1.0] * 4, tiny.store)
    note = progress_path(tiny.store.folder, specs[1])
    note.parent.mkdir(parents=True)
    note.write_text("0.500000 iteration 5")
    now[0] += 30
    progress.finish(specs[0])
    progress.close()
    # 1.5 of 4 in 30 s: 2.5 more take 50 s.
    assert "about 50 s left" in capsys.readouterr().err


def test_no_cost_at_all(tiny, capsys):
    specs = tiny.specs("add")[:1]
    assert run_all(specs, store=tiny.store, placement=SERIAL, costs=[0.0]) == []
    assert capsys.readouterr().err == f"[1/1] {specs[0].label} done, about 0 s left\n"


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize("cost", [1.0, 0.0])
def test_a_line_with_a_terminal(tiny, monkeypatch, cost):
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    specs = tiny.specs("add")
    progress = ProgressLine(specs, [cost] * 4, tiny.store)
    note = progress_path(tiny.store.folder, specs[1])
    note.parent.mkdir(parents=True)
    note.write_text("0.500000 iteration 5, loss 0.1")
    progress.finish(specs[0])
    progress.refresh()
    drawn = screen.getvalue()
    progress.close()
    # 1.5 of 4.
    assert " 38% |" in drawn
    assert "so far, " in drawn
    assert "left" in drawn
    assert f"{specs[1].label} iteration 5, loss 0.1" in drawn
    assert "\n" not in drawn


def test_a_serial_campaign_in_a_terminal(tiny, monkeypatch):
    """The line moves while this process is busy."""
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setattr(progress, "POLL_S", 0.05)
    specs = tiny.specs("sleep", seconds=0.5)[:1]
    assert run_all(specs, store=tiny.store, placement=SERIAL) == []
    assert f"{specs[0].label} asleep" in screen.getvalue()


@pytest.mark.parametrize(
    ("cores", "jobs", "workers", "expected"),
    [
        (2, 12, None, (2, 1)),
        (16, 12, None, (12, 1)),
        (16, 3, None, (3, 5)),
        (4, 1, None, (1, 4)),
        (4, 12, 2, (2, 2)),
        (4, 12, 8, (8, 1)),
        (4, 0, None, (1, 4)),
    ],
)
def test_place_on_cores(monkeypatch, cores, jobs, workers, expected):
    monkeypatch.setattr(executors, "available_cores", lambda: cores)
    placement = place(RunOptions(), jobs, workers)
    assert (len(placement.devices), placement.options.threads) == expected
    assert set(placement.devices) == {"cpu"}


def test_place_on_gpus(monkeypatch):
    import torch

    monkeypatch.setattr(executors, "available_cores", lambda: 16)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    gpus = RunOptions(device="cuda")
    every = ("cuda:0", "cuda:1", "cuda:2", "cuda:3")
    assert place(gpus, 9) == Placement(every, replace(gpus, threads=4))
    assert place(gpus, 2) == Placement(every[:2], replace(gpus, threads=8))
    assert place(gpus, 9, 6).devices == every + every[:2]
    assert place(gpus, 9, per_gpu=2).devices == every * 2
    assert place(gpus, 3, per_gpu=2).devices == every[:3]
    assert place(RunOptions(device="cuda:2"), 9).devices == ("cuda:2",)
    assert place(RunOptions(device="cuda:2"), 9, per_gpu=4).devices == ("cuda:2",) * 4
    assert place(RunOptions(device="mps"), 9).devices == ("mps",)


def test_placement_in_words():
    assert SERIAL.text == "1 worker on cpu, 1 thread each"
    assert (
        Placement(("cuda:0", "cuda:1"), RunOptions(threads=8)).text
        == "2 workers on cuda:0, cuda:1, 8 threads each"
    )


def test_resolve_device(monkeypatch):
    import torch

    driver = [True]
    monkeypatch.setattr(executors, "has_nvidia_driver", lambda: driver[0])
    assert executors.resolve_device("cpu") == "cpu"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert executors.resolve_device("auto") == "cuda"
    driver[0] = False
    assert executors.resolve_device("auto") == "cpu"
    driver[0] = True
    assert executors.resolve_device("cuda:1") == "cuda:1"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert executors.resolve_device("auto") == "cpu"
    for device in ("cuda", "cuda:1", "mps", "gpu", ""):
        with pytest.raises(UserError) as error:
            executors.resolve_device(device)
        assert "\n" not in str(error.value)
        assert device in str(error.value)
