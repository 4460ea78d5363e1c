"""Clusters, without one: the choice, the options, what must agree, who does what again."""

import importlib.util
import json
import os
import re
import stat
import time
import tomllib
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from planned import made_plan
from replab.errors import MissingData, UserError
from replab.options import RunOptions
from replab.planning import run_plan
from replab.runs import cluster_jobs, clusters, executors, ray_cluster, slurm_cluster
from replab.runs.cluster_jobs import Cancelled, Refused, WorkerDied, make_jobs, run_all, work
from replab.runs.clusters import Cluster, parse_options
from replab.runs.execution import RunFailed
from replab.runs.slurm_jobs import note, recall


class Bench:
    """An engine that does each job when it is asked how it ended, by a script of endings."""

    name = "bench"

    def __init__(self, *script):
        self.script = list(script)
        self.submitted, self.lots, self.cancelled, self.threads = [], [], False, 1

    def resolve_device(self, asked):
        return "cpu"

    def lay_out(self, device, *, per_gpu, workers):
        self.laid_out = (device, per_gpu, workers)

    def text(self):
        return "on a bench"

    def submit(self, jobs):
        self.submitted += jobs
        self.lots += [list(jobs)] if jobs else []

    def ended(self, *, block):
        if not self.submitted or not (block or self.script):
            return []
        job = self.submitted.pop(0)
        step = self.script.pop(0) if self.script else work
        return [(job, step(job) if callable(step) else step)]

    def under_way(self):
        return {job.spec.id: f"job {i}" for i, job in enumerate(self.submitted)}

    def cancel(self):
        self.cancelled = True

    def close(self):
        pass


def drive(tiny, engine, specs, **options):
    jobs = make_jobs(specs, tiny.store, RunOptions())
    return run_all(jobs, engine, store=tiny.store, costs=[1.0] * len(specs), **options)


class TestChoice:
    def test_this_machine_by_default(self):
        with clusters.choose("local") as cluster:
            assert cluster is None

    @pytest.mark.parametrize(
        ("name", "words", "wait", "says"),
        [
            ("sge", (), True, "--executor sge: there is no such executor; use local, ray, slurm"),
            ("local", ("a=1",), True, "--executor-option a=1: this machine takes none"),
            ("ray", (), False, "--no-wait: only slurm's jobs go on alone, not those of ray"),
            ("local", (), False, "--no-wait: only slurm's jobs go on alone, not those of local"),
        ],
    )
    def test_what_does_not_exist(self, name, words, wait, says):
        with pytest.raises(UserError) as error:
            clusters.choose(name, words, wait=wait)
        assert str(error.value).startswith(says)
        assert "\n" not in str(error.value)

    @pytest.mark.parametrize(("name", "package"), clusters.PACKAGES.items())
    def test_a_package_that_is_not_installed(self, monkeypatch, name, package):
        find = importlib.util.find_spec
        monkeypatch.setattr(
            importlib.util, "find_spec", lambda n: None if n == package else find(n)
        )
        with pytest.raises(UserError, match=rf"needs the package {package}; .*\[cluster\]"):
            clusters.choose(name)

    def test_options(self):
        words = ("timeout_min=90", "mem_gb=7.5", "setup=module load x", "setup=a=b", "attempts=5")
        assert parse_options(words, slurm_cluster.OPTIONS) == {
            "timeout_min": 90,
            "mem_gb": 7.5,
            "setup": ["module load x", "a=b"],
            "attempts": 5,
        }
        assert parse_options(("gpus=0.25",), ray_cluster.OPTIONS) == {"gpus": 0.25}

    @pytest.mark.parametrize(
        ("words", "says"),
        [
            (("cpus",), "write it as name=value"),
            (("cpus=",), "write it as name=value"),
            (("partition=x",), "no option 'partition'; there are: address, attempts, cpus, "),
            (("cpus=two",), "cpus takes a whole number of zero or more"),
            (("cpus=-1",), "cpus takes a whole number of zero or more"),
            (("gpus=nan",), "gpus takes a number of zero or more"),
            (("cpus=1", "cpus=2"), "cpus is given twice; leave one out"),
            (("attempts=0",), "at least one attempt is needed"),
            (("precision=int8",), "use fp32 or bf16"),
        ],
    )
    def test_options_that_are_none(self, words, says):
        with pytest.raises(UserError) as error:
            parse_options(words, ray_cluster.OPTIONS)
        assert str(error.value).startswith(f"--executor-option {words[-1]}: {says}")
        assert "\n" not in str(error.value)

    def test_what_native_precision_means_there(self, monkeypatch):
        monkeypatch.setattr(clusters, "has_nvidia_driver", lambda: False)
        monkeypatch.setattr(clusters, "native_precision", lambda device: f"of {device}")
        assert Cluster(Bench()).native_precision("cuda") == "bf16"
        assert Cluster(Bench()).native_precision("cpu") == "of cpu"
        assert Cluster(Bench(), precision="fp32").native_precision("cuda") == "fp32"


