"""The engine of the joins of :mod:`pintext.pairing` on Spark: the same statements."""

import secrets
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, TypeVar

from pintext.errors import DataError
from pintext.pairing.engine import DuckDB, Engine, duckdb_engine
from pintext.spark.by_query import Division, Known, divide, make_tables
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
    "spark.sql.adaptive.autoBroadcastJoinThreshold": "32MB",
    # Of parts that are not larger, hash tables are made; sorting both sides would cost more.
    "spark.sql.adaptive.maxShuffledHashJoinLocalMapThreshold": "128MB",
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
        memory_gb: for DuckDB in a task.
    """

    def __init__(self, session: "SparkSession", folder: Path, memory_gb: float) -> None:
        self._session = session
        self._memory_gb = memory_gb
        self._folder = folder
        self._tables: dict[str, Path] = {}
        self._known = Known({}, {})

    def rows(self, sql: str, **values: Any) -> list[tuple[Any, ...]]:
        return [tuple(row) for row in self._frame(sql, values).collect()]

    def view(self, name: str, sql: str, **values: Any) -> None:
        self._frame(sql, values).createOrReplaceTempView(name)
        self._known.views[name] = (sql, values)

    def table(self, name: str, sql: str, **values: Any) -> None:
        frame = self._frame(sql, values)
        folder = self._folder / f"{name}-{secrets.token_hex(4)}"
        frame.write.parquet(file_uri(folder), compression="snappy")
        kept = self._session.read.schema(frame.schema).parquet(file_uri(folder, pattern=True))
        kept.createOrReplaceTempView(name)
        if old := self._tables.get(name):
            shutil.rmtree(old)
        self._tables[name] = folder
        self._known.files[name] = sorted(folder.glob("*.parquet"))

    def files(self, name: str, files: Sequence[Path]) -> None:
        paths = [file_uri(file, pattern=True) for file in files]
        self._session.read.parquet(*paths).createOrReplaceTempView(name)
        self._known.files[name] = files

    def write(self, sql: str, folder: Path, **values: Any) -> list[Path]:
        self._frame(sql, values).write.parquet(file_uri(folder))
        return _tidied(folder)

    def each(
        self, function: Callable[[DuckDB, Item], Result], items: Sequence[Item]
    ) -> Iterator[Result]:
        memory_gb = self._memory_gb

        def task(item: Item) -> Result:
            with (
                TemporaryDirectory(prefix="pintext-") as spill,
                duckdb_engine(Path(spill), memory_gb=memory_gb, threads=1) as engine,
            ):
                return function(engine, item)

        given = self._session.sparkContext.parallelize(items, max(1, len(items)))
        return iter(given.map(task).collect())

    def by_query(self, function: Callable[[DuckDB], Sequence[str]]) -> None:
        cores = self._session.sparkContext.defaultParallelism
        files = self._known.files["tally"]
        made = self._folder / f"by-query-{secrets.token_hex(4)}"
        division = Division.of(files, made / "tally", least=cores)
        batches = [files[first :: 4 * cores] for first in range(min(len(files), 4 * cores))]
        self.each(partial(divide, division), list(enumerate(batches)))
        task = partial(make_tables, division, self._known, function, made)
        names = set(chain.from_iterable(self.each(task, range(division.parts))))
        shutil.rmtree(division.folder)
        for name in names:
            self.files(name, sorted((made / name).glob("*.parquet")))

    def _quoted(self, text: str) -> str:
        return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"

    def _frame(self, sql: str, values: dict[str, Any]) -> "DataFrame":
        return self._session.sql(self.filled(sql, values))


@contextmanager
def spark_engine(session: "SparkSession", folder: Path, *, memory_gb: float) -> Iterator[Engine]:
    """Spark, which keeps tables in a folder that the driver and all executors see.

    Args:
        session: gives the cluster; its settings and views are left as they are.
        folder: for the tables.
        memory_gb: of each task that runs DuckDB on what is its own.

    Raises:
        DataError: a file cannot be read or written, or a job failed.
    """
    from py4j.protocol import Py4JJavaError
    from pyspark.errors import PySparkException

    own = own_session(session, _SETTINGS)
    try:
        yield _Spark(own, folder, memory_gb)
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
