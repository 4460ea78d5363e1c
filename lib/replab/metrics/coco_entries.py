"""Lists of JSON objects read by columns: fast where they are sound, by name where they are not."""

import contextlib
import gc
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from replab.errors import UserError

# Doubles hold whole numbers up to here.
LARGEST = 2**53


class Entries:
    """A list of JSON objects, read by columns; the first faulty entry is named, from 1."""

    def __init__(self, source: str, entries: Sequence[Any]) -> None:
        self.source, self.entries = source, entries
        for place, entry in enumerate(entries):
            if not isinstance(entry, Mapping):
                self.refuse(place, f"is no object but {kind(entry)}; mend it")

    def refuse(self, place: int, fault: str) -> NoReturn:
        """Raise a UserError that names an entry (given from 0, named from 1) and its fault."""
        raise UserError(f"{self.source}, entry {place + 1} {fault}")

    def whole(self, name: str, least: int = -LARGEST) -> NDArray[np.int64]:
        """A column of whole numbers from `least` on."""
        values = self.numbers(name)
        odd = (values != np.round(values)) | (np.abs(values) > LARGEST)
        if odd.any():
            place = int(np.argmax(odd))
            self.refuse(place, f"has the {name} {values[place]:g}, which is no whole number")
        if (values < least).any():
            place = int(np.argmax(values < least))
            self.refuse(place, f"has the {name} {values[place]:g}; give numbers from {least} on")
        return values.astype(np.int64)

    def numbers(self, name: str, width: int | None = None) -> NDArray[np.float64]:
        """A column of finite numbers, or of `width` of them each."""
        shape = (len(self.entries),) if width is None else (len(self.entries), width)
        if not self.entries:
            return np.zeros(shape)
        try:
            values = np.array([entry[name] for entry in self.entries])
        except (KeyError, ValueError, OverflowError):
            values = np.zeros(0, dtype=object)
        # Text and null become arrays of other kinds; one that is ragged is none at all.
        if values.shape == shape and values.dtype.kind in "biuf" and np.isfinite(values).all():
            return values.astype(np.float64)
        for place, entry in enumerate(self.entries):
            self._examine(place, entry, name, width)
        # Whole numbers of more digits than an integer of the machine has, and no fault in them.
        return np.array([entry[name] for entry in self.entries], dtype=np.float64).reshape(shape)

    def _examine(self, place: int, entry: Mapping[str, Any], name: str, width: int | None) -> None:
        if name not in entry:
            self.refuse(place, f"has no '{name}'; add it")
        value = entry[name]
        if width is not None:
            if not isinstance(value, list):
                self.refuse(place, f"has as '{name}' {kind(value)}, not {width} numbers")
            if len(value) != width:
                self.refuse(place, f"has {len(value)} numbers in '{name}', not {width}")
        for number in value if width is not None else (value,):
            if not isinstance(number, int | float):
                self.refuse(place, f"has {kind(number)} in '{name}' where a number belongs")
            try:
                finite, shown = math.isfinite(number), str(number)
            except OverflowError:
                finite, shown = False, "a number out of range"
            if not finite:
                self.refuse(place, f"has {shown} in '{name}'; give a finite number")


def kind(value: Any) -> str:
    """What JSON calls a value."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true or false"
    kinds = ((Mapping, "an object"), (str, "text"), (list, "a list"), (int | float, "a number"))
    return next((words for kind, words in kinds if isinstance(value, kind)), "something else")


@contextlib.contextmanager
def many_objects() -> Iterator[None]:
    """Keep the garbage collector out while very many objects are made that stay.

    It would walk over all of them again and again and find nothing, which takes as long as making
    them.
    """
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()
