"""The pins as an index gives them back: whole documents, by id or all of them as frames."""

from collections.abc import Iterator
from typing import Any

import msgspec
import polars as pl

from pintext.index.pins import BATCH_ROWS, Columns
from pintext.index.snapshot import Snapshot

__all__ = ["document", "stored_frames", "text_of"]


def document(snapshot: Snapshot, pin_id: str) -> dict[str, Any]:
    """The id, text columns and fields of a pin; dates and times as ISO 8601.

    Raises:
        DataError: there is no such pin.
    """
    found: dict[str, Any] = msgspec.json.decode(snapshot.document(pin_id))
    return found


def text_of(columns: Columns, found: dict[str, Any]) -> str:
    """The text of a pin, as it was embedded."""
    parts = (found[name] for name in columns.texts)
    texts = (" ".join(part) if isinstance(part, list) else part for part in parts)
    return " ".join(text for text in texts if text)


def stored_frames(snapshot: Snapshot) -> Iterator[pl.DataFrame]:
    """Every pin, in the order of the rows, in frames such as the index was built from."""
    schema = snapshot.manifest.columns.schema()
    yield pl.DataFrame(schema=schema)
    for _, documents in snapshot.all_documents(BATCH_ROWS):
        lines = pl.Series(documents, dtype=pl.Binary).cast(pl.String)
        yield lines.str.json_decode(pl.Struct(schema)).struct.unnest()
