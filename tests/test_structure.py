"""The house rules that a test can hold: floors, notebooks, environments, no machine paths."""

import ast
import graphlib
import json
import re
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
# Ground up: a module uses its own part and those before it. The parts of one line know nothing of
# each other, but for the modules of the first.
FLOORS = [
    {"__init__", "errors", "files", "paths", "cores", "hardware", "recipe", "options", "output"}
    | {"yaml_lines"},
    {"models", "keypoints"},
    {"datasets"},
    {"metrics"},
    {"topdown"},
    {"training"},
    {"runs"},
    {"claims"},
    {"planning"},
    {"report", "bench"},
    {"photos"},
    {"site"},
    {"score", "predict"},
    {"commands"},
    {"cli"},
    {"__main__"},
]
LIB = ROOT / "lib"
MODULES = sorted((LIB / "replab").rglob("*.py"))


def name_of(path: Path) -> str:
    """`replab.models.vgg`; of a package, its own name."""
    return ".".join(path.relative_to(LIB).with_suffix("").parts).removesuffix(".__init__")


NAMES = {name_of(path) for path in MODULES}


def part_of(name: str) -> str:
    """`models` of `replab.models.vgg`; `__init__` of `replab` itself."""
    return name.split(".")[1] if "." in name else "__init__"


def floor_of(name: str) -> int:
    return next(i for i, parts in enumerate(FLOORS) if part_of(name) in parts)


def imports(path: Path) -> set[str]:
    """Modules of replab that a module imports, inside functions too.

    Imports for type checkers alone are left out: they are never executed.
    """
    tree = ast.parse(path.read_text())
    unexecuted = {
        id(node)
        for block in ast.walk(tree)
        if isinstance(block, ast.If) and ast.unparse(block.test) == "TYPE_CHECKING"
        for node in ast.walk(block)
    }
    found = set()
    for node in ast.walk(tree):
        if id(node) in unexecuted:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= (names & NAMES) or {node.module}
    return found & NAMES


def test_every_module_stands_on_a_floor():
    assert {part_of(name) for name in NAMES} == set().union(*FLOORS)


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(LIB / "replab")))
def test_no_import_runs_back_up(path):
    own = name_of(path)
    used = {name for name in imports(path) if part_of(name) != part_of(own)}
    assert not {name for name in used if floor_of(name) > floor_of(own)}
    if floor_of(own) > 0:
        assert not {name for name in used if floor_of(name) == floor_of(own)}


def test_no_import_cycles():
    graph = {name_of(path): imports(path) for path in MODULES}
    graphlib.TopologicalSorter(graph).prepare()


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
