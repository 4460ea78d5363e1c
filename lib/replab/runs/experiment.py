"""Experiments: what a replication declares so that the library can run it."""

import importlib
import importlib.util
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType, ModuleType
from typing import TYPE_CHECKING, Any

from replab import paths
from replab.errors import UserError
from replab.options import RunOptions
from replab.recipe import Recipe, nearest

if TYPE_CHECKING:
    from torch import nn

    from replab.models.own_weights import OwnWeights
    from replab.runs.registration import Registration

PROFILES = ("quick", "standin", "paper")
Variant = Mapping[str, str | int | float]


@dataclass(frozen=True)
class Plan:
    """What one profile asks of an experiment.

    Attributes:
        variants: the settings that are compared, a run each per seed.
        seeds: the seeds of every variant; the same for all, so that differences pair.
        recipe: what the experiment's function is told beyond the variant (iterations, rates, …).
        data: names of data sets in order of preference; a later one is used, with a notice, where
            the earlier ones cannot be had. Empty if the experiment needs no data.
        split: which part of the data is used, in words, for the records.
        precision: `fp32`, `bf16`, or `native`: bf16 where the hardware multiplies it, else fp32.
        keeps_weights: whether the trained networks' weights stay in the store, beside the records;
            no part of a run's identity.
        registrations: what registers runs of this plan before they begin; each covers some of
            `variants` with seeds of its own.
    """

    variants: tuple[Variant, ...]
    seeds: tuple[int, ...] = (0,)
    recipe: Recipe = field(default_factory=Recipe)
    data: tuple[str, ...] = ()
    split: str = ""
    precision: str = "fp32"
    keeps_weights: bool = False
    registrations: tuple["Registration", ...] = ()

    def registration_of(self, variant: Variant, seed: int) -> "Registration | None":
        """The registration that covers a run; None if it is exploratory."""
        return next((r for r in self.registrations if r.covers(variant, seed)), None)

    def seeds_of(self, variant: Variant) -> tuple[int, ...]:
        """The seeds of a variant: those of the registration that names it, else the plan's."""
        for registration in self.registrations:
            if registration.has_variant(variant):
                return registration.seeds
        return self.seeds


@dataclass(frozen=True)
class Experiment:
    """One kind of job of a replication.

    Attributes:
        version: bumped, with a line in `changelog`, whenever a change may move a number.
        function: computes one run, `(RunContext) -> RunResult`.
        plans: what each profile asks; a profile that is absent does not attempt the experiment.
        metrics: those that claims may rest on; empty if nobody has said.
        deterministic: equal input gives equal numbers on every machine up to rounding, so one run
            decides (counting, scoring fixed weights); seeds and intervals do not apply.
        needs: what a profile needs beyond this checkout, in words, for `not attempted` claims.
        cost: relative cost of a variant, for the progress bar's estimate.
        fetches: names, for `replab fetch`, of what else a variant needs, such as weights.
        fingerprint: fingerprint of those; part of a run's identity.
        probe: does the first few steps of a run and says what all of it will cost; None where
            runs take seconds.
        per_gpu: how many of its runs share a GPU to advantage; None where it matters not.
    """

    name: str
    version: int
    function: Callable[["RunContext"], "RunResult"]
    plans: Mapping[str, Plan]
    changelog: Mapping[int, str]
    metrics: tuple[str, ...] = ()
    deterministic: bool = False
    needs: Mapping[str, str] = field(default_factory=dict)
    cost: Callable[[Variant, Any], float] = lambda variant, recipe: 1.0
    fetches: Callable[[Variant], tuple[str, ...]] = lambda variant: ()
    fingerprint: Callable[[Variant], str] = lambda variant: ""
    probe: Callable[["RunContext"], "Cost"] | None = None
    per_gpu: int | None = None

    def __post_init__(self) -> None:
        if self.version not in self.changelog:
            raise ValueError(
                f"experiment {self.name}: no changelog line for version {self.version}"
            )
        unknown = set(self.plans) - set(PROFILES)
        if unknown:
            raise ValueError(f"experiment {self.name}: unknown profiles {sorted(unknown)}")
        for profile, plan in self.plans.items():
            for registration in plan.registrations:
                self._require_registered(profile, plan, registration)

    def _require_registered(self, profile: str, plan: Plan, registration: "Registration") -> None:
        """Refuse a plan that differs from what was registered.

        Raises:
            UserError: it does; the message names the first difference.
        """
        planned = [dict(v) for v in plan.variants]
        pairs: dict[str, tuple[Any, Any]] = {
            "experiment": (registration.experiment, self.name),
            "version": (registration.version, self.version),
            "profile": (registration.profile, profile),
            "data": (tuple(filter(None, [registration.data])), plan.data),
            "precision": (registration.precision, plan.precision),
            "variants": ([dict(v) for v in registration.variants if dict(v) not in planned], []),
        }
        registered_recipe, own = registration.recipe, plan.recipe.as_json()
        pairs |= {
            f"recipe.{k}": (registered_recipe.get(k), own.get(k))
            for k in {**registered_recipe, **own}
        }
        for what, (registered, now) in pairs.items():
            if registered != now:
                raise UserError(
                    f"registered/{registration.name}.yaml has {what} {registered}, but experiment "
                    f"{self.name} has {now}; a changed experiment takes a new version and a new "
                    "registration that supersedes the old one"
                )

    def asked(
        self, profile: str, seeds: tuple[int, ...] | None = None
    ) -> list[tuple[Variant, int]]:
        """Variant and seed of each run that a profile asks for, seed by seed.

        Empty if the profile does not attempt the experiment.

        Args:
            seeds: in place of the plan's own, unless the experiment is deterministic.
        """
        plan = self.plans.get(profile)
        if plan is None:
            return []
        own = seeds is None or self.deterministic
        chosen = [(v, plan.seeds_of(v) if own else seeds or ()) for v in plan.variants]
        # A seed that is asked for twice is one run, and must not count twice in a mean.
        unique = [(v, tuple(dict.fromkeys(found))) for v, found in chosen]
        longest = max((len(found) for _, found in unique), default=0)
        return [(v, found[i]) for i in range(longest) for v, found in unique if i < len(found)]


