"""Counting the words of texts, task by task."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from pintext.arrays import I32, I64, U8
from pintext.errors import DataError
from pintext.text import Texts, as_column, pieces, words_of
from pintext.word_table import (
    NOT_FOUND,
    WordTable,
    count_rows,
    empty_table,
    fill_slots,
    find_rows,
    frozen_table,
    insert_words,
    n_slots,
)

__all__ = ["MAX_WORDS", "TokenRows", "WordCounter", "joined"]

MAX_WORDS = 2**31 - 2


class TokenRows(NamedTuple):
    """The rows of many texts.

    Attributes:
        rows: one behind the other, shape ``(n_tokens,)``, int32.
        offsets: text ``i`` has ``rows[offsets[i]:offsets[i + 1]]``; shape ``(n_texts + 1,)``,
            int64.
    """

    rows: I32
    offsets: I64


class WordCounter:
    """Counts the words of each task's texts and gives each word a number, in the order met.

    Attributes:
        tasks: their names.
        max_tokens: words read from the front of each text.
    """

    def __init__(self, tasks: Sequence[str], max_tokens: int) -> None:
        self.tasks = tuple(tasks)
        self.max_tokens = max_tokens
        self._n_words = 0
        self._table = empty_table(1 << 11, 1 << 14)
        self._counts = np.zeros((len(self.tasks), 1 << 11), np.int64)

    def __len__(self) -> int:
        return self._n_words

    def add(self, task: int, texts: Texts) -> TokenRows:
        """Count the words of some texts of the task ``tasks[task]``.

        Returns:
            The numbers of the words of each text.

        Raises:
            DataError: something other than texts was given, or there are too many words.
        """
        return joined([self._add_piece(task, piece) for piece in pieces(as_column(texts))])

    def _add_piece(self, task: int, piece: pl.Series) -> TokenRows:
        data, bounds, offsets = words_of(piece, self.max_tokens)
        rows = find_rows(frozen_table(self._table), data, bounds)
        missing = np.flatnonzero(rows == NOT_FOUND)
        if len(missing):
            new = bounds.reshape(-1, 2)[missing]
            self._make_room(self._n_words + len(new), int((new[:, 1] - new[:, 0]).sum()))
            rows[missing], self._n_words = insert_words(
                self._table, self._n_words, data, new.reshape(-1)
            )
        count_rows(rows, self._counts[task])
        return TokenRows(rows, offsets)

    def _make_room(self, n_words: int, n_bytes: int) -> None:
        """Let the table hold ``n_words`` words with ``n_bytes`` more bytes than now."""
        slots, word_bytes, word_offsets = self._table
        n_bytes += int(word_offsets[self._n_words])
        if n_words > MAX_WORDS:
            raise DataError(f"there may be more than {MAX_WORDS} distinct words; add less at once")
        if n_bytes > len(word_bytes):
            word_bytes = _extended(word_bytes, 2 * n_bytes)
            self._table = WordTable(slots, word_bytes, word_offsets)
        if n_slots(n_words) > len(slots):
            slots = np.zeros(n_slots(n_words), np.uint64)
            word_offsets = _extended(word_offsets, len(slots) // 2 + 1)
            self._counts = _extended(self._counts, len(slots) // 2)
            self._table = WordTable(slots, word_bytes, word_offsets)
            fill_slots(self._table, self._n_words)

    def raw(self) -> tuple[U8, I64, I64]:
        """The words met so far, in the order of their numbers.

        Returns:
            Their bytes; their bounds in the bytes, shape ``(n_words + 1,)``; and how often each was
            met in each task, shape ``(n_tasks, n_words)``. All are read-only views.
        """
        table = frozen_table(self._table)
        offsets = table.word_offsets[: self._n_words + 1]
        counts = self._counts[:, : self._n_words]
        counts.flags.writeable = False
        return table.word_bytes[: offsets[-1]], offsets, counts


def joined(parts: Sequence[TokenRows]) -> TokenRows:
    """Many pieces' rows as one."""
    if len(parts) == 1:
        return parts[0]
    starts = np.cumsum([0, *(len(part.rows) for part in parts)])
    rows = np.concatenate([np.zeros(0, np.int32), *(part.rows for part in parts)])
    offsets = [
        np.zeros(1, np.int64),
        *(part.offsets[1:] + start for part, start in zip(parts, starts, strict=False)),
    ]
    return TokenRows(rows, np.concatenate(offsets))


def _extended(array: NDArray[Any], length: int) -> NDArray[Any]:
    """A copy whose last axis has the given length, zeros behind what was there."""
    longer = np.zeros((*array.shape[:-1], length), array.dtype)
    longer[..., : array.shape[-1]] = array
    return longer
