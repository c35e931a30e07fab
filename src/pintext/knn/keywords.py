"""Keywords for pins: the nearest keywords of every pin, turned around in bounded memory.

The rows come in the order of the pins and are wanted in that of the keywords. They are sorted piece
by piece, on the disk. Some rows of every piece tell where to cut the order into ranges of about as
many rows as a piece has, also within a keyword that fits all pins. The rows of each range are read
from all pieces, sorted and written.
"""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from polars.io.plugins import register_io_source

from pintext.embed import FINGERPRINT_KEY
from pintext.errors import DataError
from pintext.files import new_file
from pintext.knn.run import Texts, find_neighbors
from pintext.knn.work import check_free
from pintext.model import PinTextModel

__all__ = ["expand_keywords"]

PIECE_ROWS = 1 << 20
GROUP_ROWS = 1 << 13
"""Rows of a piece that are read together; the first of them is one that tells where to cut."""

_ORDER = ("keyword", "similarity", "pin_id")
_DESCENDING = (False, True, False)


def expand_keywords(
    model: PinTextModel,
    keywords: Texts,
    pins: Texts,
    out: str | Path,
    *,
    overwrite: bool = False,
    piece_rows: int = PIECE_ROWS,
    **settings: Any,
) -> int:
    """Write for each keyword the pins that it is one of the ``k`` nearest keywords of.

    Broad match in ads: a pin is shown for keywords that say in other words what it says. Each pin
    chooses its keywords, so that a keyword near to nothing matches nothing.

    Args:
        model: gives the vectors; its fingerprint goes into the metadata.
        keywords: queries, terms, or both.
        pins: what they match.
        out: columns ``keyword`` (its id), ``pin_id``, ``rank`` from 1 within the keyword, and
            ``similarity``; the most similar pin first, of equals the smaller id.
        overwrite: replace ``out`` and forget a stopped run.
        piece_rows: rows that are sorted at a time, about.
        settings: those of :func:`find_neighbors`.

    Returns:
        The number of rows written.

    Raises:
        DataError, LockedError, ConfigError: as :func:`find_neighbors`.
    """
    out = Path(out)
    check_free(out, overwrite)
    found = out.with_name(out.name + ".found")
    found.unlink(missing_ok=True)
    rows = find_neighbors(model, keywords, found, queries=pins, overwrite=overwrite, **settings)
    with (
        tempfile.TemporaryDirectory(prefix=".pintext-", dir=out.parent) as pieces,
        new_file(out, DataError, overwrite=overwrite) as made,
    ):
        cuts = _sorted_pieces(found, Path(pieces), piece_rows)
        schema = {**cuts.schema, "rank": pl.Int32()}
        register_io_source(lambda *_: _ranked(Path(pieces), cuts), schema=schema).select(
            "keyword", "pin_id", "rank", "similarity"
        ).sink_parquet(made, compression="zstd", metadata={FINGERPRINT_KEY: model.fingerprint})
    found.unlink()
    return rows


def _sorted_pieces(found: Path, pieces: Path, rows: int) -> pl.DataFrame:
    """Sort neighbours piece by piece; returns the row that each range begins with, in order."""
    turned = pl.scan_parquet(found, glob=False).select(
        keyword="neighbor_id", similarity="similarity", pin_id="id"
    )
    group = min(GROUP_ROWS, rows)
    seen = [turned.head(0).collect()]
    for number, some in enumerate(turned.collect_batches(chunk_size=rows, maintain_order=True)):
        piece = some.sort(_ORDER, descending=_DESCENDING)
        piece.write_parquet(
            pieces / f"{number:06d}.parquet", compression="lz4", row_group_size=group
        )
        seen.append(piece.gather_every(group))
    samples = pl.concat(seen).sort(_ORDER, descending=_DESCENDING)
    return samples.gather_every(rows // group).unique(maintain_order=True)


def _ranked(folder: Path, cuts: pl.DataFrame) -> Iterator[pl.DataFrame]:
    """The rows of all pieces in order, range by range, with their ranks."""
    pieces = sorted(folder.iterdir())
    places = [_places(piece, cuts) for piece in pieces]
    keyword, given = None, 0
    for number in range(len(cuts)):
        parts = [
            pl.scan_parquet(piece, glob=False).slice(at[number], at[number + 1] - at[number])
            for piece, at in zip(pieces, places, strict=True)
        ]
        some = pl.concat(parts).sort(_ORDER, descending=_DESCENDING).collect()
        goes_on = pl.when(pl.col("keyword").eq_missing(pl.lit(keyword))).then(given).otherwise(0)
        rank = pl.int_range(1, pl.len() + 1).over("keyword") + goes_on
        ranked = some.with_columns(rank=rank.cast(pl.Int32))
        yield ranked
        keyword, given = ranked["keyword"][-1], ranked["rank"][-1]


def _places(piece: Path, cuts: pl.DataFrame) -> list[int]:
    """Where in a piece each range begins, and the end of the last."""
    rows = pl.read_parquet(piece, glob=False)
    both = pl.concat([cuts.with_columns(held=False), rows.with_columns(held=True)])
    held = both.sort(*_ORDER, "held", descending=[*_DESCENDING, False])["held"]
    return [*(np.flatnonzero(~held.to_numpy()) - np.arange(len(cuts))).tolist(), len(rows)]
