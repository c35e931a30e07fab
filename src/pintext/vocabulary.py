"""Words and their rows in the dictionary: looking up, and counting to build.

A vocabulary of a million words is a few flat arrays (:mod:`pintext.word_table`) that are made once,
saved, and mapped back into memory without building anything.
"""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any, NamedTuple, Self

import numpy as np
import polars as pl
from numpy.typing import NDArray

from pintext.arrays import I32, I64, U8
from pintext.compiled import compiled_allocating
from pintext.cores import available_cores
from pintext.errors import DataError, ModelFormatError
from pintext.text import (
    CLASSES,
    NO_LIMIT,
    Texts,
    as_column,
    normalize,
    pieces,
    split,
    words_of,
)
from pintext.text_kernels import word_bounds
from pintext.word_counter import MAX_WORDS, TokenRows, WordCounter, joined
from pintext.word_table import (
    NOT_FOUND,
    WordTable,
    check_table,
    empty_table,
    find_rows,
    frozen_table,
    insert_words,
    keep_known,
)

__all__ = ["Coverage", "TokenRows", "Vocabulary", "VocabularyBuilder"]


class Coverage(NamedTuple):
    """How much of some texts a vocabulary knows."""

    words: int
    """distinct words"""
    known_words: int
    """distinct words that have a row"""
    tokens: int
    """running words"""
    known_tokens: int
    """running words that have a row"""

    @property
    def word_coverage(self) -> float:
        """Share of the distinct words that have a row; 0.0 when there are no words."""
        return self.known_words / self.words if self.words else 0.0

    @property
    def token_coverage(self) -> float:
        """Share of the running words that have a row; 0.0 when there are no words."""
        return self.known_tokens / self.tokens if self.tokens else 0.0


