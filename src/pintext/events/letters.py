"""Dead letters: what could not be taken as an event, where it came from and why.

A letter keeps of the event only the fields of the event form; where not even those can be told
apart, nothing of it. The whole event is still where it came from.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from pintext.errors import DataError
from pintext.files import reason as said
from pintext.files import sync

__all__ = ["Letter", "read_letters", "write_letters"]


class Letter(msgspec.Struct, omit_defaults=True):
    """An event that was refused.

    Attributes:
        reason: one word; see ``docs/ingest.md``.
        what: the field, or what the parser said.
        topic: where it came from: a topic of Kafka, with partition and offset,
        file: or a file, with the number of the record, from 1.
        event: the fields of the event form as they came, under their names in the source; absent
            where they could not be read or are too long.
    """

    reason: str
    what: str = ""
    topic: str = ""
    partition: int | None = None
    offset: int | None = None
    file: str = ""
    record: int | None = None
    event: dict[str, Any] | None = None

    @property
    def place(self) -> str:
        """Where the event came from, as messages say it."""
        if self.file:
            return f"{self.file}:{self.record}"
        return f"partition {self.partition} of topic {self.topic}, offset {self.offset}"


def write_letters(path: Path, letters: Sequence[Letter]) -> int:
    """Write letters as JSON lines, durably; returns the bytes.

    Raises:
        OSError: the disk refuses.
    """
    path.parent.mkdir(exist_ok=True)
    with path.open("wb") as file:
        size = file.write(msgspec.json.Encoder().encode_lines(letters))
        file.flush()
        os.fsync(file.fileno())
    sync(path.parent)
    return size


def read_letters(path: Path) -> list[Letter]:
    """Read what :func:`write_letters` wrote and a person may have mended.

    Raises:
        DataError: the file cannot be read, or a line is not a letter.
    """
    decoder = msgspec.json.Decoder(Letter)
    letters: list[Letter] = []
    try:
        for text in path.read_bytes().splitlines():
            letters.append(decoder.decode(text))  # noqa: PERF401 (an error names the line)
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {said(error)}") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise DataError(f"{path}:{len(letters) + 1}: not a dead letter: {error}") from None
    return letters
