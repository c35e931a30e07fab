"""Making pairs: from end to end, interrupted, updated, and with every kind of catalogue."""

import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from event_data import event, ingest, write_lines
from pairing_data import MIDNIGHT, PINS, commit, contents, rows, write_catalogues
from pintext.errors import BadEventsError, ConfigError, DataError, LockedError
from pintext.events import EVENT_SCHEMA, EventStore
from pintext.pairing import CatalogueConfig, PairsConfig, make_pairs
from pintext.pairing.folder import locked
from pintext.pairs import PairSource
from small_data import TOPICS
from some_models import some_model

PINTEXT = [sys.executable, "-m", "pintext"]
DAY = 86_400_000


@pytest.fixture
def catalogues(tmp_path: Path) -> dict[str, Any]:
    return write_catalogues(tmp_path)


def acted(action: str, day: int = 0, **changed: Any) -> dict[str, Any]:
    """An event of the form; on ``p1`` under the query ``oak`` if nothing else is said."""
    return {
        "task": "search",
        "query": "oak",
        "query_id": None,
        "pin_id": "p1",
        "action": action,
        "timestamp": MIDNIGHT + day * DAY + 1000,
        "dwell_ms": None,
        "position": None,
        **changed,
    }


def run(*arguments: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*PINTEXT, *map(str, arguments)], capture_output=True, text=True, timeout=300
    )


# --- from end to end ------------------------------------------------------------------------------


def test_from_events_to_a_model(tmp_path: Path) -> None:
    """Events in a file, ingested, made into pairs, trained on: the model knows the topics."""
    draw = np.random.default_rng(0)
    words = list(TOPICS.values())
    titles = [" ".join(draw.choice(words[pin % 2], 4, replace=False)) for pin in range(60)]
    pl.DataFrame({"id": [f"pin-{pin}" for pin in range(60)], "title": titles}).write_csv(
        tmp_path / "pins.csv"
    )
    events = [
        event(
            number,
            query=" ".join(draw.choice(words[number % 2], 2, replace=False)),
            pin_id=f"pin-{int(draw.integers(0, 30)) * 2 + number % 2}",
            action=("save", "click", "impression")[number % 3],
        )
        for number in range(6000)
    ]
    lines = write_lines(tmp_path / "events.jsonl", (json.dumps(e).encode() for e in events))
    assert ingest(lines, "--out", tmp_path / "events").returncode == 0
    made = run(
        *("pairs", tmp_path / "events", "--pins", tmp_path / "pins.csv"),
        *("--out", tmp_path / "pairs", "--quiet"),
    )
    assert made.returncode == 0, made.stderr
    summary = json.loads(made.stdout)
    assert (
        summary["warnings"]
        == json.loads((tmp_path / "pairs/_summary.json").read_text())["warnings"]
    )
    source = PairSource(tmp_path / "pairs")
    assert source.tasks == ("related_pins", "search")
    read = sum(batch.frame.height for batch in source.batches())
    assert read == sum(task["pairs"] for task in summary["tasks"].values()) > 1000
    assert not source.report.rejected
    trained = run(
        *("train", tmp_path / "pairs", "--out", tmp_path / "model", "--dim", 16, "--quiet")
    )
    assert trained.returncode == 0, trained.stderr
    near = run("nn", tmp_path / "model", "glacier", "-k", 5)
    assert {json.loads(line)["word"] for line in near.stdout.splitlines()} <= set(TOPICS["travel"])


def test_files_of_events_are_stored_in_passing(tmp_path: Path, catalogues: dict[str, Any]) -> None:
    good = [event(n, pin_id="p1", action="click", query="oak") for n in range(30)]
    values = [json.dumps(one).encode() for one in [*good, good[0], event(99, action="repin")]]
    lines = write_lines(tmp_path / "events.jsonl", values)
    summary = make_pairs(lines, tmp_path / "pairs", **catalogues)
    assert sum(task.events["click"] for task in summary.tasks.values()) == 30
    assert summary.refused_events == {"unknown_action": 1}
    commit(tmp_path / "store", [])
    with pytest.raises(DataError, match="which an update needs"):
        make_pairs(lines, tmp_path / "pairs", **catalogues, update=True)


