"""A paper's files, joined: `paper.yaml`, `claims.csv` and `experiments.py`."""

from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from replab import paths, yaml_lines
from replab.claims import consistency, printed, selectors
from replab.claims.claim import Claim, Paper, claim_selectors, needs, superseded
from replab.claims.claims_csv import COLUMNS, KINDS, SOURCES, read_claims
from replab.claims.paper_file import (
    Citation,
    Column,
    Equality,
    Gap,
    Ordering,
    PaperFile,
    Scaled,
    Test,
    Tolerance,
    Trend,
)
from replab.errors import UserError
from replab.runs import registration as registering
from replab.runs.experiment import Replication, load_replication, require_paper
from replab.runs.registration import RegisteredClaim, Registration

__all__ = [
    "COLUMNS",
    "KINDS",
    "SOURCES",
    "Citation",
    "Claim",
    "Column",
    "Equality",
    "Gap",
    "Ordering",
    "Paper",
    "PaperFile",
    "Scaled",
    "Test",
    "Tolerance",
    "Trend",
    "claim_selectors",
    "load",
    "needs",
    "read_claims",
]

Tests = Mapping[str, tuple[str, Test]]  # claim → its section of paper.yaml, its test


def load(name: str) -> Paper:
    """Read and verify everything under `replications/<name>/`.

    Raises:
        UserError: a file is missing or says something that does not hold together; the message
            names file and line.
    """
    folder = require_paper(name)
    replication = load_replication(name)
    shown = folder.relative_to(paths.root())
    if not (folder / "paper.yaml").is_file():
        raise UserError(
            f"{shown / 'paper.yaml'} is missing: {name} states no claims; do its experiments "
            f"({', '.join(replication.experiments)}) by `python -m replab run {name} EXPERIMENT`"
        )
    document = yaml_lines.read(folder / "paper.yaml", shown_as=str(shown / "paper.yaml"))
    content = _validate(document)
    table = str(shown / "claims.csv")
    rows = read_claims(folder / "claims.csv", shown_as=table)
    prints = {claim: str(row["reported"]) for claim, row in rows.items()}
    tests = _tests(document, content, prints)
    claims: dict[str, Claim] = {}
    for claim, row in rows.items():
        where = f"{table}:{row['line']}"
        claims[claim] = _paper_claim(where, row, tests.get(claim), content)
    for claim, scaled in content.scaled.items():
        claims[claim] = _scaled_claim(document, claim, scaled, claims, content, prints)
    registrations = {r.name: r for r in registering.read_all(folder)}
    _register(claims, registrations, replication, shown)
    for stated in claims.values():
        problem = consistency.problem(stated, content.tolerances, claims, replication)
        if problem:
            raise _error_at(document, table, tests, stated, problem)
    outdated = superseded(registrations)
    for stated in claims.values():
        newer = _superseded_by(stated, outdated, registrations)
        if stated.supports is not None and newer:
            claims[stated.id] = replace(stated, superseded=newer)
    return Paper(
        *(name, content.citation, content.tolerances, claims, content.needs, replication),
        registrations,
    )


def _register(
    claims: dict[str, Claim],
    registrations: Mapping[str, Registration],
    replication: Replication,
    folder: Path,
) -> None:
    """Add the registered claims to the others.

    Raises:
        UserError: a registration does not fit the paper's other files.
    """
    planned = {
        registration.name
        for experiment in replication.experiments.values()
        for plan in experiment.plans.values()
        for registration in plan.registrations
    }
    outdated = superseded(registrations)
    files = {name: f"{folder / registering.FOLDER / name}.yaml" for name in registrations}
    for old, newer in outdated.items():
        if old not in registrations and old not in replication.experiments:
            raise UserError(
                f"{files[newer]}: supersedes '{old}', which is no registration or experiment"
            )
    for name, registration in registrations.items():
        if name in planned and name in outdated:
            raise UserError(f"{files[name]} is superseded, but a plan of experiments.py names it")
        if name not in planned and name not in outdated:
            raise UserError(f"{files[name]}: no plan of experiments.py names it; add it to one")
        for registered in registration.claims:
            # The paper's own claims are the newest registration's.
            if registered.supports or name not in outdated:
                claims[registered.id] = _registered_claim(
                    files[name], registered, registration, claims
                )


