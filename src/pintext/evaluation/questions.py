"""What is asked: queries, the candidates that compete, and which of them are right."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from pintext.arrays import F32, I32, I64
from pintext.compiled import compiled_allocating
from pintext.evaluation.metrics import Places
from pintext.text import split_column

__all__ = ["Question", "Scores", "count_places", "places_of", "retrieval_question"]

Scores = Callable[[int, int], F32]
"""Gives float32 (last - first, n_candidates), higher is better, of queries ``first``..``last - 1``;
the array is the caller's to change."""

_BLOCK_BYTES = 48 << 20
_SORTED_FROM = 96  # answers of one query from which sorting its scores beats counting


@dataclass(frozen=True)
class Question:
    """Some queries to one set of candidates. Lists of pairs hold (query, candidate) positions.

    Attributes:
        queries: texts.
        candidates: texts of what is ranked: the pins of a task, or the interests.
        popularity: int64, how often each candidate was right in what the models learned from.
        frequency: int64, how often each query occurs there; 0 for one never seen.
        answers: int32 (n, 2), what is right; ascending, distinct.
        gain: float64 (n,), how good each answer is; 1 where nothing is said.
        unlike: bool (n,), whether the two texts of an answer share no word.
        barred: int32 (m, 2), what does not compete for a query: its trained pairs and itself;
            ascending. No answer is barred.
    """

    queries: list[str]
    candidates: list[str]
    popularity: I64
    frequency: I64
    answers: I32
    gain: NDArray[np.float64]
    unlike: NDArray[np.bool_]
    barred: I32

    def blocks(self) -> Iterator[tuple[int, int]]:
        """Bounds of runs of queries whose scores fill some 48 MB."""
        step = max(1, _BLOCK_BYTES // (4 * max(1, len(self.candidates))))
        for first in range(0, len(self.queries), step):
            yield first, min(first + step, len(self.queries))

    def bar(self, scores: F32, first: int, last: int) -> None:
        """Set what does not compete to minus infinity."""
        low, high = np.searchsorted(self.barred[:, 0], [first, last])
        scores[self.barred[low:high, 0] - first, self.barred[low:high, 1]] = -np.inf


def places_of(question: Question, scores: Scores) -> Places:
    """Where each answer stands among all candidates that are not barred.

    The scores are looked at in blocks of queries, so memory does not grow with their number.
    """
    above = np.zeros(len(question.answers), np.int32)
    equal = np.zeros(len(question.answers), np.int32)
    for first, last in question.blocks():
        count_places(question, scores(first, last), first, last, above, equal)
    query = np.ascontiguousarray(question.answers[:, 0])
    return Places(len(question.queries), query, above, equal, question.gain)


def count_places(
    question: Question, scores: F32, first: int, last: int, above: I32, equal: I32
) -> None:
    """Write the places of the answers of queries ``first``..``last - 1``.

    Args:
        question: what is asked.
        scores: of these queries, ``(last - first, n_candidates)``; changed.
        first: the first query.
        last: one behind the last.
        above: for all answers of the question, as in :class:`Places`; a part is written.
        equal: likewise.
    """
    scores = np.ascontiguousarray(scores, np.float32)
    question.bar(scores, first, last)
    low, high = np.searchsorted(question.answers[:, 0], [first, last])
    _count(scores, first, question.answers[low:high], above[low:high], equal[low:high])


@compiled_allocating
def _count(scores: F32, first: int, answers: I32, above: I32, equal: I32) -> None:
    """Count, for each answer, the candidates of its query with a higher and with the same score."""
    i = 0
    while i < answers.shape[0]:
        row = scores[answers[i, 0] - first]
        j = i
        while j < answers.shape[0] and answers[j, 0] == answers[i, 0]:
            j += 1
        if j - i < _SORTED_FROM:
            for a in range(i, j):
                mine = row[answers[a, 1]]
                higher = same = 0
                for candidate in range(row.shape[0]):
                    higher += row[candidate] > mine
                    same += row[candidate] == mine
                above[a], equal[a] = higher, same
        else:
            ordered = np.sort(row)
            for a in range(i, j):
                mine = row[answers[a, 1]]
                end = np.searchsorted(ordered, mine, "right")
                above[a] = row.shape[0] - end
                equal[a] = end - np.searchsorted(ordered, mine, "left")
        i = j


def retrieval_question(
    known: pl.DataFrame, held_out: pl.DataFrame, max_queries: int, pins: pl.Series | None = None
) -> Question:
    """Held-out retrieval of one task: all its pins are ranked for each held-out query.

    Args:
        known: columns ``query``, ``pin``: the pairs that models may have learned from. They are
            barred, so nobody is asked for what was learned or blamed for returning it.
        held_out: columns ``query``, ``pin``, ``weight``: the weight is the answer's gain in nDCG.
            Pairs that are also known, and pins that equal their query, are left out.
        max_queries: more are sampled, the same ones every time.
        pins: further texts that compete, such as the rest of a catalogue.
    """
    held_out = (
        held_out.filter(pl.col("query") != pl.col("pin"))
        .group_by("query", "pin")
        .agg(pl.col("weight").max())
        .join(known, on=["query", "pin"], how="anti")
    )
    asked = held_out["query"].unique().sort()
    more = pl.Series("pin", [] if pins is None else pins, pl.String).drop_nulls()
    more = more.filter(more.str.strip_chars() != "")
    candidates = pl.concat([known["pin"], held_out["pin"], more]).unique().sort()
    if asked.len() > max_queries:
        asked = asked.sample(max_queries, seed=0).sort()
    queries = pl.DataFrame({"query": asked}).with_row_index("q")
    ranked = pl.DataFrame({"pin": candidates}).with_row_index("p")

    def positions(frame: pl.DataFrame, *more: str) -> pl.DataFrame:
        found = frame.join(queries, on="query").join(ranked, on="pin")
        return found.select("q", "p", *more).sort("q", "p")

    answers = positions(held_out, "weight")
    itself = queries.select("query", pin="query")
    barred = positions(pl.concat([known.select("query", "pin"), itself]).unique())
    return Question(
        queries=asked.to_list(),
        candidates=candidates.to_list(),
        popularity=_occurrences(ranked, known["pin"]),
        frequency=_occurrences(queries, known["query"]),
        answers=_pairs(answers),
        gain=answers["weight"].cast(pl.Float64).to_numpy(),
        unlike=sharing_no_word(asked, candidates, _pairs(answers)),
        barred=_pairs(barred),
    )


def sharing_no_word(queries: pl.Series, candidates: pl.Series, pairs: I32) -> NDArray[np.bool_]:
    """Whether the two texts of each pair have no word in common."""
    words = {"query": split_column(queries).gather(pairs[:, 0])}
    words["pin"] = split_column(candidates).gather(pairs[:, 1])
    shared = pl.DataFrame(words).select(
        pl.col("query").list.set_intersection("pin").list.len() == 0
    )
    apart: NDArray[Any] = shared.to_series().to_numpy()
    return apart.astype(np.bool_)


def _pairs(frame: pl.DataFrame) -> I32:
    return np.ascontiguousarray(frame.select("q", "p").to_numpy().astype(np.int32))


def _occurrences(texts: pl.DataFrame, column: pl.Series) -> I64:
    """How often each of the distinct ``texts`` occurs in a column of the same name."""
    counted = column.value_counts()
    joined = texts.join(counted, on=column.name, how="left", maintain_order="left")
    return joined["count"].fill_null(0).to_numpy().astype(np.int64)
