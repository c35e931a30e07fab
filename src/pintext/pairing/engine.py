"""The engine of the joins: SQL over Parquet files, here in DuckDB within a limit of memory.

Another engine fills in the same few methods. The statements of catalogues, rules and summary are
written so that both understand them: no dialect beyond ``GROUP BY ALL``, ``FILTER`` and
``ANTI JOIN``.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, Any, TypeVar

from pintext.errors import DataError, MissingExtraError

if TYPE_CHECKING:
    import duckdb

__all__ = ["DuckDB", "Engine", "EngineMaker", "duckdb_engine"]

ROW_GROUP = 100_000
"""Rows of a Parquet row group: small enough for a reader to take in pieces."""

Item = TypeVar("Item")
Result = TypeVar("Result")


class Engine(ABC):
    """What was decided is in the SQL, not here.

    In a statement ``$name`` stands for the value of that name: a number, a text or a truth value.
    """

    @abstractmethod
    def rows(self, sql: str, **values: Any) -> list[tuple[Any, ...]]:
        """The rows of a query."""

    @abstractmethod
    def view(self, name: str, sql: str, **values: Any) -> None:
        """Let a query be known under a name, and computed where it is used."""

    @abstractmethod
    def table(self, name: str, sql: str, **values: Any) -> None:
        """Compute a query once and keep its rows under a name, in place of what was there."""

    @abstractmethod
    def files(self, name: str, files: Sequence[Path]) -> None:
        """Let the rows of Parquet files be known under a name."""

    @abstractmethod
    def write(self, sql: str, folder: Path, **values: Any) -> list[Path]:
        """Write the rows of a query, in their order, to the Parquet files of a new folder."""

    @abstractmethod
    def each(
        self, function: Callable[["DuckDB", Item], Result], items: Sequence[Item]
    ) -> Iterator[Result]:
        """The results of a function of every item, in order.

        The function gets a DuckDB on the machine that it is called on, and may be called twice for
        an item.
        """

    @abstractmethod
    def by_query(self, function: Callable[["DuckDB"], Sequence[str]]) -> None:
        """Let a function make tables of the files ``tally`` and of all that is known.

        It gives their names. No row of them may depend on rows of ``tally`` with another query: it
        may be called for some queries at a time, on any machine.
        """

    def filled(self, sql: str, values: dict[str, Any]) -> str:
        """A statement with its values in it."""
        return Template(sql).substitute({name: self._literal(v) for name, v in values.items()})

    def _literal(self, value: Any) -> str:
        if isinstance(value, bool | int):
            return str(value)
        if isinstance(value, float):
            return f"CAST('{value!r}' AS DOUBLE)"
        return self._quoted(value)

    @abstractmethod
    def _quoted(self, text: str) -> str:
        """A text as a literal."""


EngineMaker = Callable[[Path], AbstractContextManager[Engine]]
"""Makes an engine that keeps what it needs in between in a folder, which need not be there."""


class DuckDB(Engine):
    """A database in this process."""

    def __init__(self, connection: "duckdb.DuckDBPyConnection") -> None:
        self._connection = connection

    def rows(self, sql: str, **values: Any) -> list[tuple[Any, ...]]:
        """See :meth:`Engine.rows`; any statement."""
        return self._connection.execute(self.filled(sql, values)).fetchall()

    def view(self, name: str, sql: str, **values: Any) -> None:
        """See :meth:`Engine.view`."""
        self.rows(f"CREATE OR REPLACE TEMP VIEW {name} AS {sql}", **values)

    def table(self, name: str, sql: str, **values: Any) -> None:
        """See :meth:`Engine.table`."""
        self.rows(f"CREATE OR REPLACE TEMP TABLE {name} AS {sql}", **values)

    def drop(self, *tables: str) -> None:
        """Forget tables."""
        for name in tables:
            self.rows(f"DROP TABLE {name}")

    def files(self, name: str, files: Sequence[Path]) -> None:
        """See :meth:`Engine.files`."""
        paths = [str(file) for file in files]
        relation = self._connection.read_parquet(paths, hive_partitioning=False)
        relation.create_view(name, replace=True)

    def write(self, sql: str, folder: Path, **values: Any) -> list[Path]:
        """See :meth:`Engine.write`."""
        folder.mkdir(parents=True)
        path = folder / "part-0.parquet"
        self._connection.sql(self.filled(sql, values)).write_parquet(
            str(path), compression="zstd", row_group_size=ROW_GROUP
        )
        return [path]

    def write_by(self, column: str, sql: str, folder: Path, **values: Any) -> None:
        """Write the rows of a query to folders ``COLUMN=VALUE/`` of Parquet files, in any order."""
        self._connection.sql(self.filled(sql, values)).write_parquet(
            str(folder), compression="zstd", partition_by=[column], overwrite=True
        )

    def each(
        self, function: Callable[["DuckDB", Item], Result], items: Sequence[Item]
    ) -> Iterator[Result]:
        """See :meth:`Engine.each`."""
        return (function(self, item) for item in items)

    def by_query(self, function: Callable[["DuckDB"], Sequence[str]]) -> None:
        """See :meth:`Engine.by_query`."""
        function(self)

    def _quoted(self, text: str) -> str:
        return "'" + text.replace("'", "''") + "'"


@contextmanager
def duckdb_engine(spill: Path, *, memory_gb: float, threads: int) -> Iterator[DuckDB]:
    """DuckDB, whose temporary tables go to ``spill`` when they do not fit the memory.

    Raises:
        MissingExtraError: DuckDB is not installed.
        KeyboardInterrupt: Ctrl-C, also in the middle of a statement.
        DataError: memory or disk do not suffice, or a file cannot be read.
    """
    try:
        import duckdb
    except ModuleNotFoundError:
        raise MissingExtraError("duckdb", "pairs") from None
    settings: dict[str, Any] = {
        "memory_limit": f"{memory_gb:.3f}GB",
        "temp_directory": str(spill),
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
        "python_enable_replacements": False,
    }
    if threads:
        settings["threads"] = threads
    connection = duckdb.connect(config=settings)
    try:
        yield DuckDB(connection)
    except RuntimeError as error:  # what DuckDB makes of Ctrl-C at some moments
        if "interrupted" in str(error).lower():
            raise KeyboardInterrupt from None
        raise
    except duckdb.InterruptException:
        raise KeyboardInterrupt from None
    except duckdb.OutOfMemoryException as error:
        raise DataError(
            f"the pairs do not fit: {_first_line(error)}; give more memory (--memory-gb), fewer "
            f"threads, or a larger disk for {spill.parent}"
        ) from None
    except (duckdb.IOException, duckdb.InvalidInputException) as error:
        raise DataError(f"a file cannot be read or written: {_first_line(error)}") from None
    finally:
        connection.close()


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0]
