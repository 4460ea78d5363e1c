"""Files that matter are there whole or not at all, and errors are one line with a mend."""

import os
import signal
import subprocess
import sys
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replab import files
from replab.errors import CheckFailed, DownloadFailed, MissingData, UserError

OLD = b"the old content"


def one_line(error):
    text = str(error.value)
    assert "\n" not in text
    return text


def names(folder):
    return sorted(os.listdir(folder))


def test_what_a_command_may_end_with():
    assert issubclass(MissingData, UserError)
    assert issubclass(DownloadFailed, UserError)
    assert not issubclass(CheckFailed, UserError)


def test_written_and_replaced(tmp_path):
    path = tmp_path / "deep" / "er" / "file.bin"
    files.write_bytes(path, OLD)
    assert path.read_bytes() == OLD
    files.write_text(path, "new: 5 × 5")
    assert path.read_bytes() == "new: 5 × 5".encode()
    assert path.stat().st_mode & 0o777 == 0o644
    assert names(path.parent) == ["file.bin"]


def test_nothing_shows_before_the_block_ends(tmp_path):
    path = tmp_path / "file.bin"
    path.write_bytes(OLD)
    with files.atomic_writer(path) as stream:
        stream.write(b"new")
        stream.flush()
        assert path.read_bytes() == OLD
    assert path.read_bytes() == b"new"


@pytest.mark.parametrize("error", [RuntimeError("in the block"), KeyboardInterrupt()])
def test_an_error_in_the_block_leaves_the_old_file(tmp_path, error):
    path = tmp_path / "file.bin"
    path.write_bytes(OLD)

    def half():
        with files.atomic_writer(path) as stream:
            stream.write(b"half of the new")
            raise error

    with pytest.raises(type(error)):
        half()
    assert path.read_bytes() == OLD
    assert names(tmp_path) == ["file.bin"]


@pytest.mark.faults
def test_a_crash_before_the_rename_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "file.bin"
    path.write_bytes(OLD)

    def crash(*_):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(files.Path, "replace", crash)
    with pytest.raises(UserError) as error:
        files.write_bytes(path, b"new")
    assert str(path) in one_line(error)
    assert path.read_bytes() == OLD
    assert names(tmp_path) == ["file.bin"]


KILLED = """
import sys
from pathlib import Path
from replab import files
path = Path(sys.argv[1])
with files.atomic_writer(path) as stream:
    while True:
        stream.write(b"n" * 65536)
        stream.flush()
        print("writing", flush=True)
"""


@pytest.mark.faults
@pytest.mark.parametrize("old", [True, False])
def test_killed_in_the_middle(tmp_path, old):
    path = tmp_path / "file.bin"
    if old:
        path.write_bytes(OLD)
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(path)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline().strip() == "writing"
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert path.exists() == old
    if old:
        assert path.read_bytes() == OLD
    files.write_bytes(path, b"the rerun")
    assert path.read_bytes() == b"the rerun"


@pytest.mark.faults
def test_full_disk(tiny_disk):
    path = tiny_disk / "file.bin"
    files.write_bytes(path, OLD)
    with pytest.raises(UserError) as error:
        files.write_bytes(path, bytes(2**20))
    text = one_line(error)
    assert str(path) in text
    assert "No space left" in text
    assert "free some space" in text
    assert path.read_bytes() == OLD
    assert names(tiny_disk) == ["file.bin"]


@pytest.mark.faults
def test_read_only_disk(frozen_disk):
    folder, freeze = frozen_disk
    path = folder / "file.bin"
    files.write_bytes(path, OLD)
    freeze()
    with pytest.raises(UserError) as error:
        files.write_bytes(path, b"new")
    assert "Read-only" in one_line(error)
    assert "make the folder writable" in one_line(error)
    assert path.read_bytes() == OLD
    with pytest.raises(UserError) as error:
        files.make_folder(folder / "new")
    assert "make the folder writable" in one_line(error)


def test_a_file_in_a_folders_place(tmp_path):
    (tmp_path / "file").write_bytes(OLD)
    with pytest.raises(UserError) as error:
        files.write_bytes(tmp_path / "file" / "below", b"new")
    assert str(tmp_path / "file" / "below") in one_line(error)
    with pytest.raises(UserError) as error:
        files.make_folder(tmp_path / "file")
    assert str(tmp_path / "file") in one_line(error)


def test_make_folder(tmp_path):
    assert files.make_folder(tmp_path / "a" / "b") == tmp_path / "a" / "b"
    assert files.make_folder(tmp_path / "a" / "b").is_dir()


def test_many_writers_at_once(tmp_path):
    path = tmp_path / "file.bin"
    contents = [bytes([i]) * 50_000 for i in range(8)]
    threads = [threading.Thread(target=files.write_bytes, args=(path, c)) for c in contents]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert path.read_bytes() in contents
    assert names(tmp_path) == ["file.bin"]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(value=st.dictionaries(st.text(), JSON, max_size=4))
def test_json_there_and_back(value, tmp_path_factory):
    path = tmp_path_factory.getbasetemp() / "value.json"
    files.write_json(path, value)
    assert files.read_json(path, mend="") == value
    shuffled = dict(reversed(value.items()))
    assert files.canonical_json(shuffled) == files.canonical_json(value)


@pytest.mark.parametrize("number", [float("nan"), float("inf"), -float("inf")])
def test_json_refuses_what_is_no_number(tmp_path, number):
    path = tmp_path / "value.json"
    files.write_json(path, {"a": 1})
    with pytest.raises(ValueError):
        files.write_json(path, {"a": number})
    with pytest.raises(ValueError):
        files.canonical_json([number])
    assert files.read_json(path, mend="") == {"a": 1}
    assert names(tmp_path) == ["value.json"]


@pytest.mark.parametrize(
    "content", [b"", b"{", b'{"a": 1} x', b"\xff\xfe", b"[" * 100_000], ids=lambda c: repr(c[:8])
)
def test_broken_json(tmp_path, content):
    path = tmp_path / "value.json"
    path.write_bytes(content)
    with pytest.raises(UserError) as error:
        files.read_json(path, mend="write it again")
    text = one_line(error)
    assert str(path) in text
    assert "is not valid JSON" in text
    assert text.endswith("; write it again")


def test_absent_json(tmp_path):
    for path in (tmp_path / "value.json", tmp_path):
        with pytest.raises(UserError) as error:
            files.read_json(path, mend="write it first")
        text = one_line(error)
        assert text.startswith(f"cannot read {path}: ")
        assert text.endswith("; write it first")


def test_digests(tmp_path):
    # FIPS 180-2, appendix B.1.
    known = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    (tmp_path / "abc").write_bytes(b"abc")
    assert files.sha256_file(tmp_path / "abc") == known
    assert files.sha256_bytes(b"abc") == known
    assert files.sha256_bytes(memoryview(b"abc")) == known
