"""What has to be fetched for a profile, and how many bytes that is, as far as they are known."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from replab.datasets.fetch import entries
from replab.datasets.registry import Dataset, whole
from replab.planning.run_plan import Wanted
from replab.runs.experiment import Replication


@dataclass(frozen=True)
class Download:
    """Something that `fetch` brings.

    Attributes:
        size: in bytes, None where the code knows none.
        opens: the names under which runs open it, such as a set's two parts.
    """

    name: str
    size: int | None
    opens: tuple[str, ...] = ()


def needed(
    replication: Replication,
    profile: str,
    wanted: Wanted = lambda experiment, variant: True,
) -> list[Download]:
    """All that a profile's runs take from elsewhere, the first choice of data each, by name.

    What is drawn on the machine and what is used only where it lies already are left out.

    Args:
        wanted: leaves out what was not asked for.
    """
    names: set[str] = set()
    for experiment in replication.experiments.values():
        plan = experiment.plans.get(profile)
        variants = [v for v in plan.variants if wanted(experiment, v)] if plan else []
        if plan is None or not variants:
            continue
        names |= {*plan.data[:1], str(getattr(plan.recipe, "test_data", ""))}
        names |= {name for variant in variants for name in experiment.fetches(variant)}
    table = entries()
    opened = _fetched(names, table)
    return [Download(name, _size(table[name]), opened[name]) for name in sorted(opened)]


def total(downloads: Iterable[Download]) -> int:
    """Bytes of those whose size is known."""
    return sum(download.size or 0 for download in downloads)


def _fetched(names: Iterable[str], table: Mapping[str, Dataset]) -> dict[str, tuple[str, ...]]:
    """What is fetched → the names among those given that open it."""
    found: dict[str, tuple[str, ...]] = {}
    for name in sorted(names):
        fetched = whole(name)
        if fetched in table:
            found[fetched] = (*found.get(fetched, ()), name)
    return found


def _size(entry: Dataset) -> int | None:
    return entry.manual_size if entry.size is None else entry.size
