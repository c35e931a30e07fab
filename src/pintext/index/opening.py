"""Opening an index and following its commits."""

from pathlib import Path
from typing import NamedTuple

from pintext.errors import IndexFormatError, ModelFormatError
from pintext.index.live import LiveRows
from pintext.index.manifest import MANIFEST, Manifest, digest
from pintext.index.snapshot import Snapshot
from pintext.index.terms import FOLDER, META, check_terms, commits_of
from pintext.index.terms_view import TermsView
from pintext.tokens import TokenScheme
from pintext.tokens.scheme import FILE as TOKENS

__all__ = ["Opened", "open_latest"]

_Mark = tuple[int, int, int]


class Opened(NamedTuple):
    """A snapshot and what tells whether there is a later one.

    Attributes:
        snapshot: the state after the last commit that was there.
        marks: of the files that every commit replaces.
        checked: names of the files of the inverted index that were found whole.
    """

    snapshot: Snapshot
    marks: tuple[_Mark, _Mark]
    checked: frozenset[str]


def open_latest(index: Path, before: Opened | None, *, verify: bool) -> Opened:
    """The state after the last commit.

    Args:
        index: the folder.
        before: what was opened earlier; it is given back if nothing was committed since.
        verify: compare files that were not checked before with their checksums.

    Raises:
        PinIndexError: there is no index.
        IndexFormatError: it is damaged; the message names the file.
    """
    while True:
        first = _mark(index / MANIFEST)
        manifest = before.snapshot.manifest if before and first == before.marks[0] else None
        if manifest is None:
            manifest, before = Manifest.read(index), None
        try:
            return _open(index, manifest, first, before, verify)
        except IndexFormatError:
            if _mark(index / MANIFEST) == first:
                raise  # else a compaction has just removed the generation


def _open(
    index: Path, manifest: Manifest, first: _Mark, before: Opened | None, verify: bool
) -> Opened:
    folder = manifest.folder(index)
    while True:
        # The mark comes first: a commit that comes between is then seen the next time.
        marks = (first, _mark(folder / FOLDER / META))
        if before and marks == before.marks:
            return before
        commit = commits_of(folder / FOLDER)
        try:
            opened = _at(folder, manifest, commit, marks, before, verify)
        except IndexFormatError:
            if commits_of(folder / FOLDER) == commit:
                raise  # else a writer has just replaced a file
            continue
        if commits_of(folder / FOLDER) == commit:
            return opened


def _at(
    folder: Path,
    manifest: Manifest,
    commit: int,
    marks: tuple[_Mark, _Mark],
    before: Opened | None,
    verify: bool,
) -> Opened:
    """What is there, if no commit comes between."""
    checked: frozenset[str] = frozenset()
    if verify:
        checked = check_terms(folder / FOLDER, before.checked if before else checked)
    if before:
        terms, scheme = before.snapshot.terms, before.snapshot.scheme
        terms.reload()
    else:
        scheme = _scheme(folder, manifest)
        terms = TermsView(folder / FOLDER)
    live = LiveRows.read(folder, commit)
    earlier = before.snapshot if before else None
    number = manifest.commits + commit
    return Opened(Snapshot(manifest, folder, terms, scheme, number, live, earlier), marks, checked)


def _scheme(folder: Path, manifest: Manifest) -> TokenScheme:
    path = folder / TOKENS
    if digest(path) != manifest.tokens_sha256:
        raise IndexFormatError(f"{path}: damaged: the digest does not fit; restore the file")
    try:
        scheme = TokenScheme.load(folder)
    except ModelFormatError as error:
        raise IndexFormatError(str(error)) from None
    if scheme.fingerprint != manifest.fingerprint:
        raise IndexFormatError(f"{path}: belongs to another model than the index")
    return scheme


def _mark(path: Path) -> _Mark:
    """What changes when a file is replaced."""
    try:
        found = path.stat()
    except OSError:
        return (0, 0, 0)
    return (found.st_ino, found.st_mtime_ns, found.st_size)
