"""Which score some records answer by, AP or PCK, and what an axis of it is called."""

from collections.abc import Iterable, Mapping
from types import MappingProxyType

from replab.datasets import registry
from replab.runs.record import Record

# In the order of preference, where records hold several.
MEASURES: Mapping[str, str] = MappingProxyType({"ap": "AP", "pck": "PCK@0.2"})


def measure(records: Iterable[Record]) -> str:
    """The score that stands for all others in some records: `ap`, else `pck`.

    `ap` if none of the records has either, so that an empty figure has an axis.
    """
    there = {name for record in records for name in record.metrics}
    return next((name for name in MEASURES if name in there), next(iter(MEASURES)))


def axis_label(records: Iterable[Record], name: str) -> str:
    """What an axis of a score is called: the measure, where it was taken, its unit (%).

    Args:
        records: whose recipes name the data they were scored on.
        name: of the score.
    """
    sets = dict.fromkeys(str(r.recipe["test_data"]) for r in records if "test_data" in r.recipe)
    where = " and ".join(registry.title(found) for found in sets)
    return f"{MEASURES.get(name, name)}{f' on {where}' if where else ''} (%)"
