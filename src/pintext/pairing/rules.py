"""From the tallies of a task to its pairs and known negatives, as SQL; ``docs/pairs.md`` in words.

Each statement reads the tables that those before it made. Whatever has to be chosen is chosen by
weight and then by an MD5 of what it is, never by the order of rows; so the result depends on the
events alone, and another engine with the same rules gives the same.
"""

from collections.abc import Sequence
from datetime import date
from functools import partial
from pathlib import Path

from pintext.pairing.engine import Engine
from pintext.pairing.settings import PairsConfig

__all__ = ["NEGATIVES_OF_TASK", "PAIRS_OF_TASK", "apply_rules"]

_NEVER = 2**31 - 1
_EPOCH = date(1970, 1, 1)

# Which period (of a split by time) a date is in: 0 training, 1 validation, 2 test.
_PERIOD = """
CASE WHEN day >= $test_from THEN 2 WHEN day >= $validation_from THEN 1 ELSE 0 END AS period
"""

# The visits of a query and a pin in each period, open clicks settled by the hides of the next date.
_VOTE = """
WITH opened AS (
    SELECT day, typed, query, pin_id, open_click, open_saved
    FROM tally WHERE open_click IS NOT NULL
),
early AS (
    SELECT day - 1 AS day, typed, query, pin_id, early_hide
    FROM tally WHERE early_hide IS NOT NULL
),
settled AS (
    SELECT
        day, typed, query, pin_id, open_click, open_saved,
        coalesce(bool_or(early_hide <= open_click + $gap), false) AS gone
    FROM opened LEFT JOIN early USING (day, typed, query, pin_id)
    GROUP BY ALL
),
part AS (
    SELECT day, typed, query, pin_id, saves, clicks, save_clicks, withdrawn, short
    FROM tally WHERE saves IS NOT NULL
    UNION ALL
    SELECT
        day, typed, query, pin_id,
        CAST(open_saved AND gone AS INTEGER),
        CAST(NOT open_saved AND NOT gone AS INTEGER),
        CAST(open_saved AND NOT gone AS INTEGER),
        CAST(NOT open_saved AND gone AS INTEGER),
        0
    FROM settled
),
dated AS (SELECT *, {period} FROM part)
SELECT
    typed, query, pin_id, period,
    CAST(sum(saves) AS BIGINT) AS saves,
    CAST(sum(clicks) AS BIGINT) AS clicks,
    CAST(sum(save_clicks) AS BIGINT) AS save_clicks,
    CAST(sum(withdrawn) AS BIGINT) AS withdrawn,
    CAST(sum(short) AS BIGINT) AS short
FROM dated GROUP BY ALL
"""

# The weightiest votes count, up to max_repeats of them. A pair belongs to the period that saw it
# first and has the votes of that period alone.
_CANDIDATE = """
WITH counted AS (
    SELECT
        typed, query, pin_id, period,
        save_clicks + CASE WHEN $save >= $click THEN saves ELSE clicks END AS many,
        CASE WHEN $save >= $click THEN clicks ELSE saves END AS few
    FROM vote WHERE saves + clicks + save_clicks > 0
),
weighed AS (
    SELECT
        typed, query, pin_id, period, many + few AS votes,
        least(many, $repeats) * greatest($save, $click)
            + least(few, $repeats - least(many, $repeats)) * least($save, $click) AS weight
    FROM counted
),
dated AS (
    SELECT *, min(period) OVER (PARTITION BY typed, query, pin_id) AS first
    FROM weighed WHERE weight > 0
)
SELECT typed, query, pin_id, period, votes, weight FROM dated WHERE period = first
"""

