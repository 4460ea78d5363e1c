import os
import re
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from replab import files
from replab.datasets import download
from replab.datasets.download import Remote
from replab.errors import DownloadFailed, UserError

BODY = np.random.default_rng(0).integers(0, 256, 900_000, np.uint8).tobytes()
LIBRARY = Path(download.__file__).parents[2]


def remote(server, body=BODY, **changes):
    known = {"url": server.url, "file": "body.bin", "sha256": files.sha256_bytes(body)}
    return Remote(**{**known, "size": len(body), **changes})


def failed(wanted, folder, kind=DownloadFailed):
    with pytest.raises(kind) as caught:
        download.get(wanted, folder, quiet=True, connect_s=2, read_s=2)
    assert not (folder / wanted.file).exists()
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("announce", [True, False])
@pytest.mark.parametrize("sized", [True, False])
@pytest.mark.parametrize("digits", [8, 64])
def test_plain_download(announce, sized, digits, archives, data_dir):
    with archives.serving(BODY, announce=announce) as server:
        wanted = remote(server, sha256=files.sha256_bytes(BODY)[:digits])
        if not sized:
            wanted = Remote(wanted.url, wanted.file, wanted.sha256)
        path = download.get(wanted, data_dir)
        assert path == data_dir / "body.bin"
        assert path.read_bytes() == BODY
        assert download.get(wanted, data_dir) == path
        assert server.asked == [None]  # the second time nothing is asked
        download.get(wanted, data_dir, force=True)
        assert server.asked == [None, None]
    assert archives.visible(data_dir) == ["body.bin"]


def test_size_is_stated_before_and_the_end_after(archives, data_dir, capsys):
    with archives.serving(BODY) as server:
        download.get(remote(server), data_dir)
    out, err = capsys.readouterr()
    first, last = err.splitlines()
    assert out == ""
    assert first == f"downloading {server.url} (0.9 MB)"
    assert last == "got body.bin (0.9 MB, checksum right)"


@pytest.mark.faults
@pytest.mark.parametrize("announce", [True, False])
def test_broken_connections_are_taken_up(announce, archives, data_dir):
    with archives.serving(BODY, cuts=[300_000, 0, 0, 200_000, 0], announce=announce) as server:
        path = download.get(remote(server), data_dir, quiet=True)
    assert path.read_bytes() == BODY
    starts = [int(re.sub(r"\D", "", asked)) for asked in server.asked[1:]]
    # At most the last chunk of a broken answer is asked for again.
    for start, sent in zip(starts, [300_000] * 3 + [500_000] * 2, strict=True):
        assert sent - 2 * download.CHUNK < start <= sent


@pytest.mark.faults
def test_a_hopeless_connection_is_given_up_and_resumed_by_the_next_run(archives, data_dir):
    with archives.serving(BODY, cuts=[400_000, *[0] * 50]) as server:
        message = failed(remote(server), data_dir)
        assert re.search(r"broke off after 39\d,\d{3} bytes of 900,000", message)
        assert "the connection closed early" in message
        assert "run the command again to resume" in message
        assert len(server.asked) == 1 + download.TRIES
    kept = (data_dir / "body.bin.part").read_bytes()
    assert kept == BODY[: len(kept)]
    with archives.serving(BODY) as server:
        path = download.get(remote(server), data_dir, quiet=True)
        assert server.asked == [f"bytes={len(kept)}-"]
    assert path.read_bytes() == BODY
    assert archives.visible(data_dir) == ["body.bin"]


def test_server_without_ranges_starts_over(archives, data_dir):
    data_dir.mkdir()
    (data_dir / "body.bin.part").write_bytes(BODY[:1000])
    with archives.serving(BODY, ranges=False) as server:
        path = download.get(remote(server), data_dir, quiet=True)
    assert path.read_bytes() == BODY


@pytest.mark.parametrize("length", [len(BODY), len(BODY) + 7])
def test_part_that_is_whole_or_too_long(length, archives, data_dir):
    data_dir.mkdir()
    (data_dir / "body.bin.part").write_bytes((BODY + bytes(7))[:length])
    with archives.serving(BODY) as server:
        path = download.get(remote(server), data_dir, quiet=True)
        unsized = Remote(server.url, "other.bin", files.sha256_bytes(BODY))
        (data_dir / "other.bin.part").write_bytes((BODY + bytes(7))[:length])
        other = download.get(unsized, data_dir, quiet=True)  # the server answers 416
    assert path.read_bytes() == other.read_bytes() == BODY


