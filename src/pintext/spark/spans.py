"""Cutting Parquet files into spans of rows, each of which a task reads by itself."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

__all__ = ["Span", "spans_of"]

_LEAST_ROWS, _MOST_ROWS = 1 << 16, 1 << 20
_TASKS_OF_CORE = 4


class Span(NamedTuple):
    """Some rows of a file: whole row groups."""

    file: str
    start: int
    rows: int


def spans_of(
    session: "SparkSession", source: str | Path, text_column: str, id_column: str
) -> list[Span]:
    """The rows of Parquet files that have paths, in the order of the files' names.

    Args:
        session: decides whether a path is one of this machine's.
        source: a file, or a folder of files, as Spark names it.
        text_column: of texts; every file must have it.
        id_column: of ids, of the same type in every file.

    Returns:
        None at all where Spark has to read the source, or to say why it cannot be used: another
        file system, folders in folders, patterns, other columns, or nothing in it.
    """
    files = _files(session, str(source))
    groups, kinds = [], set()
    for file in files:
        if (found := _groups(file, text_column, id_column)) is None:
            return []
        kind, own = found
        kinds.add(kind)
        groups += own
    if len(kinds) > 1:
        return []
    total = sum(group.rows for group in groups)
    return _joined(groups, total, _tasks(total, session.sparkContext.defaultParallelism))


def _tasks(total: int, cores: int) -> int:
    """Tasks for so many rows: as many rounds of all cores as it takes, so that none waits long."""
    rounds = max(_TASKS_OF_CORE, -(-total // (_MOST_ROWS * cores)))
    return max(1, min(rounds * cores, total // _LEAST_ROWS))


def _files(session: "SparkSession", source: str) -> list[Path]:
    """The files that Spark would read; none where that is more than looking into a folder."""
    context: Any = session.sparkContext
    if not context._jsc.hadoopConfiguration().get("fs.defaultFS").startswith("file:"):
        return []
    path = Path(source)
    if path.is_file():
        return [path]
    if not path.is_dir():
        return []
    inside = sorted(file for file in path.iterdir() if not file.name.startswith((".", "_")))
    return inside if all(file.is_file() for file in inside) else []


def _groups(file: Path, text_column: str, id_column: str) -> tuple[Any, list[Span]] | None:
    """The type of the ids and the row groups of a file; None: Spark has to look at it."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(file) as opened:
            schema, metadata = opened.schema_arrow, opened.metadata
    except (OSError, pa.ArrowException):
        return None
    if id_column not in schema.names or text_column not in schema.names:
        return None
    kind = schema.field(text_column).type
    if not (pa.types.is_string(kind) or pa.types.is_large_string(kind)):
        return None
    spans, start = [], 0
    for number in range(metadata.num_row_groups):
        rows = metadata.row_group(number).num_rows
        spans.append(Span(str(file), start, rows))
        start += rows
    return schema.field(id_column).type, spans


def _joined(groups: Sequence[Span], total: int, tasks: int) -> list[Span]:
    """Row groups of a file that follow each other, together where the same task gets them.

    Each goes to the task in whose share of the rows its middle lies.
    """
    spans: list[Span] = []
    done, before = 0, -1
    for group in groups:
        task = (2 * done + group.rows) * tasks // (2 * total) if total else 0
        done += group.rows
        if not group.rows:
            continue
        if task == before and spans[-1].file == group.file:
            spans[-1] = spans[-1]._replace(rows=spans[-1].rows + group.rows)
        else:
            spans.append(group)
        before = task
    return spans
