"""The store: this machine's records, one file a run, and the folders in which runs work."""

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

from replab import paths
from replab.errors import UserError
from replab.files import make_folder, sha256_bytes, write_bytes, write_json
from replab.runs import record as records
from replab.runs.identity import RunSpec, format_variant
from replab.runs.record import Record


class Busy(UserError):
    """Another process does the work that was asked for."""


class Store:
    """Records of this machine under `<folder>/runs/<paper>/<id>.json`.

    Args:
        folder: `paths.store_dir()` if not given.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = paths.store_dir() if folder is None else folder

    def path(self, paper: str, run: str) -> Path:
        """Where the record of a run is or would be."""
        return self.folder / "runs" / paper / f"{run}.json"

    def weights(self, run: str) -> Path:
        """Where the weights that a run trained are kept, or would be."""
        return self.folder / "weights" / f"{run}.safetensors"

    def workspace(self, spec: RunSpec) -> Path:
        """The folder in which a run keeps its checkpoints until its record is written."""
        return self.folder / "work" / spec.paper / spec.id

    def find(self, spec: RunSpec) -> Record | None:
        """The record of a run, if it was made here.

        Raises:
            UserError: the record's file is broken, or the recipe was changed without bumping the
                experiment's version.
        """
        path = self.path(spec.paper, spec.id)
        if not path.is_file():
            return None
        found = records.read(path)
        require_same_recipe(found, spec)
        return found

    def put(self, record: Record, *, anew: bool = False) -> Path:
        """Write a record, once.

        Args:
            anew: the run was done again on purpose, so the new record takes the old one's place.

        Raises:
            UserError: another record of that run is already there, or it cannot be written.
        """
        path = self.path(record.paper, record.id)
        if path.is_file() and not anew:
            if records.read(path) == record:
                return path
            raise UserError(
                f"{path} already holds another record of this run; remove it first if the new one "
                "is to replace it"
            )
        write_json(path, record.as_dict())
        return path

    def set_aside(self, record: Record) -> Path:
        """Move a record that does not count out of the way, so that its run can be done again.

        Returns:
            Where it lies now.
        """
        folder = make_folder(self.folder / "set-aside" / record.paper)
        place = folder / f"{record.id}-{len(list(folder.glob(f'{record.id}-*')))}.json"
        self.path(record.paper, record.id).replace(place)
        return place

    def discard_workspace(self, spec: RunSpec) -> None:
        """Remove a finished run's checkpoints."""
        shutil.rmtree(self.workspace(spec), ignore_errors=True)

    def claim(
        self, spec: RunSpec, *, wait: bool = True
    ) -> contextlib.AbstractContextManager[None]:
        """Hold a run for this process, waiting while another one computes it.

        The lock is the operating system's: it is gone when the process is, however it ends.

        Raises:
            Busy: another one computes it, and `wait` is false.
            UserError: the store cannot be written.
        """
        return self.exclusive(spec.id, wait=wait)

    def is_claimed(self, spec: RunSpec) -> bool:
        """Whether a process holds a run at this moment."""
        from filelock import FileLock, Timeout

        path = self.folder / "locks" / f"{spec.id}.lock"
        if not path.is_file():
            return False
        lock = FileLock(path)
        try:
            with lock.acquire(timeout=0):
                return False
        except Timeout:
            return True

    @contextlib.contextmanager
    def exclusive(self, name: str, *, wait: bool = True) -> Iterator[None]:
        """Hold a named piece of work (such as rendering one paper) for this process.

        Raises:
            Busy: another process holds it, and `wait` is false.
            UserError: the store cannot be written.
        """
        from filelock import FileLock, Timeout

        lock = FileLock(make_folder(self.folder / "locks") / f"{name}.lock")
        try:
            lock.acquire(timeout=-1 if wait else 0)
        except Timeout as error:
            raise Busy(f"another process does {name} now") from error
        except OSError as error:
            raise UserError(
                f"cannot lock {lock.lock_file}: {error.strerror or error}; make the folder "
                "writable, free its disk, or set REPLAB_STORE to another one"
            ) from error
        try:
            yield
        finally:
            lock.release()


def require_same_recipe(found: Record, spec: RunSpec) -> None:
    """Refuse a record made under another recipe than the spec's.

    Raises:
        UserError: the two differ; the message names what to bump.
    """
    recipe = spec.recipe.as_json()
    if dict(found.recipe) != recipe:
        changed = sorted(
            key for key in {*found.recipe, *recipe} if found.recipe.get(key) != recipe.get(key)
        )
        raise UserError(
            f"record {found.id} of {spec.experiment}[{format_variant(spec.variant)}] was made "
            f"with another recipe ({', '.join(changed)}); bump the version of '{spec.experiment}' "
            f"in replications/{spec.paper}/experiments.py, with a changelog line"
        )


def read_folder(folder: Path) -> list[Record]:
    """All records of a folder, by id.

    Raises:
        UserError: a file in it is no valid record.
    """
    return [records.read(path) for path in sorted(folder.glob("*.json"))]


def import_records(source: Path, store: Store) -> tuple[int, int]:
    """Bring records from elsewhere into this machine's store, on purpose.

    Args:
        source: a record, or a folder with records at any depth: where some lie under a folder
            called `runs` (as in `results/<paper>` and in a store), those and no other files.

    Returns:
        How many were brought in, and of how many runs this machine already had a record, which
        stays as it is. Weights that a run left in the source's store come with its record.

    Raises:
        UserError: there is nothing to import, or a file is no valid record; then nothing is
            imported.
    """
    if source.is_dir():
        every = sorted(source.rglob("*.json"))
        files = [p for p in every if "runs" in p.relative_to(source).parts[:-1]] or every
    elif source.exists():
        files = [source]
    else:
        raise UserError(f"there is no {source}; give a record or a folder of them")
    if not files:
        raise UserError(f"no records (*.json) under {source}; give a record or a folder of them")
    found: dict[str, Record] = {}
    for path in files:
        record = records.read(path)
        if found.setdefault(record.id, record) != record:
            raise UserError(
                f"{path} and another file under {source} are different records of one run; "
                "keep one of them"
            )
    new = [r for r in found.values() if not store.path(r.paper, r.id).is_file()]
    for record in new:
        _import_weights(record, source, store)
        store.put(record)
    return len(new), len(found) - len(new)


def _import_weights(record: Record, source: Path, store: Store) -> None:
    """Bring a run's weights along where the source has them, unchanged."""
    if record.weights is None or not source.is_dir():
        return
    for file in sorted(source.rglob(store.weights(record.id).name)):
        data = file.read_bytes()
        if sha256_bytes(data) == record.weights["sha256"]:
            write_bytes(store.weights(record.id), data)
            return
