"""One run: its record, or one line that says why there is none."""

import json
import os
import time
from dataclasses import replace

import pytest

import declared
from replab.errors import CheckFailed, MissingData, UserError
from replab.options import RunOptions
from replab.runs import execution
from replab.runs.execution import RunFailed, SessionLog, execute, read_log
from replab.runs.progress import ProgressFile, progress_path, read_progress


def run(tiny, spec):
    return execute(spec, str(tiny.store.folder), RunOptions())


def test_a_run_and_its_record(tiny):
    spec = tiny.specs("add", a=2)[1]
    assert run(tiny, spec) == spec.id
    found = tiny.store.find(spec)
    assert found.metrics == {"sum": 12, "third": 4.0}
    assert found.series == {"line": {"x": [0.0, 1.0], "y": [0.0, 12.0]}}
    assert (found.model, found.iterations, found.seed) == ("adder", 2, 1)
    assert (found.threads, found.device, found.precision) == (1, "cpu", "fp32")
    assert found.recipe == {"scale": 10, "drops": [1, 2]}
    assert found.provenance["throughput"] == 12.3
    # Nothing is left of the work.
    assert not tiny.store.workspace(spec).exists()
    assert not progress_path(tiny.store.folder, spec).exists()


def test_a_run_is_done_once(tiny):
    spec = tiny.specs("add")[0]
    assert run(tiny, spec) == run(tiny, spec) == spec.id
    assert tiny.computed() == 1


def test_an_error_is_one_line_and_a_log(tiny):
    spec = tiny.specs("fail", a=2)[0]
    with pytest.raises(RunFailed) as error:
        run(tiny, spec)
    log = tiny.store.folder / "logs" / f"{spec.id}.log"
    assert str(error.value) == (
        "tiny: fail[a=2] seed 0 failed: a number was divided by nothing; "
        f"the traceback is in {log}"
    )
    assert isinstance(error.value, CheckFailed)
    text = log.read_text()
    assert text.startswith("Traceback (most recent call last):")
    assert 'raise ZeroDivisionError("a number was' in text
    assert tiny.store.find(spec) is None
    assert not progress_path(tiny.store.folder, spec).exists()


def test_a_check_that_fails_needs_no_log(tiny):
    with pytest.raises(RunFailed) as error:
        run(tiny, tiny.specs("check")[0])
    assert str(error.value) == "tiny: check[a=1] seed 0: the loss is nan at iteration 7"
    assert not (tiny.store.folder / "logs").exists()


def test_missing_data_pass_through(tiny):
    with pytest.raises(MissingData) as error:
        run(tiny, tiny.specs("lack")[0])
    assert str(error.value) == "the data are not on this machine; fetch them"


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("nan", "metric value is nan"),
        ("inf", "metric value is inf"),
        ("text", "metric value is no number but str"),
    ],
)
def test_what_is_no_number_is_refused(tiny, kind, reason):
    spec = tiny.specs("number", kind=kind)[0]
    with pytest.raises(RunFailed) as error:
        run(tiny, spec)
    assert f"failed: {reason}; the traceback is in " in str(error.value)
    assert tiny.store.find(spec) is None


def test_another_recipe_is_refused_before_the_work(tiny):
    from dataclasses import replace

    spec = tiny.specs("add")[0]
    run(tiny, spec)
    with pytest.raises(UserError, match="bump the version"):
        run(tiny, replace(spec, recipe=declared.recipe(scale=1)))
    assert tiny.computed() == 1


def test_an_unknown_experiment(tiny):
    from dataclasses import replace

    with pytest.raises(UserError, match="has no experiment 'subtract'"):
        run(tiny, replace(tiny.specs("add")[0], experiment="subtract"))


def test_progress_file(tmp_path):
    path = tmp_path / "progress" / "run.txt"
    assert read_progress(path) == (0.0, "")
    note = ProgressFile(path)
    note(0.25, "iteration 5, loss 0.1")
    assert read_progress(path) == (0.25, "iteration 5, loss 0.1")
    # Too soon to be written again, but the end always is.
    note(0.5, "iteration 10")
    assert read_progress(path) == (0.25, "iteration 5, loss 0.1")
    note(1.0, "done")
    assert read_progress(path) == (1.0, "done")
    path.write_text("not a number")
    assert read_progress(path) == (0.0, "")


