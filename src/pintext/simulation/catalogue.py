"""Catalogues for a simulation: ids, and the numbers of the words of their texts."""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl

from pintext.arrays import I64
from pintext.blocks import check_json_lines
from pintext.errors import DataError
from pintext.files import reason
from pintext.text import USUAL_COLUMNS
from pintext.word_counter import TokenRows, WordCounter

__all__ = ["Entities", "Postings", "postings", "read_entities", "word_texts"]

_SUFFIXES = (".parquet", ".csv", ".tsv", ".jsonl", ".ndjson")
_PACKED = (".gz", ".zst")


class Entities(NamedTuple):
    """Entries of a catalogue that have an id and a word.

    Attributes:
        ids: strings.
        tokens: the numbers of the words of each.
    """

    ids: pl.Series
    tokens: TokenRows


class Postings(NamedTuple):
    """The pins that have each word.

    Attributes:
        n_pins: how many pins there are.
        pins: those that have the word ``w``, ascending: ``pins[offsets[w]:offsets[w + 1]]``.
        offsets: see above.
    """

    n_pins: int
    pins: I64
    offsets: I64


def read_entities(
    path: str | Path, counter: WordCounter, id_column: str = "id", columns: Sequence[str] = ()
) -> Entities:
    """Read a catalogue.

    Args:
        path: Parquet, CSV, TSV or JSON lines; text formats also ``.gz`` or ``.zst``.
        counter: numbers the words.
        id_column: the column of the ids.
        columns: the columns with text, or lists of texts; where none is named, those of title,
            description, text that there are, or else all of them.

    Raises:
        DataError: the file cannot be read, lacks a column, or has no entry with an id and a word.
    """
    path = Path(path)
    try:
        frame = _read(path)
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {reason(error)}") from None
    except pl.exceptions.PolarsError as error:
        check_json_lines(path)
        found = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise DataError(f"{path}: not readable as a catalogue: {found}") from None
    named = [id_column, *columns]
    if missing := [name for name in named if name not in frame.columns]:
        there = ", ".join(map(repr, frame.columns[:20])) or "none"
        raise DataError(f"{path}: no column {missing[0]!r}; columns found: {there}")
    usual = [name for name in USUAL_COLUMNS if name in frame.columns]
    texts = [
        name
        for name in columns or usual or frame.columns
        if name != id_column and _is_text(frame.schema[name])
    ]
    if not texts or (columns and len(texts) < len(columns)):
        raise DataError(
            f"{path}: expected columns of text beside {id_column!r}; name them (--text-column)"
        )
    frame = frame.select(
        pl.col(id_column).cast(pl.String).alias("id"),
        pl.concat_str([_text(n, frame.schema[n]) for n in texts], separator=" ").alias("text"),
    ).filter(pl.col("id").is_not_null())
    tokens = counter.add(0, frame["text"])
    worded = np.diff(tokens.offsets) > 0
    if not worded.any():
        raise DataError(f"{path}: no entry has both an id and a word of text")
    offsets = np.concatenate([[0], tokens.offsets[1:][worded]])
    return Entities(frame["id"].filter(pl.Series(worded)), TokenRows(tokens.rows, offsets))


def _read(path: Path) -> pl.DataFrame:
    name = path.name
    for suffix in _PACKED:
        name = name.removesuffix(suffix)
    if not name.endswith(_SUFFIXES):
        raise DataError(f"{path}: expected a name that ends with {', '.join(_SUFFIXES)}")
    if name.endswith(".parquet"):
        return pl.read_parquet(path, glob=False, hive_partitioning=False)
    if name.endswith((".csv", ".tsv")):
        separator = "," if name.endswith(".csv") else "\t"
        return pl.read_csv(path, separator=separator, infer_schema=False, glob=False)
    return pl.read_ndjson(path, infer_schema_length=1000)


def _is_text(kind: pl.DataType) -> bool:
    return kind in (pl.String, pl.Categorical, pl.Enum, pl.List(pl.String))


def _text(name: str, kind: pl.DataType) -> pl.Expr:
    column = pl.col(name)
    if kind == pl.List(pl.String):
        column = column.list.join(" ", ignore_nulls=True)
    return column.cast(pl.String).fill_null("")


def postings(pins: Entities, n_words: int) -> Postings:
    """Which pins have each of ``n_words`` words."""
    rows, offsets = pins.tokens
    n_pins = len(pins.ids)
    of_pin = np.repeat(np.arange(n_pins), np.diff(offsets))
    keys = np.sort(rows.astype(np.int64) * n_pins + of_pin)
    keys = keys[np.diff(keys, prepend=-1) > 0]  # a word once of each pin
    bounds = np.searchsorted(keys, np.arange(n_words + 1) * n_pins)
    return Postings(n_pins, keys % n_pins, bounds)


def word_texts(counter: WordCounter) -> pl.Series:
    """The words by their numbers."""
    data, offsets, _ = counter.raw()
    whole, bounds = data.tobytes(), offsets.tolist()
    words = [whole[a:b].decode() for a, b in pairwise(bounds)]
    return pl.Series(words, dtype=pl.String)
