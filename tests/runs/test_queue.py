"""The queue: order, clean checkouts, stops and kills at any moment, several queues at once."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

import registered_paper
import replab
from registered_paper import commit, environment, git
from replab.errors import UserError
from replab.files import write_json
from replab.runs import queue, queue_status, worktrees
from replab.runs import record as records
from replab.runs.execution import LOG_FILE, read_log
from replab.runs.store import Store

LIBRARY = str(Path(replab.__file__).parents[1])


@pytest.fixture
def toy(tmp_path, monkeypatch):
    """The checkout, committed."""
    root = tmp_path / "checkout"
    root.mkdir()
    registered_paper.write(root)
    (root / "notes").mkdir()
    commit(root)
    for name, value in environment(root).items():
        monkeypatch.setenv(name, value)
    return root


def start(root, *words):
    # The checkout holds no library of its own: the one under test serves.
    env = {**environment(root), "PYTHONPATH": LIBRARY}
    command = [sys.executable, "-m", "replab", "queue", *words]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    return subprocess.Popen(command, cwd=root, env=env, **pipes)


def finish(root, *words):
    process = start(root, *words)
    said, _ = process.communicate(timeout=120)
    return process.returncode, said


def found(root):
    store = Store(root / ".replab")
    return [queue.find_record(run, store) for run in queue.planned()]


def expected(run):
    steps = run.spec.recipe.steps
    squares = sum(step**2 for step in range(1, steps + 1))
    return run.spec.variant["a"] * squares + steps * (run.spec.seed % 7)


def test_all_runs_in_order_under_the_pin(toy):
    pin = git(toy, "rev-parse", "HEAD")
    # What is edited meanwhile is not in the records.
    (toy / "replications/toy/paper.yaml").write_text("edited")
    code, said = finish(toy, "--workers", "1")
    assert code == 0, said
    runs = queue.planned()
    began = [line for line in said.splitlines() if line.endswith("begun")]
    assert [line.partition("] ")[2] for line in began] == [f"{r.label} begun" for r in runs]
    for run, record in zip(runs, found(toy), strict=True):
        assert record.metrics["total"] == expected(run)
        assert record.registration == run.registration.digest
        assert record.provenance["commit"] == pin
        assert record.provenance["dirty"] is False
        assert record.threads == 1
    assert found(toy)[0].seed == found(toy)[1].seed == found(toy)[2].seed
    # Once more there is nothing to do.
    code, said = finish(toy)
    assert code == 0
    assert "begun" not in said


def repeated(root):
    """How often each run did a step again."""
    counts = []
    for note in (root / "notes").iterdir():
        steps = Counter(map(int, note.read_text().split()))
        counts.append(sum(n - 1 for n in steps.values()))
    return counts


def end_all(root):
    """Kill a queue as a power cut does; its workers end with it."""
    deadline = time.monotonic() + 20
    store = Store(root / ".replab")
    while time.monotonic() < deadline and any(store.is_claimed(r.spec) for r in queue.planned()):
        time.sleep(0.1)


@pytest.mark.faults
def test_killed_at_random_moments(toy):
    draw = random.Random(7)
    kills = 0
    for _ in range(10):
        process = start(toy)
        time.sleep(draw.uniform(0.3, 2.5))
        if process.poll() is None:
            process.kill()
            kills += 1
        process.communicate()
        done = {r.id for r in found(toy) if r is not None}
        end_all(toy)
        # As if the clock had been set back meanwhile: all that is there is from tomorrow.
        for path in (toy / ".replab").rglob("*"):
            os.utime(path, (time.time() + 86400,) * 2)
        # Nothing is lost.
        assert done <= {r.id for r in found(toy) if r is not None}
    code, said = finish(toy)
    assert code == 0, said
    for run, record in zip(queue.planned(), found(toy), strict=True):
        assert record.metrics["total"] == expected(run)
    # Each kill costs each of two workers at most one interval of ten steps.
    assert sum(repeated(toy)) <= kills * 2 * 10
    assert kills > 0


@pytest.mark.faults
def test_a_killed_worker_is_tried_again(toy):
    process = start(toy, "--workers", "1")
    store, first = Store(toy / ".replab"), queue.planned()[0]
    deadline = time.monotonic() + 30
    while not store.is_claimed(first.spec) and time.monotonic() < deadline:
        time.sleep(0.05)
    children = subprocess.run(
        ["pgrep", "-P", str(process.pid)], capture_output=True, text=True, check=True
    )
    os.kill(int(children.stdout.split()[0]), signal.SIGKILL)
    said, _ = process.communicate(timeout=120)
    assert process.returncode == 0, said
    assert "trying again" in said
    assert all(found(toy))


def test_two_queues_at_once_do_each_run_once(toy):
    both = [start(toy), start(toy)]
    for process in both:
        said, _ = process.communicate(timeout=120)
        assert process.returncode == 0, said
    assert all(found(toy))
    assert sum(repeated(toy)) == 0


def test_two_queues_share_the_runs_out(toy):
    file = toy / "replications/toy/registered/toy.yaml"
    file.write_text(file.read_text().replace("pause: 0.01", "pause: 0.1"))
    commit(toy, "slower")
    both = [start(toy, "--workers", "1") for _ in range(2)]
    done = []
    for process in both:
        said, _ = process.communicate(timeout=180)
        assert process.returncode == 0, said
        done.append(said.count(" done in "))
    assert sum(done) == 6
    assert all(done)


def test_a_record_that_does_not_count_is_set_aside_and_done_again(toy):
    run = queue.planned()[0]
    store = Store(toy / ".replab")
    provenance = {**make_record(run.spec).provenance, "dirty": True}
    path = store.put(replace(make_record(run.spec), provenance=provenance))
    assert queue.find_record(run, store) is None
    code, said = finish(toy)
    assert code == 0, said
    assert "uncommitted changes" in said
    assert found(toy)[0].metrics["total"] == expected(run)
    (aside,) = (toy / ".replab" / "set-aside" / "toy").iterdir()
    assert records.read(aside).metrics["total"] == 1.0
    assert records.read(path).metrics["total"] == expected(run)


def test_a_run_that_was_begun_dirty_begins_again(toy):
    run = queue.planned()[0]
    workspace = Store(toy / ".replab").workspace(run.spec)
    workspace.mkdir(parents=True)
    (workspace / "checkpoint").write_text("10 999999")
    noted = {
        "elapsed_s": 5.0,
        "started": "2026-11-30T00:00:00+00:00",
        "sessions": 1,
        "registration": run.registration.digest,
        "commit": git(toy, "rev-parse", "HEAD"),
        "dirty": True,
    }
    write_json(workspace / LOG_FILE, noted)
    code, said = finish(toy)
    assert code == 0, said
    assert "begins again" in said
    assert found(toy)[0].metrics["total"] == expected(run)
    assert found(toy)[0].provenance["dirty"] is False


def test_a_checkpoint_without_a_log_is_not_trusted(toy):
    run = queue.planned()[0]
    workspace = Store(toy / ".replab").workspace(run.spec)
    workspace.mkdir(parents=True)
    (workspace / "checkpoint").write_text("30 999999")
    assert finish(toy)[0] == 0
    assert found(toy)[0].metrics["total"] == expected(run)


@pytest.mark.parametrize("workers", ["0", "-1", "two"])
def test_workers_are_a_positive_number(toy, workers, capsys):
    from replab.cli import main

    assert main(["queue", "--workers", workers]) == 2


def test_a_registration_for_other_devices_is_left_to_them(toy):
    file = toy / "replications/toy/registered/toy.yaml"
    file.write_text(file.read_text().replace("devices: [cpu]", "devices: [cuda]"))
    commit(toy, "for a GPU")
    code, said = finish(toy)
    assert code == 0, said
    assert "allows no run on cpu" in said
    assert "begun" not in said


def test_stopped_and_resumed(toy):
    process = start(toy)
    store = Store(toy / ".replab")
    deadline = time.monotonic() + 30
    while not queue.running(store) and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(1.5)
    state = queue_status.status(store)
    assert state["queues"][0]["pid"] == process.pid
    assert queue_status.stop(store) == 1
    process.communicate(timeout=30)
    assert process.returncode == 130
    assert queue.running(store) == {}
    assert finish(toy)[0] == 0
    assert queue_status.status(store)["registrations"] == [
        {"registration": "toy/toy", "planned": 6, "done": 6}
    ]


def test_a_run_goes_on_under_the_code_that_began_it(toy):
    old, run = git(toy, "rev-parse", "HEAD"), queue.planned()[0]
    store = Store(toy / ".replab")
    workspace = store.workspace(run.spec)
    workspace.mkdir(parents=True)
    (workspace / "checkpoint").write_text("10 385")
    noted = {
        "elapsed_s": 5.0,
        "started": "2026-11-30T00:00:00+00:00",
        "sessions": 1,
        "registration": run.registration.digest,
        "commit": old,
        "dirty": False,
    }
    write_json(workspace / LOG_FILE, noted)
    assert read_log(workspace)
    new = commit(toy, "later")
    assert finish(toy)[0] == 0
    first, *others = found(toy)
    assert first.provenance["commit"] == old
    assert first.provenance["sessions"] == 2
    assert {r.provenance["commit"] for r in others} == {new}


def test_a_run_whose_commit_is_gone_begins_again(toy):
    run = queue.planned()[0]
    workspace = Store(toy / ".replab").workspace(run.spec)
    workspace.mkdir(parents=True)
    (workspace / "checkpoint").write_text("10 999999")
    noted = {
        "elapsed_s": 5.0,
        "started": "2026-11-30T00:00:00+00:00",
        "sessions": 1,
        "registration": run.registration.digest,
        "commit": "f" * 40,
        "dirty": False,
    }
    write_json(workspace / LOG_FILE, noted)
    code, said = finish(toy)
    assert code == 0, said
    assert "begins again" in said
    assert found(toy)[0].metrics["total"] == expected(run)


def test_a_run_that_fails_says_why_and_stops_no_other(toy):
    file = toy / "replications/toy/experiments.py"
    broken = '        if context.variant["a"] == 2:\n            raise ValueError("no twos")\n'
    text = file.read_text().replace("        time.sleep", broken + "        time.sleep", 1)
    file.write_text(text)
    commit(toy, "broken")
    code, said = finish(toy)
    assert code == 1
    assert "no twos" in said
    assert [r is not None for r in found(toy)] == [True, False, True] * 2


def test_committed_records_are_not_done_again(toy):
    assert finish(toy)[0] == 0
    runs = toy / "results" / "toy" / "runs"
    for record in found(toy):
        write_json(runs / f"{record.id}.json", record.as_dict())
    store = toy / ".replab" / "runs"
    for path in store.rglob("*.json"):
        path.unlink()
    commit(toy, "accepted")
    code, said = finish(toy)
    assert code == 0
    assert "begun" not in said


def test_a_record_from_another_allowed_device_counts(toy):
    run = replace(queue.planned()[0])
    both = replace(run.registration, devices=("cpu", "cuda"))
    store = Store(toy / ".replab")
    spec = replace(run.spec, device="cuda")
    store.put(make_record(spec))
    assert queue.find_record(replace(run, registration=both), store) is not None
    assert queue.find_record(run, store) is None


def make_record(spec):
    from replab.runs.experiment import RunResult

    provenance = {
        "commit": "a" * 40,
        "dirty": False,
        "versions": {},
        "cpu": "cpu",
        "gpu": "",
        "started": "2026-11-30T00:00:00+00:00",
        "wall_s": 1.0,
        "peak_mem_bytes": 1,
        "throughput": None,
    }
    return records.make(spec, RunResult({"total": 1.0}), threads=1, provenance=provenance)


def test_status_of_what_was_not_begun(toy, capsys):
    from replab.cli import main

    assert main(["queue", "status", "--json"]) == 0
    state = json.loads(capsys.readouterr().out)
    assert state["registrations"] == [{"registration": "toy/toy", "planned": 6, "done": 0}]
    assert state["running"] == state["queues"] == []
    assert len(state["left"]) == 6
    assert state["core_hours_left"] is None


def test_outside_git(tmp_path, monkeypatch, capsys):
    from replab.cli import main

    registered_paper.write(tmp_path)
    monkeypatch.setenv("REPLAB_ROOT", str(tmp_path))
    monkeypatch.setenv("REPLAB_STORE", str(tmp_path / ".replab"))
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert main(["queue"]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "git checkout" in said


class TestWorktrees:
    def test_only_those_in_use_stay(self, toy):
        folder = toy / ".replab" / "trees"
        old = git(toy, "rev-parse", "HEAD")
        new = commit(toy, "later")
        trees = [worktrees.ensure_worktree(toy, pin, folder) for pin in (old, new)]
        worktrees.remove_others(toy, folder, {new})
        assert [path.exists() for path in trees] == [False, True]
        assert git(toy, "worktree", "list").count("\n") == 1

    def test_a_clean_checkout(self, toy):
        pin = git(toy, "rev-parse", "HEAD")
        tree = worktrees.ensure_worktree(toy, pin, toy / ".replab" / "trees")
        assert (tree / "replications/toy/paper.yaml").is_file()
        assert git(tree, "rev-parse", "HEAD") == pin
        assert worktrees.ensure_worktree(toy, pin, toy / ".replab" / "trees") == tree

    @pytest.mark.parametrize("damage", ["edit", "no git", "folder gone", "repository moved"])
    def test_a_damaged_one_is_made_again(self, toy, damage):
        pin = git(toy, "rev-parse", "HEAD")
        folder = toy / ".replab" / "trees"
        tree = worktrees.ensure_worktree(toy, pin, folder)
        file = tree / "replications/toy/paper.yaml"
        if damage == "edit":
            file.write_text("edited")
        elif damage == "no git":
            (tree / ".git").unlink()
        elif damage == "folder gone":
            file.unlink()
        else:
            (tree / ".git").write_text("gitdir: /nowhere/.git/worktrees/x\n")
        again = worktrees.ensure_worktree(toy, pin, folder)
        assert file.read_text() == registered_paper.PAPER
        assert git(again, "status", "--porcelain") == ""

    def test_a_place_that_a_kill_left_locked(self, toy):
        pin = git(toy, "rev-parse", "HEAD")
        folder = toy / ".replab" / "trees"
        tree = worktrees.ensure_worktree(toy, pin, folder)
        git(toy, "worktree", "lock", str(tree), "--reason", "initializing")
        shutil.rmtree(tree)
        assert worktrees.ensure_worktree(toy, pin, folder) == tree
        assert git(tree, "status", "--porcelain") == ""

    def test_asked_for_by_two_at_once(self, toy):
        pin = git(toy, "rev-parse", "HEAD")
        folder = toy / ".replab" / "trees"
        with ThreadPoolExecutor(2) as pool:
            jobs = [pool.submit(worktrees.ensure_worktree, toy, pin, folder) for _ in range(2)]
            trees = {job.result() for job in jobs}
        (tree,) = trees
        assert git(tree, "status", "--porcelain") == ""

    def test_a_checkout_in_a_folder_of_a_larger_repository(self, toy):
        inner = toy / "suite"
        (inner / "replications").mkdir(parents=True)
        (inner / "replications" / "x").write_text("x")
        pin = commit(toy, "a suite inside")
        tree = worktrees.ensure_worktree(inner, pin, toy / ".replab" / "trees")
        assert (tree / "replications" / "x").is_file()

    def test_worktrees_of_others_stay(self, toy, tmp_path):
        pin = git(toy, "rev-parse", "HEAD")
        git(toy, "worktree", "add", "--detach", str(tmp_path / "usb"), pin)
        (tmp_path / "usb").rename(tmp_path / "away")
        folder = toy / ".replab" / "trees"
        worktrees.ensure_worktree(toy, pin, folder)
        worktrees.remove_others(toy, folder, set())
        (tmp_path / "away").rename(tmp_path / "usb")
        assert git(tmp_path / "usb", "rev-parse", "HEAD") == pin

    def test_an_unknown_commit(self, toy):
        with pytest.raises(UserError, match="has no commit"):
            worktrees.ensure_worktree(toy, "f" * 40, toy / "trees")
        with pytest.raises(UserError, match="no commit nothing"):
            worktrees.resolve_commit(toy, "nothing")
