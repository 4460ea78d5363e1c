"""How a replication was done, from its records: networks, data, recipes, software, cost."""

import json
import statistics
from collections.abc import Iterable, Mapping
from typing import Any

from replab.report.handed_in import data_sets
from replab.report.handed_in.document import Block, Code, Paragraph, Table
from replab.report.handed_in.dossier import Dossier
from replab.runs.identity import format_variant
from replab.runs.record import Record


def in_short(dossier: Dossier) -> str:
    """The methodology in three sentences."""
    records = list(dossier.records.values())
    trained = [r for r in records if r.iterations]
    return (
        f"{len(records)} runs of {len(_by_experiment(records))} experiments, {len(trained)} of "
        f"them trainings, took {duration(_wall(records))} in all on {_hardware(records)}. The "
        f"code is replab {_version(records)}, which is no code of the paper's authors; where it "
        f"does otherwise than the paper, {len(dossier.departures())} deviations say how and why."
    )


def models(dossier: Dossier) -> list[Block]:
    """Every network that a record names, with its size where one counts it."""
    named: dict[str, list[Record]] = {}
    for record in dossier.records.values():
        if record.model:
            named.setdefault(record.model, []).append(record)
    if not named:
        return [Paragraph("No run of this profile builds a network.")]
    rows = [
        (
            f"`{name}`",
            ", ".join(_by_experiment(members)),
            str(len(members)),
            _span(members, "params", "{:,.0f}"),
            _span(members, "macs", "{:.4g}"),
        )
        for name, members in sorted(named.items())
    ]
    header = ("network", "experiments", "runs", "parameters", "multiply-adds")
    return [
        Paragraph(
            "Parameters and multiply-adds of one image as counted by the runs themselves; a range "
            "where variants of a network differ, a dash where no run counts it."
        ),
        Table(header, rows, (2.4, 2, 0.6, 2, 2)),
    ]


def _span(records: Iterable[Record], metric: str, form: str) -> str:
    values = [r.metrics[metric] for r in records if metric in r.metrics]
    if not values:
        return "–"
    ends = [form.format(end) for end in (min(values), max(values))]
    return " – ".join(dict.fromkeys(ends))


def datasets(dossier: Dossier) -> list[Block]:
    """Every data set and every file of others' weights or predictions that a run read."""
    found = data_sets.behind(dossier, dossier.records.values())
    if not found:
        return [Paragraph("No run of this profile reads data.")]
    rows = [
        (f"`{d.name}`", d.what, d.licence, d.citation, d.url, ", ".join(d.fingerprints))
        for d in found.values()
    ]
    header = ("name", "what", "licence", "to cite", "page", "fingerprint")
    return [Table(header, rows, (1.2, 2.6, 1.6, 2, 1.6, 1.2))]


def hyperparameters(dossier: Dossier) -> list[Block]:
    """The recipe of every experiment, key by key, with its variants and seeds."""
    parts: list[Block] = []
    for name, members in _by_experiment(dossier.records.values()).items():
        variants = list(dict.fromkeys(format_variant(r.variant) for r in members))
        seeds = sorted({r.seed for r in members})
        splits = sorted({r.data["split"] for r in members} - {""})
        rows = [("variants", str(len(variants)) + ": " + "; ".join(f"`{v}`" for v in variants))]
        if not dossier.paper.replication.experiments[name].deterministic:
            rows.append(("seeds", ", ".join(map(str, seeds))))
        rows.append(("precision", ", ".join(sorted({r.precision for r in members}))))
        rows += [("part of the data", "; ".join(splits))] if splits else []
        rows += [(f"`{key}`", _plain(value)) for key, value in sorted(_recipe(members).items())]
        parts += [Paragraph(f"**{name}**"), Table(("setting", "value"), rows, (1.5, 5))]
    return parts


def _recipe(records: Iterable[Record]) -> Mapping[str, Any]:
    """The recipe of an experiment's records, which acceptance holds to be one and the same."""
    return next(iter(records)).recipe


