"""One run on several processes: by torchrun from outside, or started from here.

`torchrun -m replab run …` makes each process call `execute_together`; `replicate --ranks` calls
`run_with_ranks` for each of its runs, which starts torchrun for this module. Either way one record
comes of it, written by the first rank.
"""

import contextlib
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from replab.cores import available_cores
from replab.errors import CheckFailed, UserError
from replab.files import make_folder, read_json, write_json
from replab.options import RunOptions
from replab.runs.execution import RunFailed, execute, failures, make_context
from replab.runs.experiment import load_replication, require_experiment
from replab.runs.identity import RunSpec, planned_spec
from replab.runs.store import Store
from replab.training import distributed

MODULE = "replab.runs.ranks"
# A run whose processes died without a word (killed, out of memory) is begun so many times.
ATTEMPTS = 2
# How long interrupted processes may take to end before they are killed, in seconds.
GRACE_S = 10.0
LOOK_S = 0.5


def refuse_under_torchrun(command: str) -> None:
    """Refuse a command that is not for several processes at once.

    Raises:
        UserError: this process is one of several; the message names both ways to use them.
    """
    ranks = distributed.current()
    if not ranks.alone and command != "run":
        raise UserError(
            f"`{command}` is for one process and was started by torchrun as {ranks.size}; give "
            f"`python -m replab replicate … --ranks {ranks.size}` its processes, or start one run "
            f"with `torchrun --nproc-per-node={ranks.size} -m replab run …`"
        )


def say(why: str) -> None:
    """Say in a line why this process ends.

    Before the ranks have met, all find the same mistake of the user's: the first says it.
    """
    if distributed.current().first or distributed.has_begun():
        print(why, file=sys.stderr, flush=True)


