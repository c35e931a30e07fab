"""Exact nearest vectors by looking at all of them: the truth that tokens are measured by."""

from typing import NamedTuple

import numpy as np

from pintext.arrays import F32, I32, I64
from pintext.compiled import compiled_allocating
from pintext.tokens.kernels import in_threads, keep_largest, normalized, products, row_length

__all__ = ["Nearest", "exact_neighbors"]

PANEL = 128
"""Queries that are compared with a vector while it is in a register; their panel fits a cache."""


class Nearest(NamedTuple):
    """The nearest rows of each query, the nearest first; of equals the lower row.

    Attributes:
        rows: ``(n, k)``; -1 behind the last.
        similarities: ``(n, k)`` cosines; 0 behind the last.
    """

    rows: I32
    similarities: F32


def exact_neighbors(
    queries: F32, vectors: F32, k: int, *, own: I64 | None = None, threads: int = 0
) -> Nearest:
    """The ``k`` vectors of the largest cosine with each query.

    Args:
        queries: ``(n, dim)``; a zero vector has no neighbours.
        vectors: ``(m, dim)``, contiguous float32, may be memory-mapped: read once for every 128
            queries. Zero vectors are nobody's neighbours.
        k: neighbours of a query, at most.
        own: ``(n,)`` the row of ``vectors`` that each query is itself, and which is left out; -1
            for none.
        threads: 0 means all cores; the result does not depend on it.
    """
    units = normalized(queries)
    found = Nearest(np.full((len(units), k), -1, np.int32), np.zeros((len(units), k), np.float32))
    left_out = np.full(len(units), -1, np.int64) if own is None else own

    def look_up(start: int) -> None:
        some = slice(start, start + PANEL)
        panel = np.ascontiguousarray(units[some].T).ravel()
        worst = np.where(units[some].any(axis=1), -2, np.inf).astype(np.float32)
        held = np.zeros(len(worst), np.int64)
        _scan(
            vectors, panel, left_out[some], worst, held, found.rows[some], found.similarities[some]
        )

    in_threads(look_up, range(0, len(units), PANEL), threads)
    return found


@compiled_allocating
def _scan(
    vectors: F32, panel: F32, own: I64, worst: F32, held: I64, rows: I32, similarities: F32
) -> None:
    """Stream the vectors past a panel of unit queries.

    ``worst`` is what a similarity must exceed to be kept: the smallest that a full list holds.
    """
    count, k = rows.shape
    values = np.empty(count, np.float32)
    one = np.empty(1, np.float32)
    for i in range(vectors.shape[0]):
        length = row_length(vectors, i)
        if not length > 0:
            continue
        products(vectors, i, panel, 0, count, values)
        scale = np.float32(1 / length)
        for j in range(count):
            value = values[j] * scale
            if value > worst[j] and own[j] != i:
                one[0] = value
                held[j] = keep_largest(one, 1, i, -np.inf, similarities[j], rows[j], held[j])
                if held[j] == k:
                    worst[j] = similarities[j, k - 1]
