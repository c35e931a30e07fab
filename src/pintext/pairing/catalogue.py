"""Catalogues of pins and interests: which columns make an entry's text, and which entries have one.

Files are Parquet, CSV, TSV or JSON lines (text also ``.gz``). What comes out is Parquet with the
columns ``id``, ``text`` and ``words``, one row an entry.
"""

import hashlib
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import msgspec
import polars as pl

from pintext.blocks import check_json_lines
from pintext.errors import DataError
from pintext.files import new_file, reason
from pintext.pairing.annotations import annotation_text, uneven
from pintext.pairing.engine import DuckDB, Engine
from pintext.pairing.settings import CatalogueConfig
from pintext.text import split_column

__all__ = ["SUFFIXES", "CatalogueEntry", "find_files", "open_catalogue"]

SUFFIXES = (
    ".parquet",
    *(f"{kind}{z}" for kind in (".csv", ".tsv", ".jsonl", ".ndjson") for z in ("", ".gz")),
)
"""Names of the files that can hold a catalogue."""

_BATCH = 100_000
_MOST_ROWS = 1 << 40
"""Rows of a file, at most."""
_TEXT = (pl.String, pl.Categorical, pl.Enum)


class CatalogueEntry(msgspec.Struct, frozen=True):
    """A catalogue that was used.

    Attributes:
        digest: of the bytes of its files.
        rows: its rows.
        no_id: those left out because they have no id.
        entries: distinct ids; of an id that is there twice the last row counts.
        without_text: entries of which no word is left.
        cut: texts that were longer than the settings allow.
    """

    digest: str
    rows: int
    no_id: int
    entries: int
    without_text: int
    cut: int


def find_files(path: Path) -> list[Path]:
    """The files of a catalogue, in the order of their names.

    Raises:
        DataError: there are none.
    """
    if path.is_dir():
        found = [
            file
            for file in sorted(path.rglob("*"))
            if file.is_file()
            and file.name.endswith(SUFFIXES)
            and not any(part.startswith((".", "_")) for part in file.relative_to(path).parts)
        ]
    else:
        found = [path] if path.exists() else []
    if not found or not found[0].name.endswith(SUFFIXES):
        raise DataError(
            f"{path}: no catalogue; expected a file with a name in {', '.join(SUFFIXES)}, "
            "or a folder of such"
        )
    return found


def open_catalogue(
    engine: Engine, name: str, files: Sequence[Path], work: Path, config: CatalogueConfig
) -> CatalogueEntry:
    """Read a catalogue and let its entries be known to the engine under a name.

    Args:
        engine: gets a view with the columns ``id``, ``text`` and ``words``: the text's words with
            single blanks between, empty where there is none.
        name: of the view.
        files: the catalogue.
        work: a folder to make, for the texts.
        config: which columns make the text.

    Raises:
        DataError: a file cannot be read, lacks the id or every text column, or has a column of the
            wrong type; or there are no entries.
    """
    work.mkdir()
    read = list(engine.each(partial(_write_entries, work, config), list(enumerate(files))))
    rows, no_id, cut = (sum(numbers) for numbers in zip(*(one[:3] for one in read), strict=True))
    if rows == no_id:
        raise DataError(f"{files[0]}: the catalogue of {name} has no entries")
    engine.files(f"{name}_row", sorted(work.glob("*.parquet")))
    engine.table(f"{name}_twice", _TWICE.format(name=name))
    engine.view(name, _NEWEST.format(name=name))
    ((entries, without_text),) = engine.rows(_COUNT.format(name=name))
    return CatalogueEntry(
        _digest([one.digest for one in read]), rows, no_id, entries, without_text, cut
    )


_TWICE = "SELECT id, max(row) AS last FROM {name}_row GROUP BY id HAVING count(*) > 1"
_NEWEST = """
SELECT one.id, one.text, one.words FROM {name}_row AS one
ANTI JOIN {name}_twice AS twice ON one.id = twice.id AND one.row < twice.last
"""
_COUNT = "SELECT count(*), count(*) FILTER (WHERE words = '') FROM {name}"


class _Read(NamedTuple):
    """What was read of a file: see :class:`CatalogueEntry`."""

    rows: int
    no_id: int
    cut: int
    digest: bytes


def _write_entries(
    work: Path, config: CatalogueConfig, _engine: DuckDB, numbered: tuple[int, Path]
) -> _Read:
    """Write the entries of one file into a folder; of one id the last ``row`` will count."""
    number, file = numbered
    rows = no_id = cut = 0
    for frame in _readable(file, config):
        first = number * _MOST_ROWS + rows
        kept = frame.with_columns(
            row=pl.int_range(first, first + frame.height, dtype=pl.Int64),
            words=split_column(frame["text"]).list.join(" "),
        ).filter(pl.col("id") != "")
        with new_file(work / f"{first:019d}.parquet", DataError, overwrite=True) as made:
            kept.drop("cut").write_parquet(made)
        rows += frame.height
        no_id += frame.height - kept.height
        cut += int(frame["cut"].sum())
    with file.open("rb") as stream:
        return _Read(rows, no_id, cut, hashlib.file_digest(stream, "sha256").digest())


