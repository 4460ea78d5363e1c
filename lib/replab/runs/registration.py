"""Registrations: what an experiment will be judged by, written down before its runs begin."""

import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from replab import yaml_lines
from replab.errors import UserError
from replab.files import canonical_json, read_text, sha256_bytes
from replab.hardware import DEVICE_CLASSES
from replab.runs.experiment import PROFILES
from replab.runs.field_reader import FieldReader

if TYPE_CHECKING:
    from replab.runs.record import Record

FOLDER = "registered"
MAX_PRIMARY = 6
MAX_SEEDS = 1000
COMPARATORS = ("greater", "equivalent")
ROLES = ("primary", "secondary")
# Not in the digest: wording, and what the registration puts out of date.
PROSE = ("title", "order", "supersedes")
CLAIM_PROSE = ("supports", "locus", "statement", "metric", "unit")
# Lists that say the same in any order.
UNORDERED = ("variants", "devices", "contrasts", "plus", "minus")
_ID = re.compile(r"[a-z0-9]+([.-][a-z0-9_-]+)*")
_FIX = "see docs/registering.md"


@dataclass(frozen=True)
class Contrast:
    """A sum of measured numbers minus another, taken seed by seed.

    Attributes:
        plus, minus: selectors such as `eighth[net=plain,depth=20].test_error`.
    """

    plus: tuple[str, ...]
    minus: tuple[str, ...] = ()


@dataclass(frozen=True)
class Expected:
    """The effect that the number of seeds was planned for.

    Attributes:
        effect: in the claim's unit; of `equivalent`, the expected distance from the print.
        sd: standard deviation of the effect over seeds, in the same unit.
        source: where both come from, in words.
    """

    effect: float
    sd: float
    source: str


@dataclass(frozen=True)
class RegisteredClaim:
    """How one claim will be decided.

    Attributes:
        role: `primary` (corrected for multiplicity, enters headlines) or `secondary`.
        comparator: `greater`: every contrast exceeds `margin`; `equivalent`: the mean of the only
            contrast lies within `margin` of the number that the paper prints.
        margin: in the claim's unit.
        target: of `equivalent`, the number that the paper prints, as in `claims.csv`.
        supports: the paper's claim that a scaled claim supports; empty for the paper's own claim,
            whose wording stands in `claims.csv`, as do `locus`, `metric` and `unit`.
        statement: the claim in one sentence.
    """

    id: str
    role: str
    comparator: str
    contrasts: tuple[Contrast, ...]
    margin: float
    expected: Expected
    target: float | None = None
    supports: str = ""
    locus: str = ""
    statement: str = ""
    metric: str = ""
    unit: str = ""


@dataclass(frozen=True)
class Analysis:
    """How differences become verdicts.

    Attributes:
        pairing: what pairs the runs of a difference: `seed`.
        test: `one-sided t`.
        alpha: error rate of each verdict, after the correction.
        correction: `holm`, over the primary claims of the registration.
        interval: level of the two-sided intervals that are shown (0–1).
    """

    pairing: str
    test: str
    alpha: float
    correction: str
    interval: float


@dataclass(frozen=True)
class Registration:
    """One file of `replications/<paper>/registered/`.

    Attributes:
        name: of the file, without its suffix.
        experiment: whose runs it registers, in `profile`, for its `variants`.
        version: of the experiment.
        data: name of the data set; empty if the runs need none.
        precision: number format of the runs.
        devices: device classes on which a run may be done.
        n: how many seeds.
        recipe: of the runs, complete.
        order: its place in the queue; the lowest comes first.
        supersedes: names of registrations, or of experiments that were never registered, whose
            claims this registration puts out of date.
        digest: SHA-256 over what decides: everything but wording.
        seeds: derived from the digest, so that they cannot be known before the rest is fixed.
    """

    name: str
    title: str
    order: int
    experiment: str
    version: int
    profile: str
    data: str
    precision: str
    devices: tuple[str, ...]
    n: int
    variants: tuple[Mapping[str, Any], ...]
    recipe: Mapping[str, Any]
    analysis: Analysis
    claims: tuple[RegisteredClaim, ...]
    digest: str
    supersedes: tuple[str, ...] = ()
    seeds: tuple[int, ...] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "seeds", seeds_of(self.digest, self.n))

    def covers(self, variant: Mapping[str, Any], seed: int) -> bool:
        """Whether a run is one of those that are registered."""
        return seed in self.seeds and self.has_variant(variant)

    def has_variant(self, variant: Mapping[str, Any]) -> bool:
        """Whether a variant is one of those that are registered."""
        return dict(variant) in [dict(v) for v in self.variants]

    @property
    def fingerprint(self) -> str:
        """Fingerprint of the data that are registered, known without them; empty for none."""
        from replab import datasets

        return datasets.fingerprint(self.data) if self.data else ""

    def mismatch(self, record: "Record") -> str:
        """Why a record does not count for this registration, in one line; empty if it does."""
        if record.registration != self.digest:
            return f"it carries another digest than registration {self.name}"
        content = str(record.data["fingerprint"]).partition("+")[0]
        pairs = {
            "experiment": (record.experiment, self.experiment),
            "version": (record.version, self.version),
            "profile": (record.profile, self.profile),
            "precision": (record.precision, self.precision),
            "data": (record.data["name"], self.data),
            "fingerprint of the data": (content, self.fingerprint or content),
            "recipe": (dict(record.recipe), dict(self.recipe)),
        }
        for what, (found, registered) in pairs.items():
            if found != registered:
                return f"its {what} is {found}, registration {self.name} has {registered}"
        if not self.covers(record.variant, record.seed):
            return f"seed {record.seed} or its variant is outside registration {self.name}"
        if record.device not in self.devices:
            return (
                f"it was done on {record.device}, registration {self.name} allows "
                f"{', '.join(self.devices)}"
            )
        if record.provenance["dirty"]:
            return (
                "it was made in a checkout with uncommitted changes, so it does not count for "
                f"registration {self.name}; run it by `nox -s queue`"
            )
        return ""

    @property
    def place(self) -> str:
        """The recipe's place, for messages."""
        return f"registered/{self.name}.yaml: recipe"

    @property
    def primary(self) -> tuple[RegisteredClaim, ...]:
        """The primary claims."""
        return tuple(c for c in self.claims if c.role == "primary")


