"""Downloads that resume, check their length and checksum, and never show a partial file."""

import contextlib
import logging
import os
import re
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from replab import files
from replab.datasets.image_set import disk_errors, locked
from replab.errors import DownloadFailed, UserError

CONNECT_S = 10.0  # an offline machine is to find out fast
READ_S = 30.0
TRIES = 4  # how often a broken connection is taken up again without any progress
CHUNK = 2**16  # what a broken connection loses at most


@dataclass(frozen=True)
class Remote:
    """A file somewhere else.

    Attributes:
        url: where it is.
        file: its name on this machine.
        sha256: its SHA-256 in hexadecimal digits, or the first 8 or more of them where only those
            are published; empty where none is, and then the content must be checked elsewhere.
        size: its length in bytes, None where it is not published.
    """

    url: str
    file: str
    sha256: str
    size: int | None = None


class _BrokenOff(Exception):
    """The connection ended before the file did; what came so far is kept."""


def offline() -> bool:
    """Whether `REPLAB_OFFLINE=1` forbids every network source."""
    return os.environ.get("REPLAB_OFFLINE", "") not in ("", "0")


def megabytes(size: int | None) -> str:
    """A size in bytes as text in MB (10⁶ bytes)."""
    return "size unknown" if size is None else f"{size / 1e6:,.1f} MB"


def say(text: str, *, quiet: bool = False) -> None:
    """Print a line of progress on stderr unless quiet."""
    if not quiet:
        print(text, file=sys.stderr, flush=True)


def check(path: Path, sha256: str) -> str | None:
    """None if the file has this SHA-256 (or it begins so), else the SHA-256 that it has."""
    got = files.sha256_file(path)
    return None if got.startswith(sha256) else got


def check_space(folder: Path, size: int) -> None:
    """Refuse early what cannot fit on the disk of a folder that exists.

    Raises:
        UserError: fewer than `size` bytes are free.
    """
    free = shutil.disk_usage(folder).free
    if free < size:
        raise UserError(
            f"{folder} has {megabytes(free)} free but {megabytes(size)} are needed; "
            "free some space on that disk or set REPLAB_DATA to another one"
        )


def get(
    remote: Remote,
    folder: Path,
    *,
    force: bool = False,
    quiet: bool = False,
    connect_s: float = CONNECT_S,
    read_s: float = READ_S,
) -> Path:
    """Download a file into a folder, taking up `<file>.part` where an earlier run left it.

    Args:
        remote: what to get and how to know it.
        folder: where it goes; made if need be.
        force: download it even if it is there.
        quiet: nothing on stderr.
        connect_s: how long to wait for the connection, in seconds.
        read_s: how long to wait for more bytes, in seconds.

    Returns:
        The path of the whole, checked file.

    Raises:
        DownloadFailed: no connection, a broken one, or another length or checksum than expected.
        UserError: the disk is full or the folder cannot be written.
    """
    final = folder / remote.file
    with locked(final):
        if not force and final.is_file() and check(final, remote.sha256) is None:
            return final
        if offline():
            raise DownloadFailed(
                f"{remote.url} is not tried: REPLAB_OFFLINE=1; unset it or use `--from FILE`"
            )
        # pooch puts its own temporary file into a folder that this run alone uses, so that
        # nothing of a killed run stays behind.
        work = folder / f".{remote.file}.tmp"
        shutil.rmtree(work, ignore_errors=True)
        try:
            _retrieve(remote, work, folder / f"{remote.file}.part", (connect_s, read_s), quiet)
            with disk_errors(folder):
                (work / remote.file).replace(final)
        finally:
            shutil.rmtree(work, ignore_errors=True)
    return final


def _retrieve(
    remote: Remote, work: Path, part: Path, timeout: tuple[float, float], quiet: bool
) -> None:
    import pooch

    def fill(_url: str, output: Any, _pooch: Any) -> None:
        _download(remote, part, timeout, quiet)
        part.replace(output)

    logger = pooch.get_logger()
    level = logger.level
    logger.setLevel(logging.WARNING)  # it would announce its temporary names
    try:
        with disk_errors(part.parent):
            work.mkdir()
            pooch.retrieve(
                remote.url,
                known_hash=f"sha256:{remote.sha256}" if len(remote.sha256) == 64 else None,
                fname=remote.file,
                path=work,
                downloader=fill,
            )
    finally:
        logger.setLevel(level)


def _download(remote: Remote, part: Path, timeout: tuple[float, float], quiet: bool) -> None:
    """Fill `part` until it is whole and right, or raise."""
    have = _size(part)
    if remote.size is not None:
        check_space(part.parent, remote.size - min(have, remote.size))
    begun = f", {megabytes(have)} of it are here" if have else ""
    say(f"downloading {remote.url} ({megabytes(remote.size)}{begun})", quiet=quiet)
    resumed = _complete(remote, part, timeout, quiet)
    got = check(part, remote.sha256)
    if got is not None and resumed:
        # The file may have changed between two runs, so that the old part does not fit the new.
        part.unlink()
        _complete(remote, part, timeout, quiet)
        got = check(part, remote.sha256)
    if got is not None:
        part.unlink()
        raise DownloadFailed(
            f"{remote.url} gave a file with sha256 {got}, expected {remote.sha256}; "
            "it was removed, get the file elsewhere and use `--from FILE`"
        )
    known = "checksum right" if remote.sha256 else "no checksum is published"
    say(f"got {remote.file} ({megabytes(_size(part))}, {known})", quiet=quiet)


