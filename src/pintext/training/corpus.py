"""Turn positive pairs of text into memory-mapped arrays of tokens, reading the text once.

Reading adds every text to the vocabulary and to the table of distinct entities, under provisional
word numbers. Once all counts are known the vocabulary is settled, the entities are rewritten in its
rows (words sorted, since their order does not matter to a mean; entities that have become equal
merged), and the pairs follow. Memory holds the words and a hash table of entities; all else is in
files, so that pairs may be many times larger than memory.
"""

import hashlib
import json
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from safetensors.numpy import load_file

from pintext.arrays import I32, I64, U8
from pintext.compiled import compiled
from pintext.config import TrainConfig
from pintext.errors import ConfigError, NoPairsError
from pintext.pairs import PairBatch, PairSource
from pintext.tensors import write_tensors
from pintext.training.entities import EntityTable, GrowableArray, hash_tokens, map_array
from pintext.training.randomness import key
from pintext.training.schedule import CorpusArrays
from pintext.vocabulary import Vocabulary, VocabularyBuilder

__all__ = ["Corpus", "HeldOut", "open_corpus", "prepare_corpus"]

_FORMAT = 1
_TRAIN, _VALIDATION = 0, 1
_HELD_OUT_QUERIES = 4  # purpose of a random stream; 1..3 are the schedule's
_LONG = 32  # words or pins, from which on insertion is no longer the fastest sort
_CHUNK = 1 << 20  # entities rewritten at a time
_FILES: dict[str, type[np.generic]] = {
    "tokens": np.int32,
    "starts": np.int64,
    "queries": np.int32,
    "pins": np.int32,
    "weights": np.float32,
    "pair_starts": np.int64,
    "distinct_pins": np.int32,
    "distinct_starts": np.int64,
    "known_starts": np.int64,
    "known_pins": np.int32,
    "held_queries": np.int32,
    "held_pins": np.int32,
    "held_starts": np.int64,
}


RawColumns = tuple[
    GrowableArray[np.int32],
    GrowableArray[np.int32],
    GrowableArray[np.float32],
    GrowableArray[np.uint8],
]
"""Queries, pins, weights and splits of one task, in provisional entity numbers."""


@dataclass(frozen=True)
class HeldOut:
    """Pairs kept from training to judge it, grouped by task."""

    queries: I32
    pins: I32
    starts: I64


@dataclass(frozen=True)
class Corpus:
    """The pairs as training reads them, with what a model card says of them."""

    arrays: CorpusArrays
    held_out: HeldOut
    vocabulary: Vocabulary
    tasks: tuple[str, ...]
    counts: dict[str, Any]
    fingerprint: str

    @property
    def longest(self) -> int:
        """Words of the longest entity."""
        return int(np.diff(self.arrays.starts).max(initial=0))


class _Reader:
    """Reads pairs, task by task, into files of provisional token and entity numbers."""

    def __init__(self, tasks: tuple[str, ...], config: TrainConfig, folder: Path) -> None:
        self.folder = folder
        self.words = VocabularyBuilder(tasks, config.max_tokens)
        self.entities = EntityTable(folder, "raw")
        self.columns: list[RawColumns] = [
            (
                GrowableArray(folder / f"raw-{t}-queries.i32", np.int32),
                GrowableArray(folder / f"raw-{t}-pins.i32", np.int32),
                GrowableArray(folder / f"raw-{t}-weights.f32", np.float32),
                GrowableArray(folder / f"raw-{t}-splits.u8", np.uint8),
            )
            for t in range(len(tasks))
        ]

    def add(self, task: int, frame: Any) -> None:
        """Add a batch of rows of one task; test rows are left out."""
        frame = frame.filter(frame["split"].fill_null("train") != "test")
        queries, pins, weights, splits = self.columns[task]
        for column, name in ((queries, "query"), (pins, "pin")):
            rows, offsets = self.words.add(task, frame[name])
            column.append(self.entities.add(rows, offsets))
        weights.append(frame["weight"].to_numpy().astype(np.float32))
        held = (frame["split"].fill_null("train") == "validation").to_numpy()
        splits.append(np.where(held, _VALIDATION, _TRAIN).astype(np.uint8))


