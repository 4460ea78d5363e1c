"""A report as a list of blocks, and how these are written in Markdown."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from replab.report.tables import markdown as markdown_table


@dataclass(frozen=True)
class Heading:
    """A heading; level 1 is a section, the report's title is level 0."""

    level: int
    text: str


@dataclass(frozen=True)
class Paragraph:
    """Running text with Markdown's `code`, **bold** and *emphasis* in it."""

    text: str


@dataclass(frozen=True)
class Code:
    """Commands, a line each."""

    text: str


@dataclass(frozen=True)
class Table:
    """A table; cells hold what paragraphs hold.

    Attributes:
        widths: of the columns beside each other, for formats that do not find them themselves.
    """

    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    widths: Sequence[float]

    def __post_init__(self) -> None:
        sizes = {len(self.header), len(self.widths), *map(len, self.rows)}
        if len(sizes) != 1:
            raise ValueError(f"header, widths and rows of a table differ in length: {sizes}")


@dataclass(frozen=True)
class Quote:
    """Markdown from elsewhere, word for word, with its source."""

    source: str
    text: str


Block = Heading | Paragraph | Code | Table | Quote


def markdown(blocks: Sequence[Block]) -> str:
    """A report in Markdown."""
    return "\n\n".join(filter(None, map(_markdown, blocks))) + "\n"


def _markdown(block: Block) -> str:
    match block:
        case Heading(level, text):
            return f"{'#' * (level + 1)} {text}"
        case Paragraph(text):
            return text
        case Code(text):
            return "\n".join(f"    {line}" for line in text.splitlines())
        case Table(header, rows):
            return markdown_table(rows, header)
        case Quote(source, text):
            lines = [f"From `{source}`:", "", *text.splitlines()]
            return "\n".join(f"> {line}".rstrip() for line in lines)


@dataclass(frozen=True)
class Line:
    """A piece of quoted Markdown: a paragraph, an item of a list, or a line of code."""

    kind: str
    text: str


def quoted(text: str) -> Iterator[Line]:
    """The pieces of quoted Markdown, each on one line: `paragraph`, `item` or `code`.

    Tables of a quotation come as paragraphs, a row each: no README section that is quoted has one.
    """
    kind, words = "", list[str]()
    for line in [*text.splitlines(), ""]:
        item = re.match(r"[-*] +(.*)", line)
        code = re.match(r" {4,}(\S.*)", line)
        if (item or not line.strip() or (code and kind in ("", "code"))) and words:
            yield Line(kind, " ".join(words))
            kind, words = "", []
        if not line.strip():
            continue
        if item:
            kind, words = "item", [item[1]]
        elif code and not words:
            kind, words = "code", [code[1]]
        else:
            kind, words = kind or "paragraph", [*words, line.strip()]
