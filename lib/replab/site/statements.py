"""What the site says about claims: each with its accepted ledgers, its runs and its deviations."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

from replab.claims import deviations, evidence
from replab.claims.accepted import accepted_profiles
from replab.claims.claim import Claim, Paper, claim_selectors
from replab.claims.deviations import Deviation
from replab.claims.ledger import OPTIONAL_FIELDS, Entry, build
from replab.claims.schema import load
from replab.claims.selectors import values
from replab.claims.verdicts import NOT_ATTEMPTED, VERDICTS
from replab.errors import UserError
from replab.report.tables import group
from replab.runs.experiment import PROFILES, papers
from replab.runs.record import Record

OWN, SCALED, CONTEXT = "paper", "scaled", "context"


@dataclass(frozen=True)
class Statement:
    """A claim, and what each profile's ledger says of it.

    Attributes:
        entries: profile → its line of the ledger, in the order of `PROFILES`. A profile without an
            accepted ledger stands here only for a scaled claim of its own.
        deviations: those that may have moved its numbers.
    """

    paper: str
    claim: Claim
    entries: Mapping[str, Entry]
    deviations: tuple[Deviation, ...]

    @property
    def id(self) -> str:
        """The claim's id."""
        return self.claim.id

    @property
    def stands(self) -> str:
        """Whose claim it is: `paper`, `scaled` (ours, in support of one), or `context`."""
        if not self.claim.gate:
            return CONTEXT
        return OWN if self.claim.supports is None else SCALED

    @property
    def group(self) -> str:
        """The table or figure that it belongs to."""
        return group(self.any_entry)

    @property
    def any_entry(self) -> Entry:
        """A line of a ledger for what is the same in all of them (locus, print, tolerance)."""
        return next(iter(self.entries.values()))

    @property
    def telling(self) -> Entry:
        """The line that says most: of the largest profile that attempted it, else of the first."""
        attempted = [e for e in self.entries.values() if e.verdict != NOT_ATTEMPTED]
        return attempted[-1] if attempted else self.any_entry

    def outcomes(self) -> list[tuple[list[str], Entry]]:
        """Profiles that say the same, joined: `(profiles, the first one's line)`."""
        found: dict[tuple[object, ...], tuple[list[str], Entry]] = {}
        for profile, entry in self.entries.items():
            key = (entry.verdict, str(entry.measured), entry.interval, entry.n)
            found.setdefault(key, ([], entry))[0].append(profile)
        return list(found.values())


@dataclass(frozen=True)
class PaperEvidence:
    """All that is committed about one paper.

    Attributes:
        statements: every claim of the paper and every scaled claim, context included.
        records: run id → record, of all accepted ledgers.
        profiles: those with an accepted ledger.
    """

    paper: Paper
    statements: Sequence[Statement]
    records: Mapping[str, Record]
    profiles: tuple[str, ...]

    @property
    def name(self) -> str:
        """The paper's short name."""
        return self.paper.name

    def counts(self, stands: str) -> dict[str, int]:
        """How many claims have which verdict, each counted once by its most telling line."""
        found = [s.telling.verdict for s in self.statements if s.stands == stands]
        return {verdict: found.count(verdict) for verdict in VERDICTS}

    def resting_on(self, run: str) -> list[Statement]:
        """The claims that rest on a run."""
        return [s for s in self.statements if any(run in e.runs for e in s.entries.values())]


@dataclass(frozen=True)
class SeedRow:
    """One of the numbers that a claim compares, seed by seed.

    Attributes:
        selector: its name.
        values: seed → (number, id of the run that gave it).
    """

    selector: str
    values: Mapping[int, tuple[float, str]]


def gather_all() -> list[PaperEvidence]:
    """Every paper's committed evidence.

    Raises:
        UserError: a paper's file, a ledger or a record is missing or broken.
    """
    return [gather(name) for name in papers()]


def gather(name: str) -> PaperEvidence:
    """One paper's committed evidence.

    Raises:
        UserError: one of its files, a ledger or a record is missing or broken.
    """
    paper = load(name)
    accepted = tuple(accepted_profiles(name))
    entries: dict[str, dict[str, Entry]] = {claim: {} for claim in paper.claims}
    records: dict[str, Record] = {}
    for profile in PROFILES:
        if profile in accepted:
            lines, found = _accepted(paper, profile)
            records |= {record.id: record for record in found}
        else:
            # Without any ledger, the first profile says what an attempt needs.
            lines = [
                line
                for line in build(paper, profile, ()).entries
                if line.supports or (not accepted and profile == PROFILES[0])
            ]
        for entry in lines:
            if entry.id not in entries:
                raise UserError(
                    f"results/{name}/{profile}/accepted.json holds {entry.id}, which the paper's "
                    f"files do not state; run `python -m replab accept {name} --profile {profile}`"
                )
            entries[entry.id][profile] = entry
    unlisted = [claim for claim, found_entries in entries.items() if not found_entries]
    if unlisted:
        raise UserError(
            f"no accepted ledger of {name} holds {unlisted[0]}, which the paper's files state; "
            f"run `python -m replab accept {name} --profile {accepted[0]}`"
        )
    touching: dict[str, list[Deviation]] = {claim: [] for claim in paper.claims}
    for deviation in deviations.load(paper):
        for claim in deviation.touches:
            touching[claim].append(deviation)
    statements = [
        Statement(name, claim, entries[claim.id], tuple(touching[claim.id]))
        for claim in paper.claims.values()
    ]
    return PaperEvidence(paper, statements, records, accepted)


def _accepted(paper: Paper, profile: str) -> tuple[list[Entry], list[Record]]:
    """The lines of an accepted ledger as committed, and its records.

    They are read, not decided anew: that they follow from the records is what `check` is for.
    """
    content, found = evidence.committed(paper, profile)
    names = {field.name for field in fields(Entry)}
    lines = []
    for claim in content["claims"]:
        if not names - set(OPTIONAL_FIELDS) <= set(claim) <= names:
            raise UserError(
                f"results/{paper.name}/{profile}/accepted.json: {claim['id']} has other fields "
                f"than this replab writes; run `python -m replab accept {paper.name} --profile "
                f"{profile}`"
            )
        interval = tuple(claim["interval"]) if claim["interval"] else None
        lines.append(Entry(**claim | {"interval": interval}))
    return lines, found


def by_seed(found: PaperEvidence, statement: Statement, profile: str) -> list[SeedRow]:
    """The numbers behind a claim under a profile, each seed with the run that gave it."""
    entry = statement.entries[profile]
    runs = [found.records[run] for run in entry.runs]
    rows = []
    for selector in dict.fromkeys(claim_selectors(statement.claim)):
        numbers = values(selector, runs)
        ids = {
            r.seed: r.id
            for r in runs
            if r.experiment == selector.experiment and selector.fits(r.variant)
        }
        if numbers:
            cells = {seed: (number, ids[seed]) for seed, number in numbers.items()}
            rows.append(SeedRow(str(selector), cells))
    return rows