class Vocabulary:
    """Which word has which row; immutable.

    Made by :class:`VocabularyBuilder`, :meth:`from_words` or :meth:`from_arrays`.

    Attributes:
        tasks: names of the tasks whose texts were counted, in the order of ``counts``.
        counts: running words of each task, shape ``(n_tasks, n_words)``, int64, read-only.
    """

    def __init__(self, table: WordTable, counts: I64, tasks: Sequence[str]) -> None:
        """For this module only; the arrays must be right and are not copied."""
        self.tasks = tuple(tasks)
        self.counts = counts.view()
        self.counts.flags.writeable = False
        self._table = frozen_table(table)

    @classmethod
    def from_words(
        cls, words: Sequence[str], counts: NDArray[Any] | None = None, tasks: Sequence[str] = ()
    ) -> Self:
        """A vocabulary of the given words; the first word has row 0.

        Args:
            words: distinct; only those that :func:`pintext.text.split` returns can occur in a text.
            counts: running words of each task, shape ``(n_tasks, n_words)``; zeros when left out.
            tasks: their names.

        Raises:
            DataError: a word is there twice or is not text, or ``counts`` has another shape.
        """
        if len(words) > MAX_WORDS:
            raise DataError(f"{len(words)} words are too many; at most {MAX_WORDS} have a row")
        encoded = [_encoded(word, index) for index, word in enumerate(words)]
        offsets = np.zeros(len(words) + 1, np.int64)
        np.cumsum(np.fromiter(map(len, encoded), np.int64, len(words)), out=offsets[1:])
        data = np.frombuffer(b"".join(encoded), np.uint8)
        table = empty_table(len(words), len(data))
        rows, n_words = insert_words(table, 0, data, np.repeat(offsets, 2)[1:-1])
        if n_words < len(words):
            twice = int(np.argmax(rows != np.arange(len(words))))
            raise DataError(
                f"word {twice} is {words[twice]!r}, which is also word {rows[twice]}; "
                "give every word once"
            )
        shape = (len(tasks), len(words))
        counts = np.zeros(shape, np.int64) if counts is None else np.asarray(counts)
        if counts.shape != shape:
            raise DataError(f"expected counts of the shape {shape}, found {counts.shape}")
        return cls(
            table._replace(word_offsets=offsets), np.array(counts, np.int64, order="C"), tasks
        )

    def __len__(self) -> int:
        return len(self._table.word_offsets) - 1

    def __repr__(self) -> str:
        return f"Vocabulary(words={len(self)}, tasks={self.tasks})"

    def __contains__(self, word: object) -> bool:
        return isinstance(word, str) and self.row(word) is not None

    def row(self, word: str) -> int | None:
        """The row of a word, written as :func:`pintext.text.split` returns it; ``None`` without."""
        try:
            data = np.frombuffer(word.encode(), np.uint8)
        except UnicodeEncodeError:
            return None
        row = int(find_rows(self._table, data, np.array([0, len(data)]))[0])
        return None if row == NOT_FOUND else row

    def word(self, row: int) -> str:
        """The word of a row.

        Raises:
            IndexError: there is no such row; negative rows do not count from the end.
        """
        if not 0 <= row < len(self):
            raise IndexError(f"row {row} of a vocabulary with {len(self)} words")
        start, stop = self._table.word_offsets[row : row + 2]
        return self._table.word_bytes[start:stop].tobytes().decode()

    def words(self) -> list[str]:
        """Every word, in the order of the rows."""
        return _decoded(self._table.word_bytes, self._table.word_offsets)

    def __iter__(self) -> Iterator[str]:
        return iter(self.words())

    def words_by_task(self) -> dict[str, NDArray[np.bool_]]:
        """For each task, which rows have words that occur in its texts, shape ``(n_words,)``."""
        return {task: self.counts[index] > 0 for index, task in enumerate(self.tasks)}

    def unknown_words(self, text: str) -> list[str]:
        """The words of a text that have no row, each once, in the order of the text."""
        return [word for word in dict.fromkeys(split(text)) if word not in self]

    def rows_of(self, text: str, max_tokens: int | None = None) -> I32:
        """The rows of one text's known words, in order, repeats included; shape ``(n,)``, int32.

        Args:
            text: any text.
            max_tokens: how many words, known or not, are read from the front; all when ``None``.
        """
        data = np.frombuffer(normalize(text).encode(), np.uint8)
        limit = NO_LIMIT if max_tokens is None else max_tokens
        rows: I32 = _rows_of(self._table, data, limit, CLASSES)
        return rows

    def rows_of_column(
        self, texts: Texts, max_tokens: int | None = None, *, threads: int = 0
    ) -> TokenRows:
        """:meth:`rows_of` for a column of texts; a null has no words.

        Args:
            texts: a Polars column or a sequence of texts.
            max_tokens: how many words, known or not, are read from the front of each text.
            threads: 0 means all cores; the result does not depend on it.

        Raises:
            DataError: something other than texts was given.
        """

        def rows_of_piece(piece: pl.Series) -> TokenRows:
            words = words_of(piece, NO_LIMIT if max_tokens is None else max_tokens)
            rows = find_rows(self._table, words.data, words.bounds)
            return TokenRows(*keep_known(rows, words.offsets))

        parts = list(pieces(as_column(texts)))
        if len(parts) < 2 or threads == 1:
            return joined([rows_of_piece(part) for part in parts])
        with ThreadPoolExecutor(threads or available_cores()) as pool:
            return joined(list(pool.map(rows_of_piece, parts)))

    def coverage(self, texts: Texts, max_tokens: int | None = None) -> Coverage:
        """How many of the words of some texts have a row."""
        counter = WordCounter(("texts",), NO_LIMIT if max_tokens is None else max_tokens)
        counter.add(0, texts)
        data, offsets, counts = counter.raw()
        known = find_rows(self._table, data, np.repeat(offsets, 2)[1:-1]) != NOT_FOUND
        return Coverage(
            words=len(known),
            known_words=int(known.sum()),
            tokens=int(counts.sum()),
            known_tokens=int(counts[0, known].sum()),
        )

    def arrays(self) -> dict[str, NDArray[Any]]:
        """What :meth:`from_arrays` wants back, with the tasks' names."""
        return {**self._table._asdict(), "counts": self.counts}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]], tasks: Sequence[str]) -> Self:
        """A vocabulary that stands on the given arrays, which may be memory-mapped.

        Everything is checked that could make a lookup read outside of the arrays or never end.

        Raises:
            ModelFormatError: an array is missing or damaged.
        """
        table = WordTable(
            _checked(arrays, "slots", np.uint64, 1),
            _checked(arrays, "word_bytes", np.uint8, 1),
            _checked(arrays, "word_offsets", np.int64, 1),
        )
        check_table(table)
        counts = _checked(arrays, "counts", np.int64, 2)
        shape = (len(tasks), len(table.word_offsets) - 1)
        if counts.shape != shape:
            raise ModelFormatError(
                f"vocabulary: counts have the shape {counts.shape}, expected {shape}"
            )
        if counts.size and counts.min() < 0:
            raise ModelFormatError("vocabulary: a count is negative")
        return cls(table, counts, tasks)


