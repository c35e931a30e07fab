"""A dataset of pairs on disk: finding its files and their tasks, and writing one.

The task is the innermost folder named ``task=NAME`` (the layout of Hive and Spark), %-encoded where
a name holds characters that a file system may refuse; without such a folder it is a column.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import unquote

import polars as pl

from pintext.errors import DataError
from pintext.files import escaped, new_folder
from pintext.pairs.files import SUFFIXES
from pintext.pairs.rows import blank, by_task

__all__ = ["find_files", "write_pairs"]


def find_files(path: Path) -> list[tuple[Path, str | None]]:
    """The dataset's files with the task that their folder names, if any; in the order of reading.

    Raises:
        DataError: nothing is there, or nothing that can hold pairs; a folder ``task=`` has no name.
    """
    if not path.exists():
        raise DataError(f"{path}: no such file or folder; expected a dataset of pairs")
    if path.is_file():
        if not path.name.endswith(SUFFIXES):
            raise DataError(f"{path}: cannot hold pairs; expected a name in {', '.join(SUFFIXES)}")
        return [(path, _task_of(path.absolute().parent.parts[-1:], path))]
    files: list[tuple[Path, str | None]] = []
    others = []
    for folder, _, names in os.walk(path):
        inside = Path(folder)
        hidden = any(part.startswith((".", "_")) for part in inside.relative_to(path).parts)
        for name in names:
            if hidden or name.startswith((".", "_")) or not name.endswith(SUFFIXES):
                others.append(name)
                continue
            parts = (path.absolute().name, *inside.relative_to(path).parts)
            files.append((inside / name, _task_of(parts, inside)))
    if not files:
        found = ", ".join(sorted(others)[:5]) or "nothing"
        raise DataError(
            f"{path}: a folder without files of pairs (found: {found}); "
            f"expected names in {', '.join(SUFFIXES)}"
        )
    return sorted(files, key=lambda file: (file[1] is None, file[1] or "", file[0].parts))


def _task_of(parts: Sequence[str], where: Path) -> str | None:
    """The task that the innermost folder ``task=NAME`` names, %-encoding undone."""
    for part in reversed(parts):
        if part.startswith("task="):
            task = unquote(part.removeprefix("task="), errors="strict").strip()
            if not task or task == "__HIVE_DEFAULT_PARTITION__":
                raise DataError(f"{where}: the folder {part!r} names no task; name it task=NAME")
            return task
    return None


def write_pairs(frame: pl.DataFrame, folder: str | Path, *, overwrite: bool = False) -> None:
    """Write pairs as a dataset, ``task=NAME/part-0.parquet``; all of it or, after a crash, nothing.

    Args:
        frame: ``task``, ``query``, ``pin`` (String); optional ``pin_id``, ``query_id``, ``weight``,
            ``split``. The rows of a task keep their order. The same frame gives the same bytes.
        folder: where to write; parents are made.
        overwrite: replace a dataset of pairs that is already there.

    Raises:
        DataError: a column is missing or has the wrong type, a task is blank, the folder exists
            already, or it is to be replaced and holds other things than pairs.
    """
    _check_frame(frame)
    folder = Path(folder)
    replaceable = frozenset(inside.name for inside in folder.glob("task=*/"))
    with new_folder(folder, DataError, replaceable, overwrite=overwrite) as made:
        for task, part in by_task(frame):
            inside = made / f"task={escaped(task)}"
            inside.mkdir()
            with (inside / "part-0.parquet").open("wb") as file:
                # Small enough for a reader to take in pieces, large enough to be read fast.
                part.write_parquet(file, row_group_size=100_000)
                file.flush()
                os.fsync(file.fileno())


def _check_frame(frame: pl.DataFrame) -> None:
    for name in ("task", "query", "pin"):
        if name not in frame.columns:
            raise DataError(f"no column {name!r} in the pairs; columns: {', '.join(frame.columns)}")
        if frame.schema[name] != pl.String:
            raise DataError(f"column {name!r} is {frame.schema[name]}; expected String")
    if frame.select(blank("task").any()).item():
        raise DataError("a pair's task is empty; expected a name in every row")