class TestAgreement:
    def job(self, tiny):
        (job,) = make_jobs(tiny.specs("add")[:1], tiny.store, RunOptions())
        return job

    def test_a_job_says_where_things_are(self, tiny, monkeypatch):
        own = ("REPLAB_ROOT", "REPLAB_STORE")
        for name in [n for n in os.environ if n.startswith("REPLAB_") and n not in own]:
            monkeypatch.delenv(name)
        monkeypatch.setenv("REPLAB_DATA", "data")
        monkeypatch.setenv("REPLAB_POSE_WEIGHTS_URL", "file:///x")
        job = self.job(tiny)
        assert job.environment == {
            "REPLAB_ROOT": str(tiny.root),
            "REPLAB_STORE": str(tiny.store.folder),
            "REPLAB_DATA": str(os.path.abspath("data")),
            "REPLAB_POSE_WEIGHTS_URL": "file:///x",
        }
        # The same for all jobs of a store, so that those of an earlier command agree.
        assert job.mark == self.job(tiny).mark
        assert len(job.mark) == 32

    def test_a_worker_that_agrees_does_the_run(self, tiny):
        job = self.job(tiny)
        assert work(job) is None
        assert tiny.store.find(job.spec) is not None

    @pytest.mark.parametrize(
        ("changes", "says"),
        [
            ({"store": "/nowhere/store"}, "does not see the store /nowhere/store; set REPLAB_ST"),
            ({"mark": "0" * 32}, "sees another folder at "),
            ({"code": "0.1.0 feedbeef"}, "has other code (replab "),
            ({"environment": {"REPLAB_ROOT": "/nowhere"}}, "has no checkout: REPLAB_ROOT=/nowh"),
        ],
    )
    def test_a_worker_that_cannot_agree_does_nothing(self, tiny, changes, says):
        error = work(replace(self.job(tiny), **changes))
        assert isinstance(error, Refused)
        assert f"the worker on {cluster_jobs._node()} {says}" in str(error)
        assert "\n" not in str(error)
        assert tiny.computed() == 0
        assert not os.path.exists("/nowhere")

    def test_whatever_else_happens_is_a_failure_of_the_run(self, tiny, monkeypatch):
        def gone(*words):
            raise OSError(116, "Stale file handle")

        monkeypatch.setattr(cluster_jobs, "execute", gone)
        error = work(self.job(tiny))
        assert type(error) is RunFailed
        assert "OSError: [Errno 116] Stale file handle" in str(error)


