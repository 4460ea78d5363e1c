"""Accepting a ledger, and checking that the accepted one follows from its records."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from replab.claims import ancestry, evidence, registered
from replab.claims.accepted import Accepted, accepted_profiles
from replab.claims.claim import Paper
from replab.claims.ledger import Ledger, build, out_of_date, record_digest
from replab.errors import UserError
from replab.files import write_json
from replab.runs.record import Record
from replab.runs.registration import Registration
from replab.runs.store import Store


@dataclass(frozen=True)
class Change:
    """What `accept` did.

    Attributes:
        records: that the ledger rests on.
        changed: a line for each verdict that changed.
        left_out: a line for each record that its registration does not cover.
    """

    ledger: Ledger
    records: Sequence[Record]
    changed: list[str]
    left_out: list[str]


def accept(paper: Paper, profile: str, store: Store, *, partial: bool = False) -> Change:
    """Make what was measured the accepted evidence: records and ledger under `results/`.

    Args:
        partial: accept the registered runs that are done, although others are not; what rests on
            fewer seeds than registered is then inconclusive.

    Raises:
        UserError: there is nothing to accept, it rests on data that stand in for the plan's, it
            was made with another recipe, or registered runs are missing; then nothing is written.
    """
    found, left_out = _countable(paper, evidence.gather(paper, profile, store))
    if left_out and not found:
        more = f", and {len(left_out) - 1} more" if len(left_out) > 1 else ""
        raise UserError(f"nothing to accept: {left_out[0]}{more}")
    if not found:
        raise UserError(
            f"nothing to accept: no records of {paper.name}, profile {profile}; run "
            f"`nox -s replicate -- {paper.name} --profile {profile}` first"
        )
    for record in found:
        if record.registration:
            continue  # held to its registration already
        wanted = paper.replication.experiments[record.experiment].plans[profile].data
        if wanted and record.data["name"] != wanted[0]:
            raise UserError(
                f"{record.experiment} was run on {record.data['name']} instead of {wanted[0]}; "
                f"run `python -m replab fetch {wanted[0]}` and replicate again"
            )
        problem = _other_recipe(paper, record)
        if problem:
            raise UserError(f"record {record.id} was {problem}")
    for registration, done, planned in registration_progress(paper, profile, found):
        if done < planned and not partial:
            raise UserError(
                f"registration {registration.name} has {done} of its {planned} runs; finish them "
                "by `nox -s queue`, or accept what there is with --partial"
            )
    ledger = build(paper, profile, found)
    before = _verdicts(paper, profile)
    folder = evidence.runs_dir(paper.name)
    for record in found:
        write_json(folder / f"{record.id}.json", record.as_dict())
    write_json(evidence.accepted_path(paper.name, profile), ledger.as_dict())
    _remove_orphans(paper)
    now = {e.id: e.verdict for e in ledger.entries}
    changed = [
        f"{claim}: {before[claim]} → {now.get(claim, 'gone')}"
        for claim in before
        if before[claim] != now.get(claim)
    ]
    return Change(ledger, found, changed, left_out)


def _countable(paper: Paper, records: Sequence[Record]) -> tuple[list[Record], list[str]]:
    """The records that count, and a line for each that its registration leaves out."""
    problems = {record.id: registration_problem(paper, record) for record in records}
    counted = [record for record in records if not problems[record.id]]
    return counted, [line for line in problems.values() if line]


def registration_progress(
    paper: Paper, profile: str, records: Sequence[Record]
) -> list[tuple[Registration, int, int]]:
    """For each registration of a profile that is not superseded: runs done, and planned."""
    return [
        (r, len(registered.own_records(r, records)), planned)
        for r in paper.registrations.values()
        if r.profile == profile and r.name not in paper.superseded
        for planned in [len(r.variants) * r.n]
    ]


def registration_problem(paper: Paper, record: Record) -> str:
    """Why a record does not count for the registration of its run, in one line; else empty."""
    found = registered.problem(record, paper.registrations)
    if not found and record.registration and ancestry.state(record) == ancestry.CONTRADICTED:
        found = (
            f"its commit {record.provenance['commit'][:12]} does not hold the registration that "
            "it names, which was therefore written after the run began"
        )
    return f"record {record.id} ({record.experiment}): {found}" if found else ""


def confirmations(records: Iterable[Record]) -> dict[str, int]:
    """How many registered records git's history confirms, and how many it cannot."""
    states = [ancestry.state(record) for record in records if record.registration]
    return {state: states.count(state) for state in dict.fromkeys(states)}


