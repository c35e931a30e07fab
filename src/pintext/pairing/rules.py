"""From the tallies of a task to its pairs and known negatives, as SQL; ``docs/pairs.md`` in words.

Each statement reads the tables that those before it made. Whatever has to be chosen is chosen by
weight and then by an MD5 of what it is, never by the order of rows; so the result depends on the
events alone, and another engine with the same rules gives the same.
"""

from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

from pintext.pairing.engine import Engine
from pintext.pairing.settings import PairsConfig

__all__ = ["NEGATIVES_OF_TASK", "PAIRS_OF_TASK", "apply_rules"]

_NEVER = 2**31 - 1
_EPOCH = date(1970, 1, 1)

# Which period (of a split by time) a date is in: 0 training, 1 validation, 2 test.
_PERIOD = """
CREATE OR REPLACE TEMP MACRO period_of(day) AS CASE
    WHEN day >= getvariable('test_from') THEN 2
    WHEN day >= getvariable('validation_from') THEN 1
    ELSE 0 END
"""

# The visits of a query and a pin in each period, open clicks settled by the hides of the next date.
_VOTES = """
CREATE OR REPLACE TEMP TABLE vote AS
WITH opened AS (
    SELECT day, typed, query, pin_id, unnest(open_clicks, recursive := true)
    FROM tally WHERE open_clicks IS NOT NULL
),
early AS (
    SELECT day - 1 AS day, typed, query, pin_id, unnest(early_hides) AS hidden
    FROM tally WHERE early_hides IS NOT NULL
),
settled AS (
    SELECT
        day, typed, query, pin_id, moment, saved,
        coalesce(bool_or(hidden <= moment + getvariable('gap')), false) AS gone
    FROM opened LEFT JOIN early USING (day, typed, query, pin_id)
    GROUP BY ALL
),
part AS (
    SELECT day, typed, query, pin_id, saves, clicks, save_clicks, withdrawn, short
    FROM tally WHERE saves IS NOT NULL
    UNION ALL
    SELECT
        day, typed, query, pin_id,
        (saved AND gone)::INTEGER,
        (NOT saved AND NOT gone)::INTEGER,
        (saved AND NOT gone)::INTEGER,
        (NOT saved AND gone)::INTEGER,
        0
    FROM settled
)
SELECT
    typed, query, pin_id, period_of(day) AS period,
    sum(saves)::BIGINT AS saves,
    sum(clicks)::BIGINT AS clicks,
    sum(save_clicks)::BIGINT AS save_clicks,
    sum(withdrawn)::BIGINT AS withdrawn,
    sum(short)::BIGINT AS short
FROM part GROUP BY ALL
"""

# The weightiest votes count, up to max_repeats of them. A pair belongs to the period that saw it
# first and has the votes of that period alone.
_CANDIDATES = """
CREATE OR REPLACE TEMP VIEW candidate AS
WITH counted AS (
    SELECT
        typed, query, pin_id, period,
        getvariable('save') AS save, getvariable('click') AS click,
        getvariable('repeats') AS repeats,
        save_clicks + CASE WHEN save >= click THEN saves ELSE clicks END AS many,
        CASE WHEN save >= click THEN clicks ELSE saves END AS few
    FROM vote WHERE saves + clicks + save_clicks > 0
),
weighed AS (
    SELECT
        typed, query, pin_id, period, many + few AS votes,
        least(many, repeats) * greatest(save, click)
            + least(few, repeats - least(many, repeats)) * least(save, click) AS weight
    FROM counted
)
SELECT * FROM weighed WHERE weight > 0
QUALIFY period = min(period) OVER (PARTITION BY typed, query, pin_id)
"""

# Shown or hidden and, up to the end of the period that saw that first, neither saved nor clicked.
_UNTOUCHED = """
CREATE OR REPLACE TEMP VIEW untouched AS
WITH touched AS (
    SELECT typed, query, pin_id, min(period) AS since
    FROM vote WHERE saves + clicks + save_clicks + short > 0 GROUP BY ALL
),
shown AS (
    SELECT
        typed, query, pin_id, period_of(day) AS period,
        sum(impressions)::BIGINT AS impressions, sum(hides)::BIGINT AS hides,
        min(position) AS position
    FROM tally WHERE impressions IS NOT NULL GROUP BY typed, query, pin_id, period
    {first}
)
SELECT shown.* FROM shown LEFT JOIN touched USING (typed, query, pin_id)
WHERE since IS NULL OR period < since
"""
_FIRST = "QUALIFY period = min(period) OVER (PARTITION BY typed, query, pin_id)"

