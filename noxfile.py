# /// script
# dependencies = ["nox[uv]"]
# ///
"""Sessions of replab: each makes the one environment, if need be, and calls `python -m replab`."""

import hashlib
import os
import shutil
import sys
import tempfile
import tomllib
from pathlib import Path

import nox

ROOT = Path(__file__).parent
# One environment for all sessions but lint: torch alone takes 5 GB, and without uv's hard links
# an environment a session would take that each time.
ENVIRONMENT = ROOT / ".nox" / "replab"
LOCK = ROOT / "requirements.lock"
# What clusters need more lies beside the environment, so that nobody else downloads it.
CLUSTER_PACKAGES = ROOT / ".nox" / "cluster"
CLUSTER_LOCK = ROOT / "requirements-cluster.lock"
# What makes the environment; another digest means another environment.
INPUTS = (LOCK, ROOT / "pyproject.toml")

# Ruff's format moves between minor versions; the others are what the type checker must see.
LINT_PACKAGES = (
    *("-q", "ruff==0.17.*", "mypy==2.*", "types-PyYAML", "types-requests", "types-tqdm"),
    *("nox", "numpy>=2", "pydantic>=2"),
)

# What the site is made with. It reads ledgers and records, and never runs a notebook.
SITE_PACKAGES = ("-q", "sphinx>=8,<10", "myst-nb>=1.2", "numpy>=2", "pydantic>=2", "PyYAML>=6")

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
    shutil.rmtree(ENVIRONMENT, ignore_errors=True)
    if uv := find_uv():
        session.run(uv, "venv", "-q", "--python", sys.executable, str(ENVIRONMENT), external=True)
    else:
        session.run(sys.executable, "-m", "venv", str(ENVIRONMENT), external=True)
    install = installer(interpreter)
    session.run(*install, "--require-hashes", "-r", str(LOCK), external=True)
    session.run(*install, "--no-deps", "-e", str(ROOT), external=True)


def find_uv() -> str | None:
    """Path of uv, also where nox brought it along; None if there is none."""
    return shutil.which("uv") or shutil.which("uv", path=str(Path(sys.executable).parent))


def installer(interpreter: str) -> list[str]:
    """The words that install into the environment of an interpreter."""
    if uv := find_uv():
        return [uv, "pip", "install", "-q", "--python", interpreter]
    return [interpreter, "-m", "pip", "install", "-q"]


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
def tests_cluster(session: nox.Session) -> None:
    """Run the tests on Ray and Slurm; their packages (250 MB) are fetched first."""
    interpreter = python(session)
    stamp = CLUSTER_PACKAGES / "replab-inputs.txt"
    digest = hashlib.sha256(CLUSTER_LOCK.read_bytes()).hexdigest()
    with exclusive():
        if not (stamp.is_file() and stamp.read_text() == digest):
            shutil.rmtree(CLUSTER_PACKAGES, ignore_errors=True)
            words = ("--target", str(CLUSTER_PACKAGES), "--require-hashes", "-r")
            session.run(*installer(interpreter), *words, str(CLUSTER_LOCK), external=True)
            stamp.write_text(digest)
    tests = ("-m", "pytest", "tests/runs/test_cluster_engines.py", *session.posargs)
    env = {"PYTHONPATH": str(CLUSTER_PACKAGES)}
    session.run(interpreter, *tests, env=env, external=True)


@nox.session
def queue(session: nox.Session) -> None:
    """Work through all registered runs beside other work: `-- status`, `-- stop`."""
    replab(session, "queue", *session.posargs)


@nox.session
def check(session: nox.Session) -> None:
    """Do the accepted ledgers, tables and notebooks follow from the committed records?"""
    replab(session, "check", *session.posargs)


@nox.session
def docs(session: nox.Session) -> None:
    """Write the generated pages, tables and badges anew from papers' files and records."""
    replab(session, "docs", *session.posargs)


@nox.session(venv_backend="uv|virtualenv", reuse_venv=True)
def site(session: nox.Session) -> None:
    """Build the site into `site/` (or `-- --out DIR`); needs no torch."""
    session.install(*SITE_PACKAGES)
    words = ("python", "-m", "replab", "site", *session.posargs)
    session.run(*words, env={"PYTHONPATH": str(ROOT / "lib")})


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
    """Write requirements.lock anew from pyproject.toml, and the clusters' to fit it (needs uv)."""
    words = ("pip", "compile", "-q", "--universal", "--python-version", "3.11", "--upgrade")
    what = ("--generate-hashes", "--extra", "test", "pyproject.toml", "-o", "requirements.lock")
    session.run("uv", *words, *what, external=True)
    lock_cluster(session, words)


def lock_cluster(session: nox.Session, words: tuple[str, ...]) -> None:
    """Write requirements-cluster.lock: the extra `cluster` and what it needs, as locked above."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    with tempfile.NamedTemporaryFile("w", suffix=".in") as wanted:
        wanted.write("\n".join(project["optional-dependencies"]["cluster"]) + "\n")
        wanted.flush()
        # No word of where the file was.
        what = ("--generate-hashes", "--no-annotate", "--custom-compile-command", "nox -s lock")
        where = ("-c", str(LOCK), wanted.name, "-o", str(CLUSTER_LOCK))
        session.run("uv", *words, *what, *where, external=True)
