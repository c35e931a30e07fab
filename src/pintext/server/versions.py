"""What is served: a model, an index and what belongs to them, opened as one and replaced as one."""

from pathlib import Path
from typing import NamedTuple

from pintext.errors import ModelError
from pintext.model import PinTextModel
from pintext.server.phrases import Phrases
from pintext.server.settings import ServeConfig
from pintext.text import words_of_text

__all__ = ["Version", "identity", "open_version"]

Identity = tuple[tuple[str, int, int, int], ...]


class Version(NamedTuple):
    """Everything that belongs to one fingerprint."""

    model: PinTextModel
    labels: Phrases | None
    keywords: Phrases | None


def open_version(folder: Path, config: ServeConfig) -> Version:
    """Open a folder and the files beside it, and touch what the first request would wait for.

    Raises:
        PinTextError: something cannot be used, or belongs to another model.
    """
    if not folder.is_dir():
        raise ModelError(f"{folder}: no such folder; expected an index or a model")
    model = PinTextModel.from_pretrained(folder)
    words_of_text("")
    model.explain("", "")
    model.encode("")
    return Version(
        model=model,
        labels=Phrases.read(model, config.labels, "label") if config.labels else None,
        keywords=Phrases.read(model, config.keywords, "keyword") if config.keywords else None,
    )


def identity(folder: Path, config: ServeConfig) -> Identity:
    """What changes when another version is put in the place of this one."""
    marks = []
    for path in (folder, folder / "config.json", *_files(config)):
        try:
            found = path.stat()
            marks.append((str(path), found.st_ino, found.st_mtime_ns, found.st_size))
        except OSError:
            marks.append((str(path), 0, 0, 0))
    return tuple(marks)


def _files(config: ServeConfig) -> list[Path]:
    return [Path(name) for name in (config.labels, config.keywords, config.neighbors) if name]