def threads_here() -> int:
    """Threads that each process of this machine may use."""
    return max(1, available_cores() // distributed.current().local_size)


def execute_together(
    make_spec: Callable[[], RunSpec], store: Store, options: RunOptions
) -> RunSpec:
    """Do one run as one of several ranks, unless its record is there; the first writes it.

    All ranks take part in trainings. What comes before, each does for itself; what comes after
    the last, the first alone.

    Args:
        make_spec: finds out which run it is; asked of the first rank.
        store: of the first rank; the others read no checkpoint and write nothing but a log.
        options: the device is `cpu` or `cuda`; the threads are decided here.

    Raises:
        RunFailed: as of `execution.execute`, of the rank that was first to fail.
        UserError: likewise; also where these processes cannot work together.
        SystemExit: of the others, which fail because the first to fail has.
    """
    ranks = distributed.current()
    if ":" in options.device:
        raise UserError(
            f"--device {options.device} names one GPU and {ranks.size} processes need one each; "
            "give --device cuda"
        )
    device = distributed.begin(options.device)
    spec = distributed.from_first(make_spec)
    options = replace(options, device=device, threads=threads_here())
    try:
        if ranks.first:
            _mark(store, spec).unlink(missing_ok=True)
            with distributed.leading():
                execute(spec, str(store.folder), options)
        else:
            with distributed.following() as needed:
                if needed:
                    _take_part(spec, store, options)
    except (CheckFailed, UserError) as error:
        if not _first_to_fail(_mark(store, spec)):
            raise SystemExit(1) from error
        raise
    distributed.end()
    return spec


def _take_part(spec: RunSpec, store: Store, options: RunOptions) -> None:
    experiment = require_experiment(load_replication(spec.paper), spec.experiment)
    context = make_context(spec, options, store.workspace(spec), lambda share, text: None)
    log = f"{spec.id}.rank{distributed.current().rank}.log"
    with failures(spec, store.folder / "logs" / log):
        experiment.function(context)


def _mark(store: Store, spec: RunSpec) -> Path:
    return store.workspace(spec) / "failed"


def _first_to_fail(mark: Path) -> bool:
    """Whether no other rank has failed before; its failure is the reason of the others'."""
    try:
        make_folder(mark.parent)
        mark.open("x").close()
    except FileExistsError:
        return False
    except (OSError, UserError):
        # A disk on which nothing can be written is told by each.
        return True
    return True


def run_with_ranks(spec: RunSpec, store_folder: str, options: RunOptions) -> str:
    """Do one run on several processes of this machine, started with torchrun.

    What they say goes into a log in the store, which is kept if the run fails. Where the processes
    die without a reason of the run's, they are started once more, from the last checkpoint.

    Args:
        options: the device is `cpu` or `cuda` (each process gets a GPU of its own), the engine not
            `compiled`; threads are those of each process.

    Returns:
        The run's id.

    Raises:
        RunFailed: the run ended in an error, or its processes were killed again.
        UserError: data are missing, the processes cannot work together, or the store cannot be
            written.
    """
    assert options.engine != "compiled", "several processes train networks eagerly"
    store = Store(Path(store_folder))
    if store.find(spec) is not None:
        return spec.id
    order = make_folder(store.workspace(spec)) / "spec.json"
    log = make_folder(store.folder / "logs") / f"{spec.id}.ranks.log"
    code = 0
    for _ in range(ATTEMPTS):
        run = {**vars(spec), "variant": dict(spec.variant), "recipe": None}
        write_json(order, {"run": run, "options": vars(options)})
        code = _launch([str(order), str(store.folder)], log, options)
        if store.find(spec) is not None:
            log.unlink(missing_ok=True)
            return spec.id
        said = reason(log.read_text(encoding="utf-8", errors="replace"))
        if said is not None:
            raise said
    raise RunFailed(
        f"{spec.paper}: {spec.label}: its {options.ranks} processes ended each time with code "
        f"{code} (killed, or out of memory); what they said is in {log}; the same command goes on "
        "from the last checkpoint"
    )


def reason(said: str) -> RunFailed | UserError | None:
    """The error that a command line's output ends with, if it does in one of the usual ways."""
    for line in said.splitlines():
        found = re.match(r"(failed|error): (.*)", line)
        if found:
            return (RunFailed if found[1] == "failed" else UserError)(found[2])
    return None


def _launch(words: Sequence[str], log: Path, options: RunOptions) -> int:
    """Start torchrun for this module in a process that ends when this one does; its exit code."""
    # Each rank is to find the packages of this process, wherever they lie.
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        "OMP_NUM_THREADS": str(options.threads),
    }
    launch = ("launch", str(os.getpid()), str(options.ranks))
    command = [sys.executable, "-m", MODULE, *launch, *words]
    with log.open("w", encoding="utf-8") as output:
        process = subprocess.Popen(
            command, env=environment, stdout=output, stderr=subprocess.STDOUT
        )
        try:
            return process.wait()
        finally:
            _end(process)


def _end(process: "subprocess.Popen[bytes]") -> None:
    """End what was started, all its ranks with it, if it has not ended."""
    if process.poll() is None:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(GRACE_S)
        process.kill()
        process.wait()


def main(words: Sequence[str]) -> int:
    """What the started processes do: `launch` starts torchrun, which starts `rank` several times.

    Returns:
        The exit code, as of the command line.
    """
    kind, *rest = words
    if kind == "launch":
        parent, ranks, *order = rest
        _launched(int(parent), int(ranks), order)
        return 0
    path, folder = rest
    try:
        order = read_json(Path(path), mend="run the command again")
        options = RunOptions(**order["options"])
        execute_together(lambda: planned_spec(order["run"]), Store(Path(folder)), options)
    except (CheckFailed, UserError) as error:
        wrong = isinstance(error, UserError)
        say(f"{'error' if wrong else 'failed'}: {error}")
        return 2 if wrong else 1
    return 0


def _launched(parent: int, ranks: int, order: Sequence[str]) -> None:
    from torch.distributed.run import main as torchrun

    end_with_process(parent)
    torchrun(["--standalone", f"--nproc-per-node={ranks}", "-m", MODULE, "rank", *order])


def end_with_process(parent: int) -> None:
    """Do not outlive the process that started this one, however it ends."""
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: int) -> None:
    """Do not outlive who started this: torchrun ends its ranks when it is told to end."""
    while os.getppid() == parent:
        time.sleep(LOOK_S)
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
