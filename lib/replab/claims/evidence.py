"""Which records a ledger rests on: this machine's, or the committed ones."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from replab import paths
from replab.claims.ledger import Ledger, cohort_key, current_records
from replab.claims.schema import Paper
from replab.errors import UserError
from replab.files import read_json, write_json
from replab.runs import record as records
from replab.runs.record import Record
from replab.runs.store import Store, read_folder

MACHINE, COMMITTED = "machine", "committed"


def results_dir(paper: str) -> Path:
    """Folder of a paper's committed evidence."""
    return paths.root() / "results" / paper


def runs_dir(paper: str) -> Path:
    """Folder of a paper's committed records."""
    return results_dir(paper) / "runs"


def accepted_path(paper: str, profile: str) -> Path:
    """The accepted ledger of a paper under a profile."""
    return results_dir(paper) / profile / "accepted.json"


def machine_path(paper: str, profile: str, store: Store) -> Path:
    """The latest ledger of a paper under a profile on this machine."""
    return store.folder / "ledgers" / paper / f"{profile}.json"


def save_machine_ledger(ledger: Ledger, store: Store) -> Path:
    """Keep a ledger of this machine: it says which of its records belong together."""
    path = machine_path(ledger.paper, ledger.profile, store)
    write_json(path, ledger.as_dict())
    return path


def read_ledger_file(path: Path, *, mend: str) -> dict[str, Any]:
    """The plain content of a ledger file.

    Raises:
        UserError: the file is missing or is no ledger.
    """
    content = read_json(path, mend=mend)
    if not isinstance(content, dict) or not {"format", "claims", "runs"} <= set(content):
        raise UserError(f"{path} is no ledger; {mend}")
    claims, runs = content["claims"], content["runs"]
    if not isinstance(runs, dict) or not all(isinstance(v, str) for v in runs.values()):
        raise UserError(f"{path} has no table of runs and their digests; {mend}")
    if not isinstance(claims, list) or not all(
        isinstance(c, dict) and isinstance(c.get("id"), str) and isinstance(c.get("verdict"), str)
        for c in claims
    ):
        raise UserError(f"{path} has no list of claims, each with id and verdict; {mend}")
    return content


def committed(paper: Paper, profile: str) -> tuple[dict[str, Any], list[Record]]:
    """The accepted ledger's content and the committed records it rests on.

    Raises:
        UserError: nothing was accepted, or a record is missing or broken.
    """
    mend = f"run `python -m replab accept {paper.name} --profile {profile}` or restore it from git"
    content = read_ledger_file(accepted_path(paper.name, profile), mend=mend)
    return content, _read_all(runs_dir(paper.name), content, mend)


def machine(paper: Paper, profile: str, store: Store) -> list[Record]:
    """The records of this machine's latest ledger.

    Raises:
        UserError: the paper was not replicated here, or a record is missing or broken.
    """
    mend = f"run `nox -s replicate -- {paper.name} --profile {profile}` first"
    content = read_ledger_file(machine_path(paper.name, profile, store), mend=mend)
    return _read_all(store.folder / "runs" / paper.name, content, mend)


def cited(run: str) -> Record:
    """A committed record of any paper, by its id: how one paper cites the runs of another.

    Raises:
        UserError: no accepted ledger rests on such a record, or it is broken.
    """
    found = list(paths.root().glob(f"results/*/runs/{run}.json"))
    if not found:
        raise UserError(
            f"no paper has a committed record {run}; take an id from results/PAPER/runs, or "
            "accept its paper first"
        )
    record = records.read(found[0])
    if record.id != run:
        raise UserError(f"{found[0]} holds another record, {record.id}; restore it from git")
    return record


def _read_all(folder: Path, content: dict[str, Any], mend: str) -> list[Record]:
    found = []
    for run in content["runs"]:
        path = folder / f"{run}.json"
        if not path.is_file():
            raise UserError(f"record {run} of the ledger is missing ({path}); {mend}")
        record = records.read(path)
        if record.id != run:
            raise UserError(f"{path} holds another record, {record.id}; {mend}")
        found.append(record)
    return found


def cohorts(found: Iterable[Record]) -> dict[tuple[str, ...], list[Record]]:
    """Records that may be compared with each other, by `cohort_key`."""
    groups: dict[tuple[str, ...], list[Record]] = {}
    for record in found:
        groups.setdefault(cohort_key(record), []).append(record)
    return groups


def best_cohorts(found: Sequence[Record], preferred: dict[str, tuple[str, ...]]) -> list[Record]:
    """One cohort an experiment: on the data that come first in its plan, then the largest.

    Where two are as good, the first in the order of their keys, so that the choice does not hang
    on the order of the records.

    Args:
        preferred: experiment → names of data in order of preference.
    """
    best: dict[str, tuple[tuple[int, int], list[Record]]] = {}
    for (experiment, data, *_), group in sorted(cohorts(found).items(), key=lambda item: item[0]):
        order = preferred.get(experiment, ())
        rank = (-order.index(data) if data in order else -len(order), len(group))
        if experiment not in best or rank > best[experiment][0]:
            best[experiment] = (rank, group)
    return [record for _, group in best.values() for record in group]


def current(paper: Paper, profile: str, found: Iterable[Record]) -> list[Record]:
    """The best cohorts among the records that the experiments as they are now would make.

    Beside them all registered ones: their registration says what may be compared.
    """
    experiments = paper.replication.experiments
    preferred = {
        name: e.plans[profile].data for name, e in experiments.items() if profile in e.plans
    }
    own = current_records(paper, profile, found)
    registered = [r for r in own if r.registration]
    return registered + best_cohorts([r for r in own if not r.registration], preferred)


def gather(paper: Paper, profile: str, store: Store) -> list[Record]:
    """What there is for a paper and a profile: this machine's records, else the committed ones.

    Experiment by experiment; records of both sources join where they are of one cohort.
    """
    own = {r.id: r for r in read_folder(store.folder / "runs" / paper.name)}
    shared = {r.id: r for r in read_folder(runs_dir(paper.name))}
    mine = current(paper, profile, own.values())
    keys = set(cohorts(r for r in mine if not r.registration))
    names = {key[0] for key in keys}
    taken = {r.id: r for r in mine}
    for record in current(paper, profile, shared.values()):
        key = cohort_key(record)
        if record.registration or key in keys or key[0] not in names:
            taken.setdefault(record.id, record)
    return sorted(taken.values(), key=lambda r: r.id)
