"""Parts of a question that are looked at apart: what is easy on average may be hard in the tail."""

from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from pintext.evaluation.bootstrap import LEAST_QUERIES
from pintext.evaluation.questions import Question
from pintext.text import words_of
from pintext.vocabulary import Vocabulary

__all__ = ["ALL", "Slice", "slices_of", "unknown_share"]

Mask = NDArray[np.bool_]

ALL = "all"
_HEAD, _TORSO = 0.5, 0.8
_MOST_VALUES = 20


class Slice(NamedTuple):
    """Some queries, or some answers.

    Attributes:
        name: as tables show it.
        queries: bool (n_queries,), the queries that belong to it.
        answers: bool (n_answers,), the answers that belong to it; every other answer of the same
            queries is taken out of the ranking.
    """

    name: str
    queries: Mask
    answers: Mask


def slices_of(
    question: Question, vocabulary: Vocabulary | None = None, about: pl.DataFrame | None = None
) -> list[Slice]:
    """Every slice with at least 10 queries; the first one is everything.

    - ``no shared word``: answers that no lexical method can find.
    - ``head``, ``torso``, ``tail``: the queries seen in training, most frequent first; those that
      carry the first half of the asked queries' engagement, the next 30 %, the rest. ``unseen``:
      queries that nobody has learned from.
    - ``every word known``, ``some words unknown``, ``half or more unknown``: by the share of a
      query's running words without a row in ``vocabulary``.
    - ``COLUMN = value``: by each column of ``about`` beside ``query``, its 20 most frequent values.
    """
    every = np.ones(len(question.queries), np.bool_)
    masks = [(ALL, every)]
    if question.frequency.any():
        masks += _by_frequency(question.frequency)
    if vocabulary is not None:
        masks += _by_unknown_share(unknown_share(vocabulary, question.queries))
    if about is not None:
        masks += _by_columns(question.queries, about)
    query = question.answers[:, 0]
    made = [Slice(name, mask, mask[query]) for name, mask in masks]
    apart = np.bincount(query[question.unlike], minlength=len(every)) > 0
    made.insert(1, Slice("no shared word", apart, question.unlike))
    whole = len(every)
    return [
        part
        for part in made
        if part.name == ALL or (part.queries.sum() >= LEAST_QUERIES and not _is_all(part, whole))
    ]


def _is_all(part: Slice, n_queries: int) -> bool:
    return bool(part.queries.sum() == n_queries and part.answers.all())


def _by_frequency(frequency: NDArray[np.int64]) -> list[tuple[str, Mask]]:
    order = np.argsort(-frequency, kind="stable")
    before = np.empty(len(frequency))
    before[order] = np.cumsum(frequency[order]) - frequency[order]
    share, seen = before / frequency.sum(), frequency > 0
    return [
        ("head", seen & (share < _HEAD)),
        ("torso", seen & (share >= _HEAD) & (share < _TORSO)),
        ("tail", seen & (share >= _TORSO)),
        ("unseen", ~seen),
    ]


def _by_columns(queries: list[str], about: pl.DataFrame) -> list[tuple[str, Mask]]:
    asked = pl.DataFrame({"query": queries}, {"query": pl.String})
    told = about.unique("query", keep="first", maintain_order=True)
    found = asked.join(told, on="query", how="left", maintain_order="left").drop("query")
    masks = []
    for column in found.iter_columns():
        values = column.cast(pl.String)
        counts = (
            values.drop_nulls()
            .value_counts(name="n")
            .sort(["n", values.name], descending=[True, False])
        )
        for value in counts[values.name].head(_MOST_VALUES):
            same = (values == value).fill_null(value=False).to_numpy()
            masks.append((f"{column.name} = {value}", same))
    return masks


def unknown_share(vocabulary: Vocabulary, texts: list[str]) -> NDArray[np.float64]:
    """Share of each text's running words that have no row; 1 for a text without words."""
    column = pl.Series(texts, dtype=pl.String)
    known = np.diff(vocabulary.rows_of_column(column).offsets)
    words = np.diff(words_of(column).offsets)
    return 1 - np.divide(known, words, out=np.zeros(len(words)), where=words > 0)


def _by_unknown_share(share: NDArray[np.float64]) -> list[tuple[str, Mask]]:
    return [
        ("every word known", share == 0),
        ("some words unknown", (share > 0) & (share < 0.5)),
        ("half or more unknown", share >= 0.5),
    ]