def _superseded_by(
    claim: Claim, outdated: Mapping[str, str], registrations: Collection[str]
) -> str:
    """Name of the registration that puts a scaled claim out of date; empty if none does."""
    if claim.registration is not None:
        return outdated.get(claim.registration.name, "")
    experiments = sorted({s.experiment for s in claim_selectors(claim)} - set(registrations))
    return next((outdated[name] for name in experiments if name in outdated), "")


def _registered_claim(
    where: str,
    claim: RegisteredClaim,
    registration: Registration,
    claims: Mapping[str, Claim],
) -> Claim:
    place = f"{where}: claims.{claim.id}"
    known = claims.get(claim.id)
    if not claim.supports:
        if known is None or not known.gate or known.supports is not None:
            raise UserError(f"{place}: claims.csv has no such claim with gate yes")
        if known.registration is not None:
            raise UserError(f"{place} is also registered in {known.registration.name}")
        return replace(known, registration=registration)
    if known is not None:
        raise UserError(f"{place}: the id is taken")
    if not claim.id.startswith(f"{registration.profile}."):
        raise UserError(f"{place}: the id must begin with its profile, '{registration.profile}.'")
    supported = claims.get(claim.supports)
    if supported is None or supported.supports is not None:
        raise UserError(f"{place}: it supports {claim.supports}, which is no claim of the paper")
    wording = {"locus": claim.locus, "statement": claim.statement, "metric": claim.metric}
    lacking = [name for name, text in {**wording, "unit": claim.unit}.items() if not text]
    if lacking:
        raise UserError(f"{place} lacks {', '.join(lacking)}")
    return Claim(
        id=claim.id,
        locus=claim.locus,
        kind="ordering" if all(len(c.minus) == 1 for c in claim.contrasts) else "gap",
        metric=claim.metric,
        reported=claim.statement,
        unit=claim.unit,
        source="C",
        protocol=f"profile={registration.profile}",
        tolerance="",
        gate=True,
        note="",
        supports=claim.supports,
        profile=registration.profile,
        registration=registration,
    )


def _validate(document: yaml_lines.LinedYaml) -> PaperFile:
    try:
        return PaperFile.model_validate(document.value)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        location = tuple(part for part in first["loc"] if isinstance(part, str | int))
        if first["type"] != "missing":
            # pydantic adds the types that it tried, which are no part of the file.
            while location and location not in document.lines:
                location = location[:-1]
        message = " ".join(first["msg"].removeprefix("Value error, ").split())
        raise document.error(location, message[:1].lower() + message[1:]) from error


def _tests(
    document: yaml_lines.LinedYaml, content: PaperFile, prints: Mapping[str, str]
) -> dict[str, tuple[str, Test]]:
    tests: dict[str, tuple[str, Test]] = {}
    for section in ("equalities", "columns", "orderings", "gaps", "trends"):
        for claim, test in getattr(content, section).items():
            if claim not in prints:
                raise document.error((section, claim), "no such id in claims.csv")
            if claim in tests:
                raise document.error((section, claim), f"also stands under {tests[claim][0]}")
            place = (section, claim, "at_least_printed")
            tests[claim] = (section, _with_printed_bound(document, place, test, prints))
    return tests


