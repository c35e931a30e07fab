"""``pintext ingest`` of files and watched folders."""

import gzip
import json
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import polars as pl
import pytest
from backports import zstd
from click.testing import CliRunner, Result

from event_data import (
    SECRETS,
    START,
    Ingester,
    encoded,
    event,
    ingest,
    letters,
    stored,
    wait_for,
    write_lines,
)
from pintext import blocks
from pintext.cli import commands
from pintext.events import EventStore, IngestConfig, StoreWriter
from pintext.events.folder import FileIngester
from pintext.events.progress import IngestProgress, Reporter


def run(*arguments: object) -> Result:
    """The command in this process."""
    return CliRunner().invoke(commands, ["ingest", *map(str, arguments)])


def summary(done: Result) -> dict[str, object]:
    assert done.exit_code == 0, done.output
    found: dict[str, object] = json.loads(done.stdout)["run"]
    return found


def write(path: Path, events: list[dict[str, object]]) -> Path:
    """Events as a file of the kind that its name says."""
    kind = path.name.removesuffix(".gz").removesuffix(".zst").rpartition(".")[2]
    flat = [{k: v for k, v in one.items() if k != "context"} for one in events]
    if kind == "parquet":
        pl.DataFrame(flat).write_parquet(path)
        return path
    if kind in ("csv", "tsv"):
        data = pl.DataFrame(flat).write_csv(separator="," if kind == "csv" else "\t").encode()
    else:
        data = b"\n".join(encoded(events))
    if path.suffix == ".gz":
        data = gzip.compress(data)
    elif path.suffix == ".zst":
        data = zstd.compress(data)
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(
    "name",
    ["a.jsonl", "a.ndjson.gz", "a.jsonl.zst", "a.csv", "a.csv.gz", "a.tsv.zst", "a.parquet"],
)
def test_every_kind_of_file_gives_the_same(tmp_path: Path, name: str) -> None:
    events = [event(n, query=f'5" "oak", n° {n}', position=n % 9) for n in range(500)]
    events[7]["action"] = "repin"
    file = write(tmp_path / name, events)
    store = tmp_path / "store"
    done = summary(run(file, "--out", store))
    assert done == {"stored": 499, "dead": {"unknown_action": 1}}
    found = stored(store).sort("event_id")
    good = [one for one in events if one["action"] != "repin"]
    assert found["query"].to_list() == [one["query"] for one in good]
    assert found["position"].to_list() == [one["position"] for one in good]
    assert found["timestamp"].dt.timestamp("ms").to_list() == [one["timestamp"] for one in good]
    [letter] = letters(store)
    assert (letter["file"], letter["reason"]) == (str(file), "unknown_action")
    assert letter["record"] == (9 if ".csv" in name or ".tsv" in name else 8)
    assert letter["event"]["action"] == "repin"
    written = b"".join(path.read_bytes() for path in store.rglob("*") if path.is_file())
    for secret in SECRETS:
        assert secret.encode() not in written


def test_times_of_parquet(tmp_path: Path) -> None:
    moment = pl.Series([START]).cast(pl.Datetime("ms"))
    for number, times in enumerate(
        [moment, moment.dt.replace_time_zone("UTC").dt.convert_time_zone("Asia/Tokyo")]
    ):
        file = tmp_path / f"{number}.parquet"
        pl.DataFrame([event(number)]).drop("context").with_columns(
            timestamp=times.alias("timestamp")
        ).write_parquet(file)
        run(file, "--out", tmp_path / "store")
    found = stored(tmp_path / "store")["timestamp"].dt.timestamp("ms")
    assert found.to_list() == [START, START]