def test_what_holds_no_events_is_named_as_it_was_given(
    tmp_path: Path, catalogues: dict[str, Any]
) -> None:
    some_model(["oak"]).save_pretrained(tmp_path / "model")
    (tmp_path / "nothing").mkdir()
    (tmp_path / "empty.jsonl").touch()
    for name, said in (
        ("model", "a model; expected a store of events, which pintext ingest makes"),
        ("nothing", "no files of events (found: nothing); expected names in .parquet"),
        ("empty.jsonl", "no events; nothing to make pairs of"),
    ):
        with pytest.raises(DataError) as caught:
            make_pairs(tmp_path / name, tmp_path / "pairs", **catalogues)
        assert str(caught.value).startswith(f"{tmp_path / name}: {said}")


def test_too_many_bad_events_are_told_with_what_pairs_can_do(
    tmp_path: Path, catalogues: dict[str, Any]
) -> None:
    values = [json.dumps(event(n, action="repin")).encode() for n in range(3)]
    lines = write_lines(tmp_path / "events.jsonl", values)
    with pytest.raises(BadEventsError) as caught:
        make_pairs(lines, tmp_path / "pairs", **catalogues)
    told = str(caught.value)
    assert told.startswith("all of the latest 3 events are bad (3 x unknown_action")
    assert "store them with pintext ingest" in told
    assert "--max-bad-share" not in told
    assert pickle.loads(pickle.dumps(caught.value)).args == caught.value.args


def test_warnings_are_told_beside_json(tmp_path: Path, catalogues: dict[str, Any]) -> None:
    commit(tmp_path / "events", [acted("click")])
    made = run(
        *("pairs", tmp_path / "events", "--pins", catalogues["pins"]),
        *("--out", tmp_path / "made", "--quiet"),
    )
    assert made.returncode == 0, made.stderr
    told = [f"{it['task']}: {it['message']}" for it in json.loads(made.stdout)["warnings"]]
    assert "search: only 1 pairs; too few to learn from" in told
    assert made.stderr.splitlines() == [f"warning: {one.removeprefix(': ')}" for one in told]


def test_a_table_for_people(tmp_path: Path, catalogues: dict[str, Any]) -> None:
    commit(tmp_path / "events", [acted("click"), acted("impression", pin_id="p3")])
    command = [
        "pairs",
        tmp_path / "events",
        "--pins",
        catalogues["pins"],
        "--out",
        tmp_path / "made",
    ]
    shown = subprocess.run(
        ["script", "-qec", " ".join(map(str, [*PINTEXT, *command])), "/dev/null"],
        capture_output=True,
        text=True,
        env={**os.environ, "COLUMNS": "120"},
    ).stdout
    for expected in (
        "search",
        "events: click",
        "negatives",
        "coverage",
        "only 1 pairs",
        "1 rows of",
    ):
        assert expected in shown


# --- atomic, locked -------------------------------------------------------------------------------


def slow_store(folder: Path, count: int = 300_000) -> Path:
    """A store with enough events to interrupt the making of its pairs."""
    draw = np.random.default_rng(0)
    name = "task=search/date=2026-03-02/00000001.parquet"
    (folder / name).parent.mkdir(parents=True)
    numbers = pl.DataFrame({"q": draw.integers(0, 40_000, count), "p": draw.integers(0, 5, count)})
    clicked = pl.int_range(pl.len()) % 3 == 0
    numbers.select(
        event_id=pl.format("e{}", pl.int_range(pl.len())),
        timestamp=(MIDNIGHT + pl.int_range(pl.len())).cast(EVENT_SCHEMA["timestamp"]),
        query=pl.format("oak {} table", "q"),
        query_id=pl.lit(None, pl.String),
        pin_id=pl.format("p{}", "p"),
        action=pl.when(clicked).then(pl.lit("click")).otherwise(pl.lit("impression")),
        dwell_ms=pl.lit(None, pl.Int32),
        position=pl.lit(None, pl.Int32),
    ).write_parquet(folder / name)
    size = (folder / name).stat().st_size
    entry: dict[str, Any] = {"name": name, "rows": count, "bytes": size}
    entry["segments"] = [[1, count]]
    manifest = {"format": "pintext-events", "format_version": 1, "generation": 1, "files": [entry]}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


