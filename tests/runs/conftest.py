"""A small replication to run."""

from tiny_replication import tiny

__all__ = ["tiny"]
