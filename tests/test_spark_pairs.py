"""Pairs on a real Spark: the rows and figures of one machine, whatever dies meanwhile."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import polars as pl
import pytest
from click.testing import CliRunner

from pairing_data import MIDNIGHT, commit, drawn_events, write_catalogues
from pintext.cli import commands
from pintext.errors import DataError
from pintext.pairing import PairsConfig
from pintext.pairing import make_pairs as make_here
from pintext.spark import make_pairs
from sparking import cluster_environment, executors_of

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = pytest.mark.spark


HOT = 1_500


@pytest.fixture(scope="module")
def catalogues(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Pins in two files, the second with very many pins."""
    folder = tmp_path_factory.mktemp("catalogues")
    written = write_catalogues(folder)
    (folder / "pins").mkdir()
    written["pins"].rename(folder / "pins" / "a.parquet")
    lines = [f"hot{n},oak {n % 7}" for n in range(HOT)]
    (folder / "pins" / "b.csv").write_text("\n".join(["id,title", *lines, "p3,Oak table"]))
    return {**written, "pins": folder / "pins"}


def hot_events() -> list[dict[str, Any]]:
    """One query that very many pins were clicked under, and one pin under very many queries."""
    clicks = [("hot", f"hot{n}") for n in range(HOT)] + [(f"hot {n}", "p2") for n in range(HOT)]
    common = {"task": "search", "query_id": None, "dwell_ms": None, "position": None}
    return [
        {**common, "query": query, "pin_id": pin, "action": action, "timestamp": MIDNIGHT}
        for query, pin in clicks
        for action in ("impression", "click")
    ]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Events of every kind: spellings, unknown ids, empty texts, hides over midnight, ties."""
    folder = tmp_path_factory.mktemp("it's {a} store") / "events"
    commit(folder, drawn_events(3_000, seed=1))
    commit(folder, hot_events())
    return folder


def tables(folder: Path) -> dict[str, pl.DataFrame]:
    """The rows of each task's pairs and negatives, in the order of the files."""
    inside = sorted([*folder.glob("task=*"), *folder.glob("_negatives/task=*")])
    return {
        str(task.relative_to(folder)): pl.concat(map(pl.read_parquet, sorted(task.iterdir())))
        for task in inside
    }


def same(one: Path, two: Path) -> bool:
    """Whether two folders hold the same rows in the same order, and the same figures."""
    ours, theirs = tables(one), tables(two)
    assert list(ours) == list(theirs)
    for name, frame in ours.items():
        assert frame.schema == theirs[name].schema
        assert frame.equals(theirs[name]), name
    for name in ("_summary.json", "_manifest.json"):
        assert json.loads((one / name).read_bytes()) == json.loads((two / name).read_bytes())
    return True


TIGHT = PairsConfig(
    save_weight=2.0,
    click_weight=0.5,
    min_dwell_ms=1000,
    window_minutes=10.0,
    hide_minutes=1440.0,
    max_repeats=2,
    max_pins_per_query=2,
    max_queries_per_pin=2,
    max_negatives_per_query=1,
    validation=0.3,
    test=0.3,
    seed=1,
)
BY_TIME = PairsConfig(split="time", validation_from="2026-03-03", test_from="2026-03-05")
OTHERS = PairsConfig(
    split="none", window_minutes=1440.0, hide_minutes=0.0, save_weight=0.0, max_pins_per_query=0
)


@pytest.mark.parametrize("config", [TIGHT, OTHERS], ids=["tight", "others"])
def test_the_rows_and_figures_of_one_machine(
    session: "SparkSession",
    store: Path,
    catalogues: dict[str, Any],
    tmp_path: Path,
    config: PairsConfig,
) -> None:
    here = make_here(store, tmp_path / "here", config, **catalogues)
    there = make_pairs(session, store, tmp_path / "there", config, **catalogues)
    assert msgspec.to_builtins(there) == msgspec.to_builtins(here)
    assert same(tmp_path / "here", tmp_path / "there")
    assert len(tables(tmp_path / "there")) == 6
    if config is TIGHT:
        assert there.tasks["search"].dropped["over_pins_of_query"] > HOT
        assert there.tasks["search"].dropped["over_queries_of_pin"] > HOT / 2
    assert [path.name for path in tmp_path.glob(".*")] == []


