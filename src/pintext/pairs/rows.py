"""Which rows can be trained on, and why the others cannot; columnar, no files."""

from typing import Any

import polars as pl

__all__ = ["SPLITS", "blank", "by_task", "judge", "what"]

SPLITS = ("train", "validation", "test")
"""What the column ``split`` may say."""

_SHOWN = 60


def judge(frame: pl.DataFrame) -> pl.DataFrame:
    """Add ``number``, the weight as Float32 (1 where it is missing), and ``reason``.

    The reason is null where a row can be used, else ``empty_query``, ``empty_pin``, ``empty_task``,
    ``bad_weight`` or ``unknown_split``, the first that applies. An empty split becomes null.
    """
    split = pl.col("split").str.strip_chars().replace("", None)
    frame = frame.with_columns(split, number=_number(frame.schema["weight"]))
    return frame.with_columns(reason=_reason("task" in frame.columns))


def blank(column: str) -> pl.Expr:
    """Whether a text is null or nothing but white space."""
    return pl.col(column).is_null() | (pl.col(column).str.strip_chars() == "")


def _number(kind: pl.DataType) -> pl.Expr:
    weight = pl.col("weight")
    if kind == pl.String:
        weight = weight.str.strip_chars().replace("", None)
    number = weight.cast(pl.Float32, strict=False)
    return pl.when(weight.is_null()).then(pl.lit(1.0, pl.Float32)).otherwise(number)


def _reason(with_task: bool) -> pl.Expr:
    """Why a row cannot be used; null where it can."""
    number, split = pl.col("number"), pl.col("split")
    bad_weight = number.is_null() | ~number.is_finite() | (number <= 0)
    reasons = [
        ("empty_query", blank("query")),
        ("empty_pin", blank("pin")),
        *([("empty_task", blank("task"))] if with_task else []),
        ("bad_weight", bad_weight),
        ("unknown_split", split.is_not_null() & ~split.is_in(SPLITS)),
    ]
    chain = pl.lit(None, pl.String)
    for reason, applies in reversed(reasons):
        chain = pl.when(applies).then(pl.lit(reason)).otherwise(chain)
    return chain


def what(reason: str, row: dict[str, Any]) -> str:
    """What was found in a refused row, and what was expected."""
    if reason == "bad_weight":
        return f"weight is {_shorten(row['weight'])}; expected a finite number above 0"
    if reason == "unknown_split":
        return f"split is {_shorten(row['split'])}; expected {', '.join(SPLITS)} or nothing"
    return f"{reason.removeprefix('empty_')} is empty or missing"


def _shorten(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"


def by_task(frame: pl.DataFrame) -> list[tuple[str, pl.DataFrame]]:
    """Divide by the column ``task``, which goes; tasks sorted, rows in order."""
    parts = frame.partition_by("task", as_dict=True, maintain_order=True, include_key=False)
    return sorted((str(name), part) for (name,), part in parts.items())
