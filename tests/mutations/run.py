"""Measure which of the mutations in ``mutations.yaml`` the tests catch.

Each mutation is made in a throw-away copy of a repository, where pytest runs the tests that
concern it until one fails: first those of its package, then, if all pass, those of packages that
use it. All mutations are run on the first group of tests before any is run on the second.

Usage: ``python tests/mutations/run.py [--tree PATH] [--only m07,m08] [--json FILE]``, with the
Python of the environment that has the tests' packages. Results that ``FILE`` holds already are not
computed again. ``--measure`` runs the tests without a mutation and writes their times to
``seconds.yaml``, by which faster files are run earlier.

A mutation ends as one of:

- ``caught``: a test failed, or pytest could not start.
- ``survived``: all tests passed.
- ``timeout``: the tests took longer than the limit. Counts as caught where the same tests without
  a mutation take far less (``unmutated``, in seconds).
- ``gone``: the line is no longer in the tree, or in more than one place.
"""

import argparse
import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sysconfig
import tempfile
import time
import venv
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import yaml
from places import equal_lines, scopes

HERE = Path(__file__).resolve().parent
LIMIT = 600
# Tests of each package, and those of the code that uses it.
OWN = {
    "claims": ["tests/claims"],
    "runs": ["tests/runs"],
    "keypoints": ["tests/keypoints", "tests/golden"],
    "metrics": ["tests/metrics", "tests/golden"],
}
USERS = {
    "claims": ["tests", "tests/runs", "tests/report"],
    "runs": ["tests", "tests/claims", "tests/training", "tests/report", "tests/bench"],
    "keypoints": [
        *("tests", "tests/metrics", "tests/topdown", "tests/training", "tests/datasets"),
        *("tests/models", "tests/photos", "tests/report", "tests/bench"),
    ],
    "metrics": [
        *("tests", "tests/topdown", "tests/training", "tests/claims", "tests/runs"),
        *("tests/report", "tests/bench"),
    ],
}
# Needs packages that the environment lacks.
LEFT_OUT = {"tests/runs/test_cluster_engines.py"}


