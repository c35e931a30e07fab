"""The inverted index: Tantivy with the words, tokens and filter fields of the pins.

==============  =================================================================================
``id``          the id, one term
``text``        the words of the text, as :mod:`pintext.text` splits them
``length``      how many they are
``token``       the embedding tokens, numbers
``row``         where the pin stands in the rows (:mod:`pintext.index.rows`)
``document``    JSON of the id, text columns and fields; stored, not searched
``field_0`` …   the filter fields, in the order of the manifest
==============  =================================================================================
"""

import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
import numpy as np
import polars as pl

from pintext.arrays import I32, I64
from pintext.errors import IndexFormatError, MissingExtraError, PinIndexError
from pintext.files import reason
from pintext.index.fields import Field
from pintext.index.pins import PinBatch
from pintext.text import split_column

if TYPE_CHECKING:
    import tantivy

__all__ = [
    "FOLDER",
    "META",
    "best_rows",
    "check_terms",
    "commits_of",
    "first_line",
    "give_modes",
    "guarded",
    "json_lines",
    "make_terms",
    "place",
    "remove_leftovers",
    "rows_at",
    "tantivy_library",
    "writes",
]

FOLDER = "terms"
META = "meta.json"
_SEGMENT = (".idx", ".pos", ".term", ".fast", ".fieldnorm", ".store")  # the files of a segment
_MANAGED = ".managed.json"
_DELETES = ".del"
_MAGIC = 1337  # the last number of every file of Tantivy
_BLOCK = 1 << 20

Result = TypeVar("Result")


def place(number: int) -> str:
    """The name in the inverted index of a filter field."""
    return f"field_{number}"


def tantivy_library() -> Any:
    """Tantivy, imported when it is first asked for.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        import tantivy
    except ImportError:
        raise MissingExtraError("tantivy", "index") from None
    return tantivy


def make_terms(folder: Path, fields: Sequence[Field]) -> "tantivy.Index":
    """Make an empty inverted index in a folder, which must be there.

    Raises:
        MissingExtraError: Tantivy is not installed.
    """
    builder = tantivy_library().SchemaBuilder()
    builder.add_text_field("id", tokenizer_name="raw", index_option="basic")
    builder.add_text_field("text", tokenizer_name="whitespace", index_option="freq")
    builder.add_unsigned_field("length", fast=True)
    builder.add_unsigned_field("token", indexed=True)
    builder.add_unsigned_field("row", fast=True)
    builder.add_bytes_field("document", stored=True)
    for number, field in enumerate(fields):
        name = place(number)
        if field.kind == "keyword":
            builder.add_text_field(name, tokenizer_name="raw", index_option="basic")
        elif field.kind == "number":
            builder.add_float_field(name, indexed=True, fast=True)
        elif field.kind == "date":
            builder.add_integer_field(name, indexed=True, fast=True)
        else:
            builder.add_boolean_field(name, indexed=True)
    index: tantivy.Index = tantivy_library().Index(builder.build(), str(folder))
    return index


@contextmanager
def guarded(folder: Path) -> Iterator[None]:
    """Turn a panic of Tantivy, which only damaged files can cause, into an error of ours.

    Raises:
        IndexFormatError: Tantivy gave up.
    """
    try:
        yield
    except Exception:
        raise
    except BaseException as error:
        if type(error).__name__ != "PanicException":
            raise
        raise IndexFormatError(
            f"{folder}: damaged: {first_line(error)}; restore it or build the index again"
        ) from None


def best_rows(
    searcher: "tantivy.Searcher", query: "tantivy.Query", limit: int, folder: Path
) -> tuple[I64, list[float]]:
    """The rows of the pins that match best, and their scores.

    Raises:
        IndexFormatError: the files are damaged.
    """
    with guarded(folder):
        hits = searcher.search(query, limit, count=False).hits
    return rows_at(searcher, [place for _, place in hits], folder), [score for score, _ in hits]


def rows_at(searcher: "tantivy.Searcher", places: "list[tantivy.DocAddress]", folder: Path) -> I64:
    """The rows of documents, in their order.

    Raises:
        IndexFormatError: the files are damaged.
    """
    with guarded(folder):
        rows = searcher.fast_field_values("row", places)
    try:
        return np.array(rows, np.int64)
    except TypeError:
        raise IndexFormatError(f"{folder}: damaged: a pin has no row") from None


def first_line(error: BaseException) -> str:
    """What an error of Tantivy says first."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def json_lines(batch: PinBatch, tokens: I32, first_row: int) -> pl.Series:
    """The documents of some pins, as Tantivy reads them.

    Args:
        batch: ``n`` pins.
        tokens: ``(n, per_pin)``, -1 pads.
        first_row: the row of the first; the others follow.
    """
    listed = pl.Series("token", tokens, dtype=pl.Array(pl.Int32, tokens.shape[1])).arr.to_list()
    words = split_column(batch.texts)
    frame = pl.DataFrame([batch.ids.alias("id"), listed]).with_columns(
        pl.col("token").list.filter(pl.element() >= 0),
        words.list.join(" ").alias("text"),
        words.list.len().alias("length"),
        batch.documents.str.encode("base64").alias("document"),
        pl.int_range(first_row, first_row + len(batch.ids)).alias("row"),
        *(_listed(number, column) for number, column in enumerate(batch.fields)),
    )
    return frame.select(pl.struct(pl.all()).struct.json_encode()).to_series()


