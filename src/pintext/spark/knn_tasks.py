"""What tasks do for :mod:`pintext.spark.knn`: Arrow in, Arrow out."""

from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import polars as pl

from pintext.arrays import F32, I64
from pintext.embed import FINGERPRINT_KEY
from pintext.errors import DataError
from pintext.files import new_file
from pintext.knn.lists import nearest_of
from pintext.spark.meeting import Meeting, padded, who_goes
from pintext.spark.parts import part_name, written
from pintext.spark.session import shipped_model
from pintext.tokens import TokenScheme
from pintext.tokens.exact import Nearest
from pintext.tokens.inverted import InvertedLists
from pintext.tokens.kernels import normalized

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Side", "go", "meet", "unit_vectors", "write_neighbors"]


class Side(NamedTuple):
    """What tasks must know.

    Attributes:
        folder: of the tokens and of where they meet.
        probes: tokens that a query asks for, at most.
        dim: of the vectors.
        k: neighbours of a query.
    """

    folder: str
    probes: int
    dim: int
    k: int


def unit_vectors(name: str, batches: "Iterator[pa.RecordBatch]") -> "Iterator[pa.RecordBatch]":
    """``row``, ``id``, ``text`` to ``row``, ``id``, ``vector``."""
    import pyarrow as pa

    model = shipped_model(name)
    for batch in batches:
        texts = pl.Series("text", batch.column(2), dtype=pl.String)
        vectors = normalized(model.encode(texts, threads=1))
        columns = [batch.column(0), batch.column(1), _binary(vectors)]
        yield pa.RecordBatch.from_arrays(columns, ["row", "id", "vector"])


def go(side: Side, pins: bool, batches: "Iterator[pa.RecordBatch]") -> "Iterator[pa.RecordBatch]":
    """Send pins, or queries, to the tasks where they meet, with their places there."""
    import pyarrow as pa

    scheme, meeting = _scheme(side.folder), _meeting(side.folder)
    for batch in batches:
        vectors = _vectors(batch.column(2), side.dim)
        if pins:
            tokens = scheme.assign(vectors, threads=1)
        else:
            tokens = scheme.probe(vectors, side.probes).tokens
        numbers = batch.column(0).to_numpy()
        goes = who_goes(meeting, tokens, numbers, pins=pins)
        who = pa.array(goes.who)
        offsets = pa.array(np.concatenate([[0], goes.ends]).astype(np.int32))
        columns = [
            pa.array(goes.task),
            batch.column(0).take(who),
            batch.column(1).take(who),
            _binary(vectors[goes.who]),
            pa.ListArray.from_arrays(offsets, pa.array(goes.places.astype(np.int32))),
        ]
        yield pa.RecordBatch.from_arrays(columns, ["task", "row", "id", "vector", "places"])


def meet(side: Side, themselves: bool, pins: "pa.Table", queries: "pa.Table") -> "pa.Table":
    """The nearest pins of each query, of those that share a place of this task with it."""
    import pyarrow as pa

    pins = pins.sort_by("row").combine_chunks()
    queries = queries.combine_chunks()
    pin_rows, query_rows = (table["row"].to_numpy() for table in (pins, queries))
    shape = (len(query_rows), side.k)
    found = Nearest(np.full(shape, -1, np.int32), np.zeros(shape, np.float32))
    if len(pin_rows) and len(query_rows):
        sides = [_places(table) for table in (pins, queries)]
        first = min(int(places.min()) for _, places in sides)
        last = max(int(places.max()) for _, places in sides)
        carried, asked = (padded(ends, places, first) for ends, places in sides)
        own = np.full(len(query_rows), -1, np.int64)
        if themselves:
            at = np.minimum(np.searchsorted(pin_rows, query_rows), len(pin_rows) - 1)
            own = np.where(pin_rows[at] == query_rows, at, -1)
        vectors, units = (
            _vectors(table["vector"].combine_chunks(), side.dim) for table in (pins, queries)
        )
        lists = InvertedLists(carried, last - first + 1)
        nearest_of(lists, vectors, units, asked, own, found)
    query, _ = np.nonzero(found.rows >= 0)
    held = found.rows[found.rows >= 0]
    columns = {
        "query": pa.array(query_rows[query]),
        "id": queries["id"].take(pa.array(query)),
        "pin": pa.array(pin_rows[held]),
        "neighbor_id": pins["id"].take(pa.array(held)),
        "similarity": pa.array(found.similarities[found.rows >= 0]),
    }
    return pa.table(columns)


def write_neighbors(
    folder: str, fingerprint: str, batches: "Iterator[pa.RecordBatch]"
) -> "Iterator[pa.RecordBatch]":
    """Write the file of this partition; give its number and the number of its rows."""
    import pyarrow as pa
    from pyspark import TaskContext

    whole = [batch for batch in batches if batch.num_rows]
    context = TaskContext.get()
    if not whole or context is None:
        return
    part = context.partitionId()
    frame = pl.DataFrame(pl.from_arrow(pa.Table.from_batches(whole)))
    with new_file(Path(folder) / part_name(part), DataError, overwrite=True) as made:
        frame.write_parquet(made, compression="zstd", metadata={FINGERPRINT_KEY: fingerprint})
    yield written(part, frame.height)


@lru_cache(maxsize=2)
def _scheme(folder: str) -> TokenScheme:
    return TokenScheme.load(folder)


@lru_cache(maxsize=2)
def _meeting(folder: str) -> Meeting:
    return Meeting.load(Path(folder))


def _binary(vectors: F32) -> "pa.Array":
    """Each row as bytes."""
    import pyarrow as pa

    width = vectors.shape[1] * 4
    offsets = np.arange(0, (len(vectors) + 1) * width, width, dtype=np.int32)
    data = pa.py_buffer(np.ascontiguousarray(vectors))
    return pa.Array.from_buffers(pa.binary(), len(vectors), [None, pa.py_buffer(offsets), data])


def _vectors(column: "pa.Array", dim: int) -> F32:
    """Rows of bytes as a new matrix."""
    import pyarrow as pa

    rows = column.cast(pa.binary(4 * dim))
    start = rows.offset * dim
    flat = np.frombuffer(rows.buffers()[1], np.float32)[start : start + len(rows) * dim]
    return flat.reshape(-1, dim).copy()


def _places(table: "pa.Table") -> tuple[I64, I64]:
    """Where the places of each row end, and the places one behind the other."""
    column = table["places"].combine_chunks()
    ends = np.cumsum(column.value_lengths().to_numpy())
    return ends, column.flatten().to_numpy()
