"""What precision a cut-off by similarity gives, from held-out pairs."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl

from pintext.errors import ConfigError, DataError
from pintext.index.pin_index import PinIndex
from pintext.index.pins import pin_frames
from pintext.pairs.folder import find_files

__all__ = ["Cutoff", "calibrate", "held_out"]

THRESHOLDS = tuple(round(0.05 * step, 2) for step in range(20))


class Cutoff(NamedTuple):
    """What hits are worth whose similarity is at least ``min_similarity``."""

    min_similarity: float
    precision: float
    """share of the hits that are held-out pairs; too low by whatever is right but in no pair"""
    recall: float
    """share of the held-out pairs that are hits"""
    answered: float
    """share of the queries that have a hit"""
    hits: int
    """how many hits of all queries the precision was measured on"""


def calibrate(
    index: PinIndex,
    pairs: pl.DataFrame,
    *,
    k: int = 10,
    thresholds: Sequence[float] = THRESHOLDS,
) -> list[Cutoff]:
    """Measure what cut-offs give: each query is searched in the mode ``embedding``.

    Args:
        index: to be searched.
        pairs: ``query`` and ``pin_id``: what people engaged with and the training did not see.
        k: hits of a query.
        thresholds: cut-offs to measure.

    Returns:
        One a threshold, in their order; the precision is 0.0 where there is no hit.

    Raises:
        ConfigError: ``k`` is less than 1.
        DataError: a column is missing or there is no pair.
    """
    if k < 1:
        raise ConfigError(f"k = {k}: expected 1 or more")
    for name in ("query", "pin_id"):
        if name not in pairs.columns:
            raise DataError(f"no column {name!r} in the pairs; found: {', '.join(pairs.columns)}")
    wanted = pairs.select(pl.col("query", "pin_id").cast(pl.String)).drop_nulls().unique()
    if not wanted.height:
        raise DataError("no pair of a query and a pin_id; held-out pairs are needed")
    found: list[float] = []
    right: list[bool] = []
    best: list[float] = []
    for (query,), part in wanted.sort("query", "pin_id").group_by("query", maintain_order=True):
        hits = index.search(str(query), k, mode="embedding")
        answers = set(part["pin_id"])
        near = [hit for hit in hits if hits.mode == "embedding"]
        found += [hit.similarity for hit in near]
        right += [hit.id in answers for hit in near]
        best.append(near[0].similarity if near else -np.inf)
    similarities, correct, firsts = np.array(found), np.array(right, bool), np.array(best)
    cutoffs = []
    for threshold in thresholds:
        kept = similarities >= threshold
        hits_kept, right_kept = int(kept.sum()), int((kept & correct).sum())
        cutoffs.append(
            Cutoff(
                min_similarity=threshold,
                precision=right_kept / hits_kept if hits_kept else 0.0,
                recall=right_kept / wanted.height,
                answered=float((firsts >= threshold).mean()),
                hits=hits_kept,
            )
        )
    return cutoffs


def held_out(path: Path) -> pl.DataFrame:
    """The pairs of a file or a folder that training did not see: those of the split ``test``.

    All of them where there is no column ``split``.

    Raises:
        DataError: nothing there can be read, or a column is missing.
    """
    parts = []
    for file, _task in find_files(path):
        for frame in pin_frames(file):
            if "split" in frame.columns:
                frame = frame.filter(pl.col("split") == "test")
            for name in ("query", "pin_id"):
                if name not in frame.columns:
                    raise DataError(f"{file}: no column {name!r}; expected query and pin_id")
            parts.append(frame.select(pl.col("query", "pin_id").cast(pl.String)))
    return pl.concat(parts)
