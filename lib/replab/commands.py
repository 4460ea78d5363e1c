"""What each command does, given its parsed options; returns the exit code if it is not 0."""

import sys
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from replab.cli import emit
from replab.errors import CheckFailed, UserError
from replab.runs.experiment import (
    load_replication,
    papers,
    require_experiment,
    require_paper,
    require_profile,
)

# Seconds of start-up that a benchmark's line mentions: less is noise.
START_S = 5


def list_papers(options: Namespace) -> None:
    """`list`: papers with their claims and their accepted ledgers."""
    from replab.claims import acceptance, evidence
    from replab.claims.ledger import build
    from replab.claims.schema import load
    from replab.report import text

    listed = []
    lines = []
    for name in papers():
        paper = load(name)
        gated = [c for c in paper.claims.values() if c.gate]
        accepted = {}
        lines.append(f"{name}: {paper.citation.title} ({paper.citation.venue})")
        own = sum(c.supports is None for c in gated)
        lines.append(f"  {own} claims, {len(gated) - own} scaled claims")
        for profile in acceptance.accepted_profiles(name):
            ledger = build(paper, profile, evidence.committed(paper, profile)[1])
            accepted[profile] = ledger.counts(scaled=False)
            lines.append(f"  accepted, profile {profile}: {text.counts_line(accepted[profile])}")
        listed.append(
            {
                "paper": name,
                "title": paper.citation.title,
                "claims": own,
                "scaled": len(gated) - own,
                "experiments": list(paper.replication.experiments),
                "accepted": accepted,
            }
        )
    emit(listed, options.json, "\n".join(lines))


def list_models(options: Namespace) -> None:
    """`models`: networks with exact counts beside the paper's figures."""
    from replab.models.counting import catalogue

    rows = catalogue()
    lines = [f"{'model':<18}{'options':<26}{'params':>14}{'multiply-adds':>18}  paper"]
    for row in rows:
        words = ", ".join(f"{k}={v}" for k, v in row["options"].items())
        paper = f"{row['gflops_paper']} G" if row["gflops_paper"] is not None else ""
        lines.append(
            f"{row['name']:<18}{words:<26}{row['params']:>14,}{row['macs']:>18,}  {paper}"
        )
    emit(rows, options.json, "\n".join(lines))


def replicate(options: Namespace) -> int:
    """`replicate`: runs, ledger, rendered notebook, nbval."""
    from replab.claims.schema import load
    from replab.claims.verdicts import NOT_REPRODUCED
    from replab.report import notebook, session
    from replab.runs.store import Store

    paper, profile = options.paper, require_profile(options.profile)
    require_paper(paper)
    values = notebook.parse_parameters(paper, _pairs(options.parameter))
    if "profile" in values:
        raise UserError("-p profile=…: use --profile instead")
    seeds = session.parse_seeds(options.seeds)
    computed = session.compute(
        load(paper),
        profile,
        seeds=seeds,
        only=options.only,
        device=options.device,
        workers=options.workers,
        compiled=options.compile,
    )
    entries = computed.ledger.select(attempted=True)
    lines = [] if options.only is None else [_claim_line(e) for e in entries]
    if options.only is None:
        with Store().exclusive(f"render-{paper}-{profile}"):
            if options.seeds:
                values["seeds"] = options.seeds
            rendered = notebook.render(paper, profile, values, records="machine")
            problem = notebook.nbval(paper, profile)
        if problem:
            raise CheckFailed(f"nbval finds the rendered notebook changed:\n{problem}")
        lines += [_claim_line(e) for e in entries if e.supports] + [computed.summary()]
        folder = rendered.parent.relative_to(rendered.parents[3])
        lines.append(f"rendered and checked: {folder}/{paper}.ipynb and {paper}.html")
    shown = [asdict(e) for e in entries]
    emit({"paper": paper, "profile": profile, "claims": shown}, options.json, "\n".join(lines))
    failed = [e.id for e in entries if e.verdict == NOT_REPRODUCED]
    if options.strict and failed:
        raise CheckFailed(f"{len(failed)} claims not reproduced: {', '.join(failed)}")
    return 0


def _pairs(words: Sequence[str]) -> dict[str, str]:
    pairs = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals:
            raise UserError(f"-p {word}: write it as name=value")
        pairs[name] = value
    return pairs