@compiled
def _sort(values: I32, start: int, stop: int) -> None:
    """Sort ``values[start:stop]``; most are a few words, where insertion is fastest."""
    if stop - start > _LONG:
        values[start:stop].sort()
        return
    for i in range(start + 1, stop):
        value, at = values[i], i
        while at > start and values[at - 1] > value:
            values[at] = values[at - 1]
            at -= 1
        values[at] = value


@compiled
def _rewrite(tokens: I32, starts: I64, first: int, last: int, row_of: I32, rows: I32) -> I64:
    """Known rows of entities ``first``..``last - 1``, sorted within each; returns their offsets."""
    offsets = np.zeros(last - first + 1, np.int64)
    size = 0
    for entity in range(first, last):
        start = size
        for i in range(starts[entity], starts[entity + 1]):
            row = row_of[tokens[i]]
            if row >= 0:
                rows[size] = row
                size += 1
        _sort(rows, start, size)
        offsets[entity - first + 1] = size
    return offsets


@compiled
def _reorder(tokens: I32, starts: I64, order: I64, new_tokens: I32, new_starts: I64) -> None:
    """Copy entities, ``order[i]`` to place ``i``."""
    new_starts[0] = size = 0
    for i in range(order.shape[0]):
        for at in range(starts[order[i]], starts[order[i] + 1]):
            new_tokens[size] = tokens[at]
            size += 1
        new_starts[i + 1] = size


def _settle_entities(raw: EntityTable, row_of: I32, folder: Path) -> I32:
    """Rewrite the entities in the vocabulary's rows, to ``tokens`` and ``starts``.

    They are numbered in the order of their hashes, so that the numbers, and with them what is drawn
    as background, depend neither on the format of the files nor on the order in which tasks were
    read. Returns raw number -> number, -1 where no word is left.
    """
    settled = EntityTable(folder, "raw-settled")
    number = np.empty(len(raw), np.int32)
    for first in range(0, len(raw), _CHUNK):
        last = min(first + _CHUNK, len(raw))
        rows = np.empty(int(raw.starts[last] - raw.starts[first]), np.int32)
        offsets = _rewrite(raw.tokens, raw.starts, first, last, row_of, rows)
        ids = settled.add(rows, offsets)
        number[first:last] = np.where(np.diff(offsets) > 0, ids, -1)
    order = np.argsort(settled.hashes)
    rank = np.empty(order.shape[0], np.int32)
    rank[order] = np.arange(order.shape[0], dtype=np.int32)
    tokens = GrowableArray(folder / "tokens", np.int32)
    starts = GrowableArray(folder / "starts", np.int64)
    tokens.size, starts.size = settled.tokens.shape[0], settled.starts.shape[0]
    _reorder(settled.tokens, settled.starts, order, tokens.reserve(0), starts.reserve(0))
    for array in (tokens, starts, settled):
        array.close()
    known = number >= 0
    number[known] = rank[number[known]]
    return number


@compiled
def _hold_out(tokens: I32, starts: I64, share: float, stream: Any) -> U8:
    """Mark a share of the entities by a hash of their rows, so that equal texts fall together."""
    chosen = np.zeros(starts.shape[0] - 1, np.uint8)
    limit = share * 18446744073709551616.0
    for entity in range(chosen.shape[0]):
        h = key(hash_tokens(tokens, starts[entity], starts[entity + 1]), 0, stream, 0)
        chosen[entity] = np.float64(h) < limit
    return chosen


@compiled
def _known_pins(queries: I32, pins: I32, starts: I64, known: I32) -> None:
    """Counting sort of the pairs by query, each query's pins ascending; fills in ``starts``."""
    for i in range(queries.shape[0]):
        starts[queries[i] + 1] += 1
    for e in range(1, starts.shape[0]):
        starts[e] += starts[e - 1]
    position = starts[:-1].copy()
    for i in range(queries.shape[0]):
        known[position[queries[i]]] = pins[i]
        position[queries[i]] += 1
    for e in range(starts.shape[0] - 1):
        _sort(known, starts[e], starts[e + 1])


