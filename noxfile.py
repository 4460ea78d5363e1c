# /// script
# dependencies = ["nox[uv]"]
# ///
"""Sessions of replab: each makes the one environment, if need be, and calls `python -m replab`."""

import hashlib
import os
import shutil
import sys
from pathlib import Path

import nox

ROOT = Path(__file__).parent
# One environment for all sessions but lint: torch alone takes 5 GB, and without uv's hard links
# an environment a session would take that each time.
ENVIRONMENT = ROOT / ".nox" / "replab"
LOCK = ROOT / "requirements.lock"
# What makes the environment; another digest means another environment.
INPUTS = (LOCK, ROOT / "pyproject.toml")

# Ruff's format moves between minor versions; the others are what the type checker must see.
LINT_PACKAGES = (
    *("-q", "ruff==0.17.*", "mypy==2.*", "types-PyYAML", "types-requests", "types-tqdm"),
    *("nox", "numpy>=2", "pydantic>=2"),
)

nox.options.sessions = ["lint", "tests", "check"]
nox.options.default_venv_backend = "none"


def python(session: nox.Session) -> str:
    """Path of the environment's Python; the environment is made first where it is not there."""
    folder = ENVIRONMENT / ("Scripts" if os.name == "nt" else "bin")
    interpreter = str(folder / ("python.exe" if os.name == "nt" else "python"))
    stamp = ENVIRONMENT / "replab-inputs.txt"
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in INPUTS)).hexdigest()
    with exclusive():
        if not (stamp.is_file() and stamp.read_text() == digest and Path(interpreter).is_file()):
            make_environment(session, interpreter)
            stamp.write_text(digest)
    return interpreter


def make_environment(session: nox.Session, interpreter: str) -> None:
    """Install exactly what the lock file names, by uv where it is there, else by venv and pip."""
    session.log("making the environment (torch and CUDA libraries: about 6 GB, once)")
    uv = shutil.which("uv") or shutil.which("uv", path=str(Path(sys.executable).parent))
    shutil.rmtree(ENVIRONMENT, ignore_errors=True)
    if uv:
        session.run(uv, "venv", "-q", "--python", sys.executable, str(ENVIRONMENT), external=True)
        install = [uv, "pip", "install", "-q", "--python", interpreter]
    else:
        session.run(sys.executable, "-m", "venv", str(ENVIRONMENT), external=True)
        install = [interpreter, "-m", "pip", "install", "-q"]
    session.run(*install, "--require-hashes", "-r", str(LOCK), external=True)
    session.run(*install, "--no-deps", "-e", str(ROOT), external=True)


class exclusive:
    """Let one process at a time make the environment; the others wait and find it made."""

    def __enter__(self) -> None:
        from filelock import FileLock  # nox brings it along with virtualenv

        (ROOT / ".nox").mkdir(exist_ok=True)
        self.lock = FileLock(ROOT / ".nox" / "environment.lock")
        self.lock.acquire()

    def __exit__(self, *error: object) -> None:
        self.lock.release()


def replab(session: nox.Session, *words: str) -> None:
    """Call `python -m replab` in the environment."""
    session.run(python(session), "-m", "replab", *words, external=True)


@nox.session
def replicate(session: nox.Session) -> None:
    """Do a paper's runs, decide its claims, render and check its notebook: `-- PAPER …`."""
    replab(session, "replicate", *session.posargs)


@nox.session
def tests(session: nox.Session) -> None:
    """Run the tests (or those named after `--`), a file at a time on each core."""
    words = ("-m", "pytest", "-n", "auto", "--dist", "loadfile", *session.posargs)
    session.run(python(session), *words, external=True)


@nox.session
def check(session: nox.Session) -> None:
    """Do the accepted ledgers, tables and notebooks follow from the committed records?"""
    replab(session, "check", *session.posargs)


@nox.session
def regress(session: nox.Session) -> None:
    """Compute anew on this machine and compare with the accepted ledgers."""
    replab(session, "regress", *session.posargs)


@nox.session
def bench(session: nox.Session) -> None:
    """Measure speeds as ratios to named peers."""
    replab(session, "bench", *session.posargs)


@nox.session
def lab(session: nox.Session) -> None:
    """Open JupyterLab on the notebooks."""
    words = ("-m", "jupyter", "lab", str(ROOT / "notebooks"), *session.posargs)
    session.run(python(session), *words, external=True)


@nox.session(venv_backend="uv|virtualenv", reuse_venv=True)
def lint(session: nox.Session) -> None:
    """Ruff over code and notebooks, and the type checker; needs no torch."""
    session.install(*LINT_PACKAGES)
    session.run("ruff", "format", "--check", ".")
    session.run("ruff", "check", ".")
    session.run("mypy")


@nox.session
def lock(session: nox.Session) -> None:
    """Write requirements.lock anew from pyproject.toml (needs uv)."""
    words = ("pip", "compile", "-q", "--universal", "--python-version", "3.11", "--upgrade")
    what = ("--generate-hashes", "--extra", "test", "pyproject.toml", "-o", "requirements.lock")
    session.run("uv", *words, *what, external=True)
