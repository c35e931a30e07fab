"""Changing an index: upsert, delete, compaction. One process at a time; readers are never stopped.

A change is a commit of Tantivy, before which the rows that it points to are synced. Killed before
it, nothing has happened but that rows were appended to which nobody points. A compaction makes a
new generation beside the old one; the manifest that names it is replaced in one step.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import polars as pl

from pintext.arrays import I64
from pintext.errors import PinIndexError
from pintext.files import reason
from pintext.index.building import (
    Source,
    add_documents,
    append_rows,
    check_distinct,
    unit_vectors,
)
from pintext.index.live import LiveRows
from pintext.index.row_writer import RowWriter
from pintext.index.snapshot import Snapshot
from pintext.index.terms import FOLDER, commits_of, give_modes, remove_leftovers, writes
from pintext.model import PinTextModel
from pintext.tokens.scheme import FILE as TOKENS

if TYPE_CHECKING:
    import tantivy

__all__ = ["delete", "upsert"]

_HEAP_BYTES = 64 << 20


class _Change(NamedTuple):
    """A change in the making: writers of the inverted index and of the rows, and rows that die."""

    snapshot: Snapshot
    terms: "tantivy.IndexWriter"
    rows: RowWriter
    dead: list[I64]

    def remove(self, ids: Sequence[str]) -> None:
        """Take those of some pins that are there out of the index."""

        def remove() -> None:
            for name in ids:
                self.terms.delete_documents_by_term("id", name)

        self.dead.append(self.snapshot.rows_of_ids(ids))
        writes(remove, self.snapshot.folder)

    def live(self, first: int) -> LiveRows:
        """The rows that will count; those from ``first`` on were appended."""
        dead = np.concatenate([np.zeros(0, np.int64), *self.dead])
        return self.snapshot.live.after(dead, first, self.rows.next)


@contextmanager
def _change(snapshot: Snapshot) -> Iterator[_Change]:
    """Begin a change; it counts when the body has ended, and not at all if the body fails."""
    folder, manifest = snapshot.folder, snapshot.manifest
    try:
        remove_leftovers(folder / FOLDER)
    except OSError as error:
        raise PinIndexError(f"{folder}: cannot be written: {reason(error)}") from None
    if snapshot.terms.linked:
        raise PinIndexError(f"{folder / FOLDER}: cannot be written: Permission denied")
    terms: tantivy.IndexWriter = writes(snapshot.terms.index.writer, folder, _HEAP_BYTES, 1)
    try:
        with RowWriter(folder, manifest.dim, manifest.per_pin) as rows:
            first, making = rows.next, _Change(snapshot, terms, rows, [])
            yield making
            rows.sync()
            making.live(first).write(folder, commits_of(folder / FOLDER))
        writes(terms.commit, folder)
    except OSError as error:
        raise PinIndexError(f"{folder}: cannot be written: {reason(error)}") from None
    finally:
        # Lets go of Tantivy's lock; a writer that a traceback keeps alive would hold it.
        writes(terms.wait_merging_threads, folder)
        writes(give_modes, folder, folder / FOLDER, folder / TOKENS)


def upsert(snapshot: Snapshot, source: Source, model: PinTextModel) -> int:
    """Put pins into an index, in place of those with the same id; how many.

    Args:
        snapshot: the latest; the lock is held.
        source: the pins.
        model: of the index.

    Raises:
        DataError: the pins cannot be used; nothing has changed then.
        PinIndexError: the disk refuses; nothing has changed then.
    """
    ids: list[pl.Series] = []
    with _change(snapshot) as making:
        for batch in source.batches():
            ids.append(batch.ids)
            vectors = unit_vectors(model, batch.texts)
            lines = append_rows(batch, vectors, snapshot.scheme, making.rows)
            making.remove(batch.ids.to_list())
            add_documents(making.terms, snapshot.folder, lines)
        check_distinct(ids, source.name)
    return sum(map(len, ids))


def delete(snapshot: Snapshot, ids: Sequence[str]) -> None:
    """Take pins out of an index; ids that it does not have are passed over.

    Args:
        snapshot: the latest; the lock is held.
        ids: of the pins.

    Raises:
        PinIndexError: the disk refuses; nothing has changed then.
    """
    with _change(snapshot) as making:
        making.remove(ids)
