"""Runs on Ray and on Slurm: the same records, whoever dies meanwhile.

`nox -s tests_cluster` has both packages. Ray is a cluster of this machine; Slurm's jobs are
processes of this machine, too, unless REPLAB_TEST_SLURM=slurm asks for the real one.
"""

import contextlib
import gc
import importlib.util
import json
import os
import shutil
import signal
import threading
import time
import warnings
from collections import Counter
from dataclasses import replace
from types import SimpleNamespace

import pytest

from replab.errors import MissingData
from replab.options import RunOptions
from replab.runs import cluster_jobs, clusters, executors
from replab.runs.cluster_jobs import Refused, make_jobs
from replab.runs.execution import RunFailed
from replab.runs.experiment import load_replication
from replab.runs.identity import plan_runs
from replab.runs.progress import progress_path, read_progress

INTERVAL = 20
STEPS = 100
# Trainings that keep a checkpoint and a list of the iterations that they have done.
STEPS_EXPERIMENTS = f"""
import os
import time
from pathlib import Path

from replab.files import write_text
from replab.runs.experiment import Experiment, Plan, RunResult

NOTES = Path(os.environ["REPLAB_ROOT"]) / "steps"


def train(context):
    NOTES.mkdir(exist_ok=True)
    checkpoint = context.workspace / "checkpoint.txt"
    done = int(checkpoint.read_text()) if checkpoint.exists() else 0
    with (NOTES / f"{{context.seed}}.txt").open("a", buffering=1) as notes:
        for iteration in range(done, {STEPS}):
            notes.write(f"{{os.getpid()}} {{iteration}}\\n")
            time.sleep(context.variant["pause"])
            if (iteration + 1) % {INTERVAL} == 0:
                write_text(checkpoint, str(iteration + 1))
            context.progress((iteration + 1) / {STEPS}, f"iteration {{iteration + 1}}")
    return RunResult({{"seed": context.seed}}, iterations={STEPS})


plan = Plan(({{"pause": 0.0}}, {{"pause": 0.03}}, {{"pause": 1.0}}), seeds=(0, 1))
EXPERIMENTS = (Experiment("train", 1, train, {{"quick": plan}}, {{1: "first version"}}),)
"""


@pytest.fixture
def steps(tiny):
    """The specs of the trainings, and what they have noted of their iterations."""
    folder = tiny.root / "replications" / "steps"
    folder.mkdir()
    (folder / "experiments.py").write_text(STEPS_EXPERIMENTS, encoding="utf-8")
    experiment = load_replication("steps").experiments["train"]

    def specs(pause):
        every = plan_runs("steps", experiment, "quick", data=("", ""), device="cpu")
        return [s for s in every if s.variant["pause"] == pause]

    def noted(seed=0):
        path = tiny.root / "steps" / f"{seed}.txt"
        lines = path.read_text().splitlines() if path.exists() else []
        return [tuple(map(int, line.split())) for line in lines if line.count(" ") == 1]

    return SimpleNamespace(specs=specs, noted=noted)


@pytest.fixture(scope="module")
def ray_cluster():
    """A cluster of this machine for all tests of this file: its start takes seconds."""
    if importlib.util.find_spec("ray") is None:
        pytest.skip("ray is not installed: nox -s tests_cluster")
    with clusters.choose("ray") as cluster:
        cluster.engine.lay_out("cpu", per_gpu=1, workers=None)
        yield
    with warnings.catch_warnings():
        # Ray ends its processes without waiting for them, and Python finds that out here.
        warnings.filterwarnings("ignore", "subprocess .* is still running", ResourceWarning)
        gc.collect()


@contextlib.contextmanager
def opener(name):
    """A function that opens a cluster's engine, as a command would."""
    words = []
    if name == "slurm":
        if importlib.util.find_spec("submitit") is None:
            pytest.skip("submitit is not installed: nox -s tests_cluster")
        words = [f"cluster={os.environ.get('REPLAB_TEST_SLURM', 'local')}", "timeout_min=5"]
        if words[0] == "cluster=slurm" and shutil.which("sbatch") is None:
            pytest.skip("this machine has no Slurm")
    with contextlib.ExitStack() as stack:

        def open_(workers=2):
            cluster = stack.enter_context(clusters.choose(name, words))
            cluster.engine.lay_out("cpu", per_gpu=1, workers=workers)
            return cluster.engine

        yield open_


