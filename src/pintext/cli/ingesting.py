"""The command that takes events in."""

import signal
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pintext.cli.ingest_progress import ingest_progress, metrics
from pintext.cli.options import (
    bootstrap_option,
    config_from,
    kafka_properties,
    quiet_option,
    setting_options,
)
from pintext.cli.output import (
    Interrupted,
    Terminated,
    as_table,
    json_option,
    write_facts,
    write_json,
)
from pintext.events.settings import IngestConfig

if TYPE_CHECKING:
    from pintext.events.writer import StoreWriter

__all__ = ["ingest", "store_facts"]


@click.command()
@click.argument("sources", nargs=-1, type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder of the store.")
@click.option(
    "--config", "config_file", type=click.Path(path_type=Path), help="Settings, as .toml or .json."
)
@click.option("--topic", "topics", multiple=True, help="Topic of Kafka to read; may be repeated.")
@bootstrap_option
@click.option("--watch", is_flag=True, help="Go on looking for new files in SOURCES.")
@click.option("--until-end", is_flag=True, help="Stop when all that the broker has is stored.")
@click.option(
    "--from-oldest",
    is_flag=True,
    help="Where the broker has deleted what was not stored yet, go on with what it has.",
)
@click.option("--replay", is_flag=True, help="Try the dead letters of the store again.")
@click.option("--compact", is_flag=True, help="Merge the store's small files into large ones.")
@click.option(
    "--metrics-port",
    type=click.IntRange(1, 65535),
    help="Serve metrics for Prometheus on this port.",
)
@click.option(
    "--metrics-host",
    default="127.0.0.1",
    show_default=True,
    help="Address for that port; 0.0.0.0 where another machine is to ask.",
)
@quiet_option
@json_option
@setting_options(IngestConfig)
def ingest(
    sources: tuple[Path, ...],
    out: Path,
    config_file: Path | None,
    topics: tuple[str, ...],
    bootstrap_servers: str | None,
    watch: bool,
    until_end: bool,
    from_oldest: bool,
    replay: bool,
    compact: bool,
    metrics_port: int | None,
    metrics_host: str,
    quiet: bool,
    force_json: bool,
    **typed: Any,
) -> None:
    """Store engagement events from files or Kafka, each once, as Parquet by task and date.

    SOURCES are files of events (JSON lines, CSV, TSV, Parquet; text also .gz or .zst) and folders
    of such. What cannot be taken goes to the store's dead letters, with the reason. Whatever
    happens to this process, the same command goes on where the store stands.

    A topic is read until SIGTERM or Ctrl-C, after which all that was read is stored.

    \b
    Example:
      pintext ingest january.jsonl.gz february.parquet --out events/
      pintext ingest incoming/ --watch --out events/
      pintext ingest --topic engagement --bootstrap-servers localhost:9092 --out events/
      pintext ingest --replay --out events/ --config ingest.toml
    """
    if sum((bool(sources), bool(topics), replay, compact)) != 1:
        raise click.UsageError("give one of SOURCES, --topic, --replay and --compact")
    typed["kafka"] = kafka_properties(bootstrap_servers)
    config = config_from(IngestConfig, config_file, typed)
    from pintext.events import (
        EventStore,
        FileIngester,
        KafkaIngester,
        StoreWriter,
        replay_letters,
    )

    if replay or compact:
        EventStore(out)  # there must be one
    writer = StoreWriter(out, config)
    with (
        graceful() as stop,
        ingest_progress(quiet) as shown,
        metrics(metrics_port, metrics_host, shown) as tell,
    ):
        if topics:
            counts = KafkaIngester(
                writer,
                config,
                topics,
                until_end=until_end,
                from_oldest=from_oldest,
                callback=tell,
                stopping=stop.is_set,
            ).run()
        elif sources:
            ingester = FileIngester(
                writer, config, sources, watch=watch, callback=tell, stopping=stop.is_set
            )
            counts = ingester.run()
        elif replay:
            counts = replay_letters(writer, config, callback=tell)
        else:
            writer.compact()
            counts = Counter()
    _show(writer, counts, table=as_table(force_json))
    if stop.number is not None and not (topics and not until_end) and not watch:
        kind = Interrupted if stop.number == signal.SIGINT else Terminated
        raise kind("stopped before the end; the same command goes on")


class Stop(threading.Event):
    """Set by SIGTERM or SIGINT, whose number it keeps; a second one acts at once."""

    number: int | None = None

    def receive(self, number: int, _frame: object) -> None:
        """Take note of a signal."""
        self.number = number
        self.set()
        signal.signal(number, signal.SIG_DFL)


@contextmanager
def graceful() -> Iterator[Stop]:
    """Let the body end by itself when the process is asked to."""
    stop = Stop()
    numbers = (signal.SIGTERM, signal.SIGINT)
    before = [signal.signal(number, stop.receive) for number in numbers]
    try:
        yield stop
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


def _show(writer: "StoreWriter", counts: Counter[str], *, table: bool) -> None:
    """What this run did, and what the store holds now."""
    manifest = writer.manifest
    dead = {
        name.removeprefix("dead_"): count
        for name, count in sorted(counts.items())
        if name.startswith("dead_") and count
    }
    facts = {
        "store": str(writer.folder),
        "generation": manifest.generation,
        "files": len(manifest.files),
        "events": sum(entry.rows for entry in manifest.files),
        "dead_letters": sum(entry.rows for entry in manifest.dead_letters),
    }
    if manifest.simulated:
        facts["simulated"] = manifest.simulated
    run = {
        name: counts[name]
        for name in ("stored", "duplicates", "ignored", "expired", "replayed")
        if counts[name] or name == "stored"
    }
    if table:
        write_facts({**facts, "this run:": {**run, **{f"dead: {k}": v for k, v in dead.items()}}})
    else:
        write_json({**facts, "run": {**run, "dead": dead}})


# -------------------------------------------------------------------------------- for others


def store_facts(folder: Path) -> dict[str, Any]:
    """What a store of events holds, as JSON values."""
    from pintext.events import EventStore

    store = EventStore(folder)
    tasks: dict[str, dict[str, Any]] = {}
    for file in store.files():  # by task and date
        facts = tasks.setdefault(file.task, {"events": 0, "first": file.date})
        facts |= {"events": facts["events"] + file.rows, "last": file.date}
    return {
        "store": str(folder),
        "generation": store.generation,
        "events": sum(facts["events"] for facts in tasks.values()),
        "simulated": store.simulated,
        "files": len(store.files()),
        "tasks": tasks,
    }
