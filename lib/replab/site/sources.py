"""The documents that Sphinx reads: the repository's Markdown and the rendered notebooks, gathered.

Their links are made to lead where the same things stand on the site; what is not on the site keeps
its name and loses its link, since nobody knows where the reader's clone is.
"""

import json
import os
import re
import shutil
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from replab import paths
from replab.claims.verdicts import VERDICTS
from replab.errors import UserError
from replab.files import make_folder, write_text
from replab.site.pages import Site, link

_LINK = re.compile(r"(?P<image>!?)\[(?P<text>[^\]\n]*)\]\((?P<target>[^)\s]+)\)")
_EXAMPLE = re.compile(r"^<!-- example: (?P<verdict>[a-z ]+) -->$", re.MULTILINE)
# Documents in the order in which a reader may want them; others follow by name.
_FIRST = ("readme", "reading-verdicts", "verdicts", "deviations", "costs")


def documents(site: Site) -> dict[str, str]:
    """Files of the repository, by their path from its root, and their documents on the site."""
    root = paths.root()
    found = {
        path.relative_to(root).as_posix(): f"docs/{path.stem}"
        for path in sorted((root / "docs").glob("*.md"))
    }
    for name in ("README", "CONTRIBUTING"):
        if (root / f"{name}.md").is_file():
            found[f"{name}.md"] = f"docs/{name.lower()}"
    for each in site.papers:
        readme = f"replications/{each.name}/README.md"
        if not (root / readme).is_file():
            raise UserError(f"{readme} is missing; a paper needs its README")
        found[readme] = f"papers/{each.name}"
        for profile in each.profiles:
            notebook = f"results/{each.name}/{profile}/{each.name}.ipynb"
            found[notebook] = f"notebooks/{each.name}-{profile}"
    return found


def assemble(site: Site, folder: Path) -> None:
    """Write everything that Sphinx reads into an empty folder.

    Raises:
        UserError: a document is missing or is no text.
    """
    root = paths.root()
    known = documents(site)
    # A few names lead to a page that is no document, or that stands there in another form.
    places = known | {"results/README.md": "index"}
    for path, document in known.items():
        if path.endswith(".ipynb"):
            places[path.removesuffix(".ipynb") + ".html"] = document
    for path, document in known.items():
        source = root / path
        target = folder / f"{document}{source.suffix}"
        make_folder(target.parent)
        if source.suffix == ".ipynb":
            write_text(target, _notebook(source, path, places, known))
            continue
        words = source.read_text(encoding="utf-8")
        words = _EXAMPLE.sub(partial(_example, site, path), words)
        write_text(target, relinked(words, path, document, places, folder))
    write_text(folder / "papers" / "index.md", _papers_index(site))
    write_text(folder / "docs" / "index.md", _documents_index(known))
    write_text(
        folder / "index.md",
        "# Claims\n\n```{toctree}\n:hidden:\n\npapers/index\ndocs/index\n```\n",
    )


def _example(site: Site, path: str, match: re.Match[str]) -> str:
    verdict = match["verdict"]
    if verdict not in VERDICTS:
        known = ", ".join(VERDICTS)
        raise UserError(f"{path}: 'example: {verdict}' is no verdict; write one of {known}")
    return site.example(verdict)


def relinked(words: str, path: str, document: str, places: Mapping[str, str], folder: Path) -> str:
    """A document's Markdown with its links and images leading to where they are on the site.

    Args:
        path: the document's file, from the repository's root.
        document: its name on the site.
        places: files of the repository → their pages on the site.
        folder: of the sources; images are copied into it.
    """

    def replaced(match: re.Match[str]) -> str:
        target = match["target"]
        if re.match(r"[a-z]+:|#|/", target):
            return match[0]
        file, hash_, anchor = target.partition("#")
        wanted = os.path.normpath(f"{os.path.dirname(path)}/{file}")
        wanted = wanted.replace(os.sep, "/").lstrip("/")
        up = "../" * document.count("/")
        if match["image"]:
            copied = f"pictures/{wanted.replace('/', '-')}"
            make_folder(folder / "pictures")
            shutil.copyfile(paths.root() / wanted, folder / copied)
            return f"![{match['text']}]({up}{copied})"
        if wanted in places:
            return link(match["text"], f"{places[wanted]}.html{hash_}{anchor}")
        text = match["text"].strip("`")
        return f"`{text}`" if text == file else f"{match['text']} (`{wanted}`)"

    return _LINK.sub(replaced, words)


def _notebook(source: Path, path: str, places: Mapping[str, str], known: Mapping[str, str]) -> str:
    """A rendered notebook: its title says which, its code is folded."""
    notebook = json.loads(source.read_text(encoding="utf-8"))
    for cell in notebook["cells"]:
        if cell["cell_type"] == "markdown":
            words = relinked("".join(cell["source"]), path, known[path], places, source.parent)
            # Or else the notebooks of all profiles, and the README, would have one title.
            cell["source"] = re.sub(
                r"\A# (.*)", rf"# \1: the notebook, profile {source.parent.name}", words
            )
        elif cell["cell_type"] == "code":
            tags = cell["metadata"].setdefault("tags", [])
            # The code of a figure is a click away, so that the appendix reads as one.
            tags.append("hide-input")
    return json.dumps(notebook, ensure_ascii=False)


def _papers_index(site: Site) -> str:
    lines = [
        "# Papers and notebooks",
        "",
        "For each paper: what was done, where it had to be done otherwise, and what is hard "
        "about it; and its notebook, as rendered from the committed records, a profile each.",
        "",
    ]
    for found in site.papers:
        citation = found.paper.citation
        links = [link("What was done", f"papers/{found.name}.html")]
        links += [
            link(f"notebook, {p}", f"notebooks/{found.name}-{p}.html") for p in found.profiles
        ]
        lines += [
            f"## {citation.title}",
            "",
            f"{citation.authors}. {citation.venue}. {' · '.join(links)}",
            "",
        ]
    tree = [f"{p.name}" for p in site.papers]
    tree += [f"/notebooks/{p.name}-{profile}" for p in site.papers for profile in p.profiles]
    return "\n".join([*lines, "```{toctree}", ":hidden:", "", *tree, "```", ""])


def _documents_index(known: Mapping[str, str]) -> str:
    names = [d.partition("/")[2] for d in known.values() if d.startswith("docs/")]
    ordered = [n for n in _FIRST if n in names] + sorted(n for n in names if n not in _FIRST)
    return "\n".join(["# Documents", "", "```{toctree}", ":maxdepth: 1", "", *ordered, "```", ""])