class _PairWriter:
    """Writes the pairs in settled entity numbers, the held-out ones apart, a chunk at a time."""

    def __init__(self, folder: Path, entities: int) -> None:
        self.entities = entities
        self.out = {
            name: GrowableArray(folder / name, _FILES[name])
            for name in _FILES
            if not name.startswith(("tokens", "starts", "known"))
        }
        self._close_task()

    def _close_task(self) -> None:
        for starts, values in (
            ("pair_starts", "queries"),
            ("distinct_starts", "distinct_pins"),
            ("held_starts", "held_queries"),
        ):
            self.out[starts].append(np.array([self.out[values].size], np.int64))

    def write_task(self, columns: RawColumns, new_id: I32, chosen: U8) -> dict[str, int]:
        """Write one task's pairs and return its counts."""
        raw_queries, raw_pins, weights, splits = (column.values for column in columns)
        seen_queries = np.zeros(self.entities, np.bool_)
        seen_pins = np.zeros(self.entities, np.bool_)
        pairs = validation = unknown = 0
        for first in range(0, raw_queries.shape[0], _CHUNK):
            part = slice(first, first + _CHUNK)
            queries, pins = new_id[raw_queries[part]], new_id[raw_pins[part]]
            usable = (queries >= 0) & (pins >= 0)
            held = usable & ((splits[part] == _VALIDATION) | (chosen[queries] == 1))
            train = usable & ~held
            seen_queries[queries[train]] = True
            seen_pins[pins[train]] = True
            self.out["queries"].append(queries[train])
            self.out["pins"].append(pins[train])
            self.out["weights"].append(weights[part][train])
            self.out["held_queries"].append(queries[held])
            self.out["held_pins"].append(pins[held])
            pairs += int(train.sum())
            validation += int(held.sum())
            unknown += int((~usable).sum())
        self.out["distinct_pins"].append(np.flatnonzero(seen_pins).astype(np.int32))
        self._close_task()
        return {
            "pairs": pairs,
            "queries": int(seen_queries.sum()),
            "pins": int(seen_pins.sum()),
            "validation_pairs": validation,
            "without_known_words": unknown,
        }

    def close(self) -> None:
        """Let go of the files."""
        for array in self.out.values():
            array.close()


def _write_pairs(reader: _Reader, number: I32, config: TrainConfig) -> list[dict[str, int]]:
    """Split the pairs and write them; returns each task's counts."""
    folder = reader.folder
    tokens, starts = map_array(folder / "tokens", np.int32), map_array(folder / "starts", np.int64)
    given = any(column[3].values.any() for column in reader.columns)
    share = 0.0 if given else config.validation
    stream = np.uint64(key(config.seed, _HELD_OUT_QUERIES, 0, 0))
    chosen = _hold_out(tokens, starts, share, stream)
    writer = _PairWriter(folder, chosen.shape[0])
    counts = [writer.write_task(columns, number, chosen) for columns in reader.columns]
    writer.close()
    return counts


def _write_known(folder: Path) -> None:
    queries, pins = map_array(folder / "queries", np.int32), map_array(folder / "pins", np.int32)
    starts = np.zeros_like(map_array(folder / "starts", np.int64))
    known = GrowableArray(folder / "known_pins", np.int32)
    _known_pins(queries, pins, starts, known.reserve(queries.shape[0]))
    known.size = queries.shape[0]
    known.close()
    (folder / "known_starts").write_bytes(starts.data)


