"""Writing into an event store: what is committed is whole, once, and says how far its source is.

Commits of several processes into one store follow each other: each holds the store's lock, reads
the manifest anew, and adds only what goes on from the positions that the manifest records. Whoever
comes with events that another process has stored meanwhile is told so and drops them. So it does
not matter who a Kafka group believes to own a partition, or how late a process wakes up.
"""

import fcntl
import os
import re
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import NamedTuple

import polars as pl

from pintext.errors import IngestError
from pintext.events.form import EVENT_SCHEMA, SIMULATED
from pintext.events.letters import Letter, write_letters
from pintext.events.settings import IngestConfig
from pintext.events.store import LETTERS, MANIFEST, FileEntry, Manifest, Source
from pintext.events.upkeep import COMPRESSION_LEVEL, ROW_GROUP, cutoff, retire, tidy
from pintext.events.window import Window, latest_ids
from pintext.files import escaped, reason, sync

__all__ = ["Advance", "Batch", "Committed", "StoreWriter"]

_LOCK = ".lock"
_LOCK_SECONDS = 300.0
_OURS = re.compile(r"\d{8,}(-\d+)?")


class Advance(NamedTuple):
    """A stretch of one source: a commit takes it only if the store stands at ``start``.

    Attributes:
        source: name of the source in the manifest.
        start: position of the first event; None where the store must not know the source yet.
        after: the source's state when the stretch is stored.
    """

    source: str
    start: int | None
    after: Source


@dataclass
class Batch:
    """What is to be committed together.

    Attributes:
        events: the columns of the event form, ``task``, and ``advance`` (UInt32): which of
            ``advances`` the event belongs to.
        letters: dead letters, each with the index of its advance.
        advances: the stretches of the sources that events and letters come from.
        ignored: by index of an advance, events that the settings say to ignore.
        answered: name of the file of dead letters that ``events`` and ``letters`` come from, which
            goes in exchange.
    """

    events: pl.DataFrame
    letters: list[tuple[int, Letter]] = field(default_factory=list)
    advances: list[Advance] = field(default_factory=list)
    ignored: Mapping[int, int] = field(default_factory=dict)
    answered: str = ""


class Committed(NamedTuple):
    """What became of a batch.

    Attributes:
        counts: events by what became of them: ``stored``, ``duplicates`` (their ``event_id`` is in
            the window), ``expired``, ``ignored``, and ``dead_…`` by reason.
        stale: sources whose stretch another process had stored; nothing of them was taken.
    """

    counts: Counter[str]
    stale: frozenset[str]


