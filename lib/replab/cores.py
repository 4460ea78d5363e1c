"""Cores of the processor: how many this process may use."""

import os


def available_cores() -> int:
    """Cores that this process may use (its affinity, where the system has such a thing)."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
