"""Filter fields: what kinds there are, how columns become them, how filters become queries.

===========  ===========================================  ====================================
kind         columns                                      indexed as
===========  ===========================================  ====================================
``keyword``  strings, lists of strings, whole numbers     one term a value
``number``   numbers; strings that hold them              64-bit float
``date``     dates, times; strings in ISO 8601            microseconds since 1970, UTC
``boolean``  booleans; the strings true and false         boolean
===========  ===========================================  ====================================
"""

import datetime
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, get_args

import msgspec
import polars as pl

from pintext.errors import ConfigError, DataError

if TYPE_CHECKING:
    import tantivy

__all__ = ["Field", "Filters", "Kind", "field_query", "filter_key", "find_field", "to_column"]

Kind = Literal["keyword", "number", "date", "boolean"]
Filters = Mapping[str, Any]
"""Field -> a value, a list of values (any of them), or bounds {"gt" | "gte" | "lt" | "lte": …}."""

_BOUNDS = ("gt", "gte", "lt", "lte")
_LARGEST_WHOLE = 2**53  # beyond it not every whole number is a float
_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
_DATE_KINDS = (pl.Date, pl.Datetime)


class Field(msgspec.Struct, frozen=True):
    """A filter field.

    Attributes:
        name: of the column, and in filters.
        kind: how its values compare.
        many: a pin may have several values; only a keyword may.
    """

    name: str
    kind: Kind
    many: bool = False


def find_field(declared: str, schema: pl.Schema) -> Field:
    """The field that ``NAME`` or ``NAME:KIND`` declares of a column.

    Raises:
        ConfigError: no such kind.
        DataError: no such column, or its type fits no kind, or not the one that was declared.
    """
    name, _, kind = declared.rpartition(":") if declared not in schema else (declared, "", "")
    if not name:
        name, kind = declared, ""
    if kind and kind not in get_args(Kind):
        raise ConfigError(
            f"filter column {declared!r}: no kind {kind!r}; expected {', '.join(get_args(Kind))}"
        )
    if name not in schema:
        found = ", ".join(map(repr, list(schema)[:20]))
        raise DataError(f"no column {name!r} to filter by; columns found: {found}")
    dtype = schema[name]
    fitting = _kinds_of(dtype)
    if not fitting or (kind and kind not in fitting):
        raise DataError(
            f"column {name!r} is {dtype}; "
            + (f"it can be {' or '.join(fitting)}" if fitting else "it cannot be filtered by")
        )
    return Field(name, kind or fitting[0], isinstance(dtype, pl.List))


def _kinds_of(dtype: pl.DataType) -> list[Kind]:
    """What a column of this type can be, the obvious first."""
    if isinstance(dtype, pl.List):
        return ["keyword"] if dtype.inner == pl.String else []
    if dtype == pl.String or dtype == pl.Null:
        return ["keyword", "number", "date", "boolean"]
    if isinstance(dtype, pl.Categorical | pl.Enum):
        return ["keyword"]
    if dtype.is_integer():
        return ["number", "keyword"]
    if dtype.is_numeric():
        return ["number"]
    if isinstance(dtype, _DATE_KINDS):
        return ["date"]
    return ["boolean"] if dtype == pl.Boolean else []


def to_column(field: Field, column: pl.Series) -> pl.Series:
    """A column as it is indexed and stored: String, List(String), Float64, Datetime or Boolean.

    Raises:
        DataError: a value is not of the field's kind; the message names the row and the value.
    """
    if field.many:
        return column.cast(pl.List(pl.String))
    done = _converted(field.kind, column)
    wrong = column.is_not_null() & done.is_null()
    if wrong.any():
        row = int(wrong.arg_true()[0])
        raise DataError(
            f"row {row + 1}: {field.name} is {column[row]!r}, which is not a {field.kind}"
        )
    return done


