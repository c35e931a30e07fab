"""A cache that forgets what was not asked for the longest."""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from threading import Lock
from typing import Generic, TypeVar

__all__ = ["Cache"]

Value = TypeVar("Value")


class Cache(Generic[Value]):
    """At most ``entries`` answers by key; may be used by several threads.

    Keys must name the model or index that the answer comes from (its fingerprint): then a reload
    needs no clearing, and an answer of the one before can never be given for the new one.

    Args:
        entries: how many are kept; 0 keeps none.
        tell: told ``True`` for each answer found, ``False`` for each that had to be made.
    """

    def __init__(self, entries: int, tell: Callable[[bool], None] = lambda _hit: None) -> None:
        self._entries = entries
        self._tell = tell
        self._kept: OrderedDict[Hashable, Value] = OrderedDict()
        self._lock = Lock()

    def get(self, key: Hashable) -> Value | None:
        """The answer, or ``None``."""
        with self._lock:
            value = self._kept.get(key)
            if value is not None:
                self._kept.move_to_end(key)
        self._tell(value is not None)
        return value

    def put(self, key: Hashable, value: Value) -> None:
        """Keep an answer; the oldest leaves where there are too many."""
        with self._lock:
            self._kept[key] = value
            self._kept.move_to_end(key)
            if len(self._kept) > self._entries:
                self._kept.popitem(last=False)

    def __len__(self) -> int:
        return len(self._kept)
