"""The house rules that a test can hold: floors, notebooks, environments, no machine paths."""

import ast
import json
import re
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
# Ground up; modules of one floor may use each other.
FLOORS = [
    {"errors", "files", "paths", "cores", "hardware", "recipe", "yaml_lines", "__init__"},
    {"models", "keypoints", "metrics", "datasets"},
    {"topdown"},
    {"training"},
    {"runs"},
    {"claims"},
    {"report", "bench", "photos"},
    {"site"},
    {"cli", "commands", "predict", "score", "__main__"},
]


def floor_of(name: str) -> int:
    return next(i for i, names in enumerate(FLOORS) if name in names)


def imports(path: Path) -> set[str]:
    """First parts, below replab, of everything that a module imports, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        found |= {n.split(".")[1] for n in names if n.startswith("replab.")}
    return {n for n in found if n != "__version__"}


MODULES = sorted((ROOT / "lib/replab").rglob("*.py"))


def test_every_module_stands_on_a_floor():
    tops = {p.relative_to(ROOT / "lib/replab").parts[0].removesuffix(".py") for p in MODULES}
    assert tops == set().union(*FLOORS)


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(ROOT / "lib/replab")))
def test_no_import_runs_back_up(path):
    own = path.relative_to(ROOT / "lib/replab").parts[0].removesuffix(".py")
    above = {name for name in imports(path) if floor_of(name) > floor_of(own)}
    assert not above


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(ROOT / "lib/replab")))
def test_modules_are_of_a_size_one_can_read(path):
    assert len(path.read_text().splitlines()) <= 400


def test_replications_hold_no_machinery_of_each_other():
    for path in (ROOT / "replications").glob("*/*.py"):
        others = set(re.findall(r"replications\.(\w+)", path.read_text())) - {path.parent.name}
        assert not others


NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.name)
def test_notebooks_hold_prose_and_calls_only(path):
    notebook = json.loads(path.read_text())
    assert 5 < len(notebook["cells"]) <= 25
    tags = [t for c in notebook["cells"] for t in c["metadata"].get("tags", [])]
    assert tags.count("parameters") == 1
    assert "nbval-check-output" in tags
    for cell in notebook["cells"]:
        if cell["cell_type"] != "code":
            continue
        assert cell["outputs"] == []
        assert cell["execution_count"] is None
        nodes = list(ast.walk(ast.parse("".join(cell["source"]))))
        assert not any(isinstance(n, ast.FunctionDef | ast.Lambda | ast.ClassDef) for n in nodes)


def tracked() -> list[Path]:
    done = subprocess.run(
        ["git", "-C", str(ROOT), "ls-files", "-z"], capture_output=True, text=True, check=False
    )
    if done.returncode:
        pytest.skip("not a git checkout")
    return [ROOT / name for name in done.stdout.split("\0") if name and (ROOT / name).is_file()]


def test_nothing_committed_names_this_machine_or_a_package_registry():
    # Put together here, so that this file does not hold what it forbids.
    hosts = [".".join(words) for words in (("pypi", "org"), ("registry", "npmjs", "org"))]
    hosts += [".".join(("files", "pythonhosted", "org"))]
    places = [str(ROOT), str(Path.home()) + "/"]
    for path in tracked():
        content = path.read_bytes()
        for word in hosts + places:
            assert word.encode() not in content, (path, word)


def test_lib_is_not_ignored():
    done = subprocess.run(
        ["git", "-C", str(ROOT), "check-ignore", "-q", "lib/replab/cli.py"], check=False
    )
    assert done.returncode != 0


class TestEnvironments:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

    def test_conda_s_environment_takes_its_packages_from_pyproject(self):
        content = yaml.safe_load((ROOT / "environment.yml").read_text())
        assert content["channels"] == ["conda-forge", "nodefaults"]
        *packages, pip = content["dependencies"]
        assert pip == {"pip": ["-e .[test]"]}
        (python,) = [p for p in packages if p.startswith("python")]
        assert python.startswith("python" + self.project["requires-python"])

    def test_lock_holds_every_dependency_with_hashes_and_no_address(self):
        lock = (ROOT / "requirements.lock").read_text()
        assert "://" not in lock
        locked = {n.lower() for n in re.findall(r"^([\w.-]+)==\S+.*\\$", lock, re.MULTILINE)}
        wanted = [
            *self.project["dependencies"],
            *self.project["optional-dependencies"]["test"],
        ]
        for requirement in wanted:
            name = re.match(r"[\w.-]+", requirement).group().lower()
            assert name in locked, name
        blocks = re.split(r"\n(?=[a-z])", lock.split("\n", 2)[2])
        assert all("--hash=sha256:" in block for block in blocks if "==" in block)

    def test_matplotlib_stays_below_the_version_that_breaks_seaborn(self):
        assert "matplotlib>=3.10,<3.13" in self.project["dependencies"]


class TestDocuments:
    def test_readme_s_commands_exist(self):
        readme = (ROOT / "README.md").read_text()
        noxfile = (ROOT / "noxfile.py").read_text()
        for name in set(re.findall(r"nox -s (\w+)", readme)):
            assert re.search(rf"^def {name}\(", noxfile, re.MULTILINE), name
        from replab.cli import _parser

        (commands,) = [a for a in _parser()._actions if a.dest == "command" or a.choices]
        for name in set(re.findall(r"python -m replab (\w+)", readme)):
            assert name in commands.choices, name

    def test_relative_links_resolve(self):
        for path in [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), ROOT / "results/README.md"]:
            for target in re.findall(r"\]\(([^)#:]+)\)", path.read_text()):
                assert (path.parent / target).exists(), (path, target)

    def test_ci_runs_the_readme_s_test_command(self):
        assert "nox -s tests" in (ROOT / "README.md").read_text()
        assert "\nnox -s tests\n" in (ROOT / ".ci/run").read_text()
