"""Pairs on Spark: what :mod:`pintext.pairing` does on one machine, done on many."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from pintext.pairing import PairsConfig, Summary
from pintext.pairing import make_pairs as make
from pintext.pairing.progress import Callback
from pintext.spark.engine import spark_engine

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

__all__ = ["make_pairs"]


def make_pairs(
    session: "SparkSession",
    events: str | Path | Sequence[str | Path],
    out: str | Path,
    config: PairsConfig | None = None,
    *,
    pins: str | Path,
    interests: str | Path | None = None,
    update: bool = False,
    overwrite: bool = False,
    memory_gb: float = 2.0,
    callback: Callback | None = None,
) -> Summary:
    """Make positive pairs and known negatives on Spark, by the rules of one machine.

    The statements are those of :func:`pintext.pairing.make_pairs`, so the rows are as well, in the
    same order; they stand in as many files as Spark has parts. Dates do not depend on each other,
    nor do queries in most rules: DuckDB does these in tasks. What needs everything Spark does.
    Either function may update what the other made. Whatever is killed, ``out`` has all of it or is
    as it was.

    Args:
        session: the Spark session; its own settings and views are left as they are.
        events: an event store, or files of events. These and all other paths are on a file system
            that the driver and all executors see under the same names.
        out: the folder to make.
        config: the rules.
        pins: the catalogue of pins; files of a catalogue are read beside each other.
        interests: the catalogue of interests.
        update: of events that ``out`` was made of only the tallies are read.
        overwrite: replace pairs that are there.
        memory_gb: memory of each task that runs DuckDB; what does not fit goes to the disk of
            its machine.
        callback: told of the progress.

    Returns:
        The figures, which are in ``out`` as well.

    Raises:
        DataError: events or a catalogue cannot be used, or Spark or the disk refuses.
        LockedError: another process makes the same pairs.
    """
    return make(
        events,
        out,
        config,
        pins=pins,
        interests=interests,
        update=update,
        overwrite=overwrite,
        engine=partial(spark_engine, session, memory_gb=memory_gb),
        callback=callback,
    )
