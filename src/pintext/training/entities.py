"""Distinct entities: each text's words are stored once, whatever number of pairs it is in."""

import os
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from pintext.arrays import I32, I64
from pintext.compiled import compiled

__all__ = ["EntityTable", "GrowableArray", "hash_tokens", "map_array"]

Scalar = TypeVar("Scalar", bound=np.generic)
_SMALLEST = 1 << 16  # elements of a new array, slots of a new table


def map_array(path: Path, dtype: type[Scalar]) -> NDArray[Scalar]:
    """Map a file of numbers into memory; what is written to the result never reaches the file."""
    if path.stat().st_size == 0:
        return np.zeros(0, dtype)
    return np.asarray(np.memmap(path, dtype, "c"))


def _allocate(descriptor: int, size: int) -> None:
    """Give a file that size, in real blocks.

    A full disk must be an ``OSError`` here and not, at the first write into a hole of the memory
    map, the end of the process by SIGBUS.
    """
    if hasattr(os, "posix_fallocate"):  # not on macOS
        os.posix_fallocate(descriptor, 0, size)
    else:
        os.ftruncate(descriptor, size)


class GrowableArray(Generic[Scalar]):
    """A one-dimensional array in a file that grows at its end; its pages may leave memory."""

    def __init__(self, path: Path, dtype: type[Scalar]) -> None:
        self.path = path
        self.dtype = dtype
        self.size = 0
        path.write_bytes(b"")
        self.array: NDArray[Scalar] = np.zeros(0, dtype)

    def reserve(self, extra: int) -> NDArray[Scalar]:
        """Make room for ``extra`` more elements and return the array with all its room.

        Raises:
            OSError: the disk is full.
        """
        needed = self.size + extra
        if needed > self.array.shape[0]:
            room = max(needed, 2 * self.array.shape[0], _SMALLEST)
            with self.path.open("r+b") as file:
                _allocate(file.fileno(), room * np.dtype(self.dtype).itemsize)
            self.array = np.asarray(np.memmap(self.path, self.dtype, "r+"))
        return self.array

    def append(self, values: NDArray[Scalar]) -> None:
        """Add values at the end."""
        self.reserve(values.shape[0])[self.size : self.size + values.shape[0]] = values
        self.size += values.shape[0]

    @property
    def values(self) -> NDArray[Scalar]:
        """The elements, without the spare room."""
        return self.array[: self.size]

    def close(self) -> None:
        """Cut off the spare room and let go of the memory map."""
        self.array = np.zeros(0, self.dtype)
        with self.path.open("r+b") as file:
            file.truncate(self.size * np.dtype(self.dtype).itemsize)


@compiled
def hash_tokens(tokens: I32, start: int, stop: int) -> Any:
    """FNV-1a over the tokens, with a last scramble so that the low bits depend on all of them."""
    h = np.uint64(0xCBF29CE484222325)
    for i in range(start, stop):
        h = (h ^ np.uint64(tokens[i])) * np.uint64(0x100000001B3)
    h = (h ^ (h >> np.uint64(32))) * np.uint64(0xD6E8FEB86659FD93)
    return h ^ (h >> np.uint64(32))


@compiled
def _rehash(slots: I32, hashes: Any, count: int) -> None:
    mask = np.uint64(slots.shape[0] - 1)
    for entity in range(count):
        slot = hashes[entity] & mask
        while slots[slot] >= 0:
            slot = (slot + np.uint64(1)) & mask
        slots[slot] = entity


@compiled
def _same(tokens: I32, start: int, other: I32, first: int, last: int) -> bool:
    for i in range(last - first):  # noqa: SIM110  plain loops are what the compiler knows
        if tokens[start + i] != other[first + i]:
            return False
    return True


@compiled
def _add(
    rows: I32, offsets: I64, count: int, tokens: I32, starts: I64, hashes: Any, slots: I32, ids: I32
) -> Any:
    """Give each text its entity's id, adding entities that are new; return how many there are."""
    mask = np.uint64(slots.shape[0] - 1)
    for text in range(offsets.shape[0] - 1):
        first, last = offsets[text], offsets[text + 1]
        h = hash_tokens(rows, first, last)
        slot = h & mask
        while True:
            entity = slots[slot]
            if entity < 0:
                break
            start = starts[entity]
            if (
                hashes[entity] == h
                and starts[entity + 1] - start == last - first
                and _same(tokens, start, rows, first, last)
            ):
                break
            slot = (slot + np.uint64(1)) & mask
        if entity < 0:
            entity = count
            slots[slot] = entity
            hashes[entity] = h
            start = starts[entity]
            for i in range(last - first):
                tokens[start + i] = rows[first + i]
            starts[entity + 1] = start + last - first
            count += 1
        ids[text] = entity
    return count


class EntityTable:
    """Gives texts with the same tokens the same id, in order of first appearance.

    Tokens, starts and hashes grow in files ``NAME-tokens.i32``, ``NAME-starts.i64`` and
    ``NAME-hashes.u64``; only four bytes a slot of the hash table are held in memory. Two texts are
    one entity only if all their tokens are equal, not merely their hashes.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self._tokens = GrowableArray(folder / f"{name}-tokens.i32", np.int32)
        self._starts = GrowableArray(folder / f"{name}-starts.i64", np.int64)
        self._hashes = GrowableArray(folder / f"{name}-hashes.u64", np.uint64)
        self._starts.append(np.zeros(1, np.int64))
        self._slots: I32 = np.full(_SMALLEST, -1, np.int32)

    def __len__(self) -> int:
        return self._hashes.size

    @property
    def tokens(self) -> I32:
        """All entities' tokens, one entity after the other."""
        return self._tokens.values

    @property
    def starts(self) -> I64:
        """Where each entity's tokens start; one longer than the number of entities."""
        return self._starts.values

    @property
    def hashes(self) -> NDArray[np.uint64]:
        """A hash of each entity's tokens, the same in every table."""
        return self._hashes.values

    def add(self, rows: I32, offsets: I64) -> I32:
        """Return the entity id of each text ``rows[offsets[i]:offsets[i + 1]]``."""
        texts = offsets.shape[0] - 1
        count = len(self)
        if 2 * (count + texts) > self._slots.shape[0]:
            self._slots = np.full(1 << (4 * (count + texts)).bit_length(), -1, np.int32)
            _rehash(self._slots, self._hashes.values, count)
        ids = np.empty(texts, np.int32)
        after = _add(
            rows,
            offsets,
            count,
            self._tokens.reserve(int(offsets[-1])),
            self._starts.reserve(texts),
            self._hashes.reserve(texts),
            self._slots,
            ids,
        )
        self._hashes.size = after
        self._starts.size = after + 1
        self._tokens.size = int(self._starts.array[after])
        return ids

    def close(self) -> None:
        """Let go of the files; they stay."""
        for array in (self._tokens, self._starts, self._hashes):
            array.close()