def test_whatever_stops_it_the_old_pairs_stay(tmp_path: Path, catalogues: dict[str, Any]) -> None:
    store, out = slow_store(tmp_path / "big"), tmp_path / "pairs"
    commit(tmp_path / "small", [acted("click")])
    make_pairs(tmp_path / "small", out, **catalogues)
    before = contents(out)
    command = ["pairs", store, "--pins", catalogues["pins"], "--out", out, "--overwrite"]
    for number, seconds in ((signal.SIGINT, 0.3), (signal.SIGKILL, 0.6)):
        process = subprocess.Popen(
            [*PINTEXT, *map(str, command)], stderr=subprocess.PIPE, stdout=subprocess.PIPE
        )
        while not list(tmp_path.glob(".pintext-*")) and process.poll() is None:
            time.sleep(0.01)
        time.sleep(seconds)
        process.send_signal(number)
        _, errors = process.communicate(timeout=60)
        assert process.returncode == (130 if number == signal.SIGINT else -signal.SIGKILL), errors
        if number == signal.SIGINT:
            assert b"interrupted" in errors
            assert not list(tmp_path.glob(".pintext-*"))
        assert contents(out) == before
    assert run(*command).returncode == 0
    assert contents(out) != before


def test_two_cannot_make_the_same_pairs(tmp_path: Path, catalogues: dict[str, Any]) -> None:
    commit(tmp_path / "events", [acted("click")])
    with (
        locked(tmp_path / "pairs", replace=False),
        pytest.raises(LockedError, match="another process is making these pairs"),
    ):
        make_pairs(tmp_path / "events", tmp_path / "pairs", **catalogues)
    make_pairs(tmp_path / "events", tmp_path / "pairs", **catalogues)
    assert [path.name for path in tmp_path.glob(".*")] == []


def test_little_memory_and_any_number_of_threads_give_the_same_bytes(
    tmp_path: Path, catalogues: dict[str, Any]
) -> None:
    store = slow_store(tmp_path / "events", 100_000)
    found = []
    for memory, threads in ((2.0, 1), (0.1, 1), (2.0, 3)):
        out = tmp_path / f"{memory}-{threads}"
        make_pairs(store, out, **catalogues, memory_gb=memory, threads=threads)
        found.append(contents(out))
    assert found[0] == found[1] == found[2]


# --- updates --------------------------------------------------------------------------------------


def test_an_update_does_not_read_old_events(tmp_path: Path, catalogues: dict[str, Any]) -> None:
    """The old events are broken: nothing but settings of the tallies needs them."""
    store, out = tmp_path / "events", tmp_path / "pairs"
    (old,) = commit(store, [acted("click"), acted("impression", pin_id="p3")]).files()
    make_pairs(store, out, **catalogues)
    commit(store, [acted("save", day=1, pin_id="p3")])
    old.path.write_bytes(b"x" * old.bytes)
    make_pairs(store, out, **catalogues, update=True)
    assert {row["pin_id"] for row in rows(out, "search")} == {"p1", "p3"}
    make_pairs(store, out, PairsConfig(save_weight=7, split="none"), **catalogues, update=True)
    assert {row["weight"] for row in rows(out, "search")} == {1, 7}
    for config in (PairsConfig(window_minutes=7), PairsConfig(hide_minutes=7)):
        with pytest.raises(DataError, match=old.path.name):
            make_pairs(store, out, config, **catalogues, update=True)
    with pytest.raises(DataError, match=old.path.name):
        make_pairs(store, out, **catalogues, overwrite=True)
    assert {row["weight"] for row in rows(out, "search")} == {1, 7}


