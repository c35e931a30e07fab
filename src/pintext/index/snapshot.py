"""One committed state of an index: the questions that can be asked of it."""

import math
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from functools import cached_property
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from pintext.arrays import F32, I64
from pintext.errors import DataError, IndexFormatError
from pintext.index.fields import Filters, field_query, filter_key
from pintext.index.manifest import Manifest
from pintext.index.rows import Rows
from pintext.index.terms import FOLDER, guarded, place
from pintext.tokens import Probes, TokenScheme

if TYPE_CHECKING:
    import tantivy

__all__ = ["EXACT_PINS", "Filtered", "Matches", "Snapshot", "WordCounts"]

EXACT_PINS = 20_000
"""Where a filter leaves no more pins than this, all of them are compared exactly."""

_FILTERS_KEPT = 64


class Matches(NamedTuple):
    """Pins that match words, the best first.

    Attributes:
        rows: int64, ``(n,)``.
        bm25: ``(n,)``.
    """

    rows: I64
    bm25: NDArray[np.float64]


class WordCounts(msgspec.Struct, frozen=True):
    """What BM25 knows of words.

    Attributes:
        pins: how many there are.
        holders: word -> how many of them hold it.
    """

    pins: int
    holders: dict[str, int]

    def idf(self, word: str) -> float:
        """How rare a word is, as Tantivy computes it."""
        held = self.holders.get(word, 0)
        return math.log(1 + (self.pins - held + 0.5) / (held + 0.5))


class Filtered(NamedTuple):
    """What a filter leaves.

    Attributes:
        query: for the inverted index; scores nothing.
        pins: how many.
        rows: all of them, where they are at most :data:`EXACT_PINS`.
    """

    query: "tantivy.Query"
    pins: int
    rows: I64 | None


