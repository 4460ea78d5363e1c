import os
import subprocess
from pathlib import Path

import pytest

import archives as archives_


@pytest.fixture(scope="session")
def archives():
    return archives_


@pytest.fixture
def arrays():
    return archives_.make_arrays()


@pytest.fixture
def pins(arrays):
    return archives_.make_pins(arrays)


@pytest.fixture
def data_dir(tmp_path, monkeypatch):
    """An empty data folder of its own, no proxy, and no network beyond 127.0.0.1 by intent."""
    folder = tmp_path / "data"
    monkeypatch.setenv("REPLAB_DATA", str(folder))
    for name in ("http_proxy", "https_proxy", "all_proxy", "REPLAB_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    return folder


@pytest.fixture
def small_disk(tmp_path):
    """A folder on a disk of its own of 1 MiB."""
    folder = tmp_path / "small"
    folder.mkdir()
    if os.name != "posix" or os.geteuid() != 0:
        pytest.skip("only root can mount a small disk")
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "replab-test", str(folder)]
    try:
        done = subprocess.run(mount, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("there is no mount command")
    if done.returncode:
        pytest.skip(f"no small disk can be mounted here: {done.stderr.strip()}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.fixture
def shared():
    named = os.environ.get("REPLAB_SHARED")
    folder = Path(named) if named else Path(__file__).resolve().parents[3] / "shared"
    if not folder.is_dir():
        pytest.skip(f"no shared facts at {folder}; set REPLAB_SHARED")
    return folder