def _claim_line(entry: Any) -> str:
    from replab.report import text

    parts = [
        f"{entry.id:<34}",
        f"reported {text.reported(entry)}",
        f"measured {text.measured(entry)}",
    ]
    if entry.interval:
        parts.append(text.interval(entry))
    return "   ".join([*parts, text.verdict(entry)])


def run(options: Namespace) -> None:
    """`run`: one run, with nothing but torch, numpy and light packages."""
    from replab.runs import campaign, executors, identity
    from replab.runs.execution import execute
    from replab.runs.hardware import available_cores
    from replab.runs.store import Store

    profile = require_profile(options.profile)
    replication = load_replication(options.paper)
    experiment = require_experiment(replication, options.experiment)
    if profile not in experiment.plans:
        raise UserError(
            f"experiment {experiment.name} is not part of profile {profile}; "
            f"it is in: {', '.join(experiment.plans)}"
        )
    words = [word for given in options.variant for word in given.split(",")]
    variant = identity.parse_variant(words, experiment, experiment.plans[profile])
    device = executors.resolve_device(options.device)
    planned = campaign.plan(
        replication,
        profile,
        device=identity.device_class(device),
        seeds=(options.seed,),
        wanted=lambda e, v: e is experiment and v == variant,
    )
    for notice in planned.notices:
        print(f"note: {notice}", file=sys.stderr)
    if not planned.specs:
        raise UserError("; ".join(planned.skipped.values()))
    (spec,) = planned.specs
    store = Store()
    place = f"{device}:0" if device == "cuda" else device
    execute(spec, str(store.folder), place, available_cores(), options.compile)
    record = store.find(spec)
    assert record is not None
    lines = [f"{spec.label}: record {record.id}"]
    lines += [f"  {name} = {value:.6g}" for name, value in record.metrics.items()]
    lines.append(f"  {record.provenance['wall_s']:.1f} s on {device}, {record.precision}")
    emit(record.as_dict(), options.json, "\n".join(lines))


def claims(options: Namespace) -> None:
    """`claims`: the ledger of a paper, from records that are there; nothing is run."""
    from replab.claims import evidence
    from replab.claims.ledger import build
    from replab.claims.schema import load
    from replab.report import text
    from replab.runs.store import Store

    profile = require_profile(options.profile)
    paper = load(options.paper)
    if options.records == "machine":
        records = evidence.machine(paper, profile, Store())
    elif options.records == "committed":
        records = evidence.committed(paper, profile)[1]
    else:
        records = evidence.gather(paper, profile, Store())
    ledger = build(paper, profile, records)
    entries = ledger.select(options.only or "*")
    if not entries:
        raise UserError(f"--only '{options.only}' fits no claim of {options.paper}")
    shown = [asdict(e) for e in entries]
    lines = [_claim_line(e) for e in entries]
    if options.only is None:
        lines.append(f"paper claims: {text.counts_line(ledger.counts(scaled=False))}")
        lines.append(f"scaled claims: {text.counts_line(ledger.counts(scaled=True))}")
    emit(shown, options.json, "\n".join(lines))


def check(options: Namespace) -> int:
    """`check`: accepted ledgers, rendered notebooks and tables against the committed records."""
    from concurrent.futures import Future, ThreadPoolExecutor

    from replab.claims import acceptance
    from replab.claims.schema import load
    from replab.report import notebook, tables
    from replab.runs.hardware import available_cores

    problems = []
    found: dict[str, list[str]] = {}
    # Each notebook is executed in processes of its own, whose start takes most of the time.
    with ThreadPoolExecutor(available_cores()) as pool:
        rendered: dict[str, Future[str]] = {}
        for name in options.papers or papers():
            paper = load(name)
            profiles = acceptance.accepted_profiles(name)
            if not profiles and options.papers:
                problems.append(
                    f"{name}: nothing was accepted; run `python -m replab accept {name}`"
                )
            for profile in profiles:
                label = f"{name}, profile {profile}"
                found[label] = acceptance.check(paper, profile)
                # A ledger that does not hold would only fail the notebook a second time.
                if not found[label]:
                    rendered[label] = pool.submit(notebook.nbval, name, profile)
        for label, done in rendered.items():
            found[label] += [f"nbval: {said}" for said in (done.result(),) if said]
    checked = list(found)
    problems += [f"{label}: {problem}" for label in found for problem in found[label]]
    readme = tables.readme_problem()
    problems += [readme] if readme else []
    emit({"checked": checked, "problems": problems}, options.json, "\n".join(checked))
    if problems:
        raise CheckFailed("\n".join(problems))
    if not options.json:
        print("the accepted ledgers follow from the committed records")
    return 0


