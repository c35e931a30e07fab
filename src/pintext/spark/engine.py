"""The engine of the joins of :mod:`pintext.pairing` on Spark: the same statements."""

import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pintext.errors import DataError
from pintext.pairing.engine import Engine
from pintext.spark.parts import part_name
from pintext.spark.session import file_uri, own_session, said

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

__all__ = ["spark_engine"]

Item = TypeVar("Item")
Result = TypeVar("Result")

_SETTINGS = {
    # A row_number() that a cap follows keeps no more than the cap before anything is sent around,
    # so a query or pin that has very many rows costs no machine more than another.
    "spark.sql.optimizer.windowGroupLimitThreshold": str(2**31 - 2),
    "spark.sql.adaptive.enabled": "true",
    "spark.sql.adaptive.skewJoin.enabled": "true",
    "spark.sql.ansi.enabled": "true",
    "spark.sql.parquet.compression.codec": "zstd",
    "spark.sql.session.timeZone": "UTC",
}


class _Spark(Engine):
    """Tables are Parquet files in a folder that all machines see, so no dying executor takes one.

    Args:
        session: of its own, with nobody else's views.
        folder: for the tables.
    """

    batch_events = 1 << 62

    def __init__(self, session: "SparkSession", folder: Path) -> None:
        self._session = session
        self._folder = folder
        self._written = 0

    def rows(self, sql: str, **values: Any) -> list[tuple[Any, ...]]:
        return [tuple(row) for row in self._frame(sql, values).collect()]

    def view(self, name: str, sql: str, **values: Any) -> None:
        self._frame(sql, values).createOrReplaceTempView(name)

    def table(self, name: str, sql: str, **values: Any) -> None:
        frame = self._frame(sql, values)
        self._written += 1
        folder = self._folder / f"{name}-{self._written}"
        frame.write.parquet(file_uri(folder))
        kept = self._session.read.schema(frame.schema).parquet(file_uri(folder, pattern=True))
        kept.createOrReplaceTempView(name)

    def drop(self, *tables: str) -> None:
        for name in tables:
            self._session.catalog.dropTempView(name)
            for folder in self._folder.glob(f"{name}-*"):
                shutil.rmtree(folder)

    def files(self, name: str, files: Sequence[Path]) -> None:
        paths = [file_uri(file, pattern=True) for file in files]
        self._session.read.parquet(*paths).createOrReplaceTempView(name)

    def write(self, sql: str, folder: Path, **values: Any) -> list[Path]:
        self._frame(sql, values).write.parquet(file_uri(folder))
        return _tidied(folder)

    def write_by(self, column: str, sql: str, folder: Path, **values: Any) -> None:
        frame = self._frame(sql, values)
        frame.write.partitionBy(column).mode("overwrite").parquet(file_uri(folder))
        for inside in folder.glob(f"{column}=*"):
            _tidied(inside)

    def each(self, function: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
        given = list(items)
        context = self._session.sparkContext
        return list(context.parallelize(given, max(1, len(given))).map(function).collect())

    def _quoted(self, text: str) -> str:
        return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"

    def _frame(self, sql: str, values: dict[str, Any]) -> "DataFrame":
        return self._session.sql(self.filled(sql, values))


@contextmanager
def spark_engine(session: "SparkSession", folder: Path) -> Iterator[Engine]:
    """Spark, which keeps tables in a folder that the driver and all executors see.

    Args:
        session: gives the cluster; its settings and views are left as they are.
        folder: for the tables.

    Raises:
        DataError: a file cannot be read or written, or a job failed.
    """
    from py4j.protocol import Py4JJavaError
    from pyspark.errors import PySparkException

    own = own_session(session, _SETTINGS)
    try:
        yield _Spark(own, folder)
    except (PySparkException, Py4JJavaError) as error:
        raise DataError(said(error)) from None


def _tidied(folder: Path) -> list[Path]:
    """Give the Parquet files in a folder that Spark wrote plain names, in their order."""
    files = sorted(folder.glob("part-*.parquet"))
    named = [folder / part_name(number) for number in range(len(files))]
    for file, name in zip(files, named, strict=True):
        file.rename(name)
    for other in set(folder.iterdir()) - set(named):
        other.unlink()
    return named
