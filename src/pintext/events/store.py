"""The event store: Parquet files by task and date, and a manifest that says which of them count.

    events/
      manifest.json                          format version, files, positions in the sources
      task=search/date=2026-11-22/00000017.parquet
      dead-letters/00000017.jsonl

The manifest is replaced in one step. A file that it does not list does not exist, whatever lies in
the folders; so a reader sees the state after some commit, never a part of one.
"""

from pathlib import Path
from typing import Any, Literal, NamedTuple, cast
from urllib.parse import unquote

import msgspec

from pintext.errors import DataError, IngestError
from pintext.files import new_file, reason

__all__ = [
    "LETTERS",
    "MANIFEST",
    "EventStore",
    "FileEntry",
    "Manifest",
    "Retired",
    "Source",
    "StoredFile",
    "partition",
]

MANIFEST = "manifest.json"
LETTERS = "dead-letters"
_FORMAT_VERSION = 1


class FileEntry(msgspec.Struct, frozen=True):
    """A committed file.

    Attributes:
        name: path relative to the store.
        rows: events, or dead letters.
        bytes: its size.
        segments: (generation of the commit, rows) of its rows, in their order; those of old commits
            may be taken together. Empty for dead letters.
    """

    name: str
    rows: int
    bytes: int
    segments: list[tuple[int, int]] = []


class Source(msgspec.Struct, frozen=True):
    """How far a source is stored.

    Attributes:
        position: of a Kafka partition the offset of the next message; of a file the records read.
        identity: what must be the same when reading goes on: a file's size and digest.
        done: a file is stored to its end.
    """

    position: int
    identity: str = ""
    done: bool = False


class Retired(msgspec.Struct, frozen=True):
    """A file that the store no longer lists but somebody may still be reading."""

    name: str
    since: int  # seconds since 1970


class Manifest(msgspec.Struct):
    """What a store holds after one commit."""

    format: Literal["pintext-events"] = "pintext-events"
    format_version: int = _FORMAT_VERSION
    generation: int = 0
    files: list[FileEntry] = []
    dead_letters: list[FileEntry] = []
    retired: list[Retired] = []
    sources: dict[str, Source] = {}
    counts: dict[str, int] = {}
    simulated: int = 0  # of the events ever stored, those of ``pintext simulate``

    @classmethod
    def read(cls, folder: Path) -> "Manifest | None":
        """The manifest of a store; None where there is none yet.

        Raises:
            DataError: it is damaged, foreign, or was written by a newer PinText.
        """
        path = folder / MANIFEST
        try:
            data = path.read_bytes()
            found = cast("dict[str, Any]", msgspec.json.decode(data))
            if found["format"] == "pintext-events" and found["format_version"] > _FORMAT_VERSION:
                raise DataError(
                    f"{path}: format version {found['format_version']} is newer than this PinText, "
                    f"which reads up to {_FORMAT_VERSION}; upgrade PinText"
                )
            return msgspec.json.decode(data, type=cls)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise DataError(f"{path}: cannot be read: {reason(error)}") from None
        except (msgspec.DecodeError, UnicodeDecodeError, KeyError, TypeError) as error:
            raise DataError(f"{path}: not the manifest of an event store ({error})") from None

    def write(self, folder: Path) -> None:
        """Replace the manifest of a store in one step.

        Raises:
            IngestError: the disk refuses; the old manifest still counts.
        """
        with new_file(folder / MANIFEST, IngestError, overwrite=True) as path:
            path.write_bytes(msgspec.json.encode(self))


class StoredFile(NamedTuple):
    """A committed Parquet file of events of one task and one date.

    Attributes:
        path: where it lies.
        task: the task of its events.
        date: the date (UTC) of its events, as 2026-11-22.
        rows: how many they are.
        bytes: its size.
        name: path relative to the store, never used twice: it stands for the content.
    """

    path: Path
    task: str
    date: str
    rows: int
    bytes: int
    name: str


class EventStore:
    """The events that are stored in a folder, as they are when it is opened.

    Columns of the files are those of :data:`~pintext.events.form.EVENT_SCHEMA`. Files that a later
    commit replaces stay on the disk for an hour, so a reader has time to finish.

    Args:
        path: the folder.

    Raises:
        DataError: it holds no event store, a damaged one, or one of a newer version.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        manifest = Manifest.read(self.path)
        if manifest is None:
            raise DataError(f"{self.path}: no event store; pintext ingest --out makes one")
        self.manifest = manifest

    @property
    def generation(self) -> int:
        """Number of the commit; it grows with each."""
        return self.manifest.generation

    @property
    def simulated(self) -> int:
        """How many of the events ever stored were made up by ``pintext simulate``."""
        return self.manifest.simulated

    def files(self) -> list[StoredFile]:
        """Exactly the committed files, sorted by task, date and name."""
        return sorted(
            (self._stored(entry) for entry in self.manifest.files),
            key=lambda file: (file.task, file.date, file.name),
        )

    def _stored(self, entry: FileEntry) -> StoredFile:
        task, date = partition(entry.name)
        return StoredFile(self.path / entry.name, task, date, entry.rows, entry.bytes, entry.name)

    def __repr__(self) -> str:
        return f"EventStore({str(self.path)!r}, generation={self.generation})"


def partition(name: str) -> tuple[str, str]:
    """Task and date that the name of a stored file says."""
    task, date, _ = name.split("/")
    return unquote(task.removeprefix("task=")), date.removeprefix("date=")