def _plain(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return f"`{text}`"


def setup(dossier: Dossier) -> list[Block]:
    """Software, commits and the commands that do all of it again."""
    records = list(dossier.records.values())
    dirty = [r.id for r in records if r.provenance["dirty"]]
    versions: dict[str, set[str]] = {}
    for record in records:
        for package, version in record.provenance["versions"].items():
            versions.setdefault(package, set()).add(str(version))
    packages = ", ".join(f"{name} {'/'.join(sorted(v))}" for name, v in sorted(versions.items()))
    unclean = (
        f" {len(dirty)} runs were made from a checkout with changes that were not committed: "
        f"{', '.join(dirty)}."
        if dirty
        else " Every run was made from a clean checkout of its commit."
    )
    place = dossier.code_url or "the repository that this report was generated in"
    return [
        Paragraph(f"Software: {packages}. Code: {place}, commits {_commits(dossier)}.{unclean}"),
        Paragraph("The first command does every run anew, the second decides from the records:"),
        Code(
            f"nox -s replicate -- {dossier.paper.name} --profile {dossier.profile}\n"
            f"python -m replab check {dossier.paper.name}"
        ),
    ]


def _commits(dossier: Dossier) -> str:
    return ", ".join(f"`{commit[:12]}`" for commit in dossier.commits)


def costs(dossier: Dossier) -> list[Block]:
    """What the runs took, experiment by experiment: time, memory, hardware."""
    rows = []
    records = list(dossier.records.values())
    for name, members in _by_experiment(records).items():
        walls = [_wall([r]) for r in members]
        memory = max(r.provenance["peak_mem_bytes"] for r in members)
        rows.append(
            (
                name,
                str(len(members)),
                duration(statistics.median(walls)),
                duration(sum(walls)),
                f"{memory / 1e9:.1f} GB",
                ", ".join(map(str, sorted({r.threads for r in members}))),
                _hardware(members),
            )
        )
    rows.append(("**all**", str(len(records)), "", duration(_wall(records)), "", "", ""))
    header = (
        *("experiment", "runs", "a run (median)", "all runs"),
        *("largest memory", "threads", "hardware"),
    )
    return [
        Paragraph(
            "Measured: the time that each run took by the clock, and the largest memory of its "
            "whole process, or of the GPU where one was used."
        ),
        Table(header, rows, (1.6, 0.7, 1.2, 1.2, 1.2, 0.8, 2.8)),
    ]


def departures(dossier: Dossier) -> list[Block]:
    """The deviations that touch what was attempted, with their reasons."""
    found = dossier.departures()
    others = len(dossier.deviations) - len(found)
    more = f"{others} more touch no claim that was attempted under this profile."
    if not found:
        return [Paragraph(f"None touches a claim that was attempted.{f' {more}' * (others > 0)}")]
    rows = []
    for deviation in found:
        stated = deviation.stated
        touched = dossier.touched(deviation)
        scaled = all(dossier.ledger[claim].supports for claim in touched)
        kind = "scaled claim" if scaled else "claim"
        count = f"{len(touched)} {kind}{'s' * (len(touched) != 1)}"
        rows.append((stated.where, stated.paper, stated.here, stated.why, count))
    header = ("where", "the paper or its code", "here", "why", "touches, of those attempted")
    parts: list[Block] = [Table(header, rows, (1.3, 2, 2, 3, 0.9))]
    return [*parts, Paragraph(more)] if others else parts


def duration(seconds: float) -> str:
    """A time as people say it: `0.2 s`, `45 s`, `12 min`, `3.4 h`."""
    if seconds < 1:
        return f"{seconds:.2g} s"
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def _by_experiment(records: Iterable[Record]) -> dict[str, list[Record]]:
    groups: dict[str, list[Record]] = {}
    for record in sorted(records, key=lambda r: (r.experiment, *map(str, r.variant.values()))):
        groups.setdefault(record.experiment, []).append(record)
    return groups


def _wall(records: Iterable[Record]) -> float:
    return sum(float(r.provenance["wall_s"]) for r in records)


def _hardware(records: Iterable[Record]) -> str:
    found = {r.provenance["gpu"] or r.provenance["cpu"] for r in records}
    return " and ".join(sorted(found))


def _version(records: Iterable[Record]) -> str:
    found = {str(r.provenance["versions"].get("replab", "unknown")) for r in records}
    return "/".join(sorted(found))
