"""What a scheme finds and what it costs, for every number of probes at once."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pintext.arrays import F32, I32, I64
from pintext.compiled import compiled
from pintext.tokens.exact import exact_neighbors
from pintext.tokens.kernels import in_threads
from pintext.tokens.scheme import TokenScheme

__all__ = ["Curve", "Sample", "draw_sample", "measure"]

SAMPLED_PINS = 4_000


class Sample(NamedTuple):
    """Queries, what they should find, and some pins that stand for all.

    Attributes:
        queries: ``(n, dim)``.
        neighbors: ``(n, k)`` rows of the exact nearest pins; -1 behind the last.
        pins: ``(s,)`` rows of pins drawn at random.
    """

    queries: F32
    neighbors: I32
    pins: I64


class Curve(NamedTuple):
    """One row a query; column ``j`` is for ``j + 1`` probes.

    Attributes:
        recall: share of the exact nearest pins that carry a token asked for.
        share: share of all pins that carry one, and would be scored.
    """

    recall: F32
    share: F32


def draw_sample(
    vectors: F32, queries: F32, k: int, seed: int, *, own: I64 | None = None, threads: int = 0
) -> Sample:
    """Find the exact neighbours of queries, and draw pins; ``own`` as in ``exact_neighbors``."""
    found = exact_neighbors(queries, vectors, k, own=own, threads=threads)
    draw = np.random.default_rng(seed)
    pins = draw.choice(len(vectors), min(SAMPLED_PINS, len(vectors)), replace=False)
    return Sample(queries, found.rows, np.sort(pins))


def measure(
    scheme: TokenScheme, vectors: F32, sample: Sample, probes: int, *, threads: int = 0
) -> list[Curve]:
    """Measure a scheme with pins carrying 1, 2, … ``scheme.per_pin`` of their tokens.

    Exact for the sample's queries but for the share, which is that of the sampled pins.

    Args:
        scheme: to be measured; of hyperplanes, whose tables belong together, only the curve with
            all tokens is of use.
        vectors: of all pins.
        sample: of queries, their neighbours, and pins.
        probes: columns of the curves, at most the number of tokens.
        threads: 0 means all cores.
    """
    asked = scheme.probe(sample.queries, probes, threads=threads).tokens
    rows, places = np.unique(sample.neighbors, return_inverse=True)
    carried = scheme.assign(vectors[np.maximum(rows, 0)], threads=threads)
    carried[rows < 0] = -1
    wanted = carried[places.reshape(sample.neighbors.shape)]
    others = scheme.assign(vectors[sample.pins], threads=threads)
    shape = (scheme.per_pin, *asked.shape)
    hits, scored = np.zeros(shape, np.int32), np.zeros(shape, np.int32)

    def count(query: int) -> None:
        ranks = np.full(scheme.n_tokens + 1, asked.shape[1], np.int32)
        _count(asked[query], wanted[query], ranks, hits[:, query])
        _count(asked[query], others, ranks, scored[:, query])

    in_threads(count, range(len(asked)), threads)
    true = np.maximum((sample.neighbors >= 0).sum(axis=1), 1)[:, None]
    return [
        Curve(
            (np.cumsum(hits[r], axis=1) / true).astype(np.float32),
            (np.cumsum(scored[r], axis=1) / max(len(others), 1)).astype(np.float32),
        )
        for r in range(scheme.per_pin)
    ]


@compiled
def _count(asked: I32, carried: I32, ranks: I32, first: NDArray[np.int32]) -> None:
    """Count, for each probe, the pins that it is the first to find.

    Args:
        asked: ``(m,)`` tokens of a query; -1 is none.
        carried: ``(n, r)`` tokens of pins.
        ranks: scratch, ``(n_tokens + 1,)``, ``m`` throughout, as it is left again.
        first: ``(r, m)``, out; row ``j`` for pins that carry their first ``j + 1`` tokens.
    """
    for j in range(len(asked)):
        if asked[j] >= 0:
            ranks[asked[j]] = j
    for i in range(carried.shape[0]):
        rank = len(asked)
        for r in range(carried.shape[1]):
            if carried[i, r] >= 0:
                rank = min(rank, ranks[carried[i, r]])
            if rank < len(asked):
                first[r, rank] += 1
    for j in range(len(asked)):
        if asked[j] >= 0:
            ranks[asked[j]] = len(asked)
