"""Building the site: gather, let Sphinx read and write, check every link, put it in its place."""

import importlib.util
import io
import os
import re
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from replab.errors import CheckFailed, UserError
from replab.files import make_folder
from replab.site import links

if TYPE_CHECKING:
    from replab.site.own_pages import OwnPages

# By this file we know a folder that we may replace.
_MARK = ".buildinfo"
SETTINGS: dict[str, Any] = {
    "project": "replab",
    "author": "the replab authors",
    "copyright": "the replab authors",
    "extensions": ["myst_nb"],
    # The folder `theme` beside this file.
    "html_theme": "theme",
    "html_theme_path": [str(Path(__file__).parent)],
    "nb_execution_mode": "off",
    "nb_merge_streams": True,
    "nb_code_prompt_show": "Show the code",
    "nb_code_prompt_hide": "Hide the code",
    "nb_render_markdown_format": "gfm",
    # What stands between fences without a language are commands; as Python they look wrong.
    "highlight_language": "none",
    "myst_heading_anchors": 3,
    "myst_enable_extensions": [],
    # Documents link to pages that Sphinx does not know; `links` checks every one of them.
    "suppress_warnings": ["myst.xref_missing", "myst.header"],
    "html_copy_source": False,
    "html_show_sourcelink": False,
    "html_show_search_summary": False,
    "html_use_index": False,
    "html_domain_indices": False,
    "html_title": "replab",
    "language": "en",
}


def build(out: Path) -> dict[str, float]:
    """Build the site into a folder, which is replaced as a whole.

    Returns:
        `{pages, mb}`: how many pages it has, and its size in MB (10⁶ bytes).

    Raises:
        UserError: Sphinx is not here, the folder holds something else, or a source is missing.
        CheckFailed: Sphinx warns of something, or a link of the site leads nowhere.
    """
    _require_sphinx()
    if out.exists() and not (out / _MARK).is_file() and any(out.iterdir()):
        raise UserError(f"{out} is there and is no site of replab; name a new folder by --out")
    from replab.site.own_pages import OwnPages
    from replab.site.pages import Site
    from replab.site.sources import assemble
    from replab.site.statements import gather_all

    site = Site(gather_all())
    make_folder(out.parent)
    with tempfile.TemporaryDirectory(prefix=".site-", dir=out.parent) as work:
        sources, pages = Path(work) / "sources", Path(work) / "pages"
        make_folder(sources)
        assemble(site, sources)
        _run_sphinx(sources, pages, Path(work) / "doctrees", OwnPages(site))
        for leftover in ("objects.inv", ".doctrees"):
            path = pages / leftover
            if path.is_file():
                path.unlink()
        problems = links.problems(pages)
        if problems:
            raise CheckFailed("the site has links that lead nowhere:\n" + "\n".join(problems[:40]))
        if out.exists():
            shutil.rmtree(out)
        os.replace(pages, out)
    files = [path for path in out.rglob("*") if path.is_file()]
    return {
        "pages": sum(path.suffix == ".html" for path in files),
        "mb": sum(path.stat().st_size for path in files) / 1e6,
    }


def _require_sphinx() -> None:
    for module, package in (("sphinx", "sphinx"), ("myst_nb", "myst-nb")):
        if importlib.util.find_spec(module) is None:
            raise UserError(
                f"the site needs {package}, which is not here; run `nox -s site`, or install "
                "the extra: pip install -e '.[site]'"
            )


def _run_sphinx(sources: Path, pages: Path, doctrees: Path, own: "OwnPages") -> None:
    from sphinx.application import Sphinx
    from sphinx.errors import SphinxError
    from sphinx.util.docutils import docutils_namespace, patch_docutils

    warnings = io.StringIO()
    try:
        with patch_docutils(), docutils_namespace():
            app = Sphinx(
                srcdir=sources,
                confdir=None,
                outdir=pages,
                doctreedir=doctrees,
                buildername="html",
                confoverrides=SETTINGS,
                status=None,
                warning=warnings,
                freshenv=True,
            )
            own.connect(app)
            app.build()
    except SphinxError as error:
        raise CheckFailed(f"Sphinx cannot build the site: {error}") from error
    # Colours and the place of the temporary folder say nothing to a reader.
    said = re.sub(r"\x1b\[[0-9;]*m", "", warnings.getvalue()).replace(f"{sources}{os.sep}", "")
    lines = [line for line in said.splitlines() if line.strip()]
    if lines:
        raise CheckFailed("Sphinx warns of the site:\n" + "\n".join(lines[:40]))
