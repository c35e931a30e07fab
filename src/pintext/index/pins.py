"""Pins as they come in: files and frames, in batches of the columns that an index wants."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec
import polars as pl

from pintext.arrays import I64
from pintext.blocks import check_json_lines
from pintext.errors import DataError
from pintext.files import reason
from pintext.index.fields import Field, Kind, find_field, to_column
from pintext.index.settings import IndexConfig
from pintext.text import USUAL_COLUMNS

__all__ = [
    "BATCH_ROWS",
    "Columns",
    "PinBatch",
    "Pins",
    "batches",
    "find_columns",
    "listed",
    "name_of",
    "pin_frames",
]

BATCH_ROWS = 65_536
_TEXT_FILES = (".csv", ".tsv", ".jsonl", ".ndjson")

_TYPES: dict[Kind, pl.DataType] = {
    "keyword": pl.String(),
    "number": pl.Float64(),
    "date": pl.String(),  # in ISO 8601
    "boolean": pl.Boolean(),
}

Pins = str | Path | pl.DataFrame
"""A Parquet, CSV, TSV or JSON-lines file, or a frame."""


def name_of(pins: Pins) -> str:
    """What messages call the pins."""
    return str(pins) if isinstance(pins, str | Path) else "pins"


def listed(ids: Iterable[str]) -> list[str]:
    """Ids as a list.

    Raises:
        DataError: one is no text, or there is one text for all.
    """
    if isinstance(ids, str):
        raise DataError(f"expected ids in a list, found the text {ids!r}")
    names = list(ids)
    for name in names:
        if not isinstance(name, str):
            raise DataError(f"expected ids that are texts, found {name!r}")
    return names


class Columns(msgspec.Struct, frozen=True):
    """Which columns of the pins an index holds.

    Attributes:
        id: names the pins.
        texts: make the text, joined in this order.
        text_lists: those of them that are lists of strings.
        fields: the filter fields.
    """

    id: str
    texts: tuple[str, ...]
    text_lists: tuple[str, ...]
    fields: tuple[Field, ...]

    def field(self, name: str) -> tuple[int, Field]:
        """A filter field and its number.

        Raises:
            DataError: there is no such field.
        """
        for number, field in enumerate(self.fields):
            if field.name == name:
                return number, field
        known = ", ".join(repr(field.name) for field in self.fields) or "none"
        raise DataError(f"no field {name!r} to filter by; this index has {known}")

    def schema(self) -> dict[str, pl.DataType]:
        """Column -> its type in frames of pins such as an index gives them back."""
        kinds: dict[str, pl.DataType] = {self.id: pl.String()}
        for name in self.texts:
            kinds[name] = pl.List(pl.String) if name in self.text_lists else pl.String()
        for field in self.fields:
            kinds[field.name] = pl.List(pl.String) if field.many else _TYPES[field.kind]
        return kinds


class PinBatch(NamedTuple):
    """Some pins, in columns of equal length.

    Attributes:
        ids: String, no null, none empty.
        texts: String; null where all text columns are.
        fields: a column for each filter field, as :func:`~pintext.index.fields.to_column` says.
        documents: JSON of the id, the text columns and the fields, as they are given back.
    """

    ids: pl.Series
    texts: pl.Series
    fields: pl.DataFrame
    documents: pl.Series

    def gather(self, order: I64) -> "PinBatch":
        """The same pins in another order."""
        fields = self.fields[order] if self.fields.width else self.fields
        return PinBatch(
            self.ids.gather(order), self.texts.gather(order), fields, self.documents.gather(order)
        )


def pin_frames(pins: Pins, batch_rows: int = BATCH_ROWS) -> Iterator[pl.DataFrame]:
    """The pins in frames of some rows; at least one frame, which tells the columns.

    Columns of CSV and TSV are strings.

    Raises:
        DataError: the file cannot be read.
    """
    if isinstance(pins, pl.DataFrame):
        yield pins.head(batch_rows)
        for start in range(batch_rows, pins.height, batch_rows):
            yield pins.slice(start, batch_rows)
        return
    path = Path(pins)
    try:
        with path.open("rb") as file:  # one kind of error for what is missing or not allowed
            if not file.read(1):
                raise DataError(f"{path}: empty; expected pins, each with an id and a text")
        lazy = _scanned(path)
        yield pl.DataFrame(schema=lazy.collect_schema())
        yield from lazy.collect_batches(chunk_size=batch_rows, maintain_order=True)
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {reason(error)}") from None
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        check_json_lines(path)
        found = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise DataError(f"{path}: {found}") from None


def _scanned(path: Path) -> pl.LazyFrame:
    name = path.name.lower().removesuffix(".gz")
    if name.endswith(".parquet"):
        return pl.scan_parquet(path, glob=False, hive_partitioning=False)
    if name.endswith((".csv", ".tsv")):
        separator = "\t" if name.endswith(".tsv") else ","
        return pl.scan_csv(path, separator=separator, infer_schema=False, glob=False)
    if name.endswith((".jsonl", ".ndjson")):
        return pl.scan_ndjson(path, infer_schema_length=None)
    raise DataError(f"{path}: expected a name in .parquet, {', '.join(_TEXT_FILES)} (or .gz)")


def find_columns(schema: pl.Schema, config: IndexConfig, where: str) -> Columns:
    """The columns that the settings name, in pins with this schema.

    Args:
        schema: of the pins.
        config: names the columns.
        where: what the pins come from, for messages.

    Raises:
        ConfigError: a filter column is declared with an unknown kind.
        DataError: a column is missing or has the wrong type.
    """
    found = ", ".join(map(repr, list(schema)[:20])) or "none"
    texts = config.text_columns or tuple(name for name in USUAL_COLUMNS if name in schema)
    if not texts:
        raise DataError(
            f"{where}: no column of text: none of {', '.join(USUAL_COLUMNS)} is among {found}; "
            "name the columns (--text-column)"
        )
    for name in (config.id_column, *texts):
        if name not in schema:
            option = "--id-column" if name == config.id_column else "--text-column"
            raise DataError(
                f"{where}: no column {name!r}; columns found: {found}; "
                f"name the right one ({option})"
            )
    lists = tuple(name for name in texts if isinstance(schema[name], pl.List))
    for name in texts:
        dtype = schema[name].inner if name in lists else schema[name]  # type: ignore[attr-defined]
        if dtype not in (pl.String, pl.Null) and not isinstance(dtype, pl.Categorical | pl.Enum):
            raise DataError(
                f"{where}: column {name!r} is {schema[name]}; expected texts (--text-column)"
            )
    try:
        fields = tuple(find_field(declared, schema) for declared in config.filter_columns)
    except DataError as error:
        raise DataError(f"{where}: {error} (--filter-column)") from None
    names = [field.name for field in fields]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise DataError(f"{where}: filter column {twice[0]!r} is named twice")
    return Columns(config.id_column, texts, lists, fields)


def batches(frames: Iterator[pl.DataFrame], columns: Columns, where: str) -> Iterator[PinBatch]:
    """Turn frames into what is indexed.

    Args:
        frames: with the columns, in any order; others are left alone.
        columns: of the index.
        where: what the frames come from, for messages.

    Raises:
        DataError: a column is missing, an id is null or empty, or a value is not of its field's
            kind; the message names the row.
    """
    start = 0
    for frame in frames:
        if frame.height == 0:
            continue
        try:
            yield _batch(frame, columns)
        except DataError as error:
            raise DataError(f"{where}, rows from {start + 1}: {error}") from None
        start += frame.height


def _batch(frame: pl.DataFrame, columns: Columns) -> PinBatch:
    wanted = [columns.id, *columns.texts, *(field.name for field in columns.fields)]
    if missing := [name for name in wanted if name not in frame.columns]:
        raise DataError(f"no column {', '.join(map(repr, missing))}, which the index has")
    ids = frame[columns.id].cast(pl.String)
    bad = ids.is_null() | (ids == "")
    if bad.any():
        raise DataError(f"row {int(bad.arg_true()[0]) + 1}: {columns.id} is empty; name every pin")
    kinds = {name: pl.List(pl.String) if name in columns.text_lists else pl.String
             for name in columns.texts}  # fmt: skip
    try:
        texts = frame.select(pl.col(name).cast(kind) for name, kind in kinds.items())
    except pl.exceptions.PolarsError as error:
        raise DataError(f"a column of text has another type than the index's: {error}") from None
    joined = [
        pl.col(name).list.join(" ") if name in columns.text_lists else pl.col(name)
        for name in columns.texts
    ]
    text = texts.select(pl.concat_str(joined, separator=" ", ignore_nulls=True).alias("text"))
    fields = pl.DataFrame(
        [to_column(field, frame[field.name]).alias(field.name) for field in columns.fields]
    )
    document = {columns.id: ids, **{s.name: s for s in (*texts, *fields)}}
    documents = pl.DataFrame(document).select(
        pl.struct(pl.all()).struct.json_encode().alias("document")
    )
    return PinBatch(ids.alias("id"), text["text"], fields, documents["document"])