@pytest.fixture(params=["ray", "slurm"])
def open_engine(request):
    if request.param == "ray":
        request.getfixturevalue("ray_cluster")
    with opener(request.param) as open_:
        yield open_


@pytest.fixture
def slurm():
    with opener("slurm") as open_:
        yield open_


def jobs_of(tiny, specs):
    return make_jobs(specs, tiny.store, RunOptions())


def run(tiny, engine, specs, **options):
    costs = [1.0] * len(specs)
    jobs = options.pop("jobs", None) or jobs_of(tiny, specs)
    return cluster_jobs.run_all(jobs, engine, store=tiny.store, costs=costs, **options)


def numbers(store, specs):
    found = filter(None, map(store.find, specs))
    return {r.id: replace(r, provenance={}).as_dict() for r in found}


def until(condition, seconds=60):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def meanwhile(action):
    """Do something while this thread waits for runs."""
    thread = threading.Thread(target=action, daemon=True)
    thread.start()
    return thread


def test_the_same_records_as_on_this_machine(tiny, open_engine):
    specs = [*tiny.specs("add"), *tiny.specs("fail")[1:2], *tiny.specs("lack")]
    errors = run(tiny, open_engine(), specs)
    assert sorted(type(e).__name__ for e in errors) == ["MissingData", "RunFailed"]
    assert all("\n" not in str(e) for e in errors)
    remote = numbers(tiny.store, specs)
    # What failed by itself was not tried again.
    assert tiny.computed() == len(tiny.specs("add")) + 1
    shutil.rmtree(tiny.store.folder)
    serial = executors.Placement(("cpu",), RunOptions())
    assert {type(e) for e in executors.run_all(specs, store=tiny.store, placement=serial)} == {
        RunFailed,
        MissingData,
    }
    assert remote == numbers(tiny.store, specs)
    assert len(remote) == 4


@pytest.mark.faults
def test_a_killed_worker_costs_at_most_a_checkpoint_interval(tiny, steps, open_engine, capfd):
    specs = steps.specs(0.03)
    progress = []

    def kill():
        until(lambda: len(steps.noted(0)) > 1.5 * INTERVAL)
        progress.append(read_progress(progress_path(tiny.store.folder, specs[0])))
        os.kill(steps.noted(0)[-1][0], signal.SIGKILL)

    thread = meanwhile(kill)
    assert run(tiny, open_engine(), specs) == []
    thread.join()
    # No record lost, and that of the killed run says what an undisturbed one does.
    assert len(numbers(tiny.store, specs)) == 2
    done = Counter(iteration for _, iteration in steps.noted(0))
    assert set(done) == set(range(STEPS))
    assert 1 <= sum(done.values()) - STEPS <= INTERVAL
    assert len({pid for pid, _ in steps.noted(0)}) == 2
    assert sum(Counter(iteration for _, iteration in steps.noted(1)).values()) == STEPS
    text = capfd.readouterr().err
    assert text.count("attempt 2 of 3 goes on from its checkpoint") == 1
    assert specs[0].label in text
    assert not any(tiny.store.workspace(spec).exists() for spec in specs)
    # How far a run is reaches this machine while it runs.
    assert 0 < progress[0][0] < 1
    assert progress[0][1].startswith("iteration ")


@pytest.mark.faults
def test_a_run_that_always_dies_is_given_up(tiny, open_engine):
    deadly = tiny.specs("die", times=1000)[:1]
    specs = [*deadly, *tiny.specs("add")[:1]]
    (error,) = run(tiny, open_engine(), specs)
    assert isinstance(error, RunFailed)
    assert "\n" not in str(error)
    assert str(error).startswith(f"tiny: {deadly[0].label}: the worker died 3 times (last: ")
    assert len(list(tiny.notes.glob("1000-s0.*"))) == cluster_jobs.ATTEMPTS == 3
    assert [s for s in specs if tiny.store.find(s)] == specs[1:]


