"""What tests of several folders share: a disk that is soon full, one that cannot be written."""

import os
import signal
import subprocess
import sys

import pytest

# A job that a script starts in the background ignores Ctrl-C, and so would all that it starts: the
# tests that interrupt a process could not.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def one_thread():
    """Small tests on a shared machine: a second thread waits longer than it works."""
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)


def _mount(folder, options):
    if os.name != "posix" or os.geteuid() != 0:
        pytest.skip("only root can mount a small disk")
    command = ["mount", "-t", "tmpfs", "-o", options, "replab-test", str(folder)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("there is no mount command")
    if done.returncode:
        pytest.skip(f"no small disk can be mounted here: {done.stderr.strip()}")


@pytest.fixture
def tiny_disk(tmp_path):
    """A folder on a disk of its own of 256 KiB."""
    folder = tmp_path / "tiny"
    folder.mkdir()
    _mount(folder, "size=256k")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.fixture
def frozen_disk(tmp_path):
    """A function that makes a folder's disk read-only, and that folder."""
    folder = tmp_path / "frozen"
    folder.mkdir()
    _mount(folder, "size=256k")

    def freeze():
        subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True)
        return folder

    yield folder, freeze
    subprocess.run(["umount", str(folder)], check=True)