def test_the_command_updates_what_one_machine_made(
    session: "SparkSession", store: Path, catalogues: dict[str, Any], tmp_path: Path
) -> None:
    events = tmp_path / "events"
    shutil.copytree(store, events)
    make_here(events, tmp_path / "updated", BY_TIME, **catalogues)
    commit(events, drawn_events(1_000, seed=2))
    make_here(events, tmp_path / "here", BY_TIME, **catalogues)
    (tmp_path / "by-time.json").write_bytes(msgspec.json.encode(BY_TIME.to_dict()))
    typed = ["pairs", events, "--out", tmp_path / "updated", "--update", "--engine", "spark"]
    given = [f"--{name}={path}" for name, path in catalogues.items()]
    settings = ["--config", tmp_path / "by-time.json", "--quiet"]
    done = CliRunner().invoke(commands, [*map(str, typed), *given, *map(str, settings)])
    assert done.exit_code == 0, done.stderr
    assert json.loads(done.stdout)["tasks"]["search"]["pairs"] > 1_000
    assert same(tmp_path / "here", tmp_path / "updated")


def test_what_cannot_be_used(
    session: "SparkSession", store: Path, catalogues: dict[str, Any], tmp_path: Path
) -> None:
    (tmp_path / "pins.csv").write_text("name,title\n1,a\n")
    with pytest.raises(DataError, match=r"pins\.csv: no column 'id'; columns found: 'name'"):
        make_pairs(session, store, tmp_path / "pairs", pins=tmp_path / "pins.csv")
    broken = tmp_path / "broken"
    (only,) = commit(broken, drawn_events(1, seed=0)).files()
    only.path.write_bytes(b"x" * only.bytes)
    with pytest.raises(DataError, match=only.path.name):
        make_pairs(session, broken, tmp_path / "pairs", **catalogues)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["broken", "pins.csv"]


JOB = """
import sys
from pintext.pairing import PairsConfig
from pintext.spark import make_pairs, spark_session

store, out, pins = sys.argv[1:]
make_pairs(spark_session(), store, out, PairsConfig(tasks=("search",)), pins=pins)
"""


def test_the_driver_dies_then_executors_and_nothing_is_lost_or_doubled(
    store: Path, catalogues: dict[str, Any], tmp_path: Path
) -> None:
    out, log = tmp_path / "pairs", tmp_path / "log.txt"
    command = [sys.executable, "-c", JOB, store, out, catalogues["pins"]]

    def begin() -> subprocess.Popen[bytes]:
        """Start the job and wait until it is in the midst of a tally."""
        with log.open("wb") as complaints:
            job = subprocess.Popen(
                list(map(str, command)),
                env=cluster_environment(),
                stderr=complaints,
                start_new_session=True,
            )
        while job.poll() is None and not any(tmp_path.glob(".pintext-*/_work/tmp*/*")):
            time.sleep(0.02)
        return job

    first = begin()
    os.killpg(first.pid, signal.SIGKILL)  # Spark's own processes too
    assert first.wait(timeout=60) == -signal.SIGKILL
    assert not out.exists()
    for left in tmp_path.glob(".pintext-*"):
        shutil.rmtree(left, ignore_errors=True)
    second = begin()
    for victim in executors_of(second.pid):  # one of them tallies; others take their places
        os.kill(victim, signal.SIGKILL)
    while second.poll() is None and not any(tmp_path.glob(".pintext-*/_work/spill/by-query-*/*/*")):
        time.sleep(0.02)
    victims = executors_of(second.pid)  # now they apply the rules, each to some queries
    for victim in victims:
        os.kill(victim, signal.SIGKILL)
    assert len(victims) == 2
    assert second.wait(timeout=900) == 0, log.read_text()
    assert "Lost executor" in log.read_text()
    only = PairsConfig(tasks=("search",))
    make_here(store, tmp_path / "here", only, pins=catalogues["pins"])
    assert same(tmp_path / "here", out)