class VocabularyBuilder(WordCounter):
    """Counts the words of each task's texts; then the most frequent ones get a row."""

    def build(
        self, min_count: int, max_words: int, stop_words: Sequence[str] = ()
    ) -> tuple[Vocabulary, I32]:
        """Choose the words that get a row.

        Args:
            min_count: words met less often, over all tasks, are dropped.
            max_words: the most frequent words stay.
            stop_words: never get a row; they pass through the text rules first.

        Returns:
            The vocabulary, most frequent word first, equally frequent ones by their bytes; and the
            row of each number that ``add`` gave, -1 for dropped words, int32, ``(n_raw,)``.
        """
        data, offsets, counts = self.raw()
        words = pl.Series("word", _decoded(data, offsets), dtype=pl.String)
        stopped = [word for text in stop_words for word in split(text)]
        chosen = (
            pl.DataFrame([words, pl.Series("count", counts.sum(axis=0))])
            .with_row_index("number")
            .filter(pl.col("count") >= min_count, ~pl.col("word").is_in(stopped))
            .sort(["count", "word"], descending=[True, False])
            .head(max_words)
        )
        numbers = chosen["number"].to_numpy()
        row_of_raw = np.full(len(words), NOT_FOUND, np.int32)
        row_of_raw[numbers] = np.arange(len(numbers), dtype=np.int32)
        vocabulary = Vocabulary.from_words(chosen["word"].to_list(), counts[:, numbers], self.tasks)
        return vocabulary, row_of_raw


@compiled_allocating
def _rows_of(table: WordTable, data: U8, max_tokens: int, classes: U8) -> I32:
    """The rows of one normalised text's known words, in a single call from Python."""
    bounds, words = word_bounds(data, np.array([0, len(data)]), max_tokens, classes)
    return keep_known(find_rows(table, data, bounds), words)[0]


def _encoded(word: str, row: int) -> bytes:
    try:
        return word.encode()
    except (AttributeError, UnicodeEncodeError):
        raise DataError(f"word {row} is {word!a}, which is not text") from None


def _decoded(data: U8, offsets: I64) -> list[str]:
    whole = data.tobytes()
    return [whole[start:stop].decode() for start, stop in pairwise(offsets.tolist())]


def _checked(
    arrays: Mapping[str, NDArray[Any]], name: str, dtype: type[np.generic], ndim: int
) -> NDArray[Any]:
    """One array of a saved vocabulary, in the only type and shape that kernels are given."""
    array = arrays.get(name)
    if array is None:
        raise ModelFormatError(f"vocabulary: the array {name!r} is missing")
    if array.dtype != dtype or array.ndim != ndim:
        raise ModelFormatError(
            f"vocabulary: {name} is {array.dtype} with {array.ndim} axes, "
            f"expected {np.dtype(dtype)} with {ndim}"
        )
    return np.require(array, requirements=["C", "A"])
