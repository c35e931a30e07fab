"""Texts to vectors on Spark: what :mod:`pintext.embed` does on one machine, done on many."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

import polars as pl

from pintext.embed import TextBatch, text_batches, write_vectors
from pintext.errors import DataError
from pintext.files import new_folder
from pintext.model import PinTextModel
from pintext.spark.parts import WRITTEN, part_name, parts_of, rows_written, written
from pintext.spark.session import read_parquet, ship_model, shipped_model
from pintext.spark.spans import Span, spans_of

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import DataFrame, SparkSession

__all__ = ["embed_dataframe", "embed_files"]

_BATCH_ROWS = 65_536
_ARROW_ROWS = "spark.sql.execution.arrow.maxRecordsPerBatch"


def embed_dataframe(
    frame: "DataFrame", model: str | Path, *, text_column: str = "text", id_column: str = "id"
) -> "DataFrame":
    """Add vectors to a Spark DataFrame, for whoever goes on in Spark or has a writer of their own.

    Args:
        frame: with a column of texts and one of ids.
        model: a model folder on the driver's machine.
        text_column: of the texts; null and texts without known words give the zero vector.
        id_column: copied.

    Returns:
        A lazy DataFrame ``id``, ``vector: array<float>`` of ``dim`` numbers each.

    Raises:
        DataError: a column is missing or holds no texts.
        ModelError: the folder is no model.
    """
    from pyspark.sql import types

    chosen = _chosen(frame, text_column, id_column)
    name = ship_model(chosen.sparkSession, model)
    vectors = types.ArrayType(types.FloatType(), containsNull=False)
    schema = types.StructType([chosen.schema["id"], types.StructField("vector", vectors)])
    return chosen.mapInArrow(partial(_vector_batches, name), schema)


def embed_files(
    session: "SparkSession",
    source: str | Path,
    model: str | Path,
    out: str | Path,
    *,
    text_column: str = "text",
    id_column: str = "id",
    dtype: Literal["float32", "float16"] = "float32",
    overwrite: bool = False,
) -> int:
    """Write the vectors of Parquet files of texts, one file for each task.

    Files that have paths are cut into spans of rows that the tasks read themselves, so no text
    goes through the JVM; the parts have the rows in the order of the files' names. What only Spark
    can read, on other file systems and in folders of folders, comes as Spark cuts it.

    Each task writes its file under a temporary name and renames it, and the folder gets its name
    when all are there. So a task that runs twice, an executor that dies and a job that is started
    again leave no row out and write none twice.

    Args:
        session: the Spark session.
        source: a Parquet file or folder, as Spark names it.
        model: a model folder on the driver's machine.
        out: the folder for ``part-00000.parquet`` and so on, on a file system that the driver and
            all executors see under this name. Each part is what :func:`pintext.embed.embed_file`
            writes.
        text_column: of the texts.
        id_column: of the ids; there must be one, since rows have no numbers in Spark.
        dtype: of the vectors.
        overwrite: replace a folder that this function wrote.

    Returns:
        The number of rows.

    Raises:
        DataError: the source cannot be read, a column is missing, the folder cannot be written or
            is not seen by the executors.
        ModelError: the model folder is no model.
    """
    out = Path(out).absolute()
    spans = spans_of(session, source, text_column, id_column)
    chosen = None if spans else _chosen(read_parquet(session, source), text_column, id_column)
    name = ship_model(session, model)
    with new_folder(out, DataError, parts_of(out), overwrite=overwrite) as made:
        task = _Task(name, str(made), dtype, text_column, id_column)
        if chosen is None:
            numbered = session.sparkContext.parallelize(list(enumerate(spans)), len(spans))
            return rows_written(numbered.map(partial(_embed_span, task)), made)
        with _large_batches(session):
            rows = rows_written(chosen.mapInArrow(partial(_write_part, task), WRITTEN), made)
        if not rows:
            ids = _ids(chosen.limit(0).toArrow().combine_chunks())
            nothing = TextBatch(ids, pl.Series(dtype=pl.String))
            empty = made / part_name(0)
            write_vectors(
                PinTextModel.from_pretrained(model), [nothing], ids.dtype, empty, dtype=dtype
            )
    return rows


@contextmanager
def _large_batches(session: "SparkSession") -> Iterator[None]:
    """Tasks get more rows at a time; the session is the caller's, so it is left as it was."""
    before = session.conf.get(_ARROW_ROWS)
    session.conf.set(_ARROW_ROWS, _BATCH_ROWS)
    try:
        yield
    finally:
        session.conf.set(_ARROW_ROWS, before)


def _chosen(frame: "DataFrame", text_column: str, id_column: str) -> "DataFrame":
    from pyspark.sql import functions, types

    for name in (text_column, id_column):
        if name not in frame.columns:
            raise DataError(
                f"no column {name!r}; columns found: {', '.join(map(repr, frame.columns[:20]))}"
            )
    kind = frame.schema[text_column].dataType
    if not isinstance(kind, types.StringType | types.NullType):
        raise DataError(f"column {text_column!r} is {kind.simpleString()}; expected texts")
    return frame.select(
        functions.col(id_column).alias("id"),
        functions.col(text_column).cast("string").alias("text"),
    )


# ------------------------------------------------------------------------------------ in a task


class _Task(NamedTuple):
    """What every task must know."""

    model: str
    folder: str
    dtype: Literal["float32", "float16"]
    text_column: str
    id_column: str


def _vector_batches(name: str, batches: "Iterator[pa.RecordBatch]") -> "Iterator[pa.RecordBatch]":
    import pyarrow as pa

    model = shipped_model(name)
    for batch in batches:
        vectors = model.encode(_texts(batch), threads=1)
        offsets = pa.array(range(0, vectors.size + 1, model.dim), pa.int32())
        lists = pa.ListArray.from_arrays(offsets, pa.array(vectors.reshape(-1)))
        yield pa.RecordBatch.from_arrays([batch.column(0), lists], ["id", "vector"])


def _embed_span(task: _Task, numbered: tuple[int, Span]) -> tuple[int, int]:
    """Write the file of a span; give its number and the number of its rows."""
    part, (file, start, count) = numbered
    batches = text_batches(
        file, task.text_column, task.id_column, batch_rows=_BATCH_ROWS, rows=(start, count)
    )
    return part, _write(task, part, next(batches), batches)


def _write_part(task: _Task, batches: "Iterator[pa.RecordBatch]") -> "Iterator[pa.RecordBatch]":
    """Write the file of this partition; give its number and the number of its rows."""
    from pyspark import TaskContext

    texts = (TextBatch(_ids(batch), _texts(batch)) for batch in batches)
    first = next(texts, None)
    context = TaskContext.get()
    if first is None or context is None:
        return
    part = context.partitionId()
    yield written(part, _write(task, part, first, texts))


def _write(task: _Task, part: int, first: TextBatch, others: Iterator[TextBatch]) -> int:
    return write_vectors(
        shipped_model(task.model),
        chain([first], others),
        first.ids.dtype,
        Path(task.folder) / part_name(part),
        dtype=task.dtype,
        overwrite=True,  # by another attempt at the same task
        threads=1,
    )


def _ids(batch: "pa.RecordBatch | pa.Table") -> pl.Series:
    ids = pl.from_arrow(batch.column(0))
    return ids.alias("id") if isinstance(ids, pl.Series) else ids.to_series()


def _texts(batch: "pa.RecordBatch") -> pl.Series:
    return pl.Series("text", batch.column(1), dtype=pl.String)
