"""From the events of whole dates to a tally: what happened to a pin under a query on one date.

A tally is all that later steps want of a date's events, so the events are read once. It has one row
for each date, query and pin. What crosses midnight is kept open in it: clicks that a hide of the
next date may still withdraw, and the hides early enough to do so (see ``docs/pairs.md``).
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import polars as pl

from pintext.events.settings import ACTIONS
from pintext.pairing.engine import DuckDB
from pintext.pairing.settings import PairsConfig
from pintext.text import split_column

__all__ = ["TALLY_SETTINGS", "Counts", "tally_dates"]

TALLY_SETTINGS = ("min_dwell_ms", "window_minutes", "hide_minutes")
"""The settings that a tally depends on; with others it can be used again."""

Counts = dict[str, int]
"""Events of one date by action; of the saves and clicks those that do not count by themselves:
``query_without_words``, ``short_click``, ``repeat``."""

_PIECE = 200_000

_DISTINCT = "SELECT query AS spelling FROM event WHERE query IS NOT NULL GROUP BY query"

_EVENT = """
SELECT *, epoch_ms(timestamp) AS moment, epoch_ms(timestamp) // 86400000 AS day FROM stored
"""

# A typed query is its words, so that `Oak table!` and `oak  table` are one query. A query that a
# catalogue names is its id.
_ACT = """
SELECT
    day, moment,
    event.query IS NOT NULL AS typed,
    coalesce(spelling.words, event.query_id) AS query,
    pin_id, action,
    action = 'click' AND dwell_ms IS NOT NULL AND dwell_ms < $dwell AS short
FROM event LEFT JOIN spelling ON event.query = spelling.spelling
WHERE action <> 'impression'
"""

# What happened to one pin under one query within a window is one visit. Of its clicks the last one
# is kept: a hide that takes that one back takes back the visit's click.
_VISIT = """
SELECT
    day, typed, query, pin_id,
    moment % 86400000 - moment % 86400000 % $window AS slot,
    bool_or(action = 'save') AS saved,
    max(moment) FILTER (WHERE action = 'click' AND NOT short) AS clicked,
    count(*) FILTER (WHERE NOT short) AS acts,
    bool_or(short) AS short
FROM act
WHERE action IN ('save', 'click') AND query <> ''
GROUP BY ALL
"""

_HIDE = """
SELECT DISTINCT day, typed, query, pin_id, moment FROM act WHERE action = 'hide' AND query <> ''
"""

# Most events are impressions. They are added up before their queries are looked up.
_SHOWN = """
SELECT
    day, query AS spelling, query_id, pin_id,
    CAST(count(*) FILTER (WHERE action = 'impression') AS INTEGER) AS impressions,
    CAST(count(*) FILTER (WHERE action = 'hide') AS INTEGER) AS hides,
    min(position) FILTER (WHERE action = 'impression') AS position
