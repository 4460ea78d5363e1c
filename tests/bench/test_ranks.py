"""The processes of the benchmark train when told, and end with it; no speed is asserted."""

import json
import os
from contextlib import ExitStack

import pytest

from replab.bench import comparing, ranks

WORKER = """
import json, os, sys
from replab.training import distributed

for line in sys.stdin:
    found = distributed.current()
    with open(os.path.join({folder!r}, f"{{found.size}}-{{found.rank}}"), "a") as notes:
        notes.write(json.dumps([os.getpid(), os.environ["OMP_NUM_THREADS"], line]) + "\\n")
    print("done", flush=True)
    if {once}:
        break
"""


def stand_in(monkeypatch, tmp_path, *, once=False):
    """Processes that note what they are told in place of training."""
    script = tmp_path / "worker.py"
    script.write_text(WORKER.format(folder=str(tmp_path), once=once))
    kept = ranks.subprocess.Popen

    def popen(words, **options):
        # torch, imported meanwhile, starts processes of its own.
        if words[1:3] == ["-m", "replab.bench.ranks"]:
            words = [words[0], str(script), *words[3:]]
        return kept(words, **options)

    monkeypatch.setattr(ranks.subprocess, "Popen", popen)


def test_all_processes_of_a_side_do_each_step(monkeypatch, tmp_path):
    stand_in(monkeypatch, tmp_path)
    (chosen,) = ranks.benchmarks()
    found = comparing.measure(chosen, rounds=1)
    assert found.ours > 0
    notes = {
        name: [json.loads(line) for line in (tmp_path / name).read_text().splitlines()]
        for name in ("2-0", "2-1", "1-0")
    }
    for name, threads in (("2-0", "1"), ("2-1", "1"), ("1-0", "2")):
        assert [note[1:] for note in notes[name]] == [[threads, "go\n"]] * 2
        with pytest.raises(ProcessLookupError):
            os.kill(notes[name][0][0], 0)


def test_a_process_that_ends_is_an_error(monkeypatch, tmp_path):
    stand_in(monkeypatch, tmp_path, once=True)
    with ExitStack() as stack:
        step = ranks.together(stack, ranks=1, threads=1)
        step()
        with pytest.raises((RuntimeError, BrokenPipeError)):
            step()
