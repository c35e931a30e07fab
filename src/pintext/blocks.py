"""Text files in blocks of whole records, so that a file of any size is read in bounded memory.

A block is some 8 MiB, cut at the end of a record. Fields follow RFC 4180: a quoted field may hold
separators, line ends and doubled quotes. Where quotes break those rules (``5" pot``, an unclosed
field), a quote that does not enclose a whole field is taken literally, so that such a row costs
nothing and its neighbours are safe.
"""

import gzip
import re
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Literal, NamedTuple, cast

import msgspec
import numpy as np
import numpy.typing as npt
import polars as pl

from pintext.arrays import I64, U8
from pintext.errors import DataError, MissingExtraError

__all__ = [
    "Block",
    "Piece",
    "Reject",
    "blocks",
    "check_json_lines",
    "not_utf8",
    "records",
    "without_broken",
]

BLOCK_BYTES = 8 * 2**20
LONGEST_RECORD = 256 * 2**20
_QUOTE, _NEWLINE, _RETURN = 34, 10, 13
_Quotes = Literal["none", "proper", "stray"]


class Reject(NamedTuple):
    """A row that cannot be taken apart: why, its 1-based row or line number, what was found."""

    reason: str
    row: int
    what: str


class Piece(NamedTuple):
    """Some rows of a file, in order.

    Attributes:
        frame: ``row`` (1-based row of a Parquet file, line of a text file) and the columns asked
            for; a column that the file lacks is null throughout.
        rejects: the rows of this stretch that are not in the frame.
        last: number of the last row or line of this stretch.
    """

    frame: pl.DataFrame
    rejects: list[Reject]
    last: int


class Block(NamedTuple):
    """Whole records.

    Attributes:
        data: their bytes, a line end behind the last.
        starts: (n + 1,) where each record starts, and the end; physical lines if quotes are stray.
        lines: (n,) the number of the line that each starts on.
        quotes: ``none`` encloses a field, all of them are ``proper``, or some are ``stray``.
        last: number of its last line.
    """

    data: bytes
    starts: I64
    lines: I64
    quotes: _Quotes
    last: int


def blocks(path: Path, separator: bytes | None) -> Iterator[Block]:
    """Cut a text file, plain or packed (``.gz``, ``.zst``), into blocks.

    Args:
        path: the file.
        separator: between fields; None if quotes mean nothing and every line is a record.

    Raises:
        DataError: the file is damaged or UTF-16, or a line is longer than 256 MiB.
        OSError: the file cannot be read.
    """
    line, carry = 1, b""
    for chunk in _read(path):
        final = len(chunk) == 0
        data = carry + chunk
        if line == 1 and not carry:
            data = _without_mark(path, data)
        if final and data and not data.endswith(b"\n"):
            data += b"\n"
        block = _cut(data, separator, line, final)
        if block is None:
            carry = data
            if len(carry) > LONGEST_RECORD:
                raise DataError(
                    f"{path}:{line}: a line longer than {LONGEST_RECORD >> 20} MiB; "
                    "is this a text file with a row a line?"
                )
            continue
        yield block
        carry = data[len(block.data) :]
        line = block.last + 1


def _open(path: Path) -> tuple[IO[bytes], tuple[type[Exception], ...]]:
    """The unpacked bytes of a file, and what is raised where the packing is damaged."""
    name = path.name.lower()
    if name.endswith(".gz"):
        damages = (gzip.BadGzipFile, EOFError, zlib.error)
        return cast("IO[bytes]", gzip.open(path, "rb")), damages
    if name.endswith(".zst"):
        if sys.version_info >= (3, 14):
            from compression import zstd
        else:
            try:
                from backports import zstd
            except ImportError:
                raise MissingExtraError("backports.zstd", "zstd") from None
        return cast("IO[bytes]", zstd.open(path, "rb")), (zstd.ZstdError, EOFError)
    return path.open("rb"), ()


def _read(path: Path) -> Iterator[bytes]:
    """The unpacked bytes of a file, piece by piece; an empty piece at the end."""
    file, damages = _open(path)
    with file:
        while True:
            try:
                chunk = file.read(BLOCK_BYTES)
            except damages as error:
                kind = "gzip" if path.suffix.lower() == ".gz" else "zstd"
                raise DataError(f"{path}: damaged {kind} file ({error}); pack it again") from None
            yield chunk
            if not chunk:
                return


def _without_mark(path: Path, data: bytes) -> bytes:
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise DataError(f"{path}: looks like UTF-16; save it as UTF-8")
    return data.removeprefix(b"\xef\xbb\xbf")