# Shown or hidden and, up to the end of the period that saw that first, neither saved nor clicked.
_UNTOUCHED = """
WITH touched AS (
    SELECT typed, query, pin_id, min(period) AS since
    FROM vote WHERE saves + clicks + save_clicks + short > 0 GROUP BY ALL
),
dated AS (SELECT *, {period} FROM tally WHERE impressions IS NOT NULL),
shown AS (
    SELECT
        typed, query, pin_id, period,
        CAST(sum(impressions) AS BIGINT) AS impressions, CAST(sum(hides) AS BIGINT) AS hides,
        min(position) AS position
    FROM dated GROUP BY ALL
),
early AS ({shown})
SELECT typed, query, pin_id, period, impressions, hides, position
FROM early LEFT JOIN touched USING (typed, query, pin_id)
WHERE since IS NULL OR period < since
"""
_SHOWN = "SELECT * FROM shown"  # where there is one period
_SHOWN_FIRST = """
SELECT * FROM (SELECT *, min(period) OVER (PARTITION BY typed, query, pin_id) AS first FROM shown)
WHERE period = first
"""

# Why one cannot be used; in which split it is.
_JUDGED = """
WITH beside AS (
    SELECT
        one.*, pin.mute AS pin_mute,
        subject.id AS found_query, coalesce(subject.words, one.query) AS query_words
    FROM {name} AS one
    LEFT JOIN (SELECT id, words = '' AS mute FROM pin_text) AS pin ON pin.id = one.pin_id
    LEFT JOIN query_text AS subject ON NOT one.typed AND subject.id = one.query
),
placed AS (
    SELECT *, CASE WHEN $by_query THEN md5(concat_ws(chr(31), $seed, query_words)) END AS place
    FROM beside
)
SELECT
    typed, query, pin_id, {columns},
    CASE
        WHEN NOT typed AND found_query IS NULL THEN 'query_not_in_catalogue'
        WHEN NOT typed AND query_words = '' THEN 'query_without_text'
        WHEN pin_mute IS NULL THEN 'pin_not_in_catalogue'
        WHEN pin_mute THEN 'pin_without_text'
        WHEN NOT typed AND $query_is_pin AND query = pin_id THEN 'pin_is_query'
    END AS reason,
    CASE
        WHEN $by_query AND place < $test THEN 'test'
        WHEN $by_query AND place < $validation THEN 'validation'
        WHEN $by_query THEN 'train'
        WHEN NOT $by_time THEN NULL
        WHEN period = 0 THEN 'train'
        WHEN period = 1 THEN 'validation'
        ELSE 'test'
    END AS split
FROM placed
"""

_KEPT_OF_QUERY = """
SELECT typed, query, pin_id, weight, split, chance FROM (
    SELECT
        *,
        row_number() OVER (
            PARTITION BY split, typed, query ORDER BY weight DESC, chance, pin_id
        ) AS place
    FROM (
        SELECT *, md5(concat_ws(chr(31), $seed, $task, query, pin_id)) AS chance
        FROM judged_candidate WHERE reason IS NULL
    )
) WHERE place <= $per_query
"""

_PAIR = """
SELECT typed, query, pin_id, weight, split FROM (
    SELECT
        *,
        row_number() OVER (
            PARTITION BY split, pin_id ORDER BY weight DESC, chance, typed, query
        ) AS place
    FROM kept_of_query
) WHERE place <= $per_pin
"""

# Only queries with too many are ranked, because most have few.
_NEGATIVE = """
WITH usable AS (
    SELECT typed, query, pin_id, impressions, hides, position, split
    FROM judged_untouched WHERE reason IS NULL
),
crowded AS (SELECT split, typed, query FROM usable GROUP BY ALL HAVING count(*) > $per_query),
ranked AS (
    SELECT
        usable.*,
        row_number() OVER (
            PARTITION BY usable.split, usable.typed, usable.query
            ORDER BY hides DESC, impressions DESC,
                md5(concat_ws(chr(31), $seed, $task, usable.query, pin_id)), pin_id
        ) AS place
    FROM usable JOIN crowded
        ON usable.query = crowded.query AND usable.typed = crowded.typed
        AND usable.split IS NOT DISTINCT FROM crowded.split
)
SELECT usable.* FROM usable ANTI JOIN crowded
    ON usable.query = crowded.query AND usable.typed = crowded.typed
    AND usable.split IS NOT DISTINCT FROM crowded.split
UNION ALL
SELECT typed, query, pin_id, impressions, hides, position, split FROM ranked
WHERE place <= $per_query
"""