class TestWhoDoesWhatAgain:
    def test_records_and_failures(self, tiny):
        specs = [*tiny.specs("add"), *tiny.specs("fail"), *tiny.specs("lack")]
        errors = drive(tiny, Bench(), specs)
        assert [type(e) for e in errors] == [RunFailed, MissingData]
        assert sum(tiny.store.find(s) is not None for s in specs) == 6
        assert tiny.computed() == 7

    def test_a_worker_that_dies_twice(self, tiny, capsys):
        specs = tiny.specs("add")[:2]
        engine = Bench(WorkerDied("killed"), WorkerDied("killed"))
        assert drive(tiny, engine, specs) == []
        assert [[j.attempt for j in lot] for lot in engine.lots] == [[1, 1], [2], [2]]
        assert "the worker died (killed); attempt 2 of 3 goes on" in capsys.readouterr().err

    def test_a_worker_that_dies_each_time(self, tiny):
        specs = tiny.specs("add")[:1]
        engine = Bench(*[WorkerDied(f"state {i}") for i in range(9)])
        (error,) = drive(tiny, engine, specs, attempts=4)
        assert f"{specs[0].label}: the worker died 4 times (last: state 3); " in str(error)
        assert len(engine.lots) == 4

    def test_the_record_counts_not_the_answer(self, tiny, monkeypatch):
        """A worker that dies after its record has done its work; one without a record has not."""

        def dies_late(job):
            work(job)
            return WorkerDied("killed")

        specs = tiny.specs("add")[:2]
        monkeypatch.setattr(cluster_jobs, "RECORD_S", 0.3)
        (error,) = drive(tiny, Bench(dies_late, None), specs)
        assert tiny.computed() == 1
        assert f"{specs[1].label}: the worker says that it is done, and no record" in str(error)

    def test_a_record_may_be_seen_late(self, tiny, monkeypatch):
        (spec,) = tiny.specs("add")[:1]
        looks = []

        def late(seconds):
            looks.append(seconds)
            if len(looks) == 3:
                (job,) = make_jobs([spec], tiny.store, RunOptions())
                work(job)

        monkeypatch.setattr(
            cluster_jobs, "time", SimpleNamespace(sleep=late, monotonic=time.monotonic)
        )
        assert drive(tiny, Bench(None), [spec]) == []
        assert len(looks) == 3

    def test_one_that_was_cancelled_by_hand_stays_so(self, tiny):
        specs = tiny.specs("add")[:2]
        engine = Bench(Cancelled("job 7 was cancelled"))
        (error,) = drive(tiny, engine, specs)
        assert str(error).endswith("job 7 was cancelled; the same command starts it again")
        assert len(engine.lots) == 1

    def test_a_refusal_ends_all(self, tiny):
        engine = Bench(Refused("the worker on n7 does not see the store"))
        with pytest.raises(Refused, match="n7"):
            drive(tiny, engine, tiny.specs("add"))
        assert engine.cancelled
        assert tiny.computed() == 0

    def test_an_interrupt_cancels(self, tiny):
        def interrupt(job):
            raise KeyboardInterrupt

        engine = Bench(interrupt)
        with pytest.raises(KeyboardInterrupt):
            drive(tiny, engine, tiny.specs("add"))
        assert engine.cancelled

    def test_the_dearest_first(self, tiny):
        specs = tiny.specs("add")
        engine = Bench()
        jobs = make_jobs(specs, tiny.store, RunOptions())
        run_all(jobs, engine, store=tiny.store, costs=[1.0, 3.0, 2.0, 4.0])
        assert [j.spec for j in engine.lots[0]] == [specs[i] for i in (3, 1, 2, 0)]


class TestCampaign:
    def plan(self, tiny, **options):
        wanted = {"wanted": lambda e, v: e.name == "add"}
        return made_plan(tiny.replication, "quick", device="cpu", **wanted, **options)

    def test_a_cluster_in_this_machine_s_place(self, tiny, capsys, monkeypatch):
        monkeypatch.setattr(executors, "run_all", lambda *a, **k: pytest.fail("done here"))
        found = self.plan(tiny, workers=3)
        engine = Bench()
        cluster = Cluster(engine)
        records, errors = run_plan.complete(found, tiny.store, cluster)
        assert (len(records), errors) == (4, [])
        assert engine.laid_out == ("cpu", 1, 3)
        assert "4 runs to do; on a bench\n" in capsys.readouterr().err
        # Nothing is left for a second time.
        assert len(run_plan.complete(found, tiny.store, cluster)[0]) == 4
        assert len(engine.lots) == 1

    def test_what_is_left_is_said(self, tiny):
        found = self.plan(tiny)
        cluster = Cluster(Bench(work, work), wait=False)
        records, errors = run_plan.complete(found, tiny.store, cluster)
        assert (len(records), errors) == (2, [])
        left = run_plan.find(found, tiny.store)[1]
        cluster.engine.submitted.pop()
        assert [line.split(": ")[-1] for line in cluster.left(left)] in (
            ["job job 0", "not handed out yet"],
            ["not handed out yet", "job job 0"],
        )

    def test_native_precision_is_the_cluster_s(self, tiny):
        changed = {
            name: replace(
                e, plans={p: replace(plan, precision="native") for p, plan in e.plans.items()}
            )
            for name, e in tiny.replication.experiments.items()
            if name == "add"
        }
        other = replace(tiny.replication, experiments=changed)
        for precision in clusters.PRECISIONS:
            found = made_plan(other, "quick", device="cpu", native=precision)
            assert {s.precision for s in found.specs} == {precision}
        # Where a plan says which, the cluster does not matter.
        assert {s.precision for s in self.plan(tiny, native="bf16").specs} == {"fp32"}


