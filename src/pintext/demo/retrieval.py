"""Held-out retrieval, for the demo and the benchmarks: all pins of a task ranked for a query."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from pintext.arrays import F32, I32, I64
from pintext.errors import MissingExtraError
from pintext.text import split_column

__all__ = ["Question", "Recall", "questions", "unit_vectors"]

_CHUNK = 256  # queries ranked at a time
_AT = 10

Scores = Callable[[int, int], NDArray[np.floating[Any]]]
"""Gives the similarities (last - first, n_pins) of queries ``first``..``last - 1``."""


@dataclass(frozen=True)
class Recall:
    """Mean over queries of the share of their answers found among the first ten, in [0, 1].

    No query counts more than ten answers, so that 1 can be reached. ``without_shared_words`` looks
    only for the answers that share no word with their query, which no lexical method can find.
    """

    overall: float
    without_shared_words: float


@dataclass(frozen=True)
class Question:
    """One task's held-out queries, the pins to choose from, and which of them are right.

    Pairs are lists of (position of the query, position of the pin), ascending.

    Attributes:
        queries: texts.
        pins: texts of all candidates: every pin of the task.
        popularity: how often each candidate was engaged with in training.
        answers: int32 (n, 2) the held-out pairs.
        unlike: bool (n,) whether the two texts of an answer share no word.
        barred: int32 (m, 2) what may not be returned: trained pairs, and the query itself.
    """

    queries: list[str]
    pins: list[str]
    popularity: I64
    answers: I32
    unlike: NDArray[np.bool_]
    barred: I32

    def recall(self, scores: Scores) -> Recall:
        """Recall@10 of whatever gives scores; ties fall in the order of the pins' positions."""
        found = np.zeros(self.answers.shape[0], np.bool_)
        for first in range(0, len(self.queries), _CHUNK):
            last = min(first + _CHUNK, len(self.queries))
            ranked = np.array(scores(first, last), np.float32)
            low, high = np.searchsorted(self.barred[:, 0], [first, last])
            ranked[self.barred[low:high, 0] - first, self.barred[low:high, 1]] = -np.inf
            best = np.argsort(-ranked, axis=1, kind="stable")[:, :_AT]
            hit = np.zeros(ranked.shape, np.bool_)
            np.put_along_axis(hit, best, values=True, axis=1)
            low, high = np.searchsorted(self.answers[:, 0], [first, last])
            found[low:high] = hit[self.answers[low:high, 0] - first, self.answers[low:high, 1]]
        every = np.ones_like(self.unlike)
        return Recall(self._mean(found, every), self._mean(found, self.unlike))

    def _mean(self, found: NDArray[np.bool_], counted: NDArray[np.bool_]) -> float:
        query = self.answers[counted, 0]
        answers = np.bincount(query, minlength=len(self.queries))
        hits = np.bincount(query, found[counted], minlength=len(self.queries))
        asked = answers > 0
        return float((hits[asked] / np.minimum(answers[asked], _AT)).mean()) if asked.any() else 0.0

    def recall_of_encoder(self, encode: Callable[[list[str]], F32]) -> Recall:
        """Recall of vectors compared by cosine."""
        queries, pins = unit_vectors(encode(self.queries)), unit_vectors(encode(self.pins))
        return self.recall(lambda first, last: queries[first:last] @ pins.T)

    def recall_of_popularity(self) -> Recall:
        """Recall of giving everyone the pins that were engaged with most."""
        return self.recall(lambda first, last: np.tile(self.popularity, (last - first, 1)))

    def recall_of_bm25(self) -> Recall:
        """Recall of BM25 over the same words, by the package ``bm25s``.

        Raises:
            MissingExtraError: ``bm25s`` is not installed.
        """
        try:
            import bm25s
        except ImportError:
            raise MissingExtraError("bm25s", "demo") from None
        index = bm25s.BM25()
        index.index(_words(self.pins), show_progress=False)
        queries = _words(self.queries)
        return self.recall(
            lambda first, last: np.stack([index.get_scores(q) for q in queries[first:last]])
        )


def unit_vectors(vectors: F32) -> F32:
    """The rows divided by their lengths; a row of zeros stays."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    lengths[lengths == 0] = 1
    units: F32 = vectors / lengths
    return units


def _words(texts: Sequence[str]) -> list[list[str]]:
    words: list[list[str]] = split_column(pl.Series(texts, dtype=pl.String)).to_list()
    return words


def questions(pairs: pl.DataFrame, most_queries: int = 1_000) -> dict[str, Question]:
    """Make the question of each task that has held-out pairs.

    Args:
        pairs: columns ``task``, ``query``, ``pin`` and ``split``; ``test`` is held out, the rest is
            what was trained on.
        most_queries: queries a task; more are sampled, the same ones every time.
    """
    made = {}
    for task in pairs["task"].unique().sort():
        mine = pairs.filter(pl.col("task") == task)
        test = mine.filter(pl.col("split") == "test").select("query", "pin").unique()
        if not test.is_empty():
            made[task] = _question(mine.filter(pl.col("split") != "test"), test, most_queries)
    return made


def _question(train: pl.DataFrame, test: pl.DataFrame, most_queries: int) -> Question:
    candidates = pl.concat([train["pin"], test["pin"]]).unique().sort()
    asked = test["query"].unique().sort()
    if asked.len() > most_queries:
        asked = asked.sample(most_queries, seed=0).sort()
    queries = pl.DataFrame({"query": asked}).with_row_index("q")
    pins = pl.DataFrame({"pin": candidates}).with_row_index("p")
    counts = pins.join(train["pin"].value_counts(), on="pin", how="left", maintain_order="left")

    def positions(frame: pl.DataFrame) -> pl.DataFrame:
        return frame.join(queries, on="query").join(pins, on="pin").select("q", "p")

    itself = queries.select("query", pin="query")
    seen = pl.concat([train.select("query", "pin"), itself])
    answers = positions(test).sort("q", "p")
    words_of_queries, words_of_pins = split_column(asked), split_column(candidates)
    shared = pl.DataFrame(
        {
            "query": words_of_queries.gather(answers["q"]),
            "pin": words_of_pins.gather(answers["p"]),
        }
    ).select(pl.col("query").list.set_intersection("pin").list.len() > 0)
    return Question(
        queries=asked.to_list(),
        pins=candidates.to_list(),
        popularity=counts["count"].fill_null(0).to_numpy().astype(np.int64),
        answers=answers.to_numpy().astype(np.int32),
        unlike=~shared.to_series().to_numpy(),
        barred=positions(seen).unique().sort("q", "p").to_numpy().astype(np.int32),
    )
