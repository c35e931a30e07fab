"""Nearest centroids, compiled: what assigning pins, probing queries and k-means have in common.

Centroids stand in groups. A group is a panel, the transposed matrix ``(dim, members)`` of its
centroids, so that one pass over a vector gives its products with all of them in SIMD lanes. What a
vector gets depends on nothing but itself and the centroids: not on the other vectors of a call, not
on threads.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import numpy as np

from pintext.arrays import F32, I32, I64
from pintext.compiled import compiled, compiled_allocating, compiled_fast
from pintext.cores import available_cores

__all__ = [
    "EVERYTHING",
    "in_threads",
    "keep_largest",
    "nearest",
    "normalized",
    "panels_of",
    "products",
    "row_blocks",
    "row_length",
    "sums_by_label",
]

Item = TypeVar("Item")

BLOCK_ROWS = 4096
EVERYTHING = -1e30
"""A reach that leaves nothing out."""


def row_blocks(rows: int) -> list[slice]:
    """Consecutive slices of at most 4,096 rows."""
    return [slice(start, min(start + BLOCK_ROWS, rows)) for start in range(0, rows, BLOCK_ROWS)]


def in_threads(function: Callable[[Item], Any], items: Sequence[Item], threads: int) -> None:
    """Call a function on every item, on several threads; 0 means all cores."""
    threads = min(threads or available_cores(), len(items))
    if threads < 2:
        for item in items:
            function(item)
        return
    with ThreadPoolExecutor(threads, "pintext-tokens") as pool:
        for done in [pool.submit(function, item) for item in items]:
            done.result()


def normalized(vectors: F32) -> F32:
    """Rows scaled to length 1, as a new contiguous float32 array; zero rows stay zero."""
    rows = np.array(vectors, np.float32, order="C")
    _normalize(rows)
    return rows


@compiled_fast
def _normalize(rows: F32) -> None:
    for i in range(rows.shape[0]):
        length = row_length(rows, i)
        if length > 0:
            for k in range(rows.shape[1]):
                rows[i, k] /= length


@compiled_fast
def row_length(rows: F32, i: int) -> Any:
    """Length of a row; summed in float64, so that rows of tiny numbers do not vanish."""
    total = 0.0
    for k in range(rows.shape[1]):
        total += np.float64(rows[i, k]) * np.float64(rows[i, k])
    return np.sqrt(total)


def panels_of(centroids: F32, starts: I64) -> F32:
    """The groups' panels one behind the other, flat.

    Args:
        centroids: ``(K, dim)``, those of a group together.
        starts: ``(groups + 1,)`` where each group starts, and the end.
    """
    bounds = zip(starts[:-1].tolist(), starts[1:].tolist(), strict=True)
    parts = [centroids[start:stop].T.ravel() for start, stop in bounds]
    return np.concatenate(parts).astype(np.float32, copy=False)


@compiled_fast
def products(rows: F32, i: int, panels: F32, start: int, count: int, out: F32) -> None:
    """Write the products of a row with the ``count`` centroids from number ``start`` to ``out``."""
    dim = rows.shape[1]
    panel = panels[start * dim : (start + count) * dim]
    for j in range(count):
        out[j] = 0
    k = 0
    while k + 4 <= dim:
        a, b, c, d = rows[i, k], rows[i, k + 1], rows[i, k + 2], rows[i, k + 3]
        for j in range(count):
            out[j] += (
                a * panel[k * count + j]
                + b * panel[(k + 1) * count + j]
                + c * panel[(k + 2) * count + j]
                + d * panel[(k + 3) * count + j]
            )
        k += 4
    while k < dim:
        a = rows[i, k]
        for j in range(count):
            out[j] += a * panel[k * count + j]
        k += 1


@compiled
def keep_largest(
    values: F32, count: int, first: int, least: float, best: F32, names: I32, held: int
) -> int:
    """Merge ``values[:count]``, named from ``first`` on, into a list of the largest, in order.

    Values below ``least`` are left out. Of equal values the earlier one wins.

    Returns:
        How many of the list are filled; ``held`` were.
    """
    room = len(best)
    for j in range(count):
        value = values[j]
        if value < least or (held == room and not value > best[room - 1]):
            continue
        at = held if held < room else room - 1
        while at > 0 and best[at - 1] < value:
            best[at], names[at] = best[at - 1], names[at - 1]
            at -= 1
        best[at], names[at] = value, first + j
        held += held < room
    return held


@compiled_allocating
def nearest(
    rows: F32,
    heads: F32,
    panels: F32,
    starts: I64,
    visits: int,
    reach: float,
    tokens: I32,
    cosines: F32,
) -> None:
    """Write each row's nearest centroids, the nearest first, and their cosines.

    Only the centroids of the ``visits`` groups whose heads are nearest are looked at; with all
    groups visited the answer is exact. A zero row gets none: its ``tokens`` and ``cosines`` stay.

    Args:
        rows: ``(n, dim)``, of any length.
        heads: the panel of the groups' heads, flat, ``dim * groups`` numbers.
        panels: see :func:`panels_of`; unit centroids.
        starts: ``(groups + 1,)``.
        visits: at least 1.
        reach: centroids whose cosine is less than this share of the nearest one's are left out,
            the nearest itself never; ``EVERYTHING`` for no limit.
        tokens: ``(n, m)``, out: numbers of centroids.
        cosines: ``(n, m)``, out.
    """
    groups = len(starts) - 1
    visits = min(visits, groups)
    largest = groups
    for g in range(groups):
        largest = max(largest, starts[g + 1] - starts[g])
    values = np.empty(largest, np.float32)
    head_cosines = np.empty(visits, np.float32)
    chosen = np.empty(visits, np.int32)
    for i in range(rows.shape[0]):
        length = row_length(rows, i)
        if not length > 0:
            continue
        if visits < groups:
            products(rows, i, heads, 0, groups, values)
            keep_largest(values, groups, 0, -np.inf, head_cosines, chosen, 0)
        else:
            for g in range(groups):
                chosen[g] = g
        held = 0
        for v in range(visits):
            start, stop = starts[chosen[v]], starts[chosen[v] + 1]
            products(rows, i, panels, start, stop - start, values)
            least = _floor(cosines[i], held, reach)
            held = keep_largest(values, stop - start, start, least, cosines[i], tokens[i], held)
        least = _floor(cosines[i], held, reach)
        for j in range(held):
            if cosines[i, j] < least:  # taken before a nearer one was met
                tokens[i, j], cosines[i, j] = -1, 0
            cosines[i, j] = np.float32(cosines[i, j] / length)


@compiled
def _floor(best: F32, held: int, reach: float) -> float:
    """What a product must be, at least, for the list to take it."""
    if held > 0 and best[0] > 0:
        return reach * float(best[0])
    return -np.inf


@compiled
def sums_by_label(rows: F32, labels: I32, sums: F32) -> None:
    """Add each row to the sum of its label, in the order of the rows; label -1 is left out."""
    for i in range(rows.shape[0]):
        if labels[i] >= 0:
            for k in range(rows.shape[1]):
                sums[labels[i], k] += rows[i, k]
