"""The event store: commits are whole or absent, follow each other, and repeat nothing."""

import json
import multiprocessing
import os
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from event_data import START, event, stored
from pintext.errors import DataError, IngestError
from pintext.events import EVENT_SCHEMA, Batch, EventStore, IngestConfig, StoreWriter
from pintext.events.letters import Letter
from pintext.events.store import Source
from pintext.events.window import Window
from pintext.events.writer import Advance


def frame(numbers: Any, advance: int = 0, **changed: Any) -> pl.DataFrame:
    rows = [event(number, **changed) for number in numbers]
    full = pl.DataFrame(rows).with_columns(pl.col("timestamp").cast(EVENT_SCHEMA["timestamp"]))
    missing = [pl.lit(None, k).alias(n) for n, k in EVENT_SCHEMA.items() if n not in full.columns]
    return full.with_columns(missing).select(
        *EVENT_SCHEMA, "task", pl.lit(advance, pl.UInt32).alias("advance")
    )


def stretch(start: int | None, end: int, source: str = "kafka:t:0") -> Advance:
    return Advance(source, start, Source(end))


def test_layout_is_the_contract(tmp_path: Path) -> None:
    writer = StoreWriter(tmp_path / "store", IngestConfig())
    writer.commit(Batch(frame(range(6), task="a/b c%")))
    store = EventStore(tmp_path / "store")
    assert store.generation == 1
    dates = ["2026-03-01", "2026-03-02", "2026-03-03"]
    assert [(f.task, f.date, f.rows) for f in store.files()] == [("a/b c%", d, 2) for d in dates]
    for file in store.files():
        assert file.path == tmp_path / "store" / file.name
        assert file.bytes == file.path.stat().st_size
        found = pl.read_parquet(file.path, hive_partitioning=False)
        assert found.schema == EVENT_SCHEMA
        assert found["timestamp"].dt.date().cast(pl.String).unique().to_list() == [file.date]


def test_same_events_same_bytes(tmp_path: Path) -> None:
    contents = []
    for name in ("a", "b"):
        StoreWriter(tmp_path / name, IngestConfig()).commit(Batch(frame(range(100))))
        files = sorted(path for path in (tmp_path / name).rglob("*") if path.is_file())
        contents.append([(p.relative_to(tmp_path / name), p.read_bytes()) for p in files])
    assert contents[0] == contents[1]


def test_a_commit_goes_on_where_the_store_stands(tmp_path: Path) -> None:
    """The one who comes second, from an old position, is told; nothing of it is stored."""
    first = StoreWriter(tmp_path, IngestConfig())
    second = StoreWriter(tmp_path, IngestConfig())
    assert not first.commit(Batch(frame(range(10)), advances=[stretch(None, 10)])).stale
    both = Batch(
        pl.concat([frame(range(5, 20)), frame(range(30, 35), 1)]),
        [(0, Letter("bad")), (1, Letter("worse"))],
        [stretch(None, 20), stretch(None, 5, "kafka:t:1")],
        {0: 3, 1: 4},
    )
    committed = second.commit(both)
    assert committed.stale == {"kafka:t:0"}
    assert committed.counts == Counter(stored=5, ignored=4, dead_worse=1)
    assert EventStore(tmp_path).manifest.sources["kafka:t:0"].position == 10
    assert not second.commit(Batch(frame(range(5, 20)), advances=[stretch(10, 20)])).stale
    assert sorted(stored(tmp_path)["event_id"]) == [
        f"e{n:07}" for n in [*range(20), *range(30, 35)]
    ]


def test_duplicates_are_seen_across_writers_and_restarts(tmp_path: Path) -> None:
    config = IngestConfig(duplicate_window=1000)
    first = StoreWriter(tmp_path, config)
    second = StoreWriter(tmp_path, config)
    first.commit(Batch(frame(range(100))))
    assert second.commit(Batch(frame(range(50, 150)))).counts["duplicates"] == 50
    assert first.commit(Batch(frame(range(140, 160)))).counts["stored"] == 10
    assert StoreWriter(tmp_path, config).commit(Batch(frame(range(160)))).counts["stored"] == 0


