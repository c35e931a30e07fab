"""Settle the entities: from provisional numbers to rows of the vocabulary, equal ones merged."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from pintext.ahead import ahead
from pintext.arrays import I32, I64
from pintext.compiled import compiled, compiled_allocating
from pintext.cores import available_cores
from pintext.training.entities import EntityTable, GrowableArray

__all__ = ["settle_entities", "sort_few"]

_LONG = 32  # words or pins, from which on insertion is no longer the fastest sort
_CHUNK = 1 << 20  # entities rewritten at a time


@compiled_allocating
def sort_few(values: I32, start: int, stop: int) -> None:
    """Sort ``values[start:stop]``; most are a few words, where insertion is fastest."""
    if stop - start > _LONG:
        values[start:stop].sort()
        return
    for i in range(start + 1, stop):
        value, at = values[i], i
        while at > start and values[at - 1] > value:
            values[at] = values[at - 1]
            at -= 1
        values[at] = value


@compiled_allocating
def _rewrite(tokens: I32, starts: I64, first: int, last: int, row_of: I32, rows: I32) -> I64:
    """Known rows of entities ``first``..``last - 1``, sorted within each; returns their offsets."""
    offsets = np.zeros(last - first + 1, np.int64)
    size = 0
    for entity in range(first, last):
        start = size
        for i in range(starts[entity], starts[entity + 1]):
            row = row_of[tokens[i]]
            if row >= 0:
                rows[size] = row
                size += 1
        sort_few(rows, start, size)
        offsets[entity - first + 1] = size
    return offsets


@compiled
def _lengths(starts: I64, order: I64, first: int, last: int, lengths: I64) -> None:
    """Write the number of words of entity ``order[i]`` to ``lengths[i]``."""
    for i in range(first, last):
        lengths[i] = starts[order[i] + 1] - starts[order[i]]


@compiled
def _reorder(
    tokens: I32, starts: I64, order: I64, first: int, last: int, new_tokens: I32, new_starts: I64
) -> None:
    """Copy entities, ``order[i]`` to place ``i``."""
    for i in range(first, last):
        shift = starts[order[i]] - new_starts[i]
        for at in range(new_starts[i], new_starts[i + 1]):
            new_tokens[at] = tokens[shift + at]


def settle_entities(raw: EntityTable, row_of: I32, folder: Path) -> I32:
    """Rewrite the entities in the vocabulary's rows, to ``tokens`` and ``starts``.

    They are numbered in the order of their hashes, so that the numbers, and with them what is drawn
    as background, depend neither on the format of the files nor on the order in which tasks were
    read. Returns raw number -> number, -1 where no word is left.
    """
    settled = EntityTable(folder, "raw-settled")
    number = np.empty(len(raw), np.int32)
    for first, rows, offsets in ahead(_rewritten(raw, row_of)):
        ids = settled.add(rows, offsets)
        number[first : first + ids.shape[0]] = np.where(np.diff(offsets) > 0, ids, -1)
    order = np.argsort(settled.hashes)
    rank = np.empty(order.shape[0], np.int32)
    rank[order] = np.arange(order.shape[0], dtype=np.int32)
    _write_in_order(settled, order, folder)
    settled.close()
    known = number >= 0
    number[known] = rank[number[known]]
    return number


def _rewritten(raw: EntityTable, row_of: I32) -> Iterator[tuple[int, I32, I64]]:
    """The entities in the vocabulary's rows, chunk by chunk: number of the first, words, bounds."""
    for first in range(0, len(raw), _CHUNK):
        last = min(first + _CHUNK, len(raw))
        rows = np.empty(int(raw.starts[last] - raw.starts[first]), np.int32)
        offsets = _rewrite(raw.tokens, raw.starts, first, last, row_of, rows)
        yield first, rows, offsets


def _write_in_order(settled: EntityTable, order: I64, folder: Path) -> None:
    """Write the entities, ``order[i]`` in place ``i``, on all cores."""
    tokens = GrowableArray(folder / "tokens", np.int32)
    starts = GrowableArray(folder / "starts", np.int64)
    tokens.size, starts.size = settled.tokens.shape[0], settled.starts.shape[0]
    new_tokens, new_starts = tokens.reserve(0), starts.reserve(0)
    cores = available_cores()
    bounds = [order.shape[0] * i // cores for i in range(cores + 1)]
    old_tokens, old_starts, lengths = settled.tokens, settled.starts, new_starts[1:]

    def measure(first: int, last: int) -> None:
        _lengths(old_starts, order, first, last, lengths)

    def copy(first: int, last: int) -> None:
        _reorder(old_tokens, old_starts, order, first, last, new_tokens, new_starts)

    with ThreadPoolExecutor(cores, "pintext-settle") as pool:
        list(pool.map(measure, bounds[:-1], bounds[1:]))
        new_starts[0] = 0
        np.cumsum(lengths, out=lengths)
        list(pool.map(copy, bounds[:-1], bounds[1:]))
    tokens.close()
    starts.close()
