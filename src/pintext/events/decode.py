"""From what a source holds to the columns of the event form, and to nothing else.

JSON values are decoded by msgspec into a struct that has the fields of the form, under the names
that a mapping gives them. Everything else in a value is skipped by the parser and never becomes an
object. Tables (CSV, Parquet) are columns already; the same rules of names and times hold.
"""

from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Any, NamedTuple

import msgspec
import numpy as np
import polars as pl

from pintext.arrays import I64
from pintext.blocks import Reject, not_utf8
from pintext.events.form import RAW_SCHEMA
from pintext.events.settings import IGNORE, EventMapping

__all__ = ["Raw", "ValueDecoder", "table"]

_TYPES: dict[str, Any] = {
    "event_id": str | int | None,
    "timestamp": str | int | float | None,
    "task": str | None,
    "query": str | None,
    "query_id": str | int | None,
    "pin_id": str | int | None,
    "action": str | None,
    "dwell_ms": int | None,
    "position": int | None,
}
_TIME = pl.Datetime("ms", "UTC")
_MILLISECONDS = {"s": 1e3, "ms": 1.0, "us": 1e-3, "ns": 1e-6}
_BAD_VALUE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError, TypeError)
_LONGEST_KEPT = 65_536  # bytes of a field in a dead letter


class Raw(NamedTuple):
    """Events as columns, not judged yet.

    Attributes:
        frame: the columns of :data:`~pintext.events.form.RAW_SCHEMA`; ``index`` (UInt32), which of
            the values or rows each is; ``ignored`` (Boolean), whether its action is to be ignored.
        rejects: what could not be decoded, the index as ``row``.
        original: the fields of the form as they came, by index; None where they cannot be read.
    """

    frame: pl.DataFrame
    rejects: list[Reject]
    original: Callable[[int], dict[str, Any] | None]


class ValueDecoder:
    """Decodes JSON values of one form.

    Args:
        mapping: what the fields, actions and tasks are called there.
    """

    def __init__(self, mapping: EventMapping) -> None:
        self._mapping = mapping
        self._names = [mapping.fields.get(name, name) for name in _TYPES]
        fields = [
            (name, kind, msgspec.field(default=None, name=called))
            for (name, kind), called in zip(_TYPES.items(), self._names, strict=True)
        ]
        self._decoder = msgspec.json.Decoder(msgspec.defstruct("Event", fields, gc=False))

    def decode(self, values: Sequence[bytes | None]) -> Raw:
        """Decode values, each one JSON object; None is an empty message."""
        rows: list[Any] = []
        rejects: list[Reject] = []
        rest = iter(values)
        decode: Callable[[Any], Any] = self._decoder.decode
        while True:
            try:
                rows.extend(map(decode, rest))
                break
            except _BAD_VALUE as error:
                # extend() has kept what came before the bad value, and the rest begins behind it.
                at = len(rows) + len(rejects)
                rejects.append(_reject(error, at, values[at]))
        return self._raw(rows, rejects, values.__getitem__)

    def decode_lines(self, data: bytes, starts: I64) -> Raw:
        """Decode lines, each one JSON object, all in one call where none of them is bad.

        Args:
            data: the lines, each with its end.
            starts: (n + 1,) where each line starts, and the end.
        """
        rows = self._rows_of_lines(data, starts)
        if rows is None:
            return self.decode(data.split(b"\n")[:-1])
        return self._raw(rows, [], lambda line: data[starts[line] : starts[line + 1]])

    def _rows_of_lines(self, data: bytes, starts: I64) -> list[Any] | None:
        """One event for each line; None where that is not sure.

        The parser goes from value to value, whatever the lines. But between a brace that closes at
        the end of a line and one that opens the next, no value goes on: JSON would want a comma.
        """
        characters = np.frombuffer(data, np.uint8)
        opens, closes = characters[starts[:-1]] == ord("{"), characters[starts[1:] - 2] == ord("}")
        if not (opens.all() and closes.all()):
            return None
        try:
            rows = self._decoder.decode_lines(data)
        except _BAD_VALUE:
            return None
        return rows if len(rows) == len(opens) else None

    def _raw(
        self, rows: list[Any], rejects: list[Reject], value: Callable[[int], bytes | None]
    ) -> Raw:
        """The columns of events, of which those that were rejected are left out."""
        index = pl.int_range(len(rows) + len(rejects), dtype=pl.UInt32, eager=True)
        if rejects:
            index = index.filter(~index.is_in([reject.row for reject in rejects]))
        columns = {name: list(map(attrgetter(name), rows)) for name in _TYPES}
        times = pl.DataFrame({"time": _times(columns.pop("timestamp"))})
        frame = pl.DataFrame(
            {
                "index": index,
                "timestamp": times.select(_milliseconds(times.schema, self._mapping)).to_series(),
                **{name: _series(name, column) for name, column in columns.items()},
            }
        )
        return Raw(_mapped(frame, self._mapping), rejects, lambda i: self._kept(value(i)))

    def _kept(self, value: bytes | None) -> dict[str, Any] | None:
        try:
            found = msgspec.json.decode(value or b"")
        except _BAD_VALUE:
            return None
        return _kept(found, self._names) if isinstance(found, dict) else None


