"""What the pairs are like, and what a practitioner should be told of them."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec

from pintext.events.settings import ACTIONS
from pintext.pairing.catalogue import CatalogueEntry
from pintext.pairing.engine import Engine

__all__ = [
    "Summary",
    "TaskSummary",
    "Warned",
    "Words",
    "summarize_events",
    "summarize_task",
    "warnings",
]

FEW_PAIRS = 1_000
HEAD_SHARE = 0.2
NO_TEXT_SHARE = 0.4
DROPPED_SHARE = 0.5
COVERAGE = 0.01


class Words(msgspec.Struct, frozen=True):
    """Words of the distinct texts of one side of the pairs."""

    mean: float
    median: float
    most: int


class TaskSummary(msgspec.Struct):
    """The figures of one task.

    Attributes:
        events: by action.
        not_counted: saves and clicks that are no vote: ``query_without_words``, ``short_click``,
            ``repeat`` (of another in its window), ``withdrawn`` (by a hide).
        votes: those that are left.
        candidates: pairs of a query and a pin with a vote that weighs something.
        dropped: candidates that did not become pairs, by reason.
        pairs: positive pairs.
        weight: their weights together.
        queries, pins: distinct ones in them.
        splits: pairs by split.
        top_query: the query with most votes among the candidates that can be used.
        top_query_votes: its share of their votes.
        top_query_pairs: the share of the weight that one query has in the pairs, at most.
        half_queries: how many queries have half of the votes.
        query_words, pin_words: of the texts.
        coverage: share of the catalogue's pins that are in a pair.
        negatives: known negatives.
        negatives_dropped: by reason.
    """

    events: dict[str, int] = {}
    not_counted: dict[str, int] = {}
    votes: int = 0
    candidates: int = 0
    dropped: dict[str, int] = {}
    pairs: int = 0
    weight: float = 0.0
    queries: int = 0
    pins: int = 0
    splits: dict[str, int] = {}
    top_query: str = ""
    top_query_votes: float = 0.0
    top_query_pairs: float = 0.0
    half_queries: int = 0
    query_words: Words = Words(0.0, 0.0, 0)
    pin_words: Words = Words(0.0, 0.0, 0)
    coverage: float = 0.0
    negatives: int = 0
    negatives_dropped: dict[str, int] = {}


class Warned(msgspec.Struct, frozen=True):
    """Something that should be looked at; ``task`` is empty where it is about a catalogue."""

    task: str
    message: str


class Summary(msgspec.Struct):
    """The figures of a folder of pairs.

    Attributes:
        tasks: by task.
        catalogues: ``pins``, and ``interests`` where given.
        warnings: what should be looked at.
        refused_events: dead letters by reason, where the events came from files.
    """

    tasks: dict[str, TaskSummary]
    catalogues: dict[str, CatalogueEntry]
    warnings: list[Warned]
    refused_events: dict[str, int] = {}


_NOT_COUNTED = ("query_without_words", "short_click", "repeat", "withdrawn")


class _Head(NamedTuple):
    query: str
    share: float
    half: int


def summarize_events(counts: Sequence[Mapping[str, int]]) -> TaskSummary:
    """The figures of a task of which no event has words or ids to make a pair of.

    Args:
        counts: of each date, from :mod:`pintext.pairing.tally`.
    """
    total: Counter[str] = Counter()
    for date in counts:
        total.update(date)
    return TaskSummary(
        events={name: total[name] for name in ACTIONS},
        not_counted={name: total[name] for name in _NOT_COUNTED},
    )


def summarize_task(
    engine: Engine, counts: Sequence[Mapping[str, int]], catalogue_pins: int
) -> TaskSummary:
    """The figures of the task that the tables of :mod:`pintext.pairing.rules` are now of.

    Args:
        engine: with those tables.
        counts: of each date, from :mod:`pintext.pairing.tally`.
        catalogue_pins: entries of the catalogue of pins.
    """
    summary = summarize_events(counts)
    ((votes, withdrawn),) = engine.rows(_VOTES)
    ((pairs, weight, queries, pins),) = engine.rows(_PAIRS)
    ((most,),) = engine.rows(_MOST_WEIGHT)
    head = _head(engine)
    splits = engine.rows("SELECT split, count(*) FROM pair GROUP BY split ORDER BY split")
    ((candidates,),) = engine.rows("SELECT count(*) FROM judged_candidate")
    ((negatives,),) = engine.rows("SELECT count(*) FROM negative")
    summary.not_counted["withdrawn"] = withdrawn
    return msgspec.structs.replace(
        summary,
        votes=votes,
        candidates=candidates,
        dropped=_dropped(engine),
        pairs=pairs,
        weight=weight,
        queries=queries,
        pins=pins,
        splits={str(name): number for name, number in splits if name is not None},
        top_query=head.query,
        top_query_votes=head.share,
        top_query_pairs=most / weight if pairs else 0.0,
        half_queries=head.half,
        query_words=_words(engine, _QUERY_WORDS),
        pin_words=_words(engine, _PIN_WORDS),
        coverage=pins / catalogue_pins if catalogue_pins else 0.0,
        negatives=negatives,
        negatives_dropped=_reasons(engine, "judged_untouched", "negative"),
    )


_VOTES = """
SELECT
    CAST(coalesce(sum(saves + clicks + save_clicks), 0) AS BIGINT),
    CAST(coalesce(sum(withdrawn), 0) AS BIGINT)
FROM vote
"""
_PAIRS = """
SELECT
    count(*), coalesce(sum(weight), 0), count(DISTINCT (typed, query)), count(DISTINCT pin_id)