class Snapshot:
    """A committed state. It never changes; any number of threads may ask at once.

    Args:
        manifest: of the index.
        folder: of the generation.
        terms: the inverted index, at the commit to show.
        scheme: of the tokens.
        commit: the number of the commit.
    """

    def __init__(
        self,
        manifest: Manifest,
        folder: Path,
        terms: "tantivy.Index",
        scheme: TokenScheme,
        commit: int,
    ) -> None:
        self.manifest = manifest
        self.folder = folder
        self._place = folder / FOLDER
        self.terms = terms
        self.scheme = scheme
        self.commit = commit
        self._schema = terms.schema
        self._searcher = terms.searcher()
        # After the inverted index: rows are on the disk before what points to them.
        self.rows = Rows(folder, manifest.dim, manifest.per_pin)
        self._filters: OrderedDict[bytes, Filtered] = OrderedDict()
        self._filters_lock = Lock()

    def __len__(self) -> int:
        return int(self._searcher.num_docs)

    # ------------------------------------------------------------------------ rows

    def row(self, pin_id: str) -> int:
        """The row of a pin.

        Raises:
            DataError: there is no such pin.
        """
        found = self._rows_of(self._id_query(pin_id), 1)
        if not len(found):
            raise DataError(f"no pin {pin_id!r} in the index")
        return int(found[0])

    def rows_of_ids(self, ids: Iterable[str]) -> I64:
        """The rows of those of some pins that are in the index, in the order of the ids."""
        found = [self._rows_of(self._id_query(pin_id), 1) for pin_id in ids]
        return np.concatenate(found) if found else np.zeros(0, np.int64)

    def __contains__(self, pin_id: str) -> bool:
        return len(self._rows_of(self._id_query(pin_id), 1)) > 0

    def document(self, pin_id: str) -> bytes:
        """The stored JSON of a pin.

        Raises:
            DataError: there is no such pin.
        """
        with guarded(self._place):
            hits = self._searcher.search(self._id_query(pin_id), 1, count=False).hits
            if not hits:
                raise DataError(f"no pin {pin_id!r} in the index")
            document: bytes = self._searcher.doc(hits[0][1])["document"][0]
        return document

    def all_documents(self, batch_rows: int) -> Iterator[tuple[I64, list[bytes]]]:
        """Rows and stored JSON of every pin, in the order of the rows."""
        from tantivy import FieldType, Order, Query

        start, stop = 0, len(self.rows)
        while start < stop:
            end = min(start + batch_rows, stop)
            query = Query.range_query(self._schema, "row", FieldType.Unsigned, start, end - 1)
            with guarded(self._place):
                hits = self._searcher.search(
                    query, batch_rows, count=False, order_by_field="row", order=Order.Asc
                ).hits
                rows = np.array([row for row, _ in hits], np.int64)
                yield rows, [self._searcher.doc(place)["document"][0] for _, place in hits]
            start = end

    @cached_property
    def all_rows(self) -> I64:
        """The rows of every pin, in their order."""
        from tantivy import Query

        if len(self) == len(self.rows):  # nothing was replaced, deleted or left behind
            return np.arange(len(self))
        return self._rows_of(Query.all_query(), len(self))

    def rows_of(self, filtered: Filtered) -> I64:
        """The rows of every pin that a filter leaves, in their order."""
        if filtered.rows is not None:
            return filtered.rows
        return self._rows_of(filtered.query, filtered.pins)

    def _id_query(self, pin_id: str) -> "tantivy.Query":
        from tantivy import Query

        return Query.term_query(self._schema, "id", pin_id, "basic")

    def _rows_of(self, query: "tantivy.Query", limit: int) -> I64:
        """The rows of the pins that match, in their order."""
        from tantivy import Order

        with guarded(self._place):
            hits = self._searcher.search(
                query, max(1, limit), count=False, order_by_field="row", order=Order.Asc
            ).hits
        return np.array([row for row, _ in hits], np.int64)

    def _best_rows(self, query: "tantivy.Query", limit: int) -> tuple[I64, list[float]]:
        """The rows of the pins that match best, and their scores."""
        with guarded(self._place):
            hits = self._searcher.search(query, limit, count=False).hits
        return self._rows_at([place for _, place in hits]), [score for score, _ in hits]

    def _rows_at(self, places: "list[tantivy.DocAddress]") -> I64:
        """The rows of documents, in their order."""
        with guarded(self._place):
            rows = self._searcher.fast_field_values("row", places)
        try:
            return np.array(rows, np.int64)
        except TypeError:
            raise IndexFormatError(f"{self._place}: damaged: a pin has no row") from None

    # ------------------------------------------------------------------------ asking

    def filtered(self, filters: Filters | None) -> Filtered | None:
        """What filters leave; ``None`` without filters. The latest are remembered.

        Raises:
            DataError: a filter names no field of the index, or a value is not of its kind.
        """
        key = filter_key(filters)
        if not key or filters is None:
            return None
        with self._filters_lock:
            if (found := self._filters.get(key)) is not None:
                self._filters.move_to_end(key)
                return found
        found = self._apply(filters)
        with self._filters_lock:
            self._filters[key] = found
            if len(self._filters) > _FILTERS_KEPT:
                self._filters.popitem(last=False)
        return found

    def _apply(self, filters: Filters) -> Filtered:
        from tantivy import Occur, Query

        parts = []
        for name, wanted in filters.items():
            number, field = self.manifest.columns.field(name)
            parts.append(field_query(self._schema, place(number), field, wanted))
        query = parts[0]
        if len(parts) > 1:
            query = Query.boolean_query([(Occur.Must, part) for part in parts])
        query = Query.const_score_query(query, 0.0)
        with guarded(self._place):
            result: Any = self._searcher.search(query, EXACT_PINS)  # the stubs lack its count
        pins = int(result.count)
        if pins > EXACT_PINS:
            return Filtered(query, pins, None)
        return Filtered(query, pins, np.sort(self._rows_at([place for _, place in result.hits])))

    def token_rows(self, probes: Probes, limit: int, filtered: Filtered | None) -> I64:
        """The rows of the pins that share the most promising tokens of one query.

        Args:
            probes: tokens and weights, ``(m,)``.
            limit: pins at most.
            filtered: what they must be among.
        """
        from tantivy import Occur, Query

        query = Query.boolean_query(
            [
                (
                    Occur.Should,
                    Query.const_score_query(
                        Query.term_query(self._schema, "token", token, "basic"), max(weight, 0.0)
                    ),
                )
                for token, weight in zip(
                    probes.tokens.tolist(), probes.weights.tolist(), strict=True
                )
            ]
        )
        return self._best_rows(_within(query, filtered), limit)[0]

    def word_counts(self, words: Iterable[str]) -> WordCounts:
        """How many pins there are and hold each of some words; of deleted ones as well."""
        with guarded(self._place):
            holders = {word: int(self._searcher.doc_freq("text", word)) for word in set(words)}
        return WordCounts(len(self), holders)

    def text_matches(
        self,
        words: list[str],
        limit: int,
        filtered: Filtered | None = None,
        counts: WordCounts | None = None,
    ) -> Matches:
        """The pins that match words best by BM25, equally good ones in the order of the rows.

        Args:
            words: as :func:`pintext.text.split` gives them; one that occurs twice counts twice.
            limit: pins at most.
            filtered: what they must be among.
            counts: of the words over more pins than these, to weigh them by.
        """
        if not words:
            return Matches(np.zeros(0, np.int64), np.zeros(0))
        rows, listed = self._best_rows(_within(self._word_query(words, counts), filtered), limit)
        scores = np.array(listed)
        order = np.lexsort((rows, -scores))
        return Matches(rows[order], scores[order])

    def bm25_of(
        self, words: list[str], ids: list[str], counts: WordCounts | None = None
    ) -> dict[int, float]:
        """Row -> BM25 of those of some pins that share a word with the query."""
        from tantivy import Occur, Query

        if not words or not ids:
            return {}
        among = Query.boolean_query([(Occur.Should, self._id_query(name)) for name in ids])
        query = Query.boolean_query(
            [
                (Occur.Must, self._word_query(words, counts)),
                (Occur.Must, Query.const_score_query(among, 0.0)),
            ]
        )
        rows, scores = self._best_rows(query, len(ids))
        return dict(zip(rows.tolist(), scores, strict=True))

    def _word_query(self, words: list[str], counts: WordCounts | None) -> "tantivy.Query":
        from tantivy import Occur, Query

        terms = [Query.term_query(self._schema, "text", word, "freq") for word in words]
        if counts is not None:
            own = self.word_counts(words)
            boosts = [counts.idf(word) / own.idf(word) for word in words]
            terms = list(map(Query.boost_query, terms, boosts))
        return Query.boolean_query([(Occur.Should, term) for term in terms])

    def similarities(self, rows: I64, unit: F32) -> F32:
        """The exact cosines of some pins with a unit vector."""
        return self.rows.similarities(rows, unit)


def _within(query: "tantivy.Query", filtered: Filtered | None) -> "tantivy.Query":
    from tantivy import Occur, Query

    if filtered is None:
        return query
    return Query.boolean_query([(Occur.Must, query), (Occur.Must, filtered.query)])
