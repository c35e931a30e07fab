"""Compile plain loops over arrays to machine code.

Every compiled function runs without the interpreter lock, on contiguous arrays, and is cached on
disk beside its source. None starts threads of its own: callers run the same function on Python
threads.
"""

from collections.abc import Callable
from typing import TypeVar

from numba import njit

__all__ = ["compiled", "compiled_fast"]

Function = TypeVar("Function", bound=Callable[..., object])

_FAST = {"contract", "reassoc", "arcp", "nsz"}
"""Floating-point freedoms that let sums use SIMD. NaN and infinity keep their meaning."""


def compiled(function: Function) -> Function:
    """Compile with exact floating-point arithmetic."""
    machine_code: Function = njit(cache=True, nogil=True)(function)
    return machine_code


def compiled_fast(function: Function) -> Function:
    """Compile with sums in the order that suits the processor: always the same on one machine."""
    machine_code: Function = njit(cache=True, nogil=True, fastmath=_FAST)(function)
    return machine_code
