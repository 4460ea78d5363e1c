"""Every link of the site leads somewhere, and nothing is fetched from elsewhere."""

import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

# What a browser fetches by itself, as opposed to what a reader may follow.
_FETCHED = {"img": "src", "script": "src", "link": "href", "iframe": "src", "source": "src"}
_CSS_ADDRESS = re.compile(r"""(?:url\(\s*|@import\s+)["']?([^"')\s]+)""")


class _Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.anchors: set[str] = set()
        self.links: set[str] = set()
        self.fetched: set[str] = set()
        self.twice: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        anchor = values.get("id")
        if anchor:
            (self.twice if anchor in self.anchors else self.anchors).add(anchor)
        if tag == "a" and "href" in values:
            self.links.add(values["href"])
        address = values.get(_FETCHED.get(tag, ""), "")
        if address and not (tag == "link" and values.get("rel") == "canonical"):
            self.fetched.add(address)


def problems(folder: Path) -> list[str]:
    """What is wrong with the links of a built site, a line each; empty if all is well.

    A link to a page, an anchor or a file that is not there; something that a browser would fetch
    from another machine; an id that stands twice on a page.
    """
    # Targets are resolved, so that what they are looked up in has to be.
    folder = folder.resolve()
    pages = {path: _read(path) for path in sorted(folder.rglob("*.html"))}
    files = {path for path in folder.rglob("*") if path.is_file()}
    found = []
    for path, page in pages.items():
        shown = path.relative_to(folder).as_posix()
        found += [f"{shown}: id {anchor!r} stands twice" for anchor in sorted(page.twice)]
        for address in sorted(page.fetched):
            if _elsewhere(address):
                found.append(f"{shown}: would fetch {address}")
        for address in sorted(page.links | page.fetched):
            if not _elsewhere(address):
                problem = _problem(address, path, pages, files)
                if problem:
                    found.append(f"{shown}: {problem}")
    for path in sorted(folder.rglob("*.css")):
        for address in _CSS_ADDRESS.findall(path.read_text(encoding="utf-8")):
            if _elsewhere(address) and not address.startswith("data:"):
                found.append(f"{path.relative_to(folder).as_posix()}: would fetch {address}")
    return found


def _read(path: Path) -> _Page:
    page = _Page()
    page.feed(path.read_text(encoding="utf-8"))
    return page


def _elsewhere(address: str) -> bool:
    parts = urlsplit(address)
    return bool(parts.scheme or parts.netloc)


def _problem(address: str, path: Path, pages: dict[Path, _Page], files: set[Path]) -> str:
    parts = urlsplit(address)
    target = (path.parent / unquote(parts.path)).resolve() if parts.path else path.resolve()
    if target.is_dir():
        target = target / "index.html"
    if target not in files:
        return f"no file for {address}"
    anchor = unquote(parts.fragment)
    if anchor and target in pages and anchor not in pages[target].anchors:
        return f"no anchor for {address}"
    return ""
