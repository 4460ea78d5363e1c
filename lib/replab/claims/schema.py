"""The files that state a paper's claims: `paper.yaml` and `claims.csv`, read and verified."""

import csv
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from replab import paths
from replab.claims import printed, selectors, yaml_lines
from replab.errors import UserError
from replab.runs.experiment import Replication, load_replication, require_paper

KINDS = ("exact", "value", "ordering", "gap", "trend")
SOURCES = {
    "P": "the paper's full text",
    "R": "official README or source",
    "S": "a secondary public text",
    "C": "computed by us: arithmetic, or evaluation of public files",
    "D": "digitised from a figure",
    "M": "memory: shown, never decided",
}
COLUMNS = (
    "id",
    "locus",
    "kind",
    "metric",
    "reported",
    "unit",
    "source",
    "protocol",
    "tolerance_class",
    "gate",
    "note",
)
_ID = re.compile(r"[a-z0-9]+([.-][a-z0-9_-]+)*")


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Citation(_Strict):
    """The paper: authors, title, venue, year and where to read it."""

    authors: str
    title: str
    venue: str
    year: int
    arxiv: str = ""
    code: str = ""


class Tolerance(_Strict):
    """A tolerance class: the rule, its numbers, and the reason why it is no wider and no tighter.

    Rules: `equal` (integers) · `printed` (equal after rounding to the printed digits) · `within`
    (±margin in the claim's unit) · `relative` (±margin as a fraction of the print) · `threshold`
    (a bound, outside the interval over seeds) · `seeds` (the print lies within
    max(margin, deviations × s.d.) of our mean over at least min_seeds) · `order` (signs of paired
    differences, by t-intervals).
    """

    rule: Literal["equal", "printed", "within", "relative", "threshold", "seeds", "order"]
    why: str = Field(min_length=10)
    margin: Annotated[float, Field(gt=0)] | None = None
    deviations: Annotated[float, Field(gt=0)] | None = None
    min_seeds: Annotated[int, Field(ge=2)] | None = None

    @model_validator(mode="after")
    def _numbers_fit_rule(self) -> "Tolerance":
        wanted = {
            "within": {"margin"},
            "relative": {"margin"},
            "seeds": {"margin", "deviations", "min_seeds"},
            "order": {"deviations", "min_seeds"},
            "threshold": {"min_seeds"},
        }.get(self.rule, set())
        given = {
            name
            for name in ("margin", "deviations", "min_seeds")
            if getattr(self, name) is not None
        }
        if given != wanted:
            expected = ", ".join(sorted(wanted)) or "no numbers"
            raise ValueError(f"rule '{self.rule}' takes {expected}")
        return self


class Equality(_Strict):
    """Numbers that must be equal pair by pair, whatever they are."""

    measure: str
    equals: str
    terms: list[str | int] = Field(min_length=1)


class Column(_Strict):
    """A printed column, number by number."""

    measure: str
    terms: list[str | int] = Field(min_length=1)


class Ordering(_Strict):
    """Terms in ascending order of a measured number; `{}` in the selector stands for the term.

    Attributes:
        measures: selectors; each of them must show the order.
        printed: id of the claim that holds a term's printed value, to know the published gaps.
    """

    measures: list[str] = Field(min_length=1)
    ascending: list[str | int] = Field(min_length=2)
    printed: str = ""


class Gap(_Strict):
    """Σ plus − Σ minus, seed by seed, against `at_least` or against the printed gap."""

    plus: list[str] = Field(min_length=1)
    minus: list[str] = Field(min_length=1)
    at_least: float | None = None


class Trend(_Strict):
    """A measured number rises (or falls) along the terms."""

    measures: list[str] = Field(min_length=1)
    along: list[str | int] = Field(min_length=3)
    direction: Literal["rises", "falls"]


Test = Equality | Column | Ordering | Gap | Trend


class Scaled(_Strict):
    """A scaled claim: about an experiment of ours, in support of a paper's claim.

    Attributes:
        supports: id of the paper's claim.
        statement: what is claimed, in symbols or words.
        powered: whether the profile's seeds suffice to decide it; the others are shown with their
            intervals.
    """

    supports: str
    locus: str
    statement: str
    metric: str
    unit: str
    profile: Literal["quick", "standin", "paper"]
    tolerance: str
    powered: bool
    ordering: Ordering | None = None
    gap: Gap | None = None
    trend: Trend | None = None

    @model_validator(mode="after")
    def _one_test(self) -> "Scaled":
        if sum(t is not None for t in (self.ordering, self.gap, self.trend)) != 1:
            raise ValueError("give exactly one of ordering, gap, trend")
        return self

    @property
    def kind(self) -> str:
        """The claim's kind."""
        return next(k for k in ("ordering", "gap", "trend") if getattr(self, k) is not None)