class StoreWriter:
    """Adds events to a store; makes it where there is none.

    Args:
        folder: the store.
        config: length of the window of duplicates, days of retention, size of files.

    Attributes:
        manifest: the store after the latest commit of this writer.

    Raises:
        IngestError: the folder holds something else or cannot be written, or its lock is not to be
            had within five minutes.
        DataError: its manifest is damaged or of a newer version.
    """

    def __init__(self, folder: str | Path, config: IngestConfig) -> None:
        self.folder = Path(folder)
        self._config = config
        self._window = Window(config.duplicate_window)
        self._seen = 0  # generation up to which the window knows the store
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            found = sorted(inside.name for inside in self.folder.iterdir())
        except OSError as error:
            raise IngestError(f"{self.folder}: cannot be made: {reason(error)}") from None
        if found and not {MANIFEST, _LOCK} & set(found):
            raise IngestError(
                f"{self.folder}: holds {found[0]} and is no event store; choose another folder"
            )
        with self._locked() as manifest:
            remove_strays(self.folder, manifest)
            self._catch_up(manifest)
            self.manifest = manifest

    def commit(self, batch: Batch) -> Committed:
        """Store a batch: all of it that is not stale or, whatever happens, nothing.

        Raises:
            IngestError: the disk refuses, or the lock is not to be had.
        """
        with self._locked() as manifest:
            stale = [i for i, a in enumerate(batch.advances) if not _goes_on(manifest, a)]
            fresh = [advance for i, advance in enumerate(batch.advances) if i not in stale]
            events = batch.events.filter(~pl.col("advance").is_in(stale))
            letters = [letter for i, letter in batch.letters if i not in stale]
            if batch.answered and batch.answered not in [e.name for e in manifest.dead_letters]:
                raise IngestError(f"{batch.answered}: has been replayed by somebody else meanwhile")
            self._catch_up(manifest)
            kept = _kept(events, self._config)
            counts = Counter({"expired": events.height - kept.height})
            new = kept.filter(pl.Series(self._window.fresh(kept["event_id"])))
            counts["stored"] = new.height
            counts["duplicates"] = kept.height - new.height
            counts["ignored"] = sum(n for i, n in batch.ignored.items() if i not in stale)
            if not batch.answered:
                counts.update(f"dead_{letter.reason}" for letter in letters)
            if fresh or not batch.advances:
                manifest.generation += 1
                manifest.sources |= {advance.source: advance.after for advance in fresh}
                manifest.counts = dict(Counter(manifest.counts) + counts)
                manifest.simulated += int(new["event_id"].str.starts_with(SIMULATED).sum())
                retire(manifest, [e for e in manifest.dead_letters if e.name == batch.answered])
                with self._whole():
                    self._write(manifest, new, letters)
                self._window.add(new["event_id"])
                self._seen = manifest.generation
                self._tidy(manifest, everything=False)
            self.manifest = manifest
        return Committed(counts, frozenset(batch.advances[i].source for i in stale))

    def compact(self) -> None:
        """Merge small files into large ones, and drop what is past its retention.

        Raises:
            IngestError: the disk refuses, or the lock is not to be had.
        """
        with self._locked() as manifest:
            self._tidy(manifest, everything=True)
            self.manifest = manifest

    def _tidy(self, manifest: Manifest, *, everything: bool) -> None:
        with self._whole():
            if tidy(self.folder, manifest, self._config, everything=everything):
                manifest.write(self.folder)

    @contextmanager
    def _locked(self) -> Iterator[Manifest]:
        """Hold the store's lock; yields the manifest as it is now."""
        with (self.folder / _LOCK).open("ab") as file:
            deadline = time.monotonic() + _LOCK_SECONDS
            while True:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() > deadline:
                        raise IngestError(
                            f"{self.folder}: another process has held the store's lock for "
                            f"{_LOCK_SECONDS:.0f} s; is an ingester stopped in the middle?"
                        ) from None
                    time.sleep(0.01)
            yield Manifest.read(self.folder) or Manifest()

    @contextmanager
    def _whole(self) -> Iterator[None]:
        """Let what the body writes count as a whole or, where the disk refuses, not at all."""
        try:
            yield
        except (OSError, pl.exceptions.PolarsError, IngestError) as error:
            # Where even the manifest was replaced, what it lists must stay.
            remove_strays(self.folder, Manifest.read(self.folder) or Manifest())
            raise IngestError(
                f"{self.folder}: the events cannot be stored: {reason(error)}; nothing is lost: "
                "start again when the disk takes them"
            ) from None

    def _write(self, manifest: Manifest, events: pl.DataFrame, letters: list[Letter]) -> None:
        """Write the files of one commit, then the manifest that lists them."""
        generation = manifest.generation
        dated = events.with_columns(pl.col("timestamp").dt.date().alias("date"))
        parts = dated.partition_by("task", "date", as_dict=True, include_key=False)
        for (task, day), part in sorted(parts.items()):
            name = f"task={escaped(task)}/date={day}/{generation:08d}.parquet"
            size = write_events(self.folder / name, part.select(EVENT_SCHEMA.names()))
            manifest.files.append(FileEntry(name, part.height, size, [(generation, part.height)]))
        if letters:
            name = f"{LETTERS}/{generation:08d}.jsonl"
            size = write_letters(self.folder / name, letters)
            manifest.dead_letters.append(FileEntry(name, len(letters), size))
        sync(self.folder)
        manifest.write(self.folder)

    def _catch_up(self, manifest: Manifest) -> None:
        """Remember the event_ids that others have stored."""
        limit = self._config.duplicate_window
        for ids in latest_ids(self.folder, manifest.files, self._seen, limit):
            self._window.add(ids)
        self._seen = manifest.generation


def _goes_on(manifest: Manifest, advance: Advance) -> bool:
    """Whether a stretch begins where the store stands."""
    stored = manifest.sources.get(advance.source)
    return advance.start == (None if stored is None else stored.position)


def _kept(events: pl.DataFrame, config: IngestConfig) -> pl.DataFrame:
    """The events that are not past their retention already."""
    first = cutoff(config)
    if first is None:
        return events
    return events.filter(pl.col("timestamp").dt.date() >= date.fromisoformat(first))


def write_events(path: Path, events: pl.DataFrame) -> int:
    """Write one Parquet file, durably; returns its bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        events.write_parquet(file, compression_level=COMPRESSION_LEVEL, row_group_size=ROW_GROUP)
        file.flush()
        os.fsync(file.fileno())
    sync(path.parent)
    sync(path.parent.parent)
    return path.stat().st_size


def remove_strays(folder: Path, manifest: Manifest) -> None:
    """Remove what a process that did not finish its commit has left; call it under the lock."""
    listed = {file.name for file in manifest.files + manifest.dead_letters}
    listed |= {file.name for file in manifest.retired}
    patterns = ("task=*/date=*/*.parquet", f"{LETTERS}/*.jsonl")
    for pattern in patterns:
        for path in folder.glob(pattern):
            name = path.relative_to(folder).as_posix()
            if name not in listed and _OURS.fullmatch(path.stem):
                path.unlink()
    for path in folder.glob(".pintext-*"):
        path.unlink()