def _converted(kind: Kind, column: pl.Series) -> pl.Series:
    """The column, null where a value is not of the kind."""
    if kind == "keyword":
        return column.cast(pl.String)
    if kind == "number":
        if column.dtype.is_integer():
            column = column.set(column.abs() > _LARGEST_WHOLE, None)
        numbers = column.cast(pl.Float64, strict=False)
        return numbers.set(~numbers.is_finite(), None)
    if kind == "boolean" and column.dtype == pl.String:
        return column.replace_strict(
            {"true": True, "false": False}, default=None, return_dtype=pl.Boolean
        )
    if kind == "boolean":
        return column.cast(pl.Boolean)
    if column.dtype == pl.String:
        return column.str.to_datetime(time_unit="us", time_zone="UTC", strict=False)
    zone = getattr(column.dtype, "time_zone", None)
    times = column.cast(pl.Datetime("us", zone))
    return times.dt.convert_time_zone("UTC") if zone else times.dt.replace_time_zone("UTC")


def filter_key(filters: Filters | None) -> bytes:
    """Equal for filters that say the same; empty for none."""
    return msgspec.json.encode(filters, order="sorted", enc_hook=str) if filters else b""


def field_query(schema: "tantivy.Schema", place: str, field: Field, wanted: Any) -> "tantivy.Query":
    """The query for what a filter wants of one field.

    Args:
        schema: of the inverted index.
        place: the name of the field in it.
        field: the field.
        wanted: a value, a list of values, or bounds.

    Raises:
        DataError: a value or bound is not of the field's kind, or the list is empty.
    """
    from tantivy import FieldType, Query

    if isinstance(wanted, Mapping):
        if field.kind not in ("number", "date"):
            message = f"filter {field.name!r}: a {field.kind} has no bounds; give values"
            if field.kind == "keyword":
                message += f", or index it as {field.name}:number or {field.name}:date"
            raise DataError(message)
        lower, upper = _bound(field, wanted, "gt"), _bound(field, wanted, "lt")
        if unknown := sorted(set(wanted) - set(_BOUNDS)):
            raise DataError(
                f"filter {field.name!r}: unknown bound {', '.join(map(repr, unknown))}; "
                f"expected {', '.join(_BOUNDS)}"
            )
        if lower is None and upper is None:
            raise DataError(f"filter {field.name!r}: no bound; expected {', '.join(_BOUNDS)}")
        kind = FieldType.Float if field.kind == "number" else FieldType.Integer
        return Query.range_query(
            schema, place, kind, lower, upper, "gt" not in wanted, "lt" not in wanted
        )
    listed = isinstance(wanted, Sequence | set | frozenset) and not isinstance(wanted, str)
    values = [_value(field, value) for value in (wanted if listed else [wanted])]
    if not values:
        raise DataError(f"filter {field.name!r}: an empty list; leave the filter out")
    if len(values) == 1:
        return Query.term_query(schema, place, values[0], "basic")
    return Query.term_set_query(schema, place, values)


def _bound(field: Field, bounds: Mapping[str, Any], side: str) -> Any:
    found = [_value(field, bounds[name]) for name in (side, f"{side}e") if name in bounds]
    if len(found) == 2:
        raise DataError(f"filter {field.name!r}: give {side} or {side}e, not both")
    return found[0] if found else None


def _value(field: Field, value: Any) -> Any:
    """A value of a filter as it stands in the inverted index."""
    if field.kind == "keyword" and isinstance(value, str | int) and not isinstance(value, bool):
        return str(value)
    if field.kind == "boolean" and isinstance(value, bool):
        return value
    if field.kind == "number" and isinstance(value, int | float) and not isinstance(value, bool):
        if math.isfinite(value):
            return float(value)
    elif field.kind == "date" and (moment := _moment(value)) is not None:
        return (moment - _EPOCH) // datetime.timedelta(microseconds=1)
    expected = "time, or a text in ISO 8601" if field.kind == "date" else field.kind
    raise DataError(f"filter {field.name!r}: {value!r} is not a {expected}")


def _moment(value: Any) -> datetime.datetime | None:
    """A date or time, or a text that says one; UTC where it does not say where."""
    if isinstance(value, str):
        try:
            value = datetime.datetime.fromisoformat(value)
        except ValueError:
            return None
    if isinstance(value, datetime.date) and not isinstance(value, datetime.datetime):
        value = datetime.datetime(value.year, value.month, value.day)
    if not isinstance(value, datetime.datetime):
        return None
    return value if value.tzinfo else value.replace(tzinfo=datetime.UTC)
