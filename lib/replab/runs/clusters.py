"""Which machines do the runs: this one, or those of Ray or Slurm, and with what options."""

import contextlib
import importlib.util
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from replab.errors import UserError
from replab.hardware import has_nvidia_driver, native_precision
from replab.options import LOCAL, RunOptions
from replab.runs import cluster_jobs
from replab.runs.cluster_jobs import Engine
from replab.runs.execution import RunFailed
from replab.runs.identity import RunSpec
from replab.runs.store import Store

# Engine → the package that it needs.
PACKAGES = {"ray": "ray", "slurm": "submitit"}
NAMES = (LOCAL, *PACKAGES)
# What every engine understands; the value's type, `list` for text that may be given repeatedly.
COMMON_OPTIONS: Mapping[str, type] = {"attempts": int, "precision": str}
PRECISIONS = ("fp32", "bf16")
_TYPE_NAMES = {int: "a whole number", float: "a number"}


@dataclass(frozen=True)
class Cluster:
    """An engine and how it is to be used.

    Attributes:
        wait: until all runs have ended; else they are sent off, and a later command sees to them.
        attempts: how often a run is begun whose worker dies each time.
        precision: what `native` means on its workers; empty to find out.
    """

    engine: Engine
    wait: bool = True
    attempts: int = cluster_jobs.ATTEMPTS
    precision: str = ""

    def native_precision(self, device: str) -> str:
        """`bf16` where the workers multiply bfloat16 in hardware, else `fp32`.

        This machine stands for them; where it has no GPU and they have, the GPUs are taken to be
        of 2020 or later.
        """
        if self.precision:
            return self.precision
        if device == "cuda" and not has_nvidia_driver():
            return "bf16"
        return native_precision(device)

    def run_all(
        self,
        specs: Sequence[RunSpec],
        store: Store,
        options: RunOptions,
        *,
        costs: Sequence[float],
    ) -> list[RunFailed | UserError]:
        """Have some runs done; `engine.lay_out` says first what each takes of the cluster.

        Args:
            options: how they compute; their device is the workers' device class.
            costs: relative, of each run.

        Returns:
            The errors of the runs that failed.

        Raises:
            UserError: the cluster cannot be reached, or its workers cannot work for this machine.
        """
        device = "cuda:0" if options.device == "cuda" else options.device
        there = replace(options, device=device, threads=self.engine.threads)
        jobs = cluster_jobs.make_jobs(specs, store, there)
        return cluster_jobs.run_all(
            *(jobs, self.engine),
            store=store,
            costs=costs,
            attempts=self.attempts,
            wait=self.wait,
        )

    def left(self, missing: Sequence[RunSpec]) -> list[str]:
        """Of each run without a record, a line that says what becomes of it."""
        under_way = self.engine.under_way()
        return [
            f"{spec.paper}: {spec.label}: "
            + (f"job {under_way[spec.id]}" if spec.id in under_way else "not handed out yet")
            for spec in missing
        ]


def choose(
    name: str, words: Sequence[str] = (), *, wait: bool = True
) -> contextlib.AbstractContextManager[Cluster | None]:
    """The cluster that a command line names, to be left at the end; None is this machine.

    Args:
        words: options of the engine, each `name=value`.
        wait: see `Cluster`.

    Raises:
        UserError: there is no such executor or option, or its package is not installed.
    """
    if name not in NAMES:
        raise UserError(f"--executor {name}: there is no such executor; use {', '.join(NAMES)}")
    if not wait and name != "slurm":
        raise UserError(f"--no-wait: only slurm's jobs go on alone, not those of {name}; leave it")
    if name == LOCAL:
        if words:
            raise UserError(
                f"--executor-option {words[0]}: this machine takes none; add --executor ray or "
                "--executor slurm"
            )
        return contextlib.nullcontext()
    if importlib.util.find_spec(PACKAGES[name]) is None:
        raise UserError(
            f"--executor {name} needs the package {PACKAGES[name]}; install it with "
            "`pip install -e '.[cluster]'`"
        )
    return _open(name, words, wait)


@contextlib.contextmanager
def _open(name: str, words: Sequence[str], wait: bool) -> Any:
    if name == "ray":
        from replab.runs import ray_cluster

        options = parse_options(words, ray_cluster.OPTIONS)
        engine: Engine = ray_cluster.RayEngine(options)
    else:
        from replab.runs import slurm_cluster

        options = parse_options(words, slurm_cluster.OPTIONS)
        engine = slurm_cluster.SlurmEngine(options)
    attempts = options.get("attempts", cluster_jobs.ATTEMPTS)
    with contextlib.closing(engine):
        yield Cluster(engine, wait, attempts, options.get("precision", ""))


def parse_options(words: Sequence[str], known: Mapping[str, type]) -> dict[str, Any]:
    """Options from `name=value` words.

    Args:
        known: an engine's own options; `COMMON_OPTIONS` go without saying.

    Raises:
        UserError: a word is no `name=value`, its name is unknown or given twice, or its value is
            of another type or negative.
    """
    known = {**known, **COMMON_OPTIONS}
    options: dict[str, Any] = {}
    for word in words:
        name, equals, text = word.partition("=")
        where = f"--executor-option {word}"
        if not equals or not text:
            raise UserError(f"{where}: write it as name=value")
        if name not in known:
            raise UserError(f"{where}: no option '{name}'; there are: {', '.join(sorted(known))}")
        if known[name] is list:
            options.setdefault(name, []).append(text)
            continue
        if name in options:
            raise UserError(f"{where}: {name} is given twice; leave one out")
        options[name] = _parse_value(where, name, text, known[name])
    if options.get("attempts") == 0:
        raise UserError("--executor-option attempts=0: at least one attempt is needed")
    if options.get("precision", "fp32") not in PRECISIONS:
        asked = options["precision"]
        raise UserError(f"--executor-option precision={asked}: use {' or '.join(PRECISIONS)}")
    return options


def _parse_value(where: str, name: str, text: str, kind: type) -> Any:
    if kind is str:
        return text
    try:
        value = kind(text)
    except ValueError:
        value = -1
    if not 0 <= value < float("inf"):
        raise UserError(f"{where}: {name} takes {_TYPE_NAMES[kind]} of zero or more")
    return value
