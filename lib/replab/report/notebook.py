"""Notebooks: parameters validated, executed by papermill, cleaned, kept as .ipynb and HTML."""

import multiprocessing
import os
import re
import shutil
import subprocess
import sys
import warnings
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

from replab import paths
from replab.cores import available_cores
from replab.errors import CheckFailed, UserError
from replab.files import make_folder, write_bytes, write_text
from replab.recipe import nearest
from replab.report.style import FIGURES_VARIABLE
from replab.runs.store import Store

CHECK_TAG = "nbval-check-output"
# Parameters that every notebook has and commands set.
OWN_PARAMETERS = {
    "profile": "use --profile instead",
    "seeds": "use --seeds instead",
    "records": "`replicate` shows this machine's, `render` the committed ones",
}
# Parameters that are paths or secrets have no place here: they would be committed.
Value = str | int | float | bool


def source_path(paper: str) -> Path:
    """The notebook of a paper, as committed, without outputs.

    Raises:
        UserError: the paper has none.
    """
    path = paths.root() / "notebooks" / f"{paper}.ipynb"
    if not path.is_file():
        raise UserError(f"notebooks/{paper}.ipynb is missing; a paper needs its notebook")
    return path


def rendered_path(paper: str, profile: str) -> Path:
    """Where the rendered notebook of a paper under a profile is."""
    return paths.root() / "results" / paper / profile / f"{paper}.ipynb"


def parse_parameters(paper: str, words: Mapping[str, str]) -> dict[str, Value]:
    """Parameters given as text, checked against the notebook's own.

    papermill accepts unknown names silently; we do not.

    Raises:
        UserError: the notebook has no such parameter, or the value is of another kind.
    """
    known = parameters(paper)
    parsed: dict[str, Value] = {}
    for name, word in words.items():
        if name in OWN_PARAMETERS:
            raise UserError(f"-p {name}=…: {OWN_PARAMETERS[name]}")
        if name not in known:
            raise UserError(
                f"notebooks/{paper}.ipynb has no parameter '{name}'{nearest(name, known)}; it "
                f"has: {', '.join(known)}"
            )
        parsed[name] = _convert(paper, name, word, known[name])
    return parsed


def parameters(paper: str) -> dict[str, Value]:
    """Names and defaults of a notebook's parameters: the assignments of its tagged cell.

    Raises:
        UserError: the notebook is malformed, or has no cell tagged `parameters`.
    """
    import ast

    notebook = _read(source_path(paper))
    for cell in notebook.cells:
        if "parameters" not in cell.metadata.get("tags", []):
            continue
        found: dict[str, Value] = {}
        for statement in ast.parse(cell.source).body:
            if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
                found[statement.targets[0].id] = ast.literal_eval(statement.value)
        lacking = ", ".join(name for name in OWN_PARAMETERS if name not in found)
        if lacking:
            raise UserError(
                f"notebooks/{paper}.ipynb lacks the parameter {lacking}; add it to the cell "
                "tagged 'parameters' and give it to open_paper, as notebooks/resnet.ipynb does"
            )
        return found
    raise UserError(f"notebooks/{paper}.ipynb has no cell tagged 'parameters'; tag one")


def _read(path: Path) -> Any:
    import nbformat

    try:
        return nbformat.read(path, as_version=4)
    except (OSError, ValueError, nbformat.ValidationError) as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(
            f"{path} is no readable notebook ({reason}); restore it from git"
        ) from error


def _convert(paper: str, name: str, word: str, default: Value) -> Value:
    try:
        if isinstance(default, bool):
            return {"true": True, "false": False}[word.lower()]
        return type(default)(word)
    except (ValueError, KeyError):
        kind = type(default).__name__
        raise UserError(
            f"parameter {name} of notebooks/{paper}.ipynb is of kind {kind}; '{word}' is not"
        ) from None