def test_a_store_that_was_made_anew_is_read_anew(
    tmp_path: Path, catalogues: dict[str, Any]
) -> None:
    out = tmp_path / "pairs"
    commit(tmp_path / "one", [acted("click", query="oak chairs")])
    make_pairs(tmp_path / "one", out, **catalogues)
    commit(tmp_path / "two", [acted("click", query="a much longer query")])
    make_pairs(tmp_path / "two", out, **catalogues, update=True)
    assert [row["query"] for row in rows(out, "search")] == ["a much longer query"]


def test_tallies_that_were_removed_are_made_again(
    tmp_path: Path, catalogues: dict[str, Any]
) -> None:
    commit(tmp_path / "events", [acted("click"), acted("save", day=1, query="ash")])
    make_pairs(tmp_path / "events", tmp_path / "pairs", **catalogues)
    before = contents(tmp_path / "pairs")
    shutil.rmtree(tmp_path / "pairs" / "_tallies" / "task=search" / "date=2026-03-02")
    make_pairs(tmp_path / "events", tmp_path / "pairs", **catalogues, update=True)
    assert contents(tmp_path / "pairs") == before


def test_a_date_that_the_store_dropped_is_dropped(
    tmp_path: Path, catalogues: dict[str, Any]
) -> None:
    store, out = tmp_path / "events", tmp_path / "pairs"
    commit(store, [acted("click"), acted("click", day=1, pin_id="p3")])
    make_pairs(store, out, **catalogues)
    manifest = json.loads((store / "manifest.json").read_bytes())
    manifest["files"] = [f for f in manifest["files"] if "2026-03-02" not in f["name"]]
    (store / "manifest.json").write_text(json.dumps(manifest))
    make_pairs(EventStore(store).path, out, **catalogues, update=True)
    assert [row["pin_id"] for row in rows(out, "search")] == ["p3"]


# --- catalogues -----------------------------------------------------------------------------------

OBJECTS: list[dict[str, Any]] = [
    {"text": "rustic", "confidence": 0.9, "language": "en"},
    {"text": "tisch", "confidence": 0.9, "language": "de"},
    {"text": "maybe", "confidence": 0.2, "language": "en"},
    {"text": None, "confidence": 0.9, "language": "en"},
    {"text": "unsure", "confidence": None, "language": None},
]
BESIDE = {
    "annotations": [one["text"] or "" for one in OBJECTS],
    "confidence": [one["confidence"] for one in OBJECTS],
    "language": [one["language"] for one in OBJECTS],
}


def text_of(folder: Path, name: str, entry: dict[str, Any], config: CatalogueConfig) -> str | None:
    """The text that a catalogue of one entry gives a pin; None where it gives none."""
    path = folder / name
    if name.endswith(".csv"):
        flat = {
            key: "|".join(map(str, value)) if isinstance(value, list) else value
            for key, value in entry.items()
        }
        pl.DataFrame([flat]).write_csv(path)
    elif name.endswith(".parquet"):
        pl.DataFrame([entry], strict=False).write_parquet(path)
    else:
        path.write_text(json.dumps(entry) + "\n")
    commit(folder / "events", [acted("click")])
    pairs = PairsConfig(pins=config)
    make_pairs(folder / "events", folder / "pairs", pairs, pins=path, overwrite=True)
    found = rows(folder / "pairs", "search")
    return found[0]["pin"] if found else None


@pytest.mark.parametrize(
    ("name", "beside"),
    [
        ("pins.jsonl", True),
        ("pins.jsonl", False),
        ("pins.parquet", True),
        ("pins.parquet", False),
        ("pins.csv", True),  # which holds no objects
    ],
)
def test_annotations(tmp_path: Path, name: str, beside: bool) -> None:
    entry = {"id": "p1", "title": " Oak table", **(BESIDE if beside else {"annotations": OBJECTS})}
    config = CatalogueConfig(min_confidence=0.5, languages=("en",))
    if name == "pins.csv":  # where a text says nothing stands "None"
        entry["confidence"] = [0.9, 0.9, 0.2, 0.9, 0.9]
        config = CatalogueConfig(min_confidence=0.5, languages=("en", "None"))
    text = text_of(tmp_path, name, entry, config)
    assert text is not None
    assert text.split() == ["Oak", "table", "rustic", "unsure"]


