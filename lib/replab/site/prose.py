"""The little Markdown of docstrings, notes and reasons, as HTML: blocks, lists, code, emphasis.

Whole documents are read by MyST; what stands in one cell or one docstring needs no more than this.
"""

import html
import re
import textwrap

_CODE = re.compile(r"(`+)(.+?)\1", re.DOTALL)
_EMPHASIS = re.compile(r"(?<![\w*])(\*\*?)(?=[^\s*])([^*]+?)(?<=[^\s*])\1(?![\w*])")


def inline(words: str) -> str:
    """A sentence as HTML; what looks like a tag is text.

    Args:
        words: with code in backticks and emphasis in asterisks.
    """
    pieces = []
    end = 0
    for match in _CODE.finditer(words):
        pieces.append(_emphasised(words[end : match.start()]))
        pieces.append(f"<code>{html.escape(match[2].strip())}</code>")
        end = match.end()
    return "".join([*pieces, _emphasised(words[end:])])


def blocks(words: str) -> str:
    """Paragraphs, lists of lines with a hyphen and indented code as HTML.

    Args:
        words: blocks with an empty line between them.
    """
    return "\n".join(
        _block(part) for part in re.split(r"\n\s*\n", words.strip("\n")) if part.strip()
    )


def _block(part: str) -> str:
    if all(line.startswith("    ") for line in part.splitlines()):
        return f"<pre><code>{html.escape(textwrap.dedent(part))}</code></pre>"
    if not re.match(r"[-*] ", part):
        before, hyphen, items = _before_list(part)
        return f"<p>{inline(before)}</p>" + (_listed(items) if hyphen else "")
    return _listed(part)


def _before_list(part: str) -> tuple[str, bool, str]:
    """A paragraph, and the list that follows it without an empty line."""
    match = re.search(r"\n(?=- )", part)
    return (
        (part, False, "") if match is None else (part[: match.start()], True, part[match.end() :])
    )


def _listed(part: str) -> str:
    items = re.split(r"\n[-*] ", part[2:])
    return "<ul>" + "".join(f"<li>{inline(' '.join(i.split()))}</li>" for i in items) + "</ul>"


def _emphasised(words: str) -> str:
    def replaced(match: re.Match[str]) -> str:
        tag = "strong" if len(match[1]) == 2 else "em"
        return f"<{tag}>{match[2]}</{tag}>"

    return _EMPHASIS.sub(replaced, html.escape(words, quote=False))
