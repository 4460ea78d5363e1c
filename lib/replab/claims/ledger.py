"""The ledger: all claims of a paper under one profile, each with its verdict and its evidence."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from fnmatch import fnmatchcase
from typing import Any

from replab.claims import printed, registered, selectors
from replab.claims.attempts import command, what_it_needs
from replab.claims.outcome import Outcome
from replab.claims.schema import SOURCES, Claim, Paper, Tolerance, claim_selectors
from replab.claims.verdicts import NOT_ATTEMPTED, VERDICTS, decide
from replab.errors import UserError
from replab.files import canonical_json, sha256_bytes
from replab.hardware import device_class
from replab.runs.record import Record
from replab.runs.registration import Registration

FORMAT = 1


@dataclass(frozen=True)
class Entry:
    """One line of a ledger, as `claims --json` gives it.

    Attributes:
        measured: a number, one per term, or None if nothing was measured.
        interval: at 95 %, of the mean or of the difference that decides; None for what has none.
        n: seeds it rests on.
        tolerance: `{class, rule, …numbers, why}`, None for context.
        data: names of the data sets behind the numbers.
        supports: for a scaled claim, the paper's claim it supports.
        runs: ids of the records behind the numbers.
        command: computes this claim, in the cheapest profile that can; empty if none can.
        gate, powered, superseded: see `Claim`.
        registered: for a claim that a registration decides: its name and digest, the claim's role,
            comparator, margin, planned seeds and power, effects and p-values; else None.
    """

    id: str
    locus: str
    kind: str
    metric: str
    source: str
    reported: str
    unit: str
    measured: float | dict[str, float] | None
    interval: tuple[float, float] | None
    n: int
    tolerance: dict[str, Any] | None
    verdict: str
    why: str
    profile: str
    protocol: str
    data: str
    supports: str | None
    runs: list[str]
    command: str
    gate: bool
    powered: bool
    registered: dict[str, Any] | None = None
    superseded: str = ""


# Left out of an accepted ledger where a claim has none.
OPTIONAL_FIELDS = ("registered", "superseded")


@dataclass(frozen=True)
class Ledger:
    """All claims of a paper under one profile.

    Attributes:
        runs: run id → digest of its whole record.
    """

    paper: str
    profile: str
    entries: Sequence[Entry]
    runs: Mapping[str, str]

    def as_dict(self) -> dict[str, Any]:
        """The ledger as plain values, equal before and after a round trip through JSON."""
        claims = [asdict(entry) for entry in self.entries]
        for claim in claims:
            claim["interval"] = list(claim["interval"]) if claim["interval"] else None
            for name in OPTIONAL_FIELDS:
                if not claim[name]:
                    del claim[name]
        return {
            "format": FORMAT,
            "paper": self.paper,
            "profile": self.profile,
            "claims": claims,
            "runs": dict(sorted(self.runs.items())),
        }

    def __getitem__(self, claim: str) -> Entry:
        for entry in self.entries:
            if entry.id == claim:
                return entry
        raise KeyError(claim)

    def select(
        self, glob: str = "*", *, scaled: bool | None = None, attempted: bool | None = None
    ) -> list[Entry]:
        """Entries that are to be decided (context left out), filtered.

        Args:
            scaled: only scaled claims, or only the paper's own.
            attempted: only those with, or only those without, a measurement.
        """
        return [
            e
            for e in self.entries
            if e.gate
            and fnmatchcase(e.id, glob)
            and (scaled is None or (e.supports is not None) == scaled)
            and (attempted is None or (e.verdict != NOT_ATTEMPTED) == attempted)
        ]

    def counts(self, *, scaled: bool) -> dict[str, int]:
        """How many claims have each verdict: the paper's own, or the scaled ones."""
        found = [e.verdict for e in self.select(scaled=scaled)]
        return {verdict: found.count(verdict) for verdict in VERDICTS}