def test_annotations_without_thresholds_and_the_first_of_them(tmp_path: Path) -> None:
    entry = {"id": "p1", "title": None, "annotations": ["a", "b", "c"], "confidence": [0.1]}
    assert text_of(tmp_path, "pins.jsonl", entry, CatalogueConfig()) == "a b c"
    assert text_of(tmp_path, "pins.jsonl", entry, CatalogueConfig(max_annotations=2)) == "a b"


def test_lists_that_are_not_as_long_are_refused(tmp_path: Path) -> None:
    entry = {"id": "p1", "annotations": ["a", "b"], "confidence": [0.9]}
    with pytest.raises(DataError, match="entry 'p1' has more or fewer values in 'confidence'"):
        text_of(tmp_path, "pins.jsonl", entry, CatalogueConfig(min_confidence=0.5))


@pytest.mark.parametrize(
    ("longest", "text"),
    [(0, "oak table rustic"), (16, "oak table rustic"), (15, "oak table"), (8, "oak"), (2, "oa")],
)
def test_long_texts_are_cut_between_words(tmp_path: Path, longest: int, text: str) -> None:
    entry = {"id": "p1", "title": "oak table rustic"}
    assert text_of(tmp_path, "pins.parquet", entry, CatalogueConfig(max_chars=longest)) == text


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"pins.csv": "name,title\n1,a\n"}, "no column 'id'; columns found: 'name', 'title'"),
        ({"pins.csv": "id,name\n1,a\n"}, "none of the columns 'title', 'description'"),
        ({"pins.csv": "id,title\n"}, "has no entries"),
        ({"pins.csv": 'id,title\n1,a,b\n"'}, "not a readable catalogue"),
        ({"pins.jsonl": '{"id": 1, "title": 2}\n'}, "column 'title' is Int64; expected texts"),
        ({"pins.jsonl": '{"id": 1.5, "title": "a"}\n'}, "column 'id' is Float64"),
        (
            {"pins.jsonl": '{"id": "1", "title": "a"}\n\nno json\n'},
            r"pins\.jsonl:3: JSON is malformed",
        ),
        ({"pins.jsonl": '{"id": "1", "title": "a"}\n[1]\n'}, r"jsonl:2: Expected `object`"),
        ({"pins.jsonl": "\n\n"}, "no entries; expected one JSON object"),
        ({"pins.parquet": "no parquet"}, "not a readable catalogue"),
        ({"pins.txt": "a"}, "no catalogue; expected"),
        ({}, "no catalogue; expected"),
    ],
)
def test_catalogues_that_cannot_be_used(
    tmp_path: Path, files: dict[str, str], message: str
) -> None:
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    commit(tmp_path / "events", [acted("click")])
    path = tmp_path / next(iter(files), "pins.csv")
    with pytest.raises(DataError, match=message) as caught:
        make_pairs(tmp_path / "events", tmp_path / "pairs", pins=path)
    assert str(path) in str(caught.value)
    assert not (tmp_path / "pairs").exists()


def test_a_folder_is_a_catalogue(tmp_path: Path) -> None:
    (tmp_path / "pins").mkdir()
    (tmp_path / "pins" / "a.csv").write_text("id,title\np1,old\np3,three\n")
    (tmp_path / "pins" / "b.jsonl").write_text('{"id": "p1", "title": "new"}\n{"title": "no id"}\n')
    (tmp_path / "pins" / "_c.csv").write_text("nothing")
    commit(tmp_path / "events", [acted("click"), acted("click", pin_id="p3")])
    summary = make_pairs(tmp_path / "events", tmp_path / "pairs", pins=tmp_path / "pins")
    assert {row["pin"] for row in rows(tmp_path / "pairs", "search")} == {"new", "three"}
    found = summary.catalogues["pins"]
    assert (found.rows, found.no_id, found.entries, found.without_text) == (4, 1, 2, 0)


