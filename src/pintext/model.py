"""A vocabulary and its dictionary: encode texts, find near words, explain, save and load."""

from pathlib import Path
from typing import Any, Literal, NamedTuple, Self, overload

import numpy as np
from numpy.typing import NDArray

from pintext import model_folder, word_vectors
from pintext.arrays import F32, I64
from pintext.config import TrainConfig
from pintext.encoding import encode_text, encode_texts, row_slices
from pintext.errors import ConfigError, DataError, ModelError
from pintext.text import Texts, split
from pintext.vocabulary import Coverage, Vocabulary

__all__ = ["Contribution", "Explanation", "Neighbor", "PinTextModel"]

_F64 = NDArray[np.float64]


class Neighbor(NamedTuple):
    """A word near to something."""

    word: str
    similarity: float
    """cosine, from -1 to 1; higher is closer"""


class Contribution(NamedTuple):
    """What one word of the query and one word of the pin give to the cosine of the two texts."""

    query_word: str
    pin_word: str
    contribution: float


class Explanation(NamedTuple):
    """Why two texts are similar."""

    similarity: float
    """their cosine: the sum of the contributions"""
    contributions: list[Contribution]
    """every pair of known words, once however often they occur; the largest in size first"""


class PinTextModel:
    """The dictionary that training gives: one row for each word, shared by every task.

    Attributes:
        vocabulary: the words; row ``i`` of the embeddings is word ``i``.
        embeddings: float32, shape ``(n_words, dim)``, read-only, memory-mapped when loaded.
        config: the settings of the training; ``None`` when the rows were not trained by PinText.
        card: figures of the training, as JSON values.
    """

    def __init__(
        self,
        vocabulary: Vocabulary,
        embeddings: F32,
        *,
        config: TrainConfig | None = None,
        card: dict[str, Any] | None = None,
    ) -> None:
        """Join words and rows.

        Args:
            vocabulary: ``n`` words.
            embeddings: their rows, float32, shape ``(n, dim)``. Not copied: do not change it.
            config: the settings of the training.
            card: figures of the training.

        Raises:
            ModelError: the embeddings have the wrong type or shape.
        """
        if embeddings.dtype != np.float32 or embeddings.ndim != 2 or embeddings.shape[1] < 1:
            raise ModelError(
                f"embeddings are {embeddings.dtype} {embeddings.shape}; "
                "expected float32 (words, dim)"
            )
        if len(embeddings) != len(vocabulary):
            raise ModelError(
                f"{len(embeddings)} rows for {len(vocabulary)} words; expected as many"
            )
        rows = np.ascontiguousarray(embeddings).view()
        rows.flags.writeable = False
        self.vocabulary = vocabulary
        self.embeddings: F32 = rows
        self.config = config
        self.card: dict[str, Any] = card or {}
        self._fingerprint: str | None = None
        self._norms: F32 | None = None

    # ------------------------------------------------------------------------ coming and going

    @classmethod
    def from_pretrained(cls, folder: str | Path) -> Self:
        """Load a model folder; memory-mapped, so it takes milliseconds however large it is.

        Raises:
            ModelError: there is no such folder.
            ModelFormatError: the folder is foreign, damaged or from a newer version of PinText.
        """
        stored = model_folder.load(folder)
        model = cls(stored.vocabulary, stored.embeddings, config=stored.config, card=stored.card)
        model._fingerprint = stored.fingerprint
        return model

    def save_pretrained(self, folder: str | Path, *, overwrite: bool = False) -> None:
        """Write the model as a folder, which model2vec and sentence-transformers load as well.

        Args:
            folder: where to; it appears complete or not at all.
            overwrite: replace a model that is there.

        Raises:
            ModelError: the folder exists, cannot be written, or a row is not finite.
        """
        model_folder.save(
            folder,
            self.vocabulary,
            self.embeddings,
            config=self.config,
            card=self.card,
            overwrite=overwrite,
        )

    @classmethod
    def from_word2vec(cls, path: str | Path, words: word_vectors.WordSource | None = None) -> Self:
        """Make a model of word vectors that another program learned.

        Args:
            path: word2vec, fastText or GloVe text, with a first line or without, ``.gz`` too; or a
                ``.npy`` matrix.
            words: for ``.npy`` only: the words of the rows, or a file with them (one a line, or
                Parquet).

        Words go through the text rules. One that cannot occur in a text (as ``,`` or ``new_york``)
        is left out; of several that become the same word the first stays. ``card`` counts both.

        Raises:
            DataError: the file cannot be read or a line is wrong; the message names file and line.
        """
        found = word_vectors.read_word_vectors(path, words)
        return cls(Vocabulary.from_words(found.words), found.embeddings, card=found.card)

    def export(
        self,
        path: str | Path,
        format: Literal["word2vec", "projector"] = "word2vec",  # noqa: A002
        *,
        overwrite: bool = False,
    ) -> None:
        """Write the words and rows for other programs.

        Args:
            path: where to.
            format: ``word2vec``: the text format that gensim, fastText tools and spaCy read (packed
                when the name ends with ``.gz``); ``projector``: a folder with ``vectors.tsv`` and
                ``metadata.tsv`` for the TensorFlow Embedding Projector.
            overwrite: replace what is there.

        Raises:
            ConfigError: no such format.
            ModelError: the path exists or cannot be written.
        """
        writers = {
            "word2vec": word_vectors.write_word2vec,
            "projector": word_vectors.write_projector,
        }
        if format not in writers:
            raise ConfigError(f"format = {format!r}: expected {' or '.join(writers)}")
        writers[format](path, self.vocabulary.words(), self.embeddings, overwrite=overwrite)

    # ------------------------------------------------------------------------ what it holds

    @property
    def dim(self) -> int:
        """Length of a row."""
        return int(self.embeddings.shape[1])

    @property
    def fingerprint(self) -> str:
        """16 hexadecimal digits that name these words with these rows, on every machine."""
        if self._fingerprint is None:
            self._fingerprint = model_folder.fingerprint_of(self.vocabulary, self.embeddings)
        return self._fingerprint

    def __len__(self) -> int:
        return len(self.vocabulary)

    def __repr__(self) -> str:
        return f"PinTextModel({len(self):,} words, dim={self.dim})"

    def __contains__(self, word: object) -> bool:
        """Whether a word has a row; it may be written in any way, as ``Wood``."""
        return isinstance(word, str) and self._row(word) is not None

    def __getitem__(self, word: str) -> F32:
        """The row of a word, which may be written in any way; shape ``(dim,)``, read-only.

        Raises:
            KeyError: the word has no row, or is not a single word.
        """
        row = self._row(word)
        if row is None:
            raise KeyError(word)
        found: F32 = self.embeddings[row]
        return found

    def _row(self, word: str) -> int | None:
        words = split(word)
        return self.vocabulary.row(words[0]) if len(words) == 1 else None

    def coverage(self, texts: Texts) -> Coverage:
        """How many of the distinct and of the running words of some texts have a row."""
        return self.vocabulary.coverage([texts] if isinstance(texts, str) else texts)

    # ------------------------------------------------------------------------ what it does

    @overload
    def encode(self, texts: str, *, threads: int = ...) -> F32: ...

    @overload
    def encode(self, texts: Texts, *, threads: int = ...) -> F32: ...

    def encode(self, texts: str | Texts, *, threads: int = 0) -> F32:
        """Turn texts into vectors: the mean of the rows of the known words.

        Args:
            texts: one text, a sequence of texts, or a Polars column.
            threads: 0 means all cores; the result does not depend on it.

        Returns:
            float32: ``(dim,)`` for one text, ``(n, dim)`` for many, ``(0, dim)`` for none. A text
            without a known word, and a null, gives the zero vector.

        Raises:
            DataError: something other than texts was given.
        """
        if isinstance(texts, str):
            return encode_text(self.vocabulary, self.embeddings, texts)
        return encode_texts(self.vocabulary, self.embeddings, texts, threads)

    def similarity(self, a: str, b: str) -> float:
        """Cosine of two texts, from -1 to 1; 0.0 where one of them has no known word."""
        first, second = _unit(self.encode(a)), _unit(self.encode(b))
        return float(np.clip(first @ second, -1.0, 1.0))

    def most_similar(self, word_or_text: str, k: int = 10) -> list[Neighbor]:
        """The words nearest to a word or text, by comparing with every row.

        Args:
            word_or_text: its own words are not listed.
            k: how many words.

        Returns:
            The nearest first, equally near ones in the order of the rows. Empty where no word of
            the text is known.

        Raises:
            ConfigError: ``k`` is less than 1.
            DataError: something other than one text was given.
        """
        if k < 1:
            raise ConfigError(f"k = {k}: expected 1 or more")
        if not isinstance(word_or_text, str):
            raise DataError(f"expected one word or text, found a {type(word_or_text).__name__}")
        own = np.unique(self.vocabulary.rows_of(word_or_text))
        unit = _unit(self.encode(word_or_text))
        k = min(k, len(self) - len(own))
        if not unit.any() or k == 0:
            return []
        rough = self._rough_similarities(unit.astype(np.float32))
        rough[own] = -np.inf
        # float32 chooses, generously; float64 puts in order.
        bound = np.partition(rough, len(rough) - k)[len(rough) - k] - 1e-5
        rows = np.flatnonzero(rough >= bound)
        similarities = np.concatenate(
            [self._similarities(rows[part], unit) for part in row_slices(len(rows), self.dim)]
        )
        order = np.lexsort((rows, -similarities))[:k]
        return [Neighbor(self.vocabulary.word(int(rows[i])), float(similarities[i])) for i in order]

    def _rough_similarities(self, unit: F32) -> F32:
        if self._norms is None:
            self._norms = _norms(self.embeddings)
        result = np.empty(len(self), np.float32)
        for rows in row_slices(len(self), self.dim):
            np.matmul(self.embeddings[rows], unit, out=result[rows])
        result /= self._norms
        return result

    def _similarities(self, rows: I64, unit: _F64) -> _F64:
        table = self.embeddings[rows].astype(np.float64)
        lengths = np.linalg.norm(table, axis=1)
        lengths[lengths == 0] = 1
        similarities: _F64 = np.clip(table @ unit / lengths, -1.0, 1.0)
        return similarities

    def explain(self, query: str, pin: str) -> Explanation:
        """Take the cosine of two texts apart into what each pair of words gives to it.

        Exact, because a text is a mean of rows: for the rows ``D`` of the query's words ``i`` and
        the pin's words ``j``, ``cos = sum over i, j of D_i . D_j / (|sum D_i| |sum D_j|)``.

        Returns:
            No contributions and the similarity 0.0 where one of the texts has no known word.
        """
        query_rows, query_sums = self._weighted_rows(query)
        pin_rows, pin_sums = self._weighted_rows(pin)
        lengths = _length(query_sums.sum(axis=0)) * _length(pin_sums.sum(axis=0))
        if lengths == 0:
            return Explanation(0.0, [])
        parts = query_sums @ pin_sums.T / lengths
        query_words = [self.vocabulary.word(row) for row in query_rows]
        pin_words = [self.vocabulary.word(row) for row in pin_rows]
        contributions = []
        for place in np.argsort(-np.abs(parts), axis=None, kind="stable").tolist():
            i, j = divmod(place, len(pin_words))
            contributions.append(Contribution(query_words[i], pin_words[j], float(parts[i, j])))
        return Explanation(float(np.clip(parts.sum(), -1.0, 1.0)), contributions)

    def _weighted_rows(self, text: str) -> tuple[list[int], _F64]:
        """The distinct rows of a text in the order of the text, and each times its occurrences."""
        rows, first, counts = np.unique(
            self.vocabulary.rows_of(text), return_index=True, return_counts=True
        )
        order = np.argsort(first)
        rows, counts = rows[order], counts[order]
        return rows.tolist(), self.embeddings[rows].astype(np.float64) * counts[:, None]


def _length(vector: _F64) -> float:
    return float(np.linalg.norm(vector))


def _unit(vector: F32) -> _F64:
    """The vector with length 1, or zero as it is."""
    wide = vector.astype(np.float64)
    return wide / (_length(wide) or 1.0)


def _norms(embeddings: F32) -> F32:
    """The length of every row; 1 for a row of zeros, which is similar to nothing."""
    norms = np.empty(len(embeddings), np.float32)
    for rows in row_slices(*embeddings.shape):
        wide = embeddings[rows].astype(np.float64)
        norms[rows] = np.sqrt(np.einsum("ij,ij->i", wide, wide))
    norms[norms == 0] = 1
    return norms
