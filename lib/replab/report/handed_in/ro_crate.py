"""A replication as an RO-Crate: its files, and what was run by whom, on what, with which result.

RO-Crate 1.1 (w3id.org/ro/crate/1.1) with the profile Process Run Crate 0.5
(w3id.org/ro/wfrun/process/0.5): each run is a `CreateAction` whose instrument is this suite at the
run's commit, whose objects are the data it read, and whose result is its record.
"""

import io
import json
import mimetypes
import re
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from replab import __version__, paths
from replab.claims import evidence
from replab.claims.shipped_weights import shipped
from replab.errors import UserError
from replab.files import read_json, sha256_bytes
from replab.report import text
from replab.report.handed_in import data_sets
from replab.report.handed_in.dossier import Dossier, finished, started
from replab.runs.identity import format_variant
from replab.runs.record import Record

Entity = dict[str, Any]

METADATA = "ro-crate-metadata.json"
VERSION = "https://w3id.org/ro/crate/1.1"
PROFILE = "https://w3id.org/ro/wfrun/process/0.5"
CONTEXT = f"{VERSION}/context"
LICENCE = "https://spdx.org/licenses/Apache-2.0"
AUTHORS, SUITE = "#authors", "#replab"
_PAGES: Mapping[str, str] = {
    "torch": "https://pytorch.org/",
    "torchvision": "https://pytorch.org/vision/",
    "numpy": "https://numpy.org/",
    "python": "https://www.python.org/",
}
_KINDS = {
    ".md": "text/markdown",
    ".yaml": "application/yaml",
    ".ipynb": "application/x-ipynb+json",
    ".lock": "text/plain",
    ".cff": "application/yaml",
    "": "text/plain",
}


def files(dossier: Dossier) -> dict[str, bytes]:
    """The crate: path inside it → content, its metadata first.

    Raises:
        UserError: a file of the replication is missing or cannot be read.
    """
    payload = dict(sorted(_payload(dossier)))
    metadata = json.dumps(_document(dossier, payload), indent=1, ensure_ascii=False)
    return {METADATA: (metadata + "\n").encode(), **payload}


def zipped(dossier: Dossier, crate: Mapping[str, bytes]) -> bytes:
    """The crate as one file to deposit; equal bytes for an equal crate and an equal zlib."""
    year, month, day = map(int, dossier.date.split("-"))
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, content in sorted(crate.items()):
            entry = zipfile.ZipInfo(name, (year, month, day, 0, 0, 0))
            entry.external_attr = 0o644 << 16
            # Pictures are compressed already, and text is small by any effort.
            how = zipfile.ZIP_STORED if name.endswith(".png") else zipfile.ZIP_DEFLATED
            archive.writestr(entry, content, how, compresslevel=1)
    return stream.getvalue()


def _payload(dossier: Dossier) -> Iterator[tuple[str, bytes]]:
    """The files of a replication under one profile, by their path in the checkout."""
    root, name = paths.root(), dossier.paper.name
    results = evidence.results_dir(name)
    found = [root / "LICENSE", root / "CITATION.cff", root / "requirements.lock"]
    found = [path for path in found if path.is_file()]
    found.append(root / "notebooks" / f"{name}.ipynb")
    for folder in (root / "replications" / name, results / dossier.profile):
        found += [
            path
            for path in folder.rglob("*")
            if path.is_file() and "__pycache__" not in path.parts and path.name[0] != "."
        ]
    found += [evidence.runs_dir(name) / f"{run}.json" for run in dossier.records]
    found += [
        path for file in _weights(dossier).values() for path in (file, file.with_suffix(".json"))
    ]
    for path in found:
        try:
            yield path.relative_to(root).as_posix(), path.read_bytes()
        except OSError as error:
            shown = path.relative_to(root)
            raise UserError(
                f"cannot read {shown}: {error.strerror or error}; restore it from git"
            ) from error


def _weights(dossier: Dossier) -> dict[str, Path]:
    """Committed weights that the runs of a dossier trained, by run; a record lies beside each."""
    found = {}
    for file in shipped([dossier.paper.name]):
        beside = read_json(file.with_suffix(".json"), mend="restore it from git")
        if isinstance(beside, dict) and beside.get("id") in dossier.records:
            found[str(beside["id"])] = file
    return found


