"""Neighbours in bulk: from files of texts to a Parquet file, in bounded memory, resumable."""

from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path
from typing import Literal, NamedTuple

import msgspec
import numpy as np
import polars as pl

from pintext.arrays import F32
from pintext.embed import FINGERPRINT_KEY, TextBatch, text_batches
from pintext.errors import ConfigError, DataError
from pintext.files import new_file, reason
from pintext.knn.lists import TokenLists
from pintext.knn.work import check_free, digest_of, open_work
from pintext.model import PinTextModel
from pintext.tokens import TokenScheme, plan_tokens
from pintext.tokens.exact import Nearest, exact_neighbors
from pintext.tokens.kernels import normalized

__all__ = ["Progress", "Texts", "find_neighbors"]

PART_ROWS = 65_536


class Texts(NamedTuple):
    """A file of texts with ids; see :func:`pintext.embed.embed_file` for what is read.

    Attributes:
        path: the file.
        text_column: with the texts.
        id_column: with the ids; where there is none, and for plain text, rows are numbered from 0.
    """

    path: Path
    text_column: str = "text"
    id_column: str = "id"

    def batches(self, rows: int = PART_ROWS) -> Iterator[TextBatch]:
        """The texts piece by piece."""
        return text_batches(self.path, self.text_column, self.id_column, rows)


class Progress(NamedTuple):
    """How far a run is: what it does, and how many texts are done."""

    phase: Literal["embedding", "planning", "searching", "writing"]
    done: int


Callback = Callable[[Progress], None]


def find_neighbors(
    model: PinTextModel,
    pins: Texts,
    out: str | Path,
    *,
    queries: Texts | None = None,
    k: int = 10,
    exact: bool = False,
    recall: float = 0.95,
    seed: int = 0,
    part_rows: int = PART_ROWS,
    resume: bool = False,
    overwrite: bool = False,
    threads: int = 0,
    callback: Callback = lambda _: None,
) -> int:
    """Write the ``k`` nearest pins of every query, or of every pin, to a Parquet file.

    Args:
        model: gives the vectors; its fingerprint goes into the metadata.
        pins: what is found.
        out: columns ``id`` (of the query), ``neighbor_id`` (of the pin), ``rank`` from 1, and
            ``similarity``, in the order of the queries. It appears complete or not at all. While
            the work goes on, ``OUT.parts`` beside it holds what is done.
        queries: what is looked for; None for the pins themselves, none of which is its own
            neighbour. A text without known words has no neighbours.
        k: neighbours of a query; fewer where fewer pins share a token with it.
        exact: compare every query with every pin, rather than with those that share tokens.
        recall: share of the exact neighbours that tokens must find (:func:`plan_tokens`).
        seed: of the tokens.
        part_rows: queries that are searched and written at a time.
        resume: go on where a run with the same inputs and settings was stopped.
        overwrite: replace ``out`` and forget a stopped run.
        threads: 0 means all cores; the file does not depend on it.
        callback: told of progress; may raise to stop.

    Returns:
        The number of rows written.

    Raises:
        DataError: an input cannot be used, ``out`` exists, or another stopped run is in the way.
        LockedError: another process works on the same file.
        ConfigError: a setting is out of range.
    """
    if k < 1 or part_rows < 1 or not 0 < recall < 1:
        raise ConfigError(f"k = {k}, recall = {recall}: expected k >= 1 and recall in (0, 1)")
    out = Path(out)
    run = {
        "format": "pintext-knn-run",
        "format_version": 1,
        "fingerprint": model.fingerprint,
        "k": k,
        "recall": None if exact else recall,
        "seed": seed,
        "part_rows": part_rows,
        "inputs": [
            [*digest_of(texts.path), texts.text_column, texts.id_column]
            for texts in (pins, queries)
            if texts is not None
        ],
    }
    check_free(out, overwrite)
    for texts in (pins, queries):
        if texts is not None:  # a wrong column is told before anything is made
            next(texts.batches(), None)
    with open_work(out, run, resume=resume, overwrite=overwrite) as work:
        vectors, ids = _pins(model, pins, work, callback)
        search = _searcher(model, vectors, queries, work, exact, recall, seed, threads, callback)
        parts: list[Path] = []
        done = 0
        for number, batch in enumerate(_parts(model, vectors, ids, queries, part_rows)):
            part = work / f"part-{number:06d}.parquet"
            if not part.exists():
                found = search(batch.vectors, k, batch.own)
                with new_file(part, DataError) as begun:
                    _as_frame(batch.ids, ids, found).write_parquet(begun, compression="lz4")
            parts.append(part)
            done += len(batch.ids)
            callback(Progress("searching", done))
        callback(Progress("writing", done))
        with new_file(out, DataError, overwrite=overwrite) as made:
            return _join(parts, made, model.fingerprint)


