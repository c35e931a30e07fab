"""Building a generation: twice through the pins, once for their vectors and once for the rest.

The first pass embeds every pin, so that the tokens can be planned on a sample of all vectors. The
second appends rows and documents, those of a batch in the order of their first token: what a query
compares then stands close together. Memory is bounded by the batch, but for the ids.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import polars as pl

from pintext.ahead import ahead
from pintext.arrays import F32
from pintext.errors import DataError
from pintext.files import sync
from pintext.index.bm25 import hashed_texts
from pintext.index.live import LiveRows
from pintext.index.manifest import Retrieval
from pintext.index.pins import Columns, PinBatch, batches
from pintext.index.queries import PinWords, Queries, Trial, given_queries, trial
from pintext.index.row_writer import RowWriter
from pintext.index.settings import IndexConfig
from pintext.index.terms import FOLDER, give_modes, json_lines, make_terms, writes
from pintext.model import PinTextModel
from pintext.tokens import TokenScheme, plan_tokens
from pintext.tokens.scheme import FILE as TOKENS

if TYPE_CHECKING:
    import tantivy

__all__ = [
    "Callback",
    "Frames",
    "Planned",
    "Progress",
    "Source",
    "add_documents",
    "append_rows",
    "build_generation",
    "check_distinct",
    "nobody",
    "unit_vectors",
]

_HEAP_BYTES = 400 << 20

Frames = Callable[[], Iterator[pl.DataFrame]]
"""Gives the pins, each time it is called the same ones in the same order."""


class Progress(NamedTuple):
    """How far a build is.

    Attributes:
        phase: ``embedding``, ``planning``, ``indexing`` or ``measuring``.
        pins: done in this phase.
        total: of all; 0 while that is not known.
    """

    phase: str
    pins: int
    total: int


Callback = Callable[[Progress], None]


def nobody(_progress: Progress) -> None:
    """The callback where nobody wants to know."""


class Source(NamedTuple):
    """Pins to index.

    Attributes:
        frames: gives them.
        columns: of them that are indexed.
        name: what they are called in messages.
        queries: to plan the tokens with; none: words of the pins.
    """

    frames: Frames
    columns: Columns
    name: str
    queries: Queries | None = None

    def batches(self) -> Iterator[PinBatch]:
        """The pins in batches."""
        return batches(self.frames(), self.columns, self.name)


class Planned(NamedTuple):
    """Tokens, and how pins are found by them.

    Attributes:
        scheme: of the tokens.
        retrieval: what a query asks for.
    """

    scheme: TokenScheme
    retrieval: Retrieval


def build_generation(
    folder: Path,
    source: Source,
    model: PinTextModel,
    config: IndexConfig,
    callback: Callback,
    planned: Planned | None = None,
) -> tuple[Planned, F32]:
    """Fill an empty folder with rows, tokens and an inverted index, all of it on the disk.

    Args:
        folder: of the generation.
        source: the pins.
        model: embeds them.
        config: the settings.
        callback: told how far it is.
        planned: tokens to use; without them they are planned for these pins.

    Returns:
        What was planned, and vectors of queries to measure what the index finds.

    Raises:
        DataError: the pins cannot be used.
        OSError: the disk refuses.
        PinIndexError: the same, as Tantivy says it.
    """
    embedded = folder / "embedded.tmp"
    pins, queries = _embed(embedded, source, model, config.seed, callback)
    vectors: F32 = np.zeros((0, model.dim), np.float32)
    if pins:
        vectors = np.memmap(embedded, np.float32, "r", shape=(pins, model.dim))
    if planned is None:
        callback(Progress("planning", 0, pins))
        planned = _plan(vectors, queries.planned, config, model.fingerprint)
    scheme = planned.scheme
    scheme.save(folder)
    (folder / FOLDER).mkdir()
    with RowWriter(folder, model.dim, scheme.per_pin) as rows:
        terms = make_terms(folder / FOLDER, source.columns.fields)
        documents: tantivy.IndexWriter = writes(terms.writer, folder, _HEAP_BYTES, 1)
        done = 0
        for lines in ahead(_documents(source, vectors, scheme, rows)):
            add_documents(documents, folder, lines)
            done += len(lines)
            callback(Progress("indexing", done, pins))
        if done != pins:
            raise DataError(f"{source.name}: changed while it was read; try again")
        rows.sync()
        LiveRows.of(np.ones(pins, np.bool_)).write(folder, 0)
        writes(documents.commit, folder)
        writes(documents.wait_merging_threads, folder)
        give_modes(folder / FOLDER, like=folder / TOKENS)
    embedded.unlink()
    sync(folder / FOLDER)
    sync(folder)
    return planned, queries.measured


def _plan(vectors: F32, queries: F32, config: IndexConfig, fingerprint: str) -> Planned:
    plan = plan_tokens(
        vectors,
        config.recall,
        queries=queries,
        kind=config.scheme,
        seed=config.seed,
        fingerprint=fingerprint,
    )
    retrieval = Retrieval(plan.probes, plan.candidates, plan.measured_recall, plan.measured_share)
    return Planned(plan.scheme, retrieval)


def _embed(
    path: Path, source: Source, model: PinTextModel, seed: int, callback: Callback
) -> tuple[int, Trial]:
    """Write the unit vector of every pin to a file, in the order of the pins; how many.

    Returns:
        The number of pins, and the queries to plan with.
    """
    ids, pins, words = [], 0, PinWords(seed)
    with path.open("wb") as file:
        for batch in ahead(source.batches()):
            file.write(unit_vectors(model, batch.texts).data)
            words.add(batch.texts)
            ids.append(batch.ids)
            pins += len(batch.ids)
            callback(Progress("embedding", pins, 0))
    check_distinct(ids, source.name)
    given = words.queries() if source.queries is None else given_queries(source.queries, seed)
    return pins, trial(unit_vectors(model, pl.Series(given, dtype=pl.String)))


def unit_vectors(model: PinTextModel, texts: pl.Series) -> F32:
    """The vectors of texts with length 1; zeros for a text without a known word."""
    vectors = model.encode(texts)
    lengths = np.sqrt(np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64))
    lengths[lengths == 0] = 1
    vectors /= lengths[:, None].astype(np.float32)
    return vectors


def check_distinct(ids: list[pl.Series], where: str) -> None:
    """Refuse ids of which one is there twice.

    Raises:
        DataError: names the id.
    """
    together = pl.concat(ids) if ids else pl.Series(dtype=pl.String)
    if together.n_unique() < len(together):
        twice = together.filter(together.is_duplicated())[0]
        places = (together == twice).arg_true()
        raise DataError(
            f"{where}: the id {twice!r} is there twice, in rows {places[0] + 1} and "
            f"{places[1] + 1}; keep one"
        )


def _documents(
    source: Source, vectors: F32, scheme: TokenScheme, rows: RowWriter
) -> Iterator[pl.Series]:
    """Append the rows of the pins, batch by batch, and yield their documents."""
    start = 0
    for batch in source.batches():
        stop = start + len(batch.ids)
        yield append_rows(batch, vectors[start:stop], scheme, rows)
        start = stop


def append_rows(batch: PinBatch, vectors: F32, scheme: TokenScheme, rows: RowWriter) -> pl.Series:
    """Append the rows of some pins, in the order of their first token, and give their documents.

    Raises:
        OSError: the disk refuses.
    """
    tokens = scheme.assign(vectors)
    order = np.argsort(tokens[:, 0], kind="stable")
    batch, tokens = batch.gather(order), tokens[order]
    words = hashed_texts(batch.texts)
    first = rows.append(vectors[order], tokens, batch.ids.to_list(), words)
    return json_lines(batch, tokens, first)


def add_documents(writer: "tantivy.IndexWriter", folder: Path, lines: pl.Series) -> None:
    """Give documents to the inverted index, which shows them after its next commit.

    Raises:
        PinIndexError: the disk refuses.
    """

    def add() -> None:
        for line in lines:
            writer.add_json(line)

    writes(add, folder)
