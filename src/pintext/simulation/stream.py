"""The stream of messages: events as they arrive, with what goes wrong on their way.

Everything is drawn chunk by chunk, each with a generator of its own that is made of the seed and
the chunk's number, so a stream of any length takes bounded memory and always comes out the same.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from pintext.errors import ConfigError, DataError
from pintext.events.form import EVENT_SCHEMA, SIMULATED
from pintext.simulation.catalogue import (
    postings,
    read_entities,
    word_texts,
)
from pintext.simulation.demand import Ask, Demand, demand_by_id, typed_demand
from pintext.simulation.settings import SimulationConfig
from pintext.simulation.traffic import World, sessions
from pintext.word_counter import WordCounter

__all__ = ["MESSAGE_SCHEMA", "Simulation"]

MESSAGE_SCHEMA = pl.Schema(
    {
        "event_id": pl.String(),
        "timestamp": pl.Int64(),
        "task": pl.String(),
        **{
            name: kind
            for name, kind in EVENT_SCHEMA.items()
            if name not in ("event_id", "timestamp")
        },
        "fault": pl.UInt8(),
    }
)
"""Columns of a message: the event form, times in milliseconds since 1970; and ``fault``: 0 for an
event, any other number for one that is to be made malformed in a way that the number says."""

_DAY = 86_400_000.0
_AGAIN = 30_000.0  # milliseconds until an event is sent again, on average
_LONGEST = 64  # words of a text that are read
_CHUNK_SESSIONS = 5_000


class Simulation:
    """Simulated engagement with the pins of a catalogue.

    Args:
        pins: the catalogue; see :func:`~pintext.simulation.catalogue.read_entities`.
        config: the settings.
        interests: a catalogue of interest profiles, for the task ``home_feed``.
        id_column: the column of the ids, in both catalogues.
        columns: the columns with text; where none is named, those of title, description, text
            that a catalogue has, or else all of them.

    Attributes:
        counts: what the messages yielded so far are: ``messages``, of which ``duplicates``,
            ``late`` and ``malformed``, and by ``task/action``.

    Raises:
        ConfigError: a home feed without interests.
        DataError: a catalogue cannot be used.
    """

    def __init__(
        self,
        pins: str | Path,
        config: SimulationConfig,
        *,
        interests: str | Path | None = None,
        id_column: str = "id",
        columns: Sequence[str] = (),
    ) -> None:
        self.config = config
        self.counts: Counter[str] = Counter()
        tasks = [task for task, weight in config.task_weights.items() if weight > 0]
        if "home_feed" in tasks and interests is None:
            raise ConfigError("task_weights: home_feed needs a catalogue of interests")
        counter = WordCounter(["texts"], _LONGEST)
        catalogue = read_entities(pins, counter, id_column, columns)
        if len(catalogue.ids) < 2:
            raise DataError(f"{pins}: only one entry has an id and text; a simulation needs two")
        profiles = read_entities(interests, counter, id_column, columns) if interests else None
        draw = self._generator(0)
        where = postings(catalogue, len(counter))
        ask = Ask(config.queries, config.zipf, config.results)

        def demand(task: str) -> Demand:
            if task == "search":
                return typed_demand(catalogue, word_texts(counter), where, ask, draw)
            if task == "related_pins" or profiles is None:
                return demand_by_id(catalogue, where, ask, draw, are_pins=True)
            return demand_by_id(profiles, where, ask, draw, are_pins=False)

        appeal = draw.uniform(0, 2, len(catalogue.ids))
        self._world = World(catalogue.ids, appeal, {task: demand(task) for task in sorted(tasks)})

    @property
    def label(self) -> dict[str, Any]:
        """What says of a file that it is simulated, and how: the settings but for Kafka's."""
        return {"simulated": True, **self.config.to_dict(), "kafka": {}}

    def messages(self) -> Iterator[pl.DataFrame]:
        """The stream in order of arrival, in pieces with the columns of :data:`MESSAGE_SCHEMA`."""
        config, waiting = self.config, _nothing()
        left, number, sent, chunk = config.events, 0, 0, 0
        per_session = _messages_per_session(config)
        while left:
            chunk += 1
            draw = self._generator(chunk)
            wanted = max(config.events - sent, 1) / per_session
            frame = sessions(self._world, config, int(min(wanted + 1, _CHUNK_SESSIONS)), draw)
            more = _sent(_dated(frame, config, sent / config.events, number), config, draw)
            number += frame.height
            sent += more.height
            waiting = pl.concat([waiting, more]).sort("arrival", maintain_order=True)
            if sent < config.events:
                # The next sessions begin later than all that has arrived until here.
                until = config.first_moment() + sent / config.events * config.days * _DAY
                arrived = int((waiting["arrival"] < until).sum())
            else:
                arrived = waiting.height
            ready, waiting = waiting[: min(arrived, left)], waiting[arrived:]
            left -= ready.height
            self._count(ready)
            yield ready.select(*MESSAGE_SCHEMA)

    def _generator(self, chunk: int) -> np.random.Generator:
        return np.random.default_rng(np.random.SeedSequence(self.config.seed, spawn_key=(chunk,)))

    def _count(self, messages: pl.DataFrame) -> None:
        good = messages.filter(pl.col("fault") == 0)
        self.counts["messages"] += messages.height
        self.counts["duplicates"] += int(messages["again"].sum())
        self.counts["late"] += int(messages["late"].sum())
        self.counts["malformed"] += messages.height - good.height
        for task, action, count in good.group_by("task", "action").len().iter_rows():
            self.counts[f"{task}/{action}"] += count


