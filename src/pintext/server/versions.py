"""What is served: a model, an index and what belongs to them, opened as one and replaced as one."""

import itertools
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from pintext.errors import ServeError
from pintext.index import PinIndex, ShardedIndex
from pintext.index.manifest import MANIFEST, MODEL
from pintext.index.sharded import AnyIndex
from pintext.model import PinTextModel
from pintext.server.checks import check_folder
from pintext.server.example_queries import example_queries
from pintext.server.neighbors import Neighbors
from pintext.server.phrases import Phrases
from pintext.server.remote_shard import RemoteShard
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
        examples: queries to try.
    """

    number: int
    model: PinTextModel
    index: AnyIndex | None
    labels: Phrases | None
    keywords: Phrases | None
    neighbors: Neighbors | None
    examples: tuple[str, ...]


def open_version(folders: Sequence[Path], config: ServeConfig) -> Version:
    """Open what is served and the files beside it, and touch what the first request would wait for.

    Args:
        folders: a model, an index, or the indexes of several shards.
        config: the settings.

    Raises:
        PinTextError: something cannot be used, or belongs to another model.
    """
    for folder in folders:
        check_folder(folder)
    model, index = _opened(folders, config)
    _touch(model, index)
    return Version(
        next(_NUMBERS),
        model,
        index,
        Phrases.read(model, config.labels, "label") if config.labels else None,
        Phrases.read(model, config.keywords, "keyword") if config.keywords else None,
        Neighbors(config.neighbors, model.fingerprint) if config.neighbors else None,
        config.examples or example_queries(model, index),
    )


def _opened(folders: Sequence[Path], config: ServeConfig) -> tuple[PinTextModel, AnyIndex | None]:
    first, holds_index = folders[0], (folders[0] / MANIFEST).exists()
    if config.shards:
        if len(folders) > 1 or holds_index:
            raise ServeError("with shards elsewhere, name the folder of the model alone")
        model = PinTextModel.from_pretrained(first)
        seconds = config.shard_seconds
        shards = [RemoteShard(url, model.fingerprint, seconds) for url in config.shards]
        executor = ThreadPoolExecutor(config.threads * len(shards), thread_name_prefix="shards")
        index = ShardedIndex(shards, model, executor)
        for shard in shards:
            shard.columns = index.columns
        return model, index
    if not holds_index and len(folders) == 1:
        return PinTextModel.from_pretrained(first), None
    # The index is told its model: it then refuses to follow into another one by itself.
    model = PinTextModel.from_pretrained(first / MODEL)
    if len(folders) == 1:
        return model, PinIndex.open(first, model)
    return model, ShardedIndex.open(folders, model)


def _touch(model: PinTextModel, index: AnyIndex | None) -> None:
    word = model.vocabulary.word(0) if len(model) else ""
    words_of_text(word)
    model.explain(word, word)
    if index:
        hits = index.search(word)
        index.documents(hit.id for hit in hits)


def identity(folders: Sequence[Path], config: ServeConfig) -> Identity:
    """What changes when another version is put in the place of this one.

    Commits of an index are not seen here: the index itself follows them.
    """
    files = [folder / name for folder in folders for name in (MANIFEST, "config.json")]
    files += [Path(name) for name in (config.labels, config.keywords, config.neighbors) if name]
    marks = [_mark(folder, inside=False) for folder in folders]
    return (*marks, *(_mark(path, inside=True) for path in files))


def _mark(path: Path, *, inside: bool) -> tuple[str, int, int, int]:
    try:
        found = path.stat()
    except OSError:
        return (str(path), 0, 0, 0)
    # Of the folder only which one it is: a lock in it comes and goes.
    times = (found.st_mtime_ns, found.st_size) if inside else (0, 0)
    return (str(path), found.st_ino, *times)
