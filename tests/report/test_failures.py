"""What stops `replicate` in the middle leaves nothing lost and nothing half-written."""

import json
import os
import signal
import subprocess
import time

import nbformat
import pytest

pytestmark = pytest.mark.faults


def test_a_traceback_s_places_are_not_this_machine_s():
    """A partial notebook may name files, which must not hide what went wrong."""
    from pathlib import Path

    from replab import paths
    from replab.report.notebook import _without_places

    text = f"File {paths.root()}/lib/replab/files.py and {Path.home()}/.cache/x"
    assert _without_places(text) == "File ./lib/replab/files.py and ~/.cache/x"


class TestFailures:
    def test_failing_cell_keeps_the_partial_notebook_and_the_old_one(self, accepted, tmp_path):
        twin = accepted.copy(tmp_path)
        before = twin.rendered.read_bytes()
        done = twin.replab("replicate", "mini", "-p", "shift=-1")
        assert done.returncode == 1
        message = twin.one_line(done.stderr)
        assert "cell" in message
        assert "shift is negative" in message
        assert "results/mini/quick/mini.failed.ipynb" in message
        assert (twin.rendered.parent / "mini.failed.ipynb").is_file()
        assert twin.rendered.read_bytes() == before

    def test_failing_run_is_named_and_the_others_are_kept(self, checkout):
        done = checkout.replab("replicate", "mini", "--workers", "1", MINI_FAIL="1")
        assert done.returncode == 1
        failed = [line for line in done.stderr.splitlines() if "as asked" in line]
        assert len(failed) == 2
        assert "seed 1" in failed[0]
        assert not checkout.rendered.exists()
        done = checkout.replab("replicate", "mini", "--workers", "1", "--only", "*")
        assert done.returncode == 0
        assert "2 runs to do, 5 found in the store" in done.stderr

    def test_kill_while_rendering_leaves_the_old_rendering_whole(self, accepted, tmp_path):
        twin = accepted.copy(tmp_path)
        files = [p for p in (twin.root / "results").rglob("*") if p.is_file()]
        before = {p: p.read_bytes() for p in files}
        process = twin.start("replicate", "mini")
        work = twin.root / ".replab/render"
        deadline = time.monotonic() + 60
        while not any(work.glob("*/*.ipynb")) and time.monotonic() < deadline:
            time.sleep(0.02)
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        assert any(work.glob("*/*.ipynb"))
        assert {p: p.read_bytes() for p in files} == before

    def test_two_replications_at_once_do_each_run_once(self, checkout):
        first = checkout.start("replicate", "mini", "--workers", "1", MINI_SLEEP="0.3")
        second = checkout.start("replicate", "mini", "--workers", "1", MINI_SLEEP="0.3")
        for process in (first, second):
            out, err = process.communicate(timeout=240)
            assert process.returncode == 0, err
            assert "rendered and checked" in out
        records = [
            json.loads(p.read_text()) for p in (checkout.root / ".replab/runs/mini").glob("*.json")
        ]
        assert len(records) == 7
        nbformat.validate(nbformat.read(checkout.rendered, as_version=4))

    def test_read_only_results(self, accepted, tmp_path):
        twin = accepted.copy(tmp_path)
        results = twin.root / "results"
        mounts = [
            ["mount", "--bind", results, results],
            ["mount", "-o", "remount,ro,bind", results],
        ]
        for command in mounts:
            if subprocess.run(command, capture_output=True, check=False).returncode:
                pytest.skip("needs the right to mount a folder read-only")
        try:
            done = twin.replab("replicate", "mini")
        finally:
            subprocess.run(["umount", results], check=True)
        assert done.returncode == 2
        message = twin.one_line(done.stderr)
        assert "Read-only file system" in message
        assert "writable" in message
        assert not any((twin.root / ".replab/render").iterdir())
