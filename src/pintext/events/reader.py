"""Files of events, piece by piece: JSON lines, CSV, TSV, Parquet."""

import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl

from pintext.ahead import ahead
from pintext.arrays import I64
from pintext.blocks import blocks
from pintext.delimited import delimited
from pintext.errors import DataError
from pintext.events.decode import Raw, ValueDecoder, table
from pintext.events.form import RAW_SCHEMA
from pintext.events.settings import EventMapping
from pintext.files import reason

__all__ = ["SUFFIXES", "Events", "read_events"]

SUFFIXES = (
    ".parquet",
    *(f"{k}{z}" for k in (".jsonl", ".ndjson", ".csv", ".tsv") for z in ("", ".gz", ".zst")),
)
"""Names of the files that can hold events."""

_SLICE = 50_000
_WHITE = np.frombuffer(b" \t\r\n", np.uint8)
_NAME = re.compile(r"[A-Za-z_][\w.-]{0,63}")
_REQUIRED = ("event_id", "timestamp", "pin_id", "action")


class Events(NamedTuple):
    """Some events of a file, in order.

    Attributes:
        raw: the events.
        records: (n,) number of the line or row of each of the n that ``raw`` was made from.
        last: number of the last line or row that is done with when these are.
    """

    raw: Raw
    records: I64
    last: int


def read_events(path: Path, mapping: EventMapping, after: int = 0) -> Iterator[Events]:
    """Read one file.

    Args:
        path: a file whose name ends with one of :data:`SUFFIXES`.
        mapping: what the fields are called there.
        after: leave out the records up to this number.

    Raises:
        DataError: the file cannot be read, is not what its name says, or lacks a column.
    """
    name = path.name.removesuffix(".gz").removesuffix(".zst")
    try:
        if name.endswith(".parquet"):
            yield from _parquet(path, mapping, after)
        elif name.endswith((".csv", ".tsv")):
            yield from _delimited(path, mapping, after)
        else:
            yield from _json_lines(path, mapping, after)
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {reason(error)}") from None


def _json_lines(path: Path, mapping: EventMapping, after: int) -> Iterator[Events]:
    decoder = ValueDecoder(mapping)
    for block in ahead(blocks(path, None)):
        if block.last <= after:
            continue
        first_bytes = np.frombuffer(block.data, np.uint8)[block.starts[:-1]]
        if block.lines[0] > after and not np.isin(first_bytes, _WHITE).any():
            raw, records = decoder.decode_lines(block.data, block.starts), block.lines
        else:
            lines = zip(block.data.split(b"\n"), block.lines.tolist(), strict=False)
            kept = [(line, at) for line, at in lines if at > after and line and not line.isspace()]
            raw = decoder.decode([line for line, _ in kept])
            records = np.array([at for _, at in kept], np.int64)
        yield Events(raw, records, block.last)


def _delimited(path: Path, mapping: EventMapping, after: int) -> Iterator[Events]:
    names = [mapping.fields.get(name, name) for name in RAW_SCHEMA]
    separator = b"," if ".csv" in path.suffixes else b"\t"
    check = partial(_require, path, mapping)
    for piece in delimited(path, separator, names, check, after):
        frame = piece.frame.filter(pl.col("row") > after)
        rejects = [reject for reject in piece.rejects if reject.row > after]
        records = [*frame["row"], *(reject.row for reject in rejects)]
        numbered = [
            reject._replace(row=index) for index, reject in enumerate(rejects, frame.height)
        ]
        raw = table(frame, mapping)._replace(rejects=numbered)
        yield Events(raw, np.array(records, np.int64), piece.last)


def _parquet(path: Path, mapping: EventMapping, after: int) -> Iterator[Events]:
    try:
        lazy = pl.scan_parquet(path, glob=False, hive_partitioning=False)
        schema = lazy.collect_schema()
        _require(path, mapping, schema.names())
        _check_types(path, mapping, schema)
        names = {name: mapping.fields.get(name, name) for name in RAW_SCHEMA}
        wanted = [
            pl.col(called) if called in schema else pl.lit(None, RAW_SCHEMA[name]).alias(called)
            for name, called in names.items()
        ]
        while (frame := lazy.slice(after, _SLICE).select(wanted).collect()).height:
            records = np.arange(after + 1, after + 1 + frame.height)
            after += frame.height
            yield Events(table(frame, mapping), records, after)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        found = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise DataError(
            f"{path}: not a readable Parquet file ({found}); write it again, "
            "or name it .csv or .jsonl if that is what it holds"
        ) from None


def _require(path: Path, mapping: EventMapping, found: list[str]) -> None:
    """Refuse a table without the columns that every event needs, or that names one twice."""
    # Where a file lacks its header these are values, which nobody should read in a log.
    names = [name for name in found[:20] if _NAME.fullmatch(name)]
    listed = ", ".join(map(repr, names)) or "none that looks like a name"
    for name in RAW_SCHEMA:
        called = mapping.fields.get(name, name)
        if found.count(called) > 1:
            raise DataError(f"{path}: column {called!r} appears more than once; keep one")
        needed = name in _REQUIRED or (name == "task" and not mapping.task)
        if needed and called not in found:
            raise DataError(
                f"{path}: no column {called!r}; columns found: {listed}. Name the column that "
                f"holds the {name} in the settings, under [mapping.fields]"
            )


def _check_types(path: Path, mapping: EventMapping, schema: pl.Schema) -> None:
    for name, form in RAW_SCHEMA.items():
        called = mapping.fields.get(name, name)
        kind = schema.get(called, pl.Null())
        text = kind in (pl.String, pl.Categorical, pl.Enum, pl.Null)
        if name == "timestamp":
            right = text or kind.is_numeric() or kind in (pl.Date, pl.Datetime)
        else:
            right = text or kind.is_integer() or (form == pl.Int64 and kind.is_float())
        if not right:
            raise DataError(
                f"{path}: column {called!r} is {kind}; expected "
                f"{'a time' if name == 'timestamp' else form}"
            )
