"""Pins of a request as the columns of an index, each value of the type that the index has."""

from typing import Annotated, Any

import msgspec
import polars as pl
from msgspec import Meta

from pintext.index.pins import Columns
from pintext.server.problems import ProblemError

__all__ = ["pin_frame"]

_VALUES: dict[pl.DataType, Any] = {
    pl.String(): str | None,
    pl.Float64(): float | None,
    pl.Boolean(): bool | None,
    pl.List(pl.String): list[str] | None,
}


def pin_frame(columns: Columns, pins: list[dict[str, Any]]) -> pl.DataFrame:
    """The pins as a frame; a column that a pin leaves out is null.

    Raises:
        ProblemError: 400: a column is unknown or a value of another type; names pin and column.
    """
    kinds = columns.schema()
    del kinds[columns.id]
    # Columns may have any name, attributes may not.
    attributes = {name: f"column_{number}" for number, name in enumerate(kinds)}
    shape = msgspec.defstruct(
        "Pin",
        [
            ("pin_id", Annotated[str, Meta(min_length=1)]),
            *((attributes[name], _VALUES[kind], None) for name, kind in kinds.items()),
        ],
        rename={"pin_id": columns.id} | {other: name for name, other in attributes.items()},
        forbid_unknown_fields=True,
    )
    try:
        rows: list[Any] = msgspec.convert(pins, list[shape])  # type: ignore[valid-type]
    except msgspec.ValidationError as error:
        message, _, place = str(error).partition(" - at `$")
        raise ProblemError.of_field(f"$.pins{place.rstrip('`')}", message) from None
    series = [pl.Series(columns.id, [row.pin_id for row in rows], dtype=pl.String)]
    for name, dtype in kinds.items():
        values = [getattr(row, attributes[name]) for row in rows]
        series.append(pl.Series(name, values, dtype=dtype))
    return pl.DataFrame(series)
