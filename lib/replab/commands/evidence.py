"""Commands about the committed evidence: check, accept, pages, reports, import, export."""

import sys
from argparse import Namespace

from replab.errors import CheckFailed, UserError
from replab.output import emit
from replab.runs.experiment import papers, require_paper, require_profile


def check(options: Namespace) -> int:
    """`check`: accepted ledgers, rendered notebooks and tables against the committed records."""
    from concurrent.futures import Future, ThreadPoolExecutor

    from replab.claims import acceptance, shipped_weights
    from replab.claims.accepted import load_accepted, load_all
    from replab.claims.schema import load
    from replab.cores import available_cores
    from replab.report import docs_pages, notebook

    problems = []
    found: dict[str, list[str]] = {}
    confirmed: dict[str, dict[str, int]] = {}
    # Each notebook is executed in processes of its own, whose start takes most of the time.
    every = load_all()
    known = {accepted.paper.name: accepted for accepted in every}
    with ThreadPoolExecutor(available_cores()) as pool:
        rendered: dict[str, Future[str]] = {}
        for name in options.papers or papers():
            accepted = known[name] if name in known else load_accepted(load(name))
            if not accepted.ledgers and options.papers:
                problems.append(
                    f"{name}: nothing was accepted; run `python -m replab accept {name}`"
                )
            for profile, records in accepted.records.items():
                label = f"{name}, profile {profile}"
                found[label] = acceptance.check(accepted, profile)
                confirmed[label] = acceptance.confirmations(records)
                # A ledger that does not hold would only fail the notebook a second time.
                if not found[label]:
                    rendered[label] = pool.submit(notebook.nbval, name, profile)
        for label, done in rendered.items():
            found[label] += [f"nbval: {said}" for said in (done.result(),) if said]
    checked = list(found)
    problems += [f"{label}: {problem}" for label in found for problem in found[label]]
    problems += shipped_weights.problems(options.papers)
    problems += filter(None, [docs_pages.problem(every)])
    lines = [f"{label}{_confirmed_text(confirmed[label])}" for label in checked]
    result = {"checked": checked, "problems": problems, "registrations": confirmed}
    emit(result, options.json, "\n".join(lines))
    if problems:
        raise CheckFailed("\n".join(problems))
    if not options.json:
        print("the accepted ledgers follow from the committed records")
    return 0


def _confirmed_text(states: dict[str, int]) -> str:
    counts = ", ".join(f"{count} {state}" for state, count in states.items())
    return f" (registered before the run, by git's history: {counts})" if counts else ""


def render(options: Namespace) -> None:
    """`render`: accepted notebooks anew from the committed records, without a single run."""
    from replab.claims.accepted import accepted_profiles
    from replab.report import notebook

    for name in options.papers:
        require_paper(name)
    wanted = [
        (name, profile)
        for name in options.papers or papers()
        for profile in accepted_profiles(name)
        if options.profile in (None, profile)
    ]
    if not wanted:
        asked = " ".join([*options.papers, *filter(None, [options.profile])]) or "any paper"
        raise UserError(f"nothing was accepted of {asked}; see `python -m replab list`")
    done = notebook.render_all(wanted)
    emit({"rendered": done}, options.json, "\n".join(done))


def accept(options: Namespace) -> None:
    """`accept`: records, ledger, rendered notebook and pages become the committed evidence."""
    from replab.claims import acceptance
    from replab.claims.accepted import load_all
    from replab.claims.schema import load
    from replab.report import docs_pages, notebook, text
    from replab.runs.store import Store

    profile = require_profile(options.profile)
    paper = load(options.paper)
    store = Store()
    with store.exclusive(f"render-{paper.name}-{profile}"):
        change = acceptance.accept(paper, profile, store, partial=options.partial)
        notebook.render(paper.name, profile, {}, records="committed")
    ledger = change.ledger
    docs_pages.write(load_all(built=ledger))
    print(f"accepted {paper.name}, profile {profile}: {len(ledger.runs)} records")
    print(f"paper claims: {text.counts_line(ledger.counts(scaled=False))}")
    print(f"scaled claims: {text.counts_line(ledger.counts(scaled=True))}")
    for line in change.changed:
        print(f"changed: {line}")
    for line in change.left_out:
        print(f"left out: {line}")
    for name, seeds in acceptance.other_seeds(paper, change.records).items():
        print(
            f"note: {name} has seeds that its plan has not: {', '.join(map(str, seeds))}; if the "
            "experiment was chosen by them, take them out of the store and accept again"
        )


def docs(options: Namespace) -> None:
    """`docs`: the pages, tables and badges that follow from the papers' files and records."""
    from replab.claims.accepted import load_all
    from replab.report.docs_pages import write

    written = write(load_all())
    emit({"written": written}, options.json, "\n".join(written) or "nothing to do")


def site(options: Namespace) -> None:
    """`site`: the claims board, its pages, notebooks and documents, as a folder of HTML."""
    from replab.site.build import build

    done = build(options.out.expanduser())
    words = f"{options.out}/index.html: {done['pages']} pages, {done['mb']:.1f} MB"
    emit(done, options.json, words)


def report(options: Namespace) -> None:
    """`report`: reports to hand in, from the accepted ledger."""
    from replab.report.handed_in import writing

    done = writing.run(options)
    emit(done.as_dict(), options.json, done.as_text())


def import_(options: Namespace) -> None:
    """`import`: records made elsewhere, on purpose."""
    from replab.runs.store import Store, import_records

    new, known = import_records(options.path, Store())
    print(f"{new} records brought in, {known} were here already")


def export(options: Namespace) -> None:
    """`export`: the weights that a run trained, as a file that says how to use them."""
    from replab.models.own_weights import COMMITTED_BYTES
    from replab.runs import kept_weights
    from replab.runs.store import Store

    found = kept_weights.export(Store(), options.run_id, options.out)
    print(f"{found['weights']}: {found['bytes']:,} bytes, sha256 {found['sha256']}")
    print(f"{found['record']}: its record")
    if found["bytes"] > COMMITTED_BYTES:
        print(
            f"note: more than {COMMITTED_BYTES:,} bytes, too large to be committed under results/",
            file=sys.stderr,
        )