def corpus_fingerprint(source: PairSource, config: TrainConfig) -> str:
    """What the prepared corpus depends on: the input, and the settings that shape it."""
    shaping = ("min_count", "max_words", "max_tokens", "stop_words", "validation", "seed")
    settings = {name: value for name, value in config.to_dict().items() if name in shaping}
    text = json.dumps([_FORMAT, source.fingerprint, settings], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def prepare_corpus(
    source: PairSource,
    config: TrainConfig,
    folder: Path,
    rows_read: Callable[[int], None] = lambda _: None,
) -> Corpus:
    """Read all pairs and write the corpus to an existing folder.

    Args:
        source: the pairs.
        config: ``min_count``, ``max_words``, ``max_tokens``, ``stop_words``, ``validation`` and
            ``seed`` are used.
        folder: where the arrays go, over what an unfinished preparation may have left; needs room
            for about 8 bytes a pair and 4 bytes a distinct word of a distinct text.
        rows_read: called after each batch with the number of rows read so far.

    Raises:
        NoPairsError: no pair has a known word on both sides.
        ConfigError: ``task_weights`` names a task that the pairs do not have.
        OSError: the disk is full.
    """
    tasks = source.tasks
    unknown = sorted(set(config.task_weights) - set(tasks))
    if unknown:
        raise ConfigError(
            f"task_weights names {', '.join(map(repr, unknown))}, "
            f"but the pairs have the tasks {', '.join(map(repr, tasks))}"
        )
    (folder / "corpus.json").unlink(missing_ok=True)
    reader = _Reader(tasks, config, folder)
    numbers = {task: t for t, task in enumerate(tasks)}
    rows = 0
    for batch in _ahead(source.batches()):
        reader.add(numbers[batch.task], batch.frame)
        rows += batch.frame.height
        rows_read(rows)

    vocabulary, row_of = reader.words.build(config.min_count, config.max_words, config.stop_words)
    number = _settle_entities(reader.entities, row_of, folder)
    reader.entities.close()
    counts = _write_pairs(reader, number, config)
    for path in folder.glob("raw-*"):
        path.unlink()
    if not any(task["pairs"] for task in counts):
        held_out = sum(task["validation_pairs"] for task in counts)
        raise _no_pairs(source, config, len(vocabulary), held_out)
    _write_known(folder)
    write_tensors(folder / "vocabulary.safetensors", vocabulary.arrays(), {})
    report = source.report
    meta = {
        "fingerprint": corpus_fingerprint(source, config),
        "tasks": tasks,
        "counts": {
            "rows": report.rows,
            "rejected": dict(report.rejected),
            "tasks": dict(zip(tasks, counts, strict=True)),
        },
    }
    _seal(folder, msgspec.json.encode(meta))
    return open_corpus(folder)


def _seal(folder: Path, meta: bytes) -> None:
    """Write ``corpus.json``, whose presence says that all the rest is there and on the disk."""
    temporary = folder / "corpus.json.new"
    temporary.write_bytes(meta)
    for path in folder.iterdir():
        with path.open("rb") as file:
            os.fsync(file.fileno())
    temporary.replace(folder / "corpus.json")


def _ahead(batches: Iterator[PairBatch]) -> Iterator[PairBatch]:
    """Read one batch ahead in a thread, while the batch before it is taken apart."""
    with ThreadPoolExecutor(1, "pintext-read") as reader:
        coming = reader.submit(next, batches, None)
        while (batch := coming.result()) is not None:
            coming = reader.submit(next, batches, None)
            yield batch


def _no_pairs(source: PairSource, config: TrainConfig, words: int, held_out: int) -> NoPairsError:
    report = source.report
    if not report.rows:
        return NoPairsError(f"{source.path}: holds no rows, so there is nothing to train on")
    if held_out:
        return NoPairsError(
            f"{source.path}: no pair is left to train on: all {held_out:,} are held out for "
            f"validation; lower validation (now {config.validation:g}), or give more pairs or rows "
            "of the split 'train'"
        )
    return NoPairsError(
        f"{source.path}: no pair is left to train on: of {report.rows:,} rows {report.used:,} were "
        f"usable and {words:,} words are seen at least min_count = {config.min_count} times; lower "
        "min_count or give more pairs"
    )


def open_corpus(folder: Path) -> Corpus:
    """Map a prepared corpus into memory."""
    meta = msgspec.json.decode((folder / "corpus.json").read_bytes())
    arrays: dict[str, Any] = {
        name: map_array(folder / name, dtype) for name, dtype in _FILES.items()
    }
    held = HeldOut(arrays.pop("held_queries"), arrays.pop("held_pins"), arrays.pop("held_starts"))
    tasks = tuple(meta["tasks"])
    return Corpus(
        arrays=CorpusArrays(**arrays),
        held_out=held,
        vocabulary=Vocabulary.from_arrays(load_file(folder / "vocabulary.safetensors"), tasks),
        tasks=tasks,
        counts=meta["counts"],
        fingerprint=meta["fingerprint"],
    )