def _with_printed_bound(
    document: yaml_lines.LinedYaml, place: tuple[str, ...], test: Test, prints: Mapping[str, str]
) -> Test:
    """A gap whose bound another claim prints gets that number; any other test stays as it is.

    Args:
        place: of the reference to the other claim.
        prints: what each claim of the paper reports.
    """
    if not isinstance(test, Gap) or test.at_least_printed is None:
        return test
    if test.at_least_printed not in prints:
        raise document.error(place, f"no such id as {test.at_least_printed} in claims.csv")
    try:
        bound = printed.parse(prints[test.at_least_printed]).value
    except ValueError as error:
        raise document.error(place, str(error)) from error
    return test.model_copy(update={"at_least": bound})


def _error_at(
    document: yaml_lines.LinedYaml, table: str, tests: Tests, claim: Claim, problem: str
) -> UserError:
    """A one-line error at the place that decides a claim: its test, else its row."""
    if claim.registration is not None:
        file = f"{claim.registration.name}.yaml"
        where = Path(table).parent / registering.FOLDER / file
        return UserError(f"{where}: claims.{claim.id}: {problem}")
    if claim.supports is not None:
        return document.error(("scaled", claim.id), problem)
    if claim.id in tests:
        return document.error((tests[claim.id][0], claim.id), problem)
    return UserError(f"{table}:{claim.line}: {claim.id}: {problem}")


def _paper_claim(
    where: str,
    row: Mapping[str, Any],
    test: tuple[str, Test] | None,
    content: PaperFile,
) -> Claim:
    claim, gate = row["id"], row["gate"] == "yes"
    tolerance = "" if row["tolerance"] == "none" else row["tolerance"]
    if gate and tolerance not in content.tolerances:
        known = ", ".join(content.tolerances)
        raise UserError(f"{where}: tolerance class '{row['tolerance']}' is none of {known}")
    try:
        selector = selectors.parse(row["selector"]) if row["selector"] else None
    except ValueError as error:
        raise UserError(f"{where}: {error}") from error
    if selector is not None and test is not None:
        raise UserError(
            f"{where}: {claim} has the selector {selector} and a test under {test[0]} in "
            "paper.yaml; keep one"
        )
    if gate and selector is None and test is None and not needs(claim, content.needs):
        raise UserError(
            f"{where}: nothing decides {claim}; name its number in the column selector, its test "
            "in paper.yaml, or what an attempt needs under needs in paper.yaml"
        )
    return Claim(
        id=claim,
        locus=row["locus"],
        kind=row["kind"],
        metric=row["metric"],
        reported=row["reported"],
        unit=row["unit"],
        source=row["source"],
        protocol=row["protocol"],
        tolerance=tolerance,
        gate=gate,
        note=row["note"],
        line=row["line"],
        test=test[1] if test else None,
        selector=selector,
    )


def _scaled_claim(
    document: yaml_lines.LinedYaml,
    claim: str,
    scaled: Scaled,
    claims: Mapping[str, Claim],
    content: PaperFile,
    prints: Mapping[str, str],
) -> Claim:
    place = ("scaled", claim)
    if claim in claims:
        raise document.error(place, "the id already stands in claims.csv")
    if not claim.startswith(f"{scaled.profile}."):
        raise document.error(place, f"the id must begin with its profile, '{scaled.profile}.'")
    supported = claims.get(scaled.supports)
    if supported is None or supported.supports is not None:
        raise document.error((*place, "supports"), f"{scaled.supports} is no claim of the paper")
    if scaled.tolerance not in content.tolerances:
        raise document.error((*place, "tolerance"), f"no tolerance class '{scaled.tolerance}'")
    test = scaled.ordering or scaled.gap or scaled.trend
    return Claim(
        id=claim,
        locus=scaled.locus,
        kind=scaled.kind,
        metric=scaled.metric,
        reported=scaled.statement,
        unit=scaled.unit,
        source="C",
        protocol=f"profile={scaled.profile}",
        tolerance=scaled.tolerance,
        gate=True,
        note="",
        test=test
        and _with_printed_bound(document, (*place, "gap", "at_least_printed"), test, prints),
        supports=scaled.supports,
        powered=scaled.powered,
        profile=scaled.profile,
    )
