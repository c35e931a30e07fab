"""Small inputs for the tests of training, built in plain Python."""

import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl

from pintext.pairs import write_pairs
from pintext.training.schedule import CorpusArrays

Pair = tuple[int, int, float]
"""Entity of q, entity of p+, weight."""


def corpus_arrays(
    entities: Sequence[Sequence[int]], tasks: Sequence[Sequence[Pair]]
) -> CorpusArrays:
    """Lay out entities (their words' rows) and each task's pairs as training reads them."""
    pairs = [pair for task in tasks for pair in task]
    distinct = [sorted({pin for _, pin, _ in task}) for task in tasks]
    known: list[list[int]] = [[] for _ in entities]
    for query, pin, _ in sorted(pairs):
        known[query].append(pin)
    return CorpusArrays(
        tokens=np.array([row for entity in entities for row in entity], np.int32),
        starts=_starts(entities),
        queries=np.array([query for query, _, _ in pairs], np.int32),
        pins=np.array([pin for _, pin, _ in pairs], np.int32),
        weights=np.array([weight for _, _, weight in pairs], np.float32),
        pair_starts=_starts(tasks),
        distinct_pins=np.array([pin for pins in distinct for pin in pins], np.int32),
        distinct_starts=_starts(distinct),
        known_starts=_starts(known),
        known_pins=np.array([pin for pins in known for pin in pins], np.int32),
    )


def _starts(parts: Sequence[Sequence[object]]) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return np.cumsum([0, *map(len, parts)], dtype=np.int64)


def topic_of(word: str) -> int:
    """The topic that a word of :func:`planted_pairs` belongs to."""
    return int(word[1:].split("w")[0])


def planted_pairs(rows: int = 3000, topics: int = 30, seed: int = 0) -> pl.DataFrame:
    """Pairs of tasks ``a`` and ``b`` whose two texts speak of one topic.

    A topic has ten words, ``t<topic>w<word>``, and five pins of two to five of them. A query is two
    to five of its words, in task ``a`` only of the first five.
    """
    draw = random.Random(seed)

    def text(topic: int, words: int) -> str:
        chosen = draw.sample(range(words), draw.randint(2, 5))
        return " ".join(f"t{topic}w{word}" for word in chosen)

    pins = [[text(topic, 10) for _ in range(5)] for topic in range(topics)]
    columns: dict[str, list[str]] = {"task": [], "query": [], "pin": []}
    for row in range(rows):
        topic = draw.randrange(topics)
        columns["task"].append("ab"[row % 2])
        columns["query"].append(text(topic, 5 if row % 2 == 0 else 10))
        columns["pin"].append(draw.choice(pins[topic]))
    return pl.DataFrame(columns)


def write_dataset(folder: Path, frame: pl.DataFrame | None = None) -> Path:
    """Write a dataset of pairs, planted ones where none are given; returns its path."""
    path = folder / "pairs"
    write_pairs(planted_pairs() if frame is None else frame, path)
    return path


def folder_bytes(folder: Path) -> dict[str, bytes]:
    """The content of every file of a model folder."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}
