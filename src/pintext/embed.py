"""Files of texts to files of vectors, in bounded memory."""

import csv
import gzip
import io
import zlib
from collections.abc import Iterable, Iterator
from itertools import chain, islice
from pathlib import Path
from typing import IO, Any, Literal, NamedTuple

import msgspec
import numpy as np
import polars as pl
from polars.io.plugins import register_io_source

from pintext.errors import ConfigError, DataError
from pintext.files import new_file, reason
from pintext.model import PinTextModel
from pintext.shards import in_shard

__all__ = ["FINGERPRINT_KEY", "TextBatch", "embed_file", "text_batches", "write_vectors"]

FINGERPRINT_KEY = "pintext.fingerprint"
"""The key of the model's fingerprint in the metadata of a Parquet file of vectors."""

_BLOCK_BYTES = 8 << 20
_TYPES: dict[str, tuple[type[pl.DataType], type[np.floating[Any]]]] = {
    "float32": (pl.Float32, np.float32),
    "float16": (pl.Float16, np.float16),
}


class TextBatch(NamedTuple):
    """Some texts and what names them."""

    ids: pl.Series
    texts: pl.Series


def embed_file(
    model: PinTextModel,
    source: str | Path | Iterable[str],
    out: str | Path,
    *,
    text_column: str = "text",
    id_column: str = "id",
    dtype: Literal["float32", "float16"] = "float32",
    shard: tuple[int, int] | None = None,
    batch_rows: int = 65_536,
    overwrite: bool = False,
) -> int:
    """Write the vector of every text in a file to a Parquet file.

    Args:
        model: whose fingerprint goes into the metadata, as ``pintext.fingerprint``.
        source: ``.parquet``, ``.csv``, ``.tsv``, ``.jsonl`` or ``.ndjson``; any other name is plain
            text, one text a line. The text formats may be packed (``.gz``). Or texts themselves.
        out: the Parquet file: ``id`` and ``vector``, a fixed-size list of ``dim`` numbers. It
            appears complete or not at all. Its rows are those of the source, in the same order.
        text_column: the column (or JSON field) with the texts. A text that is null or has no known
            word gets the zero vector.
        id_column: the column with the ids, which are copied. Where there is no column ``id``, and
            for plain text, the ids are row numbers from 0. Ids from CSV and TSV are strings.
        dtype: of the vectors; ``float16`` halves the file and keeps 3 digits.
        shard: ``(i, n)``: only the rows of part ``i`` of ``n``, from 1, which the id decides, as
            for an index.
        batch_rows: texts in memory at a time.
        overwrite: replace a file that is there.

    Returns:
        The number of rows.

    Raises:
        DataError: the source cannot be read, a row of it is wrong, a column is missing, or the file
            cannot be written. A row cannot be left out: the vectors must match the texts.
        ConfigError: no such ``dtype``, or the shard is out of range.
    """
    if batch_rows < 1:
        raise ConfigError(f"batch_rows = {batch_rows}: expected 1 or more")
    _number_types(dtype)
    # The first batch is read here: it tells the type of the ids.
    batches = text_batches(source, text_column, id_column, batch_rows)
    if shard is not None:
        batches = _shard_batches(batches, shard)
    first = next(batches, TextBatch(pl.Series(dtype=pl.Int64), pl.Series(dtype=pl.String)))
    return write_vectors(
        model,
        chain([first], batches),
        first.ids.dtype,
        out,
        dtype=dtype,
        row_group_size=batch_rows,
        overwrite=overwrite,
    )


def _shard_batches(batches: Iterable[TextBatch], shard: tuple[int, int]) -> Iterator[TextBatch]:
    for ids, texts in batches:
        mine = in_shard(ids, shard)
        yield TextBatch(ids.filter(mine), texts.filter(mine))