def seeds_of(digest: str, n: int) -> tuple[int, ...]:
    """The first `n` different seeds (0 to 2³¹ − 1) that follow from a digest."""
    seeds: dict[int, None] = {}
    count = 0
    while len(seeds) < n:
        seeds[int(sha256_bytes(f"{digest}:{count}".encode())[:8], 16) >> 1] = None
        count += 1
    return tuple(seeds)


def digest_of(content: Mapping[str, Any]) -> str:
    """Digest of what decides in a registration, whatever its wording, layout and place.

    Args:
        content: of the file.
    """
    decides = {k: v for k, v in content.items() if k not in PROSE}
    decides["claims"] = {
        claim: {k: v for k, v in fields.items() if k not in CLAIM_PROSE}
        for claim, fields in content["claims"].items()
    }
    return sha256_bytes(canonical_json(_normalized(decides)).encode())


def _normalized(value: Any, key: str = "") -> Any:
    """A value in which `0` and `0.0` are the same, and so is each order of what has none."""
    if isinstance(value, Mapping):
        return {name: _normalized(v, name) for name, v in value.items()}
    if isinstance(value, list):
        parts = [_normalized(v) for v in value]
        return sorted(parts, key=canonical_json) if key in UNORDERED else parts
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


@functools.cache
def _read(path: Path, changed_ns: int) -> Registration:
    text = read_text(path, shown_as=shown(path))
    return parse(text, path)


def read(path: Path) -> Registration:
    """Read and verify a registration.

    Raises:
        UserError: the file is missing, or a part of it is missing, unknown or of the wrong kind.
    """
    if not path.is_file():
        raise UserError(f"{shown(path)} is missing; restore it from git")
    return _read(path, path.stat().st_mtime_ns)


def read_all(folder: Path) -> list[Registration]:
    """All registrations of a paper, by name.

    Args:
        folder: of the paper.
    """
    return [read(path) for path in sorted((folder / FOLDER).glob("*.yaml"))]


def shown(path: Path) -> str:
    """A registration's path in messages, from `replications` on."""
    return "/".join(path.parts[-4:])


