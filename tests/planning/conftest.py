"""A small replication to run, and a checkout with a small paper that was accepted."""

from mini_paper import accepted, checkout
from tiny_replication import tiny

__all__ = ["accepted", "checkout", "tiny"]
