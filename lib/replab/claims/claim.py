"""Claims and papers as the rest of the suite sees them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from replab.claims import selectors
from replab.claims.paper_file import (
    Citation,
    Column,
    Equality,
    Gap,
    Ordering,
    Test,
    Tolerance,
)
from replab.runs.experiment import Replication
from replab.runs.registration import RegisteredClaim, Registration

# The mark of a reported number that no author printed: somebody computed it from public files.
COMPUTED = "C"


@dataclass(frozen=True)
class Claim:
    """One checkable statement.

    Attributes:
        tolerance: the class's name, empty for context.
        gate: whether a verdict may rest on it; context rows are shown, never counted.
        test: how several numbers decide it; None if one number does.
        selector: of the number that decides it, if one number does.
        supports: for a scaled claim, the paper's claim.
        powered: for a scaled claim, whether its profile has the power to decide it.
        registration: by which it will be decided in `profile`; None for exploratory claims.
        superseded: name of the registration that puts it out of date, empty if none does.
    """

    id: str
    locus: str
    kind: str
    metric: str
    reported: str
    unit: str
    source: str
    protocol: str
    tolerance: str
    gate: bool
    note: str
    line: int = 0
    test: Test | None = None
    selector: selectors.Selector | None = None
    supports: str | None = None
    powered: bool = False
    profile: str | None = None
    registration: Registration | None = None
    superseded: str = ""

    @property
    def registered(self) -> RegisteredClaim | None:
        """How its registration will decide it."""
        if self.registration is None:
            return None
        return next(c for c in self.registration.claims if c.id == self.id)

    @property
    def printed(self) -> bool:
        """Whether its authors state it: no scaled claim, no number that was computed for it."""
        return self.supports is None and self.source != COMPUTED


@dataclass(frozen=True)
class Paper:
    """A paper's claims with all that is needed to decide them.

    Attributes:
        needs: claim-id glob → what an attempt needs, for claims without an experiment.
        registrations: by name, those that are superseded included.
    """

    name: str
    citation: Citation
    tolerances: Mapping[str, Tolerance]
    claims: Mapping[str, Claim]
    needs: Mapping[str, str]
    replication: Replication = field(repr=False)
    registrations: Mapping[str, Registration] = field(default_factory=dict, repr=False)

    @property
    def superseded(self) -> Mapping[str, str]:
        """What is out of date (registrations or experiments), and by which registration."""
        return superseded(self.registrations)


def superseded(registrations: Mapping[str, Registration]) -> dict[str, str]:
    """What is out of date (registrations or experiments), and by which registration."""
    return {old: r.name for r in registrations.values() for old in r.supersedes}


def claim_selectors(claim: Claim) -> list[selectors.Selector]:
    """Every measured number that a claim rests on.

    Raises:
        ValueError: a selector of the claim's test is malformed.
    """
    test = claim.test
    texts: list[str] = []
    if claim.registered is not None:
        texts = [s for c in claim.registered.contrasts for s in (*c.plus, *c.minus)]
    elif test is None:
        return [claim.selector] if claim.selector else []
    elif isinstance(test, Gap):
        texts = [*test.plus, *test.minus]
    elif isinstance(test, Equality):
        texts = [m.format(t) for m in (test.measure, test.equals) for t in test.terms]
    elif isinstance(test, Column):
        texts = [test.measure.format(t) for t in test.terms]
    elif isinstance(test, Ordering):
        texts = [m.format(t) for m in test.measures for t in test.ascending]
    else:
        subtracted = [] if test.minus is None else [test.minus]
        texts = [m.format(t) for m in (*test.measures, *subtracted) for t in test.along]
    return [selectors.parse(text) for text in texts]


def needs(claim: str, patterns: Mapping[str, str]) -> str:
    """What an attempt of a claim needs, by the first pattern that fits; empty if none does."""
    return next((text for glob, text in patterns.items() if fnmatchcase(claim, glob)), "")
