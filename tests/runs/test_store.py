"""One record a run, a run for one process at a time, and imports of all or nothing."""

import json
import shutil
import signal
import subprocess
import sys
from dataclasses import replace

import pytest

import declared
from replab import files
from replab.errors import UserError
from replab.options import RunOptions
from replab.runs import record
from replab.runs.execution import execute
from replab.runs.experiment import RunResult
from replab.runs.store import Store, import_records, read_folder

ORIGIN = {
    "commit": "unknown",
    "dirty": False,
    "versions": {},
    "cpu": "",
    "gpu": "",
    "started": "",
    "wall_s": 1.0,
    "peak_mem_bytes": 1,
    "throughput": None,
}


def made(spec, value=1.0):
    return record.make(spec, RunResult({"sum": value}), threads=1, provenance=ORIGIN)


def one_line(error):
    assert "\n" not in str(error.value)
    return str(error.value)


def test_put_and_find(tiny):
    spec, other = tiny.specs("add")[:2]
    assert tiny.store.find(spec) is None
    path = tiny.store.put(made(spec))
    assert path == tiny.store.folder / "runs" / "tiny" / f"{spec.id}.json"
    assert tiny.store.find(spec) == made(spec)
    assert tiny.store.find(other) is None
    assert read_folder(path.parent) == [made(spec)]
    assert Store().folder == tiny.store.folder


def test_put_once(tiny):
    spec = tiny.specs("add")[0]
    path = tiny.store.put(made(spec))
    before = path.stat().st_mtime_ns
    assert tiny.store.put(made(spec)) == path
    assert path.stat().st_mtime_ns == before
    with pytest.raises(UserError) as error:
        tiny.store.put(made(spec, 2.0))
    assert one_line(error).startswith(f"{path} already holds another record of this run; remove")
    assert tiny.store.find(spec) == made(spec)


def test_another_recipe_is_refused_by_name(tiny):
    spec = tiny.specs("add")[0]
    tiny.store.put(made(spec))
    changed = replace(spec, recipe=declared.recipe(scale=11, drops=(1, 2), new=None))
    with pytest.raises(UserError) as error:
        tiny.store.find(changed)
    text = one_line(error)
    assert f"record {spec.id} of add[a=1,b=x] was made with another recipe (scale)" in text or (
        f"record {spec.id} of add[a=1,b=x] was made with another recipe (new, scale)" in text
    )
    assert "bump the version of 'add' in replications/tiny/experiments.py" in text
    # With the version bumped it is another run.
    assert tiny.store.find(replace(changed, version=2)) is None
    # Tuples read back as lists, and what is None is left out: no other recipe.
    same = declared.recipe(scale=10, drops=(1, 2), new=None)
    assert tiny.store.find(replace(spec, recipe=same)) is not None


def test_an_added_key_is_another_recipe(tiny):
    spec = tiny.specs("add")[0]
    tiny.store.put(made(spec))
    recipes = {"new": {"scale": 10, "drops": (1, 2), "new": 1}, "drops": {"scale": 10}}
    for word, fields in recipes.items():
        with pytest.raises(UserError, match=rf"another recipe \({word}\)"):
            tiny.store.find(replace(spec, recipe=declared.recipe(**fields)))


@pytest.mark.faults
def test_a_damaged_record_is_refused(tiny):
    spec = tiny.specs("add")[0]
    path = tiny.store.put(made(spec))
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(UserError) as error:
        tiny.store.find(spec)
    assert str(path) in one_line(error)


def test_workspace(tiny):
    spec, other = tiny.specs("add")[:2]
    assert tiny.store.workspace(spec) != tiny.store.workspace(other)
    folder = files.make_folder(tiny.store.workspace(spec))
    (folder / "checkpoint.pt").write_bytes(b"state")
    tiny.store.discard_workspace(other)
    assert folder.is_dir()
    tiny.store.discard_workspace(spec)
    assert not folder.exists()


HOLDER = """
import sys, time
from pathlib import Path
from types import SimpleNamespace
from replab.runs.store import Store
with Store(Path(sys.argv[1])).claim(SimpleNamespace(id=sys.argv[2])):
    print("held", flush=True)
    time.sleep(60)
"""
TRIER = """
import sys
from filelock import FileLock, Timeout
try:
    with FileLock(sys.argv[1], timeout=float(sys.argv[2])):
        print("free")
except Timeout:
    print("taken")
"""


@pytest.mark.faults
def test_a_claim_is_exclusive_and_dies_with_its_process(tiny):
    spec, other = tiny.specs("add")[:2]
    command = [sys.executable, "-c", HOLDER, str(tiny.store.folder), spec.id]
    holder = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)

    def tried(run, seconds):
        lock = tiny.store.folder / "locks" / f"{run.id}.lock"
        words = [sys.executable, "-c", TRIER, str(lock), str(seconds)]
        return subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()

    try:
        assert holder.stdout.readline().strip() == "held"
        assert tried(spec, 0.1) == "taken"
        assert tried(other, 0.1) == "free"
    finally:
        holder.send_signal(signal.SIGKILL)
        holder.communicate()
    assert tried(spec, 5) == "free"
    with tiny.store.claim(spec):
        assert tried(spec, 0.1) == "taken"
    assert tried(spec, 5) == "free"


@pytest.mark.faults
def test_an_error_inside_a_claim_is_its_own(tiny):
    spec = tiny.specs("add")[0]
    with pytest.raises(PermissionError, match="mine"), tiny.store.claim(spec):
        raise PermissionError("mine")
    with tiny.store.claim(spec), tiny.store.exclusive("render"):
        assert tiny.store.folder.is_dir()


