"""What was accepted of a paper: its ledgers, decided again from the committed records."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from replab.claims import evidence
from replab.claims.claim import Paper
from replab.claims.ledger import Ledger, build
from replab.claims.schema import load
from replab.runs.experiment import PROFILES, papers
from replab.runs.record import Record


@dataclass(frozen=True)
class Accepted:
    """A paper with what was accepted of it, by profile.

    Attributes:
        content: of the ledger files.
        records: those that a ledger rests on.
        ledgers: as these records and the paper's files give them now.
    """

    paper: Paper
    content: Mapping[str, Mapping[str, Any]]
    records: Mapping[str, Sequence[Record]]
    ledgers: Mapping[str, Ledger]


def accepted_profiles(paper: str) -> list[str]:
    """The profiles under which a paper has an accepted ledger."""
    return [p for p in PROFILES if evidence.accepted_path(paper, p).is_file()]


def load_accepted(
    paper: Paper, *, profile: str | None = None, built: Ledger | None = None
) -> Accepted:
    """What was accepted of a paper, under all profiles or one.

    Args:
        built: the ledger of one of its profiles, if it was decided just now.

    Raises:
        UserError: a ledger or a record is missing or broken.
    """
    content, records, ledgers = {}, {}, {}
    for name in accepted_profiles(paper.name):
        if profile not in (None, name):
            continue
        content[name], records[name] = evidence.committed(paper, name)
        if built is not None and built.profile == name:
            ledgers[name] = built
        else:
            ledgers[name] = build(paper, name, records[name])
    return Accepted(paper, content, records, ledgers)


def load_all(*, built: Ledger | None = None) -> list[Accepted]:
    """All papers with what was accepted of them.

    Args:
        built: a ledger that was decided just now.

    Raises:
        UserError: a file of a paper, a ledger or a record is missing or broken.
    """
    return [
        load_accepted(load(name), built=built if built and built.paper == name else None)
        for name in papers()
    ]
