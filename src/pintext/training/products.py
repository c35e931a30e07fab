"""Small matrix products in tiles that stay in the processor's registers.

The compiler turns a loop over one row into SIMD by itself, but it does not hold several rows of a
result in registers while it walks along a sum, and that is what makes a matrix product fast. So the
innermost loop of all products is written here in LLVM's own language. Each number is added up from
the first term to the last, so the same factors give the same bits.
"""

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

__all__ = ["TILE_COLUMNS", "TILE_ROWS", "multiply_tile", "whole_tiles"]

TILE_ROWS = 4
TILE_COLUMNS = 16
"""Four rows of 16 float32 are eight accumulators of AVX: enough to keep its two adders busy."""

_FUSED = ("contract",)  # a multiplication and an addition may become one instruction


def whole_tiles(columns: int) -> int:
    """``columns`` rounded up to whole tiles."""
    return -(-columns // TILE_COLUMNS) * TILE_COLUMNS


@intrinsic  # type: ignore[untyped-decorator]
def multiply_tile(
    typing: Any,  # noqa: ARG001
    a: Any,
    a_at: Any,  # noqa: ARG001
    a_row: Any,  # noqa: ARG001
    a_step: Any,  # noqa: ARG001
    count: Any,  # noqa: ARG001
    b: Any,
    b_at: Any,  # noqa: ARG001
    b_step: Any,  # noqa: ARG001
    c: Any,
    c_at: Any,  # noqa: ARG001
    c_row: Any,  # noqa: ARG001
) -> Any:
    """Write one tile of a product of contiguous arrays, which are named by flat positions.

    For every r < TILE_ROWS and k < TILE_COLUMNS::

        c[c_at + r * c_row + k] = sum over t < count of
            a[a_at + r * a_row + t * a_step] * b[b_at + t * b_step + k]

    ``count`` is at least 1. Nothing checks that the positions lie inside the arrays.
    """

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
        _, a_at, a_row, a_step, count, _, b_at, b_step, _, c_at, c_row = arguments
        of_a, of_b, of_c = (
            context.make_array(signature.args[i])(context, builder, arguments[i]).data
            for i in (0, 5, 8)
        )
        integer, lane = ir.IntType(64), ir.IntType(32)
        vector = ir.VectorType(of_a.type.pointee, TILE_COLUMNS)
        nothing = ir.Constant(vector, ir.Undefined)
        everywhere = ir.Constant(ir.VectorType(lane, TILE_COLUMNS), [0] * TILE_COLUMNS)

        def at(start: Any, number: Any, stride: Any) -> Any:
            return builder.add(start, builder.mul(number, stride))

        def vector_at(data: Any, position: Any) -> Any:
            return builder.bitcast(builder.gep(data, [position]), vector.as_pointer())

        before = builder.block
        loop, after = (builder.append_basic_block(name) for name in ("tile.sum", "tile.write"))
        builder.branch(loop)

        builder.position_at_end(loop)
        t = builder.phi(integer)
        sums = [builder.phi(vector) for _ in range(TILE_ROWS)]
        row_of_b = builder.load(vector_at(of_b, at(b_at, t, b_step)), align=4)
        totals = []
        for r, total in enumerate(sums):
            number = builder.gep(of_a, [at(at(a_at, t, a_step), integer(r), a_row)])
            first_lane = builder.insert_element(nothing, builder.load(number), lane(0))
            factor = builder.shuffle_vector(first_lane, nothing, everywhere)
            product = builder.fmul(factor, row_of_b, flags=_FUSED)
            totals.append(builder.fadd(total, product, flags=_FUSED))
            total.add_incoming(ir.Constant(vector, [0] * TILE_COLUMNS), before)
            total.add_incoming(totals[r], loop)
        following = builder.add(t, integer(1))
        t.add_incoming(integer(0), before)
        t.add_incoming(following, loop)
        builder.cbranch(builder.icmp_signed("<", following, count), loop, after)

        builder.position_at_end(after)
        for r, total in enumerate(totals):
            builder.store(total, vector_at(of_c, at(c_at, integer(r), c_row)), align=4)
        return context.get_dummy_value()

    n = types.int64
    return types.void(a, n, n, n, n, b, n, n, c, n, n), generate