@pytest.mark.faults
def test_a_store_on_a_read_only_disk(tiny, frozen_disk):
    folder, freeze = frozen_disk
    spec = tiny.specs("add")[0]
    freeze()
    with pytest.raises(UserError) as error:
        execute(spec, str(folder), RunOptions())
    assert "make the folder writable" in one_line(error)
    assert tiny.computed() == 0


@pytest.mark.faults
def test_a_lock_that_cannot_be_written(tiny, frozen_disk):
    folder, freeze = frozen_disk
    (folder / "locks").mkdir()
    freeze()
    with pytest.raises(UserError) as error, Store(folder).exclusive("render"):
        raise AssertionError("the lock was not had")
    assert one_line(error).startswith(f"cannot lock {folder / 'locks' / 'render.lock'}: ")
    assert "REPLAB_STORE" in str(error.value)


@pytest.mark.faults
def test_a_store_on_a_full_disk(tiny, tiny_disk):
    spec = tiny.specs("add")[0]
    store = Store(tiny_disk / "store")
    execute(tiny.specs("add")[1], str(store.folder), RunOptions())
    (tiny_disk / "ballast").write_bytes(b"")
    try:
        with (tiny_disk / "ballast").open("r+b", buffering=0) as ballast:
            while True:
                ballast.write(bytes(4096))
    except OSError:
        assert shutil.disk_usage(tiny_disk).free < 4096
    with pytest.raises(UserError) as error:
        execute(spec, str(store.folder), RunOptions())
    assert "No space left" in one_line(error)
    assert store.find(spec) is None
    (tiny_disk / "ballast").unlink()
    execute(spec, str(store.folder), RunOptions())
    assert store.find(spec) is not None


@pytest.fixture
def elsewhere(tiny, tmp_path):
    """Another machine's store with two records."""
    store = Store(tmp_path / "elsewhere")
    for spec in tiny.specs("add")[:2]:
        store.put(made(spec))
    return store


def test_import_a_file(tiny, elsewhere):
    spec, other = tiny.specs("add")[:2]
    path = elsewhere.path("tiny", spec.id).rename(elsewhere.folder / "any name.json")
    assert import_records(path, tiny.store) == (1, 0)
    assert import_records(path, tiny.store) == (0, 1)
    assert tiny.store.find(spec) == made(spec)
    assert tiny.store.find(other) is None


@pytest.mark.parametrize("below", ["", "runs", "runs/tiny"])
def test_import_a_store(tiny, elsewhere, below):
    # Other JSON files of a store, such as a begun run's log, are no records.
    files.write_json(elsewhere.folder / "work" / "tiny" / "x" / "session.json", 3.5)
    assert import_records(elsewhere.folder / below, tiny.store) == (2, 0)
    assert all(tiny.store.find(spec) for spec in tiny.specs("add")[:2])


@pytest.mark.parametrize("below", ["", "results", "results/tiny", "results/tiny/runs"])
def test_import_committed_results(tiny, elsewhere, tmp_path, below):
    results = tmp_path / "other" / "results" / "tiny"
    shutil.copytree(elsewhere.folder / "runs" / "tiny", results / "runs")
    files.write_json(results / "quick" / "accepted.json", {"claims": []})
    assert import_records(tmp_path / "other" / below, tiny.store) == (2, 0)
    assert import_records(tmp_path / "other" / below, tiny.store) == (0, 2)


def test_import_a_loose_folder(tiny, elsewhere, tmp_path):
    loose = tmp_path / "mail" / "attachments"
    shutil.copytree(elsewhere.folder / "runs" / "tiny", loose)
    assert import_records(tmp_path / "mail", tiny.store) == (2, 0)


def test_import_keeps_what_is_here(tiny, elsewhere):
    spec = tiny.specs("add")[0]
    tiny.store.put(made(spec, 7.0))
    assert import_records(elsewhere.folder, tiny.store) == (1, 1)
    assert tiny.store.find(spec) == made(spec, 7.0)


def nothing_imported(tiny, source):
    with pytest.raises(UserError) as error:
        import_records(source, tiny.store)
    assert not (tiny.store.folder / "runs").exists()
    return one_line(error)


def test_nothing_to_import(tiny, tmp_path):
    assert nothing_imported(tiny, tmp_path / "none").startswith(f"there is no {tmp_path / 'none'}")
    (tmp_path / "empty").mkdir()
    assert nothing_imported(tiny, tmp_path / "empty").startswith("no records (*.json) under ")


@pytest.mark.faults
@pytest.mark.parametrize("name", ["00.json", "zz.json"])
def test_one_broken_file_and_nothing_is_imported(tiny, elsewhere, name):
    broken = elsewhere.folder / "runs" / "tiny" / name
    broken.write_text('{"id": ')
    assert str(broken) in nothing_imported(tiny, elsewhere.folder)


def test_a_record_that_points_out_of_the_store(tiny, elsewhere):
    path = next((elsewhere.folder / "runs" / "tiny").glob("*.json"))
    values = json.loads(path.read_text()) | {"paper": "../../../outside"}
    values["id"] = record.run_id(values | {"fingerprint": ""})
    path.write_text(json.dumps(values))
    assert "is no name" in nothing_imported(tiny, elsewhere.folder)


def test_two_records_of_one_run(tiny, elsewhere):
    spec = tiny.specs("add")[0]
    Store(elsewhere.folder / "runs" / "second").put(made(spec, 3.0))
    assert "different records of one run" in nothing_imported(tiny, elsewhere.folder)
    # A copy of the same record does no harm.
    Store(elsewhere.folder / "runs" / "second").path("tiny", spec.id).unlink()
    Store(elsewhere.folder / "runs" / "second").put(made(spec))
    assert import_records(elsewhere.folder, tiny.store) == (2, 0)
