"""What ReScience C's template asks of a `metadata.yaml`, and whether one fits the ledger.

Fields after ReScience/template@0978d0e (metadata.yaml) and what its article.py reads of them.
"""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from replab.report.handed_in.blanks import is_blank
from replab.report.handed_in.dossier import Dossier
from replab.report.handed_in.rescience import BIBLIOGRAPHY, abstract


def _or_blank(pattern: str) -> Any:
    """A validator: the text fits a pattern, or it is still a blank."""

    def check(value: str) -> str:
        if not is_blank(value) and not re.fullmatch(pattern, value):
            raise ValueError(f"'{value}' is not of the form {pattern}")
        return value

    return AfterValidator(check)


_Url = Annotated[str, _or_blank(r"https?://\S+")]
_Doi = Annotated[str, _or_blank(r"10\.\d{4,}/\S+")]
_Orcid = Annotated[str, _or_blank(r"\d{4}-\d{4}-\d{4}-\d{3}[\dX]")]
_Email = Annotated[str, _or_blank(r"[^@\s]+@[^@\s]+\.[^@\s]+")]
_Words = Annotated[str, Field(min_length=1)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class Author(_Strict):
    """Who submits; `*` among the affiliations marks whom to write to."""

    name: _Words
    orcid: _Orcid | None
    email: _Email | None
    affiliations: Annotated[str, Field(pattern=r"^[\w*]+(,[\w*]+)*$")]


class Affiliation(_Strict):
    """Where an author works."""

    code: int
    name: _Words
    address: str


class Contributor(_Strict):
    """The editor and the reviewers, whom the journal names."""

    name: str | None
    orcid: _Orcid | None
    role: Literal["editor", "reviewer"]


class Repository(_Strict):
    """Where code lies: the address is mandatory for a replication."""

    url: _Url
    doi: _Doi | None
    swh: str | None


class Data(_Strict):
    """Where data lie, if there are any."""

    url: _Url | None
    doi: _Doi | None


class Original(_Strict):
    """The paper that was replicated."""

    cite: _Words
    bib: Annotated[str, Field(pattern=r"^[A-Za-z0-9:_-]+$")]
    url: _Url | None
    doi: _Doi | None


class Metadata(_Strict):
    """ReScience C's `metadata.yaml`, its lists of single keys joined into objects."""

    title: Annotated[str, Field(pattern=r"^\[¬?Re\] \S")]
    authors: Annotated[list[Author], Field(min_length=1)]
    affiliations: Annotated[list[Affiliation], Field(min_length=1)]
    keywords: _Words
    code: Repository
    data: Data
    replication: Original
    abstract: Annotated[str, Field(min_length=100)]
    bibliography: Annotated[str, Field(pattern=r"\.bib$")]
    type: Literal["Replication"]
    domain: _Words
    language: _Words
    review: dict[Literal["url"], _Url | None]
    contributors: list[Contributor]
    dates: dict[Literal["received", "accepted", "published"], str | None]
    article: dict[Literal["number", "doi", "url"], str | int | None]
    journal: dict[Literal["name", "issn", "volume", "issue"], str | int | None]


# Written as lists of objects with a key each, as the template has them.
_JOINED = ("code", "data", "replication", "review", "dates", "article", "journal")


def parse(content: str) -> Metadata:
    """Read and verify a `metadata.yaml`.

    Raises:
        ValueError: it is no YAML, or not as the template asks; one line.
    """
    try:
        document = yaml.safe_load(content)
    except yaml.YAMLError as error:
        raise ValueError(f"no YAML: {' '.join(str(error).split())}") from error
    if not isinstance(document, dict):
        raise ValueError("no YAML of fields and values")
    for name in _JOINED:
        parts = document.get(name)
        if isinstance(parts, list) and all(isinstance(p, dict) and len(p) == 1 for p in parts):
            document[name] = {field: value for part in parts for field, value in part.items()}
    try:
        return Metadata.model_validate(document)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise ValueError(f"{place}: {first['msg']}") from error


def problems(dossier: Dossier, files: Mapping[str, bytes]) -> list[str]:
    """What is wrong with metadata and bibliography: form, counts, what belongs together."""
    missing = [n for n in ("metadata.yaml", BIBLIOGRAPHY) if n not in files]
    if missing:
        return [f"{name} is missing" for name in missing]
    try:
        found = parse(files["metadata.yaml"].decode())
    except ValueError as error:
        return [f"metadata.yaml: {error}"]
    wrong = {
        "title": found.title != dossier.title,
        "abstract (its counts)": re.findall(r"\d+", found.abstract)
        != re.findall(r"\d+", abstract(dossier)),
        "replication.cite": dossier.paper.citation.title not in found.replication.cite,
        "contributors (one editor, two reviewers)": sorted(c.role for c in found.contributors)
        != ["editor", "reviewer", "reviewer"],
        "authors (none is marked with * for letters)": not any(
            "*" in author.affiliations.split(",") for author in found.authors
        ),
        "authors (an affiliation that is not listed)": not {
            code for author in found.authors for code in author.affiliations.split(",")
        }
        <= {"*", *(str(place.code) for place in found.affiliations)},
    }
    entries = bibtex(files[BIBLIOGRAPHY].decode())
    entry = entries.get(found.replication.bib)
    wrong[f"{BIBLIOGRAPHY} (no entry {found.replication.bib})"] = entry is None
    if entry is not None:
        lacking = [f for f in ("author", "title", "booktitle", "year") if not entry.get(f)]
        wrong[f"{BIBLIOGRAPHY} (lacks {', '.join(lacking)})"] = bool(lacking)
        year = entry.get("year") != str(dossier.paper.citation.year)
        wrong[f"{BIBLIOGRAPHY} (the year)"] = year
    return [
        f"{what} does not fit the ledger or the template" for what, bad in wrong.items() if bad
    ]


def bibtex(content: str) -> dict[str, dict[str, str]]:
    """Key → fields of the entries that `bibliography` writes: a field a line, in braces."""
    entries = {}
    for name, body in re.findall(r"@\w+\{([^,\s]+),\n(.*?)\n\}", content, re.DOTALL):
        pairs = re.findall(r"^\s*(\w+) = \{(.*)\},?$", body, re.MULTILINE)
        entries[name] = {field: value for field, value in pairs if _balanced(value)}
    return entries


def _balanced(value: str) -> bool:
    depth = 0
    for character in value:
        depth += {"{": 1, "}": -1}.get(character, 0)
        if depth < 0:
            return False
    return depth == 0
