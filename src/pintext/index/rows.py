"""The rows of an index: what a search reads of a pin without asking the inverted index.

=================  =============================================================================
``vectors.f32``    the unit vectors, float32, ``dim`` numbers a row; zeros for a text without words
``records.bin``    a fixed record a row: checksums of the vector, the record and the words, where
                   the id stands in ``ids.txt`` and the words in ``words.u32``, and the tokens (see
                   :func:`record_type`)
``ids.txt``        the ids, UTF-8, one a line
``words.u32``      the upper half of the hash (:mod:`pintext.word_table`) of each word of the texts
=================  =============================================================================

Rows are only ever appended, and never used again: whoever reads row 17 finds there what was written
first. A row counts when a committed document of the inverted index points to it; what a crash
leaves behind the last of those is passed over. A row is compared with its checksum whenever it is
read.
"""

import mmap
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pintext.arrays import F32, I32, I64, U8
from pintext.compiled import compiled_fast, prefetch
from pintext.errors import IndexFormatError
from pintext.files import reason
from pintext.index.bm25 import U32, WordCounts, hashed, score_rows

__all__ = ["FILES", "Rows", "record_sum", "record_type", "salt_of"]

VECTORS, RECORDS, IDS, WORDS = "vectors.f32", "records.bin", "ids.txt", "words.u32"
FILES = (VECTORS, RECORDS, IDS, WORDS)
"""The names of the files, in a folder of a generation."""

_AHEAD = 8  # rows that are asked for before they are needed
_CHECKED_ROWS = 65_536


def record_type(per_pin: int) -> np.dtype[Any]:
    """The type of a record.

    Args:
        per_pin: tokens at most that a pin has.
    """
    return np.dtype(
        [
            ("vector_sum", "<u4"),
            ("record_sum", "<u4"),
            ("id_start", "<u8"),
            ("id_bytes", "<u4"),
            ("word_sum", "<u4"),
            ("word_start", "<u8"),
            ("words", "<u4"),
            ("tokens", "<i4", (per_pin,)),
        ]
    )


def salt_of(dim: int) -> U32:
    """What tells the places of a vector apart in its checksum; shape ``(dim,)``."""
    salt: U32 = (np.arange(1, dim + 1, dtype=np.uint64) * 2_654_435_761).astype(np.uint32)
    return salt


