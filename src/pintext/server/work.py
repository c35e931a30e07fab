"""Work that is too long for the event loop: a few threads, and no long queue before them."""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Lock
from typing import Any, ParamSpec, TypeVar

from pintext.server.metrics import Metrics
from pintext.server.problems import overloaded, retry_later

__all__ = ["Work"]

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")
_SMOOTHING = 0.05
_LITTLE = 0.005
_SLOWLY, _NEARLY_ALL = 0.01, 0.9
_PATIENCE = 0.01


class Work:
    """Runs functions in threads, or refuses at once what would have to wait too long.

    The wait is foreseen from how long work took lately. Refusing early keeps the time of what is
    served where it was: a queue would make everybody wait and then give up. A burst may fill the
    queue; while nearly every request finds all threads busy it is kept half as long (as in
    Maurer, "Fail at Scale", ACM Queue 2015).

    Threads take turns: quick work gains nothing from a second thread, because each holds the
    interpreter between its kernels. Where work takes long, the next thread goes on beside it.

    Args:
        name: of the threads.
        threads: how many.
        turns: whether they take turns; not where work is waiting for others.
        max_wait: longest wait for a thread, in seconds.
        timeout: longest time for wait and work, in seconds.
        metrics: where refusals are counted.
    """

    def __init__(
        self,
        name: str,
        *,
        threads: int,
        max_wait: float,
        timeout: float,
        metrics: Metrics,
        turns: bool = True,
    ) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix=name)
        self._turn = Lock()
        self._patience = _PATIENCE if turns else 0.0
        self._at_once = 1 if turns else threads
        self._max_wait = max_wait
        self._timeout = timeout
        self._metrics = metrics
        self._seconds = 0.0
        self._unfinished = 0
        self._crowded = 0.0  # share of the latest requests that had to wait

    @property
    def busy(self) -> bool:
        """Whether what is begun now would have to wait."""
        return self._unfinished >= self._at_once

    def admit(self) -> None:
        """Refuse what would have to wait too long if it were begun now.

        Raises:
            ProblemError: 503.
        """
        ahead = self._unfinished - self._at_once + 1
        self._crowded += _SLOWLY * ((ahead > 0) - self._crowded)
        longest = self._max_wait / 2 if self._crowded > _NEARLY_ALL else self._max_wait
        if ahead > 0 and ahead * self._seconds / self._at_once > longest:
            self._metrics.shed("busy")
            raise overloaded()

    async def run(
        self, work: Callable[Arguments, Result], *args: Arguments.args, **kwargs: Arguments.kwargs
    ) -> Result:
        """The result of a function, from one of the threads.

        Raises:
            ProblemError: 503: it would have to wait too long, or took too long.
        """
        self.admit()
        self._unfinished += 1
        future = asyncio.get_running_loop().run_in_executor(
            self._pool, self._timed, work, args, kwargs
        )
        future.add_done_callback(self._finished)
        try:
            async with asyncio.timeout(self._timeout):
                # Shielded: what runs cannot be stopped, and counts until it ends.
                return await asyncio.shield(future)
        except TimeoutError:
            self._metrics.shed("timeout")
            raise retry_later(
                f"not finished after {self._timeout:g} seconds; ask for less, or try again",
                "timeout",
            ) from None

    def _timed(
        self, work: Callable[..., Result], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Result:
        turn = self._take_turn()
        started = time.perf_counter()
        try:
            return work(*args, **kwargs)
        finally:
            turn.release()
            # Threads may overwrite each other's change: a figure that is smoothed can bear it. One
            # that took long must not make the next seem to.
            taken = min(time.perf_counter() - started, 2 * self._seconds + _LITTLE)
            self._seconds += _SMOOTHING * (taken - self._seconds)

    def _take_turn(self) -> Lock:
        """Wait for the turn, and leave it to whoever holds it for long."""
        turn = self._turn
        if not turn.acquire(timeout=self._patience):
            turn = self._turn = Lock()
            turn.acquire()
        return turn

    def _finished(self, future: "asyncio.Future[Any]") -> None:
        self._unfinished -= 1
        if not future.cancelled():
            future.exception()  # was or will be told to whoever waits; not to the log as well

    def close(self) -> None:
        """Wait for what runs."""
        self._pool.shutdown(wait=True, cancel_futures=True)