def regress(options: Namespace) -> int:
    """`regress`: what this machine computes beside the accepted ledger."""
    from replab.claims import acceptance
    from replab.claims.schema import load
    from replab.report import session

    profile = require_profile(options.profile)
    names = options.papers or [
        name for name in papers() if profile in acceptance.accepted_profiles(name)
    ]
    report: dict[str, list[dict[str, str]]] = {}
    worse, lines = [], []
    for name in names:
        paper = load(name)
        fresh = session.compute(
            paper,
            profile,
            seeds=session.parse_seeds(options.seeds),
            only=options.only,
            device=options.device,
            workers=options.workers,
            compiled=options.compile,
        )
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


def accept(options: Namespace) -> None:
    """`accept`: records, ledger, rendered notebook and tables become the committed evidence."""
    from replab import paths
    from replab.claims import acceptance
    from replab.claims.schema import load
    from replab.files import write_text
    from replab.report import notebook, tables, text
    from replab.runs.store import Store

    profile = require_profile(options.profile)
    paper = load(options.paper)
    store = Store()
    with store.exclusive(f"render-{paper.name}-{profile}"):
        ledger, changed = acceptance.accept(paper, profile, store)
        notebook.render(paper.name, profile, {}, records="committed")
    write_text(paths.root() / "results" / "README.md", tables.results_readme())
    print(f"accepted {paper.name}, profile {profile}: {len(ledger.runs)} records")
    print(f"paper claims: {text.counts_line(ledger.counts(scaled=False))}")
    print(f"scaled claims: {text.counts_line(ledger.counts(scaled=True))}")
    for line in changed:
        print(f"changed: {line}")


def import_(options: Namespace) -> None:
    """`import`: records made elsewhere, on purpose."""
    from replab.runs.store import Store, import_records

    new, known = import_records(options.path, Store())
    print(f"{new} records brought in, {known} were here already")


def fetch(options: Namespace) -> None:
    """`fetch`: data and weights; without a name, what there is."""
    from replab.datasets.fetch import entries
    from replab.datasets.fetch import fetch as bring

    if options.dataset is None:
        rows = [
            {"name": e.name, "what": e.what, "bytes": e.size, "licence": e.licence}
            for e in entries().values()
        ]
        lines = [
            f"{e.name:<26}{_megabytes(e.size):>9}  {e.what}; licence: {e.licence}"
            for e in entries().values()
        ]
        emit(rows, options.json, "\n".join(lines))
        return
    path = bring(options.dataset, options.source, force=options.force)
    emit({"name": options.dataset, "path": str(path)}, options.json, f"{options.dataset}: {path}")


def _megabytes(size: int | None) -> str:
    return "" if size is None else f"{size / 1e6:.1f} MB"


def bench(options: Namespace) -> None:
    """`bench`: speeds beside a named peer's, and where a training step's time goes."""
    from replab.bench import anatomy, run_all
    from replab.bench.cifar import NETS

    if options.anatomy:
        examined = [anatomy.examine(name) for name in NETS]
        lines = [line for found in examined for line in anatomy.lines(found)]
        emit([asdict(found) for found in examined], options.json, "\n".join(lines))
        return
    results = run_all(options.only or "*")
    lines = [f"{'benchmark':<32}{'ours':>14}{'peer':>14}{'ratio':>8}  peer"]
    lines += [
        f"{r.name:<32}{r.ours:>10.4g} /s{r.peer:>11.4g} /s{r.ratio:>7.2f}×  {r.peer_name}"
        + (f" (after {r.start_s:.0f} s of start-up)" if r.start_s > START_S else "")
        for r in results
    ]
    emit([asdict(r) | {"ratio": r.ratio} for r in results], options.json, "\n".join(lines))
