"""Inverted lists: for each token the rows that carry it."""

import numpy as np

from pintext.arrays import I32, I64
from pintext.compiled import compiled

__all__ = ["InvertedLists"]


class InvertedLists:
    """For each token the rows that carry it, in their order: 4 bytes for each token of each row.

    Args:
        carried: ``(n, m)`` the tokens of each row, from 0 to ``n_tokens - 1``; -1 for none.
        n_tokens: how many tokens there are.

    Attributes:
        starts: ``(n_tokens + 1,)`` where the rows of each token start, and the end.
        rows: those of one token behind those of the one before.
    """

    def __init__(self, carried: I32, n_tokens: int) -> None:
        sizes = np.bincount(carried[carried >= 0], minlength=n_tokens)
        self.starts: I64 = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
        self.rows: I32 = np.empty(self.starts[-1], np.int32)
        _fill(np.ascontiguousarray(carried), self.starts[:-1].copy(), self.rows)


@compiled
def _fill(carried: I32, places: I64, rows: I32) -> None:
    """Write every row into the list of each of its tokens; ``places`` is where the lists go on."""
    for i in range(carried.shape[0]):
        for r in range(carried.shape[1]):
            token = carried[i, r]
            if token >= 0:
                rows[places[token]] = i
                places[token] += 1
