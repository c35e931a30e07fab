"""Neighbours in bulk on a real Spark: the rows of one machine, whatever dies meanwhile."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pytest
from click.testing import CliRunner

from pintext import PinTextModel
from pintext.cli import commands
from pintext.embed import FINGERPRINT_KEY
from pintext.errors import DataError
from pintext.knn import Texts, expand_keywords
from pintext.knn import find_neighbors as find_here
from pintext.spark import find_neighbors
from pintext.spark.meeting import plan_meeting, who_goes
from some_models import some_model
from sparking import cluster_environment, executors_of

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

WORDS = [f"w{number}" for number in range(300)]
MODEL = some_model(WORDS, dim=24, seed=5)


def texts(count: int, seed: int, words: int) -> list[str]:
    """Texts whose words stand near to each other in the list, as if of one topic."""
    draw = np.random.default_rng(seed)
    starts = draw.integers(0, len(WORDS) - 12, count)
    numbers = starts[:, None] + draw.integers(0, 12, (count, words))
    return [" ".join(WORDS[number] for number in row) for row in numbers]


NASTY = [None, "", "nothing known here", "w1\x00w2", "w7 w8 w9", "w7 w8 w9", "木 w3"]
HOT = ["w40 w41 w42"] * 700
"""Pins that read the same: one token with very many pins, and nothing but ties."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model, pins as one file and as several, queries."""
    made = tmp_path_factory.mktemp("knn")
    written = [*texts(2_000, 1, 8), *NASTY, *HOT]
    pins = pl.DataFrame({"id": [f"p{n}" for n in range(len(written))], "text": written})
    pins.write_parquet(made / "pins.parquet")
    (made / "pins").mkdir()
    pins[:1_300].write_parquet(made / "pins" / "a.parquet", row_group_size=500)
    pins[1_300:1_300].write_parquet(made / "pins" / "b.parquet")
    pins[1_300:].write_parquet(made / "pins" / "c.parquet")
    asked = [*texts(300, 2, 3), *NASTY, *HOT[:150]]
    pl.DataFrame({"query": asked}).write_parquet(made / "queries.parquet")
    MODEL.save_pretrained(made / "model")
    return made


def parts(folder: Path) -> pl.DataFrame:
    return pl.concat(map(pl.read_parquet, sorted(folder.iterdir())))


@pytest.mark.spark
@pytest.mark.parametrize("asks", ["queries", "pins", "keywords"])
def test_the_rows_of_one_machine(
    session: "SparkSession", folder: Path, tmp_path: Path, asks: str
) -> None:
    pins, queries = Texts(folder / "pins.parquet"), Texts(folder / "queries.parquet", "query")
    here, there = tmp_path / "here.parquet", tmp_path / "there"
    settings: dict[str, Any] = {"k": 6, "recall": 0.9, "seed": 3}
    if asks == "keywords":
        expand_keywords(MODEL, queries, pins, here, **settings)
    else:
        find_here(MODEL, pins, here, queries=queries if asks == "queries" else None, **settings)
    made = find_neighbors(
        session,
        folder / "model",
        Texts(folder / "pins"),
        there,
        queries=None if asks == "pins" else queries,
        expand=asks == "keywords",
        **settings,
    )
    expected, found = pl.read_parquet(here), parts(there)
    assert found.schema == expected.schema
    assert made.rows == found.height == expected.height > 1_000
    assert made.divided_tokens > 0
    assert found.drop("similarity").equals(expected.drop("similarity"))
    assert np.allclose(found["similarity"], expected["similarity"], rtol=0, atol=1e-6)
    for part in there.iterdir():
        assert pl.read_parquet_metadata(part)[FINGERPRINT_KEY] == MODEL.fingerprint
    assert [path.name for path in tmp_path.glob(".*")] == []


