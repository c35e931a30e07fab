"""One writer at a time."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pintext.errors import LockedError, PinIndexError
from pintext.files import reason
from pintext.index.manifest import LOCK

__all__ = ["locked"]


@contextmanager
def locked(index: Path) -> Iterator[None]:
    """Hold the lock of an index folder; the system lets go of it when a process ends, however.

    Raises:
        LockedError: somebody else holds it.
        PinIndexError: the folder cannot be written.
    """
    try:
        descriptor = os.open(index / LOCK, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise PinIndexError(f"{index}: cannot be written: {reason(error)}") from None
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise LockedError(
                f"{index}: another process is writing to this index; try again when it is done"
            ) from None
        yield
    finally:
        os.close(descriptor)
