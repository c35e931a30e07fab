"""Run one compiled kernel on several Python threads that meet at a barrier.

Numba's own parallel loops share one process-wide pool that must not be entered twice at a time and
does not survive a fork. Plain Python threads that call kernels without the GIL have neither
problem; all they lack is a barrier cheap enough to be met a thousand times a second, which is here.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from types import TracebackType
from typing import Any, Self

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from pintext.arrays import I64
from pintext.compiled import compiled

__all__ = ["ThreadTeam", "meet"]


SPINS_BEFORE_YIELD = 4096
CELLS_PER_THREAD = (
    16  # a thread's counter has 128 bytes to itself, so that no two share a cache line
)

_sched_yield = types.ExternalFunction("sched_yield", types.int32())


@intrinsic  # type: ignore[untyped-decorator]
def _load_acquire(typing: Any, array: Any, index: Any) -> Any:  # noqa: ARG001
    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        cell = builder.gep(data, [arguments[1]])
        return builder.load_atomic(cell, ordering="acquire", align=8)

    return types.int64(types.Array(types.int64, 1, "C"), types.int64), generate


@intrinsic  # type: ignore[untyped-decorator]
def _store_release(typing: Any, array: Any, index: Any, value: Any) -> Any:  # noqa: ARG001
    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        cell = builder.gep(data, [arguments[1]])
        builder.store_atomic(arguments[2], cell, ordering="release", align=8)
        return context.get_dummy_value()

    signature = types.void(types.Array(types.int64, 1, "C"), types.int64, types.int64)
    return signature, generate


@compiled
def meet(arrivals: I64, thread: int, threads: int) -> None:
    """Wait until every thread of the team has called this as often as the caller.

    Args:
        arrivals: int64, ``threads * CELLS_PER_THREAD`` counters; each thread writes only its own.
        thread: the caller, in [0, threads).
        threads: size of the team.
    """
    mine = arrivals[thread * CELLS_PER_THREAD] + 1
    _store_release(arrivals, thread * CELLS_PER_THREAD, mine)
    for other in range(threads):
        spins = 0
        while _load_acquire(arrivals, other * CELLS_PER_THREAD) < mine:
            spins += 1
            if spins == SPINS_BEFORE_YIELD:
                _sched_yield()
                spins = 0


class ThreadTeam:
    """A fixed number of threads that run the same kernel together."""

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self.arrivals: I64 = np.zeros(threads * CELLS_PER_THREAD, np.int64)
        self._pool = ThreadPoolExecutor(threads - 1, "pintext") if threads > 1 else None

    def run(self, kernel: Callable[[int], None]) -> None:
        """Call ``kernel(thread)`` on every thread at once and return when all have returned.

        An interrupt that arrives meanwhile is raised only then, so that no kernel is left waiting
        at the barrier for a thread that is gone.
        """
        others = (
            [self._pool.submit(kernel, t) for t in range(1, self.threads)] if self._pool else []
        )
        try:
            kernel(0)
        finally:
            wait(others)
        for other in others:
            other.result()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._pool:
            self._pool.shutdown()
