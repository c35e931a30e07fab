"""The batch stages on a real Spark: a local one, and one with executors as processes that die."""

import os
import signal
import subprocess
import sys
import time
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import pytest
from click.testing import CliRunner

from pintext import PinTextModel
from pintext.cli import commands
from pintext.embed import FINGERPRINT_KEY, embed_file
from pintext.errors import DataError, ModelError
from pintext.spark import embed_dataframe, embed_files
from some_models import WORDS, some_model
from sparking import cluster_environment, executors_of

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = pytest.mark.spark

NASTY = [
    None,
    "",
    "zebra",
    "Wood\x00Cabinets",
    "木の台",
    "crème brûlée",
    " ".join(WORDS * 300),
    "İ ß",
]


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of three files of texts, one of them empty."""
    folder = tmp_path_factory.mktemp("texts")
    draw = np.random.default_rng(0)
    words = np.array([*WORDS, "unknown", "OAK"])
    lines = [" ".join(draw.choice(words, draw.integers(0, 12))) for _ in range(3_000)]
    frame = pl.DataFrame({"id": [f"p{i}" for i in range(3_008)], "title": [*lines, *NASTY]})
    for part, start, stop in ((0, 0, 2_000), (1, 2_000, 3_008), (2, 0, 0)):
        frame[start:stop].write_parquet(folder / f"{part}.parquet")
    return folder


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "model"
    some_model(dim=16).save_pretrained(folder)
    return folder


def on_one_machine(model: Path, texts: Path, out: Path) -> pl.DataFrame:
    whole = out / "texts.parquet"
    pl.read_parquet(texts / "*.parquet").write_parquet(whole)
    loaded = PinTextModel.from_pretrained(model)
    embed_file(loaded, whole, out / "vectors.parquet", text_column="title")
    return pl.read_parquet(out / "vectors.parquet").sort("id")


def test_the_same_vectors_as_on_one_machine(
    session: "SparkSession", texts: Path, model: Path, tmp_path: Path
) -> None:
    rows = embed_files(session, texts, model, tmp_path / "vectors", text_column="title")
    assert rows == 3_008
    found = pl.read_parquet(tmp_path / "vectors" / "*.parquet")
    assert found["id"].to_list() == [f"p{row}" for row in range(3_008)]  # in the order of the files
    assert found.sort("id").equals(on_one_machine(model, texts, tmp_path))
    fingerprint = PinTextModel.from_pretrained(model).fingerprint
    for part in (tmp_path / "vectors").iterdir():
        assert pl.read_parquet_metadata(part)[FINGERPRINT_KEY] == fingerprint


def test_spans_of_rows_are_parts(session: "SparkSession", model: Path, tmp_path: Path) -> None:
    """More than one task of a file, with a name that Spark escapes."""
    folder = tmp_path / "new texts, 100 %"
    folder.mkdir()
    frame = pl.DataFrame({"id": range(200_000), "text": ["oak cabinets", None] * 100_000})
    frame.write_parquet(folder / "a b.parquet", row_group_size=30_000)
    assert embed_files(session, folder / "a b.parquet", model, tmp_path / "vectors") == 200_000
    parts = sorted((tmp_path / "vectors").iterdir())
    heights = [pl.scan_parquet(part).select(pl.len()).collect().item() for part in parts]
    assert heights == [60_000, 60_000, 80_000]  # whole row groups, as even as these allow
    embed_file(
        PinTextModel.from_pretrained(model), folder / "a b.parquet", tmp_path / "one.parquet"
    )
    found = pl.concat(map(pl.read_parquet, parts))
    assert found.equals(pl.read_parquet(tmp_path / "one.parquet", glob=False))


def test_what_only_spark_can_read(session: "SparkSession", model: Path, tmp_path: Path) -> None:
    for kind in ("a", "b"):
        (tmp_path / "texts" / f"kind={kind}").mkdir(parents=True)
        frame = pl.DataFrame({"text": ["oak", f"oak cabinets {kind}"]})
        frame.write_parquet(tmp_path / "texts" / f"kind={kind}" / "0.parquet")
    out = tmp_path / "vectors"
    assert embed_files(session, tmp_path / "texts", model, out, id_column="kind") == 4
    found = pl.read_parquet(out / "*.parquet")
    assert sorted(found["id"]) == ["a", "a", "b", "b"]
    expected = PinTextModel.from_pretrained(model).encode(["oak"])[0]
    assert sum(np.array_equal(vector, expected) for vector in found["vector"]) == 2


@pytest.mark.parametrize("fits", [True, False], ids=["written", "refused"])
def test_the_session_is_left_as_it_was(session: "SparkSession", tmp_path: Path, fits: bool) -> None:
    """Though what only Spark can read comes to the tasks in batches of another size."""
    name = "spark.sql.execution.arrow.maxRecordsPerBatch"
    small = some_model(dim=4)
    rows = small.embeddings * np.float32(1 if fits else 1e6)
    PinTextModel(small.vocabulary, rows).save_pretrained(tmp_path / "model")
    texts, out = tmp_path / "texts", tmp_path / "out"
    (texts / "kind=a").mkdir(parents=True)
    pl.DataFrame({"text": ["oak"] * 10}).write_parquet(texts / "kind=a" / "0.parquet")
    before = session.conf.get(name)
    session.conf.set(name, "77")
    try:
        with nullcontext() if fits else pytest.raises(DataError, match="too large for float16"):
            embed_files(session, texts, tmp_path / "model", out, id_column="kind", dtype="float16")
        assert out.exists() == fits
        assert session.conf.get(name) == "77"
    finally:
        session.conf.set(name, before)


def test_the_command(session: "SparkSession", texts: Path, model: Path, tmp_path: Path) -> None:
    typed = ["embed", str(model), "--text-column", "title", "--engine", "spark"]
    into = ["--input", str(texts), "--out", str(tmp_path / "vectors")]
    done = CliRunner().invoke(commands, [*typed, *into])
    assert done.exit_code == 0, done.stderr
    assert "3,008 vectors written" in done.stderr
    found = pl.read_parquet(tmp_path / "vectors" / "*.parquet").sort("id")
    assert found.equals(on_one_machine(model, texts, tmp_path))
    assert CliRunner().invoke(commands, [*typed, "--input", "-"]).exit_code == 2


def test_a_frame_of_vectors(
    session: "SparkSession", texts: Path, model: Path, tmp_path: Path
) -> None:
    frame = session.read.parquet(str(texts))
    made = embed_dataframe(frame, model, text_column="title").toArrow()
    found = pl.DataFrame(pl.from_arrow(made)).sort("id")
    expected = on_one_machine(model, texts, tmp_path)
    assert found["vector"].cast(pl.Array(pl.Float32, 16)).equals(expected["vector"])


def test_no_texts_at_all(session: "SparkSession", model: Path, tmp_path: Path) -> None:
    empty = tmp_path / "empty.parquet"
    pl.DataFrame(schema={"id": pl.Int64, "text": pl.String}).write_parquet(empty)
    assert embed_files(session, empty, model, tmp_path / "vectors") == 0
    found = pl.read_parquet(tmp_path / "vectors" / "*.parquet")
    assert found.schema == {"id": pl.Int64, "vector": pl.Array(pl.Float32, 16)}


def test_what_cannot_be_used(
    session: "SparkSession", texts: Path, model: Path, tmp_path: Path
) -> None:
    out = tmp_path / "vectors"
    with pytest.raises(DataError, match="Spark cannot read it as Parquet"):
        embed_files(session, tmp_path / "nowhere", model, out)
    with pytest.raises(DataError, match="no column 'text'; columns found: 'id', 'title'"):
        embed_files(session, texts, model, out)
    with pytest.raises(ModelError):
        embed_files(session, texts, tmp_path, out, text_column="title")
    out.mkdir()
    (out / "notes.txt").touch()
    with pytest.raises(DataError, match=r"notes\.txt, which would be lost"):
        embed_files(session, texts, model, out, text_column="title", overwrite=True)
    assert [inside.name for inside in tmp_path.iterdir()] == ["vectors"]


def test_float16_that_does_not_fit(session: "SparkSession", texts: Path, tmp_path: Path) -> None:
    large = some_model(dim=4)
    PinTextModel(large.vocabulary, large.embeddings * np.float32(1e6)).save_pretrained(
        tmp_path / "large"
    )
    with pytest.raises(DataError, match="too large for float16; choose float32"):
        embed_files(
            session,
            texts,
            tmp_path / "large",
            tmp_path / "out",
            text_column="title",
            dtype="float16",
        )
    assert not (tmp_path / "out").exists()


JOB = """
import sys
from pintext.spark import embed_files, spark_session

