"""replab: paper replications, claim by claim."""

__version__ = "0.1.0"
