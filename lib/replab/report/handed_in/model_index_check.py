"""What the Hub asks of a `model-index`, and whether a card says what the records say.

Fields after huggingface/hub-docs@0d37e0c (modelcard.md) and huggingface_hub's `EvalResult`.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from replab.report import text
from replab.report.handed_in.dossier import Dossier
from replab.report.handed_in.evaluations import MEASURES, Network, networks
from replab.report.handed_in.model_index import front_matter


def _known(name: str) -> str:
    if name not in MEASURES:
        raise ValueError(f"'{name}' is no measure; there are {', '.join(MEASURES)}")
    return name


Metric = Annotated[str, AfterValidator(_known)]
_Words = Annotated[str, Field(min_length=1)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


class Task(_Strict):
    """What the network does, by one of the Hub's tasks."""

    type: Literal["image-classification", "keypoint-detection"]
    name: _Words


class Dataset(_Strict):
    """What it was scored on."""

    type: Annotated[str, Field(pattern=r"^[\w./-]+$")]
    name: _Words
    config: str | None = None
    split: str | None = None
    revision: Annotated[str, Field(pattern=r"^[0-9a-f]+$")] | None = None
    args: dict[str, Any] | None = None


class MetricValue(_Strict):
    """A score; `verified` is the Hub's own to set, so it is false here."""

    type: Metric
    value: float | int
    name: _Words
    config: str | None = None
    args: dict[str, Any] | None = None
    verified: Literal[False]


class Source(_Strict):
    """Where the numbers come from; the Hub asks for the address if the name is given."""

    name: _Words
    url: Annotated[str, Field(pattern=r"^https?://\S+$")]


class Result(_Strict):
    """Scores of one task on one data set."""

    task: Task
    dataset: Dataset
    metrics: Annotated[list[MetricValue], Field(min_length=1)]
    source: Source | None = None


class Model(_Strict):
    """A network's results."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.-]*$")]
    results: Annotated[list[Result], Field(min_length=1)]


class Card(_Strict):
    """The front matter of a card: the Hub takes one network a card."""

    library_name: _Words
    pipeline_tag: Literal["image-classification", "keypoint-detection"]
    tags: list[_Words]
    datasets: list[_Words]
    metrics: list[Metric]
    model_index: Annotated[list[Model], Field(alias="model-index", min_length=1, max_length=1)]


def parse(card: str) -> Card:
    """Read and verify a card's front matter.

    Raises:
        ValueError: there is none, it is no YAML, or not as the Hub asks; one line.
    """
    try:
        return Card.model_validate(yaml.safe_load(front_matter(card)))
    except yaml.YAMLError as error:
        raise ValueError(f"no YAML: {' '.join(str(error).split())}") from error
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise ValueError(f"{place}: {first['msg']}") from error


def problems(dossier: Dossier, files: Mapping[str, bytes]) -> list[str]:
    """What is wrong with the cards: form, numbers beside the records', verdicts, cards missing."""
    expected: dict[str, list[Network]] = {}
    for network in networks(dossier):
        expected.setdefault(f"{network.slug}.md", []).append(network)
    found = [f"{name} is missing" for name in expected if name not in files]
    found += [
        f"{name} is about no network of the ledger" for name in files if name not in expected
    ]
    for name in sorted(set(files) & set(expected)):
        content = files[name].decode()
        try:
            (model,) = parse(content).model_index
        except ValueError as error:
            found.append(f"{name}: {error}")
            continue
        found += [f"{name}: {line}" for line in _differences(dossier, model, expected[name])]
        found += [f"{name}: {line}" for line in _verdicts(dossier, content, expected[name])]
    return found


def _differences(dossier: Dossier, model: Model, members: list[Network]) -> list[str]:
    """How a card's scores differ from the means over its records, to the digits that it prints."""
    if f"{model.name}" != members[0].slug or len(model.results) != len(members):
        return ["another network, or other data, than the ledger's"]
    lines = []
    for result, network in zip(model.results, members, strict=True):
        given = {(m.type, m.name): float(m.value) for m in result.metrics}
        wanted = {(s.measure, s.name): s.mean for s in network.scores}
        lines += [f"{name} is not in the records" for _, name in given.keys() - wanted.keys()]
        lines += [f"{name} is missing" for _, name in wanted.keys() - given.keys()]
        lines += [
            f"{name} is given as {given[key]}, the records give {wanted[key]:.4f}"
            for key in sorted(given.keys() & wanted.keys())
            for name in (key[1],)
            if abs(given[key] - wanted[key]) > 0.5001e-4
        ]
        if (result.dataset.revision or "") != network.fingerprint:
            lines.append(f"the data's revision is not the records' ({network.fingerprint or '–'})")
        if (result.source.url if result.source else "") != dossier.code_url:
            lines.append("the source is not where the code is published")
    return lines


def _verdicts(dossier: Dossier, content: str, members: list[Network]) -> list[str]:
    """Claims whose verdict does not stand in the card's table as the ledger has it."""
    claims = {claim for network in members for s in network.scores for claim in s.claims}
    rows = [line for line in content.splitlines() if line.startswith("| ")]
    return [
        f"the row of {claim} has not the ledger's verdict"
        for claim in sorted(claims)
        if not any(
            f"| `{claim}` |" in row and row.endswith(f"| {text.verdict(dossier.ledger[claim])} |")
            for row in rows
        )
        or any(
            f"| `{claim}` |" in row
            and not row.endswith(f"| {text.verdict(dossier.ledger[claim])} |")
            for row in rows
        )
    ]
