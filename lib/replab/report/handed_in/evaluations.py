"""What each network scored: the numbers behind the claims that were attempted, by network.

A network here is what one variant of an experiment builds and trains, or whose weights or
predictions it scores. Only scores count: losses, gradients and counts are no evaluation.
"""

import re
import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from replab.claims import selectors
from replab.claims.ledger import Entry
from replab.claims.schema import Claim, claim_selectors
from replab.datasets.registry import whole
from replab.report.handed_in.dossier import Dossier
from replab.runs.identity import format_variant
from replab.runs.record import Record

CLASSIFICATION, KEYPOINTS = "image-classification", "keypoint-detection"


@dataclass(frozen=True)
class Measure:
    """A score.

    Attributes:
        label: what people call it.
        task: of the Hub's tasks.
    """

    label: str
    task: str


# Of the records' metrics, those that are scores of a network; all in percent.
MEASURES: Mapping[str, Measure] = MappingProxyType(
    {
        **{
            name: Measure(label, CLASSIFICATION)
            for name, label in (
                ("test_error", "test error"),
                ("top1_error", "top-1 error"),
                ("top5_error", "top-5 error"),
            )
        },
        **{
            name: Measure(label, KEYPOINTS)
            for name, label in (
                *(
                    (f"a{letter}{suffix}", f"A{letter.upper()}{suffix.upper()}")
                    for letter in "pr"
                    for suffix in ("", "50", "75", "m", "l")
                ),
                ("pck", "PCK"),
                ("pckh", "PCKh"),
            )
        },
    }
)
# Of measures that have one, where neither claim nor metric names another.
_THRESHOLDS: Mapping[str, str] = MappingProxyType({"pck": "0.2", "pckh": "0.5"})


@dataclass(frozen=True)
class Score:
    """One score of one network, over its seeds.

    Attributes:
        measure: a key of `MEASURES`.
        detail: of what it is the score, such as a threshold, a joint or a stage; may be empty.
        values: by seed, percent.
        claims: ids of the claims that rest on it.
    """

    measure: str
    detail: str
    values: Mapping[int, float]
    claims: tuple[str, ...]

    @property
    def mean(self) -> float:
        """Mean over seeds, percent."""
        return statistics.fmean(self.values.values())

    @property
    def name(self) -> str:
        """What was measured, over how many seeds, with their standard deviation."""
        label = MEASURES[self.measure].label + _joined(self.detail)
        n = len(self.values)
        if n < 2:
            return f"{label} (%)"
        spread = statistics.stdev(self.values.values())
        return f"{label} (%), mean of {n} seeds, s.d. {spread:.2f}"


def _joined(detail: str) -> str:
    return detail if detail.startswith("@") else f", {detail}" if detail else ""


@dataclass(frozen=True)
class Network:
    """A network and its scores on one data set.

    Attributes:
        slug: its name here, of letters, digits, dots and hyphens.
        records: the runs behind its scores.
        data: name of the data set that it was scored on.
        split: which part of it, in the records' words; empty if they do not say.
        fingerprint: of that data's content, as the records have it; empty if they do not.
    """

    slug: str
    records: tuple[Record, ...]
    data: str
    split: str
    fingerprint: str
    scores: tuple[Score, ...]


def networks(dossier: Dossier) -> list[Network]:
    """Every network of a ledger's attempted claims with its scores, by name."""
    found: dict[tuple[str, str], dict[tuple[str, str], Score]] = {}
    behind: dict[tuple[str, str], list[Record]] = {}
    for entry in dossier.ledger.select(attempted=True):
        claim = dossier.paper.claims[entry.id]
        for selector in claim_selectors(claim):
            # Fractions of 1 stand beside the same scores in percent.
            metric = selector.metric.removesuffix("_ratio")
            measure, detail = _measure(claim, metric)
            records = _records(dossier, entry, selector)
            if measure not in MEASURES or not records or not records[0].model:
                continue
            key = (_slug(dossier, records[0]), _data(claim, records[0]))
            values = {r.seed: float(r.metrics[metric]) for r in records}
            known = found.setdefault(key, {}).get((measure, detail))
            claims = tuple(dict.fromkeys([*(known.claims if known else ()), entry.id]))
            found[key][measure, detail] = Score(measure, detail, values, claims)
            behind[key] = records
    return [
        Network(
            slug=slug,
            records=tuple(behind[slug, data]),
            data=data,
            split=behind[slug, data][0].data["split"],
            fingerprint=_fingerprint(behind[slug, data][0], data),
            scores=tuple(scores.values()),
        )
        for (slug, data), scores in sorted(found.items())
    ]


def _records(dossier: Dossier, entry: Entry, selector: selectors.Selector) -> list[Record]:
    """The records of a claim that a selector means, by seed."""
    own = (dossier.records[run] for run in entry.runs)
    fitting = [r for r in own if r.experiment == selector.experiment and selector.fits(r.variant)]
    return sorted(fitting, key=lambda r: r.seed)


def _measure(claim: Claim, metric: str) -> tuple[str, str]:
    """A measure's name and what it is of.

    A claim about one number says what it is (`pck@0.2`), while the record calls it by the joint;
    of a claim about several, the record's names are all there is (`ap_stage2`).
    """
    single = claim.selector is not None
    stated, _, threshold = (claim.metric if single else metric).partition("@")
    base, rest = _split(re.sub(r"(_|@)\d\.\d+$", "", metric))
    if single and base != stated:
        base, rest = stated, base
    threshold = threshold or _THRESHOLDS.get(base, "")
    return base, ", ".join(filter(None, (f"@{threshold}" if threshold else "", rest)))


def _split(metric: str) -> tuple[str, str]:
    """A record's metric as a measure and the rest of its name: `ap_stage2` as `ap`, `stage2`."""
    for name in sorted(MEASURES, key=len, reverse=True):
        if metric == name or metric.startswith(f"{name}_"):
            return name, metric.removeprefix(name).removeprefix("_")
    return metric, ""


def _data(claim: Claim, record: Record) -> str:
    """What a number was measured on: as the claim's protocol says, else as the record does."""
    stated = re.search(r"(?:^|; *)data=([\w-]+)", claim.protocol)
    if stated:
        return stated[1]
    return str(record.recipe.get("test_data") or record.data["name"])


def _fingerprint(record: Record, data: str) -> str:
    """Fingerprint of the data that a network was scored on, where the record has it.

    The record's own is of the data it opened: of a training those it was trained on.
    """
    own = record.data["name"]
    if own in ("", data) or (not record.iterations and whole(own) == whole(data)):
        return record.data["fingerprint"].partition("+")[0]
    return ""


def _slug(dossier: Dossier, record: Record) -> str:
    words = "-".join(word.rpartition("=")[2] for word in format_variant(record.variant).split(","))
    plain = re.sub(r"[^a-z0-9.]+", "-", f"{record.experiment}-{words}".lower()).strip("-")
    return f"{dossier.paper.name}-{dossier.profile}-{plain}"
