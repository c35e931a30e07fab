"""A few hundred pairs with two plain topics, for tests of the command line and of the examples."""

import gzip
import json
import random
from pathlib import Path

import polars as pl

TOPICS = {
    "kitchen": ["wood", "cabinets", "kitchen", "oak", "cupboards", "shaker", "island", "white"],
    "travel": ["alaska", "train", "ride", "glacier", "cruise", "railway", "mountains", "scenic"],
}
TASKS = ("search", "related_pins")


def small_pairs(rows: int = 600) -> pl.DataFrame:
    """Pairs ``task, query, pin`` whose two texts come from the same topic."""
    draw = random.Random(0)
    topics = list(TOPICS.values())
    columns: dict[str, list[str]] = {"task": [], "query": [], "pin": []}
    for row in range(rows):
        words = topics[row % 2]
        columns["task"].append(TASKS[row // 2 % 2])
        columns["query"].append(" ".join(draw.sample(words, 2)))
        columns["pin"].append(" ".join(draw.sample(words, 4)))
    return pl.DataFrame(columns)


def make_small_folder(folder: Path) -> None:
    """The files that the examples of README, docs and ``--help`` speak of."""
    frame = small_pairs()
    for (task,), part in frame.partition_by("task", as_dict=True, include_key=False).items():
        inside = folder / "pairs" / f"task={task}"
        inside.mkdir(parents=True)
        part.write_parquet(inside / "part-0.parquet")
    (folder / "split-pairs").mkdir()
    parts = pl.Series("split", ["train", "train", "train", "train", "test"] * (len(frame) // 5))
    frame.with_columns(parts).write_parquet(folder / "split-pairs" / "pairs.parquet")
    lines = [
        f"__label__{interest} {word}"
        for interest, words in zip(("kitchen", "train_ride"), TOPICS.values(), strict=True)
        for word in words
    ]
    (folder / "interests.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (folder / "words.vec").write_text("wood 1 0\noak 0.9 0.1\ntrain 0 1\n", encoding="utf-8")
    (folder / "train.toml").write_text("dim = 16\nepochs = 2\n", encoding="utf-8")
    pins = frame.select(pl.int_range(40).cast(pl.String).alias("id"), pl.col("pin").head(40))
    topics = pl.Series([list(TOPICS)[row % 2] for row in range(40)], dtype=pl.String)
    pins = pins.select("id", title="pin", text="pin", topic=topics)
    pins.write_parquet(folder / "pins.parquet")
    pins.write_csv(folder / "pins.csv")
    lines = [json.dumps(row) for row in pins.to_dicts()]
    (folder / "pins.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    queries = ["wood cabinets", "alaska train ride", "zebra"]
    (folder / "queries.txt").write_text("\n".join(queries) + "\n", encoding="utf-8")
    (folder / "held-out.csv").write_text("query,pin_id\noak,2\nalaska,3\n", encoding="utf-8")
    (folder / "gone.txt").write_text("17\n18\n", encoding="utf-8")
    make_small_store(folder / "events")
    (folder / "ingest.toml").write_text('tasks = ["search"]\n', encoding="utf-8")
    events = pl.DataFrame({"event_id": ["e1"], "timestamp": [1_772_366_400_000]}).with_columns(
        task=pl.lit("search"), query=pl.lit("oak"), pin_id=pl.lit("p1"), action=pl.lit("save")
    )
    (folder / "january.jsonl.gz").write_bytes(gzip.compress(events.write_ndjson().encode()))
    events.write_parquet(folder / "february.parquet")
    table = [f"{number}\t{query}" for number, query in enumerate(queries)]
    (folder / "queries.tsv").write_text("\n".join(table) + "\n", encoding="utf-8")


def make_small_store(folder: Path) -> None:
    """An event store with some clicks on the pins of the small folder."""
    name = "task=search/date=2026-03-01/00000001.parquet"
    clicks = pl.DataFrame({"number": range(200)}).select(
        event_id=pl.format("small-{}", "number"),
        timestamp=(1_772_366_400_000 + pl.col("number")).cast(pl.Datetime("ms", "UTC")),
        query=pl.format("wood cabinets {}", pl.col("number") % 7),
        query_id=pl.lit(None, pl.String),
        pin_id=(pl.col("number") % 40).cast(pl.String),
        action=pl.lit("click"),
        dwell_ms=pl.lit(None, pl.Int32),
        position=pl.lit(None, pl.Int32),
    )
    (folder / name).parent.mkdir(parents=True)
    clicks.write_parquet(folder / name)
    entry = {"name": name, "rows": 200, "bytes": (folder / name).stat().st_size}
    manifest = {
        "format": "pintext-events",
        "format_version": 1,
        "generation": 1,
        "files": [{**entry, "segments": [[1, 200]]}],
    }
    (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
