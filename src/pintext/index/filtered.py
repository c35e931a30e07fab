"""What a filter leaves of the pins."""

from typing import TYPE_CHECKING, NamedTuple

from pintext.arrays import I64

if TYPE_CHECKING:
    import tantivy

__all__ = ["EXACT_PINS", "Filtered", "within"]

EXACT_PINS = 20_000
"""Where a filter leaves no more pins than this, all of them are compared exactly."""


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


def within(query: "tantivy.Query", filtered: Filtered | None) -> "tantivy.Query":
    """The query among what the filter leaves."""
    from tantivy import Occur, Query

    if filtered is None:
        return query
    return Query.boolean_query([(Occur.Must, query), (Occur.Must, filtered.query)])
