"""Recipes declared on the spot, for tests of what is done with any recipe."""

from dataclasses import make_dataclass

from replab.recipe import Recipe


def recipe(**fields):
    """A recipe of a kind of its own with these fields, each of its value's type."""
    kinds = [(name, type(value)) for name, value in fields.items()]
    options = {"bases": (Recipe,), "frozen": True, "kw_only": True}
    return make_dataclass("Declared", kinds, **options)(**fields)
