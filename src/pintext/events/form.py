"""The event form: what an engagement event is, and which events are refused.

An event says that a pin was saved, clicked, hidden or shown in the context of a query, and never
who did it. Columns in, columns out; no files, no clock.
"""

import polars as pl

from pintext.events.settings import ACTIONS, IngestConfig

__all__ = ["EARLIEST", "EVENT_SCHEMA", "RAW_SCHEMA", "SIMULATED", "judge"]

EVENT_SCHEMA = pl.Schema(
    {
        "event_id": pl.String(),
        "timestamp": pl.Datetime("ms", "UTC"),
        "query": pl.String(),
        "query_id": pl.String(),
        "pin_id": pl.String(),
        "action": pl.String(),
        "dwell_ms": pl.Int32(),
        "position": pl.Int32(),
    }
)
"""Columns of a stored file; the task is in the name of its folder. ``query``, ``query_id`` (at
least one of them is there), ``dwell_ms`` and ``position`` may be null."""

RAW_SCHEMA = pl.Schema(
    {
        "event_id": pl.String(),
        "timestamp": pl.Int64(),
        "task": pl.String(),
        "query": pl.String(),
        "query_id": pl.String(),
        "pin_id": pl.String(),
        "action": pl.String(),
        "dwell_ms": pl.Int64(),
        "position": pl.Int64(),
    }
)
"""Columns of events that were not judged yet: milliseconds since 1970, anything may be null."""

EARLIEST = 946_684_800_000
"""2000-01-01 in milliseconds; what is earlier is seconds taken for milliseconds or a bad clock."""

SIMULATED = "simulated-"
"""How the ``event_id`` of every event begins that nobody has done."""

_INT32_MAX = 2**31 - 1
_IDS = ("event_id", "pin_id", "query_id")


def judge(raw: pl.DataFrame, config: IngestConfig, now: int) -> pl.DataFrame:
    """Cast columns to the event form and say which rows cannot be taken.

    Blank texts become null. Other columns of the frame are left alone.

    Args:
        raw: the columns of :data:`RAW_SCHEMA`, and any others.
        config: known tasks, longest texts, tolerance for clocks that are ahead.
        now: milliseconds since 1970.

    Returns:
        The columns of :data:`EVENT_SCHEMA`, ``task``, the others, and ``reason`` (String): null
        where the event is good, else the first that applies of ``missing_field``,
        ``oversized_field``, ``nul``, ``unknown_task``, ``unknown_action``, ``bad_time``,
        ``future_time`` and ``out_of_range``, with the field's name behind a blank. The values of
        refused rows may be null.
    """
    texts = [name for name, kind in RAW_SCHEMA.items() if kind == pl.String]
    raw = raw.with_columns(
        pl.when(pl.col(name).str.contains(r"\S")).then(pl.col(name)) for name in texts
    )
    raw = raw.with_columns(_reason(config, now))
    return raw.with_columns(
        pl.col("timestamp").cast(EVENT_SCHEMA["timestamp"], strict=False),
        pl.col("dwell_ms", "position").cast(pl.Int32, strict=False),
    )


def _reason(config: IngestConfig, now: int) -> pl.Expr:
    """Why a row cannot be taken, the first reason that applies; null where it can."""
    task, action, time = pl.col("task"), pl.col("action"), pl.col("timestamp")
    no_context = pl.col("query").is_null() & pl.col("query_id").is_null()
    required = ("event_id", "pin_id", "task", "action")
    reasons = [
        *((f"missing_field {name}", pl.col(name).is_null()) for name in required),
        ("missing_field query", no_context),
        *((f"oversized_field {n}", pl.col(n).str.len_bytes() > config.max_id_bytes) for n in _IDS),
        ("oversized_field query", pl.col("query").str.len_bytes() > config.max_query_bytes),
        *((f"nul {n}", pl.col(n).str.contains("\0", literal=True)) for n in (*_IDS, "query")),
        ("unknown_task task", ~task.is_in(list(config.tasks))),
        ("unknown_action action", ~action.is_in(ACTIONS)),
        ("bad_time timestamp", time.is_null() | (time < EARLIEST)),
        ("future_time timestamp", time > now + config.future_minutes * 60_000),
        *(
            (f"out_of_range {name}", ~pl.col(name).is_between(0, _INT32_MAX))
            for name in ("dwell_ms", "position")
        ),
    ]
    found = [pl.when(applies).then(pl.lit(reason)) for reason, applies in reasons]
    return pl.coalesce(found).alias("reason")
