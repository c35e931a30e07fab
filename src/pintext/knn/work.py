"""What a run of many hours leaves on the disk, so that it can go on after it was killed.

``OUT.parts`` stands beside the result until that is whole:

====================  ============================================================
``run.json``          what is computed, of which inputs: another run is refused
``pins.f32``          unit vectors of the pins, raw, memory-mapped
``pins.parquet``      their ids; written last, so that its presence says they are whole
``tokens/``           the planned scheme, and ``plan.json``
``part-000000.parquet``  neighbours of the first queries, and so on
====================  ============================================================
"""

import fcntl
import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from pintext.errors import DataError, LockedError
from pintext.files import new_file, reason

__all__ = ["check_free", "digest_of", "open_work"]

_RUN = "run.json"


def check_free(out: Path, overwrite: bool) -> None:
    """Look before hours of work whether the result may be written.

    Raises:
        DataError: it exists and must not be overwritten.
    """
    if out.exists() and not overwrite:
        raise DataError(
            f"{out}: exists already; choose another name, or overwrite it (--overwrite)"
        )


def digest_of(path: Path) -> list[Any]:
    """What tells one input from another without reading it: name, bytes, time of the last change.

    Raises:
        DataError: the file cannot be read.
    """
    try:
        found = path.stat()
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {reason(error)}") from None
    return [str(path.resolve()), found.st_size, found.st_mtime_ns]


@contextmanager
def open_work(out: Path, run: dict[str, Any], *, resume: bool, overwrite: bool) -> Iterator[Path]:
    """The folder ``OUT.parts`` of this very run, new or to go on with; removed when all is done.

    Args:
        out: the result.
        run: what is computed, as JSON values.
        resume: go on with what is there.
        overwrite: forget what is there.

    Raises:
        DataError: a stopped run waits and neither was asked for, or it was another run.
        LockedError: another process works here.
    """
    folder = out.with_name(out.name + ".parts")
    wanted = msgspec.json.encode(run)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = os.open(folder, os.O_RDONLY)
    except OSError as error:
        raise DataError(f"{folder}: cannot be written: {reason(error)}") from None
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise LockedError(f"{folder}: another process works here; wait for it") from None
        _prepare(folder, wanted, resume=resume, overwrite=overwrite)
        yield folder
        shutil.rmtree(folder)
    finally:
        os.close(lock)


def _prepare(folder: Path, wanted: bytes, *, resume: bool, overwrite: bool) -> None:
    known = (folder / _RUN).read_bytes() if (folder / _RUN).exists() else None
    if resume and known not in (None, wanted):
        changed = hashlib.sha256(known or b"").hexdigest()[:8]
        raise DataError(
            f"{folder}: a stopped run ({changed}) with other inputs or settings; give the same "
            "ones, or start again (--overwrite)"
        )
    if known is not None and not resume:
        if not overwrite:
            raise DataError(
                f"{folder}: a stopped run waits here; go on with it (--resume) or start again "
                "(--overwrite)"
            )
        known = None
    if known is None:
        for inside in folder.iterdir():
            shutil.rmtree(inside) if inside.is_dir() else inside.unlink()
        with new_file(folder / _RUN, DataError) as made:
            made.write_bytes(wanted)
