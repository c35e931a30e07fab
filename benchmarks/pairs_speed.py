"""How fast pairs are made of events, how that grows, what an update costs, and in which engine.

    python benchmarks/pairs_speed.py                        # everything, at sizes of a few minutes
    python benchmarks/pairs_speed.py growth --largest 50_000_000

A tenth as many pins as events, ten dates; 85 % impressions, 10 % clicks, 4 % saves, 1 % hides.
Processor seconds are what others on the machine change least.
"""

import argparse
import shutil
import tempfile
from pathlib import Path

import numpy as np
import polars as pl

from harness import Finished, megabytes, run_python, table
from pintext.events.store import FileEntry, Manifest
from pintext.events.writer import write_events

START = 1_772_323_200_000
DATES = 10
CHUNK = 1_000_000

# Both read argv: store, pins, folder to make, memory in GB. They print seconds and pairs.
MAKE = """
import json, sys, time
from pintext.pairing import PairsConfig, make_pairs
began = time.perf_counter()
store, pins, out, memory, *update = sys.argv[1:]
summary = make_pairs(store, out, pins=pins, update=bool(update), memory_gb=float(memory))
print(json.dumps([time.perf_counter() - began, summary.tasks["search"].pairs]))
"""

# The core of the work: windows, sums by query and pin, two caps, the join with the texts.
DUCKDB = """
import json, sys, time
import duckdb
began = time.perf_counter()
store, pins, out, memory = sys.argv[1:5]
limits = {"memory_limit": memory + "GB", "temp_directory": out + ".spill"}
connection = duckdb.connect(config=limits)
connection.execute(f'''COPY (
    WITH visit AS (
        SELECT query, pin_id, epoch_ms(timestamp) // 1800000 AS slot,
            bool_or(action = 'save') AS saved, bool_or(action = 'click') AS clicked,
            count(*) FILTER (action = 'impression') AS shown, min(position) AS position
        FROM read_parquet('{store}/task=*/*/*.parquet', hive_partitioning=false) GROUP BY ALL),
    pair AS (
        SELECT query, pin_id, count(*) FILTER (saved OR clicked) AS weight, sum(shown) AS shown,
            min(position) AS position, md5(query || pin_id) AS chance
        FROM visit GROUP BY ALL HAVING weight > 0),
    capped AS (
        SELECT * FROM pair
        QUALIFY row_number() OVER (PARTITION BY query ORDER BY weight DESC, chance) <= 500),
    kept AS (
        SELECT * FROM capped
        QUALIFY row_number() OVER (PARTITION BY pin_id ORDER BY weight DESC, chance) <= 500)
    SELECT kept.*, title FROM kept JOIN read_parquet('{pins}') AS pin ON pin.id = pin_id
    ORDER BY query, pin_id
) TO '{out}' (FORMAT parquet, COMPRESSION zstd)''')
(pairs,), = connection.execute(f"SELECT count(*) FROM read_parquet('{out}')").fetchall()
print(json.dumps([time.perf_counter() - began, pairs]))
"""
POLARS = """
import json, sys, time
import polars as pl
began = time.perf_counter()
store, pins, out, _ = sys.argv[1:5]
action, heaviest = pl.col("action"), pl.int_range(pl.len()) < 500
visit = (
    pl.scan_parquet(f"{store}/task=*/*/*.parquet", hive_partitioning=False)
    .group_by("query", "pin_id", slot=pl.col("timestamp").dt.epoch("ms") // 1800000)
    .agg(
        act=action.is_in(["save", "click"]).any(),
        shown=(action == "impression").sum(), position=pl.col("position").min(),
    )
)
pair = visit.group_by("query", "pin_id").agg(
    weight=pl.col("act").sum(), shown=pl.col("shown").sum(), position=pl.col("position").min()
).filter(pl.col("weight") > 0).with_columns(chance=pl.concat_str("query", "pin_id").hash())
for side in ("query", "pin_id"):
    pair = pair.sort(side, "weight", "chance", descending=[False, True, False]).filter(
        heaviest.over(side)
    )
texts = pl.scan_parquet(pins)
pair.join(texts, left_on="pin_id", right_on="id").sort("query", "pin_id").sink_parquet(
    out, engine="streaming"
)
pairs = pl.scan_parquet(out).select(pl.len()).collect().item()
print(json.dumps([time.perf_counter() - began, pairs]))
"""


