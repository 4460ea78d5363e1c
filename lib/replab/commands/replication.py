"""Commands that do runs: one, a paper's, or all again beside what was accepted."""

import sys
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Any

from replab.cli import emit
from replab.commands.listings import claim_line
from replab.errors import CheckFailed, UserError
from replab.runs.experiment import papers, require_paper, require_profile

if TYPE_CHECKING:
    from replab.report.forecast import Forecast


def run(options: Namespace) -> int:
    """`run`: one run, with nothing but torch, numpy and light packages."""
    from replab.cores import available_cores
    from replab.runs import campaign, executors
    from replab.runs.execution import execute
    from replab.runs.queue import HELD
    from replab.runs.ranks import end_with_process, execute_together
    from replab.runs.store import Busy, Store
    from replab.training import distributed

    if options.attached_to is not None:
        end_with_process(options.attached_to)
    ranks, store = distributed.current(), Store()
    device = executors.resolve_device(options.device)
    how = {"engine": options.engine, "keep_weights": options.keep_weights}
    name = (options.paper, options.experiment, options.variant)
    where = {"profile": options.profile, "seed": options.seed, "device": device}
    plan = partial(campaign.plan_one, *name, **where)
    if ranks.alone:
        spec = plan()
        place = f"{device}:0" if device == "cuda" else device
        threads = options.threads or available_cores()
        try:
            execute(
                *(spec, str(store.folder), place, threads),
                wait=options.attached_to is None,
                **how,
            )
        except Busy:
            return HELD
    else:
        spec = execute_together(plan, store, device, **how)
    if not ranks.first:
        return 0
    record = store.find(spec)
    assert record is not None
    if options.keep_weights and record.weights is None:
        raise UserError(
            f"{spec.label} has its record, {record.id}, but trains no network whose weights could "
            "be kept; leave --keep-weights out"
        )
    lines = [f"{spec.label}: record {record.id}"]
    lines += [f"  {name} = {value:.6g}" for name, value in record.metrics.items()]
    lines.append(f"  {record.provenance['wall_s']:.1f} s on {device}, {record.precision}")
    emit(record.as_dict(), options.json, "\n".join(lines))
    return 0


def replicate(options: Namespace) -> int:
    """`replicate`: runs, ledger, rendered notebook, nbval."""
    from replab.claims.schema import load
    from replab.claims.verdicts import NOT_REPRODUCED
    from replab.report import notebook
    from replab.runs.store import Store

    paper, profile = options.paper, require_profile(options.profile)
    require_paper(paper)
    values = notebook.parse_parameters(paper, _pairs(options.parameter))
    if "profile" in values:
        raise UserError("-p profile=…: use --profile instead")
    loaded = load(paper)
    if options.dry_run:
        ahead = forecast(options, loaded, profile)
        emit(asdict(ahead), options.json, ahead.text())
        return 0
    # Who asks for one claim has looked; who asks for a whole profile may not know what it is.
    if profile != "quick" and options.only is None and not options.yes:
        consent(forecast(options, loaded, profile))
    computed = compute(options, loaded, profile)
    if computed.left:
        left = {"paper": paper, "profile": profile, "left": computed.left}
        emit(left, options.json, "\n".join([*computed.left, left_line(computed)]))
        return 0
    entries = computed.ledger.select(attempted=True)
    lines = [] if options.only is None else [claim_line(e) for e in entries]
    if options.only is None:
        with Store().exclusive(f"render-{paper}-{profile}"):
            if options.seeds:
                values["seeds"] = options.seeds
            words = (paper, profile, values)
            rendered, problem = notebook.render_and_check(*words, records="machine")
        if problem:
            raise CheckFailed(f"nbval finds the rendered notebook changed:\n{problem}")
        lines += [claim_line(e) for e in entries if e.supports] + [computed.summary()]
        folder = rendered.parent.relative_to(rendered.parents[3])
        lines.append(f"rendered and checked: {folder}/{paper}.ipynb and {paper}.html")
    shown = [asdict(e) for e in entries]
    emit({"paper": paper, "profile": profile, "claims": shown}, options.json, "\n".join(lines))
    failed = [e.id for e in entries if e.verdict == NOT_REPRODUCED]
    if options.strict and failed:
        raise CheckFailed(f"{len(failed)} claims not reproduced: {', '.join(failed)}")
    return 0


def regress(options: Namespace) -> int:
    """`regress`: what this machine computes beside the accepted ledger."""
    from replab.claims import acceptance
    from replab.claims.schema import load

    profile = require_profile(options.profile)
    names = options.papers or [
        name for name in papers() if profile in acceptance.accepted_profiles(name)
    ]
    report: dict[str, list[dict[str, str]]] = {}
    worse, lines = [], []
    for name in names:
        paper = load(name)
        fresh = compute(options, paper, profile)
        if fresh.left:
            lines.append(f"{name}, profile {profile}: {left_line(fresh)}")
            continue
        found = acceptance.regress(paper, profile, fresh.records, [*fresh.skipped.values()])
        report[name] = [asdict(c) for c in found]
        states = [c.state for c in found]
        counts = ", ".join(f"{states.count(s)} {s}" for s in ("ok", "worse", "not compared"))
        lines.append(f"{name}, profile {profile}: {counts}")
        lines += [f"  {c.claim}: {c.state}: {c.why}" for c in found if c.state != "ok"]
        worse += [f"{name}: {c.claim}" for c in found if c.state == "worse"]
        if "ok" not in states and "worse" not in states:
            lines.append(f"  {name}: nothing could be compared on this machine")
    emit(report, options.json, "\n".join(lines))
    if worse:
        raise CheckFailed(f"{len(worse)} claims are worse than accepted: {', '.join(worse)}")
    return 0


def forecast(options: Namespace, paper: Any, profile: str) -> "Forecast":
    """What the options ask for and this machine, or the cluster that does it, has yet to do."""
    from replab.report import asked, forecast
    from replab.runs import clusters
    from replab.runs.store import Store

    words = (options.executor, options.executor_option)
    with clusters.choose(*words, wait=not options.no_wait) as cluster:
        return forecast.forecast(
            paper,
            profile,
            Store(),
            seeds=asked.parse_seeds(options.seeds),
            wanted=asked.wanted_runs(paper, profile, options.only),
            **asked.place(options.device, cluster),
        )


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


def compute(options: Namespace, paper: Any, profile: str) -> Any:
    """The session of a paper whose runs are done here, or on the cluster that is asked for."""
    from replab.report import asked, session
    from replab.runs import clusters

    if options.ranks != 1 and (options.workers or options.executor != "local"):
        raise UserError("--ranks does one run at a time here; leave --workers and --executor out")
    words = (options.executor, options.executor_option)
    with clusters.choose(*words, wait=not options.no_wait) as cluster:
        return session.compute(
            paper,
            profile,
            seeds=asked.parse_seeds(options.seeds),
            only=options.only,
            device=options.device,
            workers=options.workers,
            engine=options.engine,
            cluster=cluster,
            ranks=options.ranks,
        )


def left_line(computed: Any) -> str:
    """How many runs a cluster has still to do."""
    left, done = len(computed.left), len(computed.records)
    more = "the same command looks again, and goes on when all are done"
    return f"{left} runs are not done yet, {done} are; {more}"


def _pairs(words: Sequence[str]) -> dict[str, str]:
    pairs = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals:
            raise UserError(f"-p {word}: write it as name=value")
        pairs[name] = value
    return pairs