def test_files_are_read_once(tmp_path: Path) -> None:
    inside = tmp_path / "in" / "day"
    inside.mkdir(parents=True)
    first = write_lines(inside / "a.jsonl", encoded(map(event, range(100))))
    write_lines(inside / ".half.jsonl", encoded(map(event, range(100, 200))))
    (inside / "notes.txt").write_text("not events")
    store = tmp_path / "store"
    assert summary(run(tmp_path / "in", "--out", store, "--duplicate-window", 0))["stored"] == 100
    (inside / ".half.jsonl").rename(inside / "b.jsonl")
    assert summary(run(tmp_path / "in", "--out", store, "--duplicate-window", 0))["stored"] == 100
    generation = EventStore(store).generation
    assert summary(run(tmp_path / "in", "--out", store, "--duplicate-window", 0))["stored"] == 0
    assert EventStore(store).generation == generation
    write_lines(first, encoded(map(event, [*range(100), *range(200, 220)])))
    assert summary(run(tmp_path / "in", "--out", store, "--duplicate-window", 0))["stored"] == 20
    write_lines(first, encoded(map(event, range(1, 120))))
    refused = run(tmp_path / "in", "--out", store)
    assert refused.exit_code == 1
    assert "has changed since 120 records of it were stored" in refused.output
    assert stored(store)["event_id"].sort().to_list() == [f"e{n:07}" for n in range(220)]


def test_a_broken_file_does_not_keep_the_others_out(tmp_path: Path) -> None:
    inside = tmp_path / "in"
    inside.mkdir()
    (inside / "a.jsonl.gz").write_bytes(gzip.compress(b"x" * 100_000)[:50])
    (inside / "b.parquet").write_bytes(b"PAR1 no")
    (inside / "c.csv").write_text("event_id,timestamp,task,pin_id\n1,2,3,4\n")
    (inside / "d.jsonl.zst").write_bytes(b"not packed")
    write(inside / "z.jsonl", [event(n) for n in range(10)])
    done = run(inside, "--out", tmp_path / "store")
    assert done.exit_code == 1
    assert "a.jsonl.gz: damaged gzip file" in done.output
    assert "3 more files fail" in done.output
    assert stored(tmp_path / "store").height == 10
    done = run(inside / "c.csv", "--out", tmp_path / "store")
    assert "no column 'action'" in done.output
    assert "[mapping.fields]" in done.output
    done = run(tmp_path / "nowhere", "--out", tmp_path / "store")
    assert "no such file" in done.output


def test_a_missing_header_is_not_quoted(tmp_path: Path) -> None:
    """Its values may be what nobody should read in a log."""
    file = tmp_path / "a.csv"
    file.write_text("e1,1772366400000,search,oak,p1,jane.doe@example.com,4711\n")
    done = run(file, "--out", tmp_path / "store")
    assert done.exit_code == 1
    assert "no column 'event_id'" in done.output
    assert "'search'" in done.output
    assert "4711" not in done.output
    assert "@" not in done.output


def test_whole_numbers_that_are_floats(tmp_path: Path) -> None:
    """Pandas makes floats of whole numbers where some are missing."""
    numbers = [3.0, None, float("nan"), 2.5]
    frame = pl.DataFrame([event(n) for n in range(4)]).drop("context")
    file = tmp_path / "a.parquet"
    frame.with_columns(position=pl.Series(numbers)).write_parquet(file)
    done = run(file, "--out", tmp_path / "store")
    assert summary(done) == {"stored": 3, "dead": {"out_of_range": 1}}
    assert stored(tmp_path / "store").sort("event_id")["position"].to_list() == [3, None, None]


def test_a_file_that_is_gone_when_it_is_looked_at(tmp_path: Path) -> None:
    inside = tmp_path / "in"
    inside.mkdir()
    (inside / "a.jsonl").symlink_to(inside / "gone")
    write(inside / "b.jsonl", [event(1)])
    assert summary(run(inside, "--out", tmp_path / "store"))["stored"] == 1


def test_large_events_are_committed_earlier(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blocks, "BLOCK_BYTES", 3_000)
    monkeypatch.setattr("pintext.events.intake._FULL_BYTES", 20_000)
    file = write(tmp_path / "a.jsonl", [event(n, query="x" * 1_000) for n in range(100)])
    assert summary(run(file, "--out", tmp_path / "store"))["stored"] == 100
    assert EventStore(tmp_path / "store").generation >= 5
    bad = write(tmp_path / "b.jsonl", [event(n, action="x" * 1_000) for n in range(100)])
    run(bad, "--out", tmp_path / "store", "--max-bad-share", 1)
    assert EventStore(tmp_path / "store").generation >= 10


