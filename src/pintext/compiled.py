"""Compile plain loops over arrays to machine code.

Every compiled function runs without the interpreter lock, on contiguous arrays, and is cached on
disk beside its source. None starts threads of its own: callers run the same function on Python
threads.

Callees are always put inside their callers. Otherwise a process that has just compiled a function
and one that takes it from the cache may use different copies of a callee, whose sums differ in the
last bit: the first training on a machine would end with other bytes than all later ones.
"""

from collections.abc import Callable
from typing import Any, TypeVar

from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

__all__ = ["compiled", "compiled_allocating", "compiled_fast", "prefetch", "trailing_zeros"]

Function = TypeVar("Function", bound=Callable[..., object])

_FAST = {"contract", "reassoc", "arcp", "nsz"}
"""Floating-point freedoms that let sums use SIMD. NaN and infinity keep their meaning."""


def _compile(function: Function, **options: Any) -> Function:
    machine_code: Function = njit(
        cache=True, nogil=True, forceinline=True, error_model="numpy", **options
    )(function)
    return machine_code


def compiled(function: Function) -> Function:
    """Compile a function that makes no array, with exact floating-point arithmetic.

    Arrays that are handed on are not counted, for they live as long as the call. Counting them
    takes two atomic additions to one place in memory at every call inside a loop, which threads
    then wait for.
    """
    return _compile(function, _nrt=False)


def compiled_fast(function: Function) -> Function:
    """The same, with sums in the order that suits the processor: always the same on one machine."""
    return _compile(function, _nrt=False, fastmath=_FAST)


def compiled_allocating(function: Function) -> Function:
    """Like :func:`compiled`, for a function that makes arrays or calls one that does."""
    return _compile(function)


@intrinsic  # type: ignore[untyped-decorator]
def prefetch(typing: Any, array: Any, index: Any) -> Any:  # noqa: ARG001
    """Ask for the cache line of the ``index``-th number of a contiguous array, and do not wait."""

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
        pointer, number = ir.IntType(8).as_pointer(), ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [pointer, number, number, number])
        instruction = builder.module.declare_intrinsic("llvm.prefetch", [pointer], kind)
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        line = builder.bitcast(builder.gep(data, [arguments[1]]), pointer)
        # to read (0), to keep in every level of cache (3), data (1)
        builder.call(instruction, [line, number(0), number(3), number(1)])
        return context.get_dummy_value()

    return types.void(array, types.int64), generate


@intrinsic  # type: ignore[untyped-decorator]
def trailing_zeros(typing: Any, number: Any) -> Any:  # noqa: ARG001
    """How many bits below the lowest that is set, of a uint64 other than 0; an int64."""

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:  # noqa: ARG001
        return builder.cttz(arguments[0], ir.IntType(1)(1))

    return types.int64(types.uint64), generate
