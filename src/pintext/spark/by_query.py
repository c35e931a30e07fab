"""Statements of which no row depends on another query's, run by DuckDB in a task for some queries.

The tallies are divided by a hash of their query, which takes one pass. Then each task makes all the
tables of its part; they are written as files of a folder that all machines see, whole or not at
all, so a task that runs twice changes nothing.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import polars as pl

from pintext.pairing.engine import DuckDB
from pintext.pairing.folder import put_once
from pintext.spark.parts import part_name

__all__ = ["Division", "Known", "divide", "make_tables"]

_PART_ROWS = 4_000_000


class Known(NamedTuple):
    """What an engine knows by name.

    Attributes:
        files: Parquet.
        views: the statement of each and its values, in the order in which they were made.
    """

    files: dict[str, Sequence[Path]]
    views: dict[str, tuple[str, dict[str, Any]]]


class Division(NamedTuple):
    """The tallies of a task, divided by query.

    Attributes:
        folder: seen by all machines.
        parts: how many.
    """

    folder: Path
    parts: int

    @classmethod
    def of(cls, files: Sequence[Path], folder: Path, least: int) -> "Division":
        """Into ``least`` parts, or more where there are very many rows."""
        scan = pl.scan_parquet(list(files), glob=False, hive_partitioning=False)
        rows = int(scan.select(pl.len()).collect().item())
        return cls(folder, max(least, rows // _PART_ROWS))

    def files(self, part: int) -> list[Path]:
        """What falls to a part; none where there are few queries."""
        return sorted(self.folder.glob(f"*/part={part}/*.parquet"))


def divide(division: Division, engine: DuckDB, numbered: tuple[int, Sequence[Path]]) -> None:
    """In a task: divide some files."""
    number, files = numbered
    place = division.folder / f"{number}"
    engine.files("tally", files)
    division.folder.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=division.folder, prefix=".") as temporary:
        made = Path(temporary, "made")
        engine.write_by(
            "part", "SELECT *, hash(query) % $n AS part FROM tally", made, n=division.parts
        )
        put_once(made, place)


def make_tables(
    division: Division,
    known: Known,
    function: Callable[[DuckDB], Sequence[str]],
    made: Path,
    engine: DuckDB,
    part: int,
) -> Sequence[str]:
    """In a task: let a function make the tables of a part, and write each to ``made/NAME/``.

    Returns:
        The names of the tables; none where the part has no queries.
    """
    if not (files := division.files(part)):
        return ()
    for name, paths in known.files.items():
        engine.files(name, files if name == "tally" else paths)
    for name, (sql, values) in known.views.items():
        engine.view(name, sql, **values)
    tables = function(engine)
    with TemporaryDirectory(dir=division.folder, prefix=".") as temporary:
        for name in tables:
            (file,) = engine.write(f"SELECT * FROM {name}", Path(temporary, name))  # noqa: S608
            (made / name).mkdir(parents=True, exist_ok=True)
            file.replace(made / name / part_name(part))
    return tables
