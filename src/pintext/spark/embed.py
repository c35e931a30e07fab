"""Texts to vectors on Spark: what :mod:`pintext.embed` does on one machine, done on many."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

import polars as pl

from pintext.embed import TextBatch, write_vectors
from pintext.errors import DataError
from pintext.files import new_folder
from pintext.model import PinTextModel
from pintext.spark.parts import WRITTEN, part_name, parts_of, rows_written, written
from pintext.spark.session import read_parquet, ship_model, shipped_model

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import DataFrame, SparkSession

__all__ = ["embed_dataframe", "embed_files"]

_ARROW_ROWS = "65536"


def embed_dataframe(
    frame: "DataFrame", model: str | Path, *, column: str = "text", id_column: str = "id"
) -> "DataFrame":
    """Add vectors to a Spark DataFrame, for whoever goes on in Spark or has a writer of their own.

    Args:
        frame: with a column of texts and one of ids.
        model: a model folder on the driver's machine.
        column: of the texts; null and texts without known words give the zero vector.
        id_column: copied.

    Returns:
        A lazy DataFrame ``id``, ``vector: array<float>`` of ``dim`` numbers each.

    Raises:
        DataError: a column is missing or holds no texts.
        ModelError: the folder is no model.
    """
    from pyspark.sql import types

    chosen = _chosen(frame, column, id_column)
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
    column: str = "text",
    id_column: str = "id",
    dtype: Literal["float32", "float16"] = "float32",
    overwrite: bool = False,
) -> int:
    """Write the vectors of Parquet files of texts, one file for each partition of the input.

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
        column: of the texts.
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
    chosen = _chosen(read_parquet(session, source), column, id_column)
    name = ship_model(session, model)
    session.conf.set("spark.sql.execution.arrow.maxRecordsPerBatch", _ARROW_ROWS)
    with new_folder(out, DataError, parts_of(out), overwrite=overwrite) as made:
        task = partial(_write_part, _Task(name, str(made), dtype))
        rows = rows_written(chosen.mapInArrow(task, WRITTEN), made)
        if not rows:
            ids = _ids(chosen.limit(0).toArrow().combine_chunks())
            nothing = TextBatch(ids, pl.Series(dtype=pl.String))
            empty = made / part_name(0)
            write_vectors(
                PinTextModel.from_pretrained(model), [nothing], ids.dtype, empty, dtype=dtype
            )
    return rows


def _chosen(frame: "DataFrame", column: str, id_column: str) -> "DataFrame":
    from pyspark.sql import functions, types

    for name in (column, id_column):
        if name not in frame.columns:
            raise DataError(
                f"no column {name!r}; columns found: {', '.join(map(repr, frame.columns[:20]))}"
            )
    kind = frame.schema[column].dataType
    if not isinstance(kind, types.StringType | types.NullType):
        raise DataError(f"column {column!r} is {kind.simpleString()}; expected texts")
    return frame.select(
        functions.col(id_column).alias("id"), functions.col(column).cast("string").alias("text")
    )


# ------------------------------------------------------------------------------------ in a task


class _Task(NamedTuple):
    model: str
    folder: str
    dtype: Literal["float32", "float16"]


def _vector_batches(name: str, batches: "Iterator[pa.RecordBatch]") -> "Iterator[pa.RecordBatch]":
    import pyarrow as pa

    model = shipped_model(name)
    for batch in batches:
        vectors = model.encode(_texts(batch), threads=1)
        offsets = pa.array(range(0, vectors.size + 1, model.dim), pa.int32())
        lists = pa.ListArray.from_arrays(offsets, pa.array(vectors.reshape(-1)))
        yield pa.RecordBatch.from_arrays([batch.column(0), lists], ["id", "vector"])


def _write_part(task: _Task, batches: "Iterator[pa.RecordBatch]") -> "Iterator[pa.RecordBatch]":
    """Write the file of this partition; give its number and the number of its rows."""
    from pyspark import TaskContext

    context = TaskContext.get()
    first = next(batches, None)
    if first is None or context is None:
        return
    part = context.partitionId()

    def texts() -> Iterator[TextBatch]:
        yield TextBatch(_ids(first), _texts(first))
        for batch in batches:
            yield TextBatch(_ids(batch), _texts(batch))

    rows = write_vectors(
        shipped_model(task.model),
        texts(),
        _ids(first).dtype,
        Path(task.folder) / part_name(part),
        dtype=task.dtype,
        overwrite=True,  # by another attempt at the same task
        threads=1,
    )
    yield written(part, rows)


def _ids(batch: "pa.RecordBatch | pa.Table") -> pl.Series:
    ids = pl.from_arrow(batch.column(0))
    return ids.alias("id") if isinstance(ids, pl.Series) else ids.to_series()


def _texts(batch: "pa.RecordBatch") -> pl.Series:
    return pl.Series("text", batch.column(1), dtype=pl.String)
