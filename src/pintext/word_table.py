"""A hash table from words to rows, on flat arrays that can be memory-mapped.

Row ``r`` is the word ``word_bytes[word_offsets[r]:word_offsets[r + 1]]``, UTF-8. ``slots`` is an
open hash table of a power of two places, at most half full: the word with hash ``h`` stands in the
first free place from ``h modulo len(slots)`` on, as ``(h >> 32) << 32 | row + 1``. 0 is a free
place.

The hash is part of the file format. ``mix(x) = p ^ (p >> 32)`` with ``p = x * FACTOR`` modulo 2^64.
``h = START``; for every 8 bytes of the word, the last group may be shorter, read as a big-endian
number ``c``: ``h = mix(h ^ c)``; in the end ``h = mix(h)``.

Loops that run for every word are written out: Numba counts references whenever a helper that has
branches is called with an array, which costs more than a look-up.
"""

from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from pintext.arrays import I32, I64, U8
from pintext.compiled import compiled, compiled_allocating
from pintext.errors import ModelFormatError

__all__ = [
    "NOT_FOUND",
    "U64",
    "WordTable",
    "check_table",
    "count_rows",
    "empty_table",
    "fill_slots",
    "find_rows",
    "frozen_table",
    "insert_words",
    "keep_known",
    "n_slots",
    "word_hashes",
]

U64 = NDArray[np.uint64]
Number = TypeVar("Number", bound=np.generic)

NOT_FOUND = -1

START = np.uint64(0x243F6A8885A308D3)  # digits of pi
FACTOR = np.uint64(0x9E3779B97F4A7C15)  # 2^64 / golden ratio
_1, _8, _32 = np.uint64(1), np.uint64(8), np.uint64(32)
_LOW = np.uint64(0xFFFFFFFF)


class WordTable(NamedTuple):
    """The arrays described above, as the kernels take them."""

    slots: U64
    word_bytes: U8
    word_offsets: I64


def n_slots(n_words: int) -> int:
    """How many slots a table of ``n_words`` has: the least power of two not below twice as many."""
    return 1 << max(2 * n_words - 1, 1).bit_length()


@compiled
def _mix(value: np.uint64) -> np.uint64:
    value = value * FACTOR
    return value ^ (value >> _32)


@compiled
def _eight(data: U8, start: int) -> np.uint64:
    """``data[start:start + 8]`` as a big-endian number; compiles to one load."""
    at = np.uint64(start)
    high = np.uint64(data[at]) << np.uint64(56) | np.uint64(data[at + _1]) << np.uint64(48)
    high |= np.uint64(data[at + np.uint64(2)]) << np.uint64(40)
    high |= np.uint64(data[at + np.uint64(3)]) << _32
    low = np.uint64(data[at + np.uint64(4)]) << np.uint64(24)
    low |= np.uint64(data[at + np.uint64(5)]) << np.uint64(16)
    low |= np.uint64(data[at + np.uint64(6)]) << _8 | np.uint64(data[at + np.uint64(7)])
    return high | low


