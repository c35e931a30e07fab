"""The inverted index as a process sees it, also where that process may not write.

Tantivy takes a lock to open an index and to follow its commits: a file that it makes in the folder,
even for reading. Where the folder lets nobody write, as a volume that is mounted read-only, Tantivy
is given a temporary folder of links instead.
"""

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from pintext.errors import IndexFormatError
from pintext.index.terms import first_line, guarded, tantivy_library

if TYPE_CHECKING:
    import tantivy

__all__ = ["TermsView"]


class TermsView:
    """An opened inverted index; it keeps showing one commit until it is told to reload.

    Args:
        folder: of the inverted index.

    Raises:
        IndexFormatError: Tantivy cannot open it.
        MissingExtraError: Tantivy is not installed.

    Attributes:
        index: as Tantivy has it.
        linked: nothing can be written by way of it.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._links: tempfile.TemporaryDirectory[str] | None = None
        self.linked = not os.access(folder, os.W_OK)
        library = tantivy_library()
        try:
            if self.linked:
                self._links = tempfile.TemporaryDirectory(prefix="pintext-terms-")
                self._link()
            with guarded(folder):
                where = self._links.name if self._links else str(folder)
                self.index: tantivy.Index = library.Index.open(where)
                self.index.config_reader("manual", 0)
                self.index.reload()
        except (ValueError, OSError) as error:
            raise IndexFormatError(f"{folder}: damaged: {first_line(error)}") from None

    def reload(self) -> None:
        """Show the last commit.

        Raises:
            IndexFormatError: it cannot be read.
        """
        try:
            self._link()
            with guarded(self._folder):
                self.index.reload()
        except (ValueError, OSError) as error:
            raise IndexFormatError(f"{self._folder}: damaged: {first_line(error)}") from None

    def _link(self) -> None:
        """Let the links be those of the files that there are."""
        if self._links is None:
            return
        links = Path(self._links.name)
        files = {path.name: path for path in self._folder.absolute().iterdir()}
        for link in links.iterdir():
            if link.name not in files and link.is_symlink():
                link.unlink()
            files.pop(link.name, None)
        for name, path in files.items():
            if path.suffix != ".lock":
                (links / name).symlink_to(path)
