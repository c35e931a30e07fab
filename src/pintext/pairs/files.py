"""One file of positive pairs, read piece by piece: Parquet, CSV, TSV, JSON lines.

A piece (:class:`Piece`) holds the columns as they stand in the file; which rows are usable is
decided in :mod:`pintext.pairs.rows`. Only rows that cannot even be taken apart (broken JSON, broken
UTF-8, too many fields) are refused here. Polars parses Parquet and delimited text. JSON lines are
decoded by msgspec, because Polars would turn a number into a text silently: a block at once and,
only if that fails, line by line.
"""

import gzip
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
import polars as pl

from pintext.arrays import I64
from pintext.errors import DataError
from pintext.files import reason
from pintext.pairs.blocks import Block, Reject, blocks, not_utf8, records, without_broken

__all__ = ["COLUMNS", "SUFFIXES", "Piece", "pieces"]

SUFFIXES = (
    ".parquet",
    *(f"{kind}{gz}" for kind in (".csv", ".tsv", ".jsonl", ".ndjson") for gz in ("", ".gz")),
)
"""Names of the files that can hold pairs."""

COLUMNS = ("query", "pin", "weight", "split", "task")
"""The columns that are read; the last only where no folder names the task."""

_PARQUET_BYTES = 32 * 2**20
_FIRST_SLICE = 256


class Piece(NamedTuple):
    """Some rows of a file, in order.

    Attributes:
        frame: ``row`` (1-based row of a Parquet file, line of a text file) and the columns asked
            for. Texts are strings or null, the weight is a number or a string; a column that the
            file lacks is null throughout.
        rejects: the rows of this stretch that are not in the frame.
    """

    frame: pl.DataFrame
    rejects: list[Reject]


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
            yield from _delimited(path, b"," if name.endswith(".csv") else b"\t", columns)
        else:
            yield from _json_lines(path, columns)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DataError(f"{path}: damaged gzip file ({error}); pack it again") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {reason(error)}") from None


def _require(path: Path, found: list[str], columns: Sequence[str]) -> None:
    """Refuse a file without ``query``, ``pin`` (and ``task``), or that names a column twice."""
    listed = ", ".join(map(repr, found[:20])) or "none"
    for name in columns:
        if found.count(name) > 1:
            raise DataError(f"{path}: column {name!r} appears {found.count(name)} times; keep one")
        if name in ("query", "pin", "task") and name not in found:
            hint = "; or put the file into a folder named task=NAME" if name == "task" else ""
            raise DataError(
                f"{path}: no column {name!r}; columns found: {listed}. "
                f"Rename or add the column {name!r}{hint}"
            )


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
            yield Piece(frame.with_row_index("row", offset=start + 1), [])
            start += frame.height
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


# --- CSV and TSV --------------------------------------------------------------------------------


def _delimited(path: Path, separator: bytes, columns: Sequence[str]) -> Iterator[Piece]:
    header: list[str] | None = None
    for block in blocks(path, separator):
        rest = block
        if header is None:
            _, fields, end = next(records(block, separator))
            header = [field.decode("utf-8", "replace").strip() for field in fields]
            _require(path, header, columns)
            after = block.starts >= end
            rest = Block(
                block.data[end:], block.starts[after] - end, block.lines[after[:-1]], block.quotes
            )
        if rest.data:
            yield _delimited_piece(rest, separator, header, columns)


def _delimited_piece(
    block: Block, separator: bytes, header: list[str], columns: Sequence[str]
) -> Piece:
    places = [i for i, name in enumerate(header) if name in columns]
    frame: pl.DataFrame | None = None
    rejects: list[Reject] = []
    if block.quotes != "stray":
        whole, rejects = without_broken(block)
        frame = _parse_proper(whole, separator, places, len(header))
    if frame is None:
        frame, rejects = _parse_stray(block, separator, places, len(header))
    extra = pl.col("extra").fill_null("") != ""
    if rows := frame.filter(extra)["row"].to_list():
        rejects += [
            Reject("too_many_fields", row, f"more than {len(header)} fields") for row in rows
        ]
        rejects.sort(key=lambda reject: reject.row)
        frame = frame.filter(~extra)
    frame = frame.rename({f"{i}": header[i] for i in places})
    return Piece(frame.select("row", *(_as_text(name, frame.schema) for name in columns)), rejects)


def _parse_proper(
    block: Block, separator: bytes, places: list[int], width: int
) -> pl.DataFrame | None:
    """Let Polars parse a block; None if it refuses or does not see the same records.

    The column ``extra`` behind the ``width`` named ones catches what a long row has too much.
    """
    names = [*(f"{i}" for i in range(width)), "extra"]
    lazy = pl.scan_csv(
        block.data,
        has_header=False,
        schema=dict.fromkeys(names, pl.String),
        separator=separator.decode(),
        quote_char='"' if block.quotes == "proper" else None,
        truncate_ragged_lines=True,
        missing_columns="insert",
        raise_if_empty=False,
    )
    try:
        frame = lazy.select(*(names[i] for i in places), "extra").collect()
    except pl.exceptions.PolarsError:
        return None
    if frame.height != len(block.lines):
        return None
    frame = frame.insert_column(0, pl.Series("row", block.lines))
    # A record of one or two bytes may be a blank line, which is not a row.
    short = np.flatnonzero(np.diff(block.starts) <= 2)
    if blank := [i for i in short.tolist() if block.data[block.starts[i]] in b"\r\n"]:
        keep = np.ones(frame.height, bool)
        keep[blank] = False
        frame = frame.filter(keep)
    return frame


def _parse_stray(
    block: Block, separator: bytes, places: list[int], width: int
) -> tuple[pl.DataFrame, list[Reject]]:
    """Parse a block whose quotes break the rules, record by record; same columns as above."""
    lines: list[int] = []
    rows: list[list[str | None]] = []
    rejects: list[Reject] = []
    for line, fields, _ in records(block, separator):
        try:
            texts = [field.decode("utf-8") for field in fields]
        except UnicodeDecodeError as error:
            rejects.append(not_utf8(line, error))
            continue
        if texts != [""]:
            lines.append(line)
            rows.append([texts[i] if i < len(texts) else None for i in (*places, width)])
    names = [*(f"{i}" for i in places), "extra"]
    frame = pl.DataFrame(rows, schema=dict.fromkeys(names, pl.String), orient="row")
    return frame.insert_column(0, pl.Series("row", lines, pl.Int64)), rejects


# --- JSON lines -----------------------------------------------------------------------------------


class _Row(msgspec.Struct, gc=False):
    query: str | None
    pin: str | None
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
        yield Piece(pl.DataFrame(data), rejects)


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