def _digest(files: Sequence[bytes]) -> str:
    """16 hexadecimal digits that depend on the bytes of the files alone."""
    return hashlib.sha256(b"".join(files)).hexdigest()[:16]


def _readable(file: Path, config: CatalogueConfig) -> Iterator[pl.DataFrame]:
    """The batches of a file; what is wrong with it is a :class:`DataError`."""
    try:
        yield from _batches(file, config)
    except pl.exceptions.PolarsError as error:
        check_json_lines(file)
        found = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise DataError(f"{file}: not a readable catalogue ({found})") from None
    except OSError as error:
        raise DataError(f"{file}: cannot be read: {reason(error)}") from None


def _batches(file: Path, config: CatalogueConfig) -> Iterator[pl.DataFrame]:
    """The columns ``id``, ``text`` and ``cut`` of a file, piece by piece."""
    lazy = _scan(file)
    schema = lazy.collect_schema()
    _check(file, schema, config)
    columns = [name for name in config.text if name in schema]
    texts = [
        annotation_text(schema, config)
        if name == config.annotations
        else _joined(name, schema[name])
        for name in columns
    ]
    text = pl.concat_str(texts, separator=" ", ignore_nulls=True).str.strip_chars()
    whole = lazy.select(
        pl.col(config.id).cast(pl.String).str.strip_chars().fill_null("").alias("id"),
        text.fill_null("").alias("text"),
        uneven(schema, config).alias("uneven"),
    )
    for frame in whole.select("id", "uneven", *_cut(config.max_chars)).collect_batches(
        chunk_size=_BATCH, maintain_order=True
    ):
        if frame["uneven"].any():
            entry = frame.filter("uneven")["id"][0]
            raise DataError(
                f"{file}: entry {entry!r} has more or fewer values in {config.confidence!r} or "
                f"{config.language!r} than {config.annotations!r}; expected one for each"
            )
        yield frame.drop("uneven")


def _scan(file: Path) -> pl.LazyFrame:
    name = file.name.removesuffix(".gz")
    if name.endswith(".parquet"):
        return pl.scan_parquet(file, glob=False, hive_partitioning=False)
    if name.endswith((".csv", ".tsv")):
        separator = "," if name.endswith(".csv") else "\t"
        return pl.scan_csv(file, separator=separator, infer_schema=False, glob=False)
    return pl.scan_ndjson(file, infer_schema_length=None)


def _check(file: Path, schema: pl.Schema, config: CatalogueConfig) -> None:
    listed = ", ".join(map(repr, schema.names()[:20])) or "none"
    if config.id not in schema:
        raise DataError(
            f"{file}: no column {config.id!r}; columns found: {listed}. Name the column that holds "
            "the ids in the settings, as `id` of the catalogue"
        )
    kind = schema[config.id]
    if not (kind in _TEXT or kind.is_integer()):
        raise DataError(f"{file}: column {config.id!r} is {kind}; expected texts or whole numbers")
    if not any(name in schema for name in config.text):
        raise DataError(
            f"{file}: none of the columns {', '.join(map(repr, config.text))}; columns found: "
            f"{listed}. Name the columns with texts in the settings, as `text` of the catalogue"
        )
    for name in config.text:
        kind = schema.get(name, pl.String())
        inner = kind.inner if isinstance(kind, pl.List) else kind
        objects = name == config.annotations and isinstance(inner, pl.Struct)
        if not (inner in (*_TEXT, pl.Null) or objects):
            raise DataError(f"{file}: column {name!r} is {kind}; expected texts or lists of texts")


def _joined(name: str, kind: pl.DataType) -> pl.Expr:
    column = pl.col(name)
    if isinstance(kind, pl.List):
        return column.cast(pl.List(pl.String)).list.join(" ", ignore_nulls=True)
    return column.cast(pl.String)


def _cut(longest: int) -> list[pl.Expr]:
    """The text up to ``longest`` characters and the white space before, and whether it was cut."""
    text = pl.col("text")
    if not longest:
        return [text, pl.lit(False).alias("cut")]
    cut = text.str.len_chars() > longest
    # One more is looked at: where it is white space, the last word is whole.
    shortened = text.str.head(longest + 1).str.replace(r"\s*\S*$", "")
    whole_word = pl.when(shortened == "").then(text.str.head(longest)).otherwise(shortened)
    return [pl.when(cut).then(whole_word).otherwise(text).alias("text"), cut.alias("cut")]