@compiled_allocating
def word_hashes(data: U8, bounds: I64) -> U64:
    """The hash of each word, shape ``(n,)``."""
    hashes = np.empty(len(bounds) // 2, np.uint64)
    for word in range(len(hashes)):
        start, stop = bounds[2 * word], bounds[2 * word + 1]
        value = START
        while stop - start > 8:
            value = _mix(value ^ _eight(data, start))
            start += 8
        if start + 8 <= len(data):
            if start < stop:
                value = _mix(value ^ _eight(data, start) >> _8 * np.uint64(8 - (stop - start)))
        else:
            chunk = np.uint64(0)
            for index in range(start, stop):
                chunk = chunk << _8 | np.uint64(data[index])
            if start < stop:
                value = _mix(value ^ chunk)
        hashes[word] = _mix(value)
    return hashes


@compiled_allocating
def find_rows(table: WordTable, data: U8, bounds: I64) -> I32:
    """The row of each word, -1 where it has none.

    Args:
        table: the words that have a row.
        data: bytes.
        bounds: word ``w`` is ``data[bounds[2 * w]:bounds[2 * w + 1]]``.

    Returns:
        Shape ``(n,)``.
    """
    slots, word_bytes, word_offsets = table
    last = np.uint64(len(slots) - 1)
    hashes = word_hashes(data, bounds)
    rows = np.empty(len(hashes), np.int32)
    for word in range(len(hashes)):
        slot = hashes[word] & last
        while slots[slot] != 0 and slots[slot] >> _32 != hashes[word] >> _32:
            slot = (slot + _1) & last
        rows[word] = np.int64(slots[slot] & _LOW) - 1
    # Half of a hash agrees. That is nearly always the word, but not always: compare the bytes. In a
    # loop of its own the processor waits for many words' memory at a time.
    for word in range(len(hashes)):
        if rows[word] == NOT_FOUND:
            continue
        start, stop = bounds[2 * word], bounds[2 * word + 1]
        first, after = word_offsets[rows[word]], word_offsets[rows[word] + 1]
        same = after - first == stop - start
        while same and stop - start > 8:
            same = _eight(data, start) == _eight(word_bytes, first)
            start += 8
            first += 8
        if same and start < stop:
            same = start + 8 <= len(data) and first + 8 <= len(word_bytes)
            if same:
                differ = _eight(data, start) ^ _eight(word_bytes, first)
                same = differ >> _8 * np.uint64(8 - (stop - start)) == 0
        if not same:
            rows[word] = _find_row(
                table, data, bounds[2 * word], bounds[2 * word + 1], hashes[word]
            )
    return rows


@compiled
def _find_row(table: WordTable, data: U8, start: int, stop: int, hashed: np.uint64) -> Any:
    """The row of one word, found with every step spelled out."""
    slots, word_bytes, word_offsets = table
    last = np.uint64(len(slots) - 1)
    slot = hashed & last
    while slots[slot] != 0:
        if slots[slot] >> _32 == hashed >> _32:
            row = np.int64(slots[slot] & _LOW) - 1
            first, length = word_offsets[row], word_offsets[row + 1] - word_offsets[row]
            index = 0 if length == stop - start else -1
            while 0 <= index < length and word_bytes[first + index] == data[start + index]:
                index += 1
            if index == length:
                return row
        slot = (slot + _1) & last
    return NOT_FOUND


@compiled_allocating
def keep_known(rows: I32, offsets: I64) -> tuple[I32, I64]:
    """Leave out the words without a row; give the rows that stay and the bounds of the texts."""
    known = np.empty(len(rows), np.int32)
    bounds = np.empty(len(offsets), np.int64)
    count = bounds[0] = 0
    for text in range(len(offsets) - 1):
        for word in range(offsets[text], offsets[text + 1]):
            known[count] = rows[word]
            count += rows[word] != NOT_FOUND
        bounds[text + 1] = count
    return known[:count], bounds


@compiled_allocating
def fill_slots(table: WordTable, n_words: int) -> None:
    """Enter the first ``n_words`` rows, all different, into empty slots."""
    slots, word_bytes, word_offsets = table
    last = np.uint64(len(slots) - 1)
    bounds = np.empty(2 * n_words, np.int64)
    for row in range(n_words):
        bounds[2 * row], bounds[2 * row + 1] = word_offsets[row], word_offsets[row + 1]
    hashes = word_hashes(word_bytes, bounds)
    for row in range(n_words):
        slot = hashes[row] & last
        while slots[slot] != 0:
            slot = (slot + _1) & last
        slots[slot] = hashes[row] >> _32 << _32 | np.uint64(row + 1)


@compiled_allocating
def insert_words(table: WordTable, n_words: int, data: U8, bounds: I64) -> tuple[I32, int]:
    """Find words, and give a new row to each that has none, in the order in which they come.

    Args:
        table: with room for all of them; changed in place.
        n_words: how many words are in the table.
        data: bytes.
        bounds: word ``w`` is ``data[bounds[2 * w]:bounds[2 * w + 1]]``.

    Returns:
        The rows, shape ``(n,)``; and how many words are in the table now.
    """
    slots, word_bytes, word_offsets = table
    last = np.uint64(len(slots) - 1)
    hashes = word_hashes(data, bounds)
    rows = np.empty(len(hashes), np.int32)
    for word in range(len(rows)):
        start, stop = bounds[2 * word], bounds[2 * word + 1]
        rows[word] = _find_row(table, data, start, stop, hashes[word])
        if rows[word] != NOT_FOUND:
            continue
        slot = hashes[word] & last
        while slots[slot] != 0:
            slot = (slot + _1) & last
        slots[slot] = hashes[word] >> _32 << _32 | np.uint64(n_words + 1)
        end = word_offsets[n_words]
        for index in range(start, stop):
            word_bytes[end] = data[index]
            end += 1
        rows[word] = n_words
        n_words += 1
        word_offsets[n_words] = end
    return rows, n_words


@compiled
def count_rows(rows: I32, counts: I64) -> None:
    """Add the number of times that each row occurs to ``counts``, shape ``(n_words,)``."""
    for row in rows:
        counts[row] += 1


def empty_table(n_words: int, n_bytes: int) -> WordTable:
    """Room for so many words, with so many bytes together."""
    slots = n_slots(n_words)
    return WordTable(
        np.zeros(slots, np.uint64), np.zeros(n_bytes, np.uint8), np.zeros(slots // 2 + 1, np.int64)
    )


def frozen_table(table: WordTable) -> WordTable:
    """The same arrays, read-only: look-ups are compiled for these."""
    return WordTable(_frozen(table.slots), _frozen(table.word_bytes), _frozen(table.word_offsets))


def _frozen(array: NDArray[Number]) -> NDArray[Number]:
    view = array.view()
    view.flags.writeable = False
    return view


def check_table(table: WordTable) -> None:
    """See to it that no look-up reads outside of the arrays or goes on for ever.

    Raises:
        ModelFormatError: the arrays are no word table.
    """
    slots, word_bytes, offsets = table
    if len(offsets) == 0 or offsets[0] != 0 or offsets[-1] != len(word_bytes):
        raise ModelFormatError("vocabulary: word_offsets do not begin and end with word_bytes")
    n_words = len(offsets) - 1
    starts, stops = offsets[:-1], offsets[1:]
    if n_words and (starts > stops).any():
        raise ModelFormatError("vocabulary: word_offsets do not ascend")
    if len(slots) != n_slots(n_words):
        raise ModelFormatError(
            f"vocabulary: {len(slots)} slots for {n_words} words, expected {n_slots(n_words)}"
        )
    if not _names_every_row(slots, n_words):
        raise ModelFormatError("vocabulary: slots do not name every row once")
    try:
        str(word_bytes.data, "utf-8")
    except UnicodeDecodeError:
        raise ModelFormatError("vocabulary: word_bytes are not UTF-8") from None
    if n_words and (word_bytes[starts[starts < stops]] & 0xC0 == 0x80).any():
        raise ModelFormatError("vocabulary: word_offsets cut through a character")


@compiled_allocating
def _names_every_row(slots: U64, n_words: int) -> bool:
    """Whether the filled slots are the rows below ``n_words``, each once."""
    seen = np.zeros(n_words, np.bool_)
    filled = 0
    for entry in slots:
        if entry == 0:
            continue
        row = np.int64(entry & _LOW) - 1
        if row < 0 or row >= n_words or seen[row]:
            return False
        seen[row] = True
        filled += 1
    return filled == n_words
