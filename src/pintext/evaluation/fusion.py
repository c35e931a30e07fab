"""Lexical and embedding scores together: what an engine does that has both."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from pintext.arrays import F32
from pintext.evaluation.metrics import Places, ndcg
from pintext.evaluation.questions import Question, Scores, count_places
from pintext.evaluation.rankers import Ranker

__all__ = ["ReciprocalRank", "WeightedSum"]

Both = Callable[[int, int], tuple[F32, F32]]

_DEPTH = 1_000  # of each list; what is further down adds next to nothing
_CONSTANT = 60  # the article's
_WEIGHTS = np.linspace(0, 1, 11, dtype=np.float32)
_TUNED_BY = 10  # ndcg@10


class ReciprocalRank(Ranker):
    """Reciprocal rank fusion: the sum of 1 / (60 + rank) over two lists.

    Cormack, Clarke and Buettcher, SIGIR 2009. A list holds what has a score above 0, the first
    1,000 of them; equals share the mean of their ranks. Nothing has to be tuned.
    """

    kind = "fused"

    def __init__(self, lexical: Ranker, embedding: Ranker) -> None:
        """Name the two."""
        self.name = f"{embedding.name} + {lexical.name}, reciprocal rank"
        self._both = (lexical, embedding)

    def prepare(self, question: Question) -> Scores:  # noqa: D102
        lists = [ranker.prepare(question) for ranker in self._both]

        def scores(first: int, last: int) -> F32:
            fused = np.zeros((last - first, len(question.candidates)), np.float32)
            for found in (scores(first, last) for scores in lists):
                question.bar(found, first, last)
                for row, sums in zip(found, fused, strict=True):
                    _add_reciprocal_ranks(row, sums)
            return fused

        return scores


def _add_reciprocal_ranks(row: F32, sums: F32) -> None:
    depth = min(_DEPTH, len(row))
    least = np.partition(row, len(row) - depth)[len(row) - depth]
    listed = np.flatnonzero((row >= least) & (row > 0))
    values = row[listed]
    ordered = np.sort(values)
    right, left = (np.searchsorted(ordered, values, side) for side in ("right", "left"))
    ranks = len(values) - right + (right - left + 1) / 2
    sums[listed] += (1 / (_CONSTANT + ranks)).astype(np.float32)


class WeightedSum(Ranker):
    """``w * cosine + (1 - w) * lexical / the query's highest lexical score``, with a tuned ``w``.

    The weight is chosen out of 0, 0.1, …, 1 by nDCG@10, never on the queries that it is used for:
    the queries fall into two halves at random, and each half gets what is best for the other.
    """

    kind = "fused"

    def __init__(self, lexical: Ranker, embedding: Ranker, seed: int = 0) -> None:
        """Name the two; the seed makes the halves."""
        self.name = f"{embedding.name} + {lexical.name}, weighted sum"
        self._lexical, self._embedding, self._seed = lexical, embedding, seed

    def prepare(self, question: Question) -> Scores:  # noqa: D102
        lexical, embedding = self._lexical.prepare(question), self._embedding.prepare(question)

        def both(first: int, last: int) -> tuple[F32, F32]:
            found = lexical(first, last)
            highest = found.max(axis=1, keepdims=True, initial=0)
            found /= np.where(highest > 0, highest, 1)
            return found, embedding(first, last)

        weights = self._weights(question, both)

        def scores(first: int, last: int) -> F32:
            found, cosines = both(first, last)
            return _mixed(weights[first:last, None], found, cosines)

        return scores

    def _weights(self, question: Question, both: Both) -> F32:
        """The weight of each query."""
        quality = np.stack([ndcg(p, _TUNED_BY) for p in _places_by_weight(question, both)])
        n = len(question.queries)
        half = np.random.default_rng(self._seed).permutation(n) % 2 == 0
        weights = np.empty(n, np.float32)
        for mine in (half, ~half):
            others = quality[:, ~mine] if not mine.all() else quality
            weights[mine] = _WEIGHTS[int(others.mean(axis=1).argmax())]
        return weights


def _places_by_weight(question: Question, both: Both) -> list[Places]:
    """Where the answers stand under each of the weights; both lists are made once."""
    shape = (len(_WEIGHTS), len(question.answers))
    above, equal = np.zeros(shape, np.int32), np.zeros(shape, np.int32)
    for first, last in question.blocks():
        found, cosines = both(first, last)
        for i, weight in enumerate(_WEIGHTS):
            mixed = _mixed(weight, found, cosines)
            count_places(question, mixed, first, last, above[i], equal[i])
    query: NDArray[np.int32] = np.ascontiguousarray(question.answers[:, 0])
    return [
        Places(len(question.queries), query, above[i], equal[i], question.gain)
        for i in range(len(_WEIGHTS))
    ]


def _mixed(weight: F32 | np.float32, lexical: F32, cosines: F32) -> F32:
    mixed: F32 = weight * cosines + (1 - weight) * lexical
    return mixed
