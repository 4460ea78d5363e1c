"""Deviations: where a replication does otherwise than its paper, why, and which claims feel it.

They stand in `replications/<paper>/deviations.yaml`, nowhere else: the tables in the papers'
READMEs and `docs/deviations.md` are generated from there.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from replab import paths, yaml_lines
from replab.claims.claim import Paper, claim_selectors
from replab.errors import UserError

FILE = "deviations.yaml"
# What a deviation is about, in the order in which readers ask, with the headings they see.
TOPICS: Mapping[str, str] = {
    "data": "Data",
    "network": "Networks",
    "training": "Training",
    "evaluation": "Evaluation",
    "decision": "How claims are decided",
}
Id = Annotated[str, Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$")]
Words = Annotated[str, Field(min_length=1)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True, strict=True)


class Stated(_Strict):
    """A deviation as its file states it.

    Attributes:
        topic: a key of `TOPICS`.
        where: the part of the replication in a few words.
        paper: what the paper or its code does, or that it does not say.
        here: what is done here.
        why: the reason, in full sentences.
        claims: glob patterns of ids of the claims it touches.
        experiments: names of experiments; all claims that rest on one of them are touched.
    """

    id: Id
    topic: str
    where: Words
    paper: Words
    here: Words
    why: Annotated[str, Field(min_length=20)]
    claims: list[Words] = Field(default_factory=list)
    experiments: list[Words] = Field(default_factory=list)


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid")

    deviations: list[dict[str, Any]]


@dataclass(frozen=True)
class Deviation:
    """A deviation, and the claims that its patterns and experiments come to.

    Attributes:
        stated: as in its file.
        touches: ids of the claims that may be decided and rest on it, in the paper's order; empty
            for one that only figures and added numbers feel.
        scaled: whether all of them are scaled claims; True for none.
    """

    stated: Stated
    touches: tuple[str, ...]
    scaled: bool


def load(paper: Paper) -> tuple[Deviation, ...]:
    """All deviations of a paper, in the order of its file; none if it has no such file.

    Raises:
        UserError: the file is no YAML or says something that does not hold: a key that is unknown
            or missing, an id that stands twice, a pattern or an experiment without claims; one
            line that names file and line.
    """
    path = paths.root() / "replications" / paper.name / FILE
    if not path.is_file():
        return ()
    document = yaml_lines.read(path, shown_as=str(path.relative_to(paths.root())))
    try:
        content = _File.model_validate(document.value)
    except ValidationError as error:
        raise _invalid(document, (), error) from error
    rests = _experiments_of_claims(paper)
    found: list[Deviation] = []
    for number, values in enumerate(content.deviations):
        place: yaml_lines.Location = ("deviations", number)
        try:
            stated = Stated.model_validate(values)
        except ValidationError as error:
            raise _invalid(document, place, error) from error
        if stated.id in {other.stated.id for other in found}:
            raise document.error((*place, "id"), f"'{stated.id}' stands here a second time")
        if stated.topic not in TOPICS:
            known = ", ".join(TOPICS)
            raise document.error((*place, "topic"), f"'{stated.topic}' is none of {known}")
        found.append(_resolve(document, place, stated, paper, rests))
    return tuple(found)


def of_claim(paper: Paper, claim: str) -> list[Deviation]:
    """The deviations that one claim rests on; for many claims, call `load` once and look there.

    Raises:
        UserError: the paper has no such claim, or its file of deviations does not hold together.
    """
    if claim not in paper.claims:
        raise UserError(
            f"{paper.name} has no claim {claim!r}; see `python -m replab claims {paper.name}`"
        )
    return [deviation for deviation in load(paper) if claim in deviation.touches]


def _resolve(
    document: yaml_lines.LinedYaml,
    place: yaml_lines.Location,
    stated: Stated,
    paper: Paper,
    rests: Mapping[str, frozenset[str]],
) -> Deviation:
    touched: set[str] = set()
    for index, pattern in enumerate(stated.claims):
        fitting = {claim for claim in rests if fnmatchcase(claim, pattern)}
        if not fitting:
            raise document.error(
                (*place, "claims", index),
                f"'{pattern}' fits no claim of {paper.name} that is to be decided",
            )
        touched |= fitting
    for index, name in enumerate(stated.experiments):
        resting = {claim for claim, experiments in rests.items() if name in experiments}
        if not resting:
            known = ", ".join(paper.replication.experiments)
            raise document.error(
                (*place, "experiments", index),
                f"no claim of {paper.name} rests on an experiment '{name}'; there are {known}",
            )
        touched |= resting
    ordered = tuple(claim for claim in paper.claims if claim in touched)
    return Deviation(
        stated, ordered, all(paper.claims[claim].supports is not None for claim in ordered)
    )


def _experiments_of_claims(paper: Paper) -> dict[str, frozenset[str]]:
    """Each claim that is to be decided, and the experiments that its numbers come from."""
    return {
        claim.id: frozenset(selector.experiment for selector in claim_selectors(claim))
        for claim in paper.claims.values()
        if claim.gate
    }


def _invalid(
    document: yaml_lines.LinedYaml, place: yaml_lines.Location, error: ValidationError
) -> UserError:
    first = error.errors(include_url=False)[0]
    inner = tuple(part for part in first["loc"] if isinstance(part, str | int))
    message = " ".join(first["msg"].removeprefix("Value error, ").split())
    return document.error((*place, *inner), message[:1].lower() + message[1:])
