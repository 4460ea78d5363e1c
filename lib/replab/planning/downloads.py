"""What has to be fetched for a profile, and how many bytes that is, as far as they are known."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from replab.datasets import coco_detections, pose_weights
from replab.datasets.availability import ANNOTATIONS_ONLY
from replab.datasets.fetch import Entry, entries
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


def _fetched(names: Iterable[str], table: Mapping[str, Entry]) -> dict[str, tuple[str, ...]]:
    """What is fetched → the names among those given that open it."""
    found: dict[str, tuple[str, ...]] = {}
    for name in sorted(names):
        whole = name.removesuffix("-train").removesuffix("-test")
        if whole in table and whole != ANNOTATIONS_ONLY:
            found[whole] = (*found.get(whole, ()), name)
    return found


def _size(entry: Entry) -> int | None:
    if entry.size is not None:
        return entry.size
    # Known, though no program can fetch them by itself.
    if entry.name == "coco-detections":
        return coco_detections.PUBLISHED.size
    known = pose_weights.CHECKPOINTS.get(entry.name.removeprefix("weights:"))
    return known.bytes if known else None
