"""A campaign: all the runs that a profile of a paper needs, found in the store or done."""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from replab.errors import MissingData, UserError
from replab.runs import cost, executors
from replab.runs.clusters import Cluster
from replab.runs.experiment import (
    Experiment,
    Plan,
    Replication,
    Variant,
    load_replication,
    require_experiment,
    require_profile,
)
from replab.runs.identity import RunSpec, device_class, format_variant, parse_variant, plan_runs
from replab.runs.record import Record
from replab.runs.store import Store

Wanted = Callable[[Experiment, Variant], bool]


@dataclass
class Campaign:
    """The runs of a paper under one profile on this machine.

    Attributes:
        specs: the runs that can be done here.
        skipped: label of a run → why it cannot be done here.
        notices: what the user should know, such as a data set used in another's place.
    """

    replication: Replication
    profile: str
    device: str
    specs: list[RunSpec] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)
    notices: list[str] = field(default_factory=list)

    def costs(self, specs: Sequence[RunSpec]) -> list[float]:
        """Relative costs of some runs, for the estimate of the time left."""
        experiments = self.replication.experiments
        return [experiments[s.experiment].cost(s.variant, s.recipe) for s in specs]

    def per_gpu(self) -> int:
        """How many of its runs may share a GPU: as many as the least sociable allows."""
        experiments = {spec.experiment for spec in self.specs}
        limits = [self.replication.experiments[name].per_gpu for name in experiments]
        return min((limit for limit in limits if limit is not None), default=1)


def plan(
    replication: Replication,
    profile: str,
    *,
    device: str,
    seeds: tuple[int, ...] | None = None,
    wanted: Wanted = lambda experiment, variant: True,
    may_fetch: bool = True,
    native_precision: str | None = None,
) -> Campaign:
    """Find out which runs a profile needs and which of them this machine can do.

    Args:
        device: a device class, already resolved.
        seeds: in place of the plans' own.
        wanted: leaves out what was not asked for.
        may_fetch: whether missing data may be downloaded now.
        native_precision: what `native` means where the runs are done, if not here.
    """
    campaign = Campaign(replication, profile, device)
    here = _Availability(may_fetch)
    for experiment in replication.experiments.values():
        asked = experiment.plans.get(profile)
        if asked is None or not any(wanted(experiment, v) for v in asked.variants):
            continue
        try:
            data = _choose_data(asked, campaign, here)
        except MissingData as error:
            campaign.skipped[experiment.name] = str(error)
            continue
        specs = plan_runs(
            replication.paper, experiment, profile, data=data, device=device, seeds=seeds
        )
        if native_precision and asked.precision == "native":
            specs = [replace(spec, precision=native_precision) for spec in specs]
        for spec in specs:
            if not wanted(experiment, spec.variant):
                continue
            lack = next(filter(None, map(here.lack, experiment.fetches(spec.variant))), "")
            if lack:
                label = f"{experiment.name}[{format_variant(spec.variant)}]"
                campaign.skipped[label] = lack
            else:
                campaign.specs.append(spec)
    return campaign


def plan_one(
    paper: str, name: str, words: Sequence[str], *, profile: str, seed: int, device: str
) -> RunSpec:
    """The one run that is asked for; what the user should know about it is printed.

    Args:
        paper: whose.
        name: of the experiment.
        words: `key=value` of the variant, several in a word parted by commas.
        profile: quick, standin or paper.
        seed: in place of the plan's own.
        device: already resolved.

    Raises:
        UserError: there is no such run, or it cannot be done here.
    """
    require_profile(profile)
    replication = load_replication(paper)
    experiment = require_experiment(replication, name)
    if profile not in experiment.plans:
        raise UserError(
            f"experiment {experiment.name} is not part of profile {profile}; "
            f"it is in: {', '.join(experiment.plans)}"
        )
    each = [word for given in words for word in given.split(",")]
    variant = parse_variant(each, experiment, experiment.plans[profile])
    planned = plan(
        replication,
        profile,
        device=device_class(device),
        seeds=(seed,),
        wanted=lambda e, v: e is experiment and v == variant,
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
            try:
                obtain(name, self._may_fetch)
            except UserError as error:
                self._lacks[name] = str(error)
        return self._lacks[name]


def _choose_data(asked: Plan, campaign: Campaign, here: _Availability) -> tuple[str, str]:
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
            if notice not in campaign.notices:
                campaign.notices.append(notice)
        return name, datasets.fingerprint(name)
    if reasons:
        raise MissingData(reasons[0])
    return "", ""


def obtain(name: str, may_fetch: bool) -> None:
    """See that a data set or a file of weights is here, fetching it if that is allowed.

    Raises:
        UserError: it is not here and cannot be fetched.
    """
    from replab.datasets.availability import require

    try:
        require(name)
    except MissingData:
        if not may_fetch:
            raise
        from replab.datasets.fetch import fetch

        fetch(name)


def find(campaign: Campaign, store: Store) -> tuple[list[Record], list[RunSpec]]:
    """The records that are there already, and the runs that are still to be done."""
    records, missing = [], []
    for spec in campaign.specs:
        record = store.find(spec)
        if record is None:
            missing.append(spec)
        else:
            records.append(record)
    return records, missing


def carry_out(
    campaign: Campaign,
    store: Store,
    *,
    workers: int | None = None,
    engine: str = "auto",
    cluster: Cluster | None = None,
    ranks: int = 1,
) -> tuple[list[Record], list[Exception]]:
    """Do the runs that have no record yet, here or on a cluster.

    Args:
        ranks: processes that share each training's batches; with more than one, the runs are done
            here, one after the other.

    Returns:
        All records of the campaign, and the errors of the runs that failed.
    """
    found, missing = find(campaign, store)
    errors: list[Exception] = []
    if missing and cluster is not None:
        errors += cluster.carry_out(
            *(missing, store),
            device=campaign.device,
            reused=len(found),
            costs=campaign.costs(missing),
            per_gpu=campaign.per_gpu(),
            workers=workers,
            engine=engine,
        )
        found, _ = find(campaign, store)
    elif missing:
        # Threads move the last bits of a training. Laid out for the whole campaign, a run gets
        # as many after an interruption as before.
        placement = executors.place(
            campaign.device,
            len(campaign.specs),
            workers,
            per_gpu=campaign.per_gpu(),
            engine=engine,
        )
        if ranks != 1:
            placement = executors.place_ranks(campaign.device, ranks, engine=engine)
        placement = replace(placement, devices=placement.devices[: len(missing)])
        reused = f", {len(found)} found in the store" if found else ""
        runs = "1 run" if len(missing) == 1 else f"{len(missing)} runs"
        print(f"{runs} to do{reused}; {placement.text}", file=sys.stderr)
        # In profile quick a probe would take a good part of what it measures; and a probe of one
        # process says little of several.
        if campaign.profile != "quick" and ranks == 1:
            expected = cost.estimate(campaign.replication, missing, placement, store)
            if expected is not None:
                print(expected.text, file=sys.stderr, flush=True)
        costs = campaign.costs(missing)
        errors += executors.run_all(missing, store=store, placement=placement, costs=costs)
        found, _ = find(campaign, store)
    return found, errors
