"""The folder that ``pintext pairs`` writes, and what it remembers of how it was made.

    pairs/
      task=search/part-0.parquet             the pairs
      _negatives/task=search/part-0.parquet  known negatives
      _tallies/task=search/date=2026-03-01/  what an update needs instead of the events
      _summary.json                          the figures
      _manifest.json                         settings, and which events and catalogues were used

Readers of datasets leave alone what begins with an underscore.
"""

import fcntl
import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, NamedTuple, cast

import msgspec

from pintext.errors import DataError, LockedError
from pintext.events.store import EventStore, StoredFile
from pintext.files import check_replaceable, escaped, reason, sync
from pintext.pairing.catalogue import CatalogueEntry

__all__ = [
    "MANIFEST",
    "NEGATIVES",
    "SUMMARY",
    "TALLIES",
    "Date",
    "Manifest",
    "TallyEntry",
    "dates_of",
    "link",
    "locked",
    "names_in",
    "put_once",
    "sync_all",
    "tally_folder",
]

MANIFEST, SUMMARY = "_manifest.json", "_summary.json"
NEGATIVES, TALLIES, WORK = "_negatives", "_tallies", "_work"
_FORMAT_VERSION = 1


class Date(NamedTuple):
    """The events of one task and date in a store.

    Attributes:
        task: the task.
        date: the date (UTC), as 2026-03-01.
        files: the files that hold them.
        rows: how many they are.
        latest: number of the commit that the last of them came with; -1 where it is not known.
        names: digest of the names of the files.
        digest: of their names and sizes.
    """

    task: str
    date: str
    files: list[Path]
    rows: int
    latest: int
    names: str
    digest: str


class TallyEntry(msgspec.Struct, frozen=True):
    """A tally that is there, and the events that it was made of; see :class:`Date`."""

    task: str
    date: str
    rows: int
    latest: int
    names: str
    digest: str
    counts: dict[str, int]

    def holds(self, events: Date) -> bool:
        """Whether it was made of just these events.

        A store never uses a name for two contents, so files of the same names are the same if they
        are as large, and of another store if not. Compaction gives other names. But events are only
        ever added, with a later commit, or removed with the whole date; so the same number of them
        up to the same commit are the same events.
        """
        if self.names == events.names:
            return self.digest == events.digest
        same = (self.rows, self.latest) == (events.rows, events.latest)
        return same and self.latest >= 0

    def renamed(self, events: Date) -> "TallyEntry":
        """The same tally, of the same events in the files that hold them now."""
        return msgspec.structs.replace(self, names=events.names, digest=events.digest)


class Manifest(msgspec.Struct, kw_only=True):
    """How a folder of pairs was made.

    Attributes:
        text_rules: the version of the rules of text.
        settings: as they were given.
        events_format, generation: version and latest commit of the event store.
        tallies: the dates in it.
        catalogues: by name.
    """

    text_rules: int
    settings: dict[str, Any]
    events_format: int
    generation: int
    tallies: list[TallyEntry]
    catalogues: dict[str, CatalogueEntry]
    format: Literal["pintext-pairs"] = "pintext-pairs"
    format_version: int = _FORMAT_VERSION

    @classmethod
    def read(cls, folder: Path) -> "Manifest | None":
        """The manifest of a folder; None where there is no folder, or an empty one.

        Raises:
            DataError: the folder holds something else, or was made by a newer PinText.
        """
        path = folder / MANIFEST
        try:
            if not folder.exists() or not any(folder.iterdir()):
                return None
            data = path.read_bytes()
            found = cast("dict[str, Any]", msgspec.json.decode(data))
            if found["format"] == "pintext-pairs" and found["format_version"] > _FORMAT_VERSION:
                raise DataError(
                    f"{path}: format version {found['format_version']} is newer than this PinText, "
                    f"which reads up to {_FORMAT_VERSION}; upgrade PinText"
                )
            return msgspec.json.decode(data, type=cls)
        except FileNotFoundError:
            raise DataError(
                f"{folder}: was not made by pintext pairs; choose another folder, or replace it "
                "(--overwrite)"
            ) from None
        except OSError as error:
            raise DataError(f"{path}: cannot be read: {reason(error)}") from None
        except (msgspec.DecodeError, UnicodeDecodeError, KeyError, TypeError) as error:
            raise DataError(f"{path}: not the manifest of a folder of pairs ({error})") from None


def dates_of(store: EventStore, tasks: tuple[str, ...]) -> list[Date]:
    """The tasks and dates in a store, in order; all tasks where none are named."""
    groups: dict[tuple[str, str], list[StoredFile]] = {}
    for file in store.files():
        if not tasks or file.task in tasks:
            groups.setdefault((file.task, file.date), []).append(file)
    latest = {entry.name: entry.segments for entry in store.manifest.files}
    dates = []
    for (task, date), files in sorted(groups.items()):
        known = [max((number for number, _ in latest[f.name]), default=-1) for f in files]
        dates.append(
            Date(
                task,
                date,
                [file.path for file in files],
                sum(file.rows for file in files),
                max(known) if min(known) >= 0 else -1,
                _digest([file.name for file in files]),
                _digest([(file.name, file.bytes) for file in files]),
            )
        )
    return dates


def _digest(value: object) -> str:
    """16 hexadecimal digits that stand for a value."""
    return hashlib.sha256(repr(value).encode("utf-8", "replace")).hexdigest()[:16]


def tally_folder(folder: Path, task: str, date: str) -> Path:
    """Where the tally of a task and date lies."""
    return folder / TALLIES / f"task={escaped(task)}" / f"date={date}"


def names_in(folder: Path) -> frozenset[str]:
    """What may be replaced in a folder of pairs."""
    tasks = (inside.name for inside in folder.glob("task=*/"))
    return frozenset((MANIFEST, SUMMARY, NEGATIVES, TALLIES, *tasks))


def link(old: Path, new: Path) -> None:
    """Let the files of a folder be in another one as well, without copying them where possible."""
    new.mkdir(parents=True, exist_ok=True)
    for file in sorted(old.glob("*.parquet")):
        try:
            os.link(file, new / file.name)
        except OSError:
            shutil.copyfile(file, new / file.name)


def sync_all(folder: Path) -> None:
    """Wait until everything in a folder, at any depth, is on the disk."""
    for inside, _, names in os.walk(folder):
        for name in names:
            sync(Path(inside, name))
        sync(Path(inside))


@contextmanager
def locked(out: Path, *, replace: bool) -> Iterator[None]:
    """Hold the lock of a folder of pairs, which is a hidden file beside it.

    Raises:
        LockedError: another process makes the same pairs.
        DataError: something is in the way, or the disk refuses.
    """
    check_replaceable(out, DataError, names_in(out), overwrite=replace)
    path = out.with_name(f".{out.name}.lock")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = path.open("w")
    except OSError as error:
        raise DataError(f"{path}: cannot be written: {reason(error)}") from None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            removed = os.fstat(lock.fileno()).st_nlink == 0  # by a process that just ended
        except BlockingIOError:
            removed = True
        if removed:
            raise LockedError(
                f"{out}: another process is making these pairs; wait for it or choose another --out"
            )
        try:
            yield
        finally:
            path.unlink(missing_ok=True)


def put_once(folder: Path, place: Path) -> None:
    """Move a folder to its place; if one is there, another attempt at the same was faster."""
    try:
        folder.rename(place)
    except OSError:
        if not place.exists():
            raise