def _nothing() -> pl.DataFrame:
    more = {"arrival": pl.Int64, "again": pl.Boolean, "late": pl.Boolean}
    return pl.DataFrame(schema={**MESSAGE_SCHEMA, **more})


def _messages_per_session(config: SimulationConfig) -> float:
    """How many messages come of a session on average, to draw about as many as are needed."""
    looked_at = (np.arange(1, config.results + 1) ** -config.position_bias).sum()
    clicks = config.click_rate * looked_at * (1 + config.save_rate)
    per_query = config.results * (config.impressions + config.hide_rate) + clicks
    if per_query <= 0:
        raise ConfigError("click_rate, hide_rate and impressions are all 0: nothing would happen")
    return float(per_query * config.session_queries * (1 + config.duplicates))


def _dated(
    frame: pl.DataFrame, config: SimulationConfig, begin: float, number: int
) -> pl.DataFrame:
    """Give the events of a chunk their times and ids; the chunk begins at a share of all time."""
    share = frame.height * (1 + config.duplicates) / config.events
    span = config.days * _DAY
    moment = (begin + pl.col("begins") * share) * span + pl.col("after")
    form = {name: EVENT_SCHEMA[name] for name in ("query", "query_id") if name not in frame.columns}
    frame = frame.with_columns(
        (config.first_moment() + moment.floor().cast(pl.Int64)).alias("timestamp"),
        *(pl.lit(None, kind).alias(name) for name, kind in form.items()),
    ).sort("timestamp", maintain_order=True)
    ids = pl.format(f"{SIMULATED}{config.seed}-{{}}", pl.int_range(number, number + pl.len()))
    return frame.with_columns(ids.alias("event_id"))


def _sent(frame: pl.DataFrame, config: SimulationConfig, draw: np.random.Generator) -> pl.DataFrame:
    """When each event arrives, which arrive twice, and which do so malformed."""
    late = draw.random(frame.height) < config.late
    delay = np.where(late, draw.exponential(config.late_hours * 3_600_000, frame.height), 0)
    frame = frame.with_columns(
        arrival=pl.col("timestamp") + pl.Series(delay.astype(np.int64)),
        late=pl.Series(late),
        again=pl.lit(False),
    )
    twice = frame.filter(pl.Series(draw.random(frame.height) < config.duplicates))
    wait = 1 + draw.exponential(_AGAIN, twice.height).astype(np.int64)
    again = twice.with_columns(pl.col("arrival") + pl.Series(wait), again=pl.lit(True))
    every = pl.concat([frame, again])
    malformed = draw.random(every.height) < config.malformed
    kind = np.where(malformed, draw.integers(1, 256, every.height), 0).astype(np.uint8)
    return every.with_columns(fault=pl.Series(kind)).select(_nothing().columns)
