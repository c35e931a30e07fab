"""One file of positive pairs, read piece by piece: Parquet, CSV, TSV, JSON lines.

A piece holds the columns as they stand in the file; which rows are usable is
decided in :mod:`pintext.pairs.rows`. Only rows that cannot even be taken apart (broken JSON, broken
UTF-8, too many fields) are refused here. Polars parses Parquet and delimited text. JSON lines are
decoded by msgspec, because Polars would turn a number into a text silently: a block at once and,
only if that fails, line by line.
"""

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import msgspec
import polars as pl

from pintext.arrays import I64
from pintext.blocks import Block, Piece, Reject, blocks, not_utf8
from pintext.delimited import delimited
from pintext.errors import DataError
from pintext.files import reason

__all__ = ["COLUMNS", "SUFFIXES", "pieces"]

SUFFIXES = (
    ".parquet",
    *(f"{kind}{gz}" for kind in (".csv", ".tsv", ".jsonl", ".ndjson") for gz in ("", ".gz")),
)
"""Names of the files that can hold pairs."""

COLUMNS = ("query", "pin", "weight", "split", "task")
"""The columns that are read; the last only where no folder names the task."""

_PARQUET_BYTES = 32 * 2**20
_FIRST_SLICE = 256


def pieces(path: Path, columns: Sequence[str]) -> Iterator[Piece]:
    """Read one file piece by piece, each from some 32 MB of memory (Parquet) or 8 MB of text.

    Args:
        path: a file whose name ends with one of :data:`SUFFIXES`.
        columns: some of :data:`COLUMNS`; the file must have the texts and, if asked for, the task.

    Yields:
        Pieces in the order of the file. An empty text file yields nothing.

    Raises:
        DataError: the file cannot be read, is not what its name says, lacks a column, names a
            column twice, or holds a column of the wrong type.
    """
    name = path.name.removesuffix(".gz")
    try:
        if name.endswith(".parquet"):
            yield from _parquet(path, columns)
        elif name.endswith((".csv", ".tsv")):
            separator = b"," if name.endswith(".csv") else b"\t"
            yield from delimited(path, separator, columns, partial(_require, path, columns=columns))
        else:
            yield from _json_lines(path, columns)
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {reason(error)}") from None


def _require(path: Path, found: list[str], columns: Sequence[str]) -> None:
    """Refuse a file without ``query``, ``pin`` (and ``task``), or that names a column twice."""
    listed = ", ".join(map(repr, found[:20])) or "none"
    for name in columns:
        if found.count(name) > 1:
            raise DataError(f"{path}: column {name!r} appears {found.count(name)} times; keep one")
        if name in ("query", "pin", "task") and name not in found:
            advice = f"Rename or add the column {name!r}"
            if name == "task":
                advice += "; or put the file into a folder named task=NAME"
            if "event_id" in found:
                advice = "These are events; pintext pairs makes pairs of them"
            raise DataError(f"{path}: no column {name!r}; columns found: {listed}. {advice}")


# --- Parquet -----------------------------------------------------------------------------------


def _parquet(path: Path, columns: Sequence[str]) -> Iterator[Piece]:
    """Slices of a Parquet file; their height follows the bytes that a row takes in memory."""
    try:
        lazy = pl.scan_parquet(path, glob=False, hive_partitioning=False)
        schema = lazy.collect_schema()
        _require(path, schema.names(), columns)
        _check_types(path, schema, columns)
        lazy = lazy.select(_as_text(name, schema) for name in columns)
        start, step = 0, _FIRST_SLICE
        while (frame := lazy.slice(start, step).collect()).height:
            frame = frame.with_row_index("row", offset=start + 1)
            start += frame.height
            yield Piece(frame, [], start)
            step = max(1, int(_PARQUET_BYTES * frame.height / max(frame.estimated_size(), 1)))
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        found = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise DataError(
            f"{path}: not a readable Parquet file ({found}); write it again, "
            "or name it .csv or .jsonl if that is what it holds"
        ) from None


def _as_text(name: str, schema: pl.Schema) -> pl.Expr:
    """The column as text, the weight as it is; nulls where the file has no such column."""
    if name not in schema:
        return pl.lit(None, pl.String).alias(name)
    return pl.col(name) if name == "weight" else pl.col(name).cast(pl.String)


def _check_types(path: Path, schema: pl.Schema, columns: Sequence[str]) -> None:
    for name in columns:
        kind = schema.get(name, pl.Null())
        if kind == pl.Null:
            continue
        if name == "weight":
            right, expected = kind.is_numeric(), "a number"
        else:
            right, expected = kind in (pl.String, pl.Categorical, pl.Enum), "a string"
        if not right:
            raise DataError(f"{path}: column {name!r} is {kind}; expected {expected}")


# --- JSON lines -----------------------------------------------------------------------------------


class _Row(msgspec.Struct, gc=False):
    pin: str | None  # of two missing fields the first is told; events lack this one
    query: str | None
    weight: float | None = None
    split: str | None = None
    task: str | None = None


def _json_lines(path: Path, columns: Sequence[str]) -> Iterator[Piece]:
    decoder = msgspec.json.Decoder(_Row)
    for block in blocks(path, None):
        rejects: list[Reject] = []
        lines: Sequence[int] | I64 = block.lines
        try:
            rows = decoder.decode_lines(block.data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            rows = []
        if len(rows) != len(block.lines):
            rows, lines, rejects = _one_by_one(decoder, block)
        data: dict[str, pl.Series] = {"row": pl.Series(lines, dtype=pl.Int64)}
        for name in columns:
            kind = pl.Float64 if name == "weight" else pl.String
            data[name] = pl.Series([getattr(row, name) for row in rows], dtype=kind)
        yield Piece(pl.DataFrame(data), rejects, block.last)


def _one_by_one(
    decoder: "msgspec.json.Decoder[_Row]", block: Block
) -> tuple[list[_Row], list[int], list[Reject]]:
    rows, lines, rejects = [], [], []
    for line, text in zip(block.lines.tolist(), block.data.splitlines(), strict=True):
        if not text.strip():
            continue
        try:
            rows.append(decoder.decode(text))
            lines.append(line)
        except UnicodeDecodeError as error:
            rejects.append(not_utf8(line, error))
        except msgspec.ValidationError as error:
            missing = "missing required field" in str(error)
            rejects.append(Reject("missing_field" if missing else "wrong_type", line, str(error)))
        except (msgspec.DecodeError, RecursionError) as error:
            rejects.append(Reject("invalid_json", line, str(error)))
    return rows, lines, rejects