def _document(dossier: Dossier, payload: Mapping[str, bytes]) -> Entity:
    records = list(dossier.records.values())
    sets = data_sets.behind(dossier, records)
    software = list(_software(dossier, records))
    trained = {
        run: _name(file.relative_to(paths.root()).as_posix())
        for run, file in _weights(dossier).items()
    }
    actions = [_action(dossier, record, trained.get(record.id)) for record in records]
    parts = [_file(dossier, name, content) for name, content in payload.items()]
    graph = [
        {
            "@id": METADATA,
            "@type": "CreativeWork",
            "about": {"@id": "./"},
            "conformsTo": {"@id": VERSION},
        },
        _root(dossier, parts, actions, [_of_data(d.name) for d in sets.values()]),
        {
            "@id": PROFILE,
            "@type": "CreativeWork",
            "name": "Process Run Crate",
            "version": "0.5",
        },
        {
            "@id": LICENCE,
            "@type": "CreativeWork",
            "name": "Apache License 2.0",
            "description": "The licence of this suite's code, records and figures.",
        },
        _authors(dossier),
        _original(dossier),
        *software,
        *map(_data_entity, sets.values()),
        *_machines(records),
        *actions,
        *parts,
    ]
    return {"@context": CONTEXT, "@graph": graph}


def _root(dossier: Dossier, parts: list[Entity], actions: list[Entity], data: list[str]) -> Entity:
    ledger = dossier.ledger
    title = dossier.paper.citation.title
    return {
        "@id": "./",
        "@type": "Dataset",
        "name": f"{dossier.title}: evidence under profile {dossier.profile}",
        "description": (
            f"A replication of “{title}”, claim by claim. The paper's claims: "
            f"{text.counts_line(ledger.counts(scaled=False))}. Scaled claims, about scaled-down "
            f"experiments: {text.counts_line(ledger.counts(scaled=True))}. The time at which a "
            "run ended is its start plus the time it took; of a run that was interrupted, all "
            "sessions are counted from the start of the last."
        ),
        "datePublished": dossier.date,
        "license": {"@id": LICENCE},
        "conformsTo": {"@id": PROFILE},
        "author": {"@id": AUTHORS},
        "publisher": {"@id": AUTHORS},
        "keywords": "replication, reproducibility, machine learning",
        "citation": {"@id": _original(dossier)["@id"]},
        "hasPart": _references([part["@id"] for part in parts]),
        "mentions": _references([*(action["@id"] for action in actions), *data]),
    }


def _authors(dossier: Dossier) -> Entity:
    entity = {"@id": AUTHORS, "@type": "Organization", "name": ", ".join(dossier.authors)}
    return entity | ({"url": dossier.code_url} if dossier.code_url else {})


def _original(dossier: Dossier) -> Entity:
    citation = dossier.paper.citation
    page = f"https://arxiv.org/abs/{citation.arxiv}" if citation.arxiv else "#paper"
    return {
        "@id": page,
        "@type": "ScholarlyArticle",
        "name": citation.title,
        "creditText": f"{citation.authors}. {citation.title}. {citation.venue}.",
        "datePublished": str(citation.year),
    } | ({"url": page} if citation.arxiv else {})


def _references(identifiers: list[str]) -> Any:
    return _plain([{"@id": identifier} for identifier in identifiers])


def _plain(values: list[Any]) -> Any:
    """A single value as such, as the specification asks; several as a list."""
    return values[0] if len(values) == 1 else values


def _suite(commit: str) -> str:
    """The suite at a commit, by Software Heritage's identifier, which is made from git's."""
    return f"swh:1:rev:{commit}" if re.fullmatch(r"[0-9a-f]{40}", commit) else f"{SUITE}-{commit}"


def _package(name: str, version: str) -> str:
    return f"{_PAGES[name]}#{version}" if name in _PAGES else f"#{name}-{version}"


def _software(dossier: Dossier, records: list[Record]) -> Iterator[Entity]:
    """This suite at every commit that runs were made with, and the packages that move numbers."""
    packages: set[tuple[str, str]] = set()
    for commit in dossier.commits:
        own = [r for r in records if r.provenance["commit"] == commit]
        versions = {(k, str(v)) for r in own for k, v in r.provenance["versions"].items()}
        release = sorted(v for k, v in versions if k == "replab")
        needed = sorted((k, v) for k, v in versions if k != "replab")
        packages |= set(needed)
        entity: Entity = {
            "@id": _suite(commit),
            "@type": "SoftwareSourceCode",
            "name": "replab",
            "version": f"{'/'.join(release) or __version__}+{commit}",
            "description": f"This suite at commit {commit}.",
            "programmingLanguage": "Python",
            "license": {"@id": LICENCE},
            "author": {"@id": AUTHORS},
            "softwareRequirements": _references([_package(k, v) for k, v in needed]),
        }
        if dossier.code_url:
            entity |= {"url": dossier.code_url, "codeRepository": dossier.code_url}
        yield entity
    for name, version in sorted(packages):
        entity = {
            "@id": _package(name, version),
            "@type": "SoftwareApplication",
            "name": name,
            "softwareVersion": version,
        }
        yield entity | ({"url": _PAGES[name]} if name in _PAGES else {})


