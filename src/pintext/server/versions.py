"""What is served: a model, an index and what belongs to them, opened as one and replaced as one."""

import itertools
from dataclasses import dataclass
from pathlib import Path

from pintext.errors import ModelError
from pintext.index import PinIndex
from pintext.index.manifest import MANIFEST, MODEL
from pintext.model import PinTextModel
from pintext.server.neighbors import Neighbors
from pintext.server.phrases import Phrases
from pintext.server.settings import ServeConfig
from pintext.text import words_of_text

__all__ = ["Identity", "Version", "identity", "open_version"]

Identity = tuple[tuple[str, int, int, int], ...]
_NUMBERS = itertools.count(1)


@dataclass(frozen=True)
class Version:
    """Everything that belongs to one fingerprint.

    Attributes:
        number: of the opening; a folder that is opened again gets another one.
        model: the dictionary.
        index: the pins; ``None`` where only a model is served.
        labels: for /v1/classify.
        keywords: for /v1/expand.
        neighbors: found beforehand.
    """

    number: int
    model: PinTextModel
    index: PinIndex | None
    labels: Phrases | None
    keywords: Phrases | None
    neighbors: Neighbors | None


def open_version(folder: Path, config: ServeConfig) -> Version:
    """Open a folder and the files beside it, and touch what the first request would wait for.

    Raises:
        PinTextError: something cannot be used, or belongs to another model.
    """
    if not folder.is_dir():
        found = "is a file" if folder.exists() else "no such folder"
        raise ModelError(f"{folder}: {found}; expected an index or a model")
    index = None
    if (folder / MANIFEST).exists():
        # The index is told its model: it then refuses to follow into another one by itself.
        model = PinTextModel.from_pretrained(folder / MODEL)
        index = PinIndex.open(folder, model)
    else:
        model = PinTextModel.from_pretrained(folder)
    _touch(model, index)
    return Version(
        next(_NUMBERS),
        model,
        index,
        Phrases.read(model, config.labels, "label") if config.labels else None,
        Phrases.read(model, config.keywords, "keyword") if config.keywords else None,
        Neighbors(config.neighbors, model.fingerprint) if config.neighbors else None,
    )


def _touch(model: PinTextModel, index: PinIndex | None) -> None:
    word = model.vocabulary.word(0) if len(model) else ""
    words_of_text(word)
    model.explain(word, word)
    if index:
        hits = index.search(word)
        index.documents(hit.id for hit in hits)


def identity(folder: Path, config: ServeConfig) -> Identity:
    """What changes when another version is put in the place of this one.

    Commits of an index are not seen here: the index itself follows them.
    """
    files = [folder, folder / MANIFEST, folder / "config.json"]
    files += [Path(name) for name in (config.labels, config.keywords, config.neighbors) if name]
    return tuple(_mark(path, inside=path != folder) for path in files)


def _mark(path: Path, *, inside: bool) -> tuple[str, int, int, int]:
    try:
        found = path.stat()
    except OSError:
        return (str(path), 0, 0, 0)
    # Of the folder only which one it is: a lock in it comes and goes.
    times = (found.st_mtime_ns, found.st_size) if inside else (0, 0)
    return (str(path), found.st_ino, *times)
