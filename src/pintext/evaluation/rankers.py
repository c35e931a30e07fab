"""What can rank candidates for a query: floors, lexical methods, anything that gives vectors."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
import polars as pl

from pintext.arrays import F32
from pintext.errors import MissingExtraError
from pintext.evaluation.questions import Question, Scores
from pintext.text import split_column
from pintext.vocabulary import Vocabulary

__all__ = ["BM25", "Embedding", "Kind", "Popularity", "Random", "Ranker", "TfIdf", "unit_vectors"]

Kind = Literal["floor", "lexical", "pretrained", "unsupervised", "pintext", "fused"]
"""floor: knows no text; lexical: shared words; pretrained: learned elsewhere; unsupervised: learned
from the same texts without engagement; pintext: learned from engagement; fused: of two others."""

_GRID = np.float32(2**20)


class Ranker(ABC):
    """Something that gives every candidate a score for a query.

    Attributes:
        name: as tables show it.
        kind: what sort of thing it is.
    """

    name: str
    kind: Kind

    @abstractmethod
    def prepare(self, question: Question) -> Scores:
        """Take in the candidates; the result scores any run of the queries, higher is better.

        Raises:
            MissingExtraError: the library that does the work is not installed.
        """


class Random(Ranker):
    """Gives everything the same score: what is to be expected of guessing."""

    name, kind = "random", "floor"

    def prepare(self, question: Question) -> Scores:  # noqa: D102
        n = len(question.candidates)
        return lambda first, last: np.zeros((last - first, n), np.float32)


class Popularity(Ranker):
    """Gives everyone what was right most often."""

    name, kind = "popularity", "floor"

    def prepare(self, question: Question) -> Scores:  # noqa: D102
        popularity = question.popularity.astype(np.float32)
        return lambda first, last: np.tile(popularity, (last - first, 1))


class BM25(Ranker):
    """BM25 over the words of the text rules, by ``bm25s`` (k1 = 1.5, b = 0.75, Lucene's form).

    Robertson et al., "Okapi at TREC-3", 1994; Lu, "BM25S", 2024.
    """

    name, kind = "BM25", "lexical"

    def prepare(self, question: Question) -> Scores:  # noqa: D102
        try:
            import bm25s
        except ImportError:
            raise MissingExtraError("bm25s", "evaluate") from None
        candidates = words_of(question.candidates)
        if not any(candidates):
            return Random().prepare(question)
        index = bm25s.BM25()
        index.index(candidates, show_progress=False)
        known = index.vocab_dict
        queries = [[w for w in q if w in known] for q in words_of(question.queries)]
        n = len(candidates)

        def scores(first: int, last: int) -> F32:
            out = np.zeros((last - first, n), np.float32)
            for row, query in enumerate(queries[first:last]):
                if query:
                    out[row] = index.get_scores(query)
            return out

        return scores


class TfIdf(Ranker):
    """Cosine of TF-IDF vectors over the words of the text rules, by scikit-learn."""

    name, kind = "TF-IDF", "lexical"

    def prepare(self, question: Question) -> Scores:  # noqa: D102
        try:
            from sklearn.feature_extraction.text import TfidfVectorizer
        except ImportError:
            raise MissingExtraError("scikit-learn", "evaluate") from None
        candidates = words_of(question.candidates)
        if not any(candidates):
            return Random().prepare(question)
        vectorizer = TfidfVectorizer(analyzer=lambda words: words, dtype=np.float32)
        pins = vectorizer.fit_transform(candidates).T.tocsr()
        queries = vectorizer.transform(words_of(question.queries))

        def scores(first: int, last: int) -> F32:
            found: F32 = (queries[first:last] @ pins).toarray()
            return _rounded(found)

        return scores


class Embedding(Ranker):
    """Cosine of vectors.

    Cosines are compared after rounding to 2**-20: two texts with the same words in another order
    have the same vector up to the last bits, and those bits should not decide.
    """

    def __init__(
        self,
        name: str,
        kind: Kind,
        encode: Callable[[list[str]], F32],
        vocabulary: Vocabulary | None = None,
    ) -> None:
        """Name an encoder.

        Args:
            name: as tables show it.
            kind: where the vectors come from.
            encode: texts to float32 (n, dim); a zero vector is similar to nothing.
            vocabulary: the words that have a row, where the encoder is a dictionary.
        """
        self.name, self.kind = name, kind
        self.encode = encode
        self.vocabulary = vocabulary
        self._latest: tuple[Question, F32, F32] | None = None

    def vectors(self, question: Question) -> tuple[F32, F32]:
        """Unit vectors of the queries and the candidates; those of the latest question are kept."""
        if self._latest is None or self._latest[0] is not question:
            queries, candidates = (
                unit_vectors(self.encode(texts))
                for texts in (question.queries, question.candidates)
            )
            self._latest = (question, queries, candidates)
        return self._latest[1:]

    def prepare(self, question: Question) -> Scores:  # noqa: D102
        queries, candidates = self.vectors(question)
        return lambda first, last: _rounded(queries[first:last] @ candidates.T)


def unit_vectors(vectors: F32) -> F32:
    """The rows divided by their lengths; a row of zeros stays."""
    vectors = np.asarray(vectors, np.float32)
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    lengths[lengths == 0] = 1
    units: F32 = vectors / lengths
    return units


def words_of(texts: Sequence[str]) -> list[list[str]]:
    """The words of each text."""
    words: list[list[str]] = split_column(pl.Series(texts, dtype=pl.String)).to_list()
    return words


def _rounded(cosines: F32) -> F32:
    """The nearest multiples of 2**-20, in place."""
    np.multiply(cosines, _GRID, out=cosines)
    np.rint(cosines, out=cosines)
    return np.divide(cosines, _GRID, out=cosines)
