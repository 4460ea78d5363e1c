"""The site's own pages beside Sphinx's documents: the board, claims, runs, modules, figures."""

import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from replab.site.pages import Page, Site, figure_file

_ABSOLUTE = re.compile(r'(href|src)="/(?!/)')
_UNTITLED = re.compile(r'alt="[^"]*_images/[^"]*"')
# A word in code as Sphinx writes it, unless it stands in a link already.
_NAMED = re.compile(
    r'<a\b.*?</a>|<code class="docutils literal notranslate"><span class="pre">'
    r"(?P<claim>[a-z0-9._-]+)</span></code>",
    re.DOTALL,
)


class OwnPages:
    """Listens to Sphinx's events and adds what is no document."""

    def __init__(self, site: Site) -> None:
        self.site = site

    def connect(self, app: Any) -> None:
        """Take part in a build that has not begun yet."""
        app.connect("html-collect-pages", self.collect)
        app.connect("html-page-context", self.complete)
        app.connect("build-finished", self.copy_figures)

    def collect(self, app: Any) -> Iterator[tuple[str, dict[str, Any], str]]:
        """The pages of claims, runs and modules; the search learns what they are found by."""
        for page in (*self.site.claims(), *self.site.runs(), *self.site.api()):
            _let_search_find(app, page)
            context = {"title": page.title, "body": page.body, "wide": page.wide}
            yield page.name, context, "page.html"

    def complete(
        self, app: Any, page: str, template: str, context: dict[str, Any], doctree: Any
    ) -> None:
        """Put the board on the home page, and mend tables and links of documents."""
        context["board"] = page == "index"
        if page == "index":
            board = self.site.board()
            context |= {"title": board.title, "body": board.body, "wide": True}
            context["display_toc"] = False
        elif doctree is not None and "body" in context:
            up = "../" * page.count("/")
            body = with_claims_linked(context["body"], up=up, places=self.site.places(page))
            context["body"] = mended(body, up=up)

    def copy_figures(self, app: Any, error: Exception | None) -> None:
        """Copy each figure's file once, if the build went well."""
        if error is not None:
            return
        folder = Path(app.outdir) / "figures"
        folder.mkdir(exist_ok=True)
        for figures in self.site.figures.values():
            for figure in figures:
                shutil.copyfile(figure.file, Path(app.outdir) / figure_file(figure))


def with_claims_linked(body: str, *, up: str, places: Mapping[str, str]) -> str:
    """A document's HTML in which each claim that it names opens its page.

    Args:
        up: from the page to the site's root.
        places: claim → its page, from the root.
    """

    def replaced(match: re.Match[str]) -> str:
        place = places.get(match["claim"] or "")
        return f'<a href="{up}{place}">{match[0]}</a>' if place else match[0]

    return _NAMED.sub(replaced, body)


def mended(body: str, *, up: str) -> str:
    """A document's HTML whose wide tables scroll by themselves, and whose links are relative.

    Args:
        up: from the page to the site's root.
    """
    # With a tab stop, so that a keyboard can scroll.
    opening = '<div class="scroll" tabindex="0" role="region" aria-label="Table"><table'
    # Of a picture that a cell drew Sphinx says no more than its file's name.
    body = _UNTITLED.sub('alt="A figure of this notebook, described in the text around it"', body)
    body = body.replace("<table", opening).replace("</table>", "</table></div>")
    return _ABSOLUTE.sub(rf'\1="{up}', body)


def _let_search_find(app: Any, page: Page) -> None:
    if not page.words:
        return
    from docutils import frontend, nodes, utils

    # The index takes documents only, so the words come as one.
    words = utils.new_document(page.name, frontend.get_default_settings())
    words += nodes.paragraph("", page.words)
    app.builder.indexer.feed(page.name, page.name, page.title, words)
    # When Sphinx writes the index it forgets all pages but those that it knows as documents, and
    # those it asks for their titles.
    app.env.all_docs[page.name] = 0
    app.env.titles[page.name] = nodes.title("", page.title)
