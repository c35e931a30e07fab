"""The engine of the joins: DuckDB, within a limit of memory, spilling to a folder of ours."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pintext.errors import DataError, MissingExtraError

if TYPE_CHECKING:
    import duckdb

__all__ = ["Engine", "engine"]

ROW_GROUP = 100_000
"""Rows of a Parquet row group: small enough for a reader to take in pieces."""


class Engine:
    """SQL over Parquet files and temporary tables; what was decided is in the SQL, not here.

    Args:
        connection: a database in memory.
    """

    def __init__(self, connection: "duckdb.DuckDBPyConnection") -> None:
        self._connection = connection

    def run(self, sql: str, **values: Any) -> list[tuple[Any, ...]]:
        """Run one statement; ``$name`` in it is the value of that name."""
        return self._connection.execute(sql, values or None).fetchall()

    def let(self, **values: Any) -> None:
        """Let ``getvariable('name')`` be a value, in views too."""
        for name, value in values.items():
            self.run(f"SET VARIABLE {name} = $value", value=value)

    def view(self, name: str, files: Sequence[Path]) -> None:
        """Let the rows of Parquet files be known under a name."""
        paths = [str(file) for file in files]
        relation = self._connection.read_parquet(paths, hive_partitioning=False)
        relation.create_view(name, replace=True)

    def write(self, sql: str, path: Path) -> None:
        """Write the rows of a query, in their order, to one Parquet file."""
        self._connection.sql(sql).write_parquet(
            str(path), compression="zstd", row_group_size=ROW_GROUP
        )

    def write_by(self, column: str, sql: str, folder: Path) -> None:
        """Write the rows of a query to folders ``COLUMN=VALUE/`` of Parquet files, in any order."""
        self._connection.sql(sql).write_parquet(
            str(folder), compression="zstd", partition_by=[column], overwrite=True
        )


@contextmanager
def engine(spill: Path, *, memory_gb: float, threads: int) -> Iterator[Engine]:
    """An engine whose temporary tables go to ``spill`` when they do not fit the memory.

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
        yield Engine(connection)
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
