"""Appending rows to the files of a generation."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Self

import numpy as np

from pintext.arrays import F32, I32, I64, U8
from pintext.compiled import compiled_fast
from pintext.index.bm25 import U32, PinWords, sum_of
from pintext.index.rows import FILES, record_sum, record_type, salt_of

__all__ = ["RowWriter"]


class RowWriter:
    """Appends rows.

    Args:
        folder: of the generation; files that are not there are made.
        dim: length of a vector.
        per_pin: tokens at most that a pin has.

    Attributes:
        next: the number of the row that is appended next.
    """

    def __init__(self, folder: Path, dim: int, per_pin: int) -> None:
        self._kind = record_type(per_pin)
        self._salt = salt_of(dim)
        self._files = [(folder / name).open("ab") for name in FILES]
        self._sizes = [file.tell() for file in self._files]
        vectors, records, *_ = self._files
        row_bytes = 4 * dim
        # A crash may have left a part of a row, or rows in one file that the other lacks.
        self.next = max(-(-vectors.tell() // row_bytes), -(-records.tell() // self._kind.itemsize))
        vectors.truncate(self.next * row_bytes)
        records.truncate(self.next * self._kind.itemsize)

    def append(self, vectors: F32, tokens: I32, ids: Sequence[str], words: PinWords) -> int:
        """Write rows; they are on the disk after :meth:`sync`.

        Args:
            vectors: unit vectors or zeros, shape ``(n, dim)``.
            tokens: shape ``(n, per_pin)``, -1 pads.
            ids: ``n``.
            words: of ``n`` texts.

        Returns:
            The number of the first row.

        Raises:
            OSError: the disk refuses.
        """
        vectors = np.ascontiguousarray(vectors, "<f4")
        tokens = np.ascontiguousarray(tokens, "<i4")
        vector_file, record_file, id_file, word_file = self._files
        lines = np.frombuffer(b"".join(name.encode() + b"\n" for name in ids), np.uint8)
        ends = np.flatnonzero(lines == ord("\n")) if len(lines) else np.zeros(0, np.int64)
        if len(ends) != len(ids):  # an id with a line end in it
            ends = np.cumsum([len(name.encode()) + 1 for name in ids]) - 1
        starts = np.zeros(len(ids), np.int64)
        starts[1:] = ends[:-1] + 1
        records = np.zeros(len(ids), self._kind)
        records["tokens"] = tokens
        records["id_start"] = id_file.seek(0, os.SEEK_END) + starts
        records["id_bytes"] = ends - starts
        word_bytes = word_file.seek(0, os.SEEK_END)
        records["word_start"] = -(-word_bytes // 4) + words.offsets[:-1]
        records["words"] = np.diff(words.offsets)
        sums = np.empty((3, len(ids)), np.uint32)
        _sum_rows(vectors.view("<u4"), self._salt, tokens, lines, starts, ends, *words, sums)
        records["vector_sum"], records["record_sum"], records["word_sum"] = sums
        vector_file.write(vectors.data)
        record_file.write(records.data)
        id_file.write(lines.data)
        word_file.write(bytes(-word_bytes % 4))  # behind what a crash has left of a word
        word_file.write(words.hashes.astype("<u4").data)
        first, self.next = self.next, self.next + len(ids)
        return first

    def sync(self) -> None:
        """Wait until the rows are on the disk.

        Raises:
            OSError: the disk refuses.
        """
        for file in self._files:
            file.flush()
            os.fsync(file.fileno())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, error: type[BaseException] | None, *_: object) -> None:
        """Close the files; after an error, which may be a full disk, they are as long as before."""
        for file, size in zip(self._files, self._sizes, strict=True):
            try:
                file.close()
            except OSError:
                if error is None:
                    raise
            if error is not None:
                os.truncate(file.name, size)


@compiled_fast
def _sum_rows(
    bits: U32, salt: U32, tokens: I32, lines: U8, starts: I64, ends: I64, words: U32, offsets: I64,
    sums: U32,
) -> None:  # fmt: skip
    """Write the checksums of every vector, every record and every text's words."""
    for row in range(len(bits)):
        mixed = np.uint32(0)
        for k in range(bits.shape[1]):
            mixed = np.uint32(mixed + (bits[row, k] ^ salt[k]))
        sums[0, row] = mixed
        sums[1, row] = record_sum(lines[starts[row] : ends[row]], tokens[row])
        sums[2, row] = sum_of(words[offsets[row] : offsets[row + 1]])
