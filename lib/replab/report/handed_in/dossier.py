"""What all reports are made from: a paper's accepted ledger, its records and its own words."""

import datetime
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from replab import paths
from replab.claims import deviations, evidence
from replab.claims.accepted import accepted_profiles
from replab.claims.claim import COMPUTED
from replab.claims.deviations import Deviation
from replab.claims.ledger import Entry, Ledger, build
from replab.claims.schema import Paper, load
from replab.claims.verdicts import NOT_REPRODUCED, REPRODUCED, VERDICTS
from replab.errors import UserError
from replab.files import read_text
from replab.runs.experiment import require_paper, require_profile
from replab.runs.record import Record

# Where `CITATION.cff` names nobody.
_NOBODY = ("the authors of this suite",)


@dataclass(frozen=True)
class Dossier:
    """The accepted evidence of one paper under one profile.

    Attributes:
        records: those that the ledger rests on, by id.
        deviations: all that the paper states.
        sections: of `replications/<paper>/README.md`, heading → Markdown.
        authors: who answers for the suite, from `CITATION.cff`.
        code_url: where this suite is published, empty if nobody has said so.
    """

    paper: Paper
    profile: str
    ledger: Ledger
    records: Mapping[str, Record]
    deviations: tuple[Deviation, ...]
    sections: Mapping[str, str]
    authors: tuple[str, ...]
    code_url: str

    @property
    def date(self) -> str:
        """Day (UTC, ISO 8601) on which the newest of the records was finished."""
        return max(finished(record) for record in self.records.values()).date().isoformat()

    @property
    def commits(self) -> list[str]:
        """Commits that the records were made with, sorted."""
        return sorted({str(r.provenance["commit"]) for r in self.records.values()})

    def departures(self) -> list[Deviation]:
        """The deviations that touch a claim which was attempted under this profile."""
        return [d for d in self.deviations if self.touched(d)]

    def touched(self, deviation: Deviation) -> list[str]:
        """Ids of the claims that a deviation touches and that were attempted."""
        attempted = {entry.id for entry in self.ledger.select(attempted=True)}
        return [claim for claim in deviation.touches if claim in attempted]

    def attempted(self, *, scaled: bool) -> list[Entry]:
        """Entries that were decided: the paper's own, or the scaled ones."""
        return self.ledger.select(scaled=scaled, attempted=True)

    def printed_counts(self) -> dict[str, int]:
        """Verdicts of the paper's claims whose number others printed, not this suite itself."""
        found = [e.verdict for e in self.ledger.select(scaled=False) if e.source[:1] != COMPUTED]
        return {verdict: found.count(verdict) for verdict in VERDICTS}

    @property
    def title(self) -> str:
        """The report's title by ReScience's rule: `[Re] …`, or `[¬Re] …` for a failed replication.

        A replication counts as failed unless more of the claims whose number others printed were
        reproduced than were not.
        """
        counts = self.printed_counts()
        sign = "Re" if counts[REPRODUCED] > counts[NOT_REPRODUCED] else "¬Re"
        return f"[{sign}] {self.paper.citation.title}"


def gather(name: str, profile: str, *, code_url: str = "") -> Dossier:
    """Read a paper's accepted ledger and all that it rests on.

    Args:
        code_url: where this suite is published; `repository-code` of `CITATION.cff` if empty.

    Raises:
        UserError: there is no such paper or profile, nothing was accepted, or the accepted ledger
            does not follow from its records.
    """
    require_paper(name)
    require_profile(profile)
    accepted = accepted_profiles(name)
    if profile not in accepted:
        there = f"accepted profiles: {', '.join(accepted)}" if accepted else "nothing is accepted"
        raise UserError(
            f"{name} has no accepted ledger under profile {profile} ({there}); run `nox -s "
            f"replicate -- {name} --profile {profile}` and `python -m replab accept {name} "
            f"--profile {profile}` first"
        )
    paper = load(name)
    content, records = evidence.committed(paper, profile)
    if not records:
        raise UserError(
            f"the accepted ledger of {name}, profile {profile}, rests on no record, so there is "
            "nothing to report; replicate and accept first"
        )
    ledger = build(paper, profile, records)
    # The ledger holds the digest of every record, so this compares them, too.
    if json.loads(json.dumps(ledger.as_dict())) != content:
        raise UserError(
            f"the accepted ledger of {name}, profile {profile}, does not follow from its records; "
            f"`python -m replab check {name}` says where"
        )
    citation = _citation_file()
    return Dossier(
        paper,
        profile,
        ledger,
        {record.id: record for record in sorted(records, key=lambda r: r.id)},
        deviations.load(paper),
        _sections(name),
        tuple(_names(citation)) or _NOBODY,
        code_url or str(citation.get("repository-code", "")),
    )


def started(record: Record) -> datetime.datetime:
    """When a run was started (its last session, if it was interrupted), UTC.

    Raises:
        UserError: the record says no time.
    """
    try:
        return datetime.datetime.fromisoformat(record.provenance["started"]).astimezone(
            datetime.UTC
        )
    except ValueError as error:
        raise UserError(
            f"record {record.id} says no time of its start ({record.provenance['started']!r}); "
            "restore it from git"
        ) from error


def finished(record: Record) -> datetime.datetime:
    """When a run was finished, UTC, whole seconds: its start plus the time it took."""
    wall = datetime.timedelta(seconds=round(float(record.provenance["wall_s"])))
    return started(record) + wall


def _sections(name: str) -> dict[str, str]:
    path = paths.root() / "replications" / name / "README.md"
    if not path.is_file():
        return {}
    text = read_text(path, shown_as=f"replications/{name}/README.md")
    parts = re.split(r"^## (.+)$", text, flags=re.MULTILINE)
    return {
        heading.strip(): body.strip()
        for heading, body in zip(parts[1::2], parts[2::2], strict=True)
    }


def _names(citation: dict[str, Any]) -> list[str]:
    authors = citation.get("authors")
    found = [a.get("name") for a in authors if isinstance(a, dict)] if authors else []
    return [str(name) for name in found if name]


def _citation_file() -> dict[str, Any]:
    path = paths.root() / "CITATION.cff"
    if not path.is_file():
        return {}
    try:
        content = yaml.safe_load(read_text(path, shown_as="CITATION.cff"))
    except yaml.YAMLError as error:
        reason = " ".join(str(error).split())
        raise UserError(f"CITATION.cff is no YAML: {reason}; restore it from git") from error
    return content if isinstance(content, dict) else {}
