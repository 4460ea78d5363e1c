"""What a command asks for, parsed once: which runs of a paper, how and where they are done."""

from dataclasses import dataclass, field

from replab.errors import UserError
from replab.options import LOCAL, RunOptions
from replab.runs.experiment import require_profile


@dataclass(frozen=True, kw_only=True)
class Request:
    """Runs of a paper that a command asks for.

    Attributes:
        seeds: in place of the plans' own.
        only: a glob of claim ids or experiment names, to do no more than they need.
        options: how each run computes.
        workers: runs at a time, in place of one a core or as many as share a GPU.
        executor: `local`, `ray` or `slurm`.
        executor_options: of a cluster, each `name=value`.
        wait: until a cluster has done the runs; else a later command sees to them.

    Raises:
        UserError: there is no such profile, or the options exclude each other.
    """

    paper: str
    profile: str = "quick"
    seeds: tuple[int, ...] | None = None
    only: str | None = None
    options: RunOptions = field(default_factory=RunOptions)
    workers: int | None = None
    executor: str = LOCAL
    executor_options: tuple[str, ...] = ()
    wait: bool = True

    def __post_init__(self) -> None:
        require_profile(self.profile)
        if self.options.ranks > 1 and (self.workers or self.executor != LOCAL):
            raise UserError(
                "--ranks does one run at a time here; leave --workers and --executor out"
            )


def parse_seeds(words: str) -> tuple[int, ...] | None:
    """Seeds from `5` (0 to 4), `3-5` or `0,4,7`; None from an empty text.

    Raises:
        UserError: the text is none of these.
    """
    text = words.strip()
    if not text:
        return None
    try:
        if text.isdigit():
            seeds = tuple(range(int(text)))
        else:
            parts = [part.strip().partition("-") for part in text.split(",") if part]
            seeds = tuple(
                seed
                for first, dash, last in parts
                for seed in range(int(first), int(last if dash else first) + 1)
            )
    except ValueError:
        seeds = ()
    if not seeds or len(set(seeds)) != len(seeds):
        raise UserError(
            f"--seeds {words}: write a number of seeds (5), a range (3-5) or a list (0,4,7)"
        )
    return seeds
