"""A folder of Parquet parts that tasks on Spark write: each appears complete, and under one name.

A task that runs twice writes the same file; the folder gets its name when all parts are there.
"""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pintext.errors import DataError
from pintext.spark.session import said

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark import RDD
    from pyspark.sql import DataFrame

__all__ = ["WRITTEN", "part_name", "parts_of", "rows_written", "written"]

WRITTEN = "part int, rows long"
"""What a task that writes a part returns: :func:`written`."""


def part_name(part: int) -> str:
    """The name of a part; their order is that of the rows."""
    return f"part-{part:05d}.parquet"


def parts_of(folder: Path) -> frozenset[str]:
    """The names in a folder that are those of parts."""
    found = folder.iterdir() if folder.is_dir() else ()
    return frozenset(
        file.name for file in found if re.fullmatch(r"part-\d{5,}\.parquet", file.name)
    )


def written(part: int, rows: int) -> "pa.RecordBatch":
    """What a task returns of a part that it wrote."""
    import pyarrow as pa

    columns = {"part": pa.array([part], pa.int32()), "rows": pa.array([rows], pa.int64())}
    return pa.RecordBatch.from_pydict(columns)


def rows_written(tasks: "DataFrame | RDD[Any]", folder: Path) -> int:
    """Run tasks that write parts into a folder; return the number of rows.

    Args:
        tasks: a frame of :data:`WRITTEN`, or tuples of the same; what has no rows has no part.
        folder: seen by the driver and all executors.

    Raises:
        DataError: a task failed, or the executors do not see the folder.
    """
    from py4j.protocol import Py4JJavaError
    from pyspark.errors import PySparkException

    try:
        parts = [(part, rows) for part, rows in tasks.collect()]
    except (PySparkException, Py4JJavaError) as error:
        raise DataError(said(error)) from None
    missing = [part for part, _ in parts if not (folder / part_name(part)).exists()]
    if missing:
        raise DataError(
            f"{folder.parent}: executors wrote {len(parts)} parts, {len(missing)} of which are not "
            "here; name a folder on a file system that the driver and all executors share"
        )
    return sum(rows for _, rows in parts)