texts, model, out = sys.argv[1:]
print(embed_files(spark_session(), texts, model, out, text_column="title"))
"""


def test_an_executor_dies_and_nothing_is_lost_or_doubled(
    texts: Path, model: Path, tmp_path: Path
) -> None:
    """Executors are processes of their own; one is killed when the first part is written."""
    many = tmp_path / "many"
    many.mkdir()
    frame = pl.read_parquet(texts / "*.parquet")
    for part in range(12):
        frame[part::12].write_parquet(many / f"{part}.parquet")
    command = [sys.executable, "-c", JOB, str(many), str(model), str(tmp_path / "vectors")]
    log = tmp_path / "log.txt"
    with (
        log.open("wb") as complaints,
        subprocess.Popen(
            command, env=cluster_environment(), stdout=subprocess.PIPE, stderr=complaints, text=True
        ) as job,
    ):
        while job.poll() is None and not any(tmp_path.glob(".pintext-*/part-*.parquet")):
            time.sleep(0.02)
        victims = executors_of(job.pid)
        for victim in victims[:1]:
            os.kill(victim, signal.SIGKILL)
        told, _ = job.communicate(timeout=900)
    assert job.returncode == 0, log.read_text()
    assert len(victims) == 2
    assert told.split()[-1] == str(len(frame))
    assert "Lost executor" in log.read_text()
    found = pl.read_parquet(tmp_path / "vectors" / "*.parquet").sort("id")
    assert found.equals(on_one_machine(model, texts, tmp_path))