def write_vectors(
    model: PinTextModel,
    batches: Iterable[TextBatch],
    id_type: pl.DataType,
    out: str | Path,
    *,
    dtype: Literal["float32", "float16"] = "float32",
    row_group_size: int = 65_536,
    overwrite: bool = False,
    threads: int = 0,
) -> int:
    """Write the vectors of batches of texts to a Parquet file, which is what it is in the end.

    Args:
        model: whose fingerprint goes into the metadata.
        batches: texts with their ids, all of the type ``id_type``.
        id_type: of the column ``id``.
        out: the file, as :func:`embed_file` describes it.
        dtype: of the vectors.
        row_group_size: rows in a row group.
        overwrite: replace a file that is there.
        threads: that encode a batch; 0 means all cores.

    Returns:
        The number of rows.

    Raises:
        ConfigError: no such ``dtype``.
        DataError: the file cannot be written, or a number is too large for ``float16``.
    """
    polars_type, numpy_type = _number_types(dtype)
    vector_type = pl.Array(polars_type, model.dim)
    rows = 0

    def frames(*_: Any) -> Iterator[pl.DataFrame]:
        nonlocal rows
        for batch in batches:
            with np.errstate(over="ignore"):
                vectors = model.encode(batch.texts, threads=threads).astype(numpy_type, copy=False)
            if dtype == "float16" and not np.isfinite(vectors).all():
                raise DataError(f"{out}: a number is too large for float16; choose float32")
            yield pl.DataFrame({"id": batch.ids, "vector": pl.Series(vectors, dtype=vector_type)})
            rows += len(batch.texts)

    with new_file(out, DataError, overwrite=overwrite) as made:
        try:
            register_io_source(frames, schema={"id": id_type, "vector": vector_type}).sink_parquet(
                made,
                compression="lz4",
                row_group_size=row_group_size,
                metadata={FINGERPRINT_KEY: model.fingerprint},
            )
        except pl.exceptions.PolarsError as error:
            raise DataError(f"{out}: cannot be written: {_first_line(error)}") from None
    return rows


def _number_types(dtype: str) -> tuple[type[pl.DataType], type[np.floating[Any]]]:
    if dtype not in _TYPES:
        raise ConfigError(f"dtype = {dtype!r}: expected {' or '.join(_TYPES)}")
    return _TYPES[dtype]


def text_batches(
    source: str | Path | Iterable[str],
    text_column: str = "text",
    id_column: str = "id",
    batch_rows: int = 65_536,
    rows: tuple[int, int] | None = None,
) -> Iterator[TextBatch]:
    """Read texts piece by piece; the arguments are those of :func:`embed_file`.

    ``rows`` are the first and the number of those that are wanted of a Parquet file; None: all.

    Raises:
        DataError: the source cannot be read, a row of it is wrong, or a column is missing.
    """
    if not isinstance(source, str | Path):
        yield from _numbered(iter(source), batch_rows)
        return
    path = Path(source)
    name = path.name.lower().removesuffix(".gz")
    try:
        with path.open("rb"):  # one kind of error for what is missing, a folder, or not allowed
            pass
        if name.endswith((".jsonl", ".ndjson")):
            yield from _json_batches(path, text_column, id_column, batch_rows)
        elif name.endswith((".parquet", ".csv", ".tsv")):
            yield from _column_batches(path, name, text_column, id_column, batch_rows, rows)
        else:
            yield from _numbered(_lines(path), batch_rows)
    except (EOFError, zlib.error) as error:
        raise DataError(f"{path}: damaged gzip file ({error}); pack it again") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {reason(error)}") from None


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


# -------------------------------------------------------------------------------- plain text


def _opened(path: Path) -> IO[bytes]:
    opener: Any = gzip.open if path.name.lower().endswith(".gz") else open
    file: IO[bytes] = opener(path, "rb")
    return file


def _lines(path: Path) -> Iterator[str]:
    with _opened(path) as file:
        for line in file:
            yield line.decode("utf-8", "replace").rstrip("\r\n")


def _numbered(texts: Iterator[str], batch_rows: int) -> Iterator[TextBatch]:
    start = 0
    while some := list(islice(texts, batch_rows)):
        batch = pl.Series("text", some, dtype=pl.String)
        yield TextBatch(pl.Series("id", range(start, start + len(batch)), dtype=pl.Int64), batch)
        start += len(batch)


# -------------------------------------------------------------------------------- JSON lines


def _json_batches(
    path: Path, text_column: str, id_column: str, batch_rows: int
) -> Iterator[TextBatch]:
    """Batches of a JSON-lines file; what the first row has, every row must have."""
    start = 0
    with _opened(path) as file:
        lines = ((number, line) for number, line in enumerate(file, 1) if line.strip())
        first = next(lines, None)
        if first is None:
            return
        decoder, id_type = _json_decoder(path, first, text_column, id_column)
        everything = chain([first], lines)
        while some := list(islice(everything, batch_rows)):
            rows = [_json_row(path, number, line, decoder) for number, line in some]
            if id_type is None:
                ids = pl.Series("id", range(start, start + len(rows)), dtype=pl.Int64)
            else:
                ids = pl.Series("id", [row.id for row in rows], dtype=id_type)
            yield TextBatch(ids, pl.Series("text", [row.text for row in rows], dtype=pl.String))
            start += len(rows)


