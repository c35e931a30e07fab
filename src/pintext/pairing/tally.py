"""From the events of whole dates to a tally: what happened to a pin under a query on one date.

A tally is all that later steps want of a date's events, so the events are read once. It has one row
for each date, query and pin. What crosses midnight is kept open in it: clicks that a hide of the
next date may still withdraw, and the hides early enough to do so (see ``docs/pairs.md``).
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import polars as pl

from pintext.events.settings import ACTIONS
from pintext.pairing.engine import Engine
from pintext.pairing.settings import PairsConfig
from pintext.text import split_column

__all__ = ["DAY", "TALLY_SETTINGS", "Counts", "tally_dates"]

DAY = 86_400_000
"""Milliseconds of a date."""

TALLY_SETTINGS = ("min_dwell_ms", "window_minutes", "hide_minutes")
"""The settings that a tally depends on; with others it can be used again."""

Counts = dict[str, int]
"""Events of one date by action; of the saves and clicks those that do not count by themselves:
``query_without_words``, ``short_click``, ``repeat``."""

_PIECE = 200_000

_DISTINCT = "SELECT query AS spelling FROM event WHERE query IS NOT NULL GROUP BY query"

# A typed query is its words, so that `Oak table!` and `oak  table` are one query. A query that a
# catalogue names is its id.
_ACT = """
CREATE OR REPLACE TEMP VIEW act AS
SELECT
    epoch_ms(timestamp) AS moment,
    epoch_ms(timestamp) // 86400000 AS day,
    event.query IS NOT NULL AS typed,
    coalesce(spelling.words, event.query_id) AS query,
    pin_id,
    action,
    position,
    action = 'click' AND dwell_ms IS NOT NULL AND dwell_ms < getvariable('dwell') AS short
FROM event LEFT JOIN spelling ON event.query = spelling.spelling
"""

# What happened to one pin under one query within a window is one visit. Of its clicks the last one
# is kept: a hide that takes that one back takes back the visit's click.
_VISIT = """
CREATE OR REPLACE TEMP TABLE visit AS
SELECT
    day, typed, query, pin_id,
    moment % 86400000 // getvariable('slot') AS slot,
    bool_or(action = 'save') AS saved,
    max(moment) FILTER (action = 'click' AND NOT short) AS clicked,
    count(*) FILTER (NOT short) AS acts,
    bool_or(short) AS short
FROM act
WHERE action IN ('save', 'click') AND query <> ''
GROUP BY ALL
"""

_HIDE = """
CREATE OR REPLACE TEMP TABLE hide AS
SELECT DISTINCT day, typed, query, pin_id, moment FROM act WHERE action = 'hide' AND query <> ''
"""

_WITHDRAWN = """
CREATE OR REPLACE TEMP TABLE withdrawn AS
SELECT DISTINCT day, typed, query, pin_id, slot, true AS gone
FROM visit JOIN hide USING (day, typed, query, pin_id)
WHERE moment BETWEEN clicked AND clicked + getvariable('gap')
"""

# Most events are impressions. They are added up before their queries are looked up.
_SHOWN = """
CREATE OR REPLACE TEMP VIEW shown_as_spelt AS
SELECT
    epoch_ms(timestamp) // 86400000 AS day, query AS spelling, query_id, pin_id,
    count(*) FILTER (action = 'impression')::INTEGER AS impressions,
    count(*) FILTER (action = 'hide')::INTEGER AS hides,
    min(position) FILTER (action = 'impression') AS position
