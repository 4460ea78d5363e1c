"""Weights that runs left in the store: written beside the record, taken out to be shipped."""

import re
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from replab.errors import UserError
from replab.files import sha256_bytes, sha256_file, write_bytes, write_json
from replab.runs import record as records
from replab.runs.experiment import RunResult
from replab.runs.identity import RunSpec
from replab.runs.record import Record
from replab.runs.store import Store

SUFFIX = ".safetensors"


def keep(store: Store, spec: RunSpec, result: RunResult) -> dict[str, Any] | None:
    """Write what a run trained into the store, atomically.

    Returns:
        What the record says of it: the file's SHA-256 and its size in bytes; None if the
        experiment trains no network.

    Raises:
        UserError: the store cannot be written.
    """
    if result.weights is None:
        return None
    from replab.models import own_weights

    net, about = result.weights()
    data = {"name": spec.data, "fingerprint": spec.fingerprint, "split": spec.split}
    about = replace(
        about, run=spec.id, paper=spec.paper, data=data, licence=licence_note(spec.data)
    )
    path = store.weights(spec.id)
    own_weights.write(path, net, about)
    return {"sha256": sha256_file(path), "bytes": path.stat().st_size}


def licence_note(data: str) -> str:
    """What is to be known before weights that were trained on a set are passed on."""
    from replab.datasets.registry import is_generated, registered, whole

    if is_generated(data):
        return f"trained by replab on {data}, which replab generates; no rights of others in it"
    known = registered().get(whole(data))
    licence = known.licence if known and known.licence else "unknown"
    cite = f"; cite {known.citation}" if known and known.citation else ""
    return (
        f"trained by replab on {data}; licence of that data: {licence}{cite}; see that these "
        "terms allow what you do with the weights"
    )


def has(store: Store, record: Record) -> bool:
    """Whether a run's weights were kept and still lie in the store."""
    return record.weights is not None and store.weights(record.id).is_file()


def note_change(before: Record | None, after: Record) -> None:
    """Say so if a run that was done again gave other numbers than its first record has."""
    if before is None:
        return
    changed = sorted(
        name
        for name in {*before.metrics, *after.metrics}
        if before.metrics.get(name) != after.metrics.get(name)
    )
    if changed:
        print(
            f"note: run {after.id}, done again, gave other numbers ({', '.join(changed)}): other "
            "hardware, threads or versions; the new record stands in this machine's store",
            file=sys.stderr,
        )


def find_record(store: Store, run: str) -> Record:
    """The record of a run in this machine's store, by its id.

    Raises:
        UserError: that is no id, or the store has no such record.
    """
    if not re.fullmatch(r"[0-9a-f]{16}", run):
        raise UserError(f"{run!r} is no id of a run; give the 16 digits that `run` prints")
    found = sorted((store.folder / "runs").glob(f"*/{run}.json"))
    if not found:
        raise UserError(
            f"no record {run} in {store.folder}; give the id of a run of this machine, as "
            "`python -m replab run` prints it"
        )
    return records.read(found[0])


def export(store: Store, run: str, target: Path) -> Mapping[str, Any]:
    """Take a run's weights out of the store: the file, and the record beside it.

    Args:
        target: where the file goes, ending in .safetensors; the record takes the same name with
            .json.

    Returns:
        `{weights, record, bytes, sha256}`, the first two being paths.

    Raises:
        UserError: there is no such run, its weights were not kept or are not the record's, or the
            target's name is wrong or cannot be written.
    """
    if target.suffix != SUFFIX:
        raise UserError(f"--out {target}: choose a name that ends in {SUFFIX}")
    record = find_record(store, run)
    command = (
        f"`python -m replab run {record.paper} {record.experiment} --profile {record.profile} "
        f"--seed {record.seed} --variant {' '.join(f'{k}={v}' for k, v in record.variant.items())}"
        " --keep-weights`"
    )
    if not has(store, record):
        raise UserError(f"the weights of run {run} were not kept; {command} does it again")
    assert record.weights is not None
    data = store.weights(run).read_bytes()
    if sha256_bytes(data) != record.weights["sha256"]:
        raise UserError(
            f"{store.weights(run)} is not what its record says; remove it, then {command} makes "
            "it anew"
        )
    beside = target.with_suffix(".json")
    write_bytes(target, data)
    write_json(beside, record.as_dict())
    return {"weights": str(target), "record": str(beside), **record.weights}