class Rows:
    """The rows of a generation, mapped into memory.

    Args:
        folder: of the generation.
        dim: length of a vector.
        per_pin: tokens at most that a pin has.
        count: rows that are committed; more are not looked at.

    Raises:
        IndexFormatError: a file is missing, cut short or cannot be read.
    """

    def __init__(self, folder: Path, dim: int, per_pin: int, count: int) -> None:
        self.folder = folder
        self.per_pin = per_pin
        kind = record_type(per_pin)
        numbers = _mapped(folder / VECTORS, 4 * dim, count)
        self.vectors: F32 = numbers.view("<f4").reshape(-1, dim)
        """unit vectors, shape ``(n, dim)``, read-only"""
        self._bits: U32 = numbers.view("<u4").reshape(-1, dim)
        records = _mapped(folder / RECORDS, kind.itemsize, count)
        self._records: NDArray[Any] = records.view(kind)
        # the same as plain numbers; the checksum of the vector is the first of a row
        self._sums: U32 = records.view("<u4").reshape(-1, kind.itemsize // 4)
        self._ids = _mapped(folder / IDS, 1)
        self._words: U32 = _mapped(folder / WORDS, 4).view("<u4")
        self._salt = salt_of(dim)

    def __len__(self) -> int:
        return len(self._records)

    def similarities(self, rows: I64, vector: F32) -> F32:
        """The cosines of some rows with a unit vector, shape ``(n,)``, from -1 to 1.

        Raises:
            IndexFormatError: a row does not exist or is not as it was written.
        """
        found = np.empty(len(rows), np.float32)
        if len(rows) and (rows.min() < 0 or rows.max() >= len(self)):
            raise IndexFormatError(
                f"{self.folder}: damaged: a pin is in row {rows.max()} of {len(self)}; build the "
                "index again or restore the folder"
            )
        wrong = _compare(self.vectors, self._bits, self._sums, self._salt, rows, vector, found)
        if wrong >= 0:
            raise self._damaged(VECTORS, int(rows[wrong]))
        return found

    def vector(self, row: int) -> F32:
        """The unit vector of a row, shape ``(dim,)``; a copy.

        Raises:
            IndexFormatError: the row does not exist or is not as it was written.
        """
        self.similarities(np.array([row]), np.zeros(self.vectors.shape[1], np.float32))
        vector: F32 = self.vectors[row].copy()
        return vector

    def ids(self, rows: I64) -> list[str]:
        """The ids of some rows.

        Raises:
            IndexFormatError: a row is not as it was written.
        """
        records = self._checked(rows)
        starts, sizes = records["id_start"].tolist(), records["id_bytes"].tolist()
        return [
            self._ids[start : start + size].tobytes().decode()
            for start, size in zip(starts, sizes, strict=True)
        ]

    def checked_tokens(self, rows: I64, n_tokens: int) -> I32:
        """The tokens of some rows, as :meth:`tokens`, after a comparison with the checksums.

        Args:
            rows: that exist.
            n_tokens: a token is less.

        Raises:
            IndexFormatError: a row is not as it was written.
        """
        tokens: I32 = self._checked(rows)["tokens"]
        if tokens.size and tokens.max() >= n_tokens:
            raise self._damaged(RECORDS, int(rows[tokens.max(axis=1).argmax()]))
        return tokens

    def _checked(self, rows: I64) -> NDArray[Any]:
        """The records of some rows.

        Raises:
            IndexFormatError: a row is not as it was written.
        """
        records = self._records[rows]
        starts, sizes = (np.ascontiguousarray(records[name]) for name in ("id_start", "id_bytes"))
        sums, tokens = (np.ascontiguousarray(records[name]) for name in ("record_sum", "tokens"))
        wrong = _wrong_record(self._ids, starts.view(np.int64), sizes, tokens, sums)
        if wrong >= 0:
            raise self._damaged(f"{RECORDS} or {IDS}", int(rows[wrong]))
        return records

    def tokens(self, rows: I64) -> I32:
        """The tokens of some rows, shape ``(n, per_pin)``; -1 pads."""
        found: I32 = self._records["tokens"][rows]
        return found

    def bm25(self, rows: I64, words: Sequence[str], counts: WordCounts) -> F32:
        """The BM25 of some rows, shape ``(n,)``; 0 for a pin that shares no word.

        Args:
            rows: that exist.
            words: of the query; one that occurs twice counts twice.
            counts: of these words.

        Raises:
            IndexFormatError: the words of a row are not as they were written.
        """
        records = self._records[rows]
        places = np.stack((records["word_start"], records["words"]), axis=1).astype(np.int64)
        sums = np.ascontiguousarray(records["word_sum"], np.uint32)
        weights = np.array([counts.idf(word) for word in words], np.float64)
        scores = np.empty(len(rows), np.float32)
        mean = counts.mean_length
        wrong = score_rows(self._words, places, sums, hashed(words), weights, mean, scores)
        if wrong >= 0:
            raise self._damaged(f"{RECORDS} or {WORDS}", int(rows[wrong]))
        return scores

    def verify(self, rows: I64) -> None:
        """Compare rows, all that is in them, with their checksums.

        Raises:
            IndexFormatError: a row does not exist or is not as it was written.
        """
        nothing = np.zeros(self.vectors.shape[1], np.float32)
        for start in range(0, len(rows), _CHECKED_ROWS):
            some = rows[start : start + _CHECKED_ROWS]
            self.similarities(some, nothing)
            self.ids(some)
            self.bm25(some, (), WordCounts(0, 0, {}))

    def _damaged(self, name: str, row: int) -> IndexFormatError:
        return IndexFormatError(
            f"{self.folder / name}: damaged: row {row} is not as it was written; "
            "build the index again or restore the file"
        )


def _mapped(path: Path, row_bytes: int, count: int | None = None) -> U8:
    """The first rows of a file, mapped, or all whole ones; what is behind them is left alone."""
    try:
        with path.open("rb") as file:
            there = os.fstat(file.fileno()).st_size // row_bytes
            if count is not None and there < count:
                raise IndexFormatError(
                    f"{path}: cut short: {count} rows are committed but {there} are there; build "
                    "the index again or restore the file"
                )
            size = (there if count is None else count) * row_bytes
            if size == 0:
                return np.zeros(0, np.uint8)
            mapped = mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ)
    except FileNotFoundError:
        raise IndexFormatError(f"{path}: missing; restore it or build the index again") from None
    except (OSError, ValueError) as error:
        raise IndexFormatError(f"{path}: cannot be read: {reason(error)}") from None
    return np.frombuffer(mapped, np.uint8, size)


@compiled_fast
def _compare(
    vectors: F32, bits: U32, sums: U32, salt: U32, rows: I64, vector: F32, found: F32
) -> int:
    """Write the dot product of each row with the vector; -1, or the place of a damaged row."""
    dim, width = vectors.shape[1], sums.shape[1]
    for i in range(len(rows)):
        if i + _AHEAD < len(rows):
            prefetch(sums, rows[i + _AHEAD] * width)
            for line in range(0, dim, 16):
                prefetch(vectors, rows[i + _AHEAD] * dim + line)
        row = rows[i]
        total, mixed = np.float32(0), np.uint32(0)
        for k in range(dim):
            total += vectors[row, k] * vector[k]
            mixed = np.uint32(mixed + (bits[row, k] ^ salt[k]))
        if mixed != sums[row, 0]:
            return i
        found[i] = min(max(total, np.float32(-1)), np.float32(1))
    return -1


@compiled_fast
def _mix(total: Any, value: Any) -> Any:
    """One step of a 32-bit FNV-1a hash."""
    return np.uint32((np.uint32(total) ^ np.uint32(value)) * np.uint32(16_777_619))


@compiled_fast
def record_sum(name: U8, tokens: I32) -> Any:
    """The checksum of what a record says, FNV-1a over the id and the tokens."""
    total: Any = np.uint32(2_166_136_261)
    for byte in name:
        total = _mix(total, byte)
    for token in tokens:
        total = _mix(total, token)
    return total


@compiled_fast
def _wrong_record(ids: U8, starts: I64, sizes: U32, tokens: I32, sums: U32) -> int:
    """The place of a record that is not as it was written, or -1."""
    for i in range(len(starts)):
        start, end = starts[i], starts[i] + sizes[i]
        if start < 0 or start > len(ids) or end > len(ids):
            return i
        if record_sum(ids[start:end], tokens[i]) != sums[i]:
            return i
    return -1