FROM pair
"""
_MOST_WEIGHT = """
SELECT max(weight) FROM (SELECT sum(weight) AS weight FROM pair GROUP BY typed, query)
"""
_QUERY_WORDS = """
SELECT DISTINCT typed, query, coalesce(words, query) AS words
FROM pair LEFT JOIN query_text ON NOT typed AND id = query
"""
_PIN_WORDS = "SELECT words FROM pin_text WHERE id IN (SELECT pin_id FROM pair)"

_BY_QUERY = """
SELECT typed, query, CAST(sum(votes) AS BIGINT) AS votes
FROM judged_candidate WHERE reason IS NULL GROUP BY typed, query
"""
_FIRST = """
SELECT coalesce(text, query), votes
FROM (SELECT * FROM by_query ORDER BY votes DESC, typed, query LIMIT 1) AS first
LEFT JOIN query_text ON NOT typed AND id = query
"""
_BY_VOTES = "SELECT votes, count(*) FROM by_query GROUP BY votes ORDER BY votes DESC"


def _head(engine: Engine) -> _Head:
    """The query with most votes, its share of them, and how many queries have half of all."""
    engine.view("by_query", _BY_QUERY)
    found = engine.rows(_FIRST)
    if not found:
        return _Head("", 0.0, 0)
    ((query, most),) = found
    by_votes = engine.rows(_BY_VOTES)  # few: of many queries, most have as many votes as others
    everything = sum(votes * number for votes, number in by_votes)
    half, missing = 0, -(-everything // 2)
    for votes, number in by_votes:
        taken = min(number, -(-missing // votes))
        half, missing = half + taken, missing - taken * votes
        if missing <= 0:
            break
    return _Head(query, most / everything, half)


def _words(engine: Engine, texts: str) -> Words:
    ((mean, median, most),) = engine.rows(
        "SELECT avg(n), median(n), max(n) FROM (SELECT "  # noqa: S608 - constants of this module
        f"length(words) - length(replace(words, ' ', '')) + 1 AS n FROM ({texts}) AS distinct_text)"
    )
    return Words(mean or 0.0, median or 0.0, most or 0)


def _dropped(engine: Engine) -> dict[str, int]:
    """Candidates that did not become pairs, by reason."""
    reasons = _reasons(engine, "judged_candidate", "")
    ((usable, kept, pairs),) = engine.rows(
        "SELECT (SELECT count(*) FROM judged_candidate WHERE reason IS NULL), "
        "(SELECT count(*) FROM kept_of_query), (SELECT count(*) FROM pair)"
    )
    caps = {"over_pins_of_query": usable - kept, "over_queries_of_pin": kept - pairs}
    return {**reasons, **{name: number for name, number in caps.items() if number}}


def _reasons(engine: Engine, judged: str, capped: str) -> dict[str, int]:
    """Rows of a judged table by the reason against them; with the cap of another, if named."""
    found = engine.rows(
        f"SELECT reason, count(*) FROM {judged} GROUP BY reason ORDER BY reason"  # noqa: S608 - our names
    )
    reasons = {str(name): number for name, number in found if name is not None}
    if capped:
        ((left,),) = engine.rows(f"SELECT count(*) FROM {capped}")  # noqa: S608 - our names
        over = sum(number for name, number in found if name is None) - left
        reasons |= {"over_negatives_of_query": over} if over else {}
    return reasons


def warnings(
    tasks: dict[str, TaskSummary], catalogues: dict[str, CatalogueEntry], simulated: int = 0
) -> list[Warned]:
    """What should be looked at before training on the pairs.

    Args:
        tasks: the figures by task.
        catalogues: the catalogues.
        simulated: events that :mod:`pintext.simulation` made up.
    """
    found = []
    if simulated:
        made_up = f"{simulated:,} of the events are simulated; what is learned from them says"
        found.append(Warned("", f"{made_up} nothing about people"))
    for name, catalogue in catalogues.items():
        if catalogue.entries and catalogue.without_text >= NO_TEXT_SHARE * catalogue.entries:
            share = catalogue.without_text / catalogue.entries
            found.append(
                Warned(
                    "",
                    f"{share:.0%} of the {name} have no text; are the right columns named in the "
                    f"settings, under [{name}]?",
                )
            )
        if catalogue.entries < catalogue.rows - catalogue.no_id:
            more = catalogue.rows - catalogue.no_id - catalogue.entries
            found.append(
                Warned("", f"{more:,} rows of the {name} repeat an id; the last of each counts")
            )
    for task, figures in tasks.items():
        found += [Warned(task, message) for message in _of_task(figures)]
    return found


def _of_task(figures: TaskSummary) -> list[str]:
    messages = []
    if figures.pairs < FEW_PAIRS:
        messages.append(f"only {figures.pairs:,} pairs; too few to learn from")
    if figures.top_query_pairs >= HEAD_SHARE:
        messages.append(
            f"one query has {figures.top_query_pairs:.0%} of the weight; lower max_pins_per_query "
            "or max_repeats"
        )
    elif figures.top_query_votes >= HEAD_SHARE:
        messages.append(
            f"{figures.top_query!r} has {figures.top_query_votes:.0%} of the votes; the caps leave "
            f"at most {figures.top_query_pairs:.0%} of the weight to one query"
        )
    for name, number in figures.dropped.items():
        if figures.candidates and number >= DROPPED_SHARE * figures.candidates:
            messages.append(f"{number / figures.candidates:.0%} are dropped: {name}")
    if figures.pairs and figures.coverage < COVERAGE:
        messages.append(f"only {figures.coverage:.2%} of the catalogue's pins are in a pair")
    if not figures.pairs and any(figures.events.values()) and not figures.candidates:
        messages.append("nobody saved or clicked anything that counts")
    return messages