class PaperFile(_Strict):
    """The content of `paper.yaml`."""

    citation: Citation
    tolerances: dict[str, Tolerance]
    equalities: dict[str, Equality] = Field(default_factory=dict)
    columns: dict[str, Column] = Field(default_factory=dict)
    orderings: dict[str, Ordering] = Field(default_factory=dict)
    gaps: dict[str, Gap] = Field(default_factory=dict)
    trends: dict[str, Trend] = Field(default_factory=dict)
    scaled: dict[str, Scaled] = Field(default_factory=dict)
    needs: dict[str, str] = Field(default_factory=dict)


@dataclass(frozen=True)
class Claim:
    """One checkable statement.

    Attributes:
        tolerance: the class's name, empty for context.
        gate: whether a verdict may rest on it; context rows are shown, never counted.
        test: how several numbers decide it; None if one number does.
        answer: selector of the number that decides it, if it has one.
        supports: for a scaled claim, the paper's claim.
        powered: for a scaled claim, whether its profile has the power to decide it.
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
    answer: selectors.Selector | None = None
    supports: str | None = None
    powered: bool = False
    profile: str | None = None


@dataclass(frozen=True)
class Paper:
    """A paper's claims with all that is needed to decide them.

    Attributes:
        needs: claim-id glob → what an attempt needs, for claims without an experiment.
    """

    name: str
    citation: Citation
    tolerances: Mapping[str, Tolerance]
    claims: Mapping[str, Claim]
    needs: Mapping[str, str]
    replication: Replication = field(repr=False)


def load(name: str) -> Paper:
    """Read and verify everything under `replications/<name>/`.

    Raises:
        UserError: a file is missing or says something that does not hold together; the message
            names file and line.
    """
    folder = require_paper(name)
    replication = load_replication(name)
    shown = folder.relative_to(paths.root())
    document = yaml_lines.read(folder / "paper.yaml", shown_as=str(shown / "paper.yaml"))
    content = _validate(document)
    rows = read_claims(folder / "claims.csv", shown_as=str(shown / "claims.csv"))
    tests: dict[str, tuple[str, Test]] = {}
    for section in ("equalities", "columns", "orderings", "gaps", "trends"):
        for claim, test in getattr(content, section).items():
            if claim not in rows:
                raise document.error((section, claim), "no such id in claims.csv")
            if claim in tests:
                raise document.error((section, claim), f"also stands under {tests[claim][0]}")
            tests[claim] = (section, test)
    claims: dict[str, Claim] = {}
    for claim, row in rows.items():
        where = f"{shown / 'claims.csv'}:{row['line']}"
        claims[claim] = _paper_claim(where, row, tests.get(claim), content, replication)
    for claim, scaled in content.scaled.items():
        claims[claim] = _scaled_claim(document, claim, scaled, claims, content)
    _check_selectors(document, claims, replication)
    return Paper(name, content.citation, content.tolerances, claims, content.needs, replication)


def _validate(document: yaml_lines.LinedYaml) -> PaperFile:
    try:
        return PaperFile.model_validate(document.value)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        location = tuple(part for part in first["loc"] if isinstance(part, str | int))
        message = first["msg"].removeprefix("Value error, ")
        raise document.error(location, message[:1].lower() + message[1:]) from error


def read_claims(path: Path, *, shown_as: str) -> dict[str, dict[str, Any]]:
    """Rows of a `claims.csv` by id, each with its `line`.

    Raises:
        UserError: the file is missing, or a row is malformed; the message names the line.
    """
    try:
        with path.open(encoding="utf-8", newline="") as stream:
            reader = csv.reader(stream, strict=True)
            header = next(reader, [])
            if tuple(header) != COLUMNS:
                raise UserError(f"{shown_as}:1: the columns must be {','.join(COLUMNS)}")
            rows: dict[str, dict[str, Any]] = {}
            for cells in reader:
                _add_row(rows, cells, f"{shown_as}:{reader.line_num}", reader.line_num)
            return rows
    except OSError as error:
        raise UserError(f"cannot read {shown_as}: {error.strerror or error}") from error
    except (csv.Error, UnicodeDecodeError) as error:
        raise UserError(f"{shown_as}: not valid CSV in UTF-8: {error}") from error


def _add_row(rows: dict[str, dict[str, Any]], cells: list[str], where: str, line: int) -> None:
    if len(cells) != len(COLUMNS):
        raise UserError(f"{where}: {len(cells)} cells instead of {len(COLUMNS)}")
    row: dict[str, Any] = dict(zip(COLUMNS, cells, strict=True))
    claim = row["id"]
    if not _ID.fullmatch(claim):
        raise UserError(f"{where}: '{claim}' is no claim id (dotted, lower case)")
    if claim in rows:
        raise UserError(f"{where}: id {claim} already stands in line {rows[claim]['line']}")
    if row["kind"] not in KINDS:
        raise UserError(f"{where}: kind '{row['kind']}' is none of {', '.join(KINDS)}")
    if row["source"] not in SOURCES:
        raise UserError(f"{where}: source '{row['source']}' is none of {', '.join(SOURCES)}")
    if row["gate"] not in ("yes", "no"):
        raise UserError(f"{where}: gate is '{row['gate']}', it must be yes or no")
    if row["gate"] == "yes" and row["source"] == "M":
        raise UserError(f"{where}: a claim from memory cannot have gate yes")
    if not row["reported"] or not row["locus"]:
        raise UserError(f"{where}: locus and reported must not be empty")
    rows[claim] = row | {"line": line}


def _paper_claim(
    where: str,
    row: Mapping[str, Any],
    test: tuple[str, Test] | None,
    content: PaperFile,
    replication: Replication,
) -> Claim:
    claim, gate = row["id"], row["gate"] == "yes"
    tolerance = "" if row["tolerance_class"] == "none" else row["tolerance_class"]
    if gate and tolerance not in content.tolerances:
        known = ", ".join(content.tolerances)
        raise UserError(f"{where}: tolerance class '{row['tolerance_class']}' is none of {known}")
    try:
        answer = selectors.answer(claim, replication.answers)
        if gate and answer is not None:
            printed.parse(row["reported"])
    except ValueError as error:
        raise UserError(f"{where}: {error}") from error
    if answer is not None and test is not None:
        raise UserError(f"{where}: {claim} is answered by {answer} and by {test[0]} in paper.yaml")
    if gate and answer is None and test is None and not needs(claim, content.needs):
        raise UserError(
            f"{where}: nothing answers {claim}; name its number in ANSWERS of experiments.py, its "
            "test in paper.yaml, or what an attempt needs under needs in paper.yaml"
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
        answer=answer,
    )


def _scaled_claim(
    document: yaml_lines.LinedYaml,
    claim: str,
    scaled: Scaled,
    claims: Mapping[str, Claim],
    content: PaperFile,
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
        test=scaled.ordering or scaled.gap or scaled.trend,
        supports=scaled.supports,
        powered=scaled.powered,
        profile=scaled.profile,
    )


def claim_selectors(claim: Claim) -> list[selectors.Selector]:
    """Every measured number that a claim rests on.

    Raises:
        ValueError: a selector of the claim's test is malformed.
    """
    test = claim.test
    if test is None:
        return [claim.answer] if claim.answer else []
    texts: list[str] = []
    if isinstance(test, Gap):
        texts = [*test.plus, *test.minus]
    elif isinstance(test, Equality):
        texts = [m.format(t) for m in (test.measure, test.equals) for t in test.terms]
    elif isinstance(test, Column):
        texts = [test.measure.format(t) for t in test.terms]
    else:
        terms = test.ascending if isinstance(test, Ordering) else test.along
        texts = [m.format(t) for m in test.measures for t in terms]
    return [selectors.parse(text) for text in texts]


def _check_selectors(
    document: yaml_lines.LinedYaml, claims: Mapping[str, Claim], replication: Replication
) -> None:
    """Every selector names an experiment, and a variant that at least one profile runs."""
    for claim in claims.values():
        try:
            wanted = claim_selectors(claim)
        except (ValueError, IndexError) as error:
            raise UserError(f"{document.file}: {claim.id}: {error}") from error
        for selector in wanted:
            experiment = replication.experiments.get(selector.experiment)
            if experiment is None:
                raise UserError(
                    f"{document.file}: {claim.id}: no experiment '{selector.experiment}'"
                )
            counts = {p: len(selector.variants(experiment, p)) for p in experiment.plans}
            if max(counts.values(), default=0) != 1:
                raise UserError(
                    f"{document.file}: {claim.id}: {selector} must fit one variant of "
                    f"{experiment.name}, it fits {max(counts.values(), default=0)}"
                )


def needs(claim: str, patterns: Mapping[str, str]) -> str:
    """What an attempt of a claim needs, by the first pattern that fits; empty if none does."""
    from fnmatch import fnmatchcase

    return next((text for glob, text in patterns.items() if fnmatchcase(claim, glob)), "")