def table(frame: pl.DataFrame, mapping: EventMapping) -> Raw:
    """Columns of a CSV or Parquet file as events.

    Args:
        frame: one column for each field of the form, under the names of the mapping. Ids are texts
            or whole numbers; times are texts, numbers, dates or datetimes (without a zone: UTC).
        mapping: what the fields, actions and tasks are called there.
    """
    names = {mapping.fields.get(name, name): name for name in RAW_SCHEMA}
    renamed = frame.select(pl.col(called).alias(name) for called, name in names.items())
    times = renamed.rename({"timestamp": "time"})
    raw = times.select(
        pl.int_range(pl.len(), dtype=pl.UInt32).alias("index"),
        _milliseconds(times.schema, mapping).alias("timestamp"),
        *(_cast(name, times.schema[name]) for name in RAW_SCHEMA if name != "timestamp"),
    )

    def original(index: int) -> dict[str, Any] | None:
        if index >= frame.height:
            return None
        row = frame.select(*names).row(index, named=True)
        for called, name in names.items():
            if RAW_SCHEMA[name] == pl.Int64:
                row[called] = raw.row(index, named=True)[name]  # a number, though it was a text
        return _kept({k: str(v) if hasattr(v, "year") else v for k, v in row.items()}, [*names])

    return Raw(_mapped(raw, mapping), [], original)


def _mapped(frame: pl.DataFrame, mapping: EventMapping) -> pl.DataFrame:
    """Give tasks and actions their names here."""
    task, action = pl.col("task"), pl.col("action")
    if mapping.tasks:
        task = task.replace(mapping.tasks)
    if mapping.task:
        task = task.fill_null(mapping.task)
    ignored = [theirs for theirs, ours in mapping.actions.items() if ours == IGNORE]
    return frame.with_columns(
        task,
        action.replace(mapping.actions) if mapping.actions else action,
        ignored=action.is_in(ignored).fill_null(False) if ignored else pl.lit(False),
    )


def _reject(error: Exception, index: int, value: bytes | None) -> Reject:
    """Why a value could not be decoded; what is said never quotes it."""
    if not value or value.isspace():
        return Reject("empty_message", index, "")
    try:
        value.decode("utf-8")
    except UnicodeDecodeError as broken:
        return not_utf8(index, broken)._replace(reason="invalid_utf8")
    if isinstance(error, msgspec.ValidationError):
        return Reject("wrong_type", index, str(error))
    return Reject("invalid_json", index, "" if isinstance(error, RecursionError) else str(error))


def _kept(found: dict[str, Any], names: Sequence[str]) -> dict[str, Any]:
    """The fields of the form that are texts or numbers and not too long to keep."""
    return {
        name: found[name]
        for name in names
        if isinstance(found.get(name), str | int | float)
        and len(str(found[name]).encode("utf-8", "replace")) <= _LONGEST_KEPT
    }


# --- columns out of Python values ----------------------------------------------------------------


def _series(name: str, values: Sequence[Any]) -> pl.Series:
    """Texts, or whole numbers beyond the range of the form as -1, which is out of it as well."""
    if RAW_SCHEMA[name] == pl.Int64:
        try:
            return pl.Series(values, dtype=pl.Int64)
        except (OverflowError, TypeError):
            return pl.Series([-1 if v is not None and abs(v) > 2**31 else v for v in values])
    try:
        return pl.Series(values, dtype=pl.String)
    except TypeError:  # whole numbers among the ids
        return pl.Series([v if v is None else str(v) for v in values], dtype=pl.String)


def _times(values: Sequence[Any]) -> pl.Series:
    for kind in (pl.String, pl.Int64, pl.Float64):
        try:
            return pl.Series(values, dtype=kind)
        except (TypeError, OverflowError):
            continue
    return pl.Series([v if v is None else str(v) for v in values], dtype=pl.String)


def _milliseconds(schema: pl.Schema, mapping: EventMapping) -> pl.Expr:
    """The column ``time`` in milliseconds since 1970; null where it cannot be read.

    Texts are RFC 3339, which says the offset from UTC, or a number.
    """
    time, kind = pl.col("time"), schema["time"]
    if kind == pl.Date or isinstance(kind, pl.Datetime):
        if getattr(kind, "time_zone", None) is None:
            time = time.cast(pl.Datetime("ms")).dt.replace_time_zone("UTC")
        return time.cast(_TIME).cast(pl.Int64)
    if kind == pl.String:
        read = time.str.to_datetime("%+", time_unit="ms", time_zone="UTC", strict=False)
        number = pl.when(time.str.contains(r"^\s*-?\d+(\.\d*)?\s*$")).then(time.str.strip_chars())
        return pl.coalesce(
            read.cast(pl.Int64), _scaled(number.cast(pl.Float64), pl.Float64(), mapping)
        )
    return _scaled(time, kind, mapping)


def _scaled(number: pl.Expr, kind: pl.DataType, mapping: EventMapping) -> pl.Expr:
    """Numbers of the mapping's unit as whole milliseconds."""
    per_unit = _MILLISECONDS[mapping.epoch]
    if kind.is_integer() and per_unit <= 1:
        return (number // round(1 / per_unit)).cast(pl.Int64, strict=False)
    return (number * per_unit).round().cast(pl.Int64, strict=False)


def _cast(name: str, kind: pl.DataType) -> pl.Expr:
    """A column of a table as the form wants it; what is no whole number becomes -1."""
    column = pl.col(name)
    if RAW_SCHEMA[name] == pl.String:
        return column.cast(pl.String)
    if kind == pl.String:
        column = column.str.strip_chars().replace("", None)
    number = column.cast(pl.Int64, strict=False)
    if kind.is_float():  # what some tables make of whole numbers where some are missing
        column = column.fill_nan(None)
        number = pl.when(number == column).then(number)
    return pl.when(column.is_not_null() & number.is_null()).then(-1).otherwise(number).alias(name)