def build(paper: Paper, profile: str, records: Iterable[Record]) -> Ledger:
    """Decide every claim of a paper from the records of one profile.

    A pure function of the paper's files and the records: the same ones give the same ledger.

    Raises:
        UserError: two records stand for the same number, a record lacks a metric or holds a
            number that is not finite, or the records of an experiment must not be compared.
    """
    own = current_records(paper, profile, records)
    outdated = {r.digest for r in paper.registrations.values() if r.name in paper.superseded}
    # Exploratory claims are about the experiments as they are now.
    exploratory = registered.one_a_run([r for r in own if r.registration not in outdated])
    _require_one_cohort(paper, profile, own)
    digests = {r.id: record_digest(r) for r in own}
    decisions = registered.decide_all(paper, profile, own)
    entries = []
    for claim in paper.claims.values():
        if claim.profile is not None and claim.profile != profile:
            continue
        try:
            found = decisions.get(
                (claim.id, claim.registration.name if claim.registration else "")
            )
            used = exploratory if claim.registration is None else own
            entries.append(_entry(paper, claim, profile, used, found))
        except ValueError as error:
            raise UserError(
                f"{paper.name}, profile {profile}, claim {claim.id}: {error}"
            ) from error
    return Ledger(paper.name, profile, entries, digests)


def record_digest(record: Record) -> str:
    """Digest of everything a record says.

    Raises:
        UserError: one of its numbers is not finite.
    """
    try:
        return sha256_bytes(canonical_json(record.as_dict()).encode())
    except ValueError as error:
        raise UserError(
            f"record {record.id} ({record.experiment}) holds a number that is not finite; restore "
            "it from git or delete it and run again"
        ) from error


def current_records(paper: Paper, profile: str, records: Iterable[Record]) -> list[Record]:
    """The records of a profile that the experiments as they are now would make."""
    return [
        r
        for r in records
        if r.paper == paper.name and r.profile == profile and not out_of_date(paper, r)
    ]


def out_of_date(paper: Paper, record: Record) -> str:
    """Why a record is not one that its experiment would make now; empty if it is.

    What was done under a registration stays, even if that is superseded.
    """
    if record.registration in {r.digest for r in paper.registrations.values()}:
        return ""
    experiment = paper.replication.experiments.get(record.experiment)
    if experiment is None:
        return f"there is no experiment {record.experiment} any more"
    if record.version != experiment.version:
        return (
            f"made by version {record.version} of {record.experiment}, which is now version "
            f"{experiment.version}"
        )
    plan = experiment.plans.get(record.profile)
    if plan is None or dict(record.variant) not in [dict(v) for v in plan.variants]:
        return f"{record.experiment} has no such variant in profile {record.profile} any more"
    return ""


def cohort_key(record: Record) -> tuple[str, ...]:
    """Equal for records that may be compared: same experiment, data, precision, device class.

    The data set's own fingerprint is the first part; what follows a `+` is the variant's weights.
    """
    name = record.data["name"]
    content = record.data["fingerprint"].partition("+")[0] if name else ""
    return record.experiment, name, content, record.precision, device_class(record.device)


def _require_one_cohort(paper: Paper, profile: str, records: Sequence[Record]) -> None:
    keys: dict[str, tuple[str, ...]] = {}
    for record in records:
        # What a registration covers may have been done on any device that it allows.
        if record.registration:
            continue
        key = cohort_key(record)
        if keys.setdefault(record.experiment, key) != key:
            kinds = " and ".join("/".join(filter(None, k[1:])) for k in (keys[key[0]], key))
            raise UserError(
                f"{paper.name}, profile {profile}: records of {record.experiment} on {kinds} must "
                "not be mixed; remove one kind and replicate again"
            )


def _numbers(
    paper: Paper, claim: Claim, profile: str, records: Sequence[Record]
) -> tuple[dict[selectors.Selector, dict[int, float]], str]:
    """A claim's numbers by seed, ready to be compared; or why there are none.

    Where several numbers are compared, only seeds count that all of them have; a number that one
    run settles stands beside every seed.
    """
    found = {s: selectors.values(s, records) for s in claim_selectors(claim)}
    if not claim.gate or not found or not all(found.values()):
        return {}, what_it_needs(paper, claim, profile)
    experiments = paper.replication.experiments
    fixed = {s: experiments[s.experiment].deterministic for s in found}
    if claim.test is None or all(fixed.values()):
        return found, ""
    seeds = set.intersection(*(set(v) for s, v in found.items() if not fixed[s]))
    if not seeds:
        have = "; ".join(f"{s} has {', '.join(map(str, v))}" for s, v in found.items())
        return {}, f"needs runs of equal seeds: {have}"
    return {
        s: {seed: next(iter(v.values())) if fixed[s] else v[seed] for seed in sorted(seeds)}
        for s, v in found.items()
    }, ""