@pytest.mark.faults
def test_a_worker_that_does_not_see_the_store(tiny, open_engine):
    specs = tiny.specs("add")[:2]
    jobs = jobs_of(tiny, specs)
    other = jobs_of(tiny, specs)[0].mark[::-1]
    (tiny.store.folder / "cluster" / "mark.txt").write_text(other)
    with pytest.raises(Refused, match=r"sees another folder at .*; set REPLAB_STORE") as error:
        run(tiny, open_engine(), specs, jobs=jobs)
    assert "\n" not in str(error.value)
    assert tiny.computed() == 0
    assert not numbers(tiny.store, specs)


@pytest.mark.faults
def test_an_interrupt_leaves_no_process(tiny, steps, open_engine):
    specs = steps.specs(1.0)
    main = threading.main_thread().ident

    def interrupt():
        until(lambda: steps.noted(0))
        signal.pthread_kill(main, signal.SIGINT)

    thread = meanwhile(interrupt)
    with pytest.raises(KeyboardInterrupt):
        run(tiny, open_engine(workers=1), specs)
    thread.join()
    until(lambda: not alive(steps.noted(0)[0][0]), 10)
    # Nothing runs on, what waited has not begun, and the locks are free.
    assert not steps.noted(1)
    for spec in specs:
        with tiny.store.claim(spec):
            assert tiny.store.find(spec) is None


def test_no_wait_twice_queues_once(tiny, steps, slurm):
    specs = steps.specs(0.03)
    first, second, last = slurm(), slurm(), slurm()
    assert run(tiny, first, specs, wait=False) == []
    queued = first.under_way()
    assert set(queued) == {spec.id for spec in specs}
    notes = tiny.store.folder / "cluster" / "jobs"
    assert {p.stem: json.loads(p.read_text())["job"] for p in notes.iterdir()} == queued
    assert run(tiny, second, specs, wait=False) == []
    assert second.under_way() == queued
    assert run(tiny, last, specs) == []
    assert len(numbers(tiny.store, specs)) == 2
    for seed in (0, 1):
        assert [iteration for _, iteration in steps.noted(seed)] == list(range(STEPS))
    assert not list(notes.iterdir())
    # The first command would have seen the same.
    seen = {}
    while ended := first.ended(block=True):
        seen |= {job.spec.id: ending for job, ending in ended}
    assert seen == dict.fromkeys(queued)


@pytest.mark.faults
def test_a_job_that_dies_with_nobody_waiting(tiny, steps, slurm, capfd):
    (spec,) = steps.specs(0.03)[:1]
    first, second, last = slurm(), slurm(), slurm()
    run(tiny, first, [spec], wait=False)
    until(lambda: len(steps.noted(0)) > 1.5 * INTERVAL)
    os.kill(steps.noted(0)[-1][0], signal.SIGKILL)
    (ended,) = first.ended(block=True)
    assert isinstance(ended[1], cluster_jobs.WorkerDied)
    # As after the end of that process, which would not have looked.
    from replab.runs.slurm_jobs import note, recall

    (job,) = jobs_of(tiny, [spec])
    note(job, first._cluster, "999999")
    run(tiny, second, [spec], wait=False)
    assert recall(job).attempt == 2
    assert "attempt 2 of 3" in capfd.readouterr().err
    assert run(tiny, last, [spec]) == []
    done = Counter(iteration for _, iteration in steps.noted(0))
    assert 1 <= sum(done.values()) - STEPS <= INTERVAL
    assert tiny.store.find(spec) is not None
    assert [ending for _, ending in second.ended(block=True)] == [None]


@pytest.mark.faults
def test_a_job_that_is_put_back_into_the_queue(tiny, steps, slurm):
    """As Slurm does at a time limit or for a job of higher priority: no death is counted."""
    (spec,) = steps.specs(0.03)[:1]
    engine = slurm()

    def preempt():
        until(lambda: len(steps.noted(0)) > 1.5 * INTERVAL)
        os.kill(steps.noted(0)[-1][0], signal.SIGUSR2)

    thread = meanwhile(preempt)
    assert run(tiny, engine, [spec], attempts=1) == []
    thread.join()
    done = Counter(iteration for _, iteration in steps.noted(0))
    assert set(done) == set(range(STEPS))
    assert 1 <= sum(done.values()) - STEPS <= INTERVAL