@settings(deadline=None)
@given(
    length=st.integers(0, 40),
    batches=st.lists(st.lists(st.integers(0, 60), max_size=30), max_size=12),
)
def test_window_remembers_the_latest_and_at_most_twice_as_many(
    length: int, batches: list[list[int]]
) -> None:
    window = Window(length)
    latest: list[str] = []
    for batch in batches:
        ids = pl.Series([str(number) for number in batch], dtype=pl.String)
        fresh = window.fresh(ids)
        must = set(latest[-length:] if length else [])
        may = set(latest[-2 * length :] if length else [])
        before: set[str] = set()
        for one, is_fresh in zip(ids, fresh.tolist(), strict=True):
            assert not (is_fresh and one in must | before)
            assert is_fresh or one in may | before
            before.add(one)
        new = ids.filter(pl.Series(fresh))
        window.add(new)
        latest += new.to_list()


def test_merging_small_files_changes_no_event(tmp_path: Path) -> None:
    config = IngestConfig(duplicate_window=250)
    writer = StoreWriter(tmp_path, config)
    for start in range(0, 30 * 20, 20):
        writer.commit(Batch(frame(range(start, start + 20), task="search")))
    store = EventStore(tmp_path)
    assert len(store.files()) < 30
    assert sorted(stored(tmp_path)["event_id"]) == [f"e{n:07}" for n in range(600)]
    assert store.manifest.retired
    # what the list of an older reader names is still there
    assert all((tmp_path / old.name).exists() for old in store.manifest.retired)
    # the window is the same after merging: the latest are known, the oldest are not
    again = StoreWriter(tmp_path, config)
    late = again.commit(Batch(frame([*range(345, 600)], task="search"))).counts
    assert late["duplicates"] >= 250
    writer.compact()
    assert len(EventStore(tmp_path).files()) == 3
    assert set(stored(tmp_path)["event_id"]) == {f"e{n:07}" for n in range(600)}


def test_replaced_files_go_after_an_hour(tmp_path: Path) -> None:
    writer = StoreWriter(tmp_path, IngestConfig())
    for number in range(2):
        writer.commit(Batch(frame([number * 6])))
    writer.compact()
    manifest = json.loads((tmp_path / "manifest.json").read_bytes())
    assert len(manifest["retired"]) == 2
    for old in manifest["retired"]:
        old["since"] -= 3700
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    writer.commit(Batch(frame([9])))
    assert EventStore(tmp_path).manifest.retired == []
    on_disk = {p.relative_to(tmp_path).as_posix() for p in tmp_path.glob("task=*/*/*.parquet")}
    assert on_disk == {file.name for file in EventStore(tmp_path).files()}


def test_retention_drops_old_events(tmp_path: Path) -> None:
    now = int(time.time() * 1000)
    day = 86_400_000
    ages = pl.concat([frame([n], timestamp=now - age * day) for n, age in enumerate((0, 5, 9, 40))])
    StoreWriter(tmp_path, IngestConfig()).commit(Batch(ages))
    kept = StoreWriter(tmp_path, IngestConfig(retention_days=7))
    late = frame([7], timestamp=now - 20 * day)
    assert kept.commit(Batch(late)).counts == Counter(expired=1)
    assert sorted(stored(tmp_path)["event_id"]) == ["e0000000", "e0000001"]


def test_strays_do_not_count_and_are_removed(tmp_path: Path) -> None:
    writer = StoreWriter(tmp_path, IngestConfig())
    writer.commit(Batch(frame(range(3))))
    file = EventStore(tmp_path).files()[0].path
    stray = file.with_name("00000009.parquet")
    stray.write_bytes(file.read_bytes())
    mine = file.with_name("notes.parquet")
    mine.write_bytes(b"somebody's own")
    assert stored(tmp_path).height == 3
    StoreWriter(tmp_path, IngestConfig())
    assert not stray.exists()
    assert mine.exists()


