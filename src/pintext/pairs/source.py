"""Positive pairs ``<query, pin>`` of any number of tasks, read from a dataset on disk.

A dataset is a folder with one folder per task (``task=search/part-0.parquet``), a folder of files
that have a column ``task``, or one such file. Files may be Parquet, CSV, TSV or JSON lines, the
text ones gzipped. Columns: ``query`` and ``pin`` (texts); optional ``weight`` (a number above 0; 1
where it is missing) and ``split`` (``train``, ``validation``, ``test``). Other columns are left
alone.

A row that cannot be used is never fatal: it is counted by reason, with examples, in the
:class:`PairReport`. A file that cannot be used raises :class:`~pintext.errors.DataError`.
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

from pintext.blocks import Reject
from pintext.errors import DataError
from pintext.files import reason
from pintext.pairs.files import COLUMNS, pieces
from pintext.pairs.folder import find_files
from pintext.pairs.rows import blank, by_task, judge, what

__all__ = ["PairBatch", "PairReport", "PairSource"]

_EXAMPLES = 3


class PairBatch(NamedTuple):
    """Some positive pairs of one task.

    Attributes:
        task: the task's name.
        frame: ``query`` and ``pin`` (String, not blank), ``weight`` (Float32, finite, above 0),
            ``split`` (String; null where the data does not say).
    """

    task: str
    frame: pl.DataFrame


@dataclass
class PairReport:
    """What became of the rows: ``rows == used + sum(rejected.values())``.

    Attributes:
        rows: rows seen, not counting rows of tasks that were not asked for.
        used: rows handed on.
        rejected: reason -> rows.
        examples: reason -> up to three of them, each ``file:row: what``. Rows of a Parquet file
            count from 1; of a text file it is the line.
    """

    rows: int = 0
    used: int = 0
    rejected: dict[str, int] = field(default_factory=dict)
    examples: dict[str, list[str]] = field(default_factory=dict)

    def reject(self, why: str, count: int, examples: Iterable[str]) -> None:
        """Count rows that are refused for one reason."""
        self.rows += count
        self.rejected[why] = self.rejected.get(why, 0) + count
        shown = self.examples.setdefault(why, [])
        shown.extend(list(examples)[: _EXAMPLES - len(shown)])

    def summary(self) -> str:
        """One line: how many rows were used, how many not and why, with an example of each."""
        text = f"{self.used:,} of {self.rows:,} rows used"
        for why, count in sorted(self.rejected.items()):
            text += f"; {count:,} rejected as {why} (as in {self.examples[why][0]})"
        return text

    def to_dict(self) -> dict[str, Any]:
        """The figures as plain JSON values."""
        return asdict(self)


class PairSource:
    """The positive pairs of a dataset, read lazily and in bounded memory.

    Args:
        path: a folder or a file, as the module describes.
        tasks: the tasks to read; all where not given.

    Attributes:
        report: what became of the rows in the latest reading (:meth:`batches`); complete when the
            iterator is exhausted.

    Raises:
        DataError: nothing is there, no file has a name that can hold pairs, a folder ``task=`` has
            no name, or a task that was asked for does not occur.
    """

    def __init__(self, path: str | Path, *, tasks: Sequence[str] | None = None) -> None:
        if not isinstance(path, str | Path):
            raise DataError(
                f"expected the path of a file or folder of pairs, found a {type(path).__name__}; "
                "write_pairs makes such a folder of a data frame"
            )
        self.path = Path(path)
        self.report = PairReport()
        self._files = find_files(self.path)
        self._tasks = None if tasks is None else frozenset(tasks)
        if self._tasks is not None:
            present = self._present
            if missing := sorted(self._tasks - set(present)):
                raise DataError(
                    f"{self.path}: no task {', '.join(map(repr, missing))}; "
                    f"tasks found: {', '.join(map(repr, present)) or 'none'}"
                )

    @property
    def tasks(self) -> tuple[str, ...]:
        """The tasks to be read, sorted.

        Known from folder names at no cost; otherwise the files' column ``task`` is read once.
        """
        return self._present if self._tasks is None else tuple(sorted(self._tasks))

    @cached_property
    def fingerprint(self) -> str:
        """16 hexadecimal digits that depend on the tasks, the files' names and their bytes alone.

        Every file is read to the end once (about 1 GB a second).
        """
        chosen = None if self._tasks is None else sorted(self._tasks)
        digest = hashlib.sha256(repr(chosen).encode("utf-8", "replace"))
        for file, task in self._files:
            digest.update(repr((self._name(file), task)).encode("utf-8", "replace"))
            try:
                with file.open("rb") as stream:
                    digest.update(hashlib.file_digest(stream, "sha256").digest())
            except OSError as error:
                raise DataError(f"{file}: cannot be read: {reason(error)}") from None
        return digest.hexdigest()[:16]

    def batches(self, rows: int = 200_000) -> Iterator[PairBatch]:
        """Read every pair once, in an order that depends on the data alone.

        Folders ``task=NAME`` come first, tasks and then files sorted by name; files with a column
        ``task`` come last. Such a file is read once, from top to bottom, and each stretch of it is
        divided by task. So the rows of one task always come in the same order, but in a file that
        holds several tasks the tasks alternate.

        Args:
            rows: pairs of a batch at most. A batch is shorter where texts are long, so that memory
                does not depend on the size of the files (a Parquet row group is decoded whole).
        """
        if rows < 1:
            raise ValueError(f"rows = {rows}: expected at least 1")
        self.report = report = PairReport()
        for file, task in self._files:
            if task is not None and self._tasks is not None and task not in self._tasks:
                continue
            columns = COLUMNS if task is None else COLUMNS[:-1]
            for piece in pieces(file, columns):
                for reject in piece.rejects:
                    report.reject(reject.reason, 1, [self._example(file, reject)])
                frame = piece.frame if task is not None else self._chosen(piece.frame)
                frame = self._usable(frame, file, report)
                for name, part in [(task, frame)] if task is not None else by_task(frame):
                    for start in range(0, part.height, rows):
                        yield PairBatch(name, part[start : start + rows])

    def __repr__(self) -> str:
        return f"PairSource({str(self.path)!r}, files={len(self._files)})"

    @cached_property
    def _present(self) -> tuple[str, ...]:
        found = {task for _, task in self._files if task is not None}
        for file, task in self._files:
            if task is None:
                found |= _tasks_of(file)
        return tuple(sorted(found))

    def _chosen(self, frame: pl.DataFrame) -> pl.DataFrame:
        frame = frame.with_columns(pl.col("task").str.strip_chars())
        if self._tasks is None:
            return frame
        return frame.filter(blank("task") | pl.col("task").is_in(list(self._tasks)))

    def _usable(self, frame: pl.DataFrame, file: Path, report: PairReport) -> pl.DataFrame:
        """Keep the rows that can be trained on; count the others."""
        frame = judge(frame)
        refused = frame.filter(pl.col("reason").is_not_null())
        if refused.height:
            for (why,), group in sorted(refused.partition_by("reason", as_dict=True).items()):
                examples = [
                    self._example(file, Reject(why, row["row"], what(why, row)))
                    for row in group.head(_EXAMPLES).iter_rows(named=True)
                ]
                report.reject(why, group.height, examples)
            frame = frame.filter(pl.col("reason").is_null())
        report.rows += frame.height
        report.used += frame.height
        task = ["task"] if "task" in frame.columns else []
        return frame.select("query", "pin", pl.col("number").alias("weight"), "split", *task)

    def _example(self, file: Path, reject: Reject) -> str:
        return f"{self._name(file)}:{reject.row}: {reject.what}"

    def _name(self, file: Path) -> str:
        return file.name if file == self.path else file.relative_to(self.path).as_posix()


def _tasks_of(file: Path) -> set[str]:
    """The names in the column ``task`` of one file."""
    found: set[str] = set()
    for piece in pieces(file, ("task",)):
        names = piece.frame["task"].drop_nulls().unique().str.strip_chars()
        found.update(name for name in names if name)
    return found