def _cut(data: bytes, separator: bytes | None, line: int, final: bool) -> Block | None:
    """The longest run of whole records at the front of the data; None if there is none yet."""
    codes = np.frombuffer(data, np.uint8)
    newlines = np.flatnonzero(codes == _NEWLINE)
    if not newlines.size:
        return None
    lines = np.arange(line + 1, line + 1 + newlines.size)
    kind: _Quotes = "none"
    quotes = np.flatnonzero(codes == _QUOTE) if separator is not None else newlines[:0]
    if separator is not None and _opens(codes, quotes, separator[0]).any():
        # A newline ends a record where the quotes before it are even in number.
        even = np.searchsorted(quotes, newlines) % 2 == 0
        ends, after = newlines[even], lines[even]
        kind = "stray"
        closed = ends.size > 0 and (not final or ends[-1] == newlines[-1])
        if closed and _proper(codes, quotes[quotes < ends[-1]], separator[0]):
            newlines, lines, kind = ends, after, "proper"
    starts = np.concatenate([np.zeros(1, np.int64), newlines + 1])
    begins = np.concatenate([[line], lines[:-1]])
    return Block(data[: int(starts[-1])], starts, begins, kind, int(lines[-1]) - 1)


def _opens(codes: U8, quotes: I64, separator: int) -> npt.NDArray[np.bool_]:
    """Whether a quote is the first byte of a field."""
    before = np.where(quotes > 0, codes[quotes - 1], _NEWLINE)
    return np.isin(before, (separator, _NEWLINE))


def _proper(codes: U8, quotes: I64, separator: int) -> bool:
    """Whether every quote opens a field, closes a field, or is half of a doubled quote."""
    opening, closing = quotes[0::2], quotes[1::2]
    after = codes[closing + 1]
    returns = closing[after == _RETURN]
    return bool(
        (_opens(codes, opening, separator) | (codes[opening - 1] == _QUOTE)).all()
        and np.isin(after, (separator, _NEWLINE, _RETURN, _QUOTE)).all()
        and (codes[returns + 2] == _NEWLINE).all()
    )


def records(block: Block, separator: bytes) -> Iterator[tuple[int, list[bytes], int]]:
    """Yield (line, fields, end) of each record; a quote that encloses no whole field is literal."""
    apart = re.escape(separator)
    # Possessive: a quoted field ends at its first quote that is not doubled, or it is not quoted.
    quoted = re.compile(rb'"((?:[^"]++|"")*+)"(' + apart + rb"|\r?\n)")
    plain = re.compile(rb"([^" + apart + rb"\n]*+)(" + apart + rb"|\n)")
    position, line = 0, int(block.lines[0])
    first, fields = line, []
    while match := quoted.match(block.data, position) or plain.match(block.data, position):
        value, end = match.groups()
        value = value.replace(b'""', b'"') if match.re is quoted else value.removesuffix(b"\r")
        fields.append(value)
        position = match.end()
        line += match[0].count(b"\n")
        if end != separator:
            yield first, fields, position
            first, fields = line, []


def without_broken(block: Block) -> tuple[Block, list[Reject]]:
    """Take out the records whose bytes are not UTF-8."""
    try:
        block.data.decode("utf-8")
    except UnicodeDecodeError:
        pass
    else:
        return block, []
    rejects, kept, good = [], [], np.ones(len(block.lines), bool)
    for i, line in enumerate(block.lines.tolist()):
        record = block.data[block.starts[i] : block.starts[i + 1]]
        try:
            record.decode("utf-8")
            kept.append(record)
        except UnicodeDecodeError as error:
            good[i] = False
            rejects.append(not_utf8(line, error))
    starts = np.concatenate([[0], np.cumsum(np.diff(block.starts)[good])])
    return Block(b"".join(kept), starts, block.lines[good], block.quotes, block.last), rejects


def check_json_lines(path: Path) -> None:
    """Say what is wrong with JSON lines that Polars refuses.

    Nothing is said of a file with another name, or where every line is an object.

    Raises:
        DataError: a line is not one JSON object, the first such is named; there are no lines; or
            what :func:`blocks` raises.
        OSError: the file cannot be read.
    """
    name = path.name.lower().removesuffix(".gz").removesuffix(".zst")
    if not name.endswith((".jsonl", ".ndjson")):
        return
    decode = msgspec.json.Decoder(dict[str, object]).decode
    empty = True
    for block in blocks(path, None):
        for number, line in zip(block.lines.tolist(), block.data.split(b"\n"), strict=False):
            if not line.strip():
                continue
            empty = False
            try:
                decode(line)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
                raise DataError(
                    f"{path}:{number}: {error}; expected one JSON object on a line"
                ) from None
    if empty:
        raise DataError(f"{path}: no entries; expected one JSON object on each line")


def not_utf8(line: int, error: UnicodeDecodeError) -> Reject:
    """The refusal of a row that is not UTF-8."""
    return Reject("invalid_utf8", line, f"byte 0x{error.object[error.start]:02x} is not UTF-8")