def _json_decoder(
    path: Path, first: tuple[int, bytes], text_column: str, id_column: str
) -> tuple[msgspec.json.Decoder[Any], type[pl.DataType] | None]:
    """What decodes a row, strictly, and the type of the ids; ``None`` where there are none."""
    number, line = first
    row = _json_row(path, number, line, msgspec.json.Decoder(dict[str, Any]))
    _check_columns(path, list(row), text_column, id_column)
    fields: list[Any] = [("text", str | None)]
    names = {"text": text_column}
    id_type: type[pl.DataType] | None = None
    if id_column in row:
        whole = type(row[id_column]) is int
        id_type = pl.Int64 if whole else pl.String
        fields.append(("id", (int if whole else str) | None))
        names["id"] = id_column
    return msgspec.json.Decoder(msgspec.defstruct("Row", fields, rename=names)), id_type


def _json_row(path: Path, number: int, line: bytes, decoder: msgspec.json.Decoder[Any]) -> Any:
    try:
        return decoder.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise DataError(f"{path}:{number}: {_first_line(error)}") from None


# -------------------------------------------------------------------------------- columns


def _column_batches(
    path: Path,
    name: str,
    text_column: str,
    id_column: str,
    batch_rows: int,
    rows: tuple[int, int] | None,
) -> Iterator[TextBatch]:
    """Batches of a Parquet, CSV or TSV file."""
    separator = "\t" if name.endswith(".tsv") else ","
    start = 0
    try:
        if name.endswith(".parquet"):
            lazy = pl.scan_parquet(path, glob=False, hive_partitioning=False)
        else:
            lazy = pl.scan_csv(
                path, separator=separator, infer_schema=False, encoding="utf8-lossy", glob=False
            )
        schema = lazy.collect_schema()
        _check_columns(path, schema.names(), text_column, id_column)
        kind = schema[text_column]
        if not (kind in (pl.String, pl.Null) or isinstance(kind, pl.Categorical | pl.Enum)):
            raise DataError(f"{path}: column {text_column!r} is {kind}; expected texts")
        has_id = id_column in schema
        lazy = lazy if rows is None else lazy.slice(*rows)
        chosen = [pl.col(text_column).cast(pl.String).alias("text")]
        chosen += [pl.col(id_column).alias("id")] if has_id else []
        for frame in lazy.select(chosen).collect_batches(
            chunk_size=batch_rows, maintain_order=True
        ):
            numbers = pl.Series("id", range(start, start + frame.height), dtype=pl.Int64)
            yield TextBatch(frame["id"] if has_id else numbers, frame["text"])
            start += frame.height
        if start == 0:
            ids = pl.Series("id", dtype=schema[id_column] if has_id else pl.Int64)
            yield TextBatch(ids, pl.Series("text", dtype=pl.String))
    except pl.exceptions.NoDataError:
        raise DataError(f"{path}: empty; expected a first line with the names of columns") from None
    except pl.exceptions.PolarsError as error:
        place = "" if name.endswith(".parquet") else _bad_line(path, separator)
        raise DataError(f"{path}{place}: {_first_line(error)}") from None


def _check_columns(path: Path, found: list[str], text_column: str, id_column: str) -> None:
    for name in (text_column, id_column):
        if name not in found and name != "id":
            raise DataError(
                f"{path}: no column {name!r}; columns found: "
                f"{', '.join(map(repr, found[:20]))}; name the right one (--text-column, "
                "--id-column)"
            )


def _bad_line(path: Path, separator: str) -> str:
    """``:LINE`` of the first row with more fields than columns, to name it in a message."""
    with _opened(path) as raw, io.TextIOWrapper(raw, "utf-8", "replace", newline="") as file:
        rows = csv.reader(file, delimiter=separator)
        try:
            width = len(next(rows))
            for row in rows:
                if len(row) > width:
                    return f":{rows.line_num}"
        except (csv.Error, StopIteration):
            pass
    return ""