class TestNotes:
    def test_of_jobs(self, tiny):
        (job,) = make_jobs(tiny.specs("add")[:1], tiny.store, RunOptions())
        assert recall(job) is None
        note(replace(job, attempt=2), "slurm", "12_3")
        assert (recall(job).cluster, recall(job).job, recall(job).attempt) == ("slurm", "12_3", 2)

    @pytest.mark.parametrize("text", ["{", "[]", '{"cluster": "slurm", "job": "1"}'])
    def test_damaged(self, tiny, text):
        (job,) = make_jobs(tiny.specs("add")[:1], tiny.store, RunOptions())
        note(job, "slurm", "1")
        (path,) = (tiny.store.folder / "cluster" / "jobs").iterdir()
        path.write_text(text)
        with pytest.raises(UserError, match="remove it; at worst the run is queued a second"):
            recall(job)


@pytest.fixture
def shell(tmp_path, monkeypatch):
    """Slurm's commands as scripts that note how they were called and say what they are told to."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")

    def command(name, says="", rc=0):
        path = folder / name
        (tmp_path / f"{name}.txt").write_text(says)
        path.write_text(
            f'#!/bin/sh\ncd {tmp_path}\necho "$@" >> {name}.log\ncat {name}.txt\nexit {rc}\n'
        )
        path.chmod(path.stat().st_mode | stat.S_IXUSR)

    def calls(name):
        path = tmp_path / f"{name}.log"
        return path.read_text().splitlines() if path.exists() else []

    return SimpleNamespace(command=command, calls=calls)


def test_the_clusters_lock_fits_the_other():
    """Its packages lie in front of the environment's: what both have must be the same."""
    root = Path(__file__).resolve().parents[2]
    pins = {}
    for name in ("requirements.lock", "requirements-cluster.lock"):
        text = (root / name).read_text()
        assert "://" not in text
        pins[name] = dict(re.findall(r"^([\w.-]+)==(\S+)", text, re.MULTILINE))
        assert text.count("--hash=sha256:") >= len(pins[name])
    ours, theirs = pins.values()
    assert {name: theirs[name] for name in theirs if name in ours} == {
        name: ours[name] for name in ours if name in theirs
    }
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    wanted = project["optional-dependencies"]["cluster"]
    assert {re.match(r"[\w.-]+", word).group() for word in wanted} <= set(theirs)
    assert set(clusters.PACKAGES.values()) <= set(theirs)


