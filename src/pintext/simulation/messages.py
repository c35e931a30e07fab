"""Messages as they are written: JSON or columns, malformed ones made so."""

import io

import numpy as np
import polars as pl

from pintext.events.form import EVENT_SCHEMA

__all__ = ["as_columns", "as_json", "as_json_lines"]

_UNKNOWN_ACTION = "stare"
_FAR_FUTURE = 32_503_680_000_000  # the year 3000, in milliseconds
_IN_COLUMNS, _IN_BYTES = 3, 2  # ways to be malformed, in a table and besides in JSON


def as_columns(messages: pl.DataFrame) -> pl.DataFrame:
    """The event form and ``task``; malformed is what lacks a pin, is to come, or is no action.

    Args:
        messages: the columns of :data:`~pintext.simulation.stream.MESSAGE_SCHEMA`.
    """
    form = _with_bad_fields(messages, _IN_COLUMNS).drop("fault")
    return form.with_columns(pl.col("timestamp").cast(EVENT_SCHEMA["timestamp"]))


def as_json_lines(messages: pl.DataFrame) -> bytes:
    """The messages as JSON, a line each."""
    ways = _IN_COLUMNS + _IN_BYTES
    buffer = io.BytesIO()
    _with_bad_fields(messages, ways).drop("fault").write_ndjson(buffer)
    lines = buffer.getvalue()
    fault = messages["fault"].to_numpy()
    damaged = np.flatnonzero((fault > 0) & (fault % ways >= _IN_COLUMNS))
    ends = np.flatnonzero(np.frombuffer(lines, np.uint8) == ord("\n"))
    parts, done = [], 0
    for row, end in zip(damaged.tolist(), ends[damaged].tolist(), strict=True):
        start = int(ends[row - 1]) + 1 if row else 0
        cut = (start + end) // 2
        parts += [lines[done:cut], b"" if fault[row] % ways == _IN_COLUMNS else b'\xff"}']
        done = end
    return b"".join([*parts, lines[done:]])


def as_json(messages: pl.DataFrame) -> list[bytes]:
    """The messages as JSON, one by one."""
    return as_json_lines(messages).splitlines()


def _with_bad_fields(messages: pl.DataFrame, ways: int) -> pl.DataFrame:
    """Spoil a field of each malformed message, unless it is to be malformed in another way."""
    way = pl.when(pl.col("fault") > 0).then(pl.col("fault") % ways)
    return messages.with_columns(
        pin_id=pl.when(way == 0).then(None).otherwise("pin_id"),
        action=pl.when(way == 1).then(pl.lit(_UNKNOWN_ACTION)).otherwise("action"),
        timestamp=pl.when(way == 2).then(_FAR_FUTURE).otherwise("timestamp"),
    )
