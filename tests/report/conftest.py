"""A checkout with a small paper, replicated and accepted."""

from mini_paper import accepted, checkout

__all__ = ["accepted", "checkout"]