@dataclass(frozen=True)
class RunContext:
    """What an experiment's function is given.

    Attributes:
        data: name of the data set to open, empty if none.
        options: how the run computes.
        workspace: this run's own folder, kept until its record is written: for checkpoints.
        progress: called with the share of the run that is done (0–1) and a short text.
    """

    variant: Variant
    seed: int
    recipe: Any
    data: str
    options: RunOptions
    workspace: Path
    progress: Callable[[float, str], None]


@dataclass(frozen=True)
class Cost:
    """What one run costs.

    Attributes:
        seconds: on one worker.
        checkpoint_bytes: size of its checkpoint.
    """

    seconds: float
    checkpoint_bytes: int = 0


@dataclass(frozen=True)
class RunResult:
    """What an experiment's function gives back.

    Attributes:
        metrics: the numbers, each finite.
        series: curves, `{name: {"x": […], "y": […]}}`.
        model: name of the network, for the record.
        iterations: optimiser steps done; 0 if nothing was trained.
        throughput: images per second of the main loop, if there is one.
        engine: how the main loop computed (`eager`, `compiled`, …), if there is one.
        weights: gives the trained network and what its file is to say of it, for plans that keep
            weights; the run itself, its paper, data and licence are filled in for it.
    """

    metrics: Mapping[str, float]
    series: Mapping[str, Mapping[str, Sequence[float]]] = field(default_factory=dict)
    model: str = ""
    iterations: int = 0
    throughput: float | None = None
    engine: str = ""
    weights: "Callable[[], tuple[nn.Module, OwnWeights]] | None" = None


@dataclass(frozen=True)
class Replication:
    """The executable half of a replication folder: its experiments by name."""

    paper: str
    experiments: Mapping[str, Experiment]


def papers() -> list[str]:
    """Names of the papers under `replications/`."""
    folder = paths.root() / "replications"
    return sorted(p.parent.name for p in folder.glob("*/paper.yaml"))


def require_paper(paper: str) -> Path:
    """The folder of a paper.

    Raises:
        UserError: there is no such paper; the message lists those there are.
    """
    folder = paths.root() / "replications" / paper
    if not re.fullmatch(r"[a-z0-9_]+", paper) or not folder.is_dir():
        known = papers()
        raise UserError(
            f"no paper '{paper}'{nearest(paper, known)}; there are: {', '.join(known)}"
        )
    return folder


def require_profile(profile: str) -> str:
    """The profile itself.

    Raises:
        UserError: it is none of `quick`, `standin`, `paper`.
    """
    if profile not in PROFILES:
        near = nearest(profile, PROFILES)
        raise UserError(f"no profile '{profile}'{near}; there are: {', '.join(PROFILES)}")
    return profile


def load_replication(paper: str) -> Replication:
    """Import `replications/<paper>/experiments.py`.

    Raises:
        UserError: no such paper, or the folder has no experiments.py.
    """
    file = require_paper(paper) / "experiments.py"
    name = f"replications.{paper}.experiments"
    module = sys.modules.get(name)
    if module is None or getattr(module, "__file__", None) != str(file):
        module = _import_file(name, file)
    experiments: Sequence[Experiment] = module.EXPERIMENTS
    by_name = {experiment.name: experiment for experiment in experiments}
    return Replication(paper, MappingProxyType(by_name))


def _import_file(name: str, file: Path) -> ModuleType:
    """Import a replication's file as part of its own package, so that it may import its siblings.

    Any earlier import of the package, perhaps from another checkout, is forgotten first.
    """
    if not file.is_file():
        raise UserError(f"{file} is missing; a replication needs its experiments.py")
    package = name.rpartition(".")[0]
    _forget(package)
    for parent, folder in (("replications", file.parents[1]), (package, file.parent)):
        module = ModuleType(parent)
        module.__path__ = [str(folder)]
        sys.modules[parent] = module
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise UserError(f"{file} cannot be imported; it must be a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    # Files may have come since the last look at the folder.
    importlib.invalidate_caches()
    try:
        spec.loader.exec_module(module)
    except BaseException:
        _forget(package)
        raise
    return module


def _forget(package: str) -> None:
    for name in list(sys.modules):
        if name == package or name.startswith(f"{package}."):
            del sys.modules[name]


def require_experiment(replication: Replication, name: str) -> Experiment:
    """An experiment of a replication by name.

    Raises:
        UserError: there is no such experiment; the message lists those there are.
    """
    if name not in replication.experiments:
        known = replication.experiments
        raise UserError(
            f"paper '{replication.paper}' has no experiment '{name}'{nearest(name, known)}; it "
            f"has: {', '.join(known)}"
        )
    return replication.experiments[name]
