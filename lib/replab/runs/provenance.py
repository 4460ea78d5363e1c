"""Where a number comes from: commit, versions, hardware, time and memory; never a path."""

import contextlib
import datetime
import platform
import resource
import subprocess
import sys
import time
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from replab import __version__, paths
from replab.hardware import cpu_name

RECORDED_PACKAGES = ("torch", "numpy", "torchvision")


@dataclass(frozen=True)
class Provenance:
    """The circumstances of one run.

    Attributes:
        commit: of the checkout, 40 hexadecimal digits, or `unknown` outside git.
        dirty: whether tracked files differed from the commit.
        versions: of Python, replab and the packages that move numbers.
        started: UTC, ISO 8601, whole seconds; of the first session.
        wall_s: seconds the run took, over all its sessions.
        peak_mem_bytes: largest resident memory of the process, or of the GPU where one was used.
        throughput: images per second of the main loop, if there is one.
        engine: how the main loop computed (`eager`, `compiled`, `cuda-graph`), if there is one.
        ranks: processes that shared the batches; time and memory are the first one's.
        sessions: how often it was begun or gone on with from a checkpoint.
        finished: UTC, ISO 8601, whole seconds; empty in records of old.
    """

    commit: str
    dirty: bool
    versions: dict[str, str]
    cpu: str
    gpu: str
    started: str
    wall_s: float
    peak_mem_bytes: int
    throughput: float | None
    engine: str
    ranks: int = 1
    sessions: int = 1
    finished: str = ""


def now() -> str:
    """The time, UTC, ISO 8601, whole seconds."""
    return datetime.datetime.now(datetime.UTC).replace(microsecond=0).isoformat()


class Stopwatch:
    """Starts when made; `provenance` closes it.

    Args:
        already_s: seconds that earlier sessions of the run took.
        started: when the first of them began; now if there was none.
        sessions: how many there are with this one.
    """

    def __init__(
        self, *, already_s: float = 0.0, started: str | None = None, sessions: int = 1
    ) -> None:
        self._already = already_s
        self._began = time.perf_counter()
        self.started = started or now()
        self.sessions = sessions

    def elapsed(self) -> float:
        """Seconds since the start, those of earlier sessions of the same run included."""
        return self._already + time.perf_counter() - self._began

    def provenance(
        self, *, device: str, throughput: float | None, engine: str = "", ranks: int = 1
    ) -> Provenance:
        """The circumstances of the run that ends now."""
        commit, dirty = checkout_state(paths.root())
        return Provenance(
            commit=commit,
            dirty=dirty,
            versions=versions(),
            cpu=cpu_name(),
            gpu=_gpu_name(device),
            started=self.started,
            wall_s=round(self.elapsed(), 3),
            peak_mem_bytes=peak_memory(device),
            throughput=None if throughput is None else round(throughput, 1),
            engine=engine,
            ranks=ranks,
            sessions=self.sessions,
            finished=now(),
        )


def versions() -> dict[str, str]:
    """Versions of Python, replab and those packages that move numbers and are installed."""
    found = {"python": platform.python_version(), "replab": __version__}
    for package in RECORDED_PACKAGES:
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[package] = metadata.version(package)
    return found


def checkout_state(root: Path) -> tuple[str, bool]:
    """Commit of the checkout and whether tracked files differ from it (`unknown` outside git)."""
    try:
        commit = _git(root, "rev-parse", "HEAD")
        changed = _git(root, "status", "--porcelain", "--untracked-files=no", "--", ":!results")
    except (OSError, subprocess.SubprocessError):
        return "unknown", False
    return commit, bool(changed)


def _git(root: Path, *words: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(root), *words], capture_output=True, text=True, check=True, timeout=30
    )
    return done.stdout.strip()


def _gpu_name(device: str) -> str:
    if not device.startswith("cuda"):
        return ""
    import torch

    return torch.cuda.get_device_name(device)


def peak_memory(device: str) -> int:
    """Bytes: largest resident memory of this process, or of the GPU where one is used."""
    if device.startswith("cuda"):
        import torch

        return torch.cuda.max_memory_allocated(device)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
