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
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from safetensors.numpy import load_file

from pintext.arrays import I32, I64, U8
from pintext.compiled import compiled_allocating
from pintext.config import TrainConfig
from pintext.errors import ConfigError, NoPairsError
from pintext.pairs import PairSource
from pintext.tensors import write_tensors
from pintext.training.entities import GrowableArray, hash_tokens, map_array
from pintext.training.randomness import key
from pintext.training.reading import VALIDATION, PairReader, RawColumns
from pintext.training.schedule import CorpusArrays
from pintext.training.settling import settle_entities, sort_few
from pintext.vocabulary import Vocabulary

__all__ = ["Corpus", "HeldOut", "open_corpus", "prepare_corpus"]

_FORMAT = 1
_HELD_OUT_QUERIES = 4  # purpose of a random stream; 1..3 are the schedule's
_CHUNK = 1 << 20  # pairs written at a time
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


@compiled_allocating
def _hold_out(tokens: I32, starts: I64, share: float, stream: Any) -> U8:
    """Mark a share of the entities by a hash of their rows, so that equal texts fall together."""
    chosen = np.zeros(starts.shape[0] - 1, np.uint8)
    limit = share * 18446744073709551616.0
    for entity in range(chosen.shape[0]):
        h = key(hash_tokens(tokens, starts[entity], starts[entity + 1]), 0, stream, 0)
        chosen[entity] = np.float64(h) < limit
    return chosen


@compiled_allocating
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
        sort_few(known, starts[e], starts[e + 1])


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
            held = usable & ((splits[part] == VALIDATION) | (chosen[queries] == 1))
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


def _write_pairs(reader: PairReader, number: I32, config: TrainConfig) -> list[dict[str, int]]:
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
    reader = PairReader(tasks, config, folder)
    for rows in reader.read(source):
        rows_read(rows)

    vocabulary, row_of = reader.words.build(config.min_count, config.max_words, config.stop_words)
    number = settle_entities(reader.entities, row_of, folder)
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


_UNREAD = {"missing_field", "invalid_json", "invalid_utf8"}
"""Why a row may lack its fields."""


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
    reasons = set(report.rejected)
    if not report.used and "missing_field" in reasons and reasons <= _UNREAD:
        return NoPairsError(
            f"{source.path}: not one of {report.rows:,} rows has both fields 'query' and 'pin' "
            f"(as in {report.examples['missing_field'][0]}); name them so. Are these events? "
            "pintext pairs makes pairs of them"
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
