"""From texts to vectors: the mean of the rows of a text's known words."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import polars as pl

from pintext.arrays import F32, I32, I64
from pintext.compiled import compiled
from pintext.cores import available_cores
from pintext.text import Texts, as_column, pieces
from pintext.vocabulary import Vocabulary

__all__ = ["encode_text", "encode_texts", "row_slices"]

_FEW = 64
"""So many texts are faster one by one than as a column."""


def encode_text(vocabulary: Vocabulary, embeddings: F32, text: str) -> F32:
    """The vector of one text, shape ``(dim,)``; zero where no word is known."""
    rows = vocabulary.rows_of(text)
    vectors = np.empty((1, embeddings.shape[1]), np.float32)
    _mean_rows(embeddings, rows, np.array([0, len(rows)]), vectors)
    vector: F32 = vectors[0]
    return vector


def encode_texts(vocabulary: Vocabulary, embeddings: F32, texts: Texts, threads: int = 0) -> F32:
    """The vectors of texts, shape ``(n, dim)``.

    The rows of a text are added in the order of its words, in float32, and divided by their number:
    the same bits for any number of threads, alone or among others.

    Args:
        vocabulary: ``n_words`` words.
        embeddings: their rows, contiguous float32, shape ``(n_words, dim)``.
        texts: a column or a sequence; a null has no words.
        threads: 0 means all cores.

    Raises:
        DataError: something other than texts was given.
    """
    dim = embeddings.shape[1]
    if isinstance(texts, list) and 0 < len(texts) <= _FEW:
        few = [encode_text(vocabulary, embeddings, t) for t in texts if isinstance(t, str)]
        if len(few) == len(texts):
            return np.stack(few)
    column = as_column(texts)
    vectors = np.empty((len(column), dim), np.float32)

    def fill(piece: pl.Series, part: F32) -> None:
        rows, offsets = vocabulary.rows_of_column(piece, threads=1)
        _mean_rows(embeddings, rows, offsets, part)

    parts, start = [], 0
    for piece in pieces(column):
        parts.append((piece, vectors[start : start + len(piece)]))
        start += len(piece)
    if len(parts) < 2 or threads == 1:
        for part in parts:
            fill(*part)
        return vectors
    with ThreadPoolExecutor(threads or available_cores()) as pool:
        for done in [pool.submit(fill, *part) for part in parts]:
            done.result()
    return vectors


def row_slices(n_rows: int, dim: int, n_bytes: int = 4 << 20) -> Iterator[slice]:
    """Consecutive slices of a float32 matrix that hold about ``n_bytes`` each."""
    step = max(1, n_bytes // (4 * dim))
    for start in range(0, n_rows, step):
        yield slice(start, min(start + step, n_rows))


@compiled
def _mean_rows(embeddings: F32, rows: I32, offsets: I64, vectors: F32) -> None:
    """Write the mean of ``embeddings[rows[offsets[i]:offsets[i + 1]]]`` to ``vectors[i]``.

    Four rows in a pass: a pass over the vector costs as much as a pass over a row.
    """
    dim = embeddings.shape[1]
    for text in range(len(offsets) - 1):
        start, stop = offsets[text], offsets[text + 1]
        for k in range(dim):
            vectors[text, k] = 0
        at = start
        while at + 4 <= stop:
            a, b, c, d = rows[at], rows[at + 1], rows[at + 2], rows[at + 3]
            for k in range(dim):
                total = (vectors[text, k] + embeddings[a, k]) + embeddings[b, k]
                vectors[text, k] = (total + embeddings[c, k]) + embeddings[d, k]
            at += 4
        while at < stop:
            a = rows[at]
            for k in range(dim):
                vectors[text, k] += embeddings[a, k]
            at += 1
        if stop > start + 1:
            count = np.float32(stop - start)
            for k in range(dim):
                vectors[text, k] /= count
