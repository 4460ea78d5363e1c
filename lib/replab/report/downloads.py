"""What has to be fetched for a profile, and how many bytes that is, as far as they are known."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from replab.datasets import coco_detections, pose_weights
from replab.datasets.availability import ANNOTATIONS_ONLY
from replab.datasets.fetch import Entry, entries
from replab.runs.experiment import Replication


@dataclass(frozen=True)
class Download:
    """Something that `fetch` brings.

    Attributes:
        size: in bytes, None where the code knows none.
    """

    name: str
    size: int | None


def needed(replication: Replication, profile: str) -> list[Download]:
    """All that a profile's runs take from elsewhere, the first choice of data each, by name.

    What is drawn on the machine and what is used only where it lies already are left out.
    """
    names: set[str] = set()
    for experiment in replication.experiments.values():
        plan = experiment.plans.get(profile)
        if plan is None:
            continue
        names |= {*plan.data[:1], str(plan.recipe.get("test_data", ""))}
        names |= {name for variant in plan.variants for name in experiment.fetches(variant)}
    table = entries()
    return [Download(name, _size(table[name])) for name in sorted(_fetched(names, table))]


def total(downloads: Iterable[Download]) -> int:
    """Bytes of those whose size is known."""
    return sum(download.size or 0 for download in downloads)


def _fetched(names: Iterable[str], table: Mapping[str, Entry]) -> set[str]:
    wholes = {name.removesuffix("-train").removesuffix("-test") for name in names}
    return {name for name in wholes if name in table and name != ANNOTATIONS_ONLY}


def _size(entry: Entry) -> int | None:
    if entry.size is not None:
        return entry.size
    # Known, though no program can fetch them by itself.
    if entry.name == "coco-detections":
        return coco_detections.PUBLISHED.size
    known = pose_weights.CHECKPOINTS.get(entry.name.removeprefix("weights:"))
    return known.bytes if known else None
