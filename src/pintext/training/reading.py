"""Read positive pairs of text once, into files of provisional word and entity numbers."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from pintext.ahead import ahead
from pintext.arrays import F32, U8
from pintext.config import TrainConfig
from pintext.pairs import PairBatch, PairSource
from pintext.training.entities import EntityTable, GrowableArray
from pintext.vocabulary import VocabularyBuilder
from pintext.word_counter import TokenRows

__all__ = ["TRAIN", "VALIDATION", "PairReader", "RawColumns"]

TRAIN, VALIDATION = 0, 1  # codes of the split of a pair

RawColumns = tuple[
    GrowableArray[np.int32],
    GrowableArray[np.int32],
    GrowableArray[np.float32],
    GrowableArray[np.uint8],
]
"""Queries, pins, weights and splits of one task, in provisional entity numbers."""


class PairReader:
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

    def read(self, source: PairSource) -> Iterator[int]:
        """Read all pairs; yields the number of rows read so far, after each batch.

        Reading files, counting words and numbering entities are three threads that work on
        successive batches; each sees them in order, so nothing depends on which one is fastest.
        """
        rows = 0
        for tokens in ahead(self._tokens(ahead(source.batches()))):
            queries, pins, weights, splits = self.columns[tokens.task]
            queries.append(self.entities.add(*tokens.queries))
            pins.append(self.entities.add(*tokens.pins))
            weights.append(tokens.weights)
            splits.append(tokens.splits)
            rows += tokens.rows
            yield rows

    def _tokens(self, batches: Iterator[PairBatch]) -> Iterator["_Tokens"]:
        """Give each batch's words their numbers; test rows are left out."""
        numbers = {task: t for t, task in enumerate(self.words.tasks)}
        for batch in batches:
            task, split = numbers[batch.task], batch.frame["split"].fill_null("train")
            frame, split = batch.frame.filter(split != "test"), split.filter(split != "test")
            held = (split == "validation").to_numpy()
            yield _Tokens(
                task=task,
                rows=batch.frame.height,
                queries=self.words.add(task, frame["query"]),
                pins=self.words.add(task, frame["pin"]),
                weights=frame["weight"].to_numpy().astype(np.float32),
                splits=np.where(held, VALIDATION, TRAIN).astype(np.uint8),
            )


class _Tokens(NamedTuple):
    """A batch of one task's pairs whose words have become provisional numbers."""

    task: int
    rows: int  # of the input, test rows included
    queries: TokenRows
    pins: TokenRows
    weights: F32
    splits: U8