_WITH_TEXTS = """
SELECT
    coalesce(subject.text, one.query) AS query,
    pin.text AS pin,
    pin_id,
    CASE WHEN NOT typed THEN one.query END AS query_id,
    {columns}
FROM {name} AS one
JOIN pin_text AS pin ON pin.id = one.pin_id
LEFT JOIN query_text AS subject ON NOT typed AND subject.id = one.query
ORDER BY one.query, typed, pin_id
"""

PAIRS_OF_TASK = _WITH_TEXTS.format(name="pair", columns="weight, split")
"""The pairs of a task in order: by query, then by pin."""

NEGATIVES_OF_TASK = _WITH_TEXTS.format(
    name="negative", columns="impressions, hides, position, split"
)
"""The known negatives of a task, in the same order."""


def apply_rules(engine: Engine, task: str, tallies: Sequence[Path], config: PairsConfig) -> None:
    """Make the tables ``pair`` and ``negative`` of one task, and those on the way to them.

    Args:
        engine: knows the views ``pin_text`` and ``query_text`` (``id``, ``text``, ``words``).
        task: the task.
        tallies: all its tallies.
        config: the settings.
    """
    engine.files("tally", tallies)
    engine.by_query(partial(_apply_to_queries, task, config))
    engine.table("pair", _PAIR, per_pin=config.max_queries_per_pin or _NEVER)


def _apply_to_queries(task: str, config: PairsConfig, engine: Engine) -> Sequence[str]:
    """Make the tables that may be made of some queries alone; their names."""
    by_time = config.split == "time"
    periods = {
        "validation_from": _day(config.validation_from) if by_time else _NEVER,
        "test_from": _day(config.test_from) if by_time else _NEVER,
    }
    engine.table(
        "vote",
        _VOTE.format(period=_PERIOD),
        gap=round(config.hide_minutes * 60_000) or -1,
        **periods,
    )
    engine.view(
        "candidate",
        _CANDIDATE,
        save=config.save_weight,
        click=config.click_weight,
        repeats=config.max_repeats,
    )
    shown = _SHOWN_FIRST if by_time else _SHOWN
    engine.view("untouched", _UNTOUCHED.format(period=_PERIOD, shown=shown), **periods)
    for name, columns in (
        ("candidate", "votes, weight"),
        ("untouched", "impressions, hides, position"),
    ):
        engine.table(
            f"judged_{name}",
            _JUDGED.format(name=name, columns=columns),
            query_is_pin=config.query_from.get(task, "pins") == "pins",
            by_time=by_time,
            by_query=config.split == "query",
            seed=str(config.seed),
            test=_below(config.test),
            validation=_below(config.test + config.validation),
        )
    choosing = {"task": task, "seed": str(config.seed)}
    per_query = config.max_pins_per_query or _NEVER
    engine.table("kept_of_query", _KEPT_OF_QUERY, per_query=per_query, **choosing)
    per_query = config.max_negatives_per_query or _NEVER
    engine.table("negative", _NEGATIVE, per_query=per_query, **choosing)
    return "vote", "judged_candidate", "judged_untouched", "kept_of_query", "negative"


def _day(written: str) -> int:
    """A date as a number of days since 1970; one that is not given never comes."""
    return (date.fromisoformat(written) - _EPOCH).days if written else _NEVER


def _below(share: float) -> str:
    """What this share of all MD5 sums, as hexadecimal digits, is less than."""
    return "g" if share >= 1 else f"{int(share * 2**128):032x}"
