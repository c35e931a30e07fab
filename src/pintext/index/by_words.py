"""Finding the pins that match words best: Tantivy proposes, :mod:`pintext.index.bm25` scores."""

from collections.abc import Iterable
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import numpy as np

from pintext.arrays import F32, I64
from pintext.index.bm25 import WordCounts, idf
from pintext.index.filtered import Filtered, within
from pintext.index.rows import Rows
from pintext.index.terms import FOLDER, best_rows, guarded

if TYPE_CHECKING:
    import tantivy

__all__ = ["Matches", "WordSearch"]

_LEAST_ASKED = 64
_MOST_ASKED = 20_000  # where more pins are equally good, which of them count is chance
_ROUNDED = 1 + 1e-4  # more than Tantivy's sums of float32 are off
_WORDS_KEPT = 100_000


class Matches(NamedTuple):
    """Pins that match words.

    Attributes:
        rows: int64, ``(n,)``.
        bm25: ``(n,)``.
    """

    rows: I64
    bm25: F32


class _Statistics(NamedTuple):
    """What Tantivy weighs words by: counts of deleted pins as well, of this index alone.

    Attributes:
        pins: how many.
        mean_length: words in a text on average.
    """

    pins: int
    mean_length: float


class WordSearch:
    """The words of one committed state.

    Args:
        searcher: of that state.
        schema: of the inverted index.
        rows: of the pins.
    """

    def __init__(self, searcher: "tantivy.Searcher", schema: "tantivy.Schema", rows: Rows) -> None:
        self._searcher = searcher
        self._schema = schema
        self._rows = rows
        self._place = rows.folder / FOLDER
        self._holders: dict[str, int] = {}
        self._statistics: _Statistics | None = None

    def counts(self, words: Iterable[str]) -> WordCounts:
        """How many pins there are, how long their texts, and how many hold each of some words."""
        with guarded(self._place):
            held = {word: self._held(word) for word in set(words)}
        return WordCounts(int(self._searcher.num_docs), self._length, held)

    @cached_property
    def _length(self) -> int:
        """Words of all pins together."""
        from tantivy import Query

        asked: dict[str, Any] = {"length": {"sum": {"field": "length"}}}
        with guarded(self._place):
            found = self._searcher.aggregate(Query.all_query(), asked)
        return int(found["length"]["value"] or 0)

    def _held(self, word: str) -> int:
        if self._searcher.num_docs == len(self._rows):  # nothing was replaced or deleted
            return int(self._searcher.doc_freq("text", word))
        if (held := self._holders.get(word)) is None:
            result: Any = self._searcher.search(self._query([word]), 1)  # the stubs lack its count
            held = int(result.count)
            if len(self._holders) < _WORDS_KEPT:
                self._holders[word] = held
        return held

    def matches(
        self,
        words: list[str],
        limit: int,
        filtered: Filtered | None = None,
        counts: WordCounts | None = None,
    ) -> Matches:
        """The pins that match words best by BM25, and all that are as good as the last of them.

        Tantivy is asked for more until none that it leaves out can be as good.

        Args:
            words: as :func:`pintext.text.split` gives them; one that occurs twice counts twice.
            limit: pins, not counting those that are as good as the last.
            filtered: what they must be among.
            counts: of the words over more pins than these, to weigh them by.
        """
        if (statistics := self._known_statistics(words)) is None:
            return Matches(np.zeros(0, np.int64), np.zeros(0, np.float32))
        counts = counts or self.counts(words)
        query = within(self._query(words, self._boosts(words, counts, statistics)), filtered)
        # Where the average is higher than Tantivy knows, texts are shorter than it thinks.
        above = max(1.0, counts.mean_length / statistics.mean_length) * _ROUNDED
        asked = max(2 * limit, _LEAST_ASKED)
        while True:
            rows, scores = best_rows(self._searcher, query, asked, self._place)
            bm25 = self._rows.bm25(rows, words, counts)
            if len(rows) <= limit:
                return Matches(rows, bm25)
            least = np.partition(bm25, -limit)[-limit]
            if len(rows) < asked or scores[-1] * above < least or asked >= _MOST_ASKED:
                return Matches(rows[bm25 >= least], bm25[bm25 >= least])
            asked *= 4

    def bm25(self, rows: I64, words: list[str], counts: WordCounts | None = None) -> F32:
        """The BM25 of some pins, weighed as by :meth:`matches`; 0 without a shared word."""
        return self._rows.bm25(rows, words, counts or self.counts(words))

    def _known_statistics(self, words: list[str]) -> _Statistics | None:
        """What Tantivy weighs words by, from its explanation of a score; ``None``: no pin has any.

        It is not to be had otherwise.
        """
        if not words or self._statistics is not None:
            return self._statistics if words else None
        query = self._query(words)
        with guarded(self._place):
            hits = self._searcher.search(query, 1, count=False).hits
            if not hits:
                return None
            said = _values(msgspec.json.decode(query.explain(self._searcher, hits[0][1]).to_json()))
        self._statistics = _Statistics(
            int(said["N, total number of docs"]), said["avgdl, average length of field"]
        )
        return self._statistics

    def _boosts(self, words: list[str], counts: WordCounts, statistics: _Statistics) -> list[float]:
        """How much more a word weighs by the counts than Tantivy weighs it."""
        with guarded(self._place):
            held = [int(self._searcher.doc_freq("text", word)) for word in words]
        return [
            counts.idf(word) / idf(statistics.pins, holders)
            for word, holders in zip(words, held, strict=True)
        ]

    def _query(self, words: list[str], boosts: list[float] | None = None) -> "tantivy.Query":
        """Pins that hold one of the words."""
        from tantivy import Occur, Query

        terms = [Query.term_query(self._schema, "text", word, "freq") for word in words]
        if boosts is not None:
            terms = list(map(Query.boost_query, terms, boosts))
        return Query.boolean_query([(Occur.Should, term) for term in terms])


def _values(explanation: dict[str, Any]) -> dict[str, float]:
    """What an explanation of Tantivy names, at whatever depth."""
    values = {explanation["description"]: explanation["value"]}
    for detail in explanation.get("details", ()):
        values |= _values(detail)
    return values
