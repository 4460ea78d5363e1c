"""The runs that a command asks for: which can be done here, and doing those without a record."""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from replab.errors import MissingData, UserError
from replab.planning import probe
from replab.planning.request import Request
from replab.runs import executors
from replab.runs.clusters import Cluster
from replab.runs.experiment import (
    Experiment,
    Plan,
    Replication,
    Variant,
    load_replication,
    require_experiment,
)
from replab.runs.identity import RunSpec, format_variant, parse_variant, plan_runs
from replab.runs.record import Record
from replab.runs.store import Store

Wanted = Callable[[Experiment, Variant], bool]


@dataclass
class RunPlan:
    """The runs of a paper that a command asks for.

    Attributes:
        request: its device resolved.
        wanted: whether a variant of an experiment is requested.
        native: precision that `native` stands for where the runs are done, None for here.
        specs: the runs that can be done here.
        skipped: label of a run → why it cannot be done here.
        notices: what the user should know, such as a data set used in another's place.
    """

    replication: Replication
    request: Request
    wanted: Wanted
    native: str | None = None
    specs: list[RunSpec] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)
    notices: list[str] = field(default_factory=list)

    def costs(self, specs: Sequence[RunSpec]) -> list[float]:
        """Relative costs of some runs, for the estimate of the time left."""
        experiments = self.replication.experiments
        return [experiments[s.experiment].cost(s.variant, s.recipe) for s in specs]

    def per_gpu(self) -> int:
        """How many of its runs may share a GPU; limited by the experiment with the smallest."""
        experiments = {spec.experiment for spec in self.specs}
        limits = [self.replication.experiments[name].per_gpu for name in experiments]
        return min((limit for limit in limits if limit is not None), default=1)


def plan(
    replication: Replication,
    request: Request,
    *,
    wanted: Wanted = lambda experiment, variant: True,
    may_fetch: bool = False,
    native: str | None = None,
) -> RunPlan:
    """Find the requested runs and which of them this machine can do.

    Args:
        request: its device already resolved.
        wanted: leaves out what is not requested.
        may_fetch: whether missing data may be downloaded now.
        native: precision that `native` stands for where the runs are done, if not here.
    """
    found = RunPlan(replication, request, wanted, native)
    here = _Availability(may_fetch)
    for experiment in replication.experiments.values():
        asked = experiment.plans.get(request.profile)
        if asked is None or not any(wanted(experiment, v) for v in asked.variants):
            continue
        try:
            data = _choose_data(asked, found, here)
        except MissingData as error:
            found.skipped[experiment.name] = str(error)
            continue
        specs = plan_runs(
            *(replication.paper, experiment, request.profile),
            data=data,
            device=request.options.device,
            seeds=request.seeds,
            native=native,
        )
        for spec in specs:
            if not wanted(experiment, spec.variant):
                continue
            lack = next(filter(None, map(here.lack, experiment.fetches(spec.variant))), "")
            if lack:
                label = f"{experiment.name}[{format_variant(spec.variant)}]"
                found.skipped[label] = lack
            else:
                found.specs.append(spec)
    return found


def fetch_missing(planned: RunPlan) -> RunPlan:
    """The plan again, once everything was fetched that it lacks and that can be fetched."""
    if not planned.skipped and not planned.notices:
        return planned
    return plan(
        *(planned.replication, planned.request),
        wanted=planned.wanted,
        may_fetch=True,
        native=planned.native,
    )


def plan_one(request: Request, name: str, words: Sequence[str]) -> RunSpec:
    """The one run that is asked for; what the user should know about it is printed.

    Args:
        request: of one seed, the device already resolved.
        name: of the experiment.
        words: `key=value` of the variant, several in a word separated by commas.

    Raises:
        UserError: there is no such run, or it cannot be done here.
    """
    profile, replication = request.profile, load_replication(request.paper)
    experiment = require_experiment(replication, name)
    if profile not in experiment.plans:
        raise UserError(
            f"experiment {experiment.name} is not part of profile {profile}; "
            f"it is in: {', '.join(experiment.plans)}"
        )
    each = [word for given in words for word in given.split(",")]
    variant = parse_variant(each, experiment, experiment.plans[profile])
    planned = plan(
        *(replication, request),
        wanted=lambda e, v: e is experiment and v == variant,
        may_fetch=True,
    )
    for notice in planned.notices:
        print(f"note: {notice}", file=sys.stderr)
    if not planned.specs:
        raise UserError("; ".join(planned.skipped.values()))
    (spec,) = planned.specs
    return spec


