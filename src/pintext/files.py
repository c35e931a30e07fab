"""Files and folders that appear complete or not at all.

Everything is written under a temporary name beside its place, synced to the disk and renamed. A
crash leaves at worst a hidden ``.pintext-…`` beside the target, never half of it.
"""

import ctypes
import os
import re
import secrets
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pintext.errors import PinTextError

__all__ = ["check_replaceable", "escaped", "new_file", "new_folder", "reason", "sync"]

HOW = "(--overwrite)"
_AT_FDCWD = -100
_RENAME_EXCHANGE = 2


def reason(error: Exception) -> str:
    """What the operating system said, without errno and without temporary names."""
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def escaped(name: str) -> str:
    """A folder name that every file system takes; ``urllib.parse.unquote`` turns it back."""
    return re.sub(
        r'[\x00-\x1f\x7f"#%*/:<=>?\\|\[\]{}]', lambda found: f"%{ord(found[0]):02X}", name
    )


@contextmanager
def new_file(
    path: str | Path, error: type[PinTextError], *, overwrite: bool = False
) -> Iterator[Path]:
    """Make a file through a temporary one: yields its path, to be written by the body.

    Args:
        path: the file to make; its parent folders are made.
        error: what to raise where the file cannot be made.
        overwrite: replace a file that is already there.

    Raises:
        PinTextError: of the type ``error``: the file exists, or the disk refuses.
    """
    path = Path(os.path.realpath(path))  # the target of a link is replaced, not the link
    try:
        if path.is_dir():
            raise error(f"{path}: is a folder; name a file")
        if not overwrite and path.exists():
            raise error(
                f"{path}: exists already; choose another name, or overwrite it (--overwrite)"
            )
        path.parent.mkdir(parents=True, exist_ok=True)
        made = _beside(path)
        made.touch(exist_ok=False)
    except OSError as cause:
        raise error(f"{path}: cannot be written: {reason(cause)}") from None
    try:
        yield made
        sync(made)
        made.replace(path)
        sync(path.parent)
    except OSError as cause:
        raise error(f"{path}: cannot be written: {reason(cause)}") from None
    finally:
        made.unlink(missing_ok=True)


@contextmanager
def new_folder(
    path: str | Path, error: type[PinTextError], names: frozenset[str], *, overwrite: bool = False
) -> Iterator[Path]:
    """Make a folder of plain files through a temporary one: yields it, to be filled by the body.

    An empty folder may always be replaced. With ``overwrite`` so may one that holds nothing but
    files in ``names``: what a person has put there besides is never deleted. On Linux the two
    folders are exchanged in one step; elsewhere the name is missing for a moment.

    Args:
        path: the folder to make; its parents are made.
        error: what to raise where the folder cannot be made.
        names: the files that such a folder holds.
        overwrite: replace a folder of this kind that is already there.

    Raises:
        PinTextError: of the type ``error``: something is in the way, or the disk refuses.
    """
    path = Path(os.path.realpath(path))  # where it is a link, its target is replaced
    try:
        check_replaceable(path, error, names, overwrite=overwrite)
        path.parent.mkdir(parents=True, exist_ok=True)
        made = _beside(path)
        made.mkdir()
    except OSError as cause:
        raise error(f"{path}: cannot be written: {reason(cause)}") from None
    try:
        yield made
        for file in made.iterdir():
            sync(file)
        sync(made)
        _put(made, path)
        sync(path.parent)
    except OSError as cause:
        raise error(f"{path}: cannot be written: {reason(cause)}") from None
    finally:
        shutil.rmtree(made, ignore_errors=True)


def _beside(path: Path) -> Path:
    return path.with_name(f".pintext-{secrets.token_hex(6)}")


def check_replaceable(
    path: Path, error: type[PinTextError], names: frozenset[str], *, overwrite: bool
) -> None:
    """Raise what :func:`new_folder` would raise of a folder in its way, before long work for it."""
    if not path.exists():
        return
    if not path.is_dir():
        raise error(f"{path}: is a file; name a folder")
    found = {inside.name for inside in path.iterdir()}
    if found and not overwrite:
        raise error(f"{path}: exists already; choose another folder or overwrite it {HOW}")
    if strangers := sorted(found - names):
        raise error(
            f"{path}: also holds {', '.join(strangers[:3])}, which would be lost; "
            "remove it or choose another folder"
        )


def _put(made: Path, path: Path) -> None:
    """Put a finished folder in its place; what was there is then found under the name ``made``."""
    if not path.exists():
        made.rename(path)
        return
    if sys.platform == "linux" and _exchange(made, path):
        return
    old = made.with_name(made.name + ".old")
    path.rename(old)
    try:
        made.rename(path)
    except OSError:
        old.rename(path)
        raise
    old.rename(made)


def _exchange(first: Path, second: Path) -> bool:
    """Exchange two folders in one step; False where the system or the file system cannot."""
    try:
        renameat2 = ctypes.CDLL(None, use_errno=True).renameat2
    except (OSError, AttributeError):
        return False
    done = renameat2(
        _AT_FDCWD,
        os.fsencode(first),
        _AT_FDCWD,
        os.fsencode(second),
        ctypes.c_uint(_RENAME_EXCHANGE),
    )
    return bool(done == 0)


def sync(path: Path) -> None:
    """Wait until a file's bytes, or the names in a folder, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