def finished(store: Path) -> bool:
    """Whether some file is stored to its end."""
    if not (store / "manifest.json").exists():
        return False
    return any(source.done for source in EventStore(store).manifest.sources.values())


def run_out(looks: Iterator[int]) -> bool:
    """False as often as there are looks left."""
    return next(looks, None) is None


def test_memory_is_bounded_by_blocks_and_commits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Small blocks, small commits, any kind of file: the same events, and resumption between."""
    monkeypatch.setattr(blocks, "BLOCK_BYTES", 3_000)
    monkeypatch.setattr("pintext.events.reader._SLICE", 13)
    config = IngestConfig(commit_events=50, duplicate_window=0)
    for name in ("a.jsonl", "a.csv.gz", "a.parquet"):
        file = write(tmp_path / name, [event(n) for n in range(400)])
        store = tmp_path / f"{name}-store"
        turns = 0
        while not finished(store):
            turns += 1
            stopping = partial(run_out, iter(range(6)))
            FileIngester(StoreWriter(store, config), config, [file], stopping=stopping).run()
        assert turns > 2
        assert stored(store)["event_id"].sort().to_list() == [f"e{n:07}" for n in range(400)]


def test_killed_while_reading(tmp_path: Path) -> None:
    dice = random.Random(3)
    file = write_lines(tmp_path / "a.jsonl", encoded(map(event, range(150_000))))
    command = [file, "--out", tmp_path / "store", "--commit-events", 9000, "--duplicate-window", 0]
    for _ in range(4):
        ingester = Ingester(*command)
        wait_for(lambda i=ingester: i.holds_lock() or not i.running)
        time.sleep(dice.uniform(0, 0.7))
        ingester.kill()
    done = ingest(*command)
    assert done.returncode == 0, done.stderr
    found = stored(tmp_path / "store")["event_id"]
    assert found.len() == found.n_unique() == 150_000


def test_a_watched_folder(tmp_path: Path) -> None:
    inside, store = tmp_path / "in", tmp_path / "store"
    inside.mkdir()

    def put(name: str, numbers: range) -> None:
        hidden = write_lines(inside / f".{name}", encoded(map(event, numbers)))
        long_ago = time.time() - 60
        os.utime(hidden, (long_ago, long_ago))
        hidden.rename(inside / name)

    put("a.jsonl", range(100))
    ingester = Ingester(inside, "--watch", "--out", store)
    wait_for(lambda: (store / "manifest.json").exists() and stored(store).height == 100)
    put("b.jsonl", range(100, 150))
    (inside / "c.parquet").write_bytes(b"no")
    write_lines(inside / "growing.jsonl", encoded(map(event, range(150, 160))))
    wait_for(lambda: stored(store).height == 150)
    code, output, errors = ingester.stop()
    assert code == 0
    assert json.loads(output)["run"]["stored"] == 150
    assert "growing" not in errors


def test_sigterm_between_files_is_no_success(tmp_path: Path) -> None:
    file = write_lines(tmp_path / "a.jsonl", encoded(map(event, range(400_000))))
    ingester = Ingester(file, "--out", tmp_path / "store", "--commit-events", 20_000)
    wait_for(lambda: (tmp_path / "store" / "manifest.json").exists())
    code, _, errors = ingester.stop(signal.SIGTERM)
    assert code == 143
    assert "the same command goes on" in errors
    assert 0 < stored(tmp_path / "store").height < 400_000


def test_the_first_file_with_wrong_names_stores_nothing(tmp_path: Path) -> None:
    file = write_lines(tmp_path / "a.jsonl", [b'{"uuid": 1}'] * 5)
    done = run(file, "--out", tmp_path / "store")
    assert done.exit_code == 1
    assert "all of the latest 5 events are bad (5 x" in done.output
    assert f"; the first in {file}:1)" in done.output
    one = write_lines(tmp_path / "b.jsonl", [b"", b"{broken"])
    done = run(one, "--out", tmp_path / "store")
    assert "the only event so far is bad (1 x invalid_json" in done.output
    assert f"; the first in {one}:2)" in done.output
    assert not (tmp_path / "store" / "manifest.json").exists()


def test_the_alarm_counts_the_reasons_that_it_leaves_out(tmp_path: Path) -> None:
    wrong = ("event_id",) * 3 + ("pin_id",) * 3 + ("timestamp",) * 2 + ("action",)
    bad = [event(number, **{name: None}) for number, name in enumerate(wrong)]
    file = write_lines(tmp_path / "a.jsonl", [*encoded(bad), b"{broken"])
    done = run(file, "--out", tmp_path / "store")
    assert "(3 x missing_field event_id; 3 x missing_field pin_id; 2 x " in done.output
    assert f"; 2 x other reasons; the first in {file}:1)" in done.output
    assert "--max-bad-share" not in done.output  # would not help where all are bad


def test_folders_without_files_of_events_are_told(tmp_path: Path) -> None:
    folder, out = tmp_path / "raw", tmp_path / "store"
    folder.mkdir()
    (folder / "notes.txt").write_text("oak")
    done = run(folder, "--out", out)
    assert done.exit_code == 1
    told = f"error: {folder}: no files of events (found: notes.txt); expected names in .parquet, "
    assert told in done.stderr
    assert not (out / "manifest.json").exists()
    write(folder / "a.jsonl", [event(1)])
    assert summary(run(folder, "--out", out))["stored"] == 1
    assert summary(run(folder, "--out", out))["stored"] == 0  # nothing new is no mistake


def test_replay_of_a_mended_file_and_of_a_mended_letter(tmp_path: Path) -> None:
    store = tmp_path / "store"
    values = encoded(map(event, range(20)))
    broken = [*values[:5], b"{broken", *values[6:], *encoded([event(30, action="repin")])]
    file = write_lines(tmp_path / "a.jsonl", broken)
    assert summary(run(file, "--out", store, "--max-bad-share", 1))["stored"] == 19
    write_lines(file, values[:6] + values[6:] + encoded([event(30, action="repin")]))
    assert summary(run("--replay", "--out", store)) == {"stored": 1, "replayed": 2, "dead": {}}
    [entry] = EventStore(store).manifest.dead_letters
    letter = store / entry.name
    letter.write_text(letter.read_text().replace("repin", "save"))
    assert summary(run("--replay", "--out", store)) == {"stored": 1, "replayed": 1, "dead": {}}
    assert stored(store)["event_id"].sort().to_list() == [
        *(f"e{n:07}" for n in range(20)),
        "e0000030",
    ]
    assert letters(store) == []
    assert summary(run("--replay", "--out", store)) == {"stored": 0, "dead": {}}


def test_the_same_file_gives_the_same_bytes(tmp_path: Path) -> None:
    file = write(tmp_path / "a.jsonl", [event(n) for n in range(5000)])
    contents = []
    for name in ("x", "y"):
        run(file, "--out", tmp_path / name, "--commit-events", 1000)
        paths = sorted(path for path in (tmp_path / name).rglob("*.parquet"))
        contents.append([(p.relative_to(tmp_path / name), p.read_bytes()) for p in paths])
    assert contents[0] == contents[1]


def test_compact_on_request(tmp_path: Path) -> None:
    store = tmp_path / "store"
    for number in range(3):
        file = write(tmp_path / f"{number}.jsonl", [event(6 * number)])
        run(file, "--out", store)
    assert len(EventStore(store).files()) == 3
    assert run("--compact", "--out", tmp_path / "typo").exit_code == 1
    assert not (tmp_path / "typo").exists()
    run("--compact", "--out", store)
    assert [file.rows for file in EventStore(store).files()] == [3]


def test_the_last_report_has_the_speed_of_the_whole_run() -> None:
    told: list[IngestProgress] = []
    reporter = Reporter(told.append, Counter())
    reporter.taken = 50
    for _ in range(2):  # nothing was read between the two
        reporter.report(lambda: None, now=True)
    assert [progress.per_second > 0 for progress in told] == [True, True]
