"""What only a person can say: marked in the reports, found again, counted."""

import re
from collections.abc import Mapping

_WORDS = "YOURS TO FILL IN"
_MARK = re.compile(rf"{_WORDS}: ([^\]\n\"']*)")


def blank(what: str) -> str:
    """A place that is left to the person who hands the report in.

    Args:
        what: what belongs there, one line without brackets and quotation marks.

    Raises:
        ValueError: it could not be found again.
    """
    text = f"[{_WORDS}: {what}]"
    if _MARK.findall(text) != [what]:
        raise ValueError(f"'{what}' cannot be marked as a blank")
    return text


def is_blank(text: str) -> bool:
    """Whether a place still waits for its person."""
    return _MARK.search(text) is not None


def places(files: Mapping[str, bytes]) -> dict[str, list[str]]:
    """What is left to fill in, by file; what several files ask for stands under each of them."""
    found = {
        path: _MARK.findall(data.decode())
        for path, data in files.items()
        if path.endswith((".md", ".yaml", ".tex"))
    }
    return {path: wanted for path, wanted in found.items() if wanted}