class PowerCut(BaseException):
    """From some call to the system on, every call fails in a way that nothing handles."""


def cut_power(patch: pytest.MonkeyPatch, step: int) -> Callable[[], int]:
    """Let only the next ``step - 1`` calls through; returns how many were tried."""
    calls = 0

    def failing(function: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*arguments: Any, **named: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls >= step:
                raise PowerCut
            return function(*arguments, **named)

        return wrapped

    for name in ("fsync", "rename", "replace", "open", "unlink", "mkdir"):
        patch.setattr(os, name, failing(getattr(os, name)))
    return lambda: calls


def test_a_crash_at_any_step_leaves_the_old_state_or_the_new(tmp_path: Path) -> None:
    """Every call to the system that a commit makes is the last one, once."""
    step, calls = 0, 1
    while calls >= step:
        step += 1
        folder = tmp_path / str(step)
        config = IngestConfig()
        StoreWriter(folder, config).commit(Batch(frame(range(4)), advances=[stretch(None, 4)]))
        writer = StoreWriter(folder, config)
        with pytest.MonkeyPatch.context() as patch, suppress(PowerCut):
            tried = cut_power(patch, step)
            letters = [(0, Letter("bad"))]
            writer.commit(Batch(frame(range(4, 20)), letters, [stretch(4, 20)]))
        calls = tried()
        position = EventStore(folder).manifest.sources["kafka:t:0"].position
        assert position in (4, 20)
        assert sorted(stored(folder)["event_id"]) == [f"e{n:07}" for n in range(position)]
        writer = StoreWriter(folder, config)
        writer.commit(Batch(frame(range(position, 30)), advances=[stretch(position, 30)]))
        assert sorted(stored(folder)["event_id"]) == [f"e{n:07}" for n in range(30)]
        listed = {file.path for file in EventStore(folder).files()}
        assert set(folder.glob("task=*/*/*.parquet")) == listed
    assert step > 20


def _commit_all(folder: Path, source: str, numbers: range) -> None:
    writer = StoreWriter(folder, IngestConfig())
    for n in numbers:
        batch = Batch(frame([n, 10_000 + n // 2]), advances=[stretch(n or None, n + 1, source)])
        assert not writer.commit(batch).stale


def test_processes_commit_into_one_store_together(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    workers = [
        context.Process(target=_commit_all, args=(tmp_path, f"kafka:t:{n}", range(15)))
        for n in range(3)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
        assert worker.exitcode == 0
    assert Counter(stored(tmp_path)["event_id"]) == Counter(
        [f"e{n:07}" for n in range(15)] + [f"e{10_000 + n:07}" for n in range(8)]
    )


def test_what_is_no_store_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no event store"):
        EventStore(tmp_path)
    (tmp_path / "holiday.jpg").touch()
    with pytest.raises(IngestError, match=r"holiday\.jpg"):
        StoreWriter(tmp_path, IngestConfig())
    manifest = tmp_path / "manifest.json"
    for content, said in (
        (b"{}", "not the manifest"),
        (b"\xff", "not the manifest"),
        (b'{"format": "pintext-events", "format_version": 2}', "newer than this PinText"),
    ):
        manifest.write_bytes(content)
        with pytest.raises(DataError, match=said):
            EventStore(tmp_path)


def test_timestamp_at_midnight_is_the_new_day(tmp_path: Path) -> None:
    midnight = START + 12 * 3_600_000
    events = [frame([n], timestamp=midnight + n - 1) for n in range(2)]
    StoreWriter(tmp_path, IngestConfig()).commit(Batch(pl.concat(events)))
    assert [f.date for f in EventStore(tmp_path).files()] == ["2026-03-02", "2026-03-01"]