class _Part(NamedTuple):
    """Some queries."""

    ids: pl.Series
    vectors: F32
    own: np.ndarray[tuple[int], np.dtype[np.int64]] | None


def _parts(
    model: PinTextModel, vectors: F32, ids: pl.Series, queries: Texts | None, rows: int
) -> Iterator[_Part]:
    if queries is not None:
        batches = queries.batches(rows)
        first = next(batches, TextBatch(pl.Series(dtype=pl.Int64), pl.Series(dtype=pl.String)))
        for batch in chain([first], batches):
            yield _Part(batch.ids, model.encode(batch.texts), None)
        return
    for start in range(0, max(len(ids), 1), rows):
        some = slice(start, start + rows)
        yield _Part(ids[some], vectors[some], np.arange(len(ids))[some])


def _pins(
    model: PinTextModel, pins: Texts, work: Path, callback: Callback
) -> tuple[F32, pl.Series]:
    """The unit vectors of the pins, memory-mapped, and their ids; made if not there yet."""
    raw, names = work / "pins.f32", work / "pins.parquet"
    if not names.exists():
        ids, done = [], 0
        try:
            with raw.open("wb") as file:
                for batch in pins.batches():
                    file.write(normalized(model.encode(batch.texts)).data)
                    ids.append(batch.ids)
                    done += len(batch.ids)
                    callback(Progress("embedding", done))
        except OSError as error:
            raise DataError(f"{raw}: cannot be written: {reason(error)}") from None
        column = pl.concat(ids) if ids else pl.Series("id", dtype=pl.Int64)
        with new_file(names, DataError) as made:
            pl.DataFrame({"id": column}).write_parquet(made)
    known = pl.read_parquet(names)["id"]
    if not len(known):
        return np.zeros((0, model.dim), np.float32), known
    return np.memmap(raw, np.float32, "r", shape=(len(known), model.dim)), known


def _searcher(
    model: PinTextModel,
    vectors: F32,
    queries: Texts | None,
    work: Path,
    exact: bool,
    recall: float,
    seed: int,
    threads: int,
    callback: Callback,
) -> Callable[[F32, int, np.ndarray[tuple[int], np.dtype[np.int64]] | None], Nearest]:
    """What finds neighbours: everything compared, or the pins that share tokens."""
    if exact:
        return lambda some, k, own: exact_neighbors(some, vectors, k, own=own, threads=threads)
    plan = work / "tokens" / "plan.json"
    if not plan.exists():
        callback(Progress("planning", len(vectors)))
        asked = None
        if queries is not None:
            batch = next(queries.batches(), None)
            asked = model.encode(batch.texts) if batch else None
        made = plan_tokens(
            vectors,
            recall,
            queries=asked,
            seed=seed,
            fingerprint=model.fingerprint,
            threads=threads,
        )
        made.scheme.save(plan.parent, overwrite=True)
        with new_file(plan, DataError) as file:
            file.write_bytes(msgspec.json.encode(made.to_dict()))
    scheme = TokenScheme.load(plan.parent)
    probes: int = msgspec.json.decode(plan.read_bytes())["probes"]
    lists = TokenLists(vectors, scheme, threads=threads)
    return lambda some, k, own: lists.nearest(some, k, probes, own=own, threads=threads)


def _as_frame(queries: pl.Series, pins: pl.Series, found: Nearest) -> pl.DataFrame:
    """The rows of some queries; places without a neighbour are left out."""
    held = found.rows >= 0
    asked, ranks = np.nonzero(held)
    return pl.DataFrame(
        {
            "id": queries.gather(asked),
            "neighbor_id": pins.gather(found.rows[held]),
            "rank": pl.Series(ranks + 1, dtype=pl.Int32),
            "similarity": found.similarities[held],
        }
    )


def _join(parts: list[Path], out: Path, fingerprint: str) -> int:
    """One file of all parts, in their order; returns its rows."""
    together = pl.scan_parquet(parts, glob=False)
    together.sink_parquet(
        out,
        compression="zstd",
        row_group_size=1 << 19,
        maintain_order=True,
        metadata={FINGERPRINT_KEY: fingerprint},
    )
    return _rows_of(out)


def _rows_of(path: Path) -> int:
    return int(pl.scan_parquet(path, glob=False).select(pl.len()).collect().item())