def _mixed_data(paper: Paper, profile: str, used: Sequence[Record]) -> str:
    """Why records of several experiments do not bear comparison; empty if they do.

    A data set that stands in for another one in one experiment, but not in the other.
    """
    plans = {r.experiment: paper.replication.experiments[r.experiment].plans for r in used}
    planned = {p[profile].data[0] for p in plans.values() if p[profile].data}
    names = {r.data["name"] for r in used if r.data["name"]}
    if len(names) <= len(planned):
        return ""
    return f"needs runs on one data set, but has them on {', '.join(sorted(names))}"


def _entry(
    paper: Paper,
    claim: Claim,
    profile: str,
    records: Sequence[Record],
    decision: registered.Decision | None,
) -> Entry:
    base: dict[str, Any] = {
        "id": claim.id,
        "locus": claim.locus,
        "kind": claim.kind,
        "metric": claim.metric,
        "source": f"{claim.source}: {SOURCES[claim.source]}",
        "reported": claim.reported,
        "unit": claim.unit,
        "profile": profile,
        "protocol": claim.protocol,
        "supports": claim.supports,
        "gate": claim.gate,
        "powered": claim.powered,
        "command": command(paper, claim),
        "superseded": claim.superseded,
    }
    tolerance = paper.tolerances.get(claim.tolerance)
    base["tolerance"] = _tolerance_fields(claim.tolerance, tolerance) if tolerance else None
    if claim.registration is not None and claim.registration.profile == profile:
        base["tolerance"] = _registered_tolerance(claim, claim.registration)
        if decision is None:
            lack = _left_out(paper, claim, records) or what_it_needs(paper, claim, profile)
            return _unattempted(lack, base)
        return _decided(decision.outcome, decision.runs, base | {"registered": decision.about})
    found, lack = _numbers(paper, claim, profile, records)
    experiments = paper.replication.experiments
    used = [
        r
        for r in records
        for s, numbers in found.items()
        if r.experiment == s.experiment
        and s.fits(r.variant)
        and (r.seed in numbers or experiments[r.experiment].deterministic)
    ]
    lack = lack or _mixed_data(paper, profile, used)
    if lack or tolerance is None:
        return _unattempted(lack, base)
    outcome = decide(
        claim,
        tolerance,
        found.__getitem__,
        deterministic=all(experiments[s.experiment].deterministic for s in found),
        published=lambda other: _published(paper, other),
    )
    return _decided(outcome, used, base)


def _left_out(paper: Paper, claim: Claim, records: Sequence[Record]) -> str:
    """Why the first of a claim's records does not count for its registration; empty if all do."""
    wanted = claim_selectors(claim)
    problems = (
        (record.id, registered.problem(record, paper.registrations))
        for record in records
        if any(s.experiment == record.experiment and s.fits(record.variant) for s in wanted)
    )
    return next((f"record {run}: {found}" for run, found in problems if found), "")


def _unattempted(why: str, base: Mapping[str, Any]) -> Entry:
    return Entry(
        measured=None,
        interval=None,
        n=0,
        verdict=NOT_ATTEMPTED,
        why=why,
        data="",
        runs=[],
        **base,
    )


def _decided(outcome: Outcome, used: Sequence[Record], base: Mapping[str, Any]) -> Entry:
    return Entry(
        measured=outcome.measured,
        interval=outcome.interval,
        n=outcome.n,
        verdict=outcome.verdict,
        why=outcome.why,
        data=", ".join(sorted({r.data["name"] for r in used if r.data["name"]})),
        runs=sorted({r.id for r in used}),
        **base,
    )


def _registered_tolerance(claim: Claim, registration: Registration) -> dict[str, Any]:
    """The registered comparison, in the form of a tolerance class."""
    assert claim.registered is not None
    return {
        "class": "registered",
        "rule": claim.registered.comparator,
        "margin": claim.registered.margin,
        "alpha": registration.analysis.alpha,
        "why": f"registered before the runs: {registration.name}",
    }


def _tolerance_fields(name: str, tolerance: Tolerance) -> dict[str, Any]:
    return {"class": name, **tolerance.model_dump(exclude_none=True)}


def _published(paper: Paper, claim: str) -> float | None:
    found = paper.claims.get(claim)
    return printed.parse(found.reported).value if found else None
