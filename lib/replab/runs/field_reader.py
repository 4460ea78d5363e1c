"""Reading files that people write: every field known, there, and of the right kind."""

import difflib
import math
from collections.abc import Mapping, Sequence
from typing import Any

from replab.errors import UserError


class FieldReader:
    """Takes plain values apart; what does not fit becomes one line that names file and place.

    Args:
        file: its name in messages.
        hint: what to do about it, for the end of messages.
    """

    def __init__(self, file: str, hint: str) -> None:
        self._file, self._hint = file, hint

    def require(self, holds: bool, place: str, problem: str) -> None:
        """Refuse the file unless a condition holds."""
        if not holds:
            raise UserError(f"{self._file}: {place} {problem}; {self._hint}")

    def fields(
        self,
        value: Any,
        place: str,
        kinds: Mapping[str, type | tuple[type, ...]],
        optional: Sequence[str] = (),
    ) -> dict[str, Any]:
        """A mapping whose fields are all known, there, and of the right kind."""
        self.require(isinstance(value, dict), place or "the file", "is no mapping")
        prefix = f"{place}." if place else ""
        for name in value:
            near = difflib.get_close_matches(str(name), kinds, 1)
            hint = f" (did you mean {near[0]}?)" if near else ""
            self.require(name in kinds, f"{prefix}{name}", f"is no known field{hint}")
        for name, kind in kinds.items():
            if name not in value:
                self.require(name in optional, f"{prefix}{name}", "is missing")
                continue
            fits = isinstance(value[name], kind) and not isinstance(value[name], bool)
            self.require(fits, f"{prefix}{name}", f"is {value[name]!r}, which is of another kind")
        return dict(value)

    def plain(self, value: Any, place: str) -> None:
        """Refuse what is no text, finite number, truth value, null, list or mapping of these."""
        inner = f"{place}." if place else ""
        if isinstance(value, dict):
            for name, part in value.items():
                self.plain(part, f"{inner}{name}")
        elif isinstance(value, list):
            for number, part in enumerate(value):
                self.plain(part, f"{inner}{number}")
        elif isinstance(value, float):
            self.require(math.isfinite(value), place, f"is {value}")
        elif isinstance(value, int):
            self.require(abs(value) < 2**63, place, "is too large a number")
        elif isinstance(value, str):
            self.require(value.isprintable() or "\n" in value, place, "has unprintable characters")
        else:
            kind = type(value).__name__
            self.require(value is None, place, f"is a {kind}; put it in quotes if it is text")

    def texts(self, value: list[Any], place: str, *, empty: bool = False) -> None:
        """Refuse a list of anything but texts; an empty one, too, unless `empty`."""
        self.require(empty or bool(value), place, "is empty")
        self.require(all(isinstance(part, str) for part in value), place, "is no list of texts")

    def variants(self, value: list[Any]) -> None:
        """Refuse what are no variants: different mappings to texts and numbers."""
        self.require(bool(value), "variants", "names no variant")
        for number, variant in enumerate(value):
            place = f"variants.{number}"
            self.require(isinstance(variant, dict) and bool(variant), place, "is no mapping")
            for name, part in variant.items():
                fits = isinstance(part, str | int | float) and not isinstance(part, bool)
                self.require(fits, f"{place}.{name}", "is neither text nor number")
            self.require(variant not in value[:number], place, "stands twice")
