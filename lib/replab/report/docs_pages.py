"""All generated pages but the rendered notebooks: which there are, and whether they are current.

`python -m replab docs` writes them, `accept` too; `check` compares.
"""

from collections.abc import Iterator, Sequence

from replab import paths
from replab.claims import deviations
from replab.claims.accepted import Accepted
from replab.errors import UserError
from replab.files import make_folder, read_text, write_text
from replab.planning import costs
from replab.report import badges, cost_page, tables, verdicts
from replab.report import deviations as deviation_page

COMMAND = "python -m replab docs"


def pages(found: Sequence[Accepted]) -> dict[str, str]:
    """Every generated file, by its path from the checkout's root, with the content it should have.

    Sections between markers are of READMEs that exist; a paper without deviations needs none.

    Args:
        found: all papers with what was accepted of them.

    Raises:
        UserError: a ledger, a record or a file of a paper is missing or broken, or a README lacks
            its markers.
    """
    stated = {a.paper.name: (a.paper, deviations.load(a.paper)) for a in found}
    work = [(a, costs.load_work(a.paper)) for a in found]
    ledgers = [(own, a.paper.citation.title) for a in found for own in a.ledgers.values()]
    content = {
        "results/README.md": tables.results_readme(ledgers),
        "docs/deviations.md": deviation_page.page(stated),
        "docs/verdicts.md": verdicts.page(found),
        "docs/costs.md": cost_page.page(work),
    }
    for accepted in found:
        if accepted.ledgers:
            content[f"results/{accepted.paper.name}/badge.svg"] = badges.badge(accepted)
    sections = {
        f"replications/{name}/README.md": ("deviations", deviation_page.section(paper, own))
        for name, (paper, own) in stated.items()
        if own
    }
    sections["README.md"] = ("verdicts", verdicts.readme_section(found))
    for file, (marker, section) in sections.items():
        path = paths.root() / file
        if path.is_file():
            content[file] = between(read_text(path, shown_as=file), marker, section, file=file)
    return content


def between(text: str, marker: str, section: str, *, file: str) -> str:
    """A text with what stands between `<!-- marker -->` and `<!-- /marker -->` replaced.

    Args:
        file: the text's name in messages.

    Raises:
        UserError: the two markers do not stand there once each, in this order.
    """
    begin, end = f"<!-- {marker} -->", f"<!-- /{marker} -->"
    if text.count(begin) != 1 or text.count(end) != 1 or text.index(begin) > text.index(end):
        raise UserError(
            f"{file}: the lines {begin} and {end} must stand there once each, in this order; put "
            f"them around the part that `{COMMAND}` is to write"
        )
    head, rest = text.split(begin)
    return f"{head}{begin}\n\n{section}\n\n{end}{rest.split(end)[1]}"


def write(found: Sequence[Accepted]) -> list[str]:
    """Write every generated file that is not current.

    Args:
        found: all papers with what was accepted of them.

    Returns:
        The paths of those written, from the checkout's root.

    Raises:
        UserError: as of `pages`, or a file cannot be written.
    """
    changed = list(_stale(content := pages(found)))
    for file in changed:
        path = paths.root() / file
        make_folder(path.parent)
        write_text(path, content[file])
    return changed


def problem(found: Sequence[Accepted]) -> str:
    """Which generated files are not current, in one line; empty if all are.

    Args:
        found: all papers with what was accepted of them.

    Raises:
        UserError: as of `pages`.
    """
    stale = list(_stale(pages(found)))
    if not stale:
        return ""
    verb = "is" if len(stale) == 1 else "are"
    return f"{', '.join(stale)} {verb} not up to date; run `{COMMAND}`"


def _stale(content: dict[str, str]) -> Iterator[str]:
    for file, wanted in content.items():
        path = paths.root() / file
        if not path.is_file() or path.read_bytes() != wanted.encode():
            yield file
