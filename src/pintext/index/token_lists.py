"""Which rows carry a token: inverted lists in memory, made from the records of the rows.

The lists of most rows are made when an index is opened, some 0.05 s for each million; those of rows
that came since are made at each commit. Dead rows are passed over when a query asks.
"""

from typing import Self

import numpy as np

from pintext.arrays import I32, I64, U64
from pintext.compiled import compiled, trailing_zeros
from pintext.index.live import LiveRows
from pintext.index.rows import Rows
from pintext.tokens.inverted import InvertedLists

__all__ = ["RowLists"]

_LATEST_SHARE = 8  # the latest rows are one of so many at most


class RowLists:
    """The rows that carry each token, of one committed state.

    Args:
        rows: of the state.
        live: those that count.
        n_tokens: how many tokens there are.
        before: of an earlier state of the same rows; most of its lists are used again.

    Raises:
        IndexFormatError: a row that counts is not as it was written.
    """

    def __init__(
        self, rows: Rows, live: LiveRows, n_tokens: int, before: Self | None = None
    ) -> None:
        self._live = live
        self.old_rows: int
        self._old: InvertedLists
        if before is None or _LATEST_SHARE * (live.rows - before.old_rows) > live.rows:
            self.old_rows = live.rows
            self._old = self._lists(rows, 0, n_tokens)
        else:
            self.old_rows, self._old = before.old_rows, before._old
        self._latest: InvertedLists = self._lists(rows, self.old_rows, n_tokens)

    def _lists(self, rows: Rows, start: int, n_tokens: int) -> InvertedLists:
        places = start + np.flatnonzero(self._live.flags(start))
        carried = np.full((self._live.rows - start, rows.per_pin), -1, np.int32)
        carried[places - start] = rows.checked_tokens(places, n_tokens)
        return InvertedLists(carried, n_tokens)

    def holders(self, tokens: I32) -> I64:
        """The rows that count and carry one of some tokens, in their order."""
        marks = np.zeros_like(self._live.marks)
        found = _mark(tokens, self._old.starts, self._old.rows, 0, marks)
        if len(self._latest.rows):
            found += _mark(tokens, self._latest.starts, self._latest.rows, self.old_rows, marks)
        rows = np.empty(min(found, self._live.rows), np.int64)
        return rows[: _marked(marks, self._live.marks, rows)]


@compiled
def _mark(tokens: I32, starts: I64, rows: I32, first: int, marks: U64) -> int:
    """Set the bits of rows of some lists, numbered from ``first``; how many they are at most."""
    found = 0
    for token in tokens:
        for place in range(starts[token], starts[token + 1]):
            row = first + rows[place]
            marks[row >> 6] |= np.uint64(1) << np.uint64(row & 63)
        found += starts[token + 1] - starts[token]
    return found


@compiled
def _marked(marks: U64, live: U64, rows: I64) -> int:
    """Write the numbers of the bits that are set in both; how many they are."""
    found = 0
    for place in range(len(marks)):
        word = marks[place] & live[place]
        while word:
            rows[found] = (place << 6) + trailing_zeros(word)
            found += 1
            word &= word - np.uint64(1)
    return found
