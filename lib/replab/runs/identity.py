"""What makes two runs the same run."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from replab.errors import UserError
from replab.files import canonical_json, sha256_bytes
from replab.hardware import device_class, native_precision
from replab.recipe import Recipe
from replab.runs.experiment import (
    Experiment,
    Plan,
    Variant,
    load_replication,
    require_experiment,
)


@dataclass(frozen=True)
class RunSpec:
    """One run before it is done; equal specs give equal ids.

    `recipe` is not part of the identity: the experiment's `version` stands for it, and a record
    whose recipe differs from its spec's is refused (see `store.find`). Neither is `registration`,
    the digest of the registration that covers the run (empty if none does): the seed follows from
    it.
    """

    paper: str
    experiment: str
    version: int
    variant: Variant
    seed: int
    profile: str
    data: str
    fingerprint: str
    split: str
    precision: str
    device: str
    recipe: Recipe
    registration: str = ""

    @property
    def id(self) -> str:
        """Sixteen hexadecimal digits that name the run."""
        return run_id(vars(self) | {"variant": dict(self.variant)})

    def __reduce__(self) -> tuple[Any, ...]:
        # A recipe's class is the replication's own, which cannot be imported by its name; and a
        # worker learns where the replications are only after it has received the run.
        own = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "recipe"}
        return _received, (own,)

    @property
    def label(self) -> str:
        """The run in words, for messages: `experiment[k=v,…] seed s`."""
        return f"{self.experiment}[{format_variant(self.variant)}] seed {self.seed}"


class _Planned(Recipe):
    """Stands for the recipe of the plan in a run that came from another process."""


def _received(values: Mapping[str, Any]) -> RunSpec:
    return RunSpec(**values, recipe=_Planned())


def with_recipe(spec: RunSpec) -> RunSpec:
    """The run with the recipe of its plan, if it came from another process; else as it is.

    Raises:
        UserError: there is no such paper or experiment.
    """
    if not isinstance(spec.recipe, _Planned):
        return spec
    experiment = require_experiment(load_replication(spec.paper), spec.experiment)
    return replace(spec, recipe=experiment.plans[spec.profile].recipe)


def planned_spec(values: Mapping[str, Any]) -> RunSpec:
    """The run with these fields, and the recipe of its plan; errors as of `with_recipe`."""
    return with_recipe(_received({k: v for k, v in values.items() if k != "recipe"}))


def run_id(values: Mapping[str, Any]) -> str:
    """The id that belongs to a spec's or a record's fields."""
    identity = {
        "paper": values["paper"],
        "experiment": values["experiment"],
        "version": values["version"],
        "variant": dict(sorted(values["variant"].items())),
        "seed": values["seed"],
        "profile": values["profile"],
        "fingerprint": values["fingerprint"],
        "precision": values["precision"],
        "device": device_class(values["device"]),
    }
    return sha256_bytes(canonical_json(identity).encode())[:16]


def format_variant(variant: Variant) -> str:
    """A variant as `k=v,k=v`, keys in their declared order."""
    return ",".join(f"{key}={value}" for key, value in variant.items())


def parse_variant(words: list[str], experiment: Experiment, plan: Plan) -> Variant:
    """The variant of a plan that `k=v` words name; an axis with one value may be left out.

    Raises:
        UserError: a word is no `k=v`, or the words fit none or several of the plan's variants.
    """
    wanted: dict[str, str] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals:
            raise UserError(f"--variant {word}: write it as key=value")
        wanted[key] = value
    fits = [v for v in plan.variants if all(str(v.get(k)) == w for k, w in wanted.items())]
    if len(fits) == 1:
        return fits[0]
    known = "; ".join(format_variant(v) for v in (fits or plan.variants))
    found = "fits several variants" if fits else "fits no variant"
    asked = format_variant(wanted) or "nothing"
    raise UserError(f"--variant {asked} {found} of {experiment.name}; choose from: {known}")


def plan_runs(
    paper: str,
    experiment: Experiment,
    profile: str,
    *,
    data: tuple[str, str],
    device: str,
    seeds: tuple[int, ...] | None = None,
    native: str | None = None,
) -> list[RunSpec]:
    """All runs that a profile asks of an experiment, as `Experiment.asked` lists them.

    Args:
        data: name and fingerprint of the data set to use; two empty strings for none.
        seeds: in place of the plan's own.
        native: precision that `native` stands for; that of this machine if None.
    """
    plan = experiment.plans[profile]
    name, fingerprint = data
    kind = device_class(device)
    precision = plan.precision
    if precision == "native":
        precision = native or native_precision(kind)
    return [
        RunSpec(
            paper=paper,
            experiment=experiment.name,
            version=experiment.version,
            variant=dict(variant),
            seed=seed,
            profile=profile,
            data=name,
            fingerprint="+".join(filter(None, (fingerprint, experiment.fingerprint(variant)))),
            split=plan.split,
            precision=precision,
            device=kind,
            recipe=plan.recipe,
            registration=registered.digest if registered else "",
        )
        for variant, seed in experiment.asked(profile, seeds)
        for registered in [plan.registration_of(variant, seed)]
    ]