@contextlib.contextmanager
def copied(tree: Path) -> Iterator[Path]:
    """A copy of a repository as its working tree is, with git's history, removed at the end."""
    folder = Path(tempfile.mkdtemp(prefix="mutation-"))
    try:
        copy = folder / "repository"
        git = ("git", "-C", str(tree))
        subprocess.run(["git", "clone", "-q", "--shared", str(tree), str(copy)], check=True)
        subprocess.run(["git", "-C", str(copy), "checkout", "-q", head(tree)], check=True)
        listed = subprocess.run(
            [*git, "ls-files", "-z", "-co", "--exclude-standard"], capture_output=True, check=True
        )
        for name in filter(None, listed.stdout.decode().split("\0")):
            if (tree / name).is_file():
                (copy / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(tree / name, copy / name)
            else:
                (copy / name).unlink(missing_ok=True)
        yield copy
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def head(tree: Path) -> str:
    """The commit that a repository is at."""
    done = subprocess.run(
        ["git", "-C", str(tree), "rev-parse", "HEAD"], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def find(tree: Path, mutation: dict[str, str | int]) -> tuple[str, int] | None:
    """File and line, from 0, of a mutation; None if it is not there or not in one place only.

    The file that the list names comes first, then any file of the library with a function of that
    qualified name, then one with a function of that name in another class.
    """
    function, line, index = str(mutation["function"]), str(mutation["line"]), mutation["index"]
    files = sorted((tree / "lib").rglob("*.py"))
    hinted = [path for path in (tree / str(mutation["file"]),) if path.is_file()]
    for paths, alike in ((hinted, False), (files, False), (files, True)):
        found = []
        for path in paths:
            text = path.read_text()
            if line not in text:
                continue
            last = function.rpartition(".")[2]
            names = {n for n in scopes(text) if n.rpartition(".")[2] == last}
            for name in names if alike else {function}:
                numbers = equal_lines(text, name, line)
                found += [(path.relative_to(tree).as_posix(), n) for n in numbers[index:][:1]]
        if len(found) == 1:
            return found[0]
    return None


def mutate(path: Path, number: int, mutated: str) -> None:
    """Replace a line, keeping its indentation."""
    lines = path.read_text().split("\n")
    indentation = lines[number][: -len(lines[number].lstrip())]
    lines[number] = indentation + mutated
    path.write_text("\n".join(lines))


def tests_for(tree: Path, folders: list[str], module: str, seconds: dict[str, float]) -> list[str]:
    """Test files of some folders: the module's own, those that name it, then the others."""

    def order(path: Path) -> tuple[bool, bool, float]:
        names_it = re.search(rf"\b{module}\b", path.read_text()) is not None
        name = path.relative_to(tree).as_posix()
        return path.stem != f"test_{module}", not names_it, seconds.get(name, 0.0)

    paths = [path for folder in folders for path in files_in(tree, folder)]
    return [path.relative_to(tree).as_posix() for path in sorted(paths, key=order)]


def files_in(tree: Path, folder: str) -> list[Path]:
    """Test files of a folder, and of those below it unless it is ``tests`` itself."""
    pattern = "test_*.py" if folder == "tests" else "**/test_*.py"
    found = sorted((tree / folder).glob(pattern))
    return [path for path in found if path.relative_to(tree).as_posix() not in LEFT_OUT]


def interpreter(copy: Path) -> str:
    """Path of a Python that imports the copy's library, also where a test drops PYTHONPATH.

    It finds the packages of the environment that runs this script, but not the checkout that is
    installed there in editable mode: files that say so are read in its own folder only.
    """
    home = copy.parent / "environment"
    if not home.exists():
        venv.create(home)
        packages = sysconfig.get_path("purelib", vars={"base": str(home)})
        paths = [copy / "lib", sysconfig.get_path("purelib")]
        Path(packages, "copy.pth").write_text("".join(f"{path}\n" for path in paths))
    return str(home / ("Scripts" if os.name == "nt" else "bin") / "python")


def pytest(copy: Path, words: list[str], shared: Path, limit: float) -> tuple[int | None, str]:
    """Exit status (None if the time ran out) and output of pytest in a copy."""
    scratch = copy.parent / "tmp"
    scratch.mkdir(exist_ok=True)
    python = interpreter(copy)
    environment = {"REPLAB_SHARED": str(shared), **os.environ}
    environment |= {"PYTHONPATH": str(copy / "lib"), "TMPDIR": str(scratch)}
    environment |= {"PYTHONDONTWRITEBYTECODE": "1"}
    command = [python, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *words]
    with tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen(
            command,
            cwd=copy,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            status = process.wait(max(1, limit))
        except subprocess.TimeoutExpired:
            status = None
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        output.seek(0)
        return status, output.read()


def failed(output: str) -> str:
    """The first failed test that pytest names; else its last line."""
    named = re.search(r"^(?:FAILED|ERROR) (.+?)(?: - |$)", output, re.MULTILINE)
    return named[1] if named else (output.strip().splitlines() or ["no output"])[-1]


def attempt(tree: Path, mutation: dict, folders: dict, seconds: dict, limit: float) -> dict:
    """What becomes of one mutation in one group of tests."""
    began = time.monotonic()
    place = find(tree, mutation)
    if place is None:
        return {"status": "gone", "seconds": 0}
    file, number = place
    package = Path(file).relative_to("lib/replab").parts[0]
    # A package that came later has its own tests besides those of where the line was.
    concerned = folders.get(package) or [
        f"tests/{package}",
        *folders[Path(mutation["file"]).parts[2]],
    ]
    with copied(tree) as copy:
        mutate(copy / file, number, mutation["mutated"])
        words = tests_for(copy, concerned, Path(file).stem, seconds)
        left, shared = words, tree.parent / "shared"
        while True:
            status, output = pytest(copy, left, shared, began + limit - time.monotonic())
            first = failed(output).partition("::")[0]
            if not status or first not in left:
                break
            # A test that fails by chance, as where a machine is slow, does not fail again.
            again, said = pytest(copy, [first], shared, began + limit - time.monotonic())
            if again != 0:
                status, output = again, said
                break
            left = left[left.index(first) + 1 :]
            if not left:
                status = 0
                break
    result = {"status": "survived", "at": f"{file}:{number + 1}"}
    if status is None:
        unmutated = sum(seconds.get(name, 0.0) for name in words)
        result |= {"status": "timeout", "unmutated": round(unmutated)}
    elif status:
        result |= {"status": "caught", "test": failed(output)}
    return {**result, "seconds": round(time.monotonic() - began)}


def measure(tree: Path) -> None:
    """Time the tests without a mutation, file by file, and write ``seconds.yaml``."""
    seconds: dict[str, float] = {}
    folders = sorted(
        {folder for group in (OWN, USERS) for part in group.values() for folder in part}
    )
    with copied(tree) as copy:
        # As a mutation would, this makes the copy differ from its commit.
        with (copy / "lib/replab/__init__.py").open("a") as file:
            file.write("# unmutated\n")
        for folder in folders:
            report = copy.parent / "report.xml"
            words = [str(path.relative_to(copy)) for path in files_in(copy, folder)]
            words = ["--maxfail=1000", "-o", "junit_family=xunit1", f"--junitxml={report}", *words]
            status, output = pytest(copy, words, tree.parent / "shared", 10 * LIMIT)
            print(folder, output.strip().splitlines()[-1], flush=True)
            if status:
                print(failed(output), flush=True)
            for case in ElementTree.parse(report).iter("testcase"):
                name = case.get("file", "")
                seconds[name] = seconds.get(name, 0.0) + float(case.get("time", 0))
    rounded = {name: round(seconds[name], 1) for name in sorted(seconds)}
    (HERE / "seconds.yaml").write_text(yaml.safe_dump(rounded))


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--tree", type=Path, default=HERE.parents[1], help="repository to mutate")
    parser.add_argument("--only", default="", help="ids of mutations, separated by commas")
    parser.add_argument("--json", type=Path, help="file for the results, written as they come")
    parser.add_argument("--own", action="store_true", help="run the tests of the package only")
    parser.add_argument("--measure", action="store_true", help="time the tests, mutating nothing")
    arguments = parser.parse_args()
    tree = arguments.tree.resolve()
    if arguments.measure:
        measure(tree)
        return
    wanted = set(filter(None, arguments.only.split(",")))
    listed = yaml.safe_load((HERE / "mutations.yaml").read_text())
    mutations = [m for m in listed if not wanted or m["id"] in wanted]
    times = HERE / "seconds.yaml"
    seconds = yaml.safe_load(times.read_text()) if times.is_file() else {}
    results: dict[str, dict] = {}
    if arguments.json and arguments.json.is_file():
        results = {result["id"]: result for result in json.loads(arguments.json.read_text())}
    for tests, folders in (("own", OWN),) if arguments.own else (("own", OWN), ("all", USERS)):
        for mutation in mutations:
            name = mutation["id"]
            before = results.get(name, {"status": "survived", "seconds": 0, "tests": ""})
            if before["status"] != "survived" or before["tests"] in (tests, "all"):
                continue
            limit = LIMIT - before["seconds"]
            result = attempt(tree, mutation, folders, seconds, limit)
            result["seconds"] += before["seconds"]
            results[name] = {**mutation, **result, "tests": tests}
            shown = result.get("test", mutation["mutated"])
            print(
                f"{name} {result['status']} ({tests}) {result['seconds']} s: {shown}", flush=True
            )
            if arguments.json:
                text = json.dumps(list(results.values()), indent=1, ensure_ascii=False)
                arguments.json.write_text(text + "\n")
    counts = Counter(result["status"] for result in results.values())
    print(", ".join(f"{count} {status}" for status, count in sorted(counts.items())))


if __name__ == "__main__":
    main()