@pytest.mark.faults
def test_part_of_another_file_is_not_built_upon(archives, data_dir):
    data_dir.mkdir()
    (data_dir / "body.bin.part").write_bytes(b"x" * 1000)
    with archives.serving(BODY) as server:
        path = download.get(remote(server), data_dir, quiet=True)
        assert server.asked == ["bytes=1000-", None]
    assert path.read_bytes() == BODY


@pytest.mark.faults
def test_wrong_checksum_is_refused_and_removed(archives, data_dir):
    wrong = bytes([BODY[0] ^ 1]) + BODY[1:]
    with archives.serving(wrong) as server:
        message = failed(remote(server), data_dir)
    assert files.sha256_bytes(wrong) in message
    assert f"expected {files.sha256_bytes(BODY)}" in message
    assert archives.visible(data_dir) == []


@pytest.mark.faults
def test_wrong_length_is_refused(archives, data_dir):
    with archives.serving(BODY) as server:
        message = failed(remote(server, size=5), data_dir)
        assert "announces 900,000 bytes, expected 5;" in message
    with archives.serving(BODY, announce=False) as server:
        assert "bytes, expected 5; try again" in failed(remote(server, size=5), data_dir)
    assert archives.visible(data_dir) == []


@pytest.mark.faults
@pytest.mark.parametrize("status", [404, 503])
def test_errors_of_the_server(status, archives, data_dir):
    with archives.serving(BODY, status=status) as server:
        assert f"answers {status}" in failed(remote(server), data_dir)


@pytest.mark.faults
def test_nobody_there(archives, data_dir):
    with archives.serving(BODY) as server:
        pass  # the port is free again
    assert "the connection is refused" in failed(remote(server), data_dir)


def test_offline_asks_nobody(archives, data_dir, monkeypatch):
    monkeypatch.setenv("REPLAB_OFFLINE", "1")
    with archives.serving(BODY) as server:
        assert "REPLAB_OFFLINE=1" in failed(remote(server), data_dir)
        assert server.asked == []


@pytest.mark.faults
@pytest.mark.parametrize("known_size", [True, False])
def test_full_disk(known_size, archives, data_dir, small_disk):
    body = BODY * 2
    with archives.serving(body) as server:
        wanted = remote(server, body, size=len(body) if known_size else None)
        message = failed(wanted, small_disk, UserError)
        assert "free some space" in message
        assert ("are needed" if known_size else "No space left") in message
        assert not list(small_disk.glob(".*.tmp"))


GET = """
import sys
from pathlib import Path
from replab.datasets import download
url, sha256, size, folder = sys.argv[1:]
print(download.get(download.Remote(url, "body.bin", sha256, int(size)), Path(folder)))
"""


@pytest.mark.faults
def test_killed_download_leaves_only_the_part(archives, data_dir):
    body = BODY * 40
    with archives.serving(body) as server:
        arguments = [server.url, files.sha256_bytes(body), str(len(body)), str(data_dir)]
        whole_answer = server.answer

        def half_an_answer(handler):
            handler.send_response(200)
            handler.send_header("Content-Length", str(len(body)))
            handler.end_headers()
            handler.wfile.write(body[: len(body) // 2])
            handler.wfile.flush()
            process.wait(30)

        server.answer = half_an_answer
        process = subprocess.Popen(
            [sys.executable, "-c", GET, *arguments],
            env={**os.environ, "PYTHONPATH": str(LIBRARY)},
            stderr=subprocess.DEVNULL,
        )
        part = data_dir / "body.bin.part"
        until = time.monotonic() + 20
        while not (part.exists() and part.stat().st_size > 2**20) and time.monotonic() < until:
            time.sleep(0.02)
        process.kill()
        process.wait()
        assert part.stat().st_size > 2**20
        assert not (data_dir / "body.bin").exists()
        server.answer = whole_answer
        path = download.get(remote(server, body), data_dir, quiet=True)
        assert server.asked[-1].startswith("bytes=")
    assert path.read_bytes() == body
    assert archives.visible(data_dir) == ["body.bin"]
