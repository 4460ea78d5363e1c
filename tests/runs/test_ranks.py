"""One run on several processes: one record, one line if it fails, and the way it is started."""

import contextlib
import io
import json
import os
from functools import partial
from pathlib import Path

import pytest

import ranked_jobs as ranked
from planned import made_plan
from replab import cli
from replab.errors import CheckFailed, UserError
from replab.options import RunOptions
from replab.planning import run_plan
from replab.runs import executors, ranks
from replab.runs.execution import RunFailed, execute
from replab.runs.experiment import load_replication
from replab.runs.identity import plan_runs, planned_spec
from replab.runs.store import Store
from replab.training import distributed

EXPERIMENTS = """
import os
import signal
import time
from pathlib import Path

import torch

from replab.errors import MissingData
from replab.runs.experiment import Experiment, Plan, RunResult
from replab.training.recipe import ImageRecipe

RECIPE = ImageRecipe(
    iterations=8,
    batch_size=8,
    lr=0.02,
    schedule="cosine",
    momentum=0.9,
    weight_decay=1e-4,
    augment=True,
    evaluate_every=4,
)


def note(text):
    with Path(os.environ["REPLAB_ROOT"], "notes").open("a") as notes:
        notes.write(f"{text} by {os.environ.get('RANK', 'one')}\\n")


def train(context):
    from replab import models
    from replab.training import loop
    from replab.training.batches import DeviceImages, shuffled

    trouble, rank = context.variant["trouble"], os.environ.get("RANK")
    mark = Path(os.environ["REPLAB_ROOT"], "killed")
    if trouble == "killed" and rank == "1" and not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    if trouble == "lack" and rank == "1":
        raise MissingData("a picture is not on this machine; fetch it")
    if trouble == "bug" and rank == "1":
        raise ZeroDivisionError("nothing can be divided by it")
    if trouble == "early":
        raise MissingData("no data; fetch them")
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randn(20, 3, 8, 8, generator=generator, dtype=torch.float64)
    if trouble == "nan":
        pixels[:] = float("nan")
    found = {}
    for number in range(context.variant["trainings"]):
        torch.manual_seed(number)
        net = models.create("cifar_resnet8").double()
        trained = loop.train(
            net,
            shuffled(DeviceImages(pixels, torch.arange(20) % 3), RECIPE, 0),
            RECIPE,
            seed=0,
            options=context.options,
            checkpoint=context.workspace / f"checkpoint{number}.pt",
            progress=context.progress,
            after_step=lambda i, net: note(f"step {i}"),
            evaluate=lambda net: float(sum(b.double().sum() for b in net.buffers())),
        )
        note("scored")
        found[f"loss{number}"] = trained.history.loss[-1]
        found[f"buffers{number}"] = trained.history.tests[-1][1]
    if not found:
        note("counted")
    return RunResult(found or {"counted": 1}, iterations=RECIPE.iterations)


def experiment(name, trainings, troubles):
    variants = tuple({"trainings": trainings, "trouble": trouble} for trouble in troubles)
    return Experiment(name, 1, train, {"quick": Plan(variants, recipe=RECIPE)}, {1: "first"})


EXPERIMENTS = (
    experiment("once", 1, ("none", "killed", "lack", "bug", "early", "nan")),
    experiment("twice", 2, ("none",)),
    experiment("never", 0, ("none",)),
)
"""


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A checkout with one paper, whose trainings take a second."""
    root = tmp_path / "checkout"
    folder = root / "replications" / "ranked"
    folder.mkdir(parents=True)
    (folder / "experiments.py").write_text(EXPERIMENTS, encoding="utf-8")
    (folder / "paper.yaml").write_text("citation: {}\n", encoding="utf-8")
    monkeypatch.setenv("REPLAB_ROOT", str(root))
    monkeypatch.setenv("REPLAB_STORE", str(root / ".replab"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    return root


def spec_of(name, trouble="none"):
    experiment = load_replication("ranked").experiments[name]
    specs = plan_runs("ranked", experiment, "quick", data=("", ""), device="cpu")
    (found,) = [spec for spec in specs if spec.variant["trouble"] == trouble]
    return found


def command(folder, root, words):
    """What the command line says as one rank: output, errors, exit code."""
    os.environ.update(REPLAB_ROOT=str(root), REPLAB_STORE=str(root / ".replab"))
    with (
        contextlib.redirect_stdout(io.StringIO()) as out,
        contextlib.redirect_stderr(io.StringIO()) as err,
    ):
        try:
            code = cli.main(words)
        except SystemExit as stop:
            code = stop.code
    return {"out": out.getvalue(), "err": err.getvalue(), "code": code}


def run(checkout, name, trouble="none"):
    """`replab run` on two ranks."""
    words = ["run", "ranked", name, "--device", "cpu", "--variant", f"trouble={trouble}"]
    return ranked.spread(2, checkout, partial(command, root=checkout, words=words))


def notes(checkout):
    return (checkout / "notes").read_text().splitlines()


class TestRun:
    @pytest.mark.parametrize("name", ["once", "twice"])
    def test_it_leaves_the_record_of_one_process(self, checkout, name, tmp_path):
        first, second = run(checkout, name)
        spec, trainings = spec_of(name), 1 if name == "once" else 2
        record = Store().find(spec)
        assert first["out"].startswith(f"{spec.label}: record {spec.id}\n  loss0 = ")
        assert second == {"out": "", "err": "", "code": 0}
        assert (first["err"], first["code"]) == ("", 0)
        assert record.provenance["ranks"] == 2
        # After the last training the second is let go.
        expected = {"scored by 0": trainings, "scored by 1": trainings - 1}
        assert {who: notes(checkout).count(who) for who in expected} == expected
        assert not Store().workspace(spec).exists()

        alone = Store(tmp_path / "alone")
        execute(spec, str(alone.folder), RunOptions())
        found = alone.find(spec)
        assert found.provenance["ranks"] == 1
        assert found.id == record.id
        assert record.metrics == pytest.approx(dict(found.metrics), rel=1e-9)

    def test_without_any_training(self, checkout):
        first, second = run(checkout, "never")
        assert "counted = 1" in first["out"]
        assert (first["code"], second["code"]) == (0, 0)
        # And again: the record is there, and nobody counts.
        before = notes(checkout)
        assert run(checkout, "never")[0] == first
        assert notes(checkout) == before

    def test_what_ends_one_rank_ends_both_and_is_said_once(self, checkout):
        first, second = run(checkout, "once", "lack")
        assert second == {
            "out": "",
            "err": "error: a picture is not on this machine; fetch it\n",
            "code": 2,
        }
        assert first == {"out": "", "err": "", "code": 1}
        assert Store().find(spec_of("once", "lack")) is None

    def test_an_unforeseen_error_of_another_rank(self, checkout):
        first, second = run(checkout, "once", "bug")
        spec = spec_of("once", "bug")
        log = Store().folder / "logs" / f"{spec.id}.rank1.log"
        assert second["err"] == (
            f"failed: ranked: {spec.label} failed: nothing can be divided by it; the traceback "
            f"is in {log}\n"
        )
        assert "ZeroDivisionError" in log.read_text()
        assert (first["err"], first["code"], second["code"]) == ("", 1, 1)

    @pytest.mark.parametrize(
        ("trouble", "said", "codes"),
        [
            ("nan", "failed: ranked: {label}: the loss is nan at iteration 0", {0, 1}),
            ("early", "error: no data; fetch them\n", {1, 2}),
        ],
    )
    def test_what_ends_all_ranks_is_said_once(self, checkout, trouble, said, codes):
        found = run(checkout, "once", trouble)
        errors = [rank["err"] for rank in found if rank["err"]]
        assert len(errors) == 1
        assert errors[0].startswith(said.format(label=spec_of("once", trouble).label))
        assert {rank["code"] for rank in found} == codes

    def test_a_mistake_in_the_options_is_said_by_the_first(self, checkout):
        words = ["run", "ranked", "once", "--device", "cpu", "--variant", "trouble=strange"]
        first, second = ranked.spread(2, checkout, partial(command, root=checkout, words=words))
        assert first["err"].startswith("error: --variant trouble=strange fits no variant of once")
        assert first["code"] == 2
        assert second == {"out": "", "err": "", "code": 1}


@pytest.mark.faults
def test_started_from_here_killed_and_gone_on_from_a_checkpoint(checkout, tmp_path):
    """Through torchrun itself; one process had got half way before."""
    from replab.training import loop

    spec, store = spec_of("once", "killed"), Store()
    whole = Store(tmp_path / "whole")
    execute(spec, str(whole.folder), RunOptions())
    (checkout / "notes").unlink()

    class Stop(Exception):
        pass

    def stop(path, *state):
        kept(path, *state)
        raise Stop

    with pytest.MonkeyPatch.context() as patch:
        kept = loop._save
        patch.setattr(loop, "_save", stop)
        patch.setattr(loop, "CHECKPOINT_EVERY_S", 0.0)
        with pytest.raises(RunFailed):
            execute(spec, str(store.folder), RunOptions())
    assert notes(checkout) == ["step 0 by one"]

    placement = executors.place(RunOptions(ranks=2), 1)
    assert executors.run_all([spec], store=store, placement=placement) == []
    assert (checkout / "killed").exists()
    record = store.find(spec)
    assert record.provenance["ranks"] == 2
    assert record.metrics == pytest.approx(dict(whole.find(spec).metrics), rel=1e-9)
    # Each rank went on where one process had stopped.
    steps = sorted(line for line in notes(checkout) if line.endswith("by 1"))
    assert steps == [f"step {i} by 1" for i in range(1, 8)]
    assert not store.workspace(spec).exists()
    assert not (store.folder / "logs" / f"{spec.id}.ranks.log").exists()


class TestStartedFromHere:
    """What becomes of what the processes say, without starting any."""

    def launch(self, monkeypatch, output, code=1):
        calls = []

        def launch(words, log, options):
            calls.append((words, options))
            log.write_text(output)
            return code

        monkeypatch.setattr(ranks, "_launch", launch)
        return calls

    def failed(self, spec):
        with pytest.raises((CheckFailed, UserError)) as error:
            ranks.run_with_ranks(spec, str(Store().folder), RunOptions(ranks=2))
        return error.value

    def test_its_reason_is_passed_on(self, checkout, monkeypatch):
        calls = self.launch(monkeypatch, "W1122 torchrun says\nfailed: ranked: once: nan\nE1122\n")
        error = self.failed(spec_of("once"))
        assert (type(error), str(error)) == (RunFailed, "ranked: once: nan")
        assert [options for _, options in calls] == [RunOptions(ranks=2)]

    def test_a_mistake_of_the_user_s(self, checkout, monkeypatch):
        self.launch(monkeypatch, "error: no data; fetch them\n", 2)
        error = self.failed(spec_of("once"))
        assert (type(error), str(error)) == (UserError, "no data; fetch them")

    def test_processes_that_die_are_started_again_once(self, checkout, monkeypatch):
        calls = self.launch(monkeypatch, "torchrun: SIGKILL\n", -9)
        spec = spec_of("once")
        log = Store().folder / "logs" / f"{spec.id}.ranks.log"
        assert str(self.failed(spec)) == (
            f"ranked: {spec.label}: its 2 processes ended each time with code -9 (killed, or out "
            f"of memory); what they said is in {log}; the same command goes on from the last "
            "checkpoint"
        )
        assert len(calls) == 2

    def test_the_run_is_handed_over_whole(self, checkout, monkeypatch):
        calls = self.launch(monkeypatch, "error: stop here")
        spec = spec_of("once")
        self.failed(spec)
        ((path, folder), _) = calls[0]
        order = json.loads(Path(path).read_text())
        found = planned_spec(order["run"])
        assert (found, found.id, folder) == (spec, spec.id, str(Store().folder))
        assert RunOptions(**order["options"]) == RunOptions(ranks=2)

    def test_nothing_is_started_for_a_run_that_is_there(self, checkout, monkeypatch):
        calls = self.launch(monkeypatch, "")
        spec, folder = spec_of("never"), str(Store().folder)
        execute(spec, folder, RunOptions())
        assert ranks.run_with_ranks(spec, folder, RunOptions(ranks=2)) == spec.id
        assert calls == []

    def test_a_campaign_starts_its_runs_so(self, checkout, monkeypatch, capsys):
        calls = self.launch(monkeypatch, "error: stop here")
        planned = made_plan(
            load_replication("ranked"),
            ranks=2,
            wanted=lambda e, v: e.name == "once" and v["trouble"] in ("none", "nan"),
        )
        found, errors = run_plan.complete(planned, Store())
        assert found == []
        assert [str(error) for error in errors] == ["stop here"] * 2
        assert len(calls) == 2
        assert "one run at a time, 2 processes on cpu" in capsys.readouterr().err


class TestRefusals:
    def test_other_commands_under_torchrun(self, monkeypatch, capsys):
        for name, value in zip(distributed.VARIABLES, "02020x", strict=True):
            monkeypatch.setenv(name, value)
        assert cli.main(["replicate", "resnet"]) == 2
        assert capsys.readouterr().err == (
            "error: `replicate` is for one process and was started by torchrun as 2; give "
            "`python -m replab replicate … --ranks 2` its processes, or start one run with "
            "`torchrun --nproc-per-node=2 -m replab run …`\n"
        )
        # Its function is called as that of the command which is for several.
        assert cli.main(["predict", "photo.jpg"]) == 2
        assert capsys.readouterr().err.startswith("error: `predict` is for one process")
        monkeypatch.setenv("RANK", "1")
        assert cli.main(["replicate", "resnet"]) == 2
        assert capsys.readouterr().err == ""

    def test_one_gpu_for_several(self, monkeypatch, capsys):
        for name, value in zip(distributed.VARIABLES, "02020x", strict=True):
            monkeypatch.setenv(name, value)
        with pytest.raises(UserError, match="--device cuda:1 names one GPU and 2 processes need"):
            ranks.execute_together(lambda: None, Store(), RunOptions(device="cuda:1"))

    @pytest.mark.parametrize(
        ("words", "said"),
        [
            ({"ranks": 0}, "--ranks 0: give 1 or more"),
            ({"device": "mps", "ranks": 2}, "--ranks 2 is for --device cuda or cpu, not for mps"),
            ({"device": "cuda", "ranks": 99}, "--ranks 99: this machine has "),
        ],
    )
    def test_placements(self, words, said):
        with pytest.raises(UserError) as error:
            executors.place(RunOptions(**words), 1)
        assert str(error.value).startswith(said)

    def test_compiled(self):
        with pytest.raises(UserError, match="leave --engine compiled out"):
            executors.place(RunOptions(ranks=2, engine="compiled"), 1)

    @pytest.mark.parametrize("words", [("--executor", "ray"), ("--workers", "3")])
    def test_with_a_cluster_or_workers(self, capsys, words):
        assert cli.main(["replicate", "resnet", "--ranks", "2", *words]) == 2
        assert capsys.readouterr().err == (
            "error: --ranks does one run at a time here; leave --workers and --executor out\n"
        )


def test_placement_in_words():
    placement = executors.place(RunOptions(ranks=2), 1)
    threads = placement.options.threads
    assert placement.text.startswith(f"one run at a time, 2 processes on cpu, {threads} thread")