def _complete(remote: Remote, part: Path, timeout: tuple[float, float], quiet: bool) -> bool:
    """Append to `part` until the file has ended; True if it had bytes of an earlier run."""
    from tqdm import tqdm

    resumed = _size(part) > 0
    whole = "an unknown number" if remote.size is None else f"{remote.size:,}"
    failures = 0
    with tqdm(
        total=remote.size,
        desc=remote.file,
        unit="B",
        unit_scale=True,
        file=sys.stderr,
        disable=quiet or not sys.stderr.isatty(),
    ) as bar:
        while remote.size is None or _size(part) != remote.size:
            before = _size(part)
            try:
                _request(remote, part, timeout, bar)
                break
            except _BrokenOff as error:
                failures = 0 if _size(part) > before else failures + 1
                if failures >= TRIES:
                    raise DownloadFailed(
                        f"{remote.url} broke off after {_size(part):,} bytes of {whole} "
                        f"({error}); "
                        "run the command again to resume"
                    ) from error
    if remote.size is not None and _size(part) != remote.size:
        got = _size(part)
        part.unlink()
        raise DownloadFailed(
            f"{remote.url} gave {got:,} bytes, expected {remote.size:,}; try again"
        )
    return resumed


def _request(remote: Remote, part: Path, timeout: tuple[float, float], bar: Any) -> None:
    """One request for what is missing of `part`."""
    import requests

    have = _size(part)
    headers = {"Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
    try:
        response = requests.get(remote.url, headers=headers, stream=True, timeout=timeout)
    except requests.RequestException as error:
        raise DownloadFailed(
            f"cannot reach {remote.url}: {_short(error)}; try later or use `--from FILE`"
        ) from error
    with response:
        start, total = _span(response, remote, part, have)
        if total is not None and remote.size is not None and total != remote.size:
            raise DownloadFailed(
                f"{remote.url} announces {total:,} bytes, expected {remote.size:,}; "
                "get the file elsewhere and use `--from FILE`"
            )
        bar.reset(total=total if total is not None else remote.size)
        bar.n = bar.initial = start  # so that rate and remaining time count this answer only
        with part.open("r+b" if start else "wb") as stream:
            stream.seek(start)
            for data in _chunks(response):
                stream.write(data)
                bar.update(len(data))
                if remote.size is not None and stream.tell() > remote.size:
                    break
            stream.flush()
            os.fsync(stream.fileno())
    end = remote.size if remote.size is not None else total
    if end is not None and _size(part) < end:
        raise _BrokenOff("the connection closed early")


def _span(response: Any, remote: Remote, part: Path, have: int) -> tuple[int, int | None]:
    """Where the answer's bytes belong in the file, and the file's length if it is announced."""
    if response.status_code == 206:
        span = re.fullmatch(
            r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", "").strip()
        )
        if span and int(span[1]) == have:
            return have, None if span[2] == "*" else int(span[2])
    elif response.status_code == 200:
        length = response.headers.get("Content-Length", "")
        return 0, int(length) if length.isdigit() else None
    elif response.status_code != 416:
        raise DownloadFailed(
            f"{remote.url} answers {response.status_code} {response.reason}; try later"
        )
    # A range that the server does not know or gave wrongly: what is here is of no use to it.
    part.unlink(missing_ok=True)
    raise _BrokenOff("the server cannot resume")


def _chunks(response: Any) -> Iterator[bytes]:
    import requests

    try:
        yield from response.iter_content(CHUNK)
    except requests.RequestException as error:
        raise _BrokenOff(_short(error)) from error


def _size(path: Path) -> int:
    with contextlib.suppress(FileNotFoundError):
        return path.stat().st_size
    return 0


def _short(error: BaseException) -> str:
    """The cause of a failed request in a few words."""
    reason: Any = error
    while True:  # requests wraps urllib3, which wraps the socket's own error
        wrapped = (getattr(reason, "reason", None), *getattr(reason, "args", ()))
        inner = next((value for value in wrapped if isinstance(value, BaseException)), None)
        if inner is None:
            break
        reason = inner
    known = {
        "NameResolutionError": "its host name is not found",
        "NewConnectionError": "the connection is refused",
        "ConnectTimeoutError": "no answer in time",
        "ReadTimeoutError": "it stopped sending",
        "SSLCertVerificationError": "its certificate is not trusted",
        "IncompleteRead": "the connection closed early",
    }
    text = " ".join(str(reason).split())
    return known.get(type(reason).__name__) or text[:100] or type(reason).__name__
