"""The content of `paper.yaml`: citation, tolerance classes, tests, scaled claims."""

from string import Formatter
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StrictInt,
    StrictStr,
    model_validator,
)


def _takes_term(template: str) -> str:
    """A template with one `{}`; without it every term would name the same number."""
    try:
        fields = [name for _, name, _, _ in Formatter().parse(template) if name is not None]
    except ValueError as error:
        raise ValueError(f"'{template}' is no template: {error}") from error
    if fields != [""]:
        raise ValueError(f"'{template}' must hold one {{}}, which stands for the term")
    return template


def _once(terms: list[str | int]) -> list[str | int]:
    """Each term once: one that stands twice would be compared with itself."""
    names = [str(term) for term in terms]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"term '{name}' stands twice")
    return terms


Template = Annotated[str, AfterValidator(_takes_term)]
# Strict: YAML reads a bare `no` or `on` as a truth value, which must not become the number 0 or 1.
Terms = Annotated[list[StrictStr | StrictInt], AfterValidator(_once)]


class _Strict(BaseModel):
    model_config = ConfigDict(
        extra="forbid", frozen=True, str_strip_whitespace=True, allow_inf_nan=False
    )


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
    """Numbers that must be equal pair by pair, whatever they are; `equals` may be one number."""

    measure: Template
    equals: str
    terms: Annotated[Terms, Field(min_length=1)]


class Column(_Strict):
    """A printed column, number by number."""

    measure: Template
    terms: Annotated[Terms, Field(min_length=1)]


class Ordering(_Strict):
    """Terms in ascending order of a measured number; `{}` in the selector stands for the term.

    Attributes:
        measures: selectors; each of them must show the order.
        printed: id of the claim that holds a term's printed value, to know the published gaps.
    """

    measures: list[Template] = Field(min_length=1)
    ascending: Annotated[Terms, Field(min_length=2)]
    printed: Template | None = None


class Gap(_Strict):
    """Σ plus − Σ minus, seed by seed.

    For fixed weights and a class with the rule `within`: compared with the printed gap. Else: it
    must be above zero, or reach `at_least` if that is given.

    Attributes:
        at_least_printed: id of the claim whose printed number is `at_least`.
    """

    plus: list[str] = Field(min_length=1)
    minus: list[str] = Field(default_factory=list)
    at_least: float | None = None
    at_least_printed: str | None = None

    @model_validator(mode="after")
    def _one_bound(self) -> "Gap":
        if self.at_least is not None and self.at_least_printed is not None:
            raise ValueError("give at_least or at_least_printed, not both")
        return self


class Trend(_Strict):
    """A measured number, or a difference of two, rises (or falls) along the terms.

    Attributes:
        measures: selectors; each of them must show the trend.
        along: the terms in the order of their axis.
        minus: selector of what is subtracted from each measure, term by term and seed by seed.
    """

    measures: list[Template] = Field(min_length=1)
    along: Annotated[Terms, Field(min_length=3)]
    direction: Literal["rises", "falls"]
    minus: Template | None = None

    @model_validator(mode="after")
    def _differences_differ(self) -> "Trend":
        if self.minus in self.measures:
            raise ValueError(f"'{self.minus}' is subtracted from itself, which is always 0")
        return self


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
