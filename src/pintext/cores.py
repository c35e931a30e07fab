"""How many threads are worth starting."""

import os

__all__ = ["available_cores"]


def available_cores() -> int:
    """Cores that this process may run on, which ``taskset`` or a container can limit."""
    if hasattr(os, "sched_getaffinity"):  # not on macOS
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