def parse(text: str, path: Path) -> Registration:
    """A registration from the text of its file.

    Raises:
        UserError: as of `read`.
    """
    content = parse_yaml(text, path)
    reader = FieldReader(shown(path), _FIX)
    reader.plain(content, "")
    fields = reader.fields(content, "", _KINDS, optional=("supersedes",))
    reader.require(bool(fields["claims"]), "claims", "names no claim")
    claims = tuple(_claim(reader, name, value) for name, value in fields["claims"].items())
    analysis = Analysis(**reader.fields(fields["analysis"], "analysis", _ANALYSIS_KINDS))
    reader.require(analysis.pairing == "seed", "analysis.pairing", "is not seed")
    reader.require(analysis.test == "one-sided t", "analysis.test", "is not one-sided t")
    reader.require(analysis.correction == "holm", "analysis.correction", "is not holm")
    for name in ("alpha", "interval"):
        inside = 0 < getattr(analysis, name) < 1
        reader.require(inside, f"analysis.{name}", "is not between 0 and 1")
    primary = sum(claim.role == "primary" for claim in claims)
    low = f"is {analysis.alpha}; it must be below 0.5, or both directions could be significant"
    reader.require(analysis.alpha < 0.5, "analysis.alpha", low)
    few = f"has {primary} primary claims; it takes 1 to {MAX_PRIMARY}"
    reader.require(1 <= primary <= MAX_PRIMARY, "claims", few)
    many = f"is {fields['n']}; it must be 2 to {MAX_SEEDS}"
    reader.require(2 <= fields["n"] <= MAX_SEEDS, "n", many)
    reader.require(fields["profile"] in PROFILES, "profile", f"is none of {', '.join(PROFILES)}")
    reader.texts(fields["devices"], "devices")
    known = all(device in DEVICE_CLASSES for device in fields["devices"])
    reader.require(known, "devices", f"has others than {', '.join(DEVICE_CLASSES)}")
    reader.texts(fields.get("supersedes", []), "supersedes", empty=True)
    reader.variants(fields["variants"])
    return Registration(
        name=path.stem,
        **{
            **fields,
            "analysis": analysis,
            "claims": claims,
            "devices": tuple(fields["devices"]),
            "supersedes": tuple(fields.get("supersedes", ())),
            "variants": tuple(MappingProxyType(dict(v)) for v in fields["variants"]),
            "recipe": MappingProxyType(dict(fields["recipe"])),
        },
        digest=digest_of(content),
    )


def parse_yaml(text: str, path: Path) -> dict[str, Any]:
    """The plain content of a registration's text.

    Raises:
        UserError: it is no YAML mapping with claims.
    """
    content = yaml_lines.parse(text, shown_as=shown(path)).value
    claims = content.get("claims") if isinstance(content, dict) else None
    if not isinstance(claims, dict) or not all(isinstance(v, dict) for v in claims.values()):
        raise UserError(f"{shown(path)} has no mapping of claims; {_FIX}")
    return content


_KINDS: Mapping[str, type | tuple[type, ...]] = {
    "title": str,
    "order": int,
    "experiment": str,
    "version": int,
    "profile": str,
    "data": str,
    "precision": str,
    "devices": list,
    "n": int,
    "variants": list,
    "recipe": dict,
    "analysis": dict,
    "claims": dict,
    "supersedes": list,
}
_ANALYSIS_KINDS: Mapping[str, type | tuple[type, ...]] = {
    "pairing": str,
    "test": str,
    "alpha": float,
    "correction": str,
    "interval": float,
}
_CLAIM_KINDS: Mapping[str, type | tuple[type, ...]] = {
    "role": str,
    "comparator": str,
    "contrasts": list,
    "margin": (int, float),
    "target": (int, float),
    "expected": dict,
    **dict.fromkeys(CLAIM_PROSE, str),
}
_CONTRAST_KINDS: Mapping[str, type | tuple[type, ...]] = {"plus": list, "minus": list}
_EXPECTED_KINDS: Mapping[str, type | tuple[type, ...]] = {
    "effect": (int, float),
    "sd": (int, float),
    "source": str,
}


def _claim(reader: FieldReader, name: str, value: Any) -> RegisteredClaim:
    place = f"claims.{name}"
    reader.require(bool(_ID.fullmatch(name)), place, "is no claim id (dotted, lower case)")
    fields = reader.fields(value, place, _CLAIM_KINDS, optional=(*CLAIM_PROSE, "target"))
    reader.require(fields["role"] in ROLES, f"{place}.role", f"is none of {', '.join(ROLES)}")
    known = fields["comparator"] in COMPARATORS
    reader.require(known, f"{place}.comparator", f"is none of {', '.join(COMPARATORS)}")
    contrasts = []
    for number, contrast in enumerate(fields["contrasts"]):
        where = f"{place}.contrasts.{number}"
        parts = reader.fields(contrast, where, _CONTRAST_KINDS, optional=("minus",))
        reader.texts(parts["plus"], f"{where}.plus")
        reader.texts(parts.get("minus", []), f"{where}.minus", empty=True)
        contrasts.append(Contrast(tuple(parts["plus"]), tuple(parts.get("minus", ()))))
    reader.require(bool(contrasts), f"{place}.contrasts", "names no contrast")
    if fields["comparator"] == "equivalent":
        single = len(contrasts) == 1 and not contrasts[0].minus
        reader.require(single, f"{place}.contrasts", "of `equivalent` must be one number")
        reader.require(fields["margin"] > 0, f"{place}.margin", "of `equivalent` must exceed 0")
        reader.require("target" in fields, f"{place}.target", "is missing: the printed number")
    else:
        reader.require("target" not in fields, f"{place}.target", "is for `equivalent` alone")
    expected = Expected(**reader.fields(fields["expected"], f"{place}.expected", _EXPECTED_KINDS))
    reader.require(expected.sd > 0, f"{place}.expected.sd", "must exceed 0")
    return RegisteredClaim(name, **{**fields, "contrasts": tuple(contrasts), "expected": expected})