FROM event WHERE action IN ('impression', 'hide') GROUP BY ALL
"""

# Three kinds of rows, which are added up when they are used: votes, hides that may reach back over
# midnight, and what was shown.
_TALLY = """
WITH settled AS (
    SELECT
        visit.*,
        clicked IS NOT NULL AND gone IS NULL AS stands,
        stands AND clicked + getvariable('gap') >= (day + 1) * 86400000 AS open
    FROM visit LEFT JOIN withdrawn USING (day, typed, query, pin_id, slot)
),
vote AS (
    SELECT
        day, typed, query, pin_id,
        count(*) FILTER (saved AND NOT stands)::INTEGER AS saves,
        count(*) FILTER (stands AND NOT saved AND NOT open)::INTEGER AS clicks,
        count(*) FILTER (stands AND saved AND NOT open)::INTEGER AS save_clicks,
        count(*) FILTER (clicked IS NOT NULL AND NOT stands AND NOT saved)::INTEGER AS withdrawn,
        count(*) FILTER (short)::INTEGER AS short,
        list(struct_pack(moment := clicked, saved := saved) ORDER BY clicked) FILTER (open)
            AS open_clicks
    FROM settled GROUP BY ALL
),
early AS (
    SELECT day, typed, query, pin_id, list(moment ORDER BY moment) AS early_hides
    FROM hide WHERE moment % 86400000 < getvariable('gap') GROUP BY ALL
),
shown AS (
    SELECT
        day, spelling IS NOT NULL AS typed, coalesce(words, query_id) AS query, pin_id,
        impressions, hides, position
    FROM shown_as_spelt LEFT JOIN spelling USING (spelling)
    WHERE coalesce(words, query_id) <> ''
)
SELECT *, (DATE '1970-01-01' + day::INTEGER)::VARCHAR AS date
FROM (FROM vote UNION ALL BY NAME FROM early UNION ALL BY NAME FROM shown)
"""

_COUNTS = """
WITH mute AS (SELECT spelling FROM spelling WHERE words = '')
SELECT
    (DATE '1970-01-01' + (epoch_ms(timestamp) // 86400000)::INTEGER)::VARCHAR AS date,
    count(*) FILTER (action = 'save') AS save,
    count(*) FILTER (action = 'click') AS click,
    count(*) FILTER (action = 'hide') AS hide,
    count(*) FILTER (action = 'impression') AS impression,
    count(*) FILTER (spelling IS NOT NULL AND action IN ('save', 'click')) AS query_without_words,
    count(*) FILTER (
        spelling IS NULL AND action = 'click' AND dwell_ms < getvariable('dwell')
    ) AS short_click
FROM event LEFT JOIN mute ON event.query = mute.spelling GROUP BY ALL
"""

_REPEATS = """
SELECT (DATE '1970-01-01' + day::INTEGER)::VARCHAR AS date, sum(acts - 1)::BIGINT
FROM visit WHERE acts > 0 GROUP BY ALL
"""


def tally_dates(
    engine: Engine, files: Sequence[Path], folder: Path, work: Path, config: PairsConfig
) -> dict[str, Counts]:
    """Tally the events of whole dates of one task.

    Args:
        engine: the engine.
        files: all files of some dates, with the columns of the event form.
        folder: gets a folder ``date=…`` for each date with anything in it.
        work: for what is needed in between.
        config: the settings; those in :data:`TALLY_SETTINGS` matter.

    Returns:
        The counts of each date.
    """
    window = round(config.window_minutes * 60_000)
    gap = round(config.hide_minutes * 60_000) or -1  # no hide comes before its click
    engine.view("event", files)
    engine.let(dwell=config.min_dwell_ms, gap=gap, slot=window)
    _spell(engine, work)
    engine.run(_ACT)
    engine.run(_VISIT)
    engine.run(_HIDE)
    engine.run(_WITHDRAWN)
    engine.run(_SHOWN)
    engine.write_by("date", _TALLY, folder)
    counts = _counts(engine)
    for table in ("visit", "hide", "withdrawn"):
        engine.run(f"DROP TABLE {table}")
    return counts


def _spell(engine: Engine, work: Path) -> None:
    """Make the view ``spelling``: each typed query and its words with single blanks between."""
    raw, split = work / "typed.parquet", work / "spelling.parquet"
    engine.write(_DISTINCT, raw)
    typed = pl.read_parquet(raw)
    pieces = (piece.with_columns(words=_words(piece["spelling"])) for piece in _slices(typed))
    pl.concat([typed.with_columns(words=pl.lit("")).clear(), *pieces]).write_parquet(split)
    engine.view("spelling", [split])


def _slices(frame: pl.DataFrame) -> Iterator[pl.DataFrame]:
    for start in range(0, frame.height, _PIECE):
        yield frame[start : start + _PIECE]


def _words(texts: pl.Series) -> pl.Series:
    return split_column(texts).list.join(" ")


def _counts(engine: Engine) -> dict[str, Counts]:
    names = (*ACTIONS, "query_without_words", "short_click")
    counts: dict[str, Counts] = {}
    for date, *numbers in engine.run(_COUNTS):
        counts[date] = dict(zip(names, numbers, strict=True))
    repeats = Counter(dict(engine.run(_REPEATS)))
    for date, of_date in counts.items():
        of_date["repeat"] = repeats[date]
    return counts
