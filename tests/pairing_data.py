"""Events, catalogues and stores for the tests of making pairs."""

import hashlib
import random
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import polars as pl
from hypothesis import strategies as st

from pintext.events import EVENT_SCHEMA, Batch, EventStore, IngestConfig, StoreWriter
from pintext.pairing import PairsConfig
from pintext.pairing.summary import Summary

MIDNIGHT = 1_772_409_600_000
"""2026-03-02 00:00 in milliseconds."""

MINUTE = 60_000
TASKS = ("search", "related_pins", "home_feed")

PINS = {
    "p1": "Oak table",
    "p2": "木のテーブル ß ǅ",
    "p3": "Oak table",
    "p4": "!!!",
    "p5": "",
    "p6": "a'b;--\" %s 'quoted'",
    "ü/7": "Ça va bien",
    "Ü/7": "glacier cruise",
}
"""Two that read the same, two without a word, ids that differ in case alone."""

INTERESTS = {"i1": "kitchen, wood", "i2": "alaska", "i3": "   ", "p1": "an id that is a pin's too"}

# Two spellings of one query, one without words, one that is also an id, one beyond ASCII.
_QUERIES = ("oak table", "Oak  TABLE!", "木", "???", "p1", "ΣΑΣ", "ς")
_MOMENTS = (
    *(0, 1, 5 * MINUTE, 10 * MINUTE - 1, 10 * MINUTE, 20 * MINUTE, 30 * MINUTE, 40 * MINUTE),
    *(-1, -2, -5 * MINUTE, -10 * MINUTE, -20 * MINUTE, -30 * MINUTE, -40 * MINUTE),
)


def _event(fields: tuple[Any, ...]) -> dict[str, Any]:
    task, query, query_id, pin_id, action, day, moment, dwell, position = fields
    return {
        "task": task,
        "query": query,
        "query_id": query_id if query is None or position == 1 else None,
        "pin_id": pin_id,
        "action": action,
        "timestamp": MIDNIGHT + day * 86_400_000 + moment,
        "dwell_ms": dwell,
        "position": position,
    }


# Few values of each, so that windows are shared, times tie and hides find their clicks.
_VALUES = (
    TASKS,
    (None, *_QUERIES),
    ("p1", "p2", "p5", "i1", "i2", "i3", "gone", "ü/7"),
    (*PINS, "gone"),
    ("save", "click", "click", "hide", "impression"),
    range(4),
    _MOMENTS,
    (None, 0, 999, 1000, 50_000),
    (None, 0, 1, 7),
)
one_event = st.tuples(*map(st.sampled_from, _VALUES)).map(_event)

some_events = st.lists(one_event, min_size=1, max_size=60)


def drawn_events(count: int, seed: int) -> list[dict[str, Any]]:
    """So many events of these values."""
    draw = random.Random(seed)
    return [_event(tuple(draw.choice(values) for values in _VALUES)) for _ in range(count)]


settings_of_pairs = st.builds(
    PairsConfig,
    save_weight=st.sampled_from((1.0, 2.0, 0.0, 0.5)),
    click_weight=st.sampled_from((1.0, 0.5, 0.0)),
    min_dwell_ms=st.sampled_from((0, 1000)),
    window_minutes=st.sampled_from((30.0, 10.0, 1440.0, 0.001)),
    hide_minutes=st.sampled_from((30.0, 0.0, 10.0, 1440.0)),
    max_repeats=st.sampled_from((10, 1, 2)),
    max_pins_per_query=st.sampled_from((500, 0, 1, 2)),
    max_queries_per_pin=st.sampled_from((500, 0, 1)),
    max_negatives_per_query=st.sampled_from((100, 0, 1)),
    split=st.sampled_from(("query", "time", "none")),
    validation=st.sampled_from((0.05, 0.5)),
    test=st.sampled_from((0.05, 0.5)),
    validation_from=st.sampled_from(("2026-03-02", "2026-03-03")),
    test_from=st.sampled_from(("2026-03-04", "2026-03-05")),
    seed=st.sampled_from((0, 1)),
)


def commit(store: Path, events: Iterable[Mapping[str, Any]]) -> EventStore:
    """Store events as an ingester does, in a commit of their own."""
    rows = list(events)
    form: dict[str, Any] = {**EVENT_SCHEMA, "task": pl.String, "timestamp": pl.Int64}
    writer = StoreWriter(store, IngestConfig())
    first = sum(entry.rows for entry in writer.manifest.files)
    ids = {"event_id": [f"e{first + i}" for i in range(len(rows))]}
    fields = {name: [row[name] for row in rows] for name in form if name != "event_id"}
    frame = pl.DataFrame(ids | fields, schema=form).with_columns(
        pl.col("timestamp").cast(EVENT_SCHEMA["timestamp"]), advance=pl.lit(0, pl.UInt32)
    )
    counts = writer.commit(Batch(frame)).counts
    assert counts["stored"] == len(rows)
    return EventStore(store)


def write_catalogues(folder: Path) -> dict[str, Any]:
    """The catalogues of this module as files; an earlier row of an id does not count."""
    pins = pl.DataFrame(
        {"id": ["p1", *PINS], "title": ["an older title", *PINS.values()]}, orient="row"
    )
    pins.write_parquet(folder / "pins.parquet")
    interests = pl.DataFrame({"id": list(INTERESTS), "text": list(INTERESTS.values())})
    interests.write_ndjson(folder / "interests.jsonl")
    return {"pins": folder / "pins.parquet", "interests": folder / "interests.jsonl"}


def rows(folder: Path, task: str) -> list[dict[str, Any]]:
    """The rows of one task's file."""
    file = folder / f"task={task}" / "part-0.parquet"
    return pl.read_parquet(file).to_dicts() if file.exists() else []


def contents(folder: Path) -> dict[str, str]:
    """Digests of all that says what the pairs are, by name."""
    return {
        file.relative_to(folder).as_posix(): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(folder.rglob("*"))
        if file.is_file() and "_tallies" not in file.parts
    }


def dropped(summary: Summary, task: str) -> dict[str, int]:
    return summary.tasks[task].dropped
