"""Recipes: what decides a run's numbers beyond its variant, declared field by field."""

import dataclasses
import difflib
import types
import typing
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Self

from replab.errors import UserError

# Metadata of a field that stands in the JSON as null where others that are None are left out.
NULL = "null"
# Metadata with a field's name in the JSON, where that is no name of Python.
KEY = "key"


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Declared fields, each of its declared type; subclasses add theirs.

    Optional fields are None where they are not used, and are then left out of the JSON (unless
    their metadata has `NULL`), so that a new field changes no recipe that does not use it.

    Raises:
        ValueError: a field is unknown or of another type; the message names it, and for an unknown
            one the nearest that there is.
    """

    def __new__(cls, **fields: Any) -> Self:
        """Refuse unknown fields before the dataclass does, which knows no nearest name."""
        _require_known(fields, _hints(cls), cls.__name__)
        return super().__new__(cls)

    def __post_init__(self) -> None:
        for name, hint in _hints(type(self)).items():
            value = getattr(self, name)
            if not _fits(value, hint):
                raise ValueError(
                    f"{type(self).__name__}.{name} is {value!r}; it must be {_in_words(hint)}"
                )

    def as_json(self) -> dict[str, Any]:
        """The recipe as plain values, as records hold it."""
        return {
            _key(field): _plain(getattr(self, field.name))
            for field in dataclasses.fields(self)
            if getattr(self, field.name) is not None or field.metadata.get(NULL)
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any], *, where: str = "") -> Self:
        """A recipe from plain values.

        Args:
            where: the file and place, for messages.

        Raises:
            UserError: a field is missing, unknown or of another type.
        """
        prefix = f"{where}: " if where else ""
        hints = _hints(cls)
        names = {_key(field): field.name for field in dataclasses.fields(cls)}
        values = {names.get(key, key): value for key, value in values.items()}
        try:
            _require_known(values, hints, cls.__name__)
            needed = {
                field.name
                for field in dataclasses.fields(cls)
                if field.default is dataclasses.MISSING
                and field.default_factory is dataclasses.MISSING
            }
            if missing := sorted(needed - set(values)):
                raise ValueError(f"{cls.__name__} lacks {', '.join(missing)}")
            return cls(**{name: _typed(value, hints[name]) for name, value in values.items()})
        except ValueError as error:
            raise UserError(f"{prefix}{error}") from error


def _key(field: "dataclasses.Field[Any]") -> str:
    return str(field.metadata.get(KEY, field.name))


_HINTS: dict[type, dict[str, Any]] = {}


def _hints(cls: type) -> dict[str, Any]:
    """Declared types by field; kept, since every recipe asks."""
    if cls not in _HINTS:
        _HINTS[cls] = typing.get_type_hints(cls)
    return _HINTS[cls]


def nearest(name: str, known: Iterable[str]) -> str:
    """A hint at the known name that is nearest to a misspelt one; empty if none is near."""
    found = difflib.get_close_matches(name, list(known), 1, cutoff=0.5)
    return f"; did you mean {found[0]}?" if found else ""


def _require_known(fields: Mapping[str, Any], hints: Mapping[str, Any], owner: str) -> None:
    for name in fields:
        if name not in hints:
            raise ValueError(f"{owner} has no field {name!r}{nearest(str(name), hints)}")


def _fits(value: Any, hint: Any) -> bool:
    """Whether a value is of a declared type."""
    origin, words = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any:
        return True
    if origin in (typing.Union, types.UnionType):
        return any(_fits(value, word) for word in words)
    if origin is typing.Literal:
        return any(value == word and type(value) is type(word) for word in words)
    if origin is tuple:
        if not isinstance(value, tuple):
            return False
        if words[-1] is Ellipsis:
            return all(_fits(part, words[0]) for part in value)
        return len(value) == len(words) and all(map(_fits, value, words))
    if origin is not None and issubclass(origin, Mapping):
        return isinstance(value, Mapping) and all(
            _fits(key, words[0]) and _fits(part, words[1]) for key, part in value.items()
        )
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, hint if hint is not None else type(None))


def _typed(value: Any, hint: Any) -> Any:
    """A plain value in its declared type: lists as tuples, mappings as recipes."""
    origin, words = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        recipes = [word for word in words if _is_recipe(word)]
        if len(recipes) > 1 and isinstance(value, Mapping):
            # The kind whose fields are those given.
            fits = [r for r in recipes if set(value) <= set(_hints(r))] or recipes
            return _typed(value, fits[0])
        for word in words:
            typed = _typed(value, word)
            if _fits(typed, word):
                return typed
        return value
    if origin is tuple and isinstance(value, list):
        kinds = words[:1] * len(value) if words[-1] is Ellipsis else words
        return tuple(_typed(part, kind) for part, kind in zip(value, kinds, strict=False))
    if origin is not None and origin is not tuple and isinstance(value, Mapping):
        return {key: _typed(part, words[1]) for key, part in value.items()}
    if _is_recipe(hint) and isinstance(value, Mapping):
        try:
            return hint.from_json(value)
        except UserError as error:
            raise ValueError(str(error)) from error
    return value


def _is_recipe(hint: Any) -> bool:
    return isinstance(hint, type) and issubclass(hint, Recipe)


def _plain(value: Any) -> Any:
    if isinstance(value, Recipe):
        return value.as_json()
    if isinstance(value, Mapping):
        return {key: _plain(part) for key, part in value.items()}
    if isinstance(value, tuple):
        return [_plain(part) for part in value]
    return value


def _in_words(hint: Any) -> str:
    """A type as a reader knows it."""
    origin, words = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(map(_in_words, words))
    if origin is typing.Literal:
        return " or ".join(map(repr, words))
    if origin is tuple:
        return f"a tuple of {_in_words(words[0])}"
    if origin is not None:
        return f"a mapping to {_in_words(words[1])}"
    names = {int: "a whole number", float: "a number", str: "text", bool: "True or False"}
    if hint is type(None):
        return "None"
    return names.get(hint, f"a {hint.__name__}")