def events(date: int, part: int, count: int, everything: int) -> pl.DataFrame:
    """Events of one date: few queries have many of them, and each has some pins of its own."""
    draw = np.random.default_rng((date, part))
    queries, pins = max(1000, everything // 50), max(1000, everything // 10)
    query = np.minimum(queries ** draw.random(count), queries - 1).astype(np.int64)
    place = np.minimum(2000 ** draw.random(count), 1999).astype(np.int64)
    times = draw.integers(0, 86_400_000, count) + START + date * 86_400_000
    actions = np.array(["impression", "click", "save", "hide"])
    chosen = actions[draw.choice(4, count, p=[0.85, 0.10, 0.04, 0.01])]
    columns = {"q": query, "p": (query * 7919 + place * 104_729) % pins, "action": chosen}
    return pl.DataFrame(columns).select(
        event_id=pl.format("{}-{}-{}", pl.lit(date), pl.lit(part), pl.int_range(pl.len())),
        timestamp=pl.Series(times).cast(pl.Datetime("ms", "UTC")),
        query=pl.format("wood{} cabinets kitchen{}", pl.col("q") % 997, "q"),
        query_id=pl.lit(None, pl.String),
        pin_id=pl.format("pin-{}", "p"),
        action="action",
        dwell_ms=pl.Series(draw.integers(0, 60_000, count), dtype=pl.Int32),
        position=pl.Series(draw.integers(0, 40, count), dtype=pl.Int32),
    )


def make_store(folder: Path, count: int, dates: int = DATES) -> None:
    """An event store with so many events in :data:`DATES` dates, of which the first are written."""
    manifest = Manifest()
    for date in range(dates):
        for part, first in enumerate(range(0, count // DATES, CHUNK)):
            rows = min(CHUNK, count // DATES - first)
            manifest.generation += 1
            day = f"2026-03-{date + 1:02}"
            name = f"task=search/date={day}/{manifest.generation:08d}.parquet"
            size = write_events(folder / name, events(date, part, rows, count))
            segment = (manifest.generation, rows)
            manifest.files.append(FileEntry(name, rows, size, [segment]))
    manifest.write(folder)


def make_pins(path: Path, events: int) -> None:
    number = pl.int_range(max(1000, events // 10), eager=True)
    title = "oak table {} with drawers and a rustic finish for the living room, item {}"
    pl.DataFrame({"n": number}).select(
        id=pl.format("pin-{}", "n"), title=pl.format(title, pl.col("n") % 1000, "n")
    ).write_parquet(path)


def growth(folder: Path, largest: int, memory: float) -> None:
    """Time and memory from 10^5 events on."""
    sizes = [size for size in (10**5, 10**6, 5 * 10**6, 10**7, 5 * 10**7) if size <= largest]
    rows, costs = [], []
    for size in sizes:
        make_store(folder / "store", size)
        make_pins(folder / "pins.parquet", size)
        done = run_python(MAKE, folder / "store", folder / "pins.parquet", folder / "out", memory)
        costs.append(done.cpu_seconds)
        rows.append([f"{size:,}", f"{done.answer[0]:.1f} s", *_machine(done, size), done.answer[1]])
        shutil.rmtree(folder / "store")
        shutil.rmtree(folder / "out")
    exponent = np.polyfit(np.log(sizes[1:]), np.log(costs[1:]), 1)[0] if len(sizes) > 2 else 0
    table(
        f"Pairs of events, limit of the joins {memory:g} GB",
        "events;time;cpu;us cpu/event;peak;other cores busy;pairs",
        rows,
        f"processor time grows as events ^ {exponent:.2f}, from a million on",
    )


def update(folder: Path, count: int, memory: float) -> None:
    """The last of ten dates added, against all of them anew."""
    make_pins(folder / "pins.parquet", count)
    arguments = [folder / "pins.parquet", folder / "out", memory]
    make_store(folder / "store", count, DATES - 1)
    run_python(MAKE, folder / "store", *arguments)
    make_store(folder / "store", count)
    rows = []
    updated = run_python(MAKE, folder / "store", *arguments, "update")
    rebuilt = run_python(MAKE, folder / "store", arguments[0], folder / "anew", memory)
    for name, done in (("the tenth date added", updated), ("all ten anew", rebuilt)):
        rows.append([name, f"{done.answer[0]:.1f} s", *_machine(done, count), done.answer[1]])
    one, two = (folder / name / "task=search/part-0.parquet" for name in ("out", "anew"))
    table(
        f"An update, {count:,} events",
        "what;time;cpu;us cpu/event;peak;other cores busy;pairs",
        rows,
        f"the same bytes: {one.read_bytes() == two.read_bytes()}",
    )


def engines(folder: Path, count: int) -> None:
    """The core of the work in two engines."""
    make_store(folder / "store", count)
    make_pins(folder / "pins.parquet", count)
    rows = []
    for name, code, memory in (
        ("DuckDB, limit 2 GB", DUCKDB, 2.0),
        ("DuckDB, limit 0.6 GB", DUCKDB, 0.6),
        ("Polars, streaming", POLARS, 0.0),
    ):
        out = folder / "core.parquet"
        done = run_python(code, folder / "store", folder / "pins.parquet", out, memory)
        rows.append([name, f"{done.answer[0]:.1f} s", *_machine(done, count), done.answer[1]])
    table(
        f"Engines, {count:,} events",
        "engine;time;cpu;us cpu/event;peak;other cores busy;pairs",
        rows,
    )


def _machine(done: Finished, count: int) -> list[str]:
    per_event = done.cpu_seconds / count * 1e6
    peak = megabytes(done.peak_bytes)
    return [f"{done.cpu_seconds:.1f} s", f"{per_event:.2f}", peak, f"{done.others:.1f}"]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("what", nargs="*", default=["growth", "update", "engines"])
    parser.add_argument("--events", type=int, default=1_000_000, help="for update and engines")
    parser.add_argument("--largest", type=int, default=5_000_000, help="for growth")
    parser.add_argument("--memory-gb", type=float, default=2.0)
    parser.add_argument("--folder", type=Path, help="where to work; default: a temporary one")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as temporary:
        for what in options.what:
            folder = Path(temporary, what)
            folder.mkdir()
            if what == "growth":
                growth(folder, options.largest, options.memory_gb)
            elif what == "update":
                update(folder, options.events, options.memory_gb)
            else:
                engines(folder, options.events)
            shutil.rmtree(folder)


if __name__ == "__main__":
    main()
