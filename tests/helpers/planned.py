"""Plans of runs, as a command would ask for them."""

from replab.options import RunOptions
from replab.planning import run_plan
from replab.planning.request import Request


def made_plan(
    replication, profile="quick", *, device="cpu", ranks=1, seeds=None, workers=None, **options
):
    """The runs of a profile on a device; what is missing may be fetched, as `replicate` does."""
    request = Request(
        paper=replication.paper,
        profile=profile,
        seeds=seeds,
        workers=workers,
        options=RunOptions(device=device, ranks=ranks),
    )
    return run_plan.plan(replication, request, **{"may_fetch": True} | options)