def render(paper: str, profile: str, values: Mapping[str, Value], *, records: str) -> Path:
    """Execute a notebook on records that are there and keep it under `results/`.

    Args:
        values: parameters beside the profile.
        records: `machine` or `committed`: which records it shows.

    Returns:
        The rendered notebook; beside it stand the HTML page and the folder of figures.

    Raises:
        CheckFailed: a cell failed; the partial notebook is kept and named.
        UserError: the results cannot be written.
    """
    target, notebook = _rendered(paper, profile, values, records)
    _write_page(notebook, target, profile)
    return target


def render_and_check(
    paper: str, profile: str, values: Mapping[str, Value], *, records: str
) -> tuple[Path, str]:
    """As `render`, and `nbval`, which looks at the notebook while its page is being made.

    Returns:
        The rendered notebook, and what nbval said if a cell differs or fails.

    Raises:
        CheckFailed: a cell failed; the partial notebook is kept and named.
        UserError: the results cannot be written.
    """
    target, notebook = _rendered(paper, profile, values, records)
    with ThreadPoolExecutor(1) as beside:
        checked = beside.submit(nbval, paper, profile)
        _write_page(notebook, target, profile)
        return target, checked.result()


def render_all(wanted: Sequence[tuple[str, str]]) -> list[str]:
    """Render notebooks from the committed records, as many at a time as there are cores.

    Args:
        wanted: papers and profiles.

    Returns:
        The rendered notebooks, from the root of the checkout.

    Raises:
        CheckFailed: a cell failed; the others are rendered.
        UserError: a record is missing, or the results cannot be written.
    """
    # Papermill keeps an event loop and signal handlers, which are a process's own.
    spawn = multiprocessing.get_context("spawn")
    workers = min(available_cores(), len(wanted))
    with ProcessPoolExecutor(workers, mp_context=spawn) as pool:
        jobs = [pool.submit(_render_committed, *one) for one in wanted]
        wait(jobs)
        return [job.result().relative_to(paths.root()).as_posix() for job in jobs]


def _render_committed(paper: str, profile: str) -> Path:
    with Store().exclusive(f"render-{paper}-{profile}"):
        return render(paper, profile, {}, records="committed")


def _rendered(
    paper: str, profile: str, values: Mapping[str, Value], records: str
) -> tuple[Path, Any]:
    """Execute a notebook and keep it and its figures; where it stands, and its content."""
    parameters(paper)  # refuses a notebook that would show other records
    target = rendered_path(paper, profile)
    work = paths.store_dir() / "render" / f"{paper}-{profile}-{os.getpid()}"
    shutil.rmtree(work, ignore_errors=True)
    make_folder(target.parent)
    make_folder(work)
    try:
        executed = work / target.name
        environment = {
            FIGURES_VARIABLE: str(work / "figures"),
            "REPLAB_ROOT": str(paths.root()),
        }
        given = {"profile": profile, "records": records, **values}
        _execute(paper, executed, given, environment, target)
        notebook = clean(_read(executed))
        _write_notebook(notebook, target)
        _replace_folder(work / "figures", target.parent / "figures")
    finally:
        shutil.rmtree(work, ignore_errors=True)
    target.with_suffix(".failed.ipynb").unlink(missing_ok=True)
    return target, notebook


def _write_page(notebook: Any, target: Path, profile: str) -> None:
    page = to_html(notebook, f"{target.stem}, profile {profile}")
    write_text(target.with_suffix(".html"), page)


