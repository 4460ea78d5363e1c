"""What the jobs of a Slurm cluster do there, and the notes of which job does which run."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from replab.errors import UserError
from replab.files import read_json, write_json
from replab.runs.cluster_jobs import Job, work
from replab.runs.execution import RunFailed


class SlurmWork:
    """What a job does; submitit queues it again, as it was, when its time is up."""

    def __call__(self, job: Job) -> RunFailed | UserError | None:
        """Do the job on this worker and return what went wrong, if anything did."""
        return work(job)

    def checkpoint(self, job: Job) -> Any:
        """What is queued again: the same, for the run's checkpoint lies in the store."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self, job)


@dataclass(frozen=True)
class JobNote:
    """Which job of which cluster does a run, and at which attempt."""

    cluster: str
    job: str
    attempt: int


def _path(job: Job) -> Path:
    return Path(job.store) / "cluster" / "jobs" / f"{job.spec.id}.json"


def note(job: Job, cluster: str, name: str) -> None:
    """Keep in the store that a job does a run, for later commands.

    Raises:
        UserError: the store cannot be written.
    """
    words = {"cluster": cluster, "job": name, "attempt": job.attempt, "run": job.spec.label}
    write_json(_path(job), words)


def recall(job: Job) -> JobNote | None:
    """The note of the job that does this run; None if there is none.

    Raises:
        UserError: the note is damaged.
    """
    path = _path(job)
    if not path.is_file():
        return None
    mend = "remove it; at worst the run is queued a second time"
    words = read_json(path, mend=mend)
    try:
        return JobNote(str(words["cluster"]), str(words["job"]), int(words["attempt"]))
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path} is no note of a job; {mend}") from error


def forget(job: Job) -> None:
    """Remove the note of a job that has ended."""
    _path(job).unlink(missing_ok=True)