FROM event WHERE action IN ('impression', 'hide') GROUP BY ALL
"""

# Four kinds of rows, which are added up when they are used: votes, clicks that a hide of the next
# date may withdraw, hides that may reach back over midnight, and what was shown.
_TALLY = """
WITH withdrawn AS (
    SELECT DISTINCT day, typed, query, pin_id, slot, true AS gone
    FROM visit JOIN hide USING (day, typed, query, pin_id)
    WHERE moment BETWEEN clicked AND clicked + $gap
),
settled AS (
    SELECT
        visit.day, visit.typed, visit.query, visit.pin_id, saved, clicked, short,
        clicked IS NOT NULL AND gone IS NULL AS stands,
        clicked IS NOT NULL AND gone IS NULL
            AND clicked + $gap >= (visit.day + 1) * 86400000 AS open
    FROM visit LEFT JOIN withdrawn USING (day, typed, query, pin_id, slot)
),
tallied AS (
    SELECT
        day, typed, query, pin_id,
        CAST(count(*) FILTER (WHERE saved AND NOT stands) AS INTEGER) AS saves,
        CAST(count(*) FILTER (WHERE stands AND NOT saved AND NOT open) AS INTEGER) AS clicks,
        CAST(count(*) FILTER (WHERE stands AND saved AND NOT open) AS INTEGER) AS save_clicks,
        CAST(count(*) FILTER (WHERE clicked IS NOT NULL AND NOT stands AND NOT saved) AS INTEGER)
            AS withdrawn,
        CAST(count(*) FILTER (WHERE short) AS INTEGER) AS short,
        CAST(NULL AS BIGINT) AS open_click, CAST(NULL AS BOOLEAN) AS open_saved,
        CAST(NULL AS BIGINT) AS early_hide,
        CAST(NULL AS INTEGER) AS impressions, CAST(NULL AS INTEGER) AS hides,
        CAST(NULL AS INTEGER) AS position
    FROM settled GROUP BY ALL
    UNION ALL
    SELECT
        day, typed, query, pin_id, NULL, NULL, NULL, NULL, NULL, clicked, saved, NULL,
        NULL, NULL, NULL
    FROM settled WHERE open
    UNION ALL
    SELECT
        day, typed, query, pin_id, NULL, NULL, NULL, NULL, NULL, NULL, NULL, moment,
        NULL, NULL, NULL
    FROM hide WHERE moment % 86400000 < $gap
    UNION ALL
    SELECT
        day, shown.spelling IS NOT NULL, coalesce(words, query_id), pin_id,
        NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
        impressions, hides, position
    FROM shown LEFT JOIN spelling ON shown.spelling = spelling.spelling
    WHERE coalesce(words, query_id) <> ''
)
SELECT *, (DATE '1970-01-01' + day::INTEGER)::VARCHAR AS date FROM tallied
"""

_COUNTS = """
WITH mute AS (SELECT spelling FROM spelling WHERE words = '')
SELECT
    (DATE '1970-01-01' + day::INTEGER)::VARCHAR AS date,
    count(*) FILTER (WHERE action = 'save') AS save,
    count(*) FILTER (WHERE action = 'click') AS click,
    count(*) FILTER (WHERE action = 'hide') AS hide,
    count(*) FILTER (WHERE action = 'impression') AS impression,
    count(*) FILTER (WHERE spelling IS NOT NULL AND action IN ('save', 'click'))
        AS query_without_words,
    count(*) FILTER (WHERE spelling IS NULL AND action = 'click' AND dwell_ms < $dwell)
        AS short_click
FROM event LEFT JOIN mute ON event.query = mute.spelling GROUP BY ALL
"""

_REPEATS = """
SELECT (DATE '1970-01-01' + day::INTEGER)::VARCHAR AS date, sum(acts - 1) AS repeats
FROM visit WHERE acts > 0 GROUP BY ALL
"""


def tally_dates(
    engine: DuckDB, files: Sequence[Path], folder: Path, config: PairsConfig
) -> dict[str, Counts]:
    """Tally the events of whole dates of one task.

    Args:
        engine: the engine.
        files: all files of some dates, with the columns of the event form.
        folder: for what is needed in between; in ``tallies`` it gets a folder ``date=…`` for each
            date with anything in it.
        config: the settings; those in :data:`TALLY_SETTINGS` matter.

    Returns:
        The counts of each date.
    """
    gap = round(config.hide_minutes * 60_000) or -1  # no hide comes before its click
    engine.files("stored", files)
    engine.view("event", _EVENT)
    _spell(engine, folder)
    engine.view("act", _ACT, dwell=config.min_dwell_ms)
    engine.table("visit", _VISIT, window=round(config.window_minutes * 60_000))
    engine.table("hide", _HIDE)
    engine.view("shown", _SHOWN)
    engine.write_by("date", _TALLY, folder / "tallies", gap=gap)
    counts = _counts(engine, config.min_dwell_ms)
    engine.drop("visit", "hide")
    return counts


def _spell(engine: DuckDB, folder: Path) -> None:
    """Make the view ``spelling``: each typed query and its words with single blanks between."""
    (raw,) = engine.write(_DISTINCT, folder / "typed")
    typed, split = pl.read_parquet(raw), folder / "spelling.parquet"
    pieces = (piece.with_columns(words=_words(piece["spelling"])) for piece in _slices(typed))
    pl.concat([typed.with_columns(words=pl.lit("")).clear(), *pieces]).write_parquet(split)
    engine.files("spelling", [split])


def _slices(frame: pl.DataFrame) -> Iterator[pl.DataFrame]:
    for start in range(0, frame.height, _PIECE):
        yield frame[start : start + _PIECE]


def _words(texts: pl.Series) -> pl.Series:
    return split_column(texts).list.join(" ")


def _counts(engine: DuckDB, dwell: int) -> dict[str, Counts]:
    names = (*ACTIONS, "query_without_words", "short_click")
    counts: dict[str, Counts] = {}
    for date, *numbers in engine.rows(_COUNTS, dwell=dwell):
        counts[date] = dict(zip(names, numbers, strict=True))
    repeats = dict(engine.rows(_REPEATS))
    for date, of_date in counts.items():
        of_date["repeat"] = int(repeats.get(date, 0))
    return counts
