"""Where a simulated stream goes: a file, or a topic of Kafka."""

import gzip
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, cast

import msgspec
import polars as pl
from polars.io.plugins import register_io_source

from pintext.errors import DataError, MissingExtraError
from pintext.files import new_file
from pintext.simulation.messages import as_columns, as_json, as_json_lines
from pintext.simulation.stream import MESSAGE_SCHEMA, Simulation

__all__ = ["LABEL_KEY", "SUFFIXES", "send_messages", "write_messages"]

LABEL_KEY = "pintext.simulated"
"""The key of the simulation's settings in the metadata of a Parquet file."""

SUFFIXES = (
    ".parquet",
    *(f"{kind}{packed}" for kind in (".jsonl", ".ndjson") for packed in ("", ".gz", ".zst")),
)

_BATCHES_A_SECOND = 20

Progress = Callable[[int], None]


def write_messages(
    simulation: Simulation,
    path: str | Path,
    *,
    overwrite: bool = False,
    progress: Progress = lambda _: None,
) -> None:
    """Write the stream to a file: JSON lines, also ``.gz`` or ``.zst``, or Parquet.

    A Parquet file has malformed fields but no malformed lines, and says in its metadata under
    :data:`LABEL_KEY` how it was simulated.

    Args:
        simulation: the stream.
        path: the file, which appears complete or not at all.
        overwrite: replace one that is there.
        progress: told how many messages are written.

    Raises:
        DataError: the name has another ending, or the file cannot be written.
        MissingExtraError: ``.zst`` without the package for it.
    """
    path = Path(path)
    if not path.name.endswith(SUFFIXES):
        raise DataError(f"{path}: expected a name that ends with {', '.join(SUFFIXES)}")

    def frames(*_: Any) -> Iterator[pl.DataFrame]:
        for frame in simulation.messages():
            yield frame
            progress(simulation.counts["messages"])

    with new_file(path, DataError, overwrite=overwrite) as made:
        if path.suffix == ".parquet":
            _write_parquet(simulation, frames, made)
        else:
            with _packed(path, made) as file:
                for frame in frames():
                    file.write(as_json_lines(frame))


def _write_parquet(
    simulation: Simulation, frames: Callable[..., Iterator[pl.DataFrame]], path: Path
) -> None:
    schema = as_columns(pl.DataFrame(schema=MESSAGE_SCHEMA)).schema
    label = msgspec.json.encode(simulation.label).decode()
    try:
        register_io_source(lambda *_: map(as_columns, frames()), schema=schema).sink_parquet(
            path, compression_level=1, metadata={LABEL_KEY: label}
        )
    except pl.exceptions.PolarsError as error:
        said = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise DataError(f"{path}: cannot be written: {said}") from None


@contextmanager
def _packed(path: Path, made: Path) -> Iterator[IO[bytes]]:
    """The file to write to, packed as the name says; the same bytes at any time of day."""
    with made.open("wb") as plain:
        if path.suffix == ".gz":
            with gzip.GzipFile("", "wb", 1, plain, mtime=0) as file:
                yield cast("IO[bytes]", file)
        elif path.suffix == ".zst":
            if sys.version_info >= (3, 14):
                from compression import zstd
            else:
                try:
                    from backports import zstd
                except ImportError:
                    raise MissingExtraError("backports.zstd", "zstd") from None
            with zstd.open(plain, "wb", level=1) as file:
                yield cast("IO[bytes]", file)
        else:
            yield plain


def send_messages(
    simulation: Simulation,
    topic: str,
    *,
    rate: float = 0.0,
    progress: Progress = lambda _: None,
) -> None:
    """Send the stream to a topic, round robin over its partitions.

    Args:
        simulation: the stream; its settings name the broker.
        topic: must exist.
        rate: messages a second; 0 for as many as the broker takes.
        progress: told how many messages are sent.

    Raises:
        ConfigError: no broker is named, or a property of the client cannot be used.
        IngestError: there is no such topic, or the broker did not take a message.
        MissingExtraError: the package confluent-kafka is not installed.
    """
    from pintext.simulation.sender import Sender

    with Sender(simulation.config.kafka, topic) as sender:
        began = time.monotonic()
        for frame in simulation.messages():
            values = as_json(frame)
            step = max(int(rate / _BATCHES_A_SECOND), 1) if rate else len(values)
            for start in range(0, len(values), max(step, 1)):
                sender.send(values[start : start + step])
                progress(sender.sent)
                if rate:
                    time.sleep(max(sender.sent / rate - (time.monotonic() - began), 0))