# Why one cannot be used; in which split it is.
_JUDGE = """
CREATE OR REPLACE TEMP TABLE judged_{name} AS
SELECT
    {name}.*,
    CASE
        WHEN NOT typed AND subject.id IS NULL THEN 'query_not_in_catalogue'
        WHEN NOT typed AND subject.words = '' THEN 'query_without_text'
        WHEN pin.id IS NULL THEN 'pin_not_in_catalogue'
        WHEN pin.words = '' THEN 'pin_without_text'
        WHEN NOT typed AND $query_is_pin AND query = pin_id THEN 'pin_is_query'
    END AS reason,
    CASE $split
        WHEN 'time' THEN ['train', 'validation', 'test'][period + 1]
        WHEN 'query' THEN CASE
            WHEN md5(concat_ws(chr(31), $seed, coalesce(subject.words, query))) < $test THEN 'test'
            WHEN md5(concat_ws(chr(31), $seed, coalesce(subject.words, query))) < $validation
                THEN 'validation'
            ELSE 'train' END
    END AS split
FROM {name}
LEFT JOIN pin_text AS pin ON pin.id = {name}.pin_id
LEFT JOIN query_text AS subject ON NOT typed AND subject.id = {name}.query
"""

_CAP_QUERIES = """
CREATE OR REPLACE TEMP TABLE ranked AS
SELECT
    * EXCLUDE (reason, period),
    md5(concat_ws(chr(31), $seed, $task, query, pin_id)) AS chance,
    row_number() OVER (
        PARTITION BY split, typed, query ORDER BY weight DESC, chance, pin_id
    ) AS rank
FROM judged_candidate WHERE reason IS NULL
"""

_CAP_PINS = """
CREATE OR REPLACE TEMP TABLE kept AS
SELECT
    *,
    row_number() OVER (
        PARTITION BY split, pin_id ORDER BY weight DESC, chance, typed, query
    ) AS pin_rank
FROM ranked WHERE rank <= $per_query
"""

_PAIR = """
CREATE OR REPLACE TEMP VIEW pair AS
SELECT * FROM kept WHERE pin_rank <= getvariable('per_pin')
"""

# Only queries with too many are ranked, because most have few.
_CAP_NEGATIVES = """
CREATE OR REPLACE TEMP TABLE negative AS
WITH usable AS (SELECT * EXCLUDE (reason, period) FROM judged_untouched WHERE reason IS NULL),
crowded AS (SELECT split, typed, query FROM usable GROUP BY ALL HAVING count(*) > $per_query),
ranked AS (
    SELECT usable.* FROM usable JOIN crowded
        ON usable.query = crowded.query AND usable.typed = crowded.typed
        AND usable.split IS NOT DISTINCT FROM crowded.split
    QUALIFY row_number() OVER (
        PARTITION BY usable.split, usable.typed, usable.query
        ORDER BY hides DESC, impressions DESC,
            md5(concat_ws(chr(31), $seed, $task, usable.query, pin_id)), pin_id
    ) <= $per_query
)
FROM usable ANTI JOIN crowded
    ON usable.query = crowded.query AND usable.typed = crowded.typed
    AND usable.split IS NOT DISTINCT FROM crowded.split
UNION ALL FROM ranked
"""

_WITH_TEXTS = """
SELECT
    coalesce(subject.text, {name}.query) AS query,
    pin.text AS pin,
    pin_id,
    CASE WHEN NOT typed THEN {name}.query END AS query_id,
    {columns}
FROM {name}
JOIN pin_text AS pin ON pin.id = {name}.pin_id
LEFT JOIN query_text AS subject ON NOT typed AND subject.id = {name}.query
ORDER BY {name}.query, typed, pin_id
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
    engine.view("tally", tallies)
    by_time = config.split == "time"
    engine.let(
        gap=round(config.hide_minutes * 60_000) or -1,
        validation_from=_day(config.validation_from) if by_time else _NEVER,
        test_from=_day(config.test_from) if by_time else _NEVER,
        save=config.save_weight,
        click=config.click_weight,
        repeats=config.max_repeats,
        per_pin=config.max_queries_per_pin or _NEVER,
    )
    for statement in (_PERIOD, _VOTES, _CANDIDATES, _UNTOUCHED.format(first=_FIRST * by_time)):
        engine.run(statement)
    judging: dict[str, Any] = {
        "query_is_pin": config.query_from.get(task, "pins") == "pins",
        "split": config.split,
        "seed": str(config.seed),
        "test": _below(config.test),
        "validation": _below(config.test + config.validation),
    }
    for name in ("candidate", "untouched"):
        engine.run(_JUDGE.format(name=name), **judging)
    choosing = {"task": task, "seed": str(config.seed)}
    engine.run(_CAP_QUERIES, **choosing)
    engine.run(_CAP_PINS, per_query=config.max_pins_per_query or _NEVER)
    engine.run(_PAIR)
    engine.run(_CAP_NEGATIVES, per_query=config.max_negatives_per_query or _NEVER, **choosing)


def _day(written: str) -> int:
    """A date as a number of days since 1970; one that is not given never comes."""
    return (date.fromisoformat(written) - _EPOCH).days if written else _NEVER


def _below(share: float) -> str:
    """What this share of all MD5 sums, as hexadecimal digits, is less than."""
    return "g" if share >= 1 else f"{int(share * 2**128):032x}"
