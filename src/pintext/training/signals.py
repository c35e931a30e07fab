"""Obey an interrupt when it does no harm."""

import signal
import threading
from types import FrameType, TracebackType
from typing import Any, Self

__all__ = ["DelayedSignals"]


class DelayedSignals:
    """While open, remembers SIGINT and SIGTERM in ``received``; obeys the last of them at the end.

    Only the main thread can receive signals; elsewhere this does nothing. A signal that the process
    ignores (SIGINT after ``nohup`` or ``&`` in a script) stays ignored.
    """

    def __init__(self) -> None:
        self.received: int | None = None
        self._before: dict[int, Any] = {}

    def _remember(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002
        self.received = number

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                if signal.getsignal(number) not in (signal.SIG_IGN, None):
                    self._before[number] = signal.signal(number, self._remember)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        if self.received is not None and error is None:
            signal.raise_signal(self.received)
