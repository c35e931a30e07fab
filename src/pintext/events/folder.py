"""Files and watched folders into the store, each record once.

The manifest records of each file how many of its records are stored, in the same step as their
events. A file that was stored to its end is never read again; one that was interrupted goes on
where it stopped.
"""

import hashlib
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from pintext.ahead import ahead
from pintext.arrays import I64
from pintext.errors import DataError
from pintext.events.intake import Intake, Origin, few_collections
from pintext.events.judging import Judged, sort_out
from pintext.events.progress import Callback, Reporter
from pintext.events.reader import SUFFIXES, read_events
from pintext.events.settings import IngestConfig
from pintext.events.store import Source
from pintext.events.writer import StoreWriter
from pintext.files import reason

__all__ = ["FileIngester"]

_LOOK_SECONDS = 1.0
_SETTLED_SECONDS = 5.0
_SAMPLE = 65_536


class FileIngester:
    """Reads files into a store.

    Args:
        writer: the store.
        config: the settings.
        paths: files, and folders in which every file with a name in
            :data:`~pintext.events.reader.SUFFIXES` is read, at any depth; hidden ones are not.
        watch: go on looking for new files until told to stop. A file counts when it has not changed
            for five seconds; write it under a hidden name and rename it, to be sure.
        callback: told of the progress about every second.
        stopping: asked often; true ends the run after a commit.
    """

    def __init__(
        self,
        writer: StoreWriter,
        config: IngestConfig,
        paths: Sequence[Path],
        *,
        watch: bool = False,
        callback: Callback | None = None,
        stopping: Callable[[], bool] = lambda: False,
    ) -> None:
        self._writer = writer
        self._config = config
        self._paths = paths
        self._watch = watch
        self._stopping = stopping
        self._intake = Intake(writer, config)
        self._reporter = Reporter(callback, self._intake.totals)
        self._read: dict[str, _State] = {}  # as it was when it was read to its end
        self._errors: list[DataError] = []

    @few_collections()
    def run(self) -> Counter[str]:
        """Read every file; returns events by what became of them.

        Raises:
            DataError: a path does not exist, or there is no file of events; or, when all others
                are stored, a file cannot be used or has changed since it was stored. While
                watching, such a file is only noted.
            IngestError: the store cannot be written.
            BadEventsError: too many of the events, or all of them, are bad.
        """
        try:
            self._look()
        finally:
            self._intake.close()
        self._reporter.report(lambda: None, now=True)
        if self._errors:
            more = f"; {len(self._errors) - 1:,} more files fail" if len(self._errors) > 1 else ""
            raise DataError(f"{self._errors[0]}{more}")
        return self._intake.totals

    def _look(self) -> None:
        """Read the files that are new, until there are none or, while watching, for ever."""
        while not self._stopping():
            found = [file for file in self._files() if self._read.get(file[0]) != file[1]]
            if not (found or self._read or self._watch):
                raise DataError(_nothing_in(self._paths))
            for path, state in found:
                if self._stopping():
                    break
                self._take(path, state)
            if not self._watch:
                self._intake.refuse_all_bad()
            self._commit(wait=True)
            self._reporter.report(lambda: None)
            if self._watch:
                time.sleep(_LOOK_SECONDS)
            elif not found:
                break

    def _files(self) -> Iterator[tuple[str, "_State"]]:
        """The files there are now, by their whole path, in the order of their names."""
        for given in self._paths:
            if given.is_dir():
                paths = sorted(_inside(given))
            elif given.exists() or self._watch:
                paths = [given] if given.exists() else []
            else:
                raise DataError(f"{given}: no such file or folder; expected files of events")
            for path in paths:
                try:
                    status = path.stat()
                except FileNotFoundError:
                    continue  # it went away since it was listed
                age = time.time() - status.st_mtime
                if not self._watch or age >= _SETTLED_SECONDS:
                    yield str(path.resolve()), _State(status.st_size, status.st_mtime_ns)

    def _take(self, path: str, state: "_State") -> None:
        """Read one file from where the store stands."""
        self._read[path] = state
        try:
            self._read_on(Path(path))
        except (DataError, OSError) as error:
            if isinstance(error, OSError):
                error = DataError(f"{path}: cannot be read: {reason(error)}")
            if self._watch:
                self._reporter.note(f"{error}; left out")
            else:
                self._errors.append(error)

    def _read_on(self, path: Path) -> None:
        origin, identity = Origin(file=str(path)), _identity(path)
        source = self._writer.manifest.sources.get(origin.source)
        if source is not None and source.identity != _identity(path, source.identity):
            raise DataError(
                f"{path}: has changed since {source.position:,} records of it were stored (it may "
                "only grow); give new events a new file"
            )
        if source is not None and source.done and source.identity == identity:
            return
        at = None if source is None else source.position
        stretch = None
        for events in ahead(self._judged(path, at or 0)):
            if stretch is None:
                stretch = self._intake.stretch(origin, at)
            at = events.last
            number = np.full(len(events.records), stretch)
            self._intake.take(events.judged, number, events.records)
            self._intake.reached(stretch, Source(at, identity))
            self._reporter.taken += len(events.records)
            self._reporter.report(lambda: None)
            if self._stopping():
                return
            if self._intake.full:
                if str(path) in self._commit():
                    return
                stretch = None
        if stretch is None:
            stretch = self._intake.stretch(origin, at)
        self._intake.reached(stretch, Source(at or 0, identity, done=True))

    def _judged(self, path: Path, after: int) -> Iterator["_Batch"]:
        for events in ahead(read_events(path, self._config.mapping, after)):
            yield _Batch(sort_out(events.raw, self._config), events.records, events.last)

    def _commit(self, *, wait: bool = False) -> set[str]:
        """Begin to store what was taken; returns the files that somebody else has stored before.

        Those are looked at once more, and read from where the store stands then.
        """
        sources = self._intake.begin_commit()
        if wait:
            sources |= self._intake.settle()
        overtaken = {name.removeprefix("file:") for name in sources}
        for path in overtaken:
            self._read.pop(path, None)
        return overtaken


class _Batch(NamedTuple):
    """Judged events of a file, their records, and the last record that is done with."""

    judged: Judged
    records: I64
    last: int


class _State(NamedTuple):
    """What shows that a file has not changed: bytes, and nanoseconds of its latest change."""

    size: int
    changed: int


def _inside(folder: Path) -> Iterator[Path]:
    """The files in a folder that can hold events."""
    for inside, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith((".", "_"))]
        for name in names:
            if name.endswith(SUFFIXES) and not name.startswith((".", "_")):
                yield Path(inside, name)


def _nothing_in(paths: Sequence[Path]) -> str:
    """Says that folders hold no file of events, and what the first of them holds instead."""
    others = sorted(path.name for path in paths[0].iterdir()) if paths[0].is_dir() else []
    found = ", ".join(others[:5]) or "nothing"
    return (
        f"{', '.join(map(str, paths[:5]))}: no files of events (found: {found}); "
        f"expected names in {', '.join(SUFFIXES)}"
    )


def _identity(path: Path, before: str = "") -> str:
    """What tells whether a file is still the one that was read: its size and a digest of its start.

    With the identity of an earlier time, that of the file as it would have been then: the same, if
    it has only grown since.
    """
    size = path.stat().st_size
    if before:
        size = min(size, int(before.partition(":")[0]))
    with path.open("rb") as file:
        digest = hashlib.sha256(file.read(min(size, _SAMPLE)))
    return f"{size}:{digest.hexdigest()[:32]}"