def _listed(number: int, column: pl.Series) -> pl.Series:
    """A filter field as lists of values: Tantivy takes no null for "none"."""
    if isinstance(column.dtype, pl.Datetime):
        column = column.dt.epoch("us")
    if not isinstance(column.dtype, pl.List):
        column = column.to_frame().select(pl.concat_list(pl.first())).to_series()
    return column.list.drop_nulls().fill_null([]).alias(place(number))


# -------------------------------------------------------------------------------- checking


class _Deletes(msgspec.Struct):
    opstamp: int


class _Segment(msgspec.Struct):
    segment_id: str
    deletes: _Deletes | None = None


class _Meta(msgspec.Struct):
    segments: list[_Segment]
    opstamp: int


def _meta(folder: Path) -> _Meta:
    try:
        return msgspec.json.decode((folder / META).read_bytes(), type=_Meta)
    except FileNotFoundError:
        raise IndexFormatError(f"{folder / META}: missing; restore it") from None
    except OSError as error:
        raise IndexFormatError(f"{folder / META}: cannot be read: {reason(error)}") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise IndexFormatError(f"{folder / META}: damaged: {error}") from None


def commits_of(folder: Path) -> int:
    """The number of the last commit; it grows with each.

    Raises:
        IndexFormatError: the file that says it is missing or damaged.
    """
    return _meta(folder).opstamp


def _committed(folder: Path, meta: _Meta) -> Iterator[Path]:
    """The files of the last commit; without what a killed writer has left of the next one."""
    for segment in meta.segments:
        stem = segment.segment_id.replace("-", "")
        yield from (folder / f"{stem}{kind}" for kind in _SEGMENT)
        if segment.deletes is not None:
            yield folder / f"{stem}.{segment.deletes.opstamp}{_DELETES}"


def give_modes(folder: Path, like: Path) -> None:
    """Let whoever may read another file read the files that Tantivy makes for their owner alone.

    Those that may be read already are left alone: they can be somebody else's.

    Raises:
        OSError: the disk refuses.
    """
    mode = like.stat().st_mode & 0o777
    for path in (folder / META, folder / _MANAGED):
        if path.stat().st_mode & 0o777 != mode:
            path.chmod(mode)


def remove_leftovers(folder: Path) -> None:
    """Remove what a killed writer has left: the next one would stumble over files of its names.

    Args:
        folder: of the inverted index; the lock of the index is held, so nobody is writing.

    Raises:
        OSError: the disk refuses.
        IndexFormatError: the list of the files is missing or damaged.
    """
    kept = {META, *(path.name for path in _committed(folder, _meta(folder)))}
    for path in folder.iterdir():
        if path.name not in kept and not path.name.startswith("."):
            path.unlink(missing_ok=True)


def check_terms(folder: Path, known: frozenset[str]) -> frozenset[str]:
    """Compare every committed file with the checksum at its end.

    Args:
        folder: of the inverted index.
        known: names of files that were found whole before; they never change.

    Returns:
        The names of the committed files.

    Raises:
        IndexFormatError: a file is missing or damaged; the message names it.
    """
    while True:
        meta = _meta(folder)
        names = set()
        try:
            for path in _committed(folder, meta):
                if path.name not in known:
                    _check_file(path)
                names.add(path.name)
            return frozenset(names)
        except FileNotFoundError as error:
            if _meta(folder).opstamp == meta.opstamp:  # else a writer has just replaced the file
                raise IndexFormatError(
                    f"{folder}: a file is missing ({error.filename}); restore it or build the "
                    "index again"
                ) from None


def _check_file(path: Path) -> None:
    """Compare a file of Tantivy with its footer: JSON with the CRC-32 of the rest, two numbers."""
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - 8))
        tail = file.read(8)
        length, magic = int.from_bytes(tail[:4], "little"), int.from_bytes(tail[4:], "little")
        body = size - 8 - length
        if magic != _MAGIC or body < 0:
            raise IndexFormatError(f"{path}: damaged or cut short; restore it")
        file.seek(body)
        try:
            expected = msgspec.json.decode(file.read(length))["crc"]
        except (msgspec.DecodeError, UnicodeDecodeError, KeyError, TypeError):
            raise IndexFormatError(f"{path}: damaged: no checksum; restore it") from None
        file.seek(0)
        found, left = 0, body
        while left and (block := file.read(min(_BLOCK, left))):
            found, left = zlib.crc32(block, found), left - len(block)
    if found != expected:
        raise IndexFormatError(f"{path}: damaged: the checksum does not fit; restore it")


def writes(function: Callable[..., Result], folder: Path, *arguments: Any) -> Result:
    """Call a function of Tantivy that writes.

    Raises:
        PinIndexError: the disk refuses, or Tantivy does.
    """
    try:
        with guarded(folder):
            return function(*arguments)
    except (ValueError, OSError, RuntimeError) as error:
        if isinstance(error, PinIndexError):
            raise
        raise PinIndexError(f"{folder}: cannot be written: {first_line(error)}") from None
