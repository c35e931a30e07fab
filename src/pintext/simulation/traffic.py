"""Sessions of people who look for something, as columns of events.

The user model is the position-based model (Richardson, Dominowska and Ragno, WWW 2007): a shown pin
is clicked if it is looked at, which depends on its position alone, and found attractive, which
depends on the pin alone.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from pintext.arrays import I64
from pintext.simulation.demand import Demand
from pintext.simulation.settings import SimulationConfig

__all__ = ["World", "sessions"]

_BETWEEN_QUERIES = 60_000.0  # milliseconds on average
_UNTIL = {"impression": 0.0, "click": 8_000.0, "save": 20_000.0, "hide": 30_000.0}
_DWELL_SIGMA = 1.0  # of the logarithm


class World(NamedTuple):
    """What the people in a simulation find.

    Attributes:
        pins: ids of the pins.
        appeal: (n_pins,) how attractive each pin is, from 0 to 2, 1 on average.
        demand: by task.
    """

    pins: pl.Series
    appeal: NDArray[np.float64]
    demand: Mapping[str, Demand]


def sessions(
    world: World, config: SimulationConfig, count: int, draw: np.random.Generator
) -> pl.DataFrame:
    """The events of ``count`` sessions, which begin at even chances within one unit of time.

    Returns:
        ``begins`` (from 0 to 1, when its session begins), ``after`` (milliseconds from there),
        and the columns of the event form but for ``event_id`` and ``timestamp``.
    """
    weights = np.array([config.task_weights.get(task, 0.0) for task in world.demand])
    task_of = draw.choice(len(weights), count, p=weights / weights.sum())
    begins = np.sort(draw.random(count))
    frames = []
    for number, (task, demand) in enumerate(world.demand.items()):
        mine = begins[task_of == number]
        if len(mine):
            frame = _sessions_of(world, demand, config, mine, draw)
            frames.append(frame.with_columns(task=pl.lit(task)))
    return pl.concat(frames, how="diagonal")


def _sessions_of(
    world: World,
    demand: Demand,
    config: SimulationConfig,
    begins: NDArray[np.float64],
    draw: np.random.Generator,
) -> pl.DataFrame:
    """The events of sessions of one task."""
    lengths = draw.geometric(1 / config.session_queries, len(begins))
    session = np.repeat(np.arange(len(begins)), lengths)
    # A session's topic by the weights of its queries, then queries of that topic by their weights:
    # so each query is drawn with exactly its own probability.
    first = np.searchsorted(demand.upto, draw.random(len(begins)), side="right")
    low, high = demand.topic[first[session]].T
    query = np.searchsorted(demand.upto, low + (high - low) * draw.random(len(low)), side="right")
    query = np.minimum(query, len(demand.upto) - 1)
    gaps = draw.exponential(_BETWEEN_QUERIES, len(session))
    total = np.cumsum(gaps)
    starts = np.cumsum(lengths) - lengths
    asked_after = total - total[starts][session]
    shown = demand.pins[query].astype(np.int64)
    random = (shown < 0) | (draw.random(shown.shape) < config.noise)
    shown[random] = draw.integers(0, len(world.pins), int(random.sum()))
    events = _actions(world, config, shown, draw)
    of_query, rank = np.divmod(events["place"].to_numpy(), config.results)
    texts = demand.texts.gather(query[of_query])
    return events.select(
        begins=pl.Series(begins[session[of_query]]),
        after=pl.col("after") + pl.Series(asked_after[of_query]),
        **{demand.name: texts},
        pin_id=world.pins.gather(shown[of_query, rank]),
        action="action",
        dwell_ms="dwell_ms",
        position=pl.Series(rank + 1, dtype=pl.Int32),
    )


def _actions(
    world: World, config: SimulationConfig, shown: I64, draw: np.random.Generator
) -> pl.DataFrame:
    """What happens to shown pins: ``place`` (in the flattened pins), ``action``, ``after``, dwell.

    A save follows its click and a hide comes last, so that it may withdraw both.
    """
    looked_at = np.arange(1, shown.shape[1] + 1) ** -config.position_bias
    chance = config.click_rate * world.appeal[shown] * looked_at
    clicked = draw.random(shown.shape) < chance
    happened = {
        "impression": draw.random(shown.shape) < config.impressions,
        "click": clicked,
        "save": clicked & (draw.random(shown.shape) < config.save_rate),
        "hide": draw.random(shown.shape) < config.hide_rate,
    }
    after = np.zeros(shown.size)
    frames = []
    for action, mask in happened.items():
        place = np.flatnonzero(mask)
        after[place] += draw.exponential(_UNTIL[action], len(place)) if _UNTIL[action] else 0.0
        dwell = config.dwell_seconds * 1000 * draw.lognormal(0, _DWELL_SIGMA, len(place))
        kept = pl.Series(np.minimum(dwell, 3_600_000).astype(np.int32))
        frames.append(
            pl.DataFrame({"place": place, "after": after[place], "dwell_ms": kept}).with_columns(
                pl.lit(action).alias("action"),
                pl.col("dwell_ms")
                if action == "click"
                else pl.lit(None, pl.Int32).alias("dwell_ms"),
            )
        )
    return pl.concat(frames)
