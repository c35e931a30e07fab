"""Decoded events divided into the good, the bad and those to be ignored."""

import time
from typing import Any, NamedTuple

import polars as pl

from pintext.arrays import I64
from pintext.blocks import Reject
from pintext.events.decode import Raw
from pintext.events.form import EVENT_SCHEMA, judge
from pintext.events.settings import IngestConfig

__all__ = ["Judged", "sort_out"]


class Judged(NamedTuple):
    """What is to become of each of n values.

    Attributes:
        good: the columns of the event form, ``task``, and ``index`` (UInt32): which value it is.
        bad: why the others cannot be taken, in order, the index as ``row``.
        kept: of each bad one, the fields of the form as they came; None where they cannot be read.
        ignored: indices of those that the settings say to ignore.
    """

    good: pl.DataFrame
    bad: list[Reject]
    kept: list[dict[str, Any] | None]
    ignored: I64


def sort_out(raw: Raw, config: IngestConfig, now: int | None = None) -> Judged:
    """Judge decoded events.

    Args:
        raw: the events.
        config: the settings.
        now: milliseconds since 1970; what the clock says where not given.
    """
    now = int(time.time() * 1000) if now is None else now
    judged = judge(raw.frame.filter(~pl.col("ignored")), config, now)
    good = judged.filter(pl.col("reason").is_null())
    bad = list(raw.rejects)
    if good.height < judged.height:
        refused = judged.filter(pl.col("reason").is_not_null())
        for row, why in refused.select("index", "reason").iter_rows():
            reason, _, field = why.partition(" ")
            bad.append(Reject(reason, row, field))
    bad.sort(key=lambda reject: reject.row)
    return Judged(
        good.select(*EVENT_SCHEMA, "task", "index"),
        bad,
        [raw.original(reject.row) for reject in bad],
        raw.frame.filter("ignored")["index"].to_numpy(),
    )
