"""Selectors: `experiment[k=v,…].metric`, the name of a measured number."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from replab.runs.experiment import Experiment, Variant
from replab.runs.record import Record

_SELECTOR = re.compile(r"(?P<experiment>[\w-]+)\[(?P<variant>[^\]]*)\]\.(?P<metric>[\w.@-]+)")


@dataclass(frozen=True)
class Selector:
    """Which metric of which variant of which experiment."""

    experiment: str
    variant: tuple[tuple[str, str], ...]
    metric: str

    def __str__(self) -> str:
        words = ",".join(f"{key}={value}" for key, value in self.variant)
        return f"{self.experiment}[{words}].{self.metric}"

    def fits(self, variant: Variant) -> bool:
        """Whether a variant has all the selector's values."""
        return all(key in variant and str(variant[key]) == value for key, value in self.variant)

    def variants(self, experiment: Experiment, profile: str) -> list[Variant]:
        """The variants of a profile's plan that the selector names: one, or none."""
        plan = experiment.plans.get(profile)
        return [] if plan is None else [v for v in plan.variants if self.fits(v)]


def parse(text: str) -> Selector:
    """Read a selector.

    Raises:
        ValueError: the text is none.
    """
    match = _SELECTOR.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"'{text}' is no selector such as train[net=plain,depth=20].test_error")
    pairs: list[tuple[str, str]] = []
    for word in filter(None, match["variant"].split(",")):
        key, equals, value = word.partition("=")
        if not equals:
            raise ValueError(f"'{text}': '{word}' is not key=value")
        if key.strip() in dict(pairs):
            raise ValueError(f"'{text}': {key.strip()} stands twice")
        pairs.append((key.strip(), value.strip()))
    return Selector(match["experiment"], tuple(pairs), match["metric"])


def values(selector: Selector, records: Iterable[Record]) -> dict[int, float]:
    """The selected number of each seed.

    Raises:
        ValueError: two records of one seed fit, or a fitting record lacks the metric.
    """
    found: dict[int, float] = {}
    ids: dict[int, str] = {}
    for record in records:
        if record.experiment != selector.experiment or not selector.fits(record.variant):
            continue
        if record.seed in found:
            raise ValueError(
                f"{selector} fits two runs of seed {record.seed}, {ids[record.seed]} and "
                f"{record.id}; remove the record that is out of date"
            )
        if selector.metric not in record.metrics:
            known = ", ".join(sorted(record.metrics))
            raise ValueError(f"record {record.id} has no metric {selector.metric}; it has {known}")
        found[record.seed] = float(record.metrics[selector.metric])
        ids[record.seed] = record.id
    return dict(sorted(found.items()))
