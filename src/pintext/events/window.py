"""The event_ids of the latest stored events, to recognise those that arrive again.

An id is kept as 64 bits of one hash, in an open table where another hash says where to look. Two
different ids are taken for one with a probability of about 10^-19 a look-up.

The window is two tables. When the younger one holds as many ids as the window is long, the older
one is forgotten and a new one begun: between once and twice the window is remembered.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from pintext.compiled import compiled, compiled_allocating
from pintext.events.store import FileEntry

__all__ = ["Window", "latest_ids"]

U64 = NDArray[np.uint64]
Flags = NDArray[np.bool_]

_PLACE_SEED, _TAG_SEED = 20_190_804, 50_127


class Window:
    """A set of ids that forgets the oldest.

    Args:
        length: how many of the latest ids are remembered at least; 0: none.
    """

    def __init__(self, length: int) -> None:
        self._length = length
        self._young, self._old = _table(length), _table(length)
        self._count = 0

    def fresh(self, ids: pl.Series) -> Flags:
        """Which ids are neither in the window nor among those before them."""
        return _fresh(_table(ids.len()), self._young, self._old, *_hashes(ids))

    def add(self, ids: pl.Series) -> None:
        """Remember ids, oldest first; those that are known already cost nothing."""
        while self._length and ids.len():
            room = self._length - self._count
            self._count += _insert(self._young, *_hashes(ids[:room]))
            ids = ids[room:]
            if self._count == self._length:
                self._young, self._old = _table(self._length), self._young
                self._count = 0


def _table(length: int) -> U64:
    """An empty table for so many tags, which fill at most two thirds of it; 0 is a free place."""
    return np.zeros(1 << (3 * length // 2).bit_length(), np.uint64)


def latest_ids(
    folder: Path, files: Sequence[FileEntry], after: int, limit: int
) -> Iterator[pl.Series]:
    """The event_ids that were stored last, the oldest of them first.

    Args:
        folder: the store.
        files: its files.
        after: leave out what was stored up to this generation.
        limit: stop with the commit with which this many are complete.
    """
    segments = []
    for file in files:
        ends = np.cumsum([rows for _, rows in file.segments]).tolist()
        for (generation, rows), end in zip(file.segments, ends, strict=True):
            if generation > after:
                segments.append((generation, file.name, end - rows, end))
    segments.sort()
    before = np.cumsum([0, *(end - start for _, _, start, end in reversed(segments))])
    chosen = segments[len(segments) - int((before[:-1] < limit).sum()) :]
    if chosen:
        chosen = [segment for segment in segments if segment[0] >= chosen[0][0]]
    tails: dict[str, tuple[int, pl.Series]] = {}
    for _, name, start, _ in sorted(chosen, key=lambda segment: segment[2]):
        if name not in tails:
            lazy = pl.scan_parquet(folder / name, glob=False, hive_partitioning=False)
            ids = lazy.select("event_id").slice(start).collect()["event_id"]
            tails[name] = (start, ids)
    for _, name, start, end in chosen:
        first, ids = tails[name]
        yield ids[start - first : end - first]


def _hashes(ids: pl.Series) -> tuple[U64, U64]:
    """For each id where to look and what to look for; a tag is never 0."""
    places = ids.hash(_PLACE_SEED).to_numpy()
    tags = ids.hash(_TAG_SEED).to_numpy()
    return places, np.maximum(tags, np.uint64(1))


@compiled
def _slot(table: U64, place: np.uint64, tag: np.uint64) -> np.uint64:
    """Where a tag stands, or the free place where it would be put."""
    last = np.uint64(len(table) - 1)
    at = place & last
    while table[at] != 0 and table[at] != tag:
        at = (at + np.uint64(1)) & last
    return at


@compiled_allocating
def _fresh(batch: U64, young: U64, old: U64, places: U64, tags: U64) -> Flags:
    fresh = np.zeros(len(tags), np.bool_)
    for i in range(len(tags)):
        place, tag = places[i], tags[i]
        if young[_slot(young, place, tag)] == 0 and old[_slot(old, place, tag)] == 0:
            at = _slot(batch, place, tag)
            fresh[i] = batch[at] == 0
            batch[at] = tag
    return fresh


@compiled
def _insert(table: U64, places: U64, tags: U64) -> int:
    """Put tags into a table that has room for them; returns how many are new."""
    new = 0
    for i in range(len(tags)):
        at = _slot(table, places[i], tags[i])
        new += int(table[at] == 0)
        table[at] = tags[i]
    return new
