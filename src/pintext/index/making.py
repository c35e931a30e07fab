"""Making a generation count: build it, measure what its tokens find, write the manifest."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import msgspec
import polars as pl

from pintext.arrays import F32
from pintext.errors import DataError
from pintext.index.building import Callback, Planned, Progress, Source, build_generation
from pintext.index.manifest import Manifest, digest
from pintext.index.searching import Wanted, exact, search
from pintext.index.snapshot import Snapshot
from pintext.index.terms import FOLDER, open_terms
from pintext.model import PinTextModel
from pintext.shards import in_shard
from pintext.tokens.scheme import FILE as TOKENS

__all__ = ["make_generation", "measured_recall", "remove_stale", "shard_frames"]

_MEASURED_K = 10


def make_generation(
    index: Path,
    base: Manifest,
    source: Source,
    model: PinTextModel,
    callback: Callback,
    planned: Planned | None = None,
) -> Manifest:
    """Build the generation that a manifest names, and write the manifest with what came of it.

    ``planned`` are tokens to use; without them they are planned for these pins.

    Raises:
        DataError: the pins cannot be used.
        OSError: the disk refuses.
        PinIndexError: the same, as Tantivy says it.
    """
    folder = base.folder(index)
    folder.mkdir()
    (scheme, retrieval), queries = build_generation(
        folder, source, model, base.config, callback, planned
    )
    manifest = msgspec.structs.replace(
        base,
        per_pin=scheme.per_pin,
        retrieval=retrieval,
        tokens_sha256=digest(folder / TOKENS),
    )
    snapshot = Snapshot(manifest, folder, open_terms(folder / FOLDER), scheme, 0)
    callback(Progress("measuring", 0, len(snapshot)))
    recall = measured_recall(snapshot, queries)
    retrieval = msgspec.structs.replace(retrieval, measured_recall=recall)
    manifest = msgspec.structs.replace(manifest, retrieval=retrieval)
    manifest.write(index)
    return manifest


def measured_recall(snapshot: Snapshot, queries: F32) -> float:
    """Share of the ten exactly nearest pins that a token search finds, over some queries.

    1.0 where there is nothing to find. Equally near pins are as good as one another.
    """
    found, there = 0, 0
    for vector in queries:
        wanted = Wanted(vector, [], _MEASURED_K)
        best = exact(snapshot, wanted)
        if not len(best):
            continue
        least = best[-1].similarity
        hits = search(snapshot, wanted, "embedding")
        found += sum(hit.similarity >= least for hit in hits)
        there += len(best)
    return min(1.0, found / there) if there else 1.0


def shard_frames(
    frames: Iterator[pl.DataFrame], id_column: str, shard: tuple[int, int]
) -> Iterator[pl.DataFrame]:
    """The pins of one part of several, as :func:`pintext.shards.in_shard` cuts them.

    Raises:
        ConfigError: not ``1 <= i <= n``.
        DataError: there is no such column.
    """
    for frame in frames:
        if id_column not in frame.columns:
            raise DataError(f"no column {id_column!r}; columns found: {', '.join(frame.columns)}")
        yield frame.filter(in_shard(frame[id_column], shard))


def remove_stale(index: Path) -> None:
    """Remove every generation but the one that counts; what cannot be removed stays."""
    kept = Manifest.read(index).folder(index)
    for folder in index.glob("generation-*"):
        if folder != kept:
            shutil.rmtree(folder, ignore_errors=True)
