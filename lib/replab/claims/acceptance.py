"""Accepting a ledger, checking the accepted one, and comparing a fresh one with it."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from replab.claims import evidence, printed, selectors, statistics
from replab.claims.ledger import Entry, Ledger, build, record_digest
from replab.claims.schema import Paper, claim_selectors
from replab.claims.verdicts import NOT_ATTEMPTED, format_number
from replab.errors import UserError
from replab.files import write_json
from replab.runs.experiment import PROFILES
from replab.runs.record import Record
from replab.runs.store import Store

# Two machines part ways chaotically in training; the interval is wide so that only a change of
# the code's doing, not the draw, turns `regress` red.
REGRESSION_LEVEL = 0.99


def accept(paper: Paper, profile: str, store: Store) -> tuple[Ledger, list[str]]:
    """Make what was measured the accepted evidence: records and ledger under `results/`.

    Returns:
        The ledger, and a line for each verdict that changed.

    Raises:
        UserError: there is nothing to accept, or it rests on data that stand in for the plan's.
    """
    found = evidence.gather(paper, profile, store)
    if not found:
        raise UserError(
            f"nothing to accept: no records of {paper.name}, profile {profile}; run "
            f"`nox -s replicate -- {paper.name} --profile {profile}` first"
        )
    for record in found:
        wanted = paper.replication.experiments[record.experiment].plans[profile].data
        if wanted and record.data["name"] != wanted[0]:
            raise UserError(
                f"{record.experiment} was run on {record.data['name']} instead of {wanted[0]}; "
                f"run `python -m replab fetch {wanted[0]}` and replicate again"
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
    return ledger, changed


def accepted_profiles(paper: str) -> list[str]:
    """The profiles under which a paper has an accepted ledger."""
    return [p for p in PROFILES if evidence.accepted_path(paper, p).is_file()]


def _verdicts(paper: Paper, profile: str) -> dict[str, str]:
    path = evidence.accepted_path(paper.name, profile)
    if not path.is_file():
        return {}
    content = evidence.read_ledger_file(path, mend="remove it to accept anew")
    claims = content["claims"]
    assert isinstance(claims, list)
    return {claim["id"]: claim["verdict"] for claim in claims}


def _remove_orphans(paper: Paper) -> None:
    """Committed records that no accepted ledger rests on any more."""
    used: set[str] = set()
    for profile in accepted_profiles(paper.name):
        path = evidence.accepted_path(paper.name, profile)
        runs = evidence.read_ledger_file(path, mend="restore it from git")["runs"]
        assert isinstance(runs, dict)
        used |= set(runs)
    for path in evidence.runs_dir(paper.name).glob("*.json"):
        if path.stem not in used:
            path.unlink()


def check(paper: Paper, profile: str) -> list[str]:
    """Whether the accepted ledger follows from the committed records and the paper's files.

    Returns:
        A line for each difference; empty if all is well.

    Raises:
        UserError: a file is missing or broken.
    """
    content, found = evidence.committed(paper, profile)
    problems = [
        f"record {record.id} ({record.experiment}) was changed after it was accepted"
        for record in found
        if content["runs"][record.id] != record_digest(record)  # type: ignore[index]
    ]
    problems += _unlisted(paper)
    derived = json.loads(json.dumps(build(paper, profile, found).as_dict()))
    if derived == content:
        return problems
    problems += _differences(content, derived)
    return problems


def _unlisted(paper: Paper) -> list[str]:
    listed: set[str] = set()
    for profile in accepted_profiles(paper.name):
        content = evidence.read_ledger_file(
            evidence.accepted_path(paper.name, profile), mend="restore it from git"
        )
        listed |= set(content["runs"])  # type: ignore[call-overload]
    return [
        f"record {path.stem} belongs to no accepted ledger"
        for path in sorted(evidence.runs_dir(paper.name).glob("*.json"))
        if path.stem not in listed
    ]


def _differences(accepted: dict[str, object], derived: dict[str, object]) -> list[str]:
    """One line a claim (or other part) in which two ledgers differ."""
    lines = []
    for part in sorted({*accepted, *derived} - {"claims"}):
        if accepted.get(part) != derived.get(part):
            lines.append(f"{part} of the accepted ledger does not follow from the records")
    old = {c["id"]: c for c in accepted["claims"]}  # type: ignore[attr-defined]
    new = {c["id"]: c for c in derived["claims"]}  # type: ignore[attr-defined]
    for claim in [*new, *(c for c in old if c not in new)]:
        if claim not in old or claim not in new:
            state = "not in the accepted ledger" if claim in new else "no longer stated"
            lines.append(f"{claim} is {state}")
            continue
        for field in new[claim]:
            if old[claim].get(field) != new[claim][field]:
                lines.append(
                    f"{claim}: {field} is accepted as {_short(old[claim].get(field))}, but the "
                    f"records and the paper's files give {_short(new[claim][field])}"
                )
    return lines


def _short(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 80 else text[:77] + "…"


@dataclass(frozen=True)
class Comparison:
    """A fresh number beside the accepted one.

    Attributes:
        state: `ok`, `worse` (it breaks the build), or `not compared`.
    """

    claim: str
    state: str
    why: str


def regress(
    paper: Paper, profile: str, fresh: Sequence[Record], reasons: Sequence[str] = ()
) -> list[Comparison]:
    """Compare a fresh ledger with the accepted one, claim by claim.

    Exact claims must be equal; numbers of fixed weights within a unit of the last printed digit;
    trained ones inside the prediction interval of the accepted seeds; verdicts of powered scaled
    claims the same. What rests on other data, or was not run here, is not compared.

    Args:
        fresh: records made on this machine.
        reasons: why runs were skipped here, for what is not compared.
    """
    _, old_records = evidence.committed(paper, profile)
    old, new = build(paper, profile, old_records), build(paper, profile, fresh)
    comparisons = []
    for entry in old.select(attempted=True):
        comparisons.append(_compare(paper, entry, new[entry.id], old_records, fresh, reasons))
    return comparisons


def _compare(
    paper: Paper,
    old: Entry,
    new: Entry,
    old_records: Sequence[Record],
    fresh: Sequence[Record],
    reasons: Sequence[str],
) -> Comparison:
    if new.verdict == NOT_ATTEMPTED:
        reason = f" ({reasons[0]})" if reasons else ""
        return Comparison(old.id, "not compared", f"not run here{reason}")
    if new.data != old.data:
        return Comparison(old.id, "not compared", f"rests on {new.data}, accepted on {old.data}")
    claim = paper.claims[old.id]
    problems = []
    for selector in claim_selectors(claim):
        experiment = paper.replication.experiments[selector.experiment]
        before = list(selectors.values(selector, old_records).values())
        now = list(selectors.values(selector, fresh).values())
        if experiment.deterministic:
            problem = _fixed(old, before[0], now[0])
        else:
            problem = _trained(before, now)
        if problem:
            problems.append(f"{selector}: {problem}")
    if old.powered and old.verdict != new.verdict:
        problems.append(f"verdict {new.verdict}, accepted as {old.verdict}")
    if problems:
        return Comparison(old.id, "worse", "; ".join(dict.fromkeys(problems)))
    return Comparison(old.id, "ok", "")


def _fixed(entry: Entry, before: float, now: float) -> str:
    """How a number without seeds differs beyond what its claim allows; empty if it does not."""
    rule = (entry.tolerance or {}).get("rule")
    allowed = 0.0
    if entry.kind == "value" and rule != "relative":
        allowed = 2 * printed.parse(entry.reported).half_digit
    if abs(now - before) <= allowed * (1 + 1e-9):
        return ""
    return f"{format_number(now)}, accepted as {format_number(before)}"


def _trained(before: Sequence[float], now: Sequence[float]) -> str:
    """How a trained number lies outside its prediction interval; empty if it does not."""
    mean = statistics.estimate(now).mean
    low, high = statistics.prediction_interval(before, REGRESSION_LEVEL, new=len(now))
    if low <= mean <= high:
        return ""
    return f"mean {mean:.4g} lies outside [{low:.4g}, {high:.4g}]"
