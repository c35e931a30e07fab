"""Inverted lists of tokens in memory, for looking up many queries at once."""

from typing import Any

import numpy as np

from pintext.arrays import F32, I32, I64
from pintext.compiled import compiled, compiled_fast
from pintext.tokens import TokenScheme
from pintext.tokens.exact import Nearest
from pintext.tokens.inverted import InvertedLists
from pintext.tokens.kernels import in_threads, normalized, row_blocks

__all__ = ["TokenLists", "nearest_of"]


class TokenLists:
    """Inverted lists of a scheme's tokens.

    What :meth:`nearest` finds are the pins that share a token with the query, compared exactly.
    """

    def __init__(self, vectors: F32, scheme: TokenScheme, *, threads: int = 0) -> None:
        """Assign tokens and sort pins by them.

        Args:
            vectors: of the pins, float32 unit vectors or zero, may be memory-mapped.
            scheme: gives the tokens.
            threads: 0 means all cores.
        """
        self.scheme = scheme
        carried = scheme.assign(vectors, threads=threads)
        self._vectors = vectors
        self._lists = InvertedLists(carried, scheme.n_tokens)

    def nearest(
        self, queries: F32, k: int, probes: int, *, own: I64 | None = None, threads: int = 0
    ) -> Nearest:
        """The nearest pins among those that share a token; of equals the lower row.

        Args:
            queries: ``(n, dim)``; a zero vector has no neighbours.
            k: neighbours of a query, at most.
            probes: tokens that a query asks for, at most.
            own: ``(n,)`` the row that each query is itself, and which is left out; -1 for none.
            threads: 0 means all cores; the result does not depend on it.
        """
        units = normalized(queries)
        left_out = np.full(len(units), -1, np.int64) if own is None else own
        shape = (len(units), k)
        found = Nearest(np.full(shape, -1, np.int32), np.zeros(shape, np.float32))

        def look_up(block: slice) -> None:
            asked = self.scheme.probe(units[block], probes).tokens
            part = Nearest(found.rows[block], found.similarities[block])
            nearest_of(self._lists, self._vectors, units[block], asked, left_out[block], part)

        in_threads(look_up, row_blocks(len(units)), threads)
        return found


def nearest_of(
    lists: InvertedLists, vectors: F32, units: F32, asked: I32, own: I64, found: Nearest
) -> None:
    """Write the nearest pins among those that share a token; of equals the lower row.

    Args:
        lists: of the pins.
        vectors: of the pins, float32 unit vectors or zero, may be memory-mapped.
        units: ``(n, dim)`` unit vectors of queries, or zero.
        asked: ``(n, m)`` the tokens that each asks for; -1 behind the last.
        own: ``(n,)`` the row that each query is itself, and which is left out; -1 for none.
        found: ``(n, k)``, of rows -1 and similarities 0: filled as far as there are pins.
    """
    seen = np.full(len(vectors), -1, np.int32)
    pins = lists.starts, lists.rows, vectors, seen
    _look_up(units, own, asked, *pins, found.rows, found.similarities)


@compiled_fast
def _look_up(
    queries: F32,
    own: I64,
    asked: I32,
    starts: I64,
    pins: I32,
    vectors: F32,
    seen: I32,
    rows: I32,
    similarities: F32,
) -> None:
    """Compare each query with every pin of its lists once; ``seen`` is the last query of a pin."""
    dim, k = queries.shape[1], rows.shape[1]
    for i in range(queries.shape[0]):
        held = 0
        for j in range(asked.shape[1]):
            token = asked[i, j]
            if token < 0:
                break
            for place in range(starts[token], starts[token + 1]):
                pin = pins[place]
                if seen[pin] == i or pin == own[i]:
                    continue
                seen[pin] = i
                value = np.float32(0)
                for d in range(dim):
                    value += queries[i, d] * vectors[pin, d]
                held = _insert(value, pin, similarities[i], rows[i], held, k)


@compiled
def _insert(value: Any, pin: int, best: F32, names: I32, held: int, room: int) -> int:
    """Put a pin into a list of the most similar, of equals the lower row first."""
    at = held
    if held == room:
        last = room - 1
        if value < best[last] or (value == best[last] and pin > names[last]):
            return held
        at = last
    while at > 0 and (best[at - 1] < value or (best[at - 1] == value and names[at - 1] > pin)):
        best[at], names[at] = best[at - 1], names[at - 1]
        at -= 1
    best[at], names[at] = value, pin
    return min(held + 1, room)
