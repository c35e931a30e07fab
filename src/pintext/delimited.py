"""Delimited text (CSV, TSV) in pieces of columns; no row is lost without a word.

Polars parses whole blocks. Where the quotes of a block break the rules, or Polars does not see the
same records, the block is taken apart record by record.
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import polars as pl

from pintext.blocks import Block, Piece, Reject, blocks, not_utf8, records, without_broken

__all__ = ["delimited"]


def delimited(
    path: Path,
    separator: bytes,
    columns: Sequence[str],
    check: Callable[[list[str]], None],
    after: int = 0,
) -> Iterator[Piece]:
    """Read a file with a header line piece by piece.

    Args:
        path: the file; it may be packed.
        separator: between fields, one byte.
        columns: the columns to read, as texts; null where the file has no such column.
        check: called with the names in the header; raises where they will not do.
        after: leave out blocks of rows that end at or before this line.

    Raises:
        DataError: what ``check`` raises; the file is damaged or UTF-16, or a line is too long.
        OSError: the file cannot be read.
    """
    header: list[str] | None = None
    for block in blocks(path, separator):
        rest = block
        if header is None:
            _, fields, end = next(records(block, separator))
            header = [field.decode("utf-8", "replace").strip() for field in fields]
            check(header)
            behind = block.starts >= end
            rest = block._replace(
                data=block.data[end:],
                starts=block.starts[behind] - end,
                lines=block.lines[behind[:-1]],
            )
        if rest.data and block.last > after:
            yield _delimited_piece(rest, separator, header, columns)


def _delimited_piece(
    block: Block, separator: bytes, header: list[str], columns: Sequence[str]
) -> Piece:
    places = [i for i, name in enumerate(header) if name in columns]
    frame: pl.DataFrame | None = None
    rejects: list[Reject] = []
    if block.quotes != "stray":
        whole, rejects = without_broken(block)
        frame = _parse_proper(whole, separator, places, len(header))
    if frame is None:
        frame, rejects = _parse_stray(block, separator, places, len(header))
    extra = pl.col("extra").fill_null("") != ""
    if rows := frame.filter(extra)["row"].to_list():
        rejects += [
            Reject("too_many_fields", row, f"more than {len(header)} fields") for row in rows
        ]
        rejects.sort(key=lambda reject: reject.row)
        frame = frame.filter(~extra)
    frame = frame.rename({f"{i}": header[i] for i in places})
    texts = [name if name in frame.columns else _nothing(name) for name in columns]
    return Piece(frame.select("row", *texts), rejects, block.last)


def _nothing(name: str) -> pl.Expr:
    return pl.lit(None, pl.String).alias(name)


def _parse_proper(
    block: Block, separator: bytes, places: list[int], width: int
) -> pl.DataFrame | None:
    """Let Polars parse a block; None if it refuses or does not see the same records.

    The column ``extra`` behind the ``width`` named ones catches what a long row has too much.
    """
    names = [*(f"{i}" for i in range(width)), "extra"]
    lazy = pl.scan_csv(
        block.data,
        has_header=False,
        schema=dict.fromkeys(names, pl.String),
        separator=separator.decode(),
        quote_char='"' if block.quotes == "proper" else None,
        truncate_ragged_lines=True,
        missing_columns="insert",
        raise_if_empty=False,
    )
    try:
        frame = lazy.select(*(names[i] for i in places), "extra").collect()
    except pl.exceptions.PolarsError:
        return None
    if frame.height != len(block.lines):
        return None
    frame = frame.insert_column(0, pl.Series("row", block.lines))
    # A record of one or two bytes may be a blank line, which is not a row.
    short = np.flatnonzero(np.diff(block.starts) <= 2)
    if blank := [i for i in short.tolist() if block.data[block.starts[i]] in b"\r\n"]:
        keep = np.ones(frame.height, bool)
        keep[blank] = False
        frame = frame.filter(keep)
    return frame


def _parse_stray(
    block: Block, separator: bytes, places: list[int], width: int
) -> tuple[pl.DataFrame, list[Reject]]:
    """Parse a block whose quotes break the rules, record by record; same columns as above."""
    lines: list[int] = []
    rows: list[list[str | None]] = []
    rejects: list[Reject] = []
    for line, fields, _ in records(block, separator):
        try:
            texts = [field.decode("utf-8") for field in fields]
        except UnicodeDecodeError as error:
            rejects.append(not_utf8(line, error))
            continue
        if texts != [""]:
            lines.append(line)
            rows.append([texts[i] if i < len(texts) else None for i in (*places, width)])
    names = [*(f"{i}" for i in places), "extra"]
    frame = pl.DataFrame(rows, schema=dict.fromkeys(names, pl.String), orient="row")
    return frame.insert_column(0, pl.Series("row", lines, pl.Int64)), rejects