def other_seeds(paper: Paper, records: Iterable[Record]) -> dict[str, list[int]]:
    """Seeds of accepted runs that no plan asks for, by experiment.

    Further seeds are further evidence, unless the experiment was chosen by them: then they have no
    place in its verdict, and whoever accepts has to know that they are in it.
    """
    found: dict[str, set[int]] = {}
    for record in records:
        if record.registration:
            continue
        experiment = paper.replication.experiments[record.experiment]
        planned = experiment.plans[record.profile].seeds
        if not experiment.deterministic and record.seed not in planned:
            found.setdefault(record.experiment, set()).add(record.seed)
    return {name: sorted(seeds) for name, seeds in sorted(found.items())}


def _verdicts(paper: Paper, profile: str) -> dict[str, str]:
    path = evidence.accepted_path(paper.name, profile)
    if not path.is_file():
        return {}
    content = evidence.read_ledger_file(path, mend="remove it to accept anew")
    return {claim["id"]: claim["verdict"] for claim in content["claims"]}


def _remove_orphans(paper: Paper) -> None:
    """Committed records that no accepted ledger rests on any more."""
    used: set[str] = set()
    for profile in accepted_profiles(paper.name):
        path = evidence.accepted_path(paper.name, profile)
        used |= set(evidence.read_ledger_file(path, mend="restore it from git")["runs"])
    for path in evidence.runs_dir(paper.name).glob("*.json"):
        if path.stem not in used:
            path.unlink()


def check(accepted: Accepted, profile: str) -> list[str]:
    """Whether an accepted ledger follows from the committed records and the paper's files.

    Returns:
        A line for each difference; empty if all is well.
    """
    paper, content, found = accepted.paper, accepted.content[profile], accepted.records[profile]
    problems = [
        f"record {record.id} ({record.experiment}) was changed after it was accepted"
        for record in found
        if content["runs"][record.id] != record_digest(record)
    ]
    for record in found:
        stale = out_of_date(paper, record)
        if not stale and not record.registration:
            stale = _other_recipe(paper, record)
        if stale:
            problems.append(f"record {record.id} was accepted, but it is out of date: {stale}")
    problems += filter(None, (registration_problem(paper, record) for record in found))
    problems += _unlisted(accepted)
    derived = json.loads(json.dumps(accepted.ledgers[profile].as_dict()))
    if derived != content:
        problems += _differences(content, derived)
    return problems


def _other_recipe(paper: Paper, record: Record) -> str:
    """How a record's recipe differs from its plan's; empty if it does not."""
    experiment = paper.replication.experiments[record.experiment]
    recipe = experiment.plans[record.profile].recipe.as_json()
    if dict(record.recipe) == recipe:
        return ""
    changed = [k for k in {**record.recipe, **recipe} if record.recipe.get(k) != recipe.get(k)]
    return (
        f"made with another recipe ({', '.join(changed)}); bump the version of "
        f"{record.experiment} in replications/{paper.name}/experiments.py and run it again"
    )


def _unlisted(accepted: Accepted) -> list[str]:
    listed = {run for content in accepted.content.values() for run in content["runs"]}
    return [
        f"record {path.stem} belongs to no accepted ledger"
        for path in sorted(evidence.runs_dir(accepted.paper.name).glob("*.json"))
        if path.stem not in listed
    ]


def _differences(accepted: Mapping[str, Any], derived: Mapping[str, Any]) -> list[str]:
    """One line a claim's field (or other part) in which two unequal ledgers differ."""
    lines = [
        f"{part} of the accepted ledger does not follow from the records"
        for part in sorted({*accepted, *derived} - {"claims"})
        if accepted.get(part) != derived.get(part)
    ]
    old = {c["id"]: c for c in accepted["claims"]}
    new = {c["id"]: c for c in derived["claims"]}
    for claim in [*new, *(c for c in old if c not in new)]:
        if claim not in old or claim not in new:
            state = "not in the accepted ledger" if claim in new else "no longer stated"
            lines.append(f"{claim} is {state}")
            continue
        lines += [
            f"{claim}: {field} is accepted as {_short(old[claim].get(field))}, but the "
            f"records and the paper's files give {_short(new[claim].get(field))}"
            for field in dict.fromkeys((*new[claim], *old[claim]))
            if old[claim].get(field) != new[claim].get(field)
        ]
    # What is left: the order of the claims, a claim that stands twice, a field that is null.
    return lines or ["the accepted ledger lists its claims otherwise than the paper's files"]


def _short(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 80 else text[:77] + "…"
