"""What is told of the making of pairs while it goes on."""

from collections.abc import Callable
from typing import Literal, NamedTuple

__all__ = ["Callback", "PairsProgress"]


class PairsProgress(NamedTuple):
    """How far it is.

    Attributes:
        stage: ``events`` are tallied (or, from files, stored first), ``catalogues`` read, the rules
            applied to the ``tasks``.
        done: events, files of catalogues, or tasks that are done.
        total: how many there are.
        what: what is being worked on.
    """

    stage: Literal["files", "events", "catalogues", "tasks"]
    done: int
    total: int
    what: str


Callback = Callable[[PairsProgress], None]