def test_progress_is_written_a_few_times_a_second(tmp_path, monkeypatch):
    path = tmp_path / "run.txt"
    now = [100.0]
    monkeypatch.setattr(execution.time, "monotonic", lambda: now[0])
    note = ProgressFile(path)
    seen = []
    for step in range(40):
        note(step / 100, str(step))
        seen.append(read_progress(path)[1])
        now[0] += 0.125
    assert len(set(seen)) == 10


@pytest.mark.faults
def test_progress_on_a_full_disk_does_not_end_a_run(tiny_disk):
    note = ProgressFile(tiny_disk / "run.txt")
    with pytest.raises(OSError, match="No space"), (tiny_disk / "ballast").open("wb") as ballast:
        ballast.write(bytes(2**20))
    note(0.5, "x" * 100_000)
    assert read_progress(tiny_disk / "run.txt") == (0.0, "")


def a_log(**fields):
    return {
        "elapsed_s": 100.0,
        "started": "2026-11-22T10:00:00+00:00",
        "sessions": 2,
        "registration": "",
        "commit": "unknown",
        "dirty": False,
        **fields,
    }


def test_wall_time_is_that_of_all_sessions(tiny):
    spec = tiny.specs("add")[0]
    workspace = tiny.store.workspace(spec)
    workspace.mkdir(parents=True)
    (workspace / execution.LOG_FILE).write_text(json.dumps(a_log()))
    run(tiny, spec)
    provenance = tiny.store.find(spec).provenance
    assert 100 <= provenance["wall_s"] < 130
    assert (provenance["started"], provenance["sessions"]) == (a_log()["started"], 3)


@pytest.fixture
def workspace(tmp_path):
    folder = tmp_path / "work"
    folder.mkdir()
    return folder


def test_the_log_is_written_at_once_and_then_now_and_then(tiny, workspace, monkeypatch):
    spec = replace(tiny.specs("add")[0], registration="a" * 64)
    log = SessionLog.begin(workspace, spec)
    first = read_log(workspace)
    assert (first["registration"], first["sessions"]) == ("a" * 64, 1)
    log.path.unlink()
    log.tick()
    assert not log.path.exists()
    monkeypatch.setattr(log, "_written", time.monotonic() - 6)
    log.tick()
    assert 0 <= read_log(workspace)["elapsed_s"] < 60
    again = SessionLog.begin(workspace, spec).watch
    assert (again.started, again.sessions) == (log.watch.started, 2)
    for damage in ("broken", "3.5", "{}", json.dumps(a_log(elapsed_s=None))):
        log.path.write_text(damage)
        watch = SessionLog.begin(workspace, spec).watch
        assert watch.elapsed() < 60
        assert watch.sessions == 1


def test_a_registered_run_goes_on_under_its_own_commit_only(tiny, workspace):
    spec = replace(tiny.specs("add")[0], registration="a" * 64)
    (workspace / execution.LOG_FILE).write_text(json.dumps(a_log(commit="f" * 40)))
    with pytest.raises(UserError, match="f" * 12):
        SessionLog.begin(workspace, spec)
    # An exploratory run may.
    assert SessionLog.begin(workspace, replace(spec, registration="")).watch.sessions == 3


def test_a_dirty_session_makes_a_dirty_run(tiny, workspace):
    spec = replace(tiny.specs("add")[0], registration="a" * 64)
    (workspace / execution.LOG_FILE).write_text(json.dumps(a_log(dirty=True)))
    assert SessionLog.begin(workspace, spec).dirty


def test_threads_reach_torch(tiny):
    torch = pytest.importorskip("torch")
    before = torch.get_num_threads()
    try:
        execute(tiny.specs("add")[0], str(tiny.store.folder), RunOptions(threads=2))
        assert torch.get_num_threads() == 2
        assert os.environ["OMP_NUM_THREADS"] == "2"
        assert tiny.store.find(tiny.specs("add")[0]).threads == 2
    finally:
        torch.set_num_threads(before)
