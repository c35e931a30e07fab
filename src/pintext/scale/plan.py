"""From numbers of pins, pairs and queries to processor time, memory, disk and machines.

Every cost is one of the measured ones; what is assumed beside them stands at the top. docs/scale.md
says what of it was tried and what was not.
"""

import math
from typing import Annotated

import msgspec
from msgspec import Meta

from pintext.config import Config, TrainConfig
from pintext.scale import measured

__all__ = ["PlanConfig", "Stage", "figure", "plan"]

_GB = 1e9
_WORD_BYTES = 50  # of a word besides its row
_WORKER_GB = 0.3
_PAIRS_GB = 4.0  # the joins spill beyond a limit; with what is besides it
_IN_USE = 0.7  # share of a machine's memory that is planned for
_BUSY = 0.5  # share of its cores that the peak of queries may take
_BUILD_CORES = 2  # that one build of an index keeps busy
_SPARK = 3.0  # times the processor time that pairs take in one process
_VERSIONS = 2  # of an index on the disk, while the next one is made


class PlanConfig(Config, frozen=True):
    """What is wanted, and what machines there are."""

    pins: Annotated[float, Meta(ge=1, le=1e13, description="pins to embed, index and serve")] = 1e6
    pairs: Annotated[float, Meta(ge=1, le=1e14, description="positive pairs to train on")] = 1e8
    dim: Annotated[int, Meta(ge=1, le=4096, description="length of a vector")] = 128
    words: Annotated[float, Meta(ge=1, le=1e9, description="words of the dictionary")] = 1e6
    epochs: Annotated[int, Meta(ge=1, description="passes over the pairs")] = TrainConfig().epochs
    events_per_pair: Annotated[
        float, Meta(ge=1, description="engagement events read for each pair, impressions too")
    ] = 7.0
    queries: Annotated[float, Meta(ge=0, description="searches a second at the peak")] = 1000.0
    replicas: Annotated[int, Meta(ge=1, description="copies of the index that serve, at least")] = 2
    shard_pins: Annotated[float, Meta(ge=1000, description="pins of a shard, at most")] = 1e7
    cores: Annotated[int, Meta(ge=1, description="of a machine")] = 16
    memory_gb: Annotated[float, Meta(ge=1, description="of a machine")] = 64.0
    hours: Annotated[
        float, Meta(gt=0, description="that a stage may take; more machines where it takes longer")
    ] = 8.0


class Stage(msgspec.Struct, frozen=True):
    """What one stage takes.

    Attributes:
        stage: its command.
        core_hours: processor time of one run; of ``serve``, of an hour at the peak.
        machines: that work at the same time.
        hours: from start to end; of ``serve`` nothing.
        memory_gb: of each machine.
        disk_gb: of what it leaves, all together.
        note: what decides.
    """

    stage: str
    core_hours: float
    machines: int
    hours: float | None
    memory_gb: float
    disk_gb: float
    note: str


def plan(config: PlanConfig) -> list[Stage]:
    """The stages in their order."""
    return [_pairs(config), _train(config), _embed(config), _index(config), _serve(config)]


def _dictionary_gb(config: PlanConfig) -> float:
    return config.words * (4 * config.dim + _WORD_BYTES) / _GB


def _index_gb(config: PlanConfig) -> float:
    return config.pins * (4 * config.dim + measured.INDEX_BYTES) / _GB


def _shards(config: PlanConfig) -> int:
    return math.ceil(config.pins / config.shard_pins)


def _machines(config: PlanConfig, core_hours: float) -> int:
    return max(1, math.ceil(core_hours / (config.cores * config.hours)))


def _pairs(config: PlanConfig) -> Stage:
    events = config.pairs * config.events_per_pair
    core_hours = measured.PAIRS.seconds(events, config.dim) / 3600
    machines, note = 1, "one machine"
    if core_hours > config.cores * config.hours:
        core_hours *= _SPARK
        machines, note = _machines(config, core_hours), "Spark"
    hours = core_hours / (machines * config.cores)
    disk = events * measured.EVENT_BYTES / _GB
    return Stage("pairs", core_hours, machines, hours, _PAIRS_GB, disk, note)


def _train(config: PlanConfig) -> Stage:
    core_hours = measured.TRAIN.seconds(config.pairs, config.dim) * config.epochs / 3600
    memory = config.pairs * measured.TRAIN_BYTES / _GB + 2 * _dictionary_gb(config)
    note = "one machine"
    if memory > _IN_USE * config.memory_gb:
        note = "pairs exceed the memory: take a sample"
    return Stage(
        "train", core_hours, 1, core_hours / config.cores, memory, _dictionary_gb(config), note
    )


def _embed(config: PlanConfig) -> Stage:
    core_hours = measured.EMBED.seconds(config.pins, config.dim) / 3600
    machines = _machines(config, core_hours)
    memory = _dictionary_gb(config) + config.cores * _WORKER_GB
    disk = config.pins * (4 * config.dim + measured.EMBED_BYTES) / _GB
    hours = core_hours / (machines * config.cores)
    return Stage(
        "embed",
        core_hours,
        machines,
        hours,
        memory,
        disk,
        f"{machines} shards" if machines > 1 else "one machine",
    )


def _index(config: PlanConfig) -> Stage:
    shards = _shards(config)
    pins = config.pins / shards
    one = measured.INDEX.seconds(pins, config.dim) / 3600
    one_gb = pins * measured.BUILD_BYTES / _GB + _dictionary_gb(config)
    side_by_side = max(1, min(config.cores // _BUILD_CORES, shards,
                              int(_IN_USE * config.memory_gb / one_gb)))  # fmt: skip
    wanted = math.ceil(shards * one / _BUILD_CORES / side_by_side / config.hours)
    machines = max(1, min(shards, wanted))
    rounds = math.ceil(shards / (machines * side_by_side))
    note = f"{shards:,} shard{'s' if shards > 1 else ''} of {pins:,.0f} pins"
    return Stage(
        "index", shards * one, machines, rounds * one / _BUILD_CORES, side_by_side * one_gb,
        _VERSIONS * _index_gb(config), note,
    )  # fmt: skip


def _serve(config: PlanConfig) -> Stage:
    shards = _shards(config)
    of_shard = measured.QUERY.seconds(config.pins / shards, config.dim) / 1e6
    of_query = shards * of_shard
    if shards > 1:
        of_query += shards * (measured.SHARD_SECONDS + measured.FRONT_SECONDS)
    mapped = _index_gb(config)
    besides = _dictionary_gb(config) + config.cores * _WORKER_GB
    room = max(_IN_USE * config.memory_gb - besides, 1e-9)
    hold = math.ceil(mapped / room)  # machines that hold the index once
    answer = math.ceil(config.queries * of_query / (_BUSY * config.cores))
    replicas = max(config.replicas, math.ceil(answer / hold))
    note = f"{replicas} replicas on {hold:,} each, {1e3 * of_query:,.1f} core-ms a search"
    return Stage(
        "serve", config.queries * of_query, hold * replicas, None, mapped / hold + besides,
        _VERSIONS * replicas * mapped, note,
    )  # fmt: skip


def figure(value: float, digits: int) -> float:
    """A figure as it is told: so many digits, no constant is known better, and 0.001 at least."""
    return max(float(f"{value:.{digits}g}"), 0.001) if value else 0.0
