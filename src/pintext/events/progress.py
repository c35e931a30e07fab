"""What an ingester reports while it runs."""

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["Callback", "IngestProgress", "Reporter"]

_SECONDS = 1.0


@dataclass(frozen=True)
class IngestProgress:
    """How far an ingester is.

    Attributes:
        counts: events by what became of them, committed since the start: ``stored``,
            ``duplicates``, ``ignored`` and ``dead_…`` by reason.
        taken: events read since the start, committed or not.
        per_second: events read a second of late; at the end, since the start.
        lag: messages that the broker has and the ingester has not read; None for files, and while
            it is unknown.
        note: something that a person should know now, or nothing.
    """

    counts: Counter[str]
    taken: int
    per_second: float
    lag: int | None
    note: str = ""


Callback = Callable[[IngestProgress], None]


class Reporter:
    """Calls a callback about once a second.

    Args:
        callback: told of the progress; None to be told nothing.
        counts: what was committed, kept up to date by its owner.
    """

    def __init__(self, callback: Callback | None, counts: Counter[str]) -> None:
        self.taken = 0
        self._callback = callback
        self._counts = counts
        self._began = time.monotonic()
        self._told = (self._began, 0)
        self._rate = 0.0

    def report(self, lag: Callable[[], int | None], *, now: bool = False) -> None:
        """Tell of the progress if it is time; or at once, at the end, with the speed over all."""
        began, taken = (self._began, 0) if now else self._told
        waited = time.monotonic() - began
        if self._callback is not None and (now or waited >= _SECONDS):
            self._told = (began + waited, self.taken)
            self._rate = (self.taken - taken) / max(waited, 1e-9)
            self._callback(IngestProgress(self._counts.copy(), self.taken, self._rate, lag()))

    def note(self, text: str) -> None:
        """Say something to a person."""
        if self._callback is not None:
            counts = self._counts.copy()
            self._callback(IngestProgress(counts, self.taken, self._rate, None, text))
