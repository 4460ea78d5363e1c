"""The record of a run: a small JSON file, written once."""

import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from replab.errors import UserError
from replab.files import read_json
from replab.runs.experiment import RunResult
from replab.runs.identity import RunSpec, run_id

FORMAT = 1
_MEND = "delete the file and run the replication again, or restore it from git"


@dataclass(frozen=True)
class Record:
    """What one run produced and where it comes from.

    Attributes:
        data: `{name, fingerprint, split}`.
        metrics: numbers by name, each finite.
        series: curves by name, `{"x": […], "y": […]}`.
        provenance: the fields of `replab.runs.provenance.Provenance`.
    """

    id: str
    paper: str
    experiment: str
    version: int
    model: str
    variant: Mapping[str, Any]
    seed: int
    profile: str
    data: Mapping[str, str]
    recipe: Mapping[str, Any]
    iterations: int
    precision: str
    device: str
    threads: int
    metrics: Mapping[str, float]
    series: Mapping[str, Mapping[str, list[float]]]
    provenance: Mapping[str, Any]
    format: int = FORMAT

    def as_dict(self) -> dict[str, Any]:
        """The record as plain values."""
        return asdict(self)


def make(
    spec: RunSpec, result: RunResult, *, threads: int, provenance: Mapping[str, Any]
) -> Record:
    """Join a spec and its result.

    Raises:
        ValueError: a metric or a point of a series is not a finite number.
    """
    for name, value in result.metrics.items():
        if not math.isfinite(value):
            raise ValueError(f"{spec.label}: metric {name} is {value}")
    for name, curve in result.series.items():
        if not all(map(math.isfinite, [*curve["x"], *curve["y"]])):
            raise ValueError(f"{spec.label}: series {name} is not finite")
    return Record(
        id=spec.id,
        paper=spec.paper,
        experiment=spec.experiment,
        version=spec.version,
        model=result.model,
        variant=dict(spec.variant),
        seed=spec.seed,
        profile=spec.profile,
        data={"name": spec.data, "fingerprint": spec.fingerprint, "split": spec.split},
        recipe=dict(spec.recipe),
        iterations=result.iterations,
        precision=spec.precision,
        device=spec.device,
        threads=threads,
        metrics=dict(result.metrics),
        series={
            k: {"x": list(map(float, v["x"])), "y": list(map(float, v["y"]))}
            for k, v in result.series.items()
        },
        provenance=dict(provenance),
    )


def read(path: Path) -> Record:
    """Read and verify a record file.

    Raises:
        UserError: the file is missing, is no record, or its id does not fit its fields.
    """
    return parse(read_json(path, mend=_MEND), where=str(path))


def parse(values: Any, *, where: str) -> Record:
    """A record from plain values.

    Args:
        where: the file, for messages.

    Raises:
        UserError: a field is missing, unknown or of the wrong kind, or the id does not fit.
    """
    if not isinstance(values, dict):
        raise UserError(f"{where} is no record (no JSON object); {_MEND}")
    known = {f.name for f in fields(Record)}
    missing, unknown = sorted(known - set(values)), sorted(set(values) - known)
    if missing or unknown:
        parts = [f"lacks {', '.join(missing)}"] if missing else []
        parts += [f"has unknown {', '.join(unknown)}"] if unknown else []
        raise UserError(f"{where} is no record: it {' and '.join(parts)}; {_MEND}")
    if values["format"] != FORMAT:
        raise UserError(
            f"{where} has record format {values['format']}, this replab reads {FORMAT}; "
            "use the replab that wrote it"
        )
    for name, kind in (("variant", dict), ("data", dict), ("metrics", dict), ("series", dict)):
        if not isinstance(values[name], kind):
            raise UserError(f"{where}: field {name} is no JSON object; {_MEND}")
    for name, value in values["metrics"].items():
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise UserError(f"{where}: metric {name} is no number; {_MEND}")
    if not re.fullmatch(r"[0-9a-f]{16}", str(values["id"])):
        raise UserError(f"{where}: the id is not 16 hexadecimal digits; {_MEND}")
    expected = run_id(values | {"fingerprint": values["data"].get("fingerprint")})
    if values["id"] != expected:
        raise UserError(
            f"{where}: id {values['id']} does not fit the record's fields (they give {expected}); "
            "the file was edited; " + _MEND
        )
    return Record(**values)