class TestSlurmWithoutSlurm:
    def test_devices_are_what_the_options_ask_for(self):
        engines = {
            options: slurm_cluster.SlurmEngine(dict(options))
            for options in ((), (("gpus_per_node", 1),), (("gres", "gpu:a100:1"),))
        }
        assert [e.resolve_device("auto") for e in engines.values()] == ["cpu", "cuda", "cuda"]
        with pytest.raises(UserError, match="the cluster chooses the GPU; use auto, cpu or cuda"):
            engines[()].resolve_device("cuda:1")
        with pytest.raises(UserError, match="cluster=sge: use slurm or local"):
            slurm_cluster.SlurmEngine({"cluster": "sge"})

    def test_what_a_job_asks_for(self, tiny):
        options = {"gpus_per_node": 2, "mem_gb": 32.0, "partition": "long", "reservation": "r"}
        engine = slurm_cluster.SlurmEngine(options)
        engine.lay_out("cuda", per_gpu=1, workers=8)
        options = RunOptions(device="cuda:0", threads=engine.threads)
        jobs = make_jobs(tiny.specs("add"), tiny.store, options)
        assert engine._parameters(jobs) == {
            "name": "tiny.quick",
            "timeout_min": 60,
            "nodes": 1,
            "tasks_per_node": 1,
            "cpus_per_task": 4,
            "gpus_per_node": 2,
            "mem_gb": 32.0,
            "slurm_partition": "long",
            "slurm_additional_parameters": {"reservation": "r"},
            "slurm_array_parallelism": 8,
        }
        # A single job is named after its run.
        assert engine._parameters(jobs[:1])["name"] == "tiny.add_a=1,b=x_seed_0"

    def test_who_has_left_the_queue(self, tiny, shell):
        engine = slurm_cluster.SlurmEngine({})
        shell.command("squeue", "7_0\n7_2\n")
        engine._ask_queue()
        gone = {}
        for name in ("7_0", "7_1"):
            paths = SimpleNamespace(result_pickle=tiny.root / "none")
            handle = SimpleNamespace(job_id=name, paths=paths)
            engine._adopted.add(name)
            gone[name] = engine._is_gone(name, handle)
        assert gone == {"7_0": False, "7_1": True}
        # A queue that does not answer says nothing about anybody, and is not asked all the time.
        shell.command("squeue", rc=1)
        engine._ask_queue()
        assert len(shell.calls("squeue")) == 1
        engine._queue_asked = -1e9
        engine._ask_queue()
        assert engine._queue == {"7_0", "7_2"}

    def test_why_a_job_has_ended(self, shell):
        shell.command("scontrol", "JobId=9 JobState=OUT_OF_MEMORY Reason=None\n")
        assert slurm_cluster._end_state("9") == "OUT_OF_MEMORY"
        shell.command("scontrol", rc=1)
        shell.command("sacct", "CANCELLED by 0\n")
        assert slurm_cluster._end_state("9") == "CANCELLED"
        engine = slurm_cluster.SlurmEngine({})
        assert isinstance(engine._death(SimpleNamespace(job_id="9")), Cancelled)
        shell.command("sacct", rc=1)
        assert "without an answer" in slurm_cluster._end_state("9")

    def test_cancelling_is_heard_at_once(self, shell, capsys):
        shell.command("scancel")
        slurm_cluster._end_remote(["7_0", "7_1"])
        assert shell.calls("scancel") == [
            "--state=PENDING 7_0 7_1",
            "--signal=INT 7_0 7_1",
            "7_0 7_1",
        ]
        shell.command("scancel", rc=1)
        slurm_cluster._end_remote(["7_0"])
        assert "see `squeue --me` for what still runs" in capsys.readouterr().err


def test_the_command_says_what_is_left(tiny, monkeypatch, capsys):
    """`replicate --no-wait` ends well, lists what is under way and renders nothing."""
    from replab import cli
    from replab.planning import replication
    from replab.report import notebook

    monkeypatch.setattr(notebook, "render", lambda *a, **k: pytest.fail("rendered"))
    monkeypatch.setattr(notebook, "parse_parameters", lambda *a: {})
    monkeypatch.setattr("replab.claims.schema.load", lambda name: SimpleNamespace(name=name))
    lines = ("tiny: add[a=1] seed 0: job 7_0", "tiny: add[a=2] seed 0: not handed out yet")
    asked = []

    def replicate(paper, planned, store, cluster):
        asked.append(cluster)
        return SimpleNamespace(left=lines, records=[1, 2, 3])

    monkeypatch.setattr(replication, "plan", lambda *words: None)
    monkeypatch.setattr(replication, "replicate", replicate)
    monkeypatch.setattr(
        clusters, "choose", lambda name, words, wait: nullcontext((name, words, wait))
    )
    words = ["replicate", "tiny", "--executor", "slurm", "--no-wait"]
    words += ["--executor-option", "partition=a", "--executor-option", "timeout_min=9"]
    assert cli.main(words) == 0
    assert asked == [("slurm", ("partition=a", "timeout_min=9"), False)]
    out = capsys.readouterr().out
    assert out.splitlines()[:2] == list(lines)
    assert "2 runs are not done yet, 3 are; the same command looks again" in out
    assert cli.main([*words, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["left"] == list(lines)
