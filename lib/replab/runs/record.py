"""The record of a run: a small JSON file, written once."""

import math
import numbers
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from replab.errors import UserError
from replab.files import canonical_json, read_json
from replab.hardware import DEVICE_CLASSES
from replab.runs.experiment import RunResult
from replab.runs.identity import RunSpec, run_id

FORMAT = 1
_MEND = "delete the file and run the replication again, or restore it from git"
_NUMBER = (int, float)
# What each field must be, so that who reads a record need not look twice.
_KINDS: Mapping[str, tuple[type, ...]] = {
    "id": (str,),
    "paper": (str,),
    "experiment": (str,),
    "version": (int,),
    "model": (str,),
    "variant": (dict,),
    "seed": (int,),
    "profile": (str,),
    "data": (dict,),
    "recipe": (dict,),
    "iterations": (int,),
    "precision": (str,),
    "device": (str,),
    "threads": (int,),
    "metrics": (dict,),
    "series": (dict,),
    "provenance": (dict,),
    "format": (int,),
    "weights": (dict, type(None)),
    "registration": (str, type(None)),
}
# Fields that a record need not have: those of runs that left nothing of the kind.
_OPTIONAL = ("weights", "registration")
_WEIGHTS_KINDS: Mapping[str, tuple[type, ...]] = {"sha256": (str,), "bytes": (int,)}
_DATA_KINDS: Mapping[str, tuple[type, ...]] = {
    "name": (str,),
    "fingerprint": (str,),
    "split": (str,),
}
_PROVENANCE_KINDS: Mapping[str, tuple[type, ...]] = {
    "commit": (str,),
    "dirty": (bool,),
    "versions": (dict,),
    "cpu": (str,),
    "gpu": (str,),
    "started": (str,),
    "wall_s": _NUMBER,
    "peak_mem_bytes": (int,),
    "throughput": (*_NUMBER, type(None)),
}
_WORDS: Mapping[type, str] = {
    str: "text",
    int: "a whole number",
    float: "a number",
    dict: "a JSON object",
    bool: "true or false",
    type(None): "null",
}


