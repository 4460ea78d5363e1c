"""What a command asks for, in words of the campaign: which runs, which seeds, where."""

from fnmatch import fnmatchcase
from typing import TypedDict

from replab.claims.attempts import wanted_selectors
from replab.claims.schema import Paper
from replab.errors import UserError
from replab.runs.campaign import Wanted
from replab.runs.clusters import Cluster
from replab.runs.executors import resolve_device
from replab.runs.experiment import Experiment, Variant


class Place(TypedDict):
    """Where runs are done.

    Attributes:
        device: a device class.
        native_precision: what `native` means there, None to find out on this machine.
    """

    device: str
    native_precision: str | None


def place(device: str, cluster: Cluster | None) -> Place:
    """Where runs are done: the device class, and what `native` precision means there.

    Raises:
        UserError: there is no such device.
    """
    if cluster is None:
        return {"device": resolve_device(device), "native_precision": None}
    device = cluster.resolve_device(device)
    return {"device": device, "native_precision": cluster.native_precision(device)}


def wanted_runs(paper: Paper, profile: str, only: str | None) -> Wanted:
    """Which runs a glob of claim ids or experiment names asks for; all, where it is None."""
    if only is None:
        return lambda experiment, variant: True
    selectors = wanted_selectors(paper, profile, only)

    def wanted(experiment: Experiment, variant: Variant) -> bool:
        return fnmatchcase(experiment.name, only) or any(
            s.experiment == experiment.name and s.fits(variant) for s in selectors
        )

    return wanted


def parse_seeds(words: str) -> tuple[int, ...] | None:
    """Seeds from `5` (0 to 4), `3-5` or `0,4,7`; None from an empty text.

    Raises:
        UserError: the text is none of these.
    """
    text_ = words.strip()
    if not text_:
        return None
    try:
        if text_.isdigit():
            count = int(text_)
            seeds = tuple(range(count))
        else:
            seeds = tuple(
                seed for part in text_.split(",") if part for seed in _seed_range(part.strip())
            )
    except ValueError:
        seeds = ()
    if not seeds or len(set(seeds)) != len(seeds):
        raise UserError(
            f"--seeds {words}: write a number of seeds (5), a range (3-5) or a list (0,4,7)"
        )
    return seeds


def _seed_range(part: str) -> range:
    first, dash, last = part.partition("-")
    return range(int(first), int(last if dash else first) + 1)
