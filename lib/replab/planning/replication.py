"""Replicating a paper: plan the requested runs, do them, decide the claims."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase

from replab.claims import evidence
from replab.claims.attempts import wanted_selectors
from replab.claims.claim import Paper
from replab.claims.ledger import Ledger, build
from replab.errors import CheckFailed, UserError
from replab.planning import run_plan
from replab.planning.request import Request
from replab.planning.run_plan import RunPlan, Wanted
from replab.runs.clusters import Cluster
from replab.runs.executors import resolve_device
from replab.runs.experiment import Experiment, Variant
from replab.runs.record import Record
from replab.runs.store import Store


@dataclass(frozen=True)
class Replicated:
    """What came of a plan.

    Attributes:
        records: of all its runs that are done.
        ledger: what they decide.
        skipped: runs that could not be done here → why.
        left: of each run that a cluster still has to do, what becomes of it.
    """

    records: Sequence[Record]
    ledger: Ledger
    skipped: Mapping[str, str]
    left: Sequence[str] = ()


def plan(paper: Paper, request: Request, cluster: Cluster | None = None) -> RunPlan:
    """Find the requested runs, and what they lack; nothing is fetched or run.

    Args:
        cluster: does the runs in this machine's place.

    Raises:
        UserError: there is no such device, or the profile has none of the requested runs.
    """
    asked = request.options.device
    device = cluster.engine.resolve_device(asked) if cluster else resolve_device(asked)
    planned = run_plan.plan(
        paper.replication,
        replace(request, options=replace(request.options, device=device)),
        wanted=_wanted_runs(paper, request),
        native=cluster.native_precision(device) if cluster else None,
    )
    if not planned.specs and not planned.skipped:
        words = f" that fit '{request.only}'" if request.only else ""
        raise UserError(
            f"profile {request.profile} of {paper.name} has no runs{words}; see `claims`"
        )
    return planned


def _wanted_runs(paper: Paper, request: Request) -> Wanted:
    """Which runs the request's glob asks for; all, where there is none."""
    only = request.only
    if only is None:
        return lambda experiment, variant: True
    selectors = wanted_selectors(paper, request.profile, only)

    def wanted(experiment: Experiment, variant: Variant) -> bool:
        return fnmatchcase(experiment.name, only) or any(
            s.experiment == experiment.name and s.fits(variant) for s in selectors
        )

    return wanted


def replicate(
    paper: Paper, planned: RunPlan, store: Store, cluster: Cluster | None = None
) -> Replicated:
    """Fetch what a plan lacks, do its runs that have no record, and decide the claims.

    The ledger of a whole profile is kept as this machine's.

    Args:
        cluster: does the runs in this machine's place.

    Raises:
        CheckFailed: runs failed; what was done is kept.
    """
    planned = run_plan.fetch_missing(planned)
    _print_notices(planned)
    records, errors = run_plan.complete(planned, store, cluster)
    if errors:
        raise CheckFailed("\n".join(dict.fromkeys(map(str, errors))))
    left = []
    if cluster and not cluster.wait:
        left = cluster.left(run_plan.find(planned, store)[1])
    ledger = build(paper, planned.request.profile, records)
    if planned.request.only is None and not left:
        evidence.save_machine_ledger(ledger, store)
    return Replicated(records, ledger, planned.skipped, left)


def _print_notices(planned: RunPlan) -> None:
    for notice in planned.notices:
        print(f"note: {notice}", file=sys.stderr)
    for reason in dict.fromkeys(planned.skipped.values()):
        runs = [run for run, why in planned.skipped.items() if why == reason]
        more = f" and {len(runs) - 1} more" if len(runs) > 1 else ""
        print(f"not here: {runs[0]}{more}: {reason}", file=sys.stderr)