def _execute(
    paper: str,
    executed: Path,
    values: Mapping[str, Value],
    environment: Mapping[str, str],
    target: Path,
) -> None:
    import papermill
    from papermill.exceptions import PapermillExecutionError

    before = {name: os.environ.get(name) for name in environment}
    os.environ.update(environment)
    try:
        with warnings.catch_warnings():
            # The same remark by papermill, and its advice about its own progress bar.
            warnings.simplefilter("ignore")
            papermill.execute_notebook(
                source_path(paper),
                executed,
                parameters=dict(values),
                cwd=paths.root(),
                kernel_name="python3",
                language="python",
                progress_bar=False,
                log_output=False,
                # It remarks on unencrypted sockets (they are on the loopback) and, now and then,
                # on being interrupted at its end; a failing cell reaches us as an exception.
                extra_arguments=["--log-level=CRITICAL"],
            )
    except PapermillExecutionError as error:
        import nbformat

        failed = target.with_suffix(".failed.ipynb")
        partial = clean(_read(executed))
        # A traceback names files; what it says must not be lost for that.
        write_text(failed, _without_places(nbformat.writes(partial)).rstrip("\n") + "\n")
        reason = " ".join(str(error.evalue).split())[:300]
        shown = failed.relative_to(paths.root())
        raise CheckFailed(
            f"notebooks/{paper}.ipynb: cell {error.cell_index} failed: {error.ename}: {reason}; "
            f"the partial notebook is {shown}"
        ) from error
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def clean(notebook: Any) -> Any:
    """Strip what varies between renderings of the same numbers: times, paths, widget state."""
    metadata = notebook.metadata
    for name in ("papermill", "widgets"):
        metadata.pop(name, None)
    metadata["language_info"] = {"name": "python"}
    metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    for number, cell in enumerate(notebook.cells):
        for name in ("papermill", "execution", "widgets"):
            cell.metadata.pop(name, None)
        cell["id"] = f"cell-{number:02d}"
        if cell.cell_type == "code":
            cell["outputs"] = [o for o in cell.outputs if o.get("name") != "stderr"]
    return notebook


def _without_places(text: str) -> str:
    """Text in which this machine's checkout and home folder are called `.` and `~`."""
    for place, word in ((paths.root(), "."), (Path.home(), "~")):
        text = text.replace(str(place), word)
    return text


def _write_notebook(notebook: Any, path: Path) -> None:
    import nbformat

    text = nbformat.writes(notebook)
    root = str(paths.root())
    if root in text or str(Path.home()) + os.sep in text:
        raise CheckFailed(
            f"{path.name} would hold a path of this machine; print no paths in notebooks"
        )
    write_text(path, text.rstrip("\n") + "\n")


def to_html(notebook: Any, title: str) -> str:
    """The notebook as one HTML page that asks nothing of the network."""
    from nbconvert import HTMLExporter

    exporter = HTMLExporter(
        exclude_input_prompt=True,
        exclude_output_prompt=True,
        # The template would load these from a CDN; our notebooks need neither.
        mathjax_url="",
        require_js_url="",
        jquery_url="",
        mermaid_js_url="",
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        body, _ = exporter.from_notebook_node(notebook, {"metadata": {"name": title}})
    page: str = body
    return re.sub(r'<script src="">\s*</script>', "", page)


def _replace_folder(new: Path, old: Path) -> None:
    """Put a folder of files in another's place, file by file, each atomically."""
    names = {p.name for p in new.iterdir()} if new.is_dir() else set()
    make_folder(old)
    for name in names:
        write_bytes(old / name, (new / name).read_bytes())
    for path in old.iterdir():
        if path.name not in names:
            path.unlink()


def nbval(paper: str, profile: str) -> str:
    """Execute the rendered notebook again and compare its checked cells.

    Returns:
        What nbval said if a cell differs or fails; empty if all is well.

    Raises:
        UserError: there is no rendered notebook.
    """
    path = rendered_path(paper, profile)
    if not path.is_file():
        raise UserError(
            f"{path.relative_to(paths.root())} is missing; run `nox -s replicate -- {paper} "
            f"--profile {profile}`"
        )
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-p", "nbval.plugin"),
            *("--nbval-lax", "--nbval-current-env"),
            *("-q", "--no-header", "--tb=short", "-p", "no:cacheprovider", "-c", os.devnull),
            *("--rootdir", str(path.parent), str(path)),
        ],
        capture_output=True,
        text=True,
        env={
            **{
                k: v
                for k, v in os.environ.items()
                if k not in (FIGURES_VARIABLE, "PYTEST_ADDOPTS")
            },
            # Other plugins have no part in this, and loading them takes seconds.
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
            "REPLAB_ROOT": str(paths.root()),
        },
        check=False,
    )
    if done.returncode == 0:
        return ""
    return (done.stdout + done.stderr).strip()