@pytest.mark.spark
def test_the_command(session: "SparkSession", folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    typed = ["knn", folder / "model", "--pins", folder / "pins", "-k", "3", "--out", out]
    spark = [*map(str, typed), "--engine", "spark"]
    done = CliRunner().invoke(commands, [*spark, "--json"])
    assert done.exit_code == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["rows"] == parts(out).height > 5_000
    assert told["tasks"] > 1
    again = CliRunner().invoke(commands, spark)
    assert again.exit_code == 1
    assert "exists already" in again.stderr
    assert CliRunner().invoke(commands, [*spark, "--exact"]).exit_code == 2


@pytest.mark.spark
def test_what_cannot_be_used_and_what_is_empty(
    session: "SparkSession", folder: Path, tmp_path: Path
) -> None:
    model, out = folder / "model", tmp_path / "out"
    with pytest.raises(DataError, match="Spark cannot read it as Parquet"):
        find_neighbors(session, model, Texts(tmp_path / "nowhere"), out)
    with pytest.raises(DataError, match="no column 'title'; columns found: 'id', 'text'"):
        find_neighbors(session, model, Texts(folder / "pins", "title"), out)
    assert list(tmp_path.iterdir()) == []
    none = tmp_path / "none.parquet"
    pl.DataFrame(schema={"id": pl.Int64, "text": pl.String}).write_parquet(none)
    pins = Texts(folder / "pins")
    for found, asked in ((Texts(none), pins), (pins, Texts(none))):
        made = find_neighbors(session, model, found, out, queries=asked, overwrite=True)
        assert made.rows == parts(out).height == 0
        assert parts(out).columns == ["id", "neighbor_id", "rank", "similarity"]


def test_every_pin_meets_every_query_that_shares_a_token_once() -> None:
    """However tokens are divided: against sets, for tokens with many pins and with many queries."""
    draw = np.random.default_rng(0)
    carried = np.sort(draw.integers(-1, 30, (400, 3)) // draw.integers(1, 9, (400, 1)), axis=1)
    asked = draw.integers(-1, 30, (300, 4))
    asked[:200, 0] = 29
    asked[:, 1:][asked[:, 1:] == asked[:, :1]] = -1
    sides = [np.array(side, np.int32) for side in (carried, asked)]
    for side in sides:
        for row in side:
            kept = np.unique(row[row >= 0])
            row[:] = [*kept, *[-1] * (len(row) - len(kept))]
    meeting = plan_meeting(sides[0], sides[1], 30, 25)
    assert meeting.divided > 1
    assert (np.diff(meeting.tasks) >= 0).all()
    places: list[dict[int, set[int]]] = []
    for side, pins in zip(sides, (True, False), strict=True):
        goes = who_goes(meeting, side, np.arange(len(side)), pins=pins)
        assert len(set(zip(goes.who.tolist(), goes.task.tolist(), strict=True))) == len(goes.who)
        mine: dict[int, set[int]] = {}
        for who, task, some in zip(
            goes.who, goes.task, np.split(goes.places, goes.ends[:-1]), strict=True
        ):
            assert (meeting.tasks[some] == task).all()
            mine.setdefault(int(who), set()).update(some.tolist())
        places.append(mine)
    for pin, tokens in enumerate(sides[0].tolist()):
        for query, wanted in enumerate(sides[1].tolist()):
            shared = {token for token in tokens if token >= 0} & set(wanted)
            met = places[0].get(pin, set()) & places[1].get(query, set())
            assert len(met) == len(shared)


JOB = """
import sys
from pathlib import Path
from pintext.knn import Texts
from pintext.spark import find_neighbors, spark_session

folder, out = Path(sys.argv[1]), Path(sys.argv[2])
find_neighbors(spark_session(), folder / "model", Texts(folder / "pins"), out, k=4)
"""


@pytest.mark.spark
def test_an_executor_dies_and_nothing_is_lost_or_doubled(folder: Path, tmp_path: Path) -> None:
    out, log = tmp_path / "neighbors", tmp_path / "log.txt"
    with log.open("wb") as complaints:
        job = subprocess.Popen(
            [sys.executable, "-c", JOB, str(folder), str(out)],
            env=cluster_environment(),
            stderr=complaints,
        )
        while job.poll() is None and not any(tmp_path.glob(".pintext-*/_work/meeting.npz")):
            time.sleep(0.02)
        victims = executors_of(job.pid)
        os.kill(victims[0], signal.SIGKILL)
        assert job.wait(timeout=900) == 0, log.read_text()
    assert "Lost executor" in log.read_text()
    model = PinTextModel.from_pretrained(folder / "model")
    find_here(model, Texts(folder / "pins.parquet"), tmp_path / "here.parquet", k=4)
    assert parts(out).equals(pl.read_parquet(tmp_path / "here.parquet"))
