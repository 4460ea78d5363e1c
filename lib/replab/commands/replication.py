"""Commands that do runs: one, a paper's, or all again beside what was accepted."""

import sys
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import partial
from typing import TYPE_CHECKING

from replab.commands.listings import claim_line
from replab.errors import CheckFailed, UserError
from replab.options import RunOptions
from replab.output import emit
from replab.planning.request import Request, parse_seeds
from replab.runs.experiment import papers

if TYPE_CHECKING:
    from replab.planning.forecast import Forecast
    from replab.planning.replication import Replicated


def run(options: Namespace) -> int:
    """`run`: one run, with nothing but torch, numpy and light packages."""
    from replab.cores import available_cores
    from replab.planning.run_plan import plan_one
    from replab.runs.execution import execute
    from replab.runs.executors import resolve_device
    from replab.runs.queue import HELD
    from replab.runs.ranks import end_with_process, execute_together
    from replab.runs.store import Busy, Store
    from replab.training import distributed

    if options.attached_to is not None:
        end_with_process(options.attached_to)
    ranks, store = distributed.current(), Store()
    how = RunOptions(
        device=resolve_device(options.device),
        threads=options.threads or available_cores(),
        engine=options.engine,
        keep_weights=options.keep_weights,
    )
    seeds = (options.seed,)
    request = Request(paper=options.paper, profile=options.profile, seeds=seeds, options=how)
    plan = partial(plan_one, request, options.experiment, options.variant)
    if ranks.alone:
        spec = plan()
        device = "cuda:0" if how.device == "cuda" else how.device
        try:
            execute(
                *(spec, str(store.folder), replace(how, device=device)),
                wait=options.attached_to is None,
            )
        except Busy:
            return HELD
    else:
        spec = execute_together(plan, store, how)
    if not ranks.first:
        return 0
    record = store.find(spec)
    assert record is not None
    if how.keep_weights and record.weights is None:
        raise UserError(
            f"{spec.label} has its record, {record.id}, but trains no network whose weights could "
            "be kept; leave --keep-weights out"
        )
    lines = [f"{spec.label}: record {record.id}"]
    lines += [f"  {name} = {value:.6g}" for name, value in record.metrics.items()]
    lines.append(f"  {record.provenance['wall_s']:.1f} s on {how.device}, {record.precision}")
    emit(record.as_dict(), options.json, "\n".join(lines))
    return 0


def requested(options: Namespace, paper: str) -> Request:
    """The runs of a paper that a command line asks for.

    Raises:
        UserError: an option is malformed, or options exclude each other.
    """
    return Request(
        paper=paper,
        profile=options.profile,
        seeds=parse_seeds(options.seeds),
        only=options.only,
        options=RunOptions(device=options.device, engine=options.engine, ranks=options.ranks),
        workers=options.workers,
        executor=options.executor,
        executor_options=tuple(options.executor_option),
        wait=not options.no_wait,
    )


def replicate(options: Namespace) -> int:
    """`replicate`: runs, ledger, rendered notebook, nbval."""
    from replab.claims.schema import load
    from replab.claims.verdicts import NOT_REPRODUCED
    from replab.planning import replication
    from replab.planning.forecast import forecast
    from replab.report import notebook, text
    from replab.runs import clusters
    from replab.runs.store import Store

    paper = load(options.paper)
    request, store = requested(options, paper.name), Store()
    values = notebook.parse_parameters(paper.name, _pairs(options.parameter))
    with clusters.choose(request.executor, request.executor_options, wait=request.wait) as cluster:
        # Who asks for one claim has looked; who asks for a whole profile may not know what it is.
        unknown = request.profile != "quick" and request.only is None and not options.yes
        planned = replication.plan(paper, request, cluster)
        if options.dry_run:
            ahead = forecast(paper, planned, store)
            emit(asdict(ahead), options.json, ahead.text())
            return 0
        if unknown:
            consent(forecast(paper, planned, store))
        done = replication.replicate(paper, planned, store, cluster)
    if done.left:
        left = {"paper": paper.name, "profile": request.profile, "left": done.left}
        emit(left, options.json, "\n".join([*done.left, left_line(done)]))
        return 0
    entries = done.ledger.select(attempted=True)
    lines = [] if request.only is None else [claim_line(e) for e in entries]
    if request.only is None:
        if options.seeds:
            values["seeds"] = options.seeds
        with store.exclusive(f"render-{paper.name}-{request.profile}"):
            rendered, problem = notebook.render_and_check(
                paper.name, request.profile, values, records="machine"
            )
        if problem:
            raise CheckFailed(f"nbval finds the rendered notebook changed:\n{problem}")
        lines += [claim_line(e) for e in entries if e.supports] + [text.summary(done.ledger)]
        folder = rendered.parent.relative_to(rendered.parents[3])
        lines.append(f"rendered and checked: {folder}/{paper.name}.ipynb and {paper.name}.html")
    shown = {"paper": paper.name, "profile": request.profile}
    emit({**shown, "claims": [asdict(e) for e in entries]}, options.json, "\n".join(lines))
    failed = [e.id for e in entries if e.verdict == NOT_REPRODUCED]
    if options.strict and failed:
        raise CheckFailed(f"{len(failed)} claims not reproduced: {', '.join(failed)}")
    return 0


