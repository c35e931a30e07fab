"""Keeping a store in shape: small files become larger ones, old events go.

A commit writes one file for each task and date, so a stream makes many small files. Eight files of
about the same size (each less than eight times another) are merged into one, those again, and so
on: an event is written again once for each step, not once for each commit.
"""

import math
import os
import time
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl

from pintext.events.settings import IngestConfig
from pintext.events.store import FileEntry, Manifest, Retired, partition
from pintext.files import sync

__all__ = ["COMPRESSION_LEVEL", "ROW_GROUP", "cutoff", "retire", "tidy"]

ROW_GROUP = 250_000
COMPRESSION_LEVEL = 1
_FAN_IN = 8
_GRACE_SECONDS = 3600


def cutoff(config: IngestConfig) -> str | None:
    """The first date that is kept, as 2026-11-22; None if all are."""
    if not config.retention_days:
        return None
    return (datetime.now(UTC) - timedelta(days=config.retention_days)).date().isoformat()


def tidy(folder: Path, manifest: Manifest, config: IngestConfig, *, everything: bool) -> bool:
    """Merge small files, drop old events, delete what nobody can be reading any more.

    Call it under the store's lock.

    Args:
        folder: the store.
        manifest: changed in place; the caller writes it if anything changed.
        config: size of files, days of retention.
        everything: merge small files even where they are few.

    Returns:
        Whether the manifest changed.

    Raises:
        OSError, polars.exceptions.PolarsError: the disk refuses; what is listed is whole still.
    """
    now = int(time.time())
    forgotten = [old for old in manifest.retired if now - old.since > _GRACE_SECONDS]
    for old in forgotten:
        (folder / old.name).unlink(missing_ok=True)
        manifest.retired.remove(old)
    expired = _expired(folder, manifest, config)
    merges = list(_merges(manifest, config, everything=everything))
    if expired or merges:
        manifest.generation += 1
    retire(manifest, expired)
    horizon = _horizon(manifest, config) if merges else 0
    for number, group in enumerate(merges):
        inside = group[0].name.rpartition("/")[0]
        name = f"{inside}/{manifest.generation:08d}-{number}.parquet"
        size = _merge(folder, group, folder / name)
        rows = sum(entry.rows for entry in group)
        manifest.files.append(FileEntry(name, rows, size, _segments(group, horizon)))
        retire(manifest, group)
    return bool(forgotten or expired or merges)


def retire(manifest: Manifest, entries: list[FileEntry]) -> None:
    """Take files off the list; they are deleted later, for somebody may be reading them."""
    gone = {entry.name for entry in entries}
    manifest.files = [entry for entry in manifest.files if entry.name not in gone]
    manifest.dead_letters = [entry for entry in manifest.dead_letters if entry.name not in gone]
    manifest.retired += [Retired(name, int(time.time())) for name in sorted(gone)]


def _expired(folder: Path, manifest: Manifest, config: IngestConfig) -> list[FileEntry]:
    first = cutoff(config)
    if first is None:
        return []
    kept_since = datetime.fromisoformat(first).replace(tzinfo=UTC).timestamp()
    letters = [e for e in manifest.dead_letters if (folder / e.name).stat().st_mtime < kept_since]
    return [e for e in manifest.files if partition(e.name)[1] < first] + letters


def _merges(
    manifest: Manifest, config: IngestConfig, *, everything: bool
) -> Iterator[list[FileEntry]]:
    """Groups of files to be merged, each of one task and date and in the order of writing."""
    target = config.file_mb * 2**20
    tiers: dict[tuple[str, int], list[FileEntry]] = defaultdict(list)
    for entry in manifest.files:
        if 2 * entry.bytes < target:
            tier = 0 if everything else int(math.log(entry.bytes, _FAN_IN))
            tiers[entry.name.rpartition("/")[0], tier].append(entry)
    for _, entries in sorted(tiers.items()):
        group: list[FileEntry] = []
        for entry in entries:
            group.append(entry)
            if sum(e.bytes for e in group) >= target or (not everything and len(group) == _FAN_IN):
                yield group
                group = []
        if everything and len(group) > 1:
            yield group


def _horizon(manifest: Manifest, config: IngestConfig) -> int:
    """The latest commit of which nothing is in the window of duplicates any more."""
    segments = sorted(segment for entry in manifest.files for segment in entry.segments)
    rows = 0
    while segments and rows < config.duplicate_window:
        generation, more = segments.pop()
        rows += more
        if rows >= config.duplicate_window:
            return generation - 1
    return 0


def _segments(group: list[FileEntry], horizon: int) -> list[tuple[int, int]]:
    """The segments of a merged file; what is behind the horizon need not be told apart."""
    merged: list[tuple[int, int]] = []
    for generation, rows in (segment for entry in group for segment in entry.segments):
        if merged and max(merged[-1][0], generation) <= horizon:
            merged[-1] = (max(merged[-1][0], generation), merged[-1][1] + rows)
        else:
            merged.append((generation, rows))
    return merged


def _merge(folder: Path, group: list[FileEntry], path: Path) -> int:
    """Write the events of several files as one, in bounded memory; returns its bytes."""
    pl.scan_parquet(
        [folder / entry.name for entry in group], glob=False, hive_partitioning=False
    ).sink_parquet(
        path,
        compression_level=COMPRESSION_LEVEL,
        row_group_size=ROW_GROUP,
        maintain_order=True,
    )
    with path.open("rb") as file:
        os.fsync(file.fileno())
    sync(path.parent)
    return path.stat().st_size