# --- summary --------------------------------------------------------------------------------------


def test_warnings_name_what_to_look_at(tmp_path: Path) -> None:
    pins = pl.DataFrame({"id": [f"p{n}" for n in range(1000)], "title": ["oak"] * 500 + [""] * 500})
    pins.write_parquet(tmp_path / "pins.parquet")
    events = [acted("click", query="head", pin_id=f"p{n}") for n in range(8)]
    events += [acted("click", query=f"tail {n}", pin_id=f"p{600 + n}") for n in range(9)]
    events += [acted("impression", task="home_feed")]
    commit(tmp_path / "events", events)
    summary = make_pairs(tmp_path / "events", tmp_path / "pairs", pins=tmp_path / "pins.parquet")
    told = [f"{warned.task}: {warned.message}" for warned in summary.warnings]
    for expected in (
        ": 50% of the pins have no text",
        "search: only 8 pairs",
        "search: one query has 100% of the weight",
        "search: 53% are dropped: pin_without_text",
        "search: only 0.80% of the catalogue's pins",
        "home_feed: nobody saved or clicked",
    ):
        assert any(line.startswith(expected) for line in told), (expected, told)
    figures = summary.tasks["search"]
    assert (figures.pairs, figures.queries, figures.pins) == (8, 1, 8)
    assert (figures.top_query, figures.top_query_votes, figures.half_queries) == ("head", 1, 1)
    assert (figures.pin_words.mean, figures.query_words.most) == (1, 1)
    assert figures.coverage == 8 / 1000


# --- mistakes -------------------------------------------------------------------------------------


def test_interests_that_were_not_given(tmp_path: Path, catalogues: dict[str, Any]) -> None:
    commit(tmp_path / "events", [acted("click", task="home_feed", query=None, query_id="p1")])
    with pytest.raises(DataError, match=r"give that catalogue \(--interests\)"):
        make_pairs(tmp_path / "events", tmp_path / "pairs", pins=catalogues["pins"])
    pins = PairsConfig(query_from={"home_feed": "pins"})
    events = [acted("click", task="home_feed", query=None, query_id="p2")]
    commit(tmp_path / "events", events)
    make_pairs(tmp_path / "events", tmp_path / "pairs", pins, pins=catalogues["pins"])
    assert [row["query"] for row in rows(tmp_path / "pairs", "home_feed")] == [PINS["p2"]]


def test_other_folders_are_left_alone(tmp_path: Path, catalogues: dict[str, Any]) -> None:
    commit(tmp_path / "events", [acted("click")])
    out = tmp_path / "pairs"
    (out / "task=search").mkdir(parents=True)
    (out / "task=search" / "mine.csv").write_text("query,pin\n")
    for update, message in (
        (False, "exists already"),
        (True, "was not made by pintext pairs"),
    ):
        with pytest.raises(DataError, match=message):
            make_pairs(tmp_path / "events", out, **catalogues, update=update)
    (out / "notes.txt").write_text("mine")
    with pytest.raises(DataError, match="also holds notes"):
        make_pairs(tmp_path / "events", out, **catalogues, overwrite=True)
    nothing = PairsConfig(tasks=("nothing",))
    with pytest.raises(DataError, match="no events of nothing"):
        make_pairs(tmp_path / "events", tmp_path / "x", nothing, **catalogues)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"split": "time"}, "needs validation_from or test_from"),
        ({"test_from": "1.3.2026"}, "expected a date, as 2026-03-20"),
        ({"test_from": "20260301"}, "expected a date"),
        ({"test_from": "2026-03-01", "validation_from": "2026-03-01"}, "is not after"),
        ({"validation": 0.7, "test": 0.7}, "are more than all"),
        ({"query_from": {"home_feed": "boards"}}, "expected pins or interests"),
        ({"window_minutes": 0}, "window_minutes"),
        ({"pins": {"txt": ("a",)}}, "txt"),
    ],
)
def test_settings_that_make_no_sense(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        PairsConfig.from_dict(settings)
