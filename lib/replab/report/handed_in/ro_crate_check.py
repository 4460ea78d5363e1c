"""Whether a folder is the RO-Crate that it says it is, and its records those that were accepted.

What RO-Crate 1.1 and Process Run Crate 0.5 demand of the entities that occur here, file by file
and reference by reference; and the digests of the accepted ledger, so that a record whose numbers
were changed together with its checksum is found, too.
"""

import datetime
import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import unquote

from replab.claims import evidence
from replab.claims.ledger import record_digest
from replab.errors import UserError
from replab.files import sha256_bytes
from replab.report.handed_in.dossier import Dossier
from replab.report.handed_in.ro_crate import CONTEXT, METADATA, PROFILE, VERSION, Entity
from replab.runs import record as records

# Terms of the context that occur here; another one would be a misspelling.
_TERMS = frozenset(
    {
        "@id",
        "@type",
        "about",
        "agent",
        "author",
        "citation",
        "codeRepository",
        "conformsTo",
        "contentSize",
        "creditText",
        "datePublished",
        "description",
        "encodingFormat",
        "endTime",
        "hasPart",
        "identifier",
        "instrument",
        "keywords",
        "license",
        "mentions",
        "name",
        "object",
        "programmingLanguage",
        "publisher",
        "result",
        "sha256",
        "softwareRequirements",
        "softwareVersion",
        "startTime",
        "url",
        "value",
        "version",
    }
)
# Named, not described: the specification itself.
_OUTSIDE = (VERSION,)
_DEMANDED: Mapping[str, tuple[str, ...]] = {
    "Dataset": ("name", "description", "datePublished", "license", "hasPart", "conformsTo"),
    "File": ("name", "description", "encodingFormat", "contentSize", "sha256", "license"),
    "CreateAction": (
        *("name", "description", "instrument", "agent", "object", "result"),
        *("startTime", "endTime"),
    ),
    "SoftwareSourceCode": ("name", "version"),
    "SoftwareApplication": ("name", "softwareVersion"),
    "Organization": ("name",),
    "PropertyValue": ("name", "value"),
    "ScholarlyArticle": ("name", "creditText"),
    "CreativeWork": (),
}
# What the references of an action must be.
_REFERENCES: Mapping[str, tuple[str, ...]] = {
    "instrument": ("SoftwareSourceCode", "SoftwareApplication"),
    "agent": ("Organization", "Person"),
    "object": ("File", "Dataset", "CreativeWork", "PropertyValue"),
    "result": ("File",),
}


def problems(dossier: Dossier, files: Mapping[str, bytes]) -> list[str]:
    """What is wrong with a crate.

    Args:
        files: path inside the crate → content.
    """
    if METADATA not in files:
        return [f"{METADATA} is missing"]
    try:
        document = json.loads(files[METADATA])
    except ValueError as error:
        return [f"{METADATA} is not JSON: {error}"]
    if not isinstance(document, dict) or document.get("@context") != CONTEXT:
        return [f"{METADATA} has not the context {CONTEXT}"]
    graph = document.get("@graph")
    if not isinstance(graph, list) or not all(
        isinstance(e, dict) and isinstance(e.get("@id"), str) and isinstance(e.get("@type"), str)
        for e in graph
    ):
        return [f"{METADATA} has no @graph of entities, each with @id and @type"]
    entities: dict[str, Entity] = {e["@id"]: e for e in graph}
    found = [] if len(entities) == len(graph) else ["an @id stands for two entities"]
    checks: tuple[Callable[[], Iterator[str]], ...] = (
        lambda: _entities(entities),
        lambda: _descriptor(entities),
        lambda: _references(entities),
        lambda: _actions(entities),
        lambda: _payload(entities, files),
        lambda: _evidence(dossier, entities, files),
    )
    for check in checks:
        found += check()
    return found


def _ids(value: Any) -> list[str]:
    """The ids that a property refers to; of text none."""
    values = value if isinstance(value, list) else [value]
    return [v["@id"] for v in values if isinstance(v, dict) and isinstance(v.get("@id"), str)]


def _entities(entities: Mapping[str, Entity]) -> Iterator[str]:
    for name, entity in entities.items():
        kind = entity["@type"]
        if kind not in _DEMANDED:
            yield f"{name} is of the unknown type {kind}"
            continue
        lacking = [field for field in _DEMANDED[kind] if not entity.get(field)]
        if lacking:
            yield f"{name} ({kind}) lacks {', '.join(lacking)}"
        unknown = sorted(set(entity) - _TERMS)
        if unknown:
            yield f"{name} has terms that the context does not know: {', '.join(unknown)}"
        for field, value in entity.items():
            values = value if isinstance(value, list) else [value]
            if any(isinstance(v, dict) and set(v) != {"@id"} for v in values):
                yield f"{name}: {field} nests an entity; the graph must be flat"