@dataclass(frozen=True)
class Record:
    """What one run produced and where it comes from.

    Attributes:
        data: `{name, fingerprint, split}`.
        metrics: numbers by name, each finite.
        series: curves by name, `{"x": […], "y": […]}`.
        provenance: the fields of `replab.runs.provenance.Provenance`.
        weights: `{sha256, bytes}` of the file of the trained network's weights, None if none were
            kept.
        registration: digest of the registration under which the run began, None if there was none.
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
    weights: Mapping[str, Any] | None = None
    registration: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """The record as plain values; what it need not have is there only if it has it."""
        values = asdict(self)
        return {k: v for k, v in values.items() if k not in _OPTIONAL or v is not None}


def make(
    spec: RunSpec,
    result: RunResult,
    *,
    threads: int,
    provenance: Mapping[str, Any],
    weights: Mapping[str, Any] | None = None,
) -> Record:
    """Join a spec and its result, and what is to be known of the weights that were kept.

    Raises:
        ValueError: a metric or a point of a series is not a finite number, or a series has not
            as many `x` as `y`.
    """
    metrics = {k: _plain_number(f"metric {k}", v) for k, v in result.metrics.items()}
    series = {
        name: {
            axis: [float(_plain_number(f"series {name}", v)) for v in curve[axis]]
            for axis in ("x", "y")
        }
        for name, curve in result.series.items()
    }
    for name, axes in series.items():
        if len(axes["x"]) != len(axes["y"]):
            raise ValueError(f"series {name} has {len(axes['x'])} x and {len(axes['y'])} y")
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
        recipe=spec.recipe.as_json(),
        iterations=int(result.iterations),
        precision=spec.precision,
        device=spec.device,
        threads=threads,
        metrics=metrics,
        series=series,
        provenance=dict(provenance),
        weights=None if weights is None else dict(weights),
        registration=spec.registration or None,
    )


def _plain_number(what: str, value: Any) -> float:
    """A number as JSON has it: of numpy's numbers, too, only int and float remain."""
    # A bool is an Integral, too, yet no measurement.
    if type(value) is bool or not isinstance(value, numbers.Real):
        raise ValueError(f"{what} is no number but {type(value).__name__}")
    if isinstance(value, numbers.Integral):
        return int(value)
    if not math.isfinite(value):
        raise ValueError(f"{what} is {float(value)}")
    return float(value)


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
    missing = sorted(known - set(values) - set(_OPTIONAL))
    unknown = sorted(set(values) - known)
    if missing or unknown:
        parts = [f"lacks {', '.join(missing)}"] if missing else []
        parts += [f"has unknown {', '.join(unknown)}"] if unknown else []
        raise UserError(f"{where} is no record: it {' and '.join(parts)}; {_MEND}")
    if values["format"] != FORMAT:
        raise UserError(
            f"{where} has record format {values['format']}, this replab reads {FORMAT}; "
            "use the replab that wrote it"
        )
    _require_kinds(dict.fromkeys(_OPTIONAL) | values, _KINDS, where, "field ")
    _require_kinds(values["data"], _DATA_KINDS, where, "data.")
    _require_kinds(values["provenance"], _PROVENANCE_KINDS, where, "provenance.")
    if values.get("weights") is not None:
        _require_kinds(values["weights"], _WEIGHTS_KINDS, where, "weights.")
    _require_finite(values, where)
    for name in ("paper", "experiment"):
        # The paper's name becomes a folder of the store: nothing may lead out of it.
        if not re.fullmatch(r"[A-Za-z0-9_-]+", values[name]):
            raise UserError(f"{where}: {name} {values[name]!r} is no name; {_MEND}")
    if values["device"] not in DEVICE_CLASSES:
        raise UserError(f"{where}: there is no device class {values['device']!r}; {_MEND}")
    for name, value in values["variant"].items():
        if not isinstance(value, str | int | float):
            raise UserError(f"{where}: {name} of the variant is neither text nor number; {_MEND}")
    for name, value in values["metrics"].items():
        if isinstance(value, bool) or not isinstance(value, _NUMBER):
            raise UserError(f"{where}: metric {name} is no number; {_MEND}")
    for name, curve in values["series"].items():
        if not _is_curve(curve):
            raise UserError(f"{where}: series {name} is not as many x as y, all numbers; {_MEND}")
    if not re.fullmatch(r"[0-9a-f]{16}", values["id"]):
        raise UserError(f"{where}: the id is not 16 hexadecimal digits; {_MEND}")
    expected = run_id(values | {"fingerprint": values["data"]["fingerprint"]})
    if values["id"] != expected:
        raise UserError(
            f"{where}: id {values['id']} does not fit the record's fields (they give {expected}); "
            "the file was edited; " + _MEND
        )
    return Record(**values)


def _require_kinds(
    values: Mapping[str, Any], kinds: Mapping[str, tuple[type, ...]], where: str, prefix: str
) -> None:
    for name, allowed in kinds.items():
        if name not in values:
            raise UserError(f"{where}: {prefix}{name} is missing; {_MEND}")
        value = values[name]
        # In Python a bool is an int, in a record it is not.
        if not isinstance(value, allowed) or (isinstance(value, bool) and bool not in allowed):
            words = " or ".join(_WORDS[kind] for kind in allowed)
            raise UserError(f"{where}: {prefix}{name} is not {words}; {_MEND}")


def _require_finite(values: Mapping[str, Any], where: str) -> None:
    try:
        canonical_json(values)
    except ValueError as error:
        raise UserError(f"{where} holds NaN or infinity, which is no result; {_MEND}") from error


def _is_curve(curve: Any) -> bool:
    if not isinstance(curve, dict) or set(curve) != {"x", "y"}:
        return False
    x, y = curve["x"], curve["y"]
    if not isinstance(x, list) or not isinstance(y, list) or len(x) != len(y):
        return False
    return all(isinstance(v, _NUMBER) and not isinstance(v, bool) for v in [*x, *y])