def _of_data(name: str) -> str:
    return f"#data-{quote(name, safe='.-')}"


def _data_entity(found: data_sets.DataSet) -> Entity:
    """Data stay where they are: the crate says what they are, whose, and where to find them."""
    entity: Entity = {
        "@id": _of_data(found.name),
        "@type": "CreativeWork",
        "name": found.name,
        "description": found.what,
        "license": found.licence,
        "creditText": found.citation,
    }
    entity |= {"url": found.url} if found.url else {}
    return entity | (
        {"identifier": _plain(list(found.fingerprints))} if found.fingerprints else {}
    )


def _machine(record: Record) -> str:
    name = record.provenance["gpu"] or record.provenance["cpu"]
    return f"#machine-{quote(name.lower().replace(' ', '-'), safe='-.')}"


def _machines(records: list[Record]) -> Iterator[Entity]:
    found = {_machine(r): r for r in records}
    for identifier, record in sorted(found.items()):
        provenance = record.provenance
        yield {
            "@id": identifier,
            "@type": "PropertyValue",
            "name": "hardware",
            "value": ", ".join(filter(None, (provenance["cpu"], provenance["gpu"]))),
        }


def _action(dossier: Dossier, record: Record, weights: str | None) -> Entity:
    """A run: what it was, when, with what, on what; its record, and weights that lie here."""
    provenance = record.provenance
    variant = format_variant(record.variant)
    words = f"python -m replab run {record.paper} {record.experiment} --variant {variant}"
    unclean = "; from a checkout with uncommitted changes" if provenance["dirty"] else ""
    objects = [_of_data(name) for name in data_sets.names(dossier, record)]
    objects.append(_machine(record))
    results = [f"results/{record.paper}/runs/{record.id}.json"]
    return {
        "@id": f"#run-{record.id}",
        "@type": "CreateAction",
        "name": f"{record.experiment}, {variant}, seed {record.seed}",
        "description": (
            f"{words} --profile {record.profile} --seed {record.seed}; {record.precision} on "
            f"{record.device}, {record.threads} threads, {float(provenance['wall_s']):.1f} s"
            f"{unclean}"
        ),
        "startTime": started(record).isoformat(),
        "endTime": finished(record).isoformat(),
        "agent": {"@id": AUTHORS},
        "instrument": {"@id": _suite(provenance["commit"])},
        "object": _references(objects),
        "result": _references([*results, weights] if weights else results),
    }


def _name(path: str) -> str:
    """The id of a file of the crate."""
    return quote(path, safe="/.-_")


def _file(dossier: Dossier, name: str, content: bytes) -> Entity:
    suffix = name[name.rindex(".") :] if "." in name.rpartition("/")[2] else ""
    kind = _KINDS.get(suffix) or mimetypes.types_map.get(suffix, "application/octet-stream")
    return {
        "@id": _name(name),
        "@type": "File",
        "name": name,
        "description": _describe(dossier, name),
        "encodingFormat": kind,
        "contentSize": str(len(content)),
        "sha256": sha256_bytes(content),
        "license": {"@id": LICENCE},
    }


def _describe(dossier: Dossier, name: str) -> str:
    """What a file is, by where it lies."""
    paper, profile = dossier.paper.name, dossier.profile
    places = {
        f"results/{paper}/runs/": "record of one run",
        f"results/{paper}/weights/": "weights that a run trained, or the record of that run",
        f"results/{paper}/{profile}/accepted.json": "accepted ledger: every claim, its verdict",
        f"results/{paper}/{profile}/figures/": "figure of the rendered notebook",
        f"results/{paper}/{profile}/": "rendered notebook",
        f"replications/{paper}/paper.yaml": "what the paper claims beyond single numbers",
        f"replications/{paper}/claims.csv": "the paper's numbers, a claim a row",
        f"replications/{paper}/": "the replication: experiments, deviations, points of figures",
        "notebooks/": "notebook that shows the ledger, without outputs",
        "requirements.lock": "exact versions of all packages",
        "CITATION.cff": "how to cite this suite",
        "LICENSE": "the licence",
    }
    return next((what for place, what in places.items() if name.startswith(place)), "a file")