def _descriptor(entities: Mapping[str, Entity]) -> Iterator[str]:
    descriptor, root = entities.get(METADATA), entities.get("./")
    if descriptor is None or _ids(descriptor.get("about")) != ["./"]:
        yield f"{METADATA} does not describe itself as being about ./"
    elif _ids(descriptor.get("conformsTo")) != [VERSION]:
        yield f"{METADATA} does not say that it conforms to {VERSION}"
    if root is None or root["@type"] != "Dataset":
        yield "there is no root data set ./"
        return
    if PROFILE not in _ids(root.get("conformsTo")):
        yield f"./ does not say that it conforms to {PROFILE}"
    if not _is_date(root.get("datePublished")):
        yield f"./ has no ISO date of publication but {root.get('datePublished')!r}"


def _is_date(value: object) -> bool:
    try:
        datetime.date.fromisoformat(str(value))
    except ValueError:
        return False
    return True


def _references(entities: Mapping[str, Entity]) -> Iterator[str]:
    for name, entity in entities.items():
        for field, value in entity.items():
            for target in _ids(value):
                if target not in entities and target not in _OUTSIDE:
                    yield f"{name}: {field} refers to {target}, which is not in the crate"


def _actions(entities: Mapping[str, Entity]) -> Iterator[str]:
    mentioned = set(_ids(entities.get("./", {}).get("mentions")))
    for name, entity in entities.items():
        if entity["@type"] != "CreateAction":
            continue
        if name not in mentioned:
            yield f"{name} is not mentioned by ./"
        for field, kinds in _REFERENCES.items():
            for target in _ids(entity.get(field)):
                kind = entities.get(target, {}).get("@type")
                if kind is not None and kind not in kinds:
                    yield f"{name}: its {field} {target} is a {kind}"
        try:
            begin, end = (
                datetime.datetime.fromisoformat(entity[field])
                for field in ("startTime", "endTime")
            )
            if begin.tzinfo is None or begin > end:
                yield f"{name} ends before it starts, or in no time zone"
        except (KeyError, TypeError, ValueError):
            yield f"{name} has no ISO times"


def _payload(entities: Mapping[str, Entity], files: Mapping[str, bytes]) -> Iterator[str]:
    parts = set(_ids(entities.get("./", {}).get("hasPart")))
    described = {METADATA}
    for name, entity in entities.items():
        if entity["@type"] != "File":
            continue
        path = unquote(name)
        described.add(path)
        if re.match(r"[a-z]+:|/", name) or ".." in path.split("/"):
            yield f"{name} is no path inside the crate"
        if name not in parts:
            yield f"{name} is not among the parts of ./"
        if path not in files:
            yield f"{name} is described, but there is no such file"
            continue
        if entity.get("contentSize") != str(len(files[path])):
            yield f"{name} has {len(files[path])} bytes, not {entity.get('contentSize')}"
        if entity.get("sha256") != sha256_bytes(files[path]):
            yield f"{name} has another sha256 than its description"
    for path in sorted(set(files) - described):
        yield f"{path} lies in the crate, but is not described"


def _evidence(
    dossier: Dossier, entities: Mapping[str, Entity], files: Mapping[str, bytes]
) -> Iterator[str]:
    """Whether the crate holds the accepted ledger and each of its records, and a run for each."""
    name, profile = dossier.paper.name, dossier.profile
    place = f"results/{name}/{profile}/accepted.json"
    accepted = evidence.accepted_path(name, profile).read_bytes()
    if files.get(place) != accepted:
        yield f"{place} is not the accepted ledger"
    results = {
        target
        for entity in entities.values()
        if entity["@type"] == "CreateAction"
        for target in _ids(entity.get("result"))
    }
    for run, digest in dossier.ledger.runs.items():
        path = f"results/{name}/runs/{run}.json"
        if path not in files:
            yield f"record {run} of the accepted ledger is missing"
            continue
        if path not in results:
            yield f"{path} is the result of no run"
        try:
            found = record_digest(records.parse(json.loads(files[path]), where=path))
        except (ValueError, UserError) as error:
            yield f"{path} is no record: {error}"
            continue
        if found != digest:
            yield f"{path} is not the record that was accepted"