def regress(options: Namespace) -> int:
    """`regress`: what this machine computes beside the accepted ledger."""
    from replab.claims.accepted import accepted_profiles, load_accepted
    from replab.claims.regression import regress
    from replab.claims.schema import load
    from replab.planning import replication
    from replab.runs import clusters
    from replab.runs.store import Store

    requests = [requested(options, name) for name in options.papers or papers()]
    if not options.papers:
        requests = [r for r in requests if r.profile in accepted_profiles(r.paper)]
    report: dict[str, list[dict[str, str]]] = {}
    worse, lines = [], []
    for request in requests:
        paper, label = load(request.paper), f"{request.paper}, profile {request.profile}"
        accepted = load_accepted(paper, profile=request.profile)
        with clusters.choose(
            request.executor, request.executor_options, wait=request.wait
        ) as cluster:
            planned = replication.plan(paper, request, cluster)
            fresh = replication.replicate(paper, planned, Store(), cluster)
        if fresh.left:
            lines.append(f"{label}: {left_line(fresh)}")
            continue
        skipped = [*fresh.skipped.values()]
        found = regress(accepted, fresh.ledger, fresh.records, skipped)
        report[paper.name] = [asdict(c) for c in found]
        states = [c.state for c in found]
        counts = ", ".join(f"{states.count(s)} {s}" for s in ("ok", "worse", "not compared"))
        lines.append(f"{label}: {counts}")
        lines += [f"  {c.claim}: {c.state}: {c.why}" for c in found if c.state != "ok"]
        worse += [f"{paper.name}: {c.claim}" for c in found if c.state == "worse"]
        if "ok" not in states and "worse" not in states:
            lines.append(f"  {paper.name}: nothing could be compared on this machine")
    emit(report, options.json, "\n".join(lines))
    if worse:
        raise CheckFailed(f"{len(worse)} claims are worse than accepted: {', '.join(worse)}")
    return 0


def consent(ahead: "Forecast") -> None:
    """Ask before days are spent or gigabytes fetched.

    Raises:
        UserError: it is much, and nobody is there to ask or the answer is no.
    """
    if not ahead.is_large:
        return
    less = "`--dry-run` says of what; name what you want by `--only`, or add `--yes`"
    if not sys.stdin.isatty():
        raise UserError(f"{ahead.summary}; {less}")
    print(ahead.text(), file=sys.stderr)
    if input("Begin? [y/N] ").strip().lower() not in ("y", "yes"):
        raise UserError(f"nothing was begun; {less}")


def left_line(done: "Replicated") -> str:
    """How many runs a cluster has still to do."""
    left = f"{len(done.left)} runs are not done yet, {len(done.records)} are"
    return f"{left}; the same command looks again, and goes on when all are done"


def _pairs(words: Sequence[str]) -> dict[str, str]:
    pairs = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals:
            raise UserError(f"-p {word}: write it as name=value")
        pairs[name] = value
    return pairs