class _Availability:
    """What can be had on this machine; each name is tried once, for a download takes its time."""

    def __init__(self, may_fetch: bool) -> None:
        self._may_fetch = may_fetch
        self._lacks: dict[str, str] = {}

    def lack(self, name: str) -> str:
        """Why a data set or a file of weights cannot be had; empty if it can."""
        if name not in self._lacks:
            self._lacks[name] = ""
            from replab.datasets.availability import ensure_available

            try:
                ensure_available(name, may_fetch=self._may_fetch)
            except UserError as error:
                self._lacks[name] = str(error)
        return self._lacks[name]


def _choose_data(asked: Plan, found: RunPlan, here: _Availability) -> tuple[str, str]:
    """Name and fingerprint of the first data set of a plan that can be had."""
    from replab import datasets

    reasons = []
    for name in asked.data:
        lack = here.lack(name)
        if lack:
            reasons.append(lack)
            continue
        if reasons:
            notice = f"{name} stands in for {asked.data[0]}: {reasons[0]}"
            if notice not in found.notices:
                found.notices.append(notice)
        return name, datasets.fingerprint(name)
    if reasons:
        raise MissingData(reasons[0])
    return "", ""


def find(planned: RunPlan, store: Store) -> tuple[list[Record], list[RunSpec]]:
    """The records that are there already, and the runs that are still to be done."""
    records, missing = [], []
    for spec in planned.specs:
        record = store.find(spec)
        if record is None:
            missing.append(spec)
        else:
            records.append(record)
    return records, missing


def complete(
    planned: RunPlan, store: Store, cluster: Cluster | None = None
) -> tuple[list[Record], list[Exception]]:
    """Do the runs that have no record yet, here or on a cluster.

    Returns:
        All records of the plan, and the errors of the runs that failed.
    """
    found, missing = find(planned, store)
    if not missing:
        return found, []
    costs = planned.costs(missing)
    runs = "1 run" if len(missing) == 1 else f"{len(missing)} runs"
    to_do = f"{runs} to do" + (f", {len(found)} found in the store" if found else "")
    errors: list[Exception] = []
    if cluster is not None:
        device, workers = planned.request.options.device, planned.request.workers
        cluster.engine.lay_out(device, per_gpu=planned.per_gpu(), workers=workers)
        print(f"{to_do}; {cluster.engine.text()}", file=sys.stderr, flush=True)
        errors += cluster.run_all(missing, store, planned.request.options, costs=costs)
    else:
        placement = _place(planned, len(missing))
        print(f"{to_do}; {placement.text}", file=sys.stderr)
        _print_estimate(planned, missing, placement, store)
        errors += executors.run_all(missing, store=store, placement=placement, costs=costs)
    return find(planned, store)[0], errors


def _place(planned: RunPlan, missing: int) -> executors.Placement:
    """Where the runs are done on this machine.

    Threads move the last bits of a training. Laid out for the whole plan, a run gets as many after
    an interruption as before.
    """
    request = planned.request
    placement = executors.place(
        request.options, len(planned.specs), request.workers, per_gpu=planned.per_gpu()
    )
    return replace(placement, devices=placement.devices[:missing])


def _print_estimate(
    planned: RunPlan, missing: Sequence[RunSpec], placement: executors.Placement, store: Store
) -> None:
    """Say what the runs will cost, where finding that out is cheap beside them.

    In profile quick a probe would take a good part of what it measures; and a probe of one process
    says little of several.
    """
    if planned.request.profile == "quick" or placement.options.ranks > 1:
        return
    expected = probe.estimate(planned.replication, missing, placement, store)
    if expected is not None:
        print(expected.text, file=sys.stderr, flush=True)
