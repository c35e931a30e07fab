"""One committed state of an index: the questions that can be asked of it."""

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np

from pintext.arrays import F32, I64
from pintext.errors import DataError, IndexFormatError
from pintext.index.by_words import WordSearch
from pintext.index.fields import Filters, field_query, filter_key
from pintext.index.filtered import EXACT_PINS, Filtered, within
from pintext.index.live import LiveRows
from pintext.index.manifest import Manifest
from pintext.index.rows import Rows
from pintext.index.terms import FOLDER, best_rows, guarded, place
from pintext.index.terms_view import TermsView
from pintext.index.token_lists import RowLists
from pintext.tokens import Probes, TokenScheme

if TYPE_CHECKING:
    import tantivy

__all__ = ["Snapshot"]

_FILTERS_KEPT = 64


class Snapshot:
    """A committed state. It never changes; any number of threads may ask at once.

    Args:
        manifest: of the index.
        folder: of the generation.
        terms: the inverted index, at the commit to show.
        scheme: of the tokens.
        commit: the number of the commit.
        live: the rows that count.
        before: an earlier state of the same generation, whose token lists are used again.

    Raises:
        IndexFormatError: a file of the rows is missing or damaged.

    Attributes:
        rows: what is known of pins by their rows.
        lists: the rows that carry each token.
        words: finds pins by their words.
    """

    def __init__(
        self,
        manifest: Manifest,
        folder: Path,
        terms: TermsView,
        scheme: TokenScheme,
        commit: int,
        live: LiveRows,
        before: "Snapshot | None" = None,
    ) -> None:
        self.manifest = manifest
        self.folder = folder
        self._place = folder / FOLDER
        self.terms = terms
        self.scheme = scheme
        self.commit = commit
        self._schema = terms.index.schema
        self._searcher = terms.index.searcher()
        self.live = live
        self.rows = Rows(folder, manifest.dim, manifest.per_pin, live.rows)
        if live.count != len(self) or live.row_sum != self._row_sum():
            raise IndexFormatError(
                f"{folder}: damaged: the rows that count (live-*.u64) are not those of the last "
                "commit; restore the folder or build the index again"
            )
        lists = before.lists if before else None
        self.lists: RowLists = RowLists(self.rows, live, scheme.n_tokens, lists)
        self.words = WordSearch(self._searcher, self._schema, self.rows)
        self._filters: OrderedDict[bytes, Filtered] = OrderedDict()
        self._filters_lock = Lock()

    def __len__(self) -> int:
        return int(self._searcher.num_docs)

    def _row_sum(self) -> int:
        """The sum of the numbers of the rows that pins are in."""
        from tantivy import Query

        asked: dict[str, Any] = {"rows": {"sum": {"field": "row"}}}
        with guarded(self._place):
            return int(self._searcher.aggregate(Query.all_query(), asked)["rows"]["value"] or 0)

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

    def rows_of_ids(self, ids: Sequence[str]) -> I64:
        """The rows of those of some pins that are in the index, in the order of the rows."""
        from tantivy import Query

        if not ids:
            return np.zeros(0, np.int64)
        return self._rows_of(Query.term_set_query(self._schema, "id", ids), len(ids))

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
        return np.flatnonzero(self.live.flags())

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
        from tantivy import Occur, Order, Query

        parts = []
        for name, wanted in filters.items():
            number, field = self.manifest.columns.field(name)
            parts.append(field_query(self._schema, place(number), field, wanted))
        query = parts[0]
        if len(parts) > 1:
            query = Query.boolean_query([(Occur.Must, part) for part in parts])
        query = Query.const_score_query(query, 0.0)
        with guarded(self._place):
            result: Any = self._searcher.search(  # the stubs lack its count
                query, EXACT_PINS, order_by_field="row", order=Order.Asc
            )
        pins = int(result.count)
        rows = None if pins > EXACT_PINS else np.array([row for row, _ in result.hits], np.int64)
        return Filtered(query, pins, rows)

    def token_rows(self, probes: Probes, limit: int, filtered: Filtered) -> I64:
        """The rows of the pins that share the most promising tokens of one query.

        Only for a filter: without one :attr:`lists` are quicker and need no limit.

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
        return best_rows(self._searcher, within(query, filtered), limit, self._place)[0]

    def similarities(self, rows: I64, unit: F32) -> F32:
        """The exact cosines of some pins with a unit vector."""
        return self.rows.similarities(rows, unit)
