"""Networks by name, with the state_dict names of the released weights."""

from replab.models.loading import load
from replab.models.registry import create, names

__all__ = ["create", "load", "names"]
